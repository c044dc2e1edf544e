//! Calls between a browser and a carrier over real sockets: how they begin, end and are billed.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::carrier::{Carrier, Script};
use common::gateway::{Gateway, Setup, Workspace};
use common::http::Ask;
use common::ledger;
use common::phone::{Dial, Phone};
use common::sip::{Sip, sdp};
use common::{OURS, THEIRS, until};
use serde_json::{Value, json};

/// A carrier, a gateway and a workspace with KES 100.
fn world(script: Script) -> (Carrier, Gateway, Workspace) {
    world_of(script, Setup::new())
}

fn world_of(script: Script, setup: Setup) -> (Carrier, Gateway, Workspace) {
    let carrier = Carrier::start(script);
    let setup = setup.trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    (carrier, setup.start(), workspace)
}

fn is(call: &Value, wanted: &[(&str, Value)]) {
    for (name, value) in wanted {
        assert_eq!(call[name], *value, "{name} of {call}");
    }
}

/// What the ledger says of the workspace's one call.
fn one_debit(gateway: &Gateway, call: &Value) {
    let sums = ledger::check(&gateway.place);
    let cost = call["cost_minor"].as_i64().unwrap();
    assert_eq!((sums.calls, sums.answered, sums.debits), (1, 1, 1));
    assert_eq!((sums.debited, sums.open_holds), (cost, 0));
}

fn no_debit(gateway: &Gateway) {
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.calls, sums.answered, sums.debits, sums.open_holds), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_call_that_the_caller_ends_is_recorded_and_billed_by_the_second() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.dial(THEIRS).await;
    let ringing = phone.progress(&call, 180).await;
    let answer = phone.outcome(&mut call).await;
    assert_eq!(answer.status(), Some(200), "{answer}");
    assert_eq!(answer.tag("to"), ringing.tag("to"), "one dialog from the first ring on");
    assert_eq!(answer.must("x-sautikit-rate"), "300;per=60;increment=1;currency=KES");
    assert!(answer.body.contains("m=audio 40000 "), "the carrier's own answer: {}", answer.body);

    let invite = carrier.invite_to(THEIRS).await;
    let peer = invite.call_id().to_owned();
    carrier.request("ACK", &peer).await;
    let (balance, held) = gateway.wallet(&workspace).await;
    assert!(balance == 10_000 && held >= 5, "{held} is held while the call talks");
    let path = format!("/v1/calls/{}", call.id());
    let live = &gateway.get(&workspace, &path).await["call"];
    is(live, &[("status", json!("answered")), ("ended_at", Value::Null), ("cost_minor", json!(0))]);

    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    let bye = carrier.request("BYE", &peer).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    is(
        &row,
        &[
            ("status", json!("completed")),
            ("hangup_by", json!("caller")),
            ("hangup_cause", json!("normal_clearing")),
            ("failure_code", Value::Null),
            ("direction", json!("outbound")),
            ("origin", json!("browser")),
            ("local_e164", json!(OURS)),
            ("remote_e164", json!(THEIRS)),
            ("trunk", json!("carrier")),
            ("workspace_id", json!(workspace.id)),
            ("session_id", json!(call.id())),
            ("rate_per_minute_minor", json!(300)),
            ("cost_currency", json!("KES")),
        ],
    );
    let seconds = row["duration_seconds"].as_u64().unwrap();
    assert_eq!(row["cost_minor"], json!(5 * seconds));
    let seen = carrier.talked(&peer, bye.at).as_secs_f64();
    let seconds = f64::from(u32::try_from(seconds).unwrap());
    assert!((seen - 1.0..=seen + 1.0).contains(&seconds), "{seconds} s billed, {seen} s talked");
    let kinds: Vec<_> =
        row["events"].as_array().unwrap().iter().map(|each| &each["kind"]).collect();
    assert_eq!(kinds, ["call.started", "call.answered", "call.completed"]);

    let cost = row["cost_minor"].as_i64().unwrap();
    assert_eq!(gateway.wallet(&workspace).await, (10_000 - cost, 0));
    let statement = gateway.get(&workspace, "/v1/wallet/ledger").await;
    let newest = &statement["data"][0];
    is(
        newest,
        &[
            ("kind", json!("debit")),
            ("amount_minor", json!(-cost)),
            ("balance_after_minor", json!(10_000 - cost)),
            ("call_id", json!(call.id())),
        ],
    );
    one_debit(&gateway, &row);
}

