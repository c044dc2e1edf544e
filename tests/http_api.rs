//! The HTTP API as a customer's backend meets it.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::collections::BTreeSet;

use common::carrier::{Carrier, Script};
use common::forge;
use common::gateway::{Gateway, Setup, Workspace};
use common::http::Ask;
use common::phone::{Dial, Phone};
use common::{OURS, THEIRS, until};
use serde_json::{Value, json};

fn world() -> (Carrier, Gateway, Workspace) {
    let carrier = Carrier::start(Script::Answer);
    let setup = Setup::new().trunk("carrier", carrier.address(), &["+254"]).without_limits();
    let workspace = setup.place.workspace(10_000, &[OURS]);
    (carrier, setup.start(), workspace)
}

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[tokio::test]
async fn a_token_has_exactly_the_claims_that_were_asked_for() {
    let (_carrier, gateway, workspace) = world();
    let minted = gateway.api(&workspace, Ask::post("/v1/sip/token")).await.good();
    let members: Vec<_> = minted.as_object().unwrap().keys().collect();
    assert_eq!(members, ["expires_at", "token"]);
    let plain = minted["token"].as_str().unwrap();
    gateway.place.keep_out_of_logs(plain);
    let (header, claims) = forge::read(plain);
    assert_eq!(header, r#"{"alg":"HS256","typ":"JWT"}"#);
    let issued = claims["iat"].as_i64().unwrap();
    let wanted = json!({
        "iss": "sautikit-sip", "sub": workspace.id, "iat": issued, "exp": issued + 300
    });
    assert_eq!(claims, wanted);
    assert!((forge::now_unix() - issued).abs() <= 5);
    assert!(forge::is_signed(plain), "HMAC-SHA256 of the first two parts");
    assert!(minted["expires_at"].as_str().unwrap().ends_with('Z'), "{minted}");

    let narrowing =
        json!({"identity": "alice", "from": [OURS], "destinations": ["+254", "+25572"]});
    let token = gateway.token(&workspace, narrowing.clone()).await;
    let (_, claims) = forge::read(&token);
    for name in ["identity", "from", "destinations"] {
        assert_eq!(claims[name], narrowing[name]);
    }
    assert_eq!(claims.as_object().unwrap().len(), 7);
    for empty in ["", "{}", "  "] {
        let reply = gateway.api(&workspace, Ask::post("/v1/sip/token").body(empty)).await;
        gateway.place.keep_out_of_logs(reply.good()["token"].as_str().unwrap());
    }
}

#[tokio::test]
async fn the_public_websocket_address_is_told_where_it_is_set() {
    let setup = Setup::new().env("SAUTIKIT_WS_URL", "wss://calls.example.com");
    let workspace = setup.place.workspace(0, &[]);
    let gateway = setup.start();
    let minted = gateway.api(&workspace, Ask::post("/v1/sip/token")).await.good();
    assert_eq!(minted["ws_url"], json!("wss://calls.example.com"));
}

#[tokio::test]
async fn a_token_body_that_is_not_right_is_named_member_by_member() {
    let (_carrier, gateway, workspace) = world();
    let ask = |body: String| {
        gateway.api(
            &workspace,
            Ask::post("/v1/sip/token").header("content-type", "application/json").body(body),
        )
    };
    let cases = [
        (json!({"identity": ""}), "identity"),
        (json!({"identity": "a b"}), "identity"),
        (json!({"identity": "x".repeat(65)}), "identity"),
        (json!({"identity": "254722000001"}), "identity"),
        (json!({"identity": UNKNOWN}), "identity"),
        (json!({"identity": "a\r\nb"}), "identity"),
        (json!({"identity": 7}), "identity"),
        (json!({"from": ["0722"]}), "from"),
        (json!({"from": []}), "from"),
        (json!({"destinations": ["x"]}), "destinations"),
        (json!({"max_calls": 2}), "max_calls"),
        (json!({"max_cost_minor": 100, "identity": "alice"}), "max_cost_minor"),
        (json!({"destination": ["+254"]}), "destination"),
    ];
    for (body, member) in cases {
        let reply = ask(body.to_string()).await;
        assert_eq!(reply.refusal(), code(422, "validation.failed"), "{body}");
        let fields = &reply.json()["error"]["fields"];
        assert_eq!(fields[0]["field"], json!(member), "{body}: {fields}");
        assert_eq!(fields.as_array().unwrap().len(), 1, "{body}: {fields}");
    }
    let both = ask(json!({"identity": "", "from": 5}).to_string()).await.json();
    assert_eq!(both["error"]["fields"].as_array().unwrap().len(), 2, "{both}");
    let deep = "[".repeat(100_000);
    for body in ["{", "[]", "7", "\"text\"", &deep] {
        let reply = ask(body.to_owned()).await;
        assert_eq!(reply.refusal(), code(400, "request.malformed"));
    }
    let reply = ask("x".repeat(256 * 1024 + 1)).await;
    assert_eq!(reply.refusal(), code(413, "request.too_large"));
}

#[tokio::test]
async fn every_route_wants_a_key_and_tells_what_is_wrong_with_it() {
    let (_carrier, gateway, workspace) = world();
    let routes = || {
        [
            Ask::post("/v1/sip/token"),
            Ask::get("/v1/calls"),
            Ask::get(&format!("/v1/calls/{UNKNOWN}")),
            Ask::post(&format!("/v1/calls/{UNKNOWN}/hangup")),
            Ask::get("/v1/wallet"),
            Ask::get("/v1/wallet/balance"),
            Ask::get("/v1/wallet/ledger"),
        ]
    };
    for route in routes() {
        let reply = route.send(gateway.http).await;
        assert_eq!(reply.refusal(), code(401, "api_key.invalid"));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    let other = format!("sk_live_{}", "x".repeat(workspace.key.len() - 8));
    let sip_token = gateway.token(&workspace, Value::Null).await;
    for key in [other.as_str(), &workspace.key[..20], &sip_token] {
        gateway.place.keep_out_of_logs(key);
        let reply = Ask::get("/v1/wallet").bearer(key).send(gateway.http).await;
        assert_eq!(reply.refusal(), code(401, "api_key.invalid"));
    }
    let basic = Ask::get("/v1/wallet").header("authorization", &format!("Basic {}", workspace.key));
    assert_eq!(basic.send(gateway.http).await.status, 401);
    let query = Ask::get(&format!("/v1/wallet?api_key={}", workspace.key));
    assert_eq!(query.send(gateway.http).await.status, 401);

    gateway.place.sql("UPDATE api_keys SET scopes = 'calls.read'");
    let denied = until("the new scopes", async || {
        let reply = gateway.api(&workspace, Ask::get("/v1/wallet")).await;
        (reply.status != 200).then_some(reply)
    })
    .await;
    assert_eq!(denied.refusal(), code(403, "api_key.scope_denied"));
    let needs = [403, 200, 404, 403, 403, 403, 403];
    for (route, status) in routes().into_iter().zip(needs) {
        assert_eq!(gateway.api(&workspace, route).await.status, status);
    }
    for (column, name) in [("expires_at", "api_key.expired"), ("revoked_at", "api_key.revoked")] {
        gateway.place.sql(&format!("UPDATE api_keys SET {column} = 1"));
        let refused = until("the key's end", async || {
            let reply = gateway.api(&workspace, Ask::get("/v1/calls")).await;
            (reply.status == 401 && reply.refusal().1 == name).then_some(())
        });
        refused.await;
    }
}

#[tokio::test]
async fn a_tenant_sees_and_ends_nothing_of_another() {
    let (carrier, gateway, workspace) = world();
    let other = gateway.place.workspace(500, &["+254700000002"]);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    until("the new workspace", async || {
        (gateway.api(&other, Ask::get("/v1/wallet")).await.status == 200).then_some(())
    })
    .await;
    let path = format!("/v1/calls/{}", call.id());
    let hangup = format!("{path}/hangup");
    assert_eq!(
        gateway.api(&other, Ask::get(&path)).await.refusal(),
        gateway.api(&other, Ask::get(&format!("/v1/calls/{UNKNOWN}"))).await.refusal(),
    );
    let reply = gateway.api(&other, Ask::get(&path)).await;
    assert_eq!(reply.refusal(), code(404, "calls.not_found"));
    let reply = gateway.api(&other, Ask::post(&hangup)).await;
    assert_eq!(reply.refusal(), code(404, "calls.not_found"));
    let list = gateway.get(&other, &format!("/v1/calls?session_id={}", call.id())).await;
    assert_eq!(list, json!({"data": [], "next_cursor": null}));
    assert_eq!(gateway.wallet(&other).await, (500, 0));
    let statement = gateway.get(&other, "/v1/wallet/ledger").await;
    assert_eq!(statement["data"].as_array().unwrap().len(), 1);
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    assert_eq!(carrier.count("BYE", &peer), 0);
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    let reply = gateway.api(&other, Ask::post(&hangup)).await;
    assert_eq!(reply.refusal(), code(404, "calls.not_found"), "nor when it has ended");
}

#[tokio::test]
async fn unknown_paths_methods_and_ids_are_told_apart() {
    let (_carrier, gateway, workspace) = world();
    for path in ["/", "/v1", "/v1/call", "/v1/calls/", "/v2/calls", "/metrics", "/healthz"] {
        let reply = gateway.api(&workspace, Ask::get(path)).await;
        assert_eq!(reply.refusal(), code(404, "not_found"), "{path}");
    }
    for (method, path, allow) in [
        ("POST", "/v1/calls/x", "GET,HEAD"),
        ("DELETE", "/v1/wallet", "GET,HEAD"),
        ("GET", "/v1/sip/token", "POST"),
        ("PUT", "/v1/calls/x/hangup", "POST"),
    ] {
        let reply = gateway.api(&workspace, Ask::new(method.parse().unwrap(), path)).await;
        assert_eq!(reply.refusal(), code(405, "method_not_allowed"), "{method} {path}");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    for id in [UNKNOWN, "x", "%00", "1%27--", "%ff", "%c3%28"] {
        let reply = gateway.api(&workspace, Ask::get(&format!("/v1/calls/{id}"))).await;
        assert_eq!(reply.refusal(), code(404, "calls.not_found"), "{id}");
        let reply = gateway.api(&workspace, Ask::post(&format!("/v1/calls/{id}/hangup"))).await;
        assert_eq!(reply.refusal(), code(404, "calls.not_found"), "{id}");
    }
    let twice = gateway.api(&workspace, Ask::get("/v1/wallet")).await;
    let again = gateway.api(&workspace, Ask::get("/v1/wallet")).await;
    assert_ne!(twice.header("x-request-id"), again.header("x-request-id"));
}

#[tokio::test]
async fn a_member_that_is_given_twice_is_named() {
    let (_carrier, gateway, workspace) = world();
    for (path, field) in [
        ("/v1/calls?limit=1&limit=2", "limit"),
        ("/v1/calls?status=busy&q=7&status=busy", "status"),
        ("/v1/wallet/ledger?limit=1&limit=1", "limit"),
        ("/v1/wallet/ledger?cursor=a&limit=1&cursor=b", "cursor"),
    ] {
        let reply = gateway.api(&workspace, Ask::get(path)).await;
        assert_eq!(reply.refusal(), code(422, "validation.failed"), "{path}");
        assert_eq!(reply.json()["error"]["fields"][0]["field"], json!(field), "{path}");
    }
    // What nobody asks for is nobody's fault, and text that is no UTF-8 is a value like another.
    gateway.get(&workspace, "/v1/calls?utm=1&utm=2&limit=1").await;
    let reply = gateway.api(&workspace, Ask::get("/v1/calls?status=%ff")).await;
    assert_eq!(reply.refusal(), code(422, "validation.failed"));
}

#[tokio::test]
async fn a_hangup_takes_no_body_or_one_that_is_json() {
    let (_carrier, gateway, workspace) = world();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let call = phone.talk(THEIRS).await;
    let hangup = || Ask::post(&format!("/v1/calls/{}/hangup", call.id()));
    for bad in ["[[[", "{\"reason\":", "hang up", "\u{0}"] {
        for ask in [hangup(), hangup().header("idempotency-key", "a")] {
            let reply = gateway.api(&workspace, ask.body(bad.to_owned())).await;
            assert_eq!(reply.refusal(), code(400, "request.malformed"), "{bad}");
        }
    }
    assert!(!phone.has(|sip| sip.method() == "BYE").await, "the call goes on");
    for good in ["", " ", "{}"] {
        gateway.api(&workspace, hangup().body(good)).await.good();
    }
    phone.hung_up(&call).await;
    gateway.ended_call(&workspace, &call.id()).await;
}

#[tokio::test]
async fn an_idempotency_key_gives_the_first_answer_again() {
    let (_carrier, gateway, workspace) = world();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let (mut one, mut two) = (phone.talk(THEIRS).await, phone.talk("+254722000002").await);
    let hangup = |id: &str, key: &str| {
        Ask::post(&format!("/v1/calls/{id}/hangup")).header("idempotency-key", key)
    };
    let first = gateway.api(&workspace, hangup(&one.id(), "a")).await;
    assert_eq!(first.header("idempotent-replay"), None);
    let again = gateway.api(&workspace, hangup(&one.id(), "a")).await;
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    assert_eq!(again.good(), first.good());
    phone.hung_up(&one).await;
    let other_call = gateway.api(&workspace, hangup(&two.id(), "a")).await;
    assert_eq!(other_call.refusal(), code(409, "idempotency.conflict"));
    let other_body = gateway.api(&workspace, hangup(&one.id(), "a").body("{\"x\":1}")).await;
    assert_eq!(other_body.refusal(), code(409, "idempotency.conflict"));
    assert!(!phone.has(|sip| sip.method() == "BYE").await, "the second call goes on");
    // A key of a refused request is free for the next one.
    let missing = gateway.api(&workspace, hangup(UNKNOWN, "b")).await;
    assert_eq!(missing.status, 404);
    gateway.api(&workspace, hangup(&two.id(), "b")).await.good();
    phone.hung_up(&two).await;
    for bad in [String::new(), "x".repeat(256)] {
        let reply = gateway.api(&workspace, hangup(&one.id(), &bad)).await;
        assert_eq!(reply.refusal(), code(422, "validation.failed"));
    }
    for call in [&mut one, &mut two] {
        gateway.ended_call(&workspace, &call.id()).await;
    }
    assert_eq!(common::ledger::check(&gateway.place).debits, 2);
}

#[tokio::test]
async fn calls_are_found_by_status_number_time_and_session() {
    let (carrier, gateway, workspace) = world();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let scripts = [Script::Refuse(486), Script::Answer, Script::Refuse(603), Script::Answer];
    let numbers: Vec<_> = (1..=4).map(|index| format!("+2547220{index}0000")).collect();
    for (count, (number, script)) in numbers.iter().zip(scripts).enumerate() {
        carrier.on(number, script);
        let mut call = phone.invite(Dial::to(number)).await;
        if phone.outcome(&mut call).await.status() == Some(200) {
            phone.hang_up(&mut call).await;
        }
        gateway.ended_calls(&workspace, count + 1).await;
    }
    let found = async |query: &str| -> Vec<String> {
        let list = gateway.get(&workspace, &format!("/v1/calls?{query}")).await;
        assert_eq!(list["next_cursor"], Value::Null, "{query}");
        let rows = list["data"].as_array().unwrap().iter();
        rows.map(|row| row["remote_e164"].as_str().unwrap()[8..9].to_owned()).collect()
    };
    assert_eq!(found("").await, ["4", "3", "2", "1"], "newest first");
    assert_eq!(found("status=completed").await, ["4", "2"]);
    assert_eq!(found("status=busy,failed").await, ["3", "1"]);
    assert_eq!(found("status=no_answer").await, [""; 0]);
    assert_eq!(found("direction=outbound").await.len(), 4);
    assert_eq!(found("direction=inbound").await, [""; 0]);
    assert_eq!(found("q=7220200").await, ["2"]);
    assert_eq!(found("q=%2B254%20722%20020").await, ["2"]);
    assert_eq!(found("q=700000001").await.len(), 4, "part of either number");
    let rows = gateway.ended_calls(&workspace, 4).await;
    let (id, started) = (rows[1]["id"].as_str().unwrap(), rows[1]["started_at"].as_str().unwrap());
    assert_eq!(found(&format!("session_id={id}")).await, ["3"]);
    assert_eq!(found(&format!("from={started}")).await, ["4", "3"]);
    assert_eq!(found(&format!("to={started}")).await, ["2", "1"]);
    assert_eq!(found(&format!("from={started}&status=completed&q=4")).await, ["4"]);
    for (query, field) in [
        ("status=done", "status"),
        ("direction=up", "direction"),
        ("q=x", "q"),
        ("session_id=x", "session_id"),
        ("from=yesterday", "from"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1000000000", "limit"),
        ("cursor=x", "cursor"),
    ] {
        let reply = gateway.api(&workspace, Ask::get(&format!("/v1/calls?{query}"))).await;
        assert_eq!(reply.refusal(), code(422, "validation.failed"), "{query}");
        assert_eq!(reply.json()["error"]["fields"][0]["field"], json!(field), "{query}");
    }
}

#[tokio::test]
async fn pages_stay_right_while_calls_are_added() {
    let (carrier, gateway, workspace) = world();
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut expected = BTreeSet::new();
    for index in 0..7 {
        let number = format!("+25472200010{index}");
        carrier.on(&number, Script::Refuse(486));
        phone.refused(Dial::to(&number)).await;
        expected.insert(number);
    }
    gateway.ended_calls(&workspace, 7).await;
    let mut seen = Vec::new();
    let mut path = "/v1/calls?limit=3".to_owned();
    loop {
        let page = gateway.get(&workspace, &path).await;
        let rows = page["data"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["remote_e164"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert_eq!(rows.len(), 3);
        path = format!("/v1/calls?limit=3&cursor={cursor}");
        // One more at the top moves nothing below.
        let number = "+254722000200";
        carrier.on(number, Script::Refuse(486));
        phone.refused(Dial::to(number)).await;
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);

    let mut amounts = Vec::new();
    for amount in [100, 200, 300] {
        gateway.place.credit(&workspace, amount);
    }
    let mut path = "/v1/wallet/ledger?limit=1".to_owned();
    loop {
        let page = gateway.get(&workspace, &path).await;
        amounts.push(page["data"][0]["amount_minor"].as_i64().unwrap());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/wallet/ledger?limit=1&cursor={cursor}");
    }
    assert_eq!(amounts, [300, 200, 100, 10_000]);
    let reply = gateway.api(&workspace, Ask::get("/v1/wallet/ledger?limit=x")).await;
    assert_eq!(reply.refusal(), code(422, "validation.failed"));
    until("the credits", async || (gateway.wallet(&workspace).await == (10_600, 0)).then_some(()))
        .await;
}

#[tokio::test]
async fn what_must_be_zero_is_told_as_zero_from_the_start() {
    let (_carrier, gateway, _workspace) = world();
    let figures = Ask::get("/metrics").send(gateway.admin).await;
    let text = String::from_utf8(figures.body.to_vec()).unwrap();
    for line in [
        "sautikit_unbilled_answered_calls 0",
        "sautikit_actor_panics_total{actor=\"call\"} 0",
        "sautikit_actor_panics_total{actor=\"connection\"} 0",
        "sautikit_media_panics_total 0",
        "sautikit_store_refused_total 0",
    ] {
        assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn the_admin_address_tells_of_life_readiness_and_figures() {
    let (_carrier, gateway, workspace) = world();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(Ask::get(path).send(gateway.admin).await.status, 200, "{path}");
    }
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    phone.hang_up(&mut call).await;
    gateway.ended_call(&workspace, &call.id()).await;
    let figures = Ask::get("/metrics").send(gateway.admin).await;
    assert!(figures.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(gateway.metric("sautikit_calls_total", "completed").await, 1.0);
    assert_eq!(gateway.metric("sautikit_handshakes_total", "accepted").await, 1.0);
    assert_eq!(gateway.metric("sautikit_tokens_minted_total", "").await, 1.0);
    let text = String::from_utf8(figures.body.to_vec()).unwrap();
    assert!(!text.contains(&workspace.id) && !text.contains("+254"), "labels are closed sets");
    let api = gateway.api(&workspace, Ask::get("/metrics")).await;
    assert_eq!(api.status, 404, "not on the public address");
}
