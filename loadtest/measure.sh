#!/usr/bin/env bash
# Measures a gateway of its own on this machine: a private database, a simulated carrier, every
# [limits] entry off but the node's. Arguments are those of `sautikit-loadtest`, for example:
#   loadtest/measure.sh calls --sessions 2000 --rate 200 --hold 5 --duration 20
#   loadtest/measure.sh sessions --sessions 5000 --duration 20
#   MEASURE_MEDIA=embedded loadtest/measure.sh calls --media --calls 100 --rate 50 --hold 60
# SIP only where MEASURE_MEDIA is not `embedded`. What `calls` makes is proven to be billed once and right.
# Needs release builds (make release). Everything it starts, it ends.
set -euo pipefail
source "$(dirname "$0")/bench.sh"

any=127.0.0.1:0
gateway_on "$any" "$any" "$any" "$any"
setsid "$bin/sautikit-gateway" serve 2>"$folder/gateway.log" &
gateway=$!
pids+=("$gateway")
until grep -q ' ready ' "$folder/gateway.log"; do kill -0 "$gateway"; read -rt 0.1 <> <(:) || true; done
address() { grep ' ready ' "$folder/gateway.log" | sed -E "s/.* $1=([^ ]+).*/\\1/"; }

subcommand=$1
shift
of_calls=(--from +254700000001 --carrier "$peer" --carrier-records "$folder/carrier.log" --carrier-pid "$carrier"
    --api "http://$(address http)" --api-key-env BENCH_API_KEY)
[ "$subcommand" = calls ] || of_calls=()
"$bin/sautikit-loadtest" "$subcommand" --ws "$(address ws)" --workspace "$workspace" \
    --signing-key-env SAUTIKIT_SIP_TOKEN_SIGNING_KEY --gateway-pid "$gateway" \
    --admin "http://$(address admin)" --no-linger "${of_calls[@]}" "$@"
