//! Money at the edge: many at once, running out, a database that is away.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::carrier::{Carrier, Script};
use common::gateway::{Gateway, Place, Setup, Workspace};
use common::http::Ask;
use common::ledger;
use common::phone::{Call, Dial, Phone};
use common::{OURS, THEIRS, passed, until};
use serde_json::{Value, json};

fn world(balance: i64, script: Script, setup: Setup) -> (Carrier, Gateway, Workspace) {
    let carrier = Carrier::start(script);
    let setup = setup.trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(balance, &[OURS]);
    (carrier, setup.start(), workspace)
}

fn number(index: usize) -> String {
    format!("+254722{index:06}")
}

#[tokio::test]
async fn a_kill_after_the_callers_socket_was_lost_bills_to_its_last_byte() {
    let carrier = Carrier::start(Script::Answer);
    let setup = Setup::new().trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let call = phone.talk(&number(1)).await;
    let answered = Instant::now();
    passed(answered, 2).await;
    phone.lose();
    let talked = answered.elapsed().as_secs() + 1;
    // Signs of life are five seconds apart.
    passed(answered, 12).await;
    gateway.kill();

    let gateway = setup.start();
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(row["hangup_by"], json!("recovered"));
    let seconds = row["duration_seconds"].as_u64().unwrap();
    assert!(seconds <= talked, "{talked} s: {row}");
    assert_eq!(row["cost_minor"], json!(5 * seconds));
}

#[tokio::test]
async fn who_picks_up_after_a_kill_is_hung_up_at_once() {
    let carrier = Carrier::start(Script::Ring);
    let setup = Setup::new().trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let call = phone.dial(&number(1)).await;
    phone.progress(&call, 180).await;
    let invite = carrier.invite_to(&number(1)).await;
    let sip = gateway.sip;
    gateway.kill();

    let gateway = setup.env("SAUTIKIT_SIP_UDP_ADDR", &sip.to_string()).start();
    let answered = Instant::now();
    carrier.respond(invite.call_id(), 200);
    carrier.request("ACK", invite.call_id()).await;
    carrier.request("BYE", invite.call_id()).await;
    assert!(answered.elapsed() < Duration::from_secs(4), "{:?}", answered.elapsed());
    assert_eq!(gateway.wallet(&workspace).await, (10_000, 0));
    assert_eq!(ledger::check(&gateway.place).debits, 0);
}

/// Sends `count` INVITEs from as many phones at once as there are, and gives the final statuses
/// of those that have one, and the calls that ring.
async fn rush(phones: &mut [Phone], count: usize) -> (Vec<u16>, Vec<(usize, Call)>) {
    let mut tried = Vec::new();
    for index in 0..count {
        let which = index % phones.len();
        tried.push((which, phones[which].dial(&number(index)).await));
    }
    let (mut refused, mut ringing) = (Vec::new(), Vec::new());
    for (which, mut call) in tried {
        let id = call.invite.call_id().to_owned();
        let said = phones[which]
            .find("ringing or a final answer", |sip| {
                sip.answers("INVITE", &id) && sip.status() > Some(100)
            })
            .await;
        if said.status() == Some(180) {
            ringing.push((which, call));
        } else {
            refused.push(said.status().unwrap());
            call.answer = Some(said);
        }
    }
    (refused, ringing)
}

#[tokio::test]
async fn two_hundred_attempts_at_once_on_money_for_three_ring_three_times() {
    let setup = Setup::new().without_limits();
    // A second costs 5, and is held before the first packet.
    let (carrier, gateway, workspace) = world(19, Script::Ring, setup);
    let mut phones = Vec::new();
    for _ in 0..8 {
        phones.push(Phone::of(&gateway, &workspace).await);
    }
    let (refused, ringing) = rush(&mut phones, 200).await;
    assert_eq!((refused.len(), ringing.len()), (197, 3));
    assert!(refused.iter().all(|status| *status == 402), "{refused:?}");
    assert_eq!(carrier.calls(), 3, "exactly three reached the carrier");
    assert_eq!(gateway.wallet(&workspace).await, (19, 15));
    for (which, mut call) in ringing {
        phones[which].cancel(&call).await;
        assert_eq!(phones[which].outcome(&mut call).await.status(), Some(487));
    }
    gateway.ended_calls(&workspace, 3).await;
    assert_eq!(gateway.wallet(&workspace).await, (19, 0), "all of it was let go");
    assert_eq!(ledger::check(&gateway.place).debits, 0);
    // What was let go can be spent, and a refused attempt left nothing behind.
    let (refused, ringing) = rush(&mut phones, 10).await;
    assert_eq!((refused.len(), ringing.len(), carrier.calls()), (7, 3, 6));
}

