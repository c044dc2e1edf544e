//! The process: what keeps it from starting, what a kill leaves behind, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use common::carrier::{Carrier, Script};
use common::gateway::{Gateway, SIGNING_KEY, Setup, Workspace};
use common::http::Ask;
use common::ledger;
use common::phone::{Call, Dial, Phone};
use common::{OURS, THEIRS, until};
use sautikit_core::time::UnixMicros;
use sautikit_net::client::ConnectError;
use serde_json::{Value, json};

/// Enough to hold three minutes for each of many calls.
const BALANCE: i64 = 100_000;

fn setup(carrier: &Carrier) -> (Setup, Workspace) {
    let setup = Setup::new().without_limits().trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(BALANCE, &[OURS]);
    (setup, workspace)
}

fn number(index: usize) -> String {
    format!("+254722{index:06}")
}

/// One line that says all of these words, and the exit code.
fn refuses(setup: &Setup, exit: i32, words: &[&str]) {
    let (code, lines) = setup.refused_start();
    assert_eq!(code, exit, "{lines:#?}");
    let told: Vec<_> = lines.iter().filter(|line| !line.contains(" INFO ")).collect();
    assert_eq!(told.len(), 1, "one line: {lines:#?}");
    for word in words {
        assert!(told[0].contains(word), "{word}: {told:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("ready http=") || line.contains(SIGNING_KEY)));
}

#[test]
fn a_missing_or_short_signing_key_stops_the_start_with_64_and_makes_nothing() {
    for (key, words) in [
        ("", ["SAUTIKIT_SIP_TOKEN_SIGNING_KEY", "is not set", "openssl rand"]),
        ("31 bytes are one byte too few..", ["SIGNING_KEY", "is 31 bytes", "openssl rand"]),
    ] {
        let setup = Setup::new().env("SAUTIKIT_SIP_TOKEN_SIGNING_KEY", key);
        refuses(&setup, 64, &words);
        assert!(!setup.place.database().exists(), "nothing is half started");
    }
}

#[test]
fn a_start_that_stops_says_so_in_json_where_the_log_is_json() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    for filter in ["info", "off"] {
        let setup = Setup::new().env("SAUTIKIT_WS_ADDR", &address).env("SAUTIKIT_LOG", filter);
        let (code, lines) = setup.env("SAUTIKIT_LOG_FORMAT", "json").refused_start();
        let lines: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = lines.last().unwrap();
        assert_eq!((code, &last["level"]), (1, &json!("ERROR")));
        assert!(last["message"].as_str().unwrap().contains("SAUTIKIT_WS_ADDR"), "{last}");
        assert!(last["timestamp"].as_str().unwrap().ends_with('Z'), "{last}");
    }
}

#[test]
fn a_taken_port_stops_the_start_with_one_line_that_names_the_setting() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = tcp.local_addr().unwrap().to_string();
    for name in ["SAUTIKIT_HTTP_ADDR", "SAUTIKIT_WS_ADDR", "SAUTIKIT_ADMIN_ADDR"] {
        let setup = Setup::new().trunk("a", "127.0.0.1:9".parse().unwrap(), &["+254"]);
        refuses(&setup.env(name, &taken), 1, &[name, &taken]);
    }
    let taken = udp.local_addr().unwrap().to_string();
    let setup = Setup::new().trunk("a", "127.0.0.1:9".parse().unwrap(), &["+254"]);
    refuses(&setup.env("SAUTIKIT_SIP_UDP_ADDR", &taken), 1, &["SAUTIKIT_SIP_UDP_ADDR", &taken]);
    let setup = Setup::new().embedded().trunk("a", "127.0.0.1:9".parse().unwrap(), &["+254"]);
    let port = taken.rsplit(':').next().unwrap();
    let setup = setup.env("SAUTIKIT_MEDIA_BROWSER_PORT", port);
    refuses(&setup, 1, &["SAUTIKIT_MEDIA_BROWSER_PORT", &taken, "free port"]);
    assert!(!setup.place.database().exists(), "nothing is half-started");
}

