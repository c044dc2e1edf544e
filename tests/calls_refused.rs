//! Calls that are refused before a carrier hears of them: the status, the code and the text for
//! people of each reason, and that nothing is held or written.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::time::{Duration, Instant};

use common::carrier::{Carrier, Script};
use common::forge;
use common::gateway::{Gateway, Setup, Workspace};
use common::ledger;
use common::phone::{Dial, Phone};
use common::sip::Sip;
use common::{OURS, THEIRS, until};
use serde_json::{Value, json};

fn world(setup: Setup) -> (Carrier, Gateway, Workspace) {
    let carrier = Carrier::start(Script::Answer);
    let setup = setup.trunk("carrier", carrier.address(), &["+254", "+1"]);
    let workspace = setup.place.workspace(10_000, &[OURS, "+254700000002"]);
    (carrier, setup.start(), workspace)
}

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Nothing was dialled, held or written, and the refusals were counted.
async fn left_no_trace(carrier: &Carrier, gateway: &Gateway, workspace: &Workspace, refusals: u32) {
    assert_eq!(carrier.heard().len(), 0, "no packet reached the carrier");
    assert_eq!(gateway.wallet(workspace).await, (10_000, 0));
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.calls, sums.debits, sums.open_holds), (0, 0, 0));
    let counted = gateway.metric("sautikit_refusals_total", "").await;
    assert_eq!(counted, f64::from(refusals));
}

#[tokio::test]
async fn destinations_that_cannot_be_called_are_refused_by_their_kind() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let uri = |uri: &str| Dial { uri: uri.to_owned(), ..Dial::to("") };
    let cases = [
        ("sip:0722000001@gw", 484, "calls.invalid_number"),
        ("sip:00254722000001@gw", 484, "calls.invalid_number"),
        ("sip:112@gw", 484, "calls.invalid_number"),
        ("sip:999@gw", 484, "calls.invalid_number"),
        ("sip:+999@gw", 484, "calls.invalid_number"),
        ("sip:+2547220000011111@gw", 484, "calls.invalid_number"),
        ("sip:+254722000001%0d%0aVia@gw", 484, "calls.invalid_number"),
        ("sip:+254722000001%00@gw", 484, "calls.invalid_number"),
        ("sip:+25472200000x@gw", 484, "calls.invalid_number"),
        ("sip:+254722000001;phone-context=+1@gw", 484, "calls.invalid_number"),
        ("tel:722000001;phone-context=+254", 484, "calls.invalid_number"),
        ("tel:+254", 484, "calls.invalid_number"),
        ("sip:gw", 484, "calls.invalid_number"),
        ("sip:+12025550100@gw", 404, "calls.no_rate"),
        ("sip:+882123456789@gw", 404, "calls.no_rate"),
        ("sip:nobody@gw", 404, "calls.unknown_identity"),
    ];
    for (to, status, name) in cases {
        let answer = phone.refused(uri(to)).await;
        assert_eq!(answer.refusal(), code(status, name), "{to}");
        assert_eq!(answer.retry_after(), None, "{to}");
    }
    left_no_trace(&carrier, &gateway, &workspace, u32::try_from(cases.len()).unwrap()).await;
}

#[tokio::test]
async fn numbers_are_dialled_in_every_spelling_that_is_sure() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let spellings = [
        "sip:+254722000001@gw",
        "sip:254722000001@gw",
        "sip:%2B254722000001@gw",
        "sip:+254-722-000-001@gw;user=phone",
        "tel:+254722000001",
        "tel:+254-722-000-001",
    ];
    for uri in spellings {
        let mut call = phone.invite(Dial { uri: uri.to_owned(), ..Dial::to("") }).await;
        let answer = phone.outcome(&mut call).await;
        assert_eq!(answer.status(), Some(200), "{uri}: {answer}");
        phone.hang_up(&mut call).await;
    }
    let user = format!("sip:{THEIRS}@");
    let heard = carrier.heard();
    let mut invites = heard.iter().filter(|heard| heard.sip.method() == "INVITE");
    assert!(invites.all(|invite| invite.sip.uri().starts_with(&user)));
    assert_eq!(carrier.calls(), spellings.len());
}

