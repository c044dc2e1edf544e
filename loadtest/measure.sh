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
key=$(openssl rand -hex 32)
export SAUTIKIT_SIP_TOKEN_SIGNING_KEY=$key SAUTIKIT_CONFIG=$folder/gateway.toml SAUTIKIT_MEDIA=$media
export DATABASE_URL="sqlite://$folder/gateway.db?mode=rwc" SAUTIKIT_LOG=warn,sautikit_gateway=info
export SAUTIKIT_HTTP_ADDR=127.0.0.1:0 SAUTIKIT_WS_ADDR=127.0.0.1:0 SAUTIKIT_SIP_UDP_ADDR=127.0.0.1:0
export SAUTIKIT_ADMIN_ADDR=127.0.0.1:0 SAUTIKIT_MEDIA_BROWSER_PORT=0 SAUTIKIT_MEDIA_PORTS=20000-29999

made=$("$bin/sautikit-gateway" workspace create --name load --balance-minor 100000000 --number +254700000001)
workspace=$(sed -E 's/.*"workspace_id":"([^"]+)".*/\1/' <<<"$made")
MEASURE_API_KEY=$(sed -E 's/.*"api_key":"([^"]+)".*/\1/' <<<"$made")
export MEASURE_API_KEY
setsid "$bin/sautikit-gateway" serve 2>"$folder/gateway.log" &
gateway=$!
pids+=("$gateway")
until grep -q ' ready ' "$folder/gateway.log"; do kill -0 "$gateway"; read -rt 0.1 <> <(:) || true; done
address() { grep ' ready ' "$folder/gateway.log" | sed -E "s/.* $1=([^ ]+).*/\\1/"; }

subcommand=$1
shift
of_calls=(--from +254700000001 --carrier "$peer" --carrier-records "$folder/carrier.log" --carrier-pid "$carrier"
    --api "http://$(address http)" --api-key-env MEASURE_API_KEY)
[ "$subcommand" = calls ] || of_calls=()
"$bin/sautikit-loadtest" "$subcommand" --ws "$(address ws)" --workspace "$workspace" \
    --signing-key-env SAUTIKIT_SIP_TOKEN_SIGNING_KEY --gateway-pid "$gateway" \
    --admin "http://$(address admin)" --no-linger "${of_calls[@]}" "$@"