#[tokio::test]
async fn a_database_is_served_by_one_gateway_only() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let gateway = setup.start();
    let file = setup.place.database().display().to_string();
    refuses(&setup, 1, &[&file]);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    drop(gateway);
    let again = setup.start();
    assert_eq!(again.get(&workspace, "/v1/calls").await["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_database_that_cannot_be_opened_stops_the_start_with_one_line() {
    let trunk = "127.0.0.1:9".parse().unwrap();
    let setup = Setup::new().trunk("a", trunk, &["+254"]);
    std::fs::write(setup.place.database(), "this is no database".repeat(100)).unwrap();
    refuses(&setup, 1, &[&setup.place.database().display().to_string()]);
    let url = format!("sqlite://{}/below/a/file?mode=rwc", setup.place.database().display());
    refuses(&setup.env("DATABASE_URL", &url), 1, &["gateway.db"]);
    let setup = Setup::new().env("DATABASE_URL", "postgres://user:hunter2@db/x");
    refuses(&setup, 64, &["PostgreSQL"]);
}

/// The lines that a start logged about a limit of the node.
fn lines_about(limit: &str, setup: Setup) -> Vec<String> {
    let setup = setup.trunk("a", "127.0.0.1:9".parse().unwrap(), &["+254"]);
    let log = setup.start().log();
    let lines = log.lines().filter(|line| line.contains(&format!(" {limit} is ")));
    lines.map(ToOwned::to_owned).collect()
}

#[test]
fn a_limit_that_the_machine_does_not_carry_is_lowered_in_one_line_and_the_start_goes_on() {
    // A hundred pairs, of which some rest after their calls.
    let ports = || Setup::new().embedded().env("SAUTIKIT_MEDIA_PORTS", "30000-30199");
    // What is left of them beside the API's connections and what is open anyway.
    let files = || Setup::new().open_files(768 + 90);
    let calls = |most: u32| ports().limit("calls_max", most);
    let sessions = |most: u32| files().limit("sessions_max", most);
    let why = "open files or ports carry no more";
    for (limit, by_default, given) in [
        ("calls_max", ports(), [(91, calls(91)), (0, calls(0)), (90, calls(90))]),
        ("sessions_max", files(), [(91, sessions(91)), (0, sessions(0)), (90, sessions(90))]),
    ] {
        let told = lines_about(limit, by_default);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(" INFO "), "nobody asked for more: {told:?}");
        assert!(told[0].ends_with(&format!("{limit} is 90: {why}")), "{told:?}");
        for (most, setup) in given {
            let told = lines_about(limit, setup);
            let was = match most {
                90 => {
                    assert!(told.is_empty(), "it fits: {told:?}");
                    continue;
                }
                0 => "no limit".to_owned(),
                most => most.to_string(),
            };
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(" WARN "), "the operator asked for more: {told:?}");
            let lowered = format!("{limit} is lowered from {was} to 90: {why}");
            assert!(told[0].ends_with(&lowered), "{told:?}");
        }
    }
}

/// Calls that talk, each on its own phone, with the carrier's Call-ID of each.
async fn talking(
    gateway: &Gateway,
    workspace: &Workspace,
    carrier: &Carrier,
    count: usize,
) -> Vec<(Phone, Call, String)> {
    let mut calls = Vec::new();
    for index in 0..count {
        let mut phone = Phone::of(gateway, workspace).await;
        let call = phone.talk(&number(index)).await;
        let peer = carrier.invite_to(&number(index)).await.call_id().to_owned();
        carrier.request("ACK", &peer).await;
        calls.push((phone, call, peer));
    }
    calls
}