#[tokio::test]
async fn the_carriers_invite_says_who_calls_and_nothing_that_the_browser_made_up() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let headers = "P-Asserted-Identity: <sip:+254799999999@evil.example>\r\n\
        Remote-Party-ID: <sip:+254799999999@evil.example>\r\n\
        Diversion: <sip:+254799999999@evil.example>\r\nIdentity: forged\r\n\
        Route: <sip:evil.example;lr>\r\nX-Anything: forged\r\n";
    let uri = format!("sip:{THEIRS}@evil.example;maddr=192.0.2.1");
    let mut call =
        phone.invite(Dial { uri, headers: headers.to_owned(), ..Dial::to(THEIRS) }).await;
    assert_eq!(phone.outcome(&mut call).await.status(), Some(200));
    let invite = carrier.invite_to(THEIRS).await;
    let text = invite.to_string();
    assert!(
        !text.contains("evil") && !text.contains("forged") && !text.contains("99999"),
        "{text}"
    );
    assert!(!text.contains(&workspace.id) && !text.contains("192.0.2.1"), "{text}");
    assert_eq!(invite.uri(), format!("sip:{THEIRS}@{};user=phone", carrier.address()));
    assert!(invite.must("from").contains(&format!("sip:{OURS}@{}", gateway.sip)), "{text}");
    assert!(invite.must("p-asserted-identity").contains(OURS), "{text}");
    assert_eq!(invite.body, sdp("browser", 50_000), "bypass hands the offer through");
    phone.hang_up(&mut call).await;
}

#[tokio::test]
async fn a_call_that_the_carrier_ends_is_billed_and_the_browser_hears_the_end() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let call = phone.talk(THEIRS).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    carrier.request("ACK", &peer).await;
    let bye = carrier.bye(&peer);
    assert_eq!(carrier.answer_to("BYE", &peer).await.status(), Some(200));
    phone.hung_up(&call).await;
    // The same BYE once more is answered once more, and is no second end.
    carrier.send(bye.as_bytes(), gateway.sip);
    carrier
        .wait("a second answer to the BYE", |heard| {
            let answers = heard.iter().filter(|heard| heard.sip.answers("BYE", &peer));
            (answers.count() == 2).then_some(())
        })
        .await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    is(&row, &[("status", json!("completed")), ("hangup_by", json!("callee"))]);
    one_debit(&gateway, &row);
}

#[tokio::test]
async fn a_call_taken_back_while_it_rings_costs_nothing() {
    let (carrier, gateway, workspace) = world(Script::Ring);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.dial(THEIRS).await;
    phone.progress(&call, 180).await;
    assert_eq!(gateway.wallet(&workspace).await, (10_000, 5), "one second is held");
    assert_eq!(phone.cancel(&call).await.status(), Some(200));
    assert_eq!(phone.outcome(&mut call).await.status(), Some(487));
    let peer = carrier.invite_to(THEIRS).await;
    let cancel = carrier.request("CANCEL", peer.call_id()).await.sip;
    assert_eq!(cancel.branch(), peer.branch(), "RFC 3261 section 9.1");
    carrier.request("ACK", peer.call_id()).await;
    let calls = gateway.ended_calls(&workspace, 1).await;
    is(
        &calls[0],
        &[
            ("status", json!("canceled")),
            ("hangup_by", json!("caller")),
            ("duration_seconds", json!(0)),
            ("answered_at", Value::Null),
        ],
    );
    assert_eq!(gateway.wallet(&workspace).await, (10_000, 0));
    no_debit(&gateway);
}

#[tokio::test]
async fn a_carriers_refusal_is_passed_on_and_named() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let cases = [
        (486, 486, "busy", "user_busy"),
        (600, 600, "busy", "user_busy"),
        (480, 480, "no_answer", "no_user_response"),
        (603, 603, "failed", "call_rejected"),
        (404, 404, "failed", "unallocated_number"),
        (503, 503, "failed", "normal_temporary_failure"),
        (407, 403, "failed", "call_rejected"),
        (302, 480, "failed", "interworking"),
    ];
    for (count, (status, passed, name, cause)) in cases.into_iter().enumerate() {
        let number = format!("+2547220000{count:02}");
        carrier.on(&number, Script::Refuse(status));
        let answer = phone.refused(Dial::to(&number)).await;
        assert_eq!(answer.status(), Some(passed));
        assert_eq!(answer.header("x-sautikit-error"), None, "it is the carrier's word: {answer}");
        assert_eq!(answer.header("www-authenticate").or(answer.header("proxy-authenticate")), None);
        let peer = carrier.invite_to(&number).await.call_id().to_owned();
        carrier.request("ACK", &peer).await;
        let row = gateway.ended_calls(&workspace, count + 1).await.remove(0);
        is(
            &row,
            &[
                ("status", json!(name)),
                ("hangup_cause", json!(cause)),
                ("hangup_by", json!("callee")),
            ],
        );
        let code = if name == "failed" { json!(status) } else { Value::Null };
        is(&row, &[("failure_code", code), ("cost_minor", json!(0))]);
    }
    assert_eq!(gateway.wallet(&workspace).await, (10_000, 0));
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.calls, sums.answered, sums.debits), (cases.len(), 0, 0));
}

