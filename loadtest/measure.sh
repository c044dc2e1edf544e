#!/usr/bin/env bash
# Measures the gateway on this machine, SIP only: a private database, a simulated carrier, every
# [limits] entry off but the node's. Arguments go to `sautikit-loadtest calls`, for example:
#   loadtest/measure.sh --sessions 2000 --rate 200 --hold 5 --duration 20
#   loadtest/measure.sh --sessions 5000 --rate 0 --duration 20
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
export SAUTIKIT_SIP_TOKEN_SIGNING_KEY=$key SAUTIKIT_CONFIG=$folder/gateway.toml SAUTIKIT_MEDIA=bypass
export DATABASE_URL="sqlite://$folder/gateway.db?mode=rwc" SAUTIKIT_LOG=warn,sautikit_gateway=info
export SAUTIKIT_HTTP_ADDR=127.0.0.1:0 SAUTIKIT_WS_ADDR=127.0.0.1:0 SAUTIKIT_SIP_UDP_ADDR=127.0.0.1:0
export SAUTIKIT_ADMIN_ADDR=127.0.0.1:0

workspace=$("$bin/sautikit-gateway" workspace create --name load --balance-minor 100000000 \
    --number +254700000001 | sed -E 's/.*"workspace_id":"([^"]+)".*/\1/')
"$bin/sautikit-gateway" serve 2>"$folder/gateway.log" &
gateway=$!
pids+=("$gateway")
until grep -q ' ready ' "$folder/gateway.log"; do kill -0 "$gateway"; read -rt 0.1 <> <(:) || true; done
ws=$(grep ' ready ' "$folder/gateway.log" | sed -E 's/.* ws=([^ ]+).*/\1/')

"$bin/sautikit-loadtest" calls --ws "$ws" --workspace "$workspace" --from +254700000001 \
    --signing-key-env SAUTIKIT_SIP_TOKEN_SIGNING_KEY --gateway-pid "$gateway" --carrier-pid "$carrier" "$@"