#[tokio::test]
async fn a_kill_under_calls_loses_no_debit_and_the_next_start_ends_them() {
    let carrier = Carrier::start(Script::Answer);
    carrier.on(&number(90), Script::Ring);
    let (setup, workspace) = setup(&carrier);
    let gateway = setup.start();
    let mut done = Phone::of(&gateway, &workspace).await;
    let mut ended = done.talk(&number(80)).await;
    done.hang_up(&mut ended).await;
    let before = gateway.ended_call(&workspace, &ended.id()).await;
    let calls = talking(&gateway, &workspace, &carrier, 20).await;
    let ringing = done.dial(&number(90)).await;
    done.progress(&ringing, 180).await;
    let place = &setup.place;
    // The sign of life is written every five seconds.
    until("a sign of life of each", async || {
        let lived = place.sql("SELECT 1 FROM open_holds WHERE talked_ms > 0");
        (lived.len() == 20).then_some(())
    })
    .await;
    gateway.kill();
    let left = place.sql("SELECT hex(call_id) id, talked_ms ms FROM open_holds");
    assert_eq!(left.len(), 20);

    let gateway = setup.start();
    for (_, call, peer) in &calls {
        let bye = carrier.request("BYE", peer).await.sip;
        let invite = carrier.heard().into_iter().find(|heard| heard.sip.asks("INVITE", peer));
        let invite = invite.unwrap().sip;
        assert_eq!(bye.tag("from"), invite.tag("from"), "the BYE is of the same dialog");
        assert!(bye.tag("to").is_some() && bye.cseq().0 > invite.cseq().0, "{bye}");
        let row = gateway.ended_call(&workspace, &call.id()).await;
        assert_eq!((&row["status"], &row["hangup_by"]), (&json!("completed"), &json!("recovered")));
        let id = call.id().replace('-', "").to_uppercase();
        let life = left.iter().find(|row| row["id"] == json!(id)).unwrap()["ms"].as_u64().unwrap();
        assert_eq!(row["duration_seconds"], json!(life.div_ceil(1000)), "to its last sign of life");
        assert_eq!(row["cost_minor"], json!(5 * life.div_ceil(1000)));
        let at = |name: &str| UnixMicros::parse_rfc3339(row[name].as_str().unwrap()).unwrap();
        let lived = at("answered_at").checked_add(Duration::from_millis(life));
        assert_eq!(Some(at("ended_at")), lived, "it ended when it was last seen alive");
        assert!(at("updated_at") > at("ended_at"), "and the restart wrote so");
    }
    let rows = gateway.ended_calls(&workspace, 22).await;
    let rang = rows.iter().find(|row| row["remote_e164"] == json!(number(90))).unwrap();
    assert_eq!((&rang["cost_minor"], &rang["answered_at"]), (&json!(0), &json!(null)));
    let sums = ledger::check(place);
    assert_eq!((sums.calls, sums.answered, sums.debits, sums.open_holds), (22, 21, 21, 0));
    let costs: i64 = rows.iter().map(|row| row["cost_minor"].as_i64().unwrap()).sum();
    assert_eq!(sums.debited, costs);
    assert_eq!(gateway.wallet(&workspace).await, (BALANCE - costs, 0));
    assert_eq!(gateway.ended_call(&workspace, &ended.id()).await, before, "what was over stays");

    // A second start finds nothing to do.
    gateway.kill();
    let byes = carrier.heard().iter().filter(|heard| heard.sip.method() == "BYE").count();
    let gateway = setup.start();
    assert_eq!(ledger::check(place), sums);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(&number(99)).await;
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    let after = carrier.heard().iter().filter(|heard| heard.sip.method() == "BYE").count();
    assert_eq!(after, byes + 1);
}

#[tokio::test]
async fn a_call_that_its_balance_no_longer_covers_does_not_keep_the_next_start_away() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let call = phone.talk(THEIRS).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    until("a sign of life", async || {
        let holds = setup.place.sql("SELECT talked_ms FROM holds WHERE talked_ms > 0");
        (!holds.is_empty()).then_some(())
    })
    .await;
    gateway.kill();
    let id = workspace.id.replace('-', "");
    setup.place.sql(&format!(
        "INSERT INTO ledger (workspace_id, seq, id, kind, amount_minor, balance_after_minor, \
         idempotency_key, created_at) SELECT x'{id}', 2, randomblob(16), 'adjust', \
         3 - balance_after_minor, 3, 'x', 0 FROM ledger WHERE workspace_id = x'{id}'"
    ));
    let gateway = setup.start();
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!((&row["hangup_by"], &row["cost_minor"]), (&json!("recovered"), &json!(3)));
    assert_eq!(gateway.wallet(&workspace).await, (0, 0));
    assert_eq!(gateway.metric("sautikit_unbilled_answered_calls", "").await, 1.0);
    carrier.request("BYE", &peer).await;
}