#[tokio::test]
async fn a_silent_carrier_is_left_for_the_next_one_after_four_seconds() {
    let (silent, next) = (Carrier::start(Script::Silent), Carrier::start(Script::Answer));
    let setup = Setup::new().trunk("first", silent.address(), &["+254"]);
    let setup = setup.trunk("second", next.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let started = Instant::now();
    let mut call = phone.talk(THEIRS).await;
    let waited = started.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(8)).contains(&waited), "{waited:?}");
    let peer = next.invite_to(THEIRS).await;
    assert_ne!(peer.call_id(), silent.invite_to(THEIRS).await.call_id());
    // The first carrier wakes up too late: it is told that nobody wants it any more.
    let late = silent.invite_to(THEIRS).await.call_id().to_owned();
    silent.respond(&late, 200);
    silent.request("ACK", &late).await;
    silent.request("BYE", &late).await;
    phone.hang_up(&mut call).await;
    next.request("BYE", peer.call_id()).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    is(&row, &[("trunk", json!("second")), ("status", json!("completed"))]);
    one_debit(&gateway, &row);
}

#[tokio::test]
async fn a_carrier_that_fails_at_once_is_left_at_once_and_one_that_rings_is_not() {
    let (first, second) = (Carrier::start(Script::Refuse(503)), Carrier::start(Script::Answer));
    let setup = Setup::new().trunk("first", first.address(), &["+254"]);
    let setup = setup.trunk("second", second.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    phone.hang_up(&mut call).await;
    is(&gateway.ended_call(&workspace, &call.id()).await, &[("trunk", json!("second"))]);

    let other = "+254722000002";
    first.on(other, Script::Ring);
    let mut call = phone.dial(other).await;
    phone.progress(&call, 180).await;
    let peer = first.invite_to(other).await.call_id().to_owned();
    first.respond(&peer, 503);
    assert_eq!(phone.outcome(&mut call).await.status(), Some(503));
    assert_eq!(second.calls(), 1, "what rang once does not ring elsewhere");
    assert_eq!(ledger::check(&gateway.place).debits, 1);
}

#[tokio::test]
async fn a_200_before_the_180_is_an_answer() {
    let (carrier, gateway, workspace) = world(Script::AnswerBeforeRinging);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    carrier.request("ACK", &peer).await;
    let ringing = |sip: &Sip| sip.status() == Some(180);
    assert!(!phone.has(ringing).await, "nothing rings after the answer");
    phone.hang_up(&mut call).await;
    one_debit(&gateway, &gateway.ended_call(&workspace, &call.id()).await);
}

#[tokio::test]
async fn a_repeated_200_is_acknowledged_again_and_is_no_second_answer() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    carrier.request("ACK", &peer).await;
    carrier.repeat(&peer);
    carrier.repeat(&peer);
    let acks = carrier.requests("ACK", &peer, 3).await;
    assert_eq!(acks[0].sip.cseq(), (carrier.invite_to(THEIRS).await.cseq().0, "ACK"));
    let id = call.invite.call_id().to_owned();
    let answered = |sip: &Sip| sip.answers("INVITE", &id) && sip.status() == Some(200);
    assert!(!phone.has(answered).await, "the browser was told once");
    phone.hang_up(&mut call).await;
    one_debit(&gateway, &gateway.ended_call(&workspace, &call.id()).await);
}

#[tokio::test]
async fn a_repeated_invite_of_the_browser_is_no_second_call() {
    let (carrier, gateway, workspace) = world(Script::Ring);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let text = phone.invite_request(&Dial::to(THEIRS));
    let id = Sip::parse(text.as_bytes()).call_id().to_owned();
    phone.send(text.clone()).await;
    phone.find("ringing", |sip| sip.answers("INVITE", &id) && sip.status() == Some(180)).await;
    phone.send(text).await;
    phone
        .find("ringing again", |sip| sip.answers("INVITE", &id) && sip.status() == Some(180))
        .await;
    assert_eq!(carrier.calls(), 1);
    assert_eq!(gateway.wallet(&workspace).await, (10_000, 5));
}

