#!/usr/bin/env bash
# Searches for bytes and for orders of events that break what fuzz/ says must hold: each target for
# FUZZ_SECONDS (60), beginning with its seeds and with what earlier searches found, then what the
# slowest messages cost. With --short for a few seconds from the seeds alone, the same way each time.
#
# Builds as `cargo fuzz run -s none` does, with plain cargo on the stable toolchain, so that nothing
# has to be installed. Who has cargo-fuzz may use it as well.
set -euo pipefail
cd "$(dirname "$0")/.."

short=${1:-}
if [ "$short" = --short ]; then
    seconds=${FUZZ_SECONDS:-3}
    search=(-seed=1)
else
    seconds=${FUZZ_SECONDS:-60}
    search=()
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
found=$([ "$short" = --short ] && echo "$scratch" || echo fuzz/corpus)

# target → the longest input that says anything new
targets=(reader:66000 sdp:33000 handshake:17000 transaction:256 leg:600)

host=$(rustc -vV | sed -n 's/^host: //p')
built=${CARGO_TARGET_DIR:-target}/fuzz
cargo=(--release --locked --manifest-path fuzz/Cargo.toml --target-dir "$built")
flags=(
    --cfg fuzzing
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    -Ccodegen-units=1
    -Cdebug-assertions
)
# With --target the flags reach no build script.
RUSTFLAGS="${flags[*]}" cargo build "${cargo[@]}" --target "$host" --bins
if [ "$short" = --short ]; then
    RUSTFLAGS="${flags[*]}" cargo clippy "${cargo[@]}" --target "$host" --all-targets -- -D warnings
fi

broken=0
for target in "${targets[@]}"; do
    name=${target%:*}
    mkdir -p "$found/$name" "fuzz/artifacts/$name"
    folders=("$found/$name")
    [ -d "fuzz/seeds/$name" ] && folders+=("fuzz/seeds/$name")
    words=()
    [ -f "fuzz/dictionaries/$name" ] && words=(-dict="fuzz/dictionaries/$name")
    # 5 s for one input, or 512 MiB, is a find too.
    if "$built/$host/release/$name" "${folders[@]}" "${search[@]}" "${words[@]}" -max_len="${target#*:}" \
        -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -print_funcs=0 -len_control=20 \
        -artifact_prefix="fuzz/artifacts/$name/" >"$scratch/log" 2>&1; then
        grep DONE "$scratch/log" || true
        printf 'fuzz %s: held\n' "$name"
    else
        # What it did before it broke says nothing.
        grep -v '^#[0-9]' "$scratch/log" || true
        printf 'fuzz %s: BROKEN, see fuzz/artifacts/%s\n' "$name" "$name"
        broken=1
    fi
done

if [ "$short" != --short ]; then
    cargo run "${cargo[@]}" --example slowest fuzz/seeds "$found"
fi
exit "$broken"