#[tokio::test]
async fn many_calls_on_little_money_never_overdraw_and_each_is_cut_on_its_last_paid_second() {
    let setup = Setup::new().without_limits();
    let (carrier, gateway, workspace) = world(63, Script::Answer, setup);
    let mut phones = Vec::new();
    for _ in 0..4 {
        phones.push(Phone::of(&gateway, &workspace).await);
    }
    let mut calls = Vec::new();
    for index in 0..40 {
        let which = index % phones.len();
        let call = phones[which].dial(&number(index)).await;
        calls.push((which, call));
    }
    let mut talking = Vec::new();
    for (which, mut call) in calls {
        match phones[which].outcome(&mut call).await.status() {
            Some(200) => talking.push((which, call)),
            status => assert_eq!(status, Some(402)),
        }
        gateway.wallet(&workspace).await;
    }
    assert!(!talking.is_empty() && talking.len() <= 12, "{} talk", talking.len());
    assert_eq!(carrier.calls(), talking.len());
    for (which, call) in &talking {
        phones[*which].hung_up(call).await;
    }
    let rows = gateway.ended_calls(&workspace, talking.len()).await;
    for row in &rows {
        assert_eq!(row["hangup_by"], json!("balance"), "{row}");
        assert_eq!(row["status"], json!("completed"), "{row}");
    }
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.answered, sums.debits), (talking.len(), talking.len()));
    assert_eq!(gateway.wallet(&workspace).await, (63 - sums.debited, 0));
    assert!(sums.debited >= 5 * i64::try_from(talking.len()).unwrap(), "{sums:?}");
}

