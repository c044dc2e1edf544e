#!/usr/bin/env bash
# The same load through Debian's Kamailio as a mere WebSocket-to-UDP proxy: it registers in memory,
# relays with transactions, writes one line of its log for each INVITE and BYE; no tokens, no wallet.
# What it costs here is the yardstick that makes this machine's figures comparable with another's.
# Arguments are those of `sautikit-loadtest` as in measure.sh. Everything it starts, it ends.
set -euo pipefail
command -v kamailio >/dev/null ||
    { echo "kamailio is missing: apt-get install kamailio kamailio-websocket-modules" >&2; exit 1; }
source "$(dirname "$0")/bench.sh"
port=$(shuf -i 20000-29999 -n 1)

cat >"$folder/kamailio.cfg" <<CFG
#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
tcp_children=1
tcp_max_connections=30000
tcp_connection_lifetime=3605
tcp_accept_no_cl=yes
listen=udp:127.0.0.1:$port
listen=tcp:127.0.0.1:$port
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "xhttp.so"
loadmodule "websocket.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "nathelper.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "acc.so"
modparam("usrloc", "db_mode", 0)
modparam("acc", "log_level", 0)
modparam("acc", "log_flag", 1)
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("REGISTER")) { add_contact_alias(); save("location"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
    if (is_method("INVITE|BYE")) { setflag(1); }
    if (is_method("INVITE") && !has_totag()) { \$du = "sip:$peer"; }
    t_relay();
}
event_route[xhttp:request] {
    set_reply_close();
    set_reply_no_connect();
    if (\$hdr(Upgrade) =~ "websocket" && ws_handle_handshake()) { exit; }
    xhttp_reply("404", "Not Found", "", "");
}
CFG
setsid kamailio -DD -E -m 512 -M 16 -f "$folder/kamailio.cfg" -Y "$folder" >"$folder/kamailio.log" 2>&1 &
gateway=$!
pids+=("$gateway")
until curl -so "$folder/probe" "http://127.0.0.1:$port/"; do
    kill -0 "$gateway" || { cat "$folder/kamailio.log" >&2; exit 1; }
    read -rt 0.1 <> <(:) || true
done
export SIGNING_KEY=$(openssl rand -hex 32)
subcommand=$1
shift
of_calls=(--from +254700000001 --carrier-pid "$carrier")
[ "$subcommand" = calls ] || of_calls=()
"$bin/sautikit-loadtest" "$subcommand" --ws "127.0.0.1:$port" --workspace 00000000-0000-4000-8000-000000000001 \
    --signing-key-env SIGNING_KEY --gateway-pid "$gateway" "${of_calls[@]}" "$@" ||
    { tail -20 "$folder/kamailio.log" >&2; exit 1; }