#[tokio::test]
async fn kills_in_the_middle_of_anything_leave_a_ledger_that_holds() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let mut dialled = 0;
    for round in 0..4 {
        let gateway = setup.start();
        let mut phone = Phone::of(&gateway, &workspace).await;
        let mut calls = Vec::new();
        for _ in 0..12 {
            calls.push(phone.dial(&number(dialled)).await);
            dialled += 1;
        }
        // A few are answered, some of these hang up; the others are wherever they are.
        for call in calls.iter_mut().take(3 * round) {
            phone.outcome(call).await;
        }
        for call in calls.iter_mut().take(round) {
            phone.send_in("BYE", call).await;
        }
        gateway.kill();
        ledger::check(&setup.place);
    }
    let gateway = setup.start();
    let sums = ledger::check(&setup.place);
    assert_eq!((sums.answered, sums.open_holds), (sums.debits, 0));
    assert!(sums.answered >= 18, "3, 6 and 9 were told that they talk: {sums:?}");
    // Whoever was answered and heard nothing since is hung up.
    let answered = setup.place.sql("SELECT 1 FROM calls WHERE answered_at IS NOT NULL");
    assert_eq!(answered.len(), sums.answered);
    assert_eq!(gateway.wallet(&workspace).await, (BALANCE - sums.debited, 0));
    let open = gateway.get(&workspace, "/v1/calls?status=answered,ringing").await;
    assert_eq!(open["data"], json!([]));
}

#[tokio::test]
async fn sigterm_lets_a_call_finish_and_takes_nothing_new() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let mut gateway = setup.start();
    let mut idle = Phone::of(&gateway, &workspace).await;
    let token = gateway.token(&workspace, json!(null)).await;
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    gateway.signal("-TERM");
    assert_eq!(idle.closed().await, (4503, "draining".to_owned()));
    let ready = Ask::get("/readyz").send(gateway.admin).await;
    assert_eq!(ready.status, 503);
    assert_eq!(Ask::get("/healthz").send(gateway.admin).await.status, 200, "it lives");

    let plain = Ask::get(&format!("/?token={token}")).send(gateway.ws).await;
    assert_eq!(plain.refusal(), (503, "gateway.draining".to_owned()));
    assert!(plain.header("retry-after").is_some());
    let error = Phone::open(&gateway, &token, &workspace.id).await.err().unwrap();
    let ConnectError::Refused { status: 503, code, retry_after: Some(1..) } = error else {
        panic!("{error:?}");
    };
    assert_eq!(code, "gateway.draining");
    let answer = phone.refused(Dial::to(&number(2))).await;
    assert_eq!(answer.refusal(), (503, "gateway.draining".to_owned()));
    assert!(answer.retry_after() >= Some(1));
    assert_eq!(carrier.calls(), 1);
    assert_eq!(phone.options().await.refusal(), (503, "gateway.draining".to_owned()));
    let id = call.invite.call_id().to_owned();
    phone.send_in("OPTIONS", &mut call).await;
    let alive = phone.find("OPTIONS", |sip| sip.answers("OPTIONS", &id)).await;
    assert_eq!(alive.status(), Some(200), "the call is served");
    assert_eq!(gateway.wallet(&workspace).await.0, BALANCE, "the API as well");

    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    assert_eq!(phone.closed().await.0, 4503);
    assert_eq!(gateway.exit_code(), 0);
    carrier.request("BYE", carrier.invite_to(THEIRS).await.call_id()).await;
    let sums = ledger::check(&setup.place);
    assert_eq!((sums.answered, sums.debits, sums.open_holds), (1, 1, 0));
}