#[tokio::test]
async fn a_colleague_who_takes_no_calls_is_not_reachable() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let token = gateway.token(&workspace, json!({"identity": "bob"})).await;
    let mut bob = Phone::open(&gateway, &token, "bob").await.unwrap();
    assert_eq!(bob.register("").await.status(), Some(200));
    let mut phone = Phone::of(&gateway, &workspace).await;
    let answer = phone.refused(Dial::to("bob")).await;
    assert_eq!(answer.refusal(), code(480, "calls.not_reachable"));
    left_no_trace(&carrier, &gateway, &workspace, 1).await;
}

#[tokio::test]
async fn the_caller_number_is_the_workspaces_own_or_the_call_is_refused() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let ppi = |number: &str| format!("P-Preferred-Identity: <sip:{number}@gw>\r\n");
    let quoted = format!("P-Preferred-Identity: \"<sip:{OURS}@gw>\" <sip:+254799999999@gw>\r\n");
    for (from, headers) in [
        ("+254799999999", String::new()),
        ("%2B254799999999", String::new()),
        (OURS, ppi("+254799999999")),
        ("", quoted),
    ] {
        let answer = phone.refused(Dial { from, headers, ..Dial::to(THEIRS) }).await;
        assert_eq!(answer.refusal(), code(403, "numbers.not_claimed"), "{from}");
    }
    left_no_trace(&carrier, &gateway, &workspace, 4).await;
    let good = [
        ("", String::new(), OURS),
        ("+254700000002", String::new(), "+254700000002"),
        ("", ppi("+254700000002"), "+254700000002"),
        (OURS, ppi("+254700000002"), "+254700000002"),
        ("alice", String::new(), OURS),
    ];
    for (count, (from, headers, shown)) in good.into_iter().enumerate() {
        let to = format!("+2547220001{count:02}");
        let mut call = phone.invite(Dial { from, headers, ..Dial::to(&to) }).await;
        assert_eq!(phone.outcome(&mut call).await.status(), Some(200), "{from}");
        let invite = carrier.invite_to(&to).await;
        assert!(invite.must("from").contains(shown), "{invite}");
        phone.hang_up(&mut call).await;
    }
}

#[tokio::test]
async fn a_workspace_without_a_number_calls_nobody() {
    let carrier = Carrier::start(Script::Answer);
    let setup = Setup::new().trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[]);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let answer = phone.refused(Dial::to(THEIRS)).await;
    assert_eq!(answer.refusal(), code(403, "numbers.not_claimed"));
    left_no_trace(&carrier, &gateway, &workspace, 1).await;
}

#[tokio::test]
async fn a_tokens_claims_narrow_what_its_bearer_may_do() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let second = "+254700000002";
    let narrowing =
        json!({"identity": "alice", "from": [second], "destinations": ["+25472", "+25473"]});
    let token = gateway.token(&workspace, narrowing).await;
    let mut alice = Phone::open(&gateway, &token, "alice").await.unwrap();
    for (from, to) in [(OURS, THEIRS), ("", "+254110000001"), (second, "+254110000001")] {
        let answer = alice.refused(Dial { from, ..Dial::to(to) }).await;
        assert_eq!(answer.refusal(), code(403, "token.not_allowed"), "{from} to {to}");
    }
    left_no_trace(&carrier, &gateway, &workspace, 3).await;
    let mut call = alice.talk(THEIRS).await;
    let invite = carrier.invite_to(THEIRS).await;
    assert!(invite.must("from").contains(second), "the token's only number: {invite}");
    alice.hang_up(&mut call).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!((&row["identity"], &row["local_e164"]), (&json!("alice"), &json!(second)));

    // A fresh token of the same bearer replaces the claims; another bearer's does not.
    let wider = gateway.token(&workspace, json!({"identity": "alice", "from": [OURS]})).await;
    let bobs = gateway.token(&workspace, json!({"identity": "bob"})).await;
    let answer = alice.register(&format!("Authorization: Bearer {bobs}\r\n")).await;
    assert_eq!(answer.refusal(), code(403, "token.not_allowed"));
    let answer = alice.register(&format!("Authorization: Bearer {wider}\r\n")).await;
    assert_eq!(answer.status(), Some(200));
    let other = "+254110000001";
    let mut call = alice.talk(other).await;
    assert!(carrier.invite_to(other).await.must("from").contains(OURS));
    alice.hang_up(&mut call).await;
}

