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

# The environment of a gateway at these addresses (HTTP, WebSocket, SIP, admin) with a database of its own,
# every [limits] entry off but the node's, and a workspace (`$workspace`, `$BENCH_API_KEY`) that never runs dry.
gateway_on() {
    cat >"$folder/gateway.toml" <<TOML
[[trunk]]
name = "carrier"
uri = "sip:$peer;transport=udp"
prefixes = ["+254"]

[limits]
failed_handshakes_per_second_per_address = 0
unauthenticated_per_address = 0
sessions_per_workspace = 0
requests_per_second_per_session = 0
calls_per_workspace = 0
calls_per_second_per_workspace = 0
sessions_max = 20000
calls_max = 10000
TOML
    SAUTIKIT_SIP_TOKEN_SIGNING_KEY=$(openssl rand -hex 32)
    export SAUTIKIT_SIP_TOKEN_SIGNING_KEY SAUTIKIT_CONFIG=$folder/gateway.toml SAUTIKIT_MEDIA=$media
    export DATABASE_URL="sqlite://$folder/gateway.db?mode=rwc" SAUTIKIT_LOG=warn,sautikit_gateway=info
    export SAUTIKIT_HTTP_ADDR=$1 SAUTIKIT_WS_ADDR=$2 SAUTIKIT_SIP_UDP_ADDR=$3 SAUTIKIT_ADMIN_ADDR=$4
    export SAUTIKIT_MEDIA_BROWSER_PORT=0 SAUTIKIT_MEDIA_PORTS=20000-29999
    local made
    made=$("$bin/sautikit-gateway" workspace create --name load --balance-minor 100000000000 --number +254700000001)
    workspace=$(sed -E 's/.*"workspace_id":"([^"]+)".*/\1/' <<<"$made")
    BENCH_API_KEY=$(sed -E 's/.*"api_key":"([^"]+)".*/\1/' <<<"$made")
    export BENCH_API_KEY
}