#[tokio::test]
async fn byes_of_both_sides_at_once_debit_once() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    for round in 1..=5 {
        let mut call = phone.talk(&format!("+2547220000{round:02}")).await;
        let peer = carrier.invite_to(&format!("+2547220000{round:02}")).await.call_id().to_owned();
        carrier.request("ACK", &peer).await;
        if round % 2 == 0 {
            carrier.bye(&peer);
        }
        phone.send_in("BYE", &mut call).await;
        if round % 2 == 1 {
            carrier.bye(&peer);
        }
        let id = call.invite.call_id().to_owned();
        let answer = phone.find("the answer to a BYE", |sip| sip.answers("BYE", &id)).await;
        assert!(matches!(answer.status(), Some(200 | 481)), "{answer}");
        let answer = carrier.answer_to("BYE", &peer).await;
        assert!(matches!(answer.status(), Some(200 | 481)), "{answer}");
        gateway.ended_call(&workspace, &call.id()).await;
        let sums = ledger::check(&gateway.place);
        assert_eq!((sums.answered, sums.debits, sums.open_holds), (round, round, 0));
    }
}

#[tokio::test]
async fn a_bye_that_the_carrier_does_not_answer_is_repeated_and_the_call_is_over_all_the_same() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    carrier.stop_answering();
    phone.hang_up(&mut call).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    one_debit(&gateway, &row);
    let byes = carrier.requests("BYE", &peer, 3).await;
    assert_eq!(byes[0].sip, byes[2].sip, "it is the same BYE");
}

#[tokio::test]
async fn a_page_that_is_closed_ends_its_calls_within_two_seconds() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let ringing = "+254722000002";
    carrier.on(ringing, Script::Ring);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let talking = phone.talk(THEIRS).await;
    let early = phone.dial(ringing).await;
    phone.progress(&early, 180).await;
    let started = Instant::now();
    phone.close(1000).await;
    let bye = carrier.request("BYE", carrier.invite_to(THEIRS).await.call_id()).await;
    let cancel = carrier.request("CANCEL", carrier.invite_to(ringing).await.call_id()).await;
    for heard in [bye, cancel] {
        assert!(heard.at.duration_since(started) < Duration::from_secs(2));
    }
    let rows = gateway.ended_calls(&workspace, 2).await;
    is(&rows[0], &[("status", json!("canceled")), ("hangup_by", json!("caller"))]);
    is(&rows[1], &[("id", json!(talking.id())), ("status", json!("completed"))]);
    assert_eq!(ledger::check(&gateway.place).debits, 1);
}

#[tokio::test]
async fn a_call_is_hung_up_over_http() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let call = phone.talk(THEIRS).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    let path = format!("/v1/calls/{}/hangup", call.id());
    let wanted = json!({"call_id": call.id(), "status": "hung_up"});
    assert_eq!(gateway.api(&workspace, Ask::post(&path)).await.good(), wanted);
    phone.hung_up(&call).await;
    carrier.request("BYE", &peer).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    is(&row, &[("status", json!("completed")), ("hangup_by", json!("api"))]);
    let again = gateway.api(&workspace, Ask::post(&path)).await.good();
    assert_eq!(again, wanted, "an ended call is hung up");
    one_debit(&gateway, &row);
}

#[tokio::test]
async fn what_a_carrier_asks_outside_a_call_is_answered_and_starts_nothing() {
    let (carrier, gateway, _workspace) = world(Script::Answer);
    let invite = |number: &str, id: &str| {
        let here = carrier.address();
        format!(
            "INVITE sip:{number}@{} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{id}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+254733000001@{here}>;tag=1\r\nTo: <sip:{number}@x>\r\n\
             Call-ID: {id}\r\nCSeq: 1 INVITE\r\nContact: <sip:{here}>\r\nContent-Length: 0\r\n\r\n",
            gateway.sip
        )
    };
    for (number, id, status) in [(OURS, "known", 480), ("+254700000099", "unknown", 404)] {
        carrier.send(invite(number, id).as_bytes(), gateway.sip);
        assert_eq!(carrier.answer_to("INVITE", id).await.status(), Some(status), "{number}");
    }
    let asked = [
        ("OPTIONS", 200),
        ("BYE", 481),
        ("CANCEL", 481),
        ("INFO", 481),
        ("REFER", 405),
        ("MESSAGE", 405),
        ("SUBSCRIBE", 405),
        ("REGISTER", 405),
    ];
    for (method, status) in asked {
        let request = invite(OURS, method).replace("INVITE", method);
        carrier.send(request.as_bytes(), gateway.sip);
        assert_eq!(carrier.answer_to(method, method).await.status(), Some(status), "{method}");
    }
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.calls, sums.debits), (0, 0));
}

