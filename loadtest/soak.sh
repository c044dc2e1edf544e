#!/usr/bin/env bash
# A load for long on a gateway of its own, SIP only, to which something is done again and again: sockets
# lost, the carrier silent, the gateway killed with -9 and started again, its database locked. What must
# hold at the end is said in docs/loadtest.md. Other arguments go to `sautikit-loadtest soak`.
#   SOAK_SECONDS (1800)  SOAK_RATE (50, calls a second)  SOAK_HOLD (10, seconds that a call talks)
#   SOAK_FAULT_SECONDS (60, from one to the next; below 20 with --silence 5 --lock 2, say: a fault may
#   last half of that time at the most)
#   SOAK_SEED (random; it is printed, and the same one gives the same faults again)
#   SOAK_FOLDER (soak beside the build: report.json, soak.csv, gateway.log)
# Needs release builds (make release). Everything it starts, it ends.
set -euo pipefail
command -v sqlite3 >/dev/null || { echo "sqlite3 is missing: apt-get install sqlite3" >&2; exit 1; }
MEASURE_MEDIA=bypass
source "$(dirname "$0")/bench.sh"
report=${SOAK_FOLDER:-$bin/../soak}
mkdir -p "$report"
rm -f "$report"/{report.json,soak.csv,gateway.log}
read -r http ws sip admin < <(shuf -i 10000-19999 -n 4 | sed 's/^/127.0.0.1:/' | paste -sd ' ')
gateway_on "$http" "$ws" "$sip" "$admin"

# A killed generator can end neither its gateway nor the carrier's silence.
last() {
    kill -CONT "$carrier" 2>/dev/null || true
    end
    if [ -s "$report/gateway.pid" ]; then kill -9 "$(cat "$report/gateway.pid")" 2>/dev/null || true; fi
}
trap last EXIT
"$bin/sautikit-loadtest" soak --gateway "$bin/sautikit-gateway" --database "$folder/gateway.db" --folder "$report" \
    --ws "$ws" --api "http://$http" --api-key-env BENCH_API_KEY --admin "http://$admin" \
    --carrier "$peer" --carrier-records "$folder/carrier.log" --carrier-pid "$carrier" \
    --sessions 250 --hold "${SOAK_HOLD:-10}" --rate "${SOAK_RATE:-50}" --duration "${SOAK_SECONDS:-1800}" \
    --every "${SOAK_FAULT_SECONDS:-60}" ${SOAK_SEED:+--seed "$SOAK_SEED"} "$@" &
soak=$!
pids+=("$soak")
while wait "$soak" && status=0 || status=$?; kill -0 "$soak" 2>/dev/null; do :; done
[ ! -e "$report/report.json" ] || echo "report.json, soak.csv and gateway.log are in $(realpath "$report")"
exit "$status"
