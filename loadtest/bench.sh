# Sourced by the measuring scripts: a folder, a simulated carrier (`$carrier`, listening at `$peer`),
# the binaries (`$bin`), and an end to everything that is listed in `pids`. The carrier is SIP only where
# MEASURE_MEDIA is not `embedded`.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=$(realpath "${CARGO_TARGET_DIR:-target}/release")
folder=$(mktemp -d)
pids=()
end() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$folder"
}
trap end EXIT
ulimit -n "$(ulimit -Hn)"

media=${MEASURE_MEDIA:-bypass}
sound=--sip-only
[ "$media" != embedded ] || sound=--answer-after-ms=0
# What a script starts is in groups of its own: a Ctrl-C is the generator's, which hangs up, proves and
# reports; a second one ends it at once.
trap : INT
setsid "$bin/sautikit-loadtest" carrier --listen 127.0.0.1:0 "$sound" >>"$folder/carrier.log" &
carrier=$!
pids+=("$carrier")
until [ -s "$folder/carrier.log" ]; do kill -0 "$carrier"; read -rt 0.1 <> <(:) || true; done
peer=$(head -n 1 "$folder/carrier.log" | sed -E 's/.*"ready":"([^"]+)".*/\1/')