#[tokio::test]
async fn a_lapsed_token_ends_new_calls_and_never_a_live_one() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let expiring = forge::token(&forge::claims(&workspace.id, 297));
    let mut phone = Phone::open(&gateway, &expiring, &workspace.id).await.unwrap();
    let mut call = phone.talk(THEIRS).await;
    let challenge = "Bearer realm=\"sip.sautikit.local\", error=\"invalid_token\"";
    let answer = lapsed(&mut phone, &expiring).await;
    assert_eq!(answer.refusal(), code(401, "token.expired"));
    assert_eq!(answer.must("www-authenticate"), challenge);
    let answer = phone.refused(Dial::to("+254722000002")).await;
    assert_eq!(answer.refusal(), code(401, "token.expired"));
    assert_eq!(answer.must("www-authenticate"), challenge);

    // The live leg is served, whatever stale token its requests repeat.
    let id = call.invite.call_id().to_owned();
    phone.send_in("OPTIONS", &mut call).await;
    let answer = phone.find("OPTIONS", |sip| sip.answers("OPTIONS", &id)).await;
    assert_eq!(answer.status(), Some(200));
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    carrier.request("BYE", carrier.invite_to(THEIRS).await.call_id()).await;

    let fresh = gateway.token(&workspace, Value::Null).await;
    let renewed = phone.register(&format!("Authorization: Bearer {fresh}\r\n")).await;
    assert_eq!(renewed.status(), Some(200));
    let mut call = phone.talk("+254722000003").await;
    phone.hang_up(&mut call).await;
    gateway.ended_calls(&workspace, 2).await;
    assert_eq!(ledger::check(&gateway.place).debits, 2);
}

/// Registers until the token has lapsed: the 401.
async fn lapsed(phone: &mut Phone, token: &str) -> Sip {
    let stale = format!("Authorization: Bearer {token}\r\n");
    for _ in 0..400 {
        let answer = phone.register(&stale).await;
        if answer.status() != Some(200) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the token never lapses");
}

#[tokio::test]
async fn any_request_may_bring_the_token_that_renews() {
    let (_carrier, gateway, workspace) = world(Setup::new());
    let old = forge::token(&forge::claims(&workspace.id, 297));
    let mut witness = Phone::open(&gateway, &old, &workspace.id).await.unwrap();
    let mut phone = Phone::open(&gateway, &old, &workspace.id).await.unwrap();
    let fresh = gateway.token(&workspace, Value::Null).await;
    let bearer = format!("Authorization: Bearer {fresh}\r\n");
    let asked = phone.request("OPTIONS", "sip:gw", "sip:gw", &bearer);
    assert_eq!(phone.ask(asked).await.status(), Some(200));
    lapsed(&mut witness, &old).await;
    let mut call = phone.talk(THEIRS).await;
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
}

#[tokio::test]
async fn a_lapsed_session_comes_back_with_an_invite_that_brings_a_fresh_token() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let expiring = forge::token(&forge::claims(&workspace.id, 299));
    let mut phone = Phone::open(&gateway, &expiring, &workspace.id).await.unwrap();
    lapsed(&mut phone, &expiring).await;
    let fresh = gateway.token(&workspace, Value::Null).await;
    let headers = format!("Authorization: Bearer {fresh}\r\n");
    let mut call = phone.invite(Dial { headers, ..Dial::to(THEIRS) }).await;
    assert_eq!(phone.outcome(&mut call).await.status(), Some(200));
    let heard = carrier.invite_to(THEIRS).await.to_string();
    assert!(!heard.contains("Bearer") && !heard.contains(&fresh), "{heard}");
    phone.hang_up(&mut call).await;
}

