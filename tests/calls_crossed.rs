//! Calls in which things happen at the same time, or in which a side goes away.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::time::{Duration, Instant};

use common::carrier::{Carrier, Script};
use common::frames::{CLOSE, FIN, Frames, PING, PONG, TEXT};
use common::gateway::{Gateway, Setup, Workspace};
use common::http::Ask;
use common::ledger;
use common::phone::{Dial, Phone};
use common::sip::sdp;
use common::{OURS, THEIRS, passed, until};
use serde_json::{Value, json};

fn world(script: Script, setup: Setup) -> (Carrier, Gateway, Workspace) {
    let carrier = Carrier::start(script);
    let setup = setup.trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    (carrier, setup.start(), workspace)
}

fn number(index: usize) -> String {
    format!("+254722{index:06}")
}

#[tokio::test]
async fn a_cancel_that_crosses_the_answer_ends_both_sides_whichever_won() {
    let (carrier, gateway, workspace) = world(Script::Answer, Setup::new().without_limits());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut answered = 0;
    for round in 0..30 {
        let mut call = phone.dial(&number(round)).await;
        // As early as can be, after the first word, and while the answer is on its way.
        match round % 3 {
            0 => {}
            1 => drop(phone.progress(&call, 100).await),
            _ => drop(phone.progress(&call, 180).await),
        }
        let canceled = phone.cancel(&call).await;
        let outcome = phone.outcome(&mut call).await;
        match outcome.status() {
            Some(200) => {
                answered += 1;
                assert!(matches!(canceled.status(), Some(200 | 481)), "{canceled}");
                assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
            }
            status => assert_eq!((status, canceled.status()), (Some(487), Some(200)), "{outcome}"),
        }
        gateway.ended_calls_of_now(&workspace).await;
    }
    // What was never dialled left no row; the carrier answered the others at once, so on its side
    // each ended by a BYE, whoever won.
    let rows = gateway.ended_calls(&workspace, carrier.calls()).await;
    for row in rows {
        let invite = carrier.invite_to(row["remote_e164"].as_str().unwrap()).await;
        carrier.request("ACK", invite.call_id()).await;
        carrier.request("BYE", invite.call_id()).await;
        assert!(row["status"] == "completed" || row["status"] == "canceled", "{row}");
    }
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.answered, sums.debits, sums.open_holds), (answered, answered, 0));
    assert_eq!(gateway.wallet(&workspace).await, (10_000 - sums.debited, 0));
}