#[tokio::test]
async fn a_stranger_is_not_heard_even_if_it_knows_the_dialog() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let invite = carrier.invite_to(THEIRS).await;
    let peer = invite.call_id().to_owned();
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    let options = |id: &str| {
        format!(
            "OPTIONS sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n",
            gateway.sip,
            carrier.address()
        )
    };
    let refusal = invite.response(603, Some("forged"), "", "");
    for bytes in [&*carrier.forged_bye(&peer), &options("stranger"), &refusal, "noise"] {
        stranger.send_to(bytes.as_bytes(), gateway.sip).unwrap();
    }
    // The carrier's own question comes after all that, and its answer tells that all was read.
    carrier.send(options("carrier").as_bytes(), gateway.sip);
    assert_eq!(carrier.answer_to("OPTIONS", "carrier").await.status(), Some(200));
    assert_eq!(gateway.metric("sautikit_sip_strangers_total", "").await, 4.0);
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv(&mut [0; 2048]).is_err(), "a stranger is not answered");
    assert!(!phone.has(|sip| sip.method() == "BYE").await, "the call goes on");
    assert!(carrier.heard().iter().all(|heard| !heard.sip.answers("OPTIONS", "stranger")));
    phone.hang_up(&mut call).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    is(&row, &[("hangup_by", json!("caller"))]);
}

#[tokio::test]
async fn noise_from_the_carrier_harms_nobody() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    let huge = format!("BYE sip:x SIP/2.0\r\nX: {}\r\n\r\n", "x".repeat(60_000));
    let torn = carrier.forged_bye(&peer).replace("CSeq: 0 BYE", "CSeq: 99999999999 BYE");
    let long = carrier.forged_bye(&peer).replace("Content-Length: 0", "Content-Length: 4294967296");
    for bytes in ["", "\r\n\r\n", "noise", "SIP/2.0 200 OK\r\n\r\n", &huge, &torn, &long] {
        carrier.send(bytes.as_bytes(), gateway.sip);
    }
    carrier.send(&[0xff; 1200], gateway.sip);
    assert!(!phone.has(|sip| sip.method() == "BYE").await, "the call goes on");
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    one_debit(&gateway, &gateway.ended_call(&workspace, &call.id()).await);
}

#[tokio::test]
async fn a_live_call_answers_what_it_is_asked_and_ends_once() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let id = call.invite.call_id().to_owned();
    for (method, status) in [("OPTIONS", 200), ("INFO", 200), ("MESSAGE", 405)] {
        phone.send_in(method, &mut call).await;
        let answer = phone.find(method, |sip| sip.answers(method, &id)).await;
        assert_eq!(answer.status(), Some(status), "{answer}");
    }
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    let asked = ["OPTIONS", "INFO", "MESSAGE"].map(|method| carrier.count(method, &peer));
    assert_eq!(asked, [0; 3], "nothing of it crosses");
    phone.hang_up(&mut call).await;
    phone.send_in("BYE", &mut call).await;
    let answer = phone.find("an answer to a second BYE", |sip| sip.answers("BYE", &id)).await;
    assert!(matches!(answer.status(), Some(200 | 481)), "{answer}");
    one_debit(&gateway, &gateway.ended_call(&workspace, &call.id()).await);
}

#[tokio::test]
async fn another_tenant_cannot_touch_a_call_whose_identifiers_it_knows() {
    let (carrier, gateway, workspace) = world(Script::Answer);
    let other = gateway.place.workspace(10_000, &["+254700000002"]);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let mut thief = until("the new workspace", async || {
        let ask = Ask::post("/v1/sip/token").bearer(&other.key);
        let reply = ask.send(gateway.http).await;
        let token = (reply.status == 200).then(|| reply.json()["token"].clone())?;
        Phone::open(&gateway, token.as_str().unwrap(), &other.id).await.ok()
    })
    .await;
    let id = call.invite.call_id().to_owned();
    for method in ["BYE", "INVITE", "REFER", "INFO", "UPDATE"] {
        thief.send(call.in_dialog(method, "thief.invalid")).await;
        let answer = thief.find(method, |sip| sip.answers(method, &id)).await;
        assert!(matches!(answer.status(), Some(403 | 405 | 481)), "{answer}");
    }
    let cancel = thief.cancel(&call).await;
    assert_eq!(cancel.status(), Some(481));
    assert!(!phone.has(|sip| sip.method() == "BYE").await);
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    assert_eq!(carrier.count("BYE", &peer), 0);
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    one_debit(&gateway, &gateway.ended_call(&workspace, &call.id()).await);
}