#[tokio::test]
async fn without_money_a_call_is_402_and_no_packet_reaches_the_carrier() {
    let carrier = Carrier::start(Script::Answer);
    let setup = Setup::new().trunk("carrier", carrier.address(), &["+254"]);
    let poor = setup.place.workspace(4, &[OURS]);
    let rich = setup.place.workspace(10_000, &["+254700000002"]);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &poor).await;
    let answer = phone.refused(Dial::to(THEIRS)).await;
    assert_eq!(answer.refusal(), code(402, "wallet.insufficient_funds"));
    assert_eq!(gateway.wallet(&poor).await, (4, 0));
    assert_eq!(gateway.get(&poor, "/v1/calls").await["data"], json!([]));
    // The next call that does get out is the first that the carrier hears of.
    let mut other = Phone::of(&gateway, &rich).await;
    let mut call = other.talk("+254722000002").await;
    assert_eq!(carrier.calls(), 1);
    other.hang_up(&mut call).await;
    // A credit from elsewhere counts at once: the ledger is asked before a caller is refused.
    gateway.place.credit(&poor, 100);
    let mut call = phone.talk(THEIRS).await;
    phone.hang_up(&mut call).await;
    gateway.ended_call(&poor, &call.id()).await;
    ledger::check(&gateway.place);
}

#[tokio::test]
async fn calls_at_once_are_limited_for_the_workspace_and_for_the_node() {
    let setup = Setup::new().limit("calls_per_workspace", 1).limit("calls_max", 2);
    let other = setup.place.workspace(10_000, &["+254700000003"]);
    let (carrier, gateway, workspace) = world(setup);
    let (mut one, mut two) =
        (Phone::of(&gateway, &workspace).await, Phone::of(&gateway, &workspace).await);
    let mut call = one.talk(THEIRS).await;
    let answer = two.refused(Dial::to("+254722000002")).await;
    assert_eq!(answer.refusal(), code(403, "calls.limit_reached"));
    let third = gateway.place.workspace(10_000, &["+254700000004"]);
    let mut three = Phone::of(&gateway, &other).await;
    let mut second = three.talk("+254722000003").await;
    let mut four = until("the new workspace", async || {
        let ask = common::http::Ask::post("/v1/sip/token").bearer(&third.key);
        let reply = ask.send(gateway.http).await;
        if reply.status != 200 {
            return None;
        }
        Phone::open(&gateway, reply.json()["token"].as_str().unwrap(), &third.id).await.ok()
    })
    .await;
    let answer = four.refused(Dial::to("+254722000004")).await;
    assert_eq!(answer.refusal(), code(503, "gateway.overloaded"));
    assert!(answer.retry_after() >= Some(1));
    assert_eq!(carrier.calls(), 2);
    one.hang_up(&mut call).await;
    three.hang_up(&mut second).await;
    gateway.ended_call(&workspace, &call.id()).await;
    gateway.ended_call(&other, &second.id()).await;
    for phone in [&mut two, &mut three] {
        let mut again = phone.talk("+254722000005").await;
        phone.hang_up(&mut again).await;
    }
}

