#!/usr/bin/env bash
# Everything that `make test` runs, in the order in which a mistake is found soonest. Ends with one
# line that sums up all tests: "total: N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."

# The browser tests look into ./target unless they are told.
target=${CARGO_TARGET_DIR:-target}
export SAUTIKIT_BIN=${SAUTIKIT_BIN:-$target/debug/sautikit-gateway}
export SAUTIKIT_LOADTEST_BIN=${SAUTIKIT_LOADTEST_BIN:-$target/debug/sautikit-loadtest}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
failed=0
started=$SECONDS

# Adds what the runner's closing lines say to the totals: cargo's "test result: ok. 3 passed; 0
# failed", vitest's "Tests  3 passed (3)", node's "# pass 3" or "ℹ pass 3", and one for each target
# of the fuzzers.
count() {
    local clean sums
    clean=$(sed 's/\x1b\[[0-9;]*m//g' "$log")
    sums=$(printf '%s\n' "$clean" | awk '
        /^test result: / { for (i = 1; i < NF; i++) { if ($(i+1) == "passed;") p += $i; if ($(i+1) == "failed;") f += $i } }
        /^ *Tests  / { for (i = 1; i < NF; i++) { if ($(i+1) == "passed") p += $i; if ($(i+1) == "failed") f += $i } }
        /^(#|ℹ) pass [0-9]+$/ { p += $3 }
        /^(#|ℹ) fail [0-9]+$/ { f += $3 }
        /^fuzz [a-z]+: held$/ { p += 1 }
        /^fuzz [a-z]+: BROKEN/ { f += 1 }
        END { print p + 0, f + 0 }')
    passed=$((passed + ${sums% *}))
    failed=$((failed + ${sums#* }))
}

finish() {
    [ "$1" = 0 ] || [ "$failed" -gt 0 ] || failed=1
    printf 'total: %d passed, %d failed\n' "$passed" "$failed"
    exit "$1"
}

step() {
    local name=$1 before=$SECONDS
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    "$@" 2>&1 | tee "$log"
    local code=${PIPESTATUS[0]}
    count
    printf '== %s: %s after %d s\n' "$name" "$([ "$code" = 0 ] && echo done || echo FAILED)" $((SECONDS - before))
    [ "$code" = 0 ] || finish "$code"
}

step "tools" scripts/install.sh
step "format" cargo fmt --all --check
step "format of the fuzzers" cargo fmt --manifest-path fuzz/Cargo.toml --check
step "lint of the pages" npm run --silent lint
step "build of the pages" npm run --silent build
step "tests of the pages" npm run --silent test
step "lint" cargo clippy --workspace --all-targets --locked -- -D warnings
step "tests" cargo test --workspace --locked
step "fuzzers" scripts/fuzz.sh --short
step "build" cargo build --workspace --locked
step "browser" npm run --silent test:browser
printf '\nall of it took %d s\n' $((SECONDS - started))
finish 0