#[tokio::test]
async fn a_ringing_call_is_seen_and_hung_up_over_http() {
    let (carrier, gateway, workspace) = world(Script::Ring, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.dial(THEIRS).await;
    phone.progress(&call, 180).await;
    let id = until("the ringing call's row", async || {
        let list = gateway.get(&workspace, "/v1/calls?status=ringing").await;
        list["data"][0]["id"].as_str().map(ToOwned::to_owned)
    })
    .await;
    gateway.api(&workspace, Ask::post(&format!("/v1/calls/{id}/hangup"))).await.good();
    let outcome = phone.outcome(&mut call).await;
    assert_eq!(outcome.status(), Some(487));
    assert!(outcome.header("Reason").is_some_and(|reason| reason.contains("API")), "{outcome}");
    carrier.request("CANCEL", carrier.invite_to(THEIRS).await.call_id()).await;
    let row = gateway.ended_call(&workspace, &id).await;
    assert_eq!((&row["status"], &row["hangup_by"]), (&json!("canceled"), &json!("api")));
    assert_eq!(gateway.wallet(&workspace).await, (10_000, 0));
    assert_eq!(ledger::check(&gateway.place).debits, 0);
}

#[tokio::test]
async fn a_call_that_is_over_gives_its_place_back_however_it_ended() {
    let setup = Setup::new()
        .limit("calls_per_workspace", 1)
        .limit("calls_per_second_per_workspace", 0)
        .limit("requests_per_second_per_session", 0);
    let (carrier, gateway, workspace) = world(Script::Answer, setup);
    let poor = gateway.place.workspace(4, &["+254700000002"]);
    let (busy, rings) = (number(100), number(200));
    carrier.on(&busy, Script::Refuse(486));
    carrier.on(&rings, Script::Ring);
    let mut phone = Phone::of(&gateway, &workspace).await;
    for _ in 0..3 {
        assert_eq!(phone.refused(Dial::to(&busy)).await.status(), Some(486));
        gateway.ended_calls_of_now(&workspace).await;
        let mut call = phone.dial(&rings).await;
        phone.progress(&call, 180).await;
        phone.cancel(&call).await;
        assert_eq!(phone.outcome(&mut call).await.status(), Some(487));
        gateway.ended_calls_of_now(&workspace).await;
        let no_offer = Dial { body: String::new(), ..Dial::to(THEIRS) };
        assert_eq!(phone.refused(no_offer).await.status(), Some(488));
        let mut call = phone.talk(THEIRS).await;
        phone.hang_up(&mut call).await;
        gateway.ended_call(&workspace, &call.id()).await;
    }
    let mut other = until("the new workspace", async || {
        let reply = gateway.api(&poor, Ask::post("/v1/sip/token")).await;
        let token = (reply.status == 200).then(|| reply.json()["token"].clone())?;
        Phone::open(&gateway, token.as_str().unwrap(), &poor.id).await.ok()
    })
    .await;
    for _ in 0..3 {
        let answer = other.refused(Dial::to(THEIRS)).await;
        assert_eq!(answer.refusal(), (402, "wallet.insufficient_funds".to_owned()));
    }
}

#[tokio::test]
async fn a_forged_answer_under_the_tag_of_a_live_call_takes_nothing_from_it() {
    let (carrier, gateway, workspace) = world(Script::Answer, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let call = phone.talk(THEIRS).await;
    let invite = carrier.invite_to(THEIRS).await;
    carrier.request("ACK", invite.call_id()).await;
    let forged = format!(
        "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=forged\r\nCall-ID: another\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:x@127.0.0.1:9>\r\nContent-Length: 0\r\n\r\n",
        invite.must("via"),
        invite.must("from"),
        invite.must("to"),
    );
    carrier.send(forged.as_bytes(), gateway.sip);
    carrier.bye(invite.call_id());
    let answer = carrier.answer_to("BYE", invite.call_id()).await;
    assert_eq!(answer.status(), Some(200), "{answer}");
    phone.hung_up(&call).await;
    assert_eq!(carrier.count("BYE", "another") + carrier.count("ACK", "another"), 0);
    gateway.ended_call(&workspace, &call.id()).await;
}

#[tokio::test]
async fn a_lost_socket_keeps_its_call_until_the_carrier_ends_it() {
    let (carrier, gateway, workspace) = world(Script::Answer, Setup::new());
    let (mut lost, mut reloaded) =
        (Phone::of(&gateway, &workspace).await, Phone::of(&gateway, &workspace).await);
    let calls = [lost.talk(&number(1)).await, reloaded.talk(&number(2)).await];
    let peers = [carrier.invite_to(&number(1)).await, carrier.invite_to(&number(2)).await];
    lost.lose();
    // A page that means to come back says so.
    reloaded.close(4000).await;
    let gone = Instant::now();
    until("three seconds", async || {
        let byes = peers.iter().map(|invite| carrier.count("BYE", invite.call_id()));
        assert_eq!(byes.sum::<usize>(), 0, "the calls wait for their browser");
        (gone.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    for (invite, call) in peers.iter().zip(&calls) {
        carrier.bye(invite.call_id());
        let answer = carrier.answer_to("BYE", invite.call_id()).await;
        assert_eq!(answer.status(), Some(200));
        let row = gateway.ended_call(&workspace, &call.id()).await;
        assert_eq!((&row["status"], &row["hangup_by"]), (&json!("completed"), &json!("callee")));
    }
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.debits, sums.open_holds), (2, 0));
}

#[tokio::test]
async fn a_lost_socket_ends_what_rings_at_once_and_what_talks_after_thirty_seconds() {
    let (carrier, gateway, workspace) = world(Script::Answer, Setup::new());
    let ringing = number(2);
    carrier.on(&ringing, Script::Ring);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let talking = phone.talk(&number(1)).await;
    let early = phone.dial(&ringing).await;
    phone.progress(&early, 180).await;
    phone.lose();
    let lost = Instant::now();
    // Nobody would hear who answers now.
    carrier.request("CANCEL", carrier.invite_to(&ringing).await.call_id()).await;
    until("the end of what rang", async || {
        let path = "/v1/calls?status=canceled";
        let rows = gateway.api(&workspace, Ask::get(path)).await.json();
        (rows["data"][0]["hangup_by"] == json!("connection_lost")).then_some(())
    })
    .await;
    assert!(lost.elapsed() < Duration::from_secs(10), "{:?}", lost.elapsed());
    passed(lost, 29).await;
    assert_eq!(carrier.count("BYE", carrier.invite_to(&number(1)).await.call_id()), 0);
    carrier.request("BYE", carrier.invite_to(&number(1)).await.call_id()).await;
    assert!(lost.elapsed() < Duration::from_secs(33));
    let row = gateway.ended_call(&workspace, &talking.id()).await;
    assert_eq!(
        (&row["status"], &row["hangup_by"]),
        (&json!("completed"), &json!("connection_lost"))
    );
    gateway.ended_calls(&workspace, 2).await;
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.answered, sums.debits, sums.open_holds), (1, 1, 0));
}

#[tokio::test]
async fn a_browser_that_answers_no_ping_is_closed_after_a_minute_and_another_is_not() {
    let (_carrier, gateway, workspace) = world(Script::Answer, Setup::new());
    let token = gateway.token(&workspace, Value::Null).await;
    let (mut silent, _) = Frames::open(gateway.ws, &token, "").await;
    let (mut alive, _) = Frames::open(gateway.ws, &token, "").await;
    let opened = Instant::now();
    passed(opened, 29).await;
    assert_eq!(silent.next().await.0, FIN | PING);
    let (pinged, payload) = alive.next().await;
    assert_eq!(pinged, FIN | PING);
    assert!(opened.elapsed() < Duration::from_secs(34), "{:?}", opened.elapsed());
    alive.send(FIN | PONG, &payload).await;
    passed(opened, 59).await;
    assert_eq!(gateway.metric("sautikit_sessions_closed_total", "").await, 0.0, "not yet");
    let (closed, told) = silent.next().await;
    assert_eq!((closed, &told[..2]), (FIN | CLOSE, &4408_u16.to_be_bytes()[..]));
    assert!(opened.elapsed() < Duration::from_secs(64), "{:?}", opened.elapsed());
    until("the count of it", async || {
        let slow = gateway.metric("sautikit_sessions_closed_total", "code=\"too_slow\"").await;
        (slow == 1.0).then_some(())
    })
    .await;
    alive.send(FIN | TEXT, b"\r\n\r\n").await;
    // A second ping may come before the answer.
    let mut answer = alive.next().await;
    if answer.0 == FIN | PING {
        answer = alive.next().await;
    }
    assert_eq!(answer, (FIN | TEXT, b"\r\n".to_vec()));
}

#[tokio::test]
async fn a_browsers_new_offer_reaches_the_carrier_and_its_answer_comes_back() {
    let (carrier, gateway, workspace) = world(Script::Answer, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    carrier.request("ACK", &peer).await;
    for round in 1..=3 {
        let held = sdp("browser", 50_000 + round).replace("sendrecv", "sendonly");
        let answer = phone.reoffer(&mut call, &held).await;
        assert_eq!(answer.status(), Some(200), "{answer}");
        assert_eq!(answer.body, sdp("carrier", 40_000));
        let invites = carrier.requests("INVITE", &peer, usize::from(round) + 1).await;
        let newest = &invites.last().unwrap().sip;
        assert_eq!(newest.body, held);
        assert!(newest.tag("to").is_some(), "it is in the dialog: {newest}");
        carrier.requests("ACK", &peer, usize::from(round) + 1).await;
    }
    assert_eq!(carrier.calls(), 1);
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(ledger::check(&gateway.place).debits, 1, "a new offer is no new call");
}

#[tokio::test]
async fn a_carrier_that_leaves_the_offer_to_us_is_heard_where_it_moves_to() {
    let (carrier, gateway, workspace) = world(Script::Answer, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let invite = carrier.invite_to(THEIRS).await;
    let peer = invite.call_id().to_owned();
    carrier.request("ACK", &peer).await;
    carrier.want_offer(&peer);
    let offer = carrier.answer_to("INVITE", &peer).await;
    assert_eq!((offer.status(), &offer.body), (Some(200), &invite.body), "the browser's last word");
    let moved = sdp("carrier", 45_678);
    carrier.answer_in_ack(&peer, &moved);
    let id = call.invite.call_id().to_owned();
    let told = phone.find("the new address", |sip| sip.asks("INVITE", &id)).await;
    assert_eq!(told.body, moved);
    phone
        .send(told.response(
            200,
            None,
            "Contact: <sip:phone@b.invalid;transport=ws>\r\nContent-Type: application/sdp\r\n",
            &sdp("browser", 50_001),
        ))
        .await;
    phone.find("its ACK", |sip| sip.asks("ACK", &id)).await;
    // What the browser answers is not an offer to the carrier in turn, which would never end.
    assert_eq!(phone.options().await.status(), Some(200));
    assert_eq!(carrier.count("INVITE", &peer), 1);
    // A refresh that changes nothing does not disturb the browser.
    carrier.want_offer(&peer);
    carrier
        .wait("a second offer", |heard| {
            (heard.iter().filter(|heard| heard.sip.answers("INVITE", &peer)).count() == 2)
                .then_some(())
        })
        .await;
    carrier.answer_in_ack(&peer, &moved);
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    assert!(!phone.has(|sip| sip.asks("INVITE", &id)).await);
    gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(carrier.calls(), 1);
}

#[tokio::test]
async fn credits_and_debits_at_once_are_all_counted() {
    let (_carrier, gateway, workspace) = world(Script::Answer, Setup::new().without_limits());
    let place = std::sync::Arc::clone(&gateway.place);
    let tenant = workspace.clone();
    let credits = std::thread::spawn(move || {
        for _ in 0..30 {
            place.credit(&tenant, 7);
        }
    });
    let mut phones = Vec::new();
    for _ in 0..3 {
        phones.push(Phone::of(&gateway, &workspace).await);
    }
    for round in 0..10 {
        let mut calls = Vec::new();
        for (index, phone) in phones.iter_mut().enumerate() {
            calls.push(phone.talk(&number(round * 10 + index)).await);
        }
        for (phone, call) in phones.iter_mut().zip(&mut calls) {
            phone.hang_up(call).await;
        }
        gateway.wallet(&workspace).await;
    }
    credits.join().unwrap();
    gateway.ended_calls(&workspace, 30).await;
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.answered, sums.debits), (30, 30));
    let wanted = (10_000 + 30 * 7 - sums.debited, 0);
    until("the wallet to know of all", async || {
        (gateway.wallet(&workspace).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_flood_from_one_session_does_not_slow_another_ones_call() {
    let (carrier, gateway, workspace) = world(Script::Answer, Setup::new());
    let mut flooder = Phone::of(&gateway, &workspace).await;
    let mut phone = Phone::of(&gateway, &workspace).await;
    let request = flooder.request("OPTIONS", "sip:gw", "sip:gw", "");
    for _ in 0..150 {
        flooder.send(request.clone()).await;
    }
    let started = Instant::now();
    let mut call = phone.talk(THEIRS).await;
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    carrier.request("BYE", carrier.invite_to(THEIRS).await.call_id()).await;
    gateway.ended_call(&workspace, &call.id()).await;
}