#[tokio::test]
async fn a_call_that_finds_the_gateway_late_is_shed_and_one_after_it_is_served() {
    let (carrier, gateway, workspace) = world(Setup::new().without_limits());
    let mut phone = Phone::of(&gateway, &workspace).await;
    // A process that is stopped is as late as one whose loop is blocked.
    gateway.freeze().await;
    let stopped = Instant::now();
    let mut late = phone.dial(THEIRS).await;
    until("more than a tick and 250 ms", async || {
        (stopped.elapsed() > Duration::from_millis(500)).then_some(())
    })
    .await;
    gateway.signal("-CONT");
    let answer = phone.outcome(&mut late).await;
    assert_eq!(answer.refusal(), code(503, "gateway.overloaded"));
    assert!((2..=10).contains(&answer.retry_after().unwrap()), "{answer}");
    left_no_trace(&carrier, &gateway, &workspace, 1).await;
    // A tick in time later the loop keeps up.
    let mut call = loop {
        let mut call = phone.dial(THEIRS).await;
        match phone.outcome(&mut call).await.status() {
            Some(200) => break call,
            status => assert_eq!(status, Some(503)),
        }
        assert!(stopped.elapsed() < Duration::from_secs(10), "it is shed for ever");
    };
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(carrier.calls(), 1);
}

#[tokio::test]
async fn calls_a_second_are_limited_for_the_workspace() {
    let setup = Setup::new().limit("calls_per_second_per_workspace", 1);
    let (carrier, gateway, workspace) = world(setup);
    carrier.on("+254722000002", Script::Refuse(486));
    let mut phone = Phone::of(&gateway, &workspace).await;
    let first = phone.refused(Dial::to("+254722000002")).await;
    assert_eq!(first.status(), Some(486));
    let answer = phone.refused(Dial::to("+254722000002")).await;
    assert_eq!(answer.refusal(), code(403, "calls.rate_limited"));
    assert!(answer.retry_after() >= Some(1));
    assert_eq!(carrier.calls(), 1);
}

#[tokio::test]
async fn without_a_trunk_for_the_number_there_is_no_route() {
    let carrier = Carrier::start(Script::Answer);
    let setup = Setup::new().trunk("carrier", carrier.address(), &["+25472"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let answer = phone.refused(Dial::to("+254110000001")).await;
    assert_eq!(answer.refusal(), code(503, "calls.no_route"));
    left_no_trace(&carrier, &gateway, &workspace, 1).await;
}

#[tokio::test]
async fn a_trunk_that_cannot_be_reached_is_no_route_and_costs_nothing() {
    // Nobody has this port: it is bound and closed again.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let carrier = Carrier::start(Script::Refuse(500));
    let setup = Setup::new().trunk("gone", free, &["+254"]);
    let setup = setup.trunk("failing", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    let gateway = setup.start();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let answer = phone.refused(Dial::to(THEIRS)).await;
    assert_eq!(answer.status(), Some(500), "the last carrier's own answer");
    assert_eq!(carrier.calls(), 1);
    let rows = gateway.ended_calls(&workspace, 1).await;
    assert_eq!((&rows[0]["status"], &rows[0]["trunk"]), (&json!("failed"), &json!("failing")));
    assert_eq!(gateway.wallet(&workspace).await, (10_000, 0));
    assert_eq!(ledger::check(&gateway.place).debits, 0);
}

#[tokio::test]
async fn an_invite_without_an_offer_is_not_acceptable() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let answer = phone.refused(Dial { body: String::new(), ..Dial::to(THEIRS) }).await;
    assert_eq!(answer.refusal(), code(488, "calls.media_not_acceptable"));
    left_no_trace(&carrier, &gateway, &workspace, 1).await;
}

#[tokio::test]
async fn a_refused_offer_is_counted_once() {
    let (carrier, gateway, workspace) = world(Setup::new().embedded());
    let mut phone = Phone::of(&gateway, &workspace).await;
    for count in 1..=3 {
        let answer = phone.refused(Dial::to(THEIRS)).await;
        assert_eq!(answer.refusal(), code(488, "calls.media_not_acceptable"), "no ICE in it");
        let counted = gateway.metric("sautikit_media_refusals_total", "").await;
        assert_eq!(counted, f64::from(count));
    }
    assert_eq!(carrier.calls(), 0);
}

#[tokio::test]
async fn an_invite_that_asks_for_what_nobody_serves_is_told_so_and_counted_once() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let with = |headers: &str| Dial { headers: headers.to_owned(), ..Dial::to(THEIRS) };
    let uri = |uri: &str| Dial { uri: uri.to_owned(), ..Dial::to("") };
    let cases = [
        (with("Require: 100rel\r\n"), 420, "request.extension", Some(("unsupported", "100rel"))),
        (with("Require: foo\r\n"), 420, "request.extension", Some(("unsupported", "foo"))),
        (
            with("Supported: timer\r\nSession-Expires: 30\r\n"),
            422,
            "request.session_interval",
            Some(("min-se", "90")),
        ),
        (uri("urn:service:sos"), 416, "request.uri_scheme", None),
        (with("Subject: a\u{1}b\r\n"), 400, "request.malformed", None),
    ];
    for (count, (dial, status, name, more)) in cases.into_iter().enumerate() {
        let answer = phone.refused(dial).await;
        assert_eq!(answer.refusal(), code(status, name));
        if let Some((header, value)) = more {
            assert_eq!(answer.must(header), value);
        }
        let counted = gateway.metric("sautikit_refusals_total", "").await;
        assert_eq!(counted, (count + 1) as f64, "{name}");
    }
    assert_eq!(gateway.metric("sautikit_refusals_total", "request.extension").await, 2.0);
    left_no_trace(&carrier, &gateway, &workspace, 5).await;
}

#[tokio::test]
async fn an_invite_without_a_way_back_is_malformed_and_costs_no_hold() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let whole = phone.invite_request(&Dial::to(THEIRS));
    let id = Sip::parse(whole.as_bytes()).call_id().to_owned();
    phone.send(whole.replace("Contact: ", "X-Contact: ")).await;
    let answer = phone.find("an answer", |sip| sip.answers("INVITE", &id)).await;
    assert_eq!(answer.refusal(), code(400, "request.malformed"));
    left_no_trace(&carrier, &gateway, &workspace, 1).await;
}