#[tokio::test]
async fn when_the_grace_is_over_calls_are_hung_up_on_both_sides_and_posted() {
    let carrier = Carrier::start(Script::Answer);
    carrier.on(&number(90), Script::Ring);
    let (setup, workspace) = setup(&carrier);
    let setup = setup.env("SAUTIKIT_DRAIN_GRACE_SECONDS", "1");
    let mut gateway = setup.start();
    let mut calls = talking(&gateway, &workspace, &carrier, 5).await;
    let mut other = Phone::of(&gateway, &workspace).await;
    let mut ringing = other.dial(&number(90)).await;
    other.progress(&ringing, 180).await;
    gateway.signal("-TERM");
    for (phone, call, peer) in &mut calls {
        phone.hung_up(call).await;
        let bye = carrier.request("BYE", peer).await;
        assert!(carrier.talked(peer, bye.at) >= Duration::from_millis(900), "after the grace");
    }
    let answer = other.outcome(&mut ringing).await;
    assert_eq!(answer.refusal(), (503, "gateway.draining".to_owned()));
    assert!(answer.retry_after() >= Some(1), "{answer}");
    let peer = carrier.invite_to(&number(90)).await.call_id().to_owned();
    carrier.request("CANCEL", &peer).await;
    assert_eq!(gateway.exit_code(), 0);
    let sums = ledger::check(&setup.place);
    assert_eq!((sums.calls, sums.answered, sums.debits, sums.open_holds), (6, 5, 5, 0));
    let rows = setup.place.sql("SELECT DISTINCT hangup_by FROM calls");
    assert_eq!(rows, [json!({"hangup_by": "shutdown"})]);
    let rang = setup.place.sql("SELECT status, failure_code FROM calls WHERE answered_at IS NULL");
    assert_eq!(rang, [json!({"status": "failed", "failure_code": 503})]);
    assert!(!gateway.log().contains("without an end"), "{}", gateway.log());
    // Nothing is left for the next start.
    let byes = carrier.heard().iter().filter(|heard| heard.sip.method() == "BYE").count();
    drop(gateway);
    let _again = setup.start();
    assert_eq!(ledger::check(&setup.place), sums);
    assert_eq!(carrier.heard().iter().filter(|heard| heard.sip.method() == "BYE").count(), byes);
}

#[tokio::test]
async fn a_call_that_was_never_dialled_does_not_hold_up_the_end() {
    let carrier = Carrier::start(Script::Ring);
    let (setup, workspace) = setup(&carrier);
    let poor = setup.place.workspace(4, &["+254700000002"]);
    let mut gateway = setup.start();
    let mut broke = Phone::of(&gateway, &poor).await;
    assert_eq!(broke.refused(Dial::to(THEIRS)).await.status(), Some(402));
    let mut phone = Phone::of(&gateway, &workspace).await;
    // A CANCEL on the INVITE's heels mostly comes before the first packet to the carrier.
    for index in 0..10 {
        let mut call = phone.dial(&number(index)).await;
        phone.cancel(&call).await;
        assert_eq!(phone.outcome(&mut call).await.status(), Some(487));
    }
    assert!(carrier.calls() < 10, "some were taken back in time");
    let started = std::time::Instant::now();
    gateway.signal("-TERM");
    for phone in [&mut phone, &mut broke] {
        assert_eq!(phone.closed().await.0, 4503);
    }
    assert_eq!(gateway.exit_code(), 0);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_second_ctrl_c_does_not_wait_for_the_grace() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let mut gateway = setup.start();
    let mut idle = Phone::of(&gateway, &workspace).await;
    let mut calls = talking(&gateway, &workspace, &carrier, 1).await;
    gateway.signal("-INT");
    assert_eq!(idle.closed().await.0, 4503);
    gateway.signal("-INT");
    let (phone, call, peer) = &mut calls[0];
    phone.hung_up(call).await;
    carrier.request("BYE", peer).await;
    assert_eq!(gateway.exit_code(), 0);
    assert_eq!(ledger::check(&setup.place).debits, 1);
}