#[tokio::test]
async fn a_call_is_cut_on_the_last_second_that_is_paid() {
    let (carrier, gateway, workspace) = world(13, Script::Answer, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let headers = "Allow: INVITE, ACK, BYE, CANCEL, INFO\r\n".to_owned();
    let mut call = phone.invite(Dial { headers, ..Dial::to(THEIRS) }).await;
    assert_eq!(phone.outcome(&mut call).await.status(), Some(200));
    let id = call.invite.call_id().to_owned();
    let warning = phone.find("a warning", |sip| sip.asks("INFO", &id)).await;
    assert_eq!(warning.must("content-type"), "application/vnd.sautikit+json");
    let told: Value = serde_json::from_str(&warning.body).unwrap();
    assert_eq!(told["warning"], "balance_low");
    assert!(told["seconds_left"].as_u64().is_some_and(|seconds| seconds <= 2), "{told}");
    phone.send(warning.response(200, None, "", "")).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    let told = phone.hung_up(&call).await;
    assert_eq!(told.must("reason"), "SIP;cause=402;text=\"The balance is used up\"");
    let bye = carrier.request("BYE", &peer).await;
    let talked = carrier.talked(&peer, bye.at);
    assert!((Duration::from_millis(1900)..Duration::from_secs(4)).contains(&talked), "{talked:?}");
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(row["hangup_by"], json!("balance"));
    assert_eq!((&row["duration_seconds"], &row["cost_minor"]), (&json!(2), &json!(10)));
    assert_eq!(gateway.wallet(&workspace).await, (3, 0));
    let kinds: Vec<_> =
        row["events"].as_array().unwrap().iter().map(|each| &each["kind"]).collect();
    assert_eq!(kinds, ["call.started", "call.answered", "call.balance_low", "call.completed"]);
    ledger::check(&gateway.place);
}

#[tokio::test]
async fn a_credit_from_the_command_line_rescues_a_call_that_was_warned() {
    // Eight seconds.
    let (carrier, gateway, workspace) = world(40, Script::Answer, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let headers = "Allow: INVITE, ACK, BYE, CANCEL, INFO\r\n".to_owned();
    let mut call = phone.invite(Dial { headers, ..Dial::to(THEIRS) }).await;
    assert_eq!(phone.outcome(&mut call).await.status(), Some(200));
    let started = Instant::now();
    let id = call.invite.call_id().to_owned();
    let warning = phone.find("a warning", |sip| sip.asks("INFO", &id)).await;
    phone.send(warning.response(200, None, "", "")).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    let mut command = gateway.place.command();
    command.args(["wallet", "credit", "--amount-minor", "1000", "--workspace", &workspace.id]);
    let credit = command.output().unwrap();
    assert!(credit.status.success(), "{}", String::from_utf8_lossy(&credit.stderr));
    assert_eq!(carrier.count("BYE", &peer), 0, "the credit came in time");
    until("ten seconds of talk", async || {
        assert_eq!(carrier.count("BYE", &peer), 0, "the call goes on");
        (started.elapsed() > Duration::from_secs(10)).then_some(())
    })
    .await;
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(row["hangup_by"], json!("caller"));
    assert!(row["duration_seconds"].as_i64() >= Some(10), "{row}");
    let cost = row["cost_minor"].as_i64().unwrap();
    assert_eq!(gateway.wallet(&workspace).await, (1_040 - cost, 0));
    ledger::check(&gateway.place);
}

#[tokio::test]
async fn a_call_whose_money_another_hand_took_ends_and_costs_what_is_left() {
    let (carrier, gateway, workspace) = world(100, Script::Answer, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let id = workspace.id.replace('-', "");
    gateway.place.sql(&format!(
        "INSERT INTO ledger (workspace_id, seq, id, kind, amount_minor, balance_after_minor, \
         idempotency_key, created_at) VALUES (x'{id}', 2, randomblob(16), 'adjust', -98, 2, 'x', 0)"
    ));
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    carrier.request("BYE", carrier.invite_to(THEIRS).await.call_id()).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!((&row["status"], &row["cost_minor"]), (&json!("completed"), &json!(2)));
    assert_eq!(gateway.metric("sautikit_unbilled_answered_calls", "").await, 1.0);
    until("the wallet to be empty", async || {
        (gateway.wallet(&workspace).await == (0, 0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_longest_call_is_ended_and_billed_exactly() {
    let setup = Setup::new().limit("call_seconds_max", 2);
    let (carrier, gateway, workspace) = world(10_000, Script::Answer, setup);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let call = phone.talk(THEIRS).await;
    phone.hung_up(&call).await;
    carrier.request("BYE", carrier.invite_to(THEIRS).await.call_id()).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(row["hangup_by"], json!("max_duration"));
    assert_eq!((&row["duration_seconds"], &row["cost_minor"]), (&json!(2), &json!(10)));
    ledger::check(&gateway.place);
}

#[tokio::test]
async fn whole_minutes_are_held_and_billed_where_the_rate_says_so() {
    let setup = Setup::new().rate("+254", 300, 60).rate("+25472", 250, 60);
    let (_carrier, gateway, workspace) = world(600, Script::Answer, setup);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.dial(THEIRS).await;
    let answer = phone.outcome(&mut call).await;
    assert_eq!(answer.must("x-sautikit-rate"), "250;per=60;increment=60;currency=KES");
    phone.hang_up(&mut call).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(row["cost_minor"], json!(250), "a second of the longer prefix's minute");
    // 350 are left: the second call pays its minute, a third one cannot.
    let mut call = phone.talk("+254110000001").await;
    let answer = phone.refused(Dial::to("+254110000002")).await;
    assert_eq!(answer.refusal(), (402, "wallet.insufficient_funds".to_owned()));
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(gateway.wallet(&workspace).await, (50, 0));
    ledger::check(&gateway.place);
}

#[tokio::test]
async fn two_tenants_spend_their_own_money() {
    let setup = Setup::new();
    let other = setup.place.workspace(10_000, &["+254700000002"]);
    let (_carrier, gateway, workspace) = world(10_000, Script::Answer, setup);
    let (mut one, mut two) =
        (Phone::of(&gateway, &workspace).await, Phone::of(&gateway, &other).await);
    let (mut first, mut second) = (one.talk(&number(1)).await, two.talk(&number(2)).await);
    one.hang_up(&mut first).await;
    two.hang_up(&mut second).await;
    for (tenant, call) in [(&workspace, &first), (&other, &second)] {
        let row = gateway.ended_call(tenant, &call.id()).await;
        assert_eq!(row["workspace_id"], json!(tenant.id));
        let statement = gateway.get(tenant, "/v1/wallet/ledger").await;
        let entries = statement["data"].as_array().unwrap();
        let debits: Vec<_> = entries.iter().filter(|entry| entry["kind"] == "debit").collect();
        assert_eq!(debits.len(), 1);
        assert_eq!(debits[0]["call_id"], json!(call.id()));
    }
    ledger::check(&gateway.place);
}

#[tokio::test]
async fn the_ledger_lets_no_entry_be_changed_or_taken_away() {
    let (_carrier, gateway, workspace) = world(10_000, Script::Answer, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    let before = ledger::check(&gateway.place);
    for statement in [
        "UPDATE ledger SET amount_minor = 0",
        "DELETE FROM ledger",
        "INSERT OR REPLACE INTO ledger SELECT * FROM ledger WHERE kind = 'debit'",
        "INSERT INTO ledger SELECT workspace_id, seq + 1, randomblob(16), kind, amount_minor, \
         balance_after_minor + amount_minor, call_id, idempotency_key, description, created_at \
         FROM ledger WHERE kind = 'debit'",
    ] {
        let output = gateway.place.sqlite(&[statement]);
        assert!(!output.stderr.is_empty(), "{statement} was let through");
    }
    assert_eq!(ledger::check(&gateway.place), before);
}

#[tokio::test]
async fn the_judge_of_the_ledger_finds_what_is_wrong() {
    let (_carrier, gateway, workspace) = world(10_000, Script::Answer, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    ledger::check(&gateway.place);
    for (wrong, right) in [
        ("cost_minor = cost_minor + 1", "cost_minor = cost_minor - 1"),
        ("duration_seconds = duration_seconds + 1", "duration_seconds = duration_seconds - 1"),
        ("status = 'failed'", "status = 'completed'"),
        ("answered_at = NULL", "answered_at = started_at"),
    ] {
        gateway.place.sql(&format!("UPDATE calls SET {wrong}"));
        let judged = std::panic::catch_unwind(|| ledger::check(&gateway.place));
        assert!(judged.is_err(), "{wrong}");
        gateway.place.sql(&format!("UPDATE calls SET {right}"));
    }
    ledger::check(&gateway.place);
}

/// Another process that holds the database's only write lock until this is dropped.
struct Lock(Child);

impl Lock {
    async fn take(place: &Place) -> Self {
        let taken = place.file("locked");
        let child = Command::new("sqlite3").arg(place.database()).stdin(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        writeln!(stdin, ".timeout 5000\nBEGIN IMMEDIATE;\n.shell touch {}", taken.display())
            .unwrap();
        until("the lock", async || taken.exists().then_some(())).await;
        std::fs::remove_file(taken).unwrap();
        Self(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[tokio::test]
async fn while_the_database_is_locked_no_call_is_free_and_no_debit_is_lost() {
    let (carrier, gateway, workspace) = world(10_000, Script::Answer, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut before = phone.talk(&number(1)).await;
    assert_eq!(Ask::get("/readyz").send(gateway.admin).await.status, 200);
    let lock = Lock::take(&gateway.place).await;
    let locked = Instant::now();
    // Nobody knows yet that the answer of this one cannot be committed.
    let answer = phone.refused(Dial::to(&number(2))).await;
    assert_eq!(answer.refusal(), (503, "wallet.unavailable".to_owned()));
    assert!(answer.retry_after() >= Some(1));
    let peer = carrier.invite_to(&number(2)).await.call_id().to_owned();
    carrier.request("ACK", &peer).await;
    carrier.request("BYE", &peer).await;
    // Now it is known: the next one rings nowhere, and no new traffic is wanted.
    let answer = phone.refused(Dial::to(&number(3))).await;
    assert_eq!(answer.refusal(), (503, "wallet.unavailable".to_owned()));
    assert_eq!(carrier.calls(), 2);
    assert_eq!(Ask::get("/readyz").send(gateway.admin).await.status, 503);
    // The end of a call does not wait for the disk; its debit does.
    assert_eq!(phone.hang_up(&mut before).await.status(), Some(200));
    carrier.request("BYE", carrier.invite_to(&number(1)).await.call_id()).await;
    assert_eq!(phone.options().await.status(), Some(200), "the session goes on");
    until("ten seconds of the lock", async || {
        assert_eq!(Ask::get("/readyz").send(gateway.admin).await.status, 503);
        (locked.elapsed() > Duration::from_secs(10)).then_some(())
    })
    .await;
    let answer = phone.refused(Dial::to(&number(5))).await;
    assert_eq!(answer.refusal(), (503, "wallet.unavailable".to_owned()));
    assert_eq!(carrier.calls(), 2);
    assert_eq!(ledger::check(&gateway.place).debits, 0, "what is owed is not written yet");
    drop(lock);
    let row = gateway.ended_call(&workspace, &before.id()).await;
    assert_eq!(row["status"], json!("completed"));
    let rows = gateway.ended_calls(&workspace, 2).await;
    assert_eq!((&rows[0]["status"], &rows[0]["cost_minor"]), (&json!("failed"), &json!(0)));
    until("the gateway to be ready", async || {
        (Ask::get("/readyz").send(gateway.admin).await.status == 200).then_some(())
    })
    .await;
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.answered, sums.debits, sums.open_holds), (1, 1, 0));
    let cost = row["cost_minor"].as_i64().unwrap();
    until("the wallet to let go of all", async || {
        (gateway.wallet(&workspace).await == (10_000 - cost, 0)).then_some(())
    })
    .await;
    let mut after = phone.talk(&number(4)).await;
    phone.hang_up(&mut after).await;
    gateway.ended_call(&workspace, &after.id()).await;
    assert_eq!(ledger::check(&gateway.place).debits, 2);
}

#[tokio::test]
async fn a_kill_while_the_database_is_locked_makes_no_call_free() {
    let carrier = Carrier::start(Script::Answer);
    let setup = Setup::new().trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut over = phone.talk(&number(1)).await;
    let live = phone.talk(&number(2)).await;
    let answered = Instant::now();
    let lock = Lock::take(&setup.place).await;
    let journal = setup.place.database().with_added_extension("outage");
    let entries = || std::fs::read_to_string(&journal).map_or(0, |text| text.matches('[').count());
    let live_hex = live.id().replace('-', "");
    let signs_of_live = || {
        let text = std::fs::read_to_string(&journal).unwrap_or_default();
        text.matches(&live_hex).count()
    };
    until("a sign of life that the database does not take", async || (entries() > 0).then_some(()))
        .await;
    let talked = answered.elapsed().as_secs();
    let before = entries();
    assert_eq!(phone.hang_up(&mut over).await.status(), Some(200));
    let over_talked = answered.elapsed().as_secs() + 1;
    until("the end that the database does not take", async || (entries() > before).then_some(()))
        .await;
    // The sign of life of those that still live leaves it as it is.
    let signs = signs_of_live();
    until("the next sign of life", async || (signs_of_live() > signs).then_some(())).await;
    gateway.kill();
    drop(lock);

    let gateway = setup.start();
    for call in [&over, &live] {
        let row = gateway.ended_call(&workspace, &call.id()).await;
        assert_eq!((&row["status"], &row["hangup_by"]), (&json!("completed"), &json!("recovered")));
        let seconds = row["duration_seconds"].as_u64().unwrap();
        assert!(seconds >= talked.min(4) && seconds <= answered.elapsed().as_secs() + 1, "{row}");
        assert!(call.id() != over.id() || seconds <= over_talked, "{over_talked} s: {row}");
        assert_eq!(row["cost_minor"], json!(5 * seconds));
    }
    let sums = ledger::check(&setup.place);
    assert_eq!((sums.answered, sums.debits, sums.open_holds), (2, 2, 0));
    assert!(!journal.exists());
}