#[tokio::test]
async fn an_invite_that_came_another_way_already_is_merged_and_makes_no_second_call() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let invite = phone.invite_request(&Dial::to(THEIRS));
    let id = Sip::parse(invite.as_bytes()).call_id().to_owned();
    phone.send(invite.clone()).await;
    phone.find("its answer", |sip| sip.answers("INVITE", &id) && sip.status() == Some(200)).await;
    // The same branch is a repetition, which the leg answers as before; another one is not.
    phone.send(invite.replace("branch=z9hG4bK", "branch=z9hG4bKother")).await;
    let merged = |sip: &Sip| sip.answers("INVITE", &id) && sip.status() > Some(299);
    let answer = phone.find("the other's answer", merged).await;
    assert_eq!(answer.refusal(), code(482, "request.merged"));
    assert_eq!(carrier.calls(), 1);
    let rows = gateway.get(&workspace, "/v1/calls").await;
    assert_eq!(rows["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_belongs_to_no_call_is_refused_by_name_and_counts_as_no_call() {
    let (carrier, gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let lost = phone.invite_request(&Dial::to(THEIRS));
    let tagged =
        lost.replace(&format!("To: <sip:{THEIRS}@sip.sautikit.local>"), "To: <sip:x@gw>;tag=x");
    for (method, text, status, name) in [
        ("INFO", lost.clone(), 403, "request.outside_call"),
        ("BYE", tagged.clone(), 481, "request.no_call"),
        ("MESSAGE", lost.clone(), 405, "request.method_not_allowed"),
    ] {
        let text = text.replace("INVITE", method);
        let id = Sip::parse(text.as_bytes()).call_id().to_owned();
        phone.send(text).await;
        let answer = phone.find(method, |sip| sip.answers(method, &id)).await;
        assert_eq!(answer.refusal(), code(status, name), "{method}");
    }
    let answer = phone.ask(phone.register_request("somebody", "")).await;
    assert_eq!(answer.refusal(), code(403, "token.not_allowed"));
    left_no_trace(&carrier, &gateway, &workspace, 0).await;
}