#[tokio::test]
async fn a_request_that_a_kill_cut_short_can_be_made_again() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    let path = format!("/v1/calls/{}/hangup", call.id());
    let ask = || Ask::post(&path).header("idempotency-key", "once");
    gateway.api(&workspace, ask()).await.good();
    // As the key stands while its first request runs.
    setup.place.sql("UPDATE idempotency SET answered_at = NULL, status = NULL, body = NULL");
    let meanwhile = gateway.api(&workspace, ask()).await;
    assert_eq!(meanwhile.refusal(), (409, "idempotency.in_progress".to_owned()));
    gateway.kill();
    let gateway = setup.start();
    let again = gateway.api(&workspace, ask()).await;
    assert_eq!(again.status, 200, "nothing runs any more: {:?}", again.body);
}

#[tokio::test]
async fn without_a_call_sigterm_ends_the_process_at_once() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let mut gateway = setup.start();
    let mut phones = Vec::new();
    for _ in 0..40 {
        phones.push(Phone::of(&gateway, &workspace).await);
    }
    let started = std::time::Instant::now();
    gateway.signal("-TERM");
    for phone in &mut phones {
        assert_eq!(phone.closed().await.0, 4503);
    }
    assert_eq!(gateway.exit_code(), 0);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_log_tells_of_each_call_in_one_line_and_names_nobody() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let setup = setup.env("SAUTIKIT_LOG", "info").env("SAUTIKIT_LOG_FORMAT", "text");
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut calls = Vec::new();
    for index in 0..3 {
        let mut call = phone.talk(&number(index)).await;
        phone.hang_up(&mut call).await;
        gateway.ended_call(&workspace, &call.id()).await;
        calls.push(call.id());
    }
    let log = gateway.log();
    let (_, after) = log.split_once("ready http=").unwrap();
    let lines: Vec<_> = after.lines().skip(1).collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, id) in lines.iter().zip(calls) {
        for word in [&id, "call ended", "status=completed", "by=caller", "cost_minor="] {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
}

#[tokio::test]
async fn even_a_trace_of_everything_holds_no_token_and_no_number() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let gateway = setup.env("SAUTIKIT_LOG", "trace,tungstenite::protocol=trace").start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let token = gateway.token(&workspace, Value::Null).await;
    gateway.place.keep_out_of_logs(&token);
    let renewed = phone.register(&format!("Authorization: Bearer {token}\r\n")).await;
    assert_eq!(renewed.status(), Some(200));
    let unclaimed = Dial { from: "+254799999999", ..Dial::to(THEIRS) };
    assert_eq!(phone.refused(unclaimed).await.status(), Some(403));
    let mut call = phone.talk(THEIRS).await;
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    let log = gateway.log();
    assert!(log.contains("DEBUG sautikit"), "what is ours is told in full:\n{log}");
    for secret in [&*token, THEIRS, OURS] {
        assert!(!log.contains(secret), "the log holds {}…", &secret[..6]);
    }
}

#[tokio::test]
async fn the_log_is_json_where_it_is_asked_for() {
    let carrier = Carrier::start(Script::Answer);
    let (setup, workspace) = setup(&carrier);
    let setup = setup.env("SAUTIKIT_LOG_FORMAT", "json").env("SAUTIKIT_LOG", "info");
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    phone.hang_up(&mut call).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    let log = gateway.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let told = ["timestamp", "level", "message", "target"].map(|name| line[name].is_string());
        assert_eq!(told, [true; 4], "{line}");
    }
    let ended = lines.last().unwrap();
    assert_eq!(ended["call"], json!(call.id()), "{ended}");
    assert_eq!((&ended["status"], &ended["cost_minor"]), (&json!("completed"), &row["cost_minor"]));
}
