//! The WebSocket's edge: who is let in and how the others are told, and what a session may send.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::time::{Duration, Instant};

use common::carrier::{Carrier, Script};
use common::forge;
use common::frames::{self, BINARY, CLOSE, CONTINUATION, FIN, Frames, PING, PONG, RSV1, TEXT};
use common::gateway::{Gateway, Setup, Workspace};
use common::http::{Ask, Reply};
use common::phone::Phone;
use common::sip::Sip;
use common::{OURS, THEIRS, until};
use sautikit_net::client::{ConnectError, TokenPlace};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn world(setup: Setup) -> (Gateway, Workspace) {
    let workspace = setup.place.workspace(10_000, &[OURS]);
    (setup.start(), workspace)
}

/// A handshake as a browser sends it, without the upgrade happening: all of it but the token.
fn upgrade(path: &str) -> Ask {
    Ask::get(path)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

fn cors(reply: &Reply) {
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("access-control-expose-headers"), Some("Retry-After"));
}

/// The handshake and the plain GET of the same path are refused alike, and a page can read why.
async fn refused(gateway: &Gateway, query: &str, more: &[(&str, &str)]) -> Reply {
    let with = |ask: Ask| more.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
    let path = format!("/{query}");
    let handshake = with(upgrade(&path)).header("sec-websocket-protocol", "sip");
    let handshake = handshake.send(gateway.ws).await;
    let plain = with(Ask::get(&path)).send(gateway.ws).await;
    assert_eq!(plain.refusal(), handshake.refusal(), "{query}");
    for name in ["www-authenticate", "content-type"] {
        assert_eq!(plain.header(name), handshake.header(name));
    }
    for reply in [&plain, &handshake] {
        cors(reply);
        let waits = matches!(reply.status, 429 | 503);
        let seconds = reply.header("retry-after").map(|text| text.parse::<u32>().unwrap());
        assert_eq!(seconds.is_some_and(|seconds| (1..=10).contains(&seconds)), waits, "{reply:?}");
        let challenge = reply.header("www-authenticate");
        let wanted = (reply.status == 401).then_some("Bearer error=\"invalid_token\"");
        assert_eq!(challenge, wanted);
    }
    handshake
}

async fn refused_token(gateway: &Gateway, token: &str) -> (u16, String) {
    gateway.place.keep_out_of_logs(token);
    refused(gateway, &format!("?token={token}"), &[]).await.refusal()
}

#[tokio::test]
async fn a_token_is_taken_from_each_of_its_three_places() {
    let (gateway, workspace) = world(Setup::new());
    let token = gateway.token(&workspace, Value::Null).await;
    for place in [TokenPlace::Query, TokenPlace::Header, TokenPlace::Subprotocol] {
        let opened = Phone::open_with(&gateway, &token, place, &workspace.id).await;
        let mut phone = opened.unwrap_or_else(|error| panic!("{place:?}: {error}"));
        assert_eq!(phone.register("").await.status(), Some(200), "{place:?}");
    }
    for path in ["/", "/sip"] {
        let asked = Ask::get(path).bearer(&token).send(gateway.ws).await;
        assert_eq!((asked.status, asked.body.len()), (204, 0), "{path}");
        cors(&asked);
    }
    let query = Ask::get(&format!("/sip?a=b&token={token}")).send(gateway.ws).await;
    assert_eq!(query.status, 204);
}

#[tokio::test]
async fn the_101_carries_sip_and_nothing_that_was_not_asked_for() {
    let (gateway, workspace) = world(Setup::new());
    let token = gateway.token(&workspace, Value::Null).await;
    let more = format!(
        "Sec-WebSocket-Protocol: token.{token}\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    );
    let (_frames, answer) = Frames::open(gateway.ws, &token, &more).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let lower = answer.to_ascii_lowercase();
    assert!(lower.contains("\r\nsec-websocket-protocol: sip\r\n"), "{answer}");
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "RFC 6455's own example: {answer}");
    assert!(!lower.contains("extensions") && !lower.contains("token"), "{answer}");
}

#[tokio::test]
async fn every_bad_token_is_refused_alike() {
    let limit = "failed_handshakes_per_second_per_address";
    let (gateway, workspace) = world(Setup::new().limit(limit, 0));
    let mut messages = Vec::new();
    for (what, token) in forge::bad_tokens(&workspace.id) {
        gateway.place.keep_out_of_logs(&token);
        let reply = refused(&gateway, &format!("?token={token}"), &[]).await;
        assert_eq!(reply.refusal(), (401, "token.invalid".to_owned()), "{what}");
        messages.push(reply.json()["error"]["message"].clone());
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "the answer tells nothing of what is wrong: {messages:?}");
    for query in ["", "?token=", "?tokens=x"] {
        let reply = refused(&gateway, query, &[]).await;
        assert_eq!(reply.refusal(), (401, "token.invalid".to_owned()), "{query}");
    }
    let reply = refused(&gateway, "", &[("authorization", "Basic YTpi")]).await;
    assert_eq!(reply.refusal(), (401, "token.invalid".to_owned()));
}

#[tokio::test]
async fn a_token_of_the_next_key_is_taken_and_the_active_key_signs() {
    let next = "the next signing key of the tests, as long";
    let (gateway, workspace) = world(Setup::new().env("SAUTIKIT_SIP_TOKEN_SIGNING_KEY_NEXT", next));
    gateway.place.keep_out_of_logs(next);
    let claims = forge::claims(&workspace.id, 0).to_string();
    let token = forge::signed(forge::HEADER, &claims, next.as_bytes());
    let mut phone = Phone::open(&gateway, &token, &workspace.id).await.unwrap();
    assert_eq!(phone.register("").await.status(), Some(200));
    let with_id = r#"{"alg":"HS256","typ":"JWT","kid":"../../dev/null"}"#;
    let token = forge::signed(with_id, &claims, next.as_bytes());
    assert!(Phone::open(&gateway, &token, &workspace.id).await.is_ok(), "a kid is ignored");
    assert!(forge::is_signed(&gateway.token(&workspace, Value::Null).await));
}

#[tokio::test]
async fn an_expired_token_an_unknown_workspace_and_a_suspended_one_are_told_apart() {
    let limit = "failed_handshakes_per_second_per_address";
    let (gateway, workspace) = world(Setup::new().limit(limit, 0));
    let aged = |age: i64| forge::token(&forge::claims(&workspace.id, age));
    let code = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(refused_token(&gateway, &aged(310)).await, code(401, "token.expired"));
    let within_leeway = aged(302);
    gateway.place.keep_out_of_logs(&within_leeway);
    let asked = Ask::get(&format!("/?token={within_leeway}")).send(gateway.ws).await;
    assert_eq!(asked.status, 204, "clocks may differ by 5 s");
    let nobody = forge::token(&forge::claims("01890a5d-ac96-774b-bcce-b302099a8057", 0));
    assert_eq!(refused_token(&gateway, &nobody).await, code(403, "account.unknown"));

    let token = gateway.token(&workspace, Value::Null).await;
    let mut phone = Phone::open(&gateway, &token, &workspace.id).await.unwrap();
    gateway.place.sql("UPDATE workspaces SET status = 'suspended'");
    assert_eq!(phone.closed().await.0, 4403);
    assert_eq!(refused_token(&gateway, &token).await, code(403, "account.suspended"));
    let mint = gateway.api(&workspace, Ask::post("/v1/sip/token")).await;
    assert_eq!(mint.refusal(), code(403, "account.suspended"));
    gateway.place.sql("UPDATE workspaces SET status = 'active'");
    until("the workspace to be served again", async || {
        Phone::open(&gateway, &token, &workspace.id).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_suspended_workspaces_call_goes_on_and_its_session_is_closed_after_it() {
    let carrier = Carrier::start(Script::Answer);
    let setup = Setup::new().trunk("carrier", carrier.address(), &["+254"]);
    let (gateway, workspace) = world(setup);
    let mut talking = Phone::of(&gateway, &workspace).await;
    let mut idle = Phone::of(&gateway, &workspace).await;
    let mut call = talking.talk(THEIRS).await;
    gateway.place.sql("UPDATE workspaces SET status = 'suspended'");
    assert_eq!(idle.closed().await.0, 4403);
    let dial = common::phone::Dial::to("+254722000002");
    let answer = talking.refused(dial).await;
    assert_eq!(answer.refusal(), (403, "account.suspended".to_owned()));
    assert_eq!(talking.hang_up(&mut call).await.status(), Some(200));
    assert_eq!(talking.closed().await.0, 4403);
    assert_eq!(common::ledger::check(&gateway.place).debits, 1);
}

#[tokio::test]
async fn without_the_subprotocol_sip_there_is_no_socket() {
    let (gateway, workspace) = world(Setup::new());
    let token = gateway.token(&workspace, Value::Null).await;
    let path = format!("/?token={token}");
    for offered in [None, Some("SIP"), Some("chat, msrp")] {
        let ask = offered.map_or_else(
            || upgrade(&path),
            |offered| upgrade(&path).header("sec-websocket-protocol", offered),
        );
        let reply = ask.send(gateway.ws).await;
        assert_eq!(reply.refusal(), (400, "handshake.subprotocol".to_owned()), "{offered:?}");
        cors(&reply);
    }
}

#[tokio::test]
async fn only_listed_origins_are_let_in_where_there_is_a_list() {
    let setup = Setup::new().env("SAUTIKIT_ALLOWED_ORIGINS", "https://app.example.com");
    let (gateway, workspace) = world(setup);
    let token = gateway.token(&workspace, Value::Null).await;
    let query = format!("?token={token}");
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.com.evil.example",
        "https://app.example.com:8443",
        "http://app.example.com",
        "https://evil.example/https://app.example.com",
    ] {
        let reply = refused(&gateway, &query, &[("origin", origin)]).await;
        assert_eq!(reply.refusal(), (403, "origin.not_allowed".to_owned()), "{origin}");
    }
    for origin in [Some("https://app.example.com"), None] {
        let ask = Ask::get(&format!("/{query}"));
        let ask = origin
            .map_or_else(|| Ask::get(&format!("/{query}")), |origin| ask.header("origin", origin));
        assert_eq!(ask.send(gateway.ws).await.status, 204, "{origin:?}");
    }
}

#[tokio::test]
async fn a_preflight_other_paths_and_other_methods_are_answered() {
    let (gateway, workspace) = world(Setup::new());
    let preflight = Ask::new("OPTIONS".parse().unwrap(), "/sip")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization")
        .send(gateway.ws)
        .await;
    assert_eq!(preflight.status, 204);
    cors(&preflight);
    assert_eq!(preflight.header("access-control-allow-headers"), Some("Authorization"));
    let elsewhere = Ask::get("/elsewhere").send(gateway.ws).await;
    assert_eq!(elsewhere.refusal(), (404, "not_found".to_owned()));
    let post = Ask::post("/").send(gateway.ws).await;
    assert_eq!(post.refusal(), (405, "method_not_allowed".to_owned()));
    assert_eq!(post.header("allow"), Some("GET, OPTIONS"));
    let version = upgrade("/").header("sec-websocket-protocol", "sip");
    let token = forge::token(&forge::claims(&workspace.id, 0));
    gateway.place.keep_out_of_logs(&token);
    let reply = version.bearer(&token).send(gateway.ws).await;
    assert_eq!(reply.status, 101);
    let head = frames::head("/", "Sec-WebSocket-Protocol: sip\r\n").replace(": 13", ": 8");
    let head = head.replace("Host", &format!("Authorization: Bearer {token}\r\nHost"));
    let answer = frames::exchange(gateway.ws, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 426 ") && answer.contains("Version: 13"), "{answer}");
}

#[tokio::test]
async fn too_many_failures_from_one_address_are_told_to_wait() {
    let limit = "failed_handshakes_per_second_per_address";
    let (gateway, workspace) = world(Setup::new().limit(limit, 3));
    let token = gateway.token(&workspace, Value::Null).await;
    let mut phone = Phone::open(&gateway, &token, &workspace.id).await.unwrap();
    let limited = until("the limit", async || {
        let reply = upgrade("/?token=x").header("sec-websocket-protocol", "sip");
        let reply = reply.send(gateway.ws).await;
        (reply.status == 429).then_some(reply)
    })
    .await;
    assert_eq!(limited.refusal(), (429, "handshake.rate_limited".to_owned()));
    assert!(limited.header("retry-after").is_some());
    cors(&limited);
    assert_eq!(phone.options().await.status(), Some(200), "who is in stays in");
    until("the address to be let in again", async || {
        Phone::open(&gateway, &token, &workspace.id).await.ok()
    })
    .await;
}

#[tokio::test]
async fn sessions_have_a_limit_for_the_workspace_and_for_the_node() {
    let setup = Setup::new().limit("sessions_per_workspace", 2).limit("sessions_max", 3);
    let other = setup.place.workspace(0, &[]);
    let (gateway, workspace) = world(setup);
    let mut phones = Vec::new();
    for _ in 0..2 {
        phones.push(Phone::of(&gateway, &workspace).await);
    }
    let token = gateway.token(&workspace, Value::Null).await;
    let full = refused_token(&gateway, &token).await;
    assert_eq!(full, (429, "sessions.limit_reached".to_owned()));
    let _third = Phone::of(&gateway, &other).await;
    assert_eq!(refused_token(&gateway, &token).await, (503, "gateway.overloaded".to_owned()));
    let error = Phone::open(&gateway, &token, &workspace.id).await.err().unwrap();
    assert!(
        matches!(&error, ConnectError::Refused { status: 503, retry_after: Some(1..), .. }),
        "{error:?}"
    );
    phones.pop().unwrap().close(1000).await;
    until("the freed place", async || Phone::open(&gateway, &token, &workspace.id).await.ok())
        .await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431_and_one_that_never_ends_is_closed() {
    let limit = "failed_handshakes_per_second_per_address";
    let (gateway, workspace) = world(Setup::new().limit(limit, 0));
    let started = Instant::now();
    let mut slow = TcpStream::connect(gateway.ws).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
    let silent = TcpStream::connect(gateway.ws).await.unwrap();
    let many = "X: y\r\n".repeat(65);
    let cases = [
        frames::head("/", &format!("X: {}\r\n", "y".repeat(17_000))),
        frames::head("/", &many),
        frames::head("/", &"X: y\r\n".repeat(2_000)),
        frames::head(&format!("/?token={}", "y".repeat(100_000)), ""),
        format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(1_000_000)),
    ];
    for head in cases {
        let answer = frames::exchange(gateway.ws, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{} bytes: {answer}", head.len());
        assert!(answer.contains("\"handshake.too_large\""), "{answer}");
    }
    let noise = frames::exchange(gateway.ws, b"\x16\x03\x01\x02\x00\x01\x00\x01").await;
    assert!(noise.is_empty() || noise.starts_with("HTTP/1.1 400 "), "{noise}");
    // Others are let in meanwhile.
    let mut phone = Phone::of(&gateway, &workspace).await;
    assert_eq!(phone.options().await.status(), Some(200));
    for mut stream in [slow, silent] {
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
        tokio::time::timeout(common::PATIENCE, read).await.expect("it is closed").unwrap();
        assert!(rest.is_empty(), "without a word");
    }
    let waited = started.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(10)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn an_address_holds_only_so_many_sockets_without_a_token() {
    let (gateway, workspace) = world(Setup::new().limit("unauthenticated_per_address", 2));
    let token = gateway.token(&workspace, Value::Null).await;
    let mut phone = Phone::open(&gateway, &token, &workspace.id).await.unwrap();
    let silent = [
        TcpStream::connect(gateway.ws).await.unwrap(),
        TcpStream::connect(gateway.ws).await.unwrap(),
    ];
    until("a third to be sent away", async || {
        let answer = frames::exchange(gateway.ws, frames::head("/", "").as_bytes()).await;
        answer.is_empty().then_some(())
    })
    .await;
    assert_eq!(phone.options().await.status(), Some(200), "who is in stays in");
    drop(silent);
    until("the places to be free again", async || {
        Phone::open(&gateway, &token, &workspace.id).await.ok()
    })
    .await;
}

/// REGISTER as one message; `id` tells its answer from others.
fn register(user: &str, id: &str, length: &str) -> String {
    format!(
        "REGISTER sip:gw SIP/2.0\r\nVia: SIP/2.0/WS b.invalid;branch=z9hG4bK{id}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@gw>;tag=1\r\nTo: <sip:{user}@gw>\r\n\
         Call-ID: {id}\r\nCSeq: 1 REGISTER\r\nContact: <sip:x@b.invalid;transport=ws>\r\n\
         {length}\r\n"
    )
}

async fn raw(gateway: &Gateway, workspace: &Workspace) -> Frames {
    let token = gateway.token(workspace, Value::Null).await;
    let (frames, answer) = Frames::open(gateway.ws, &token, "").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    frames
}

#[tokio::test]
async fn messages_come_in_text_binary_and_fragments_alike() {
    let (gateway, workspace) = world(Setup::new());
    let mut frames = raw(&gateway, &workspace).await;
    let length = "Content-Length: 0\r\n";
    let user = &workspace.id;
    frames.send(FIN | TEXT, register(user, "text", length).as_bytes()).await;
    frames.send(FIN | BINARY, register(user, "binary", length).as_bytes()).await;
    let whole = register(user, "parts", length);
    let (first, rest) = whole.as_bytes().split_at(30);
    let (second, third) = rest.split_at(30);
    frames.send(TEXT, first).await;
    frames.send(CONTINUATION, second).await;
    frames.send(FIN | PING, b"between").await;
    frames.send(CONTINUATION, b"").await;
    frames.send(FIN | CONTINUATION, third).await;
    frames.send(FIN | TEXT, register(user, "no-length", "").as_bytes()).await;
    let mut answers = Vec::new();
    while answers.len() < 4 {
        match frames.next().await {
            (opcode, payload) if opcode == FIN | PONG => assert_eq!(payload, b"between"),
            (opcode, payload) => {
                assert_eq!(opcode, FIN | TEXT);
                answers.push(Sip::parse(&payload));
            }
        }
    }
    let ids: Vec<_> = answers.iter().map(Sip::call_id).collect();
    assert_eq!(ids, ["text", "binary", "parts", "no-length"]);
    let told: Vec<_> =
        answers.iter().map(|answer| (answer.status(), answer.must("contact").to_owned())).collect();
    assert!(told.iter().all(|each| *each == told[0] && each.0 == Some(200)), "{told:?}");
}

#[tokio::test]
async fn a_second_message_in_one_frame_is_never_carried_out() {
    let (gateway, workspace) = world(Setup::new());
    let mut frames = raw(&gateway, &workspace).await;
    let one = register(&workspace.id, "one", "Content-Length: 0\r\n");
    let two = register(&workspace.id, "two", "Content-Length: 0\r\n");
    frames.send(FIN | TEXT, format!("{one}{two}").as_bytes()).await;
    // Without a length the rest of the frame is the body.
    let three = register(&workspace.id, "three", "");
    frames.send(FIN | TEXT, format!("{three}{two}").as_bytes()).await;
    frames.send(FIN | TEXT, register(&workspace.id, "last", "").as_bytes()).await;
    loop {
        let (_, payload) = frames.next().await;
        let answer = Sip::parse(&payload);
        assert_ne!(answer.call_id(), "two");
        if answer.call_id() == "last" {
            break;
        }
    }
}

#[tokio::test]
async fn keep_alives_are_answered_at_once() {
    let (gateway, workspace) = world(Setup::new());
    let mut frames = raw(&gateway, &workspace).await;
    frames.send(FIN | TEXT, b"\r\n\r\n").await;
    assert_eq!(frames.next().await, (FIN | TEXT, b"\r\n".to_vec()));
    frames.send(FIN | TEXT, b"\r\n").await;
    frames.send(FIN | PING, b"still there?").await;
    assert_eq!(frames.next().await, (FIN | PONG, b"still there?".to_vec()));
    frames.send(FIN | CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(frames.close_code().await, 1000);
}

#[tokio::test]
async fn whoever_breaks_the_framing_is_closed_and_nobody_else_notices() {
    let (gateway, workspace) = world(Setup::new());
    let mut other = Phone::of(&gateway, &workspace).await;
    let mut frames = raw(&gateway, &workspace).await;
    frames.send_bytes(b"\x81\x04\r\n\r\n").await;
    assert_eq!(frames.close_code().await, 1002, "an unmasked frame");
    let cases: [(&str, u8, Vec<u8>, u16); 6] = [
        ("a reserved bit", FIN | RSV1 | TEXT, b"\r\n\r\n".to_vec(), 1002),
        ("an unknown opcode", FIN | 3, b"x".to_vec(), 1002),
        ("a continuation of nothing", FIN | CONTINUATION, b"x".to_vec(), 1002),
        ("a fragmented ping", PING, b"x".to_vec(), 1002),
        ("text that is no UTF-8", FIN | TEXT, vec![0xff, 0xfe], 1007),
        ("a frame of 1 MiB", FIN | TEXT, vec![b'x'; 1024 * 1024], 1009),
    ];
    for (what, first, payload, code) in cases {
        let mut frames = raw(&gateway, &workspace).await;
        frames.send(first, &payload).await;
        assert_eq!(frames.close_code().await, code, "{what}");
    }
    let mut frames = raw(&gateway, &workspace).await;
    frames.send(TEXT, &vec![b'x'; 40_000]).await;
    frames.send(FIN | CONTINUATION, &vec![b'x'; 40_000]).await;
    assert_eq!(frames.close_code().await, 1009, "a message over the limit in fragments");
    assert_eq!(other.options().await.status(), Some(200));
}

#[tokio::test]
async fn a_flood_of_empty_fragments_is_closed() {
    let (gateway, workspace) = world(Setup::new());
    let mut frames = raw(&gateway, &workspace).await;
    frames.send(TEXT, b"OPTIONS").await;
    let fragments = [CONTINUATION, 0x80, 0, 0, 0, 0].repeat(100_000);
    let mut other = Phone::of(&gateway, &workspace).await;
    // It may be closed before it has sent all.
    let _ = tokio::time::timeout(common::PATIENCE, frames.send_bytes(&fragments)).await;
    assert_eq!(frames.close_code().await, 1009);
    assert_eq!(other.options().await.status(), Some(200));
}

#[tokio::test]
async fn an_unreadable_message_is_refused_or_passed_over_by_its_kind_and_the_session_goes_on() {
    let (gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let good = phone.register_request(&workspace.id, "");
    let after_cseq = |more: &str| good.replace("Contact:", &format!("{more}Contact:"));
    // What cannot be answered, since it names nobody to answer, is passed over in silence.
    let cases = [
        ("noise", "noise".to_owned(), None),
        ("a response to nothing", "SIP/2.0 200 OK\r\n\r\n".to_owned(), None),
        ("no version", good.replace(" SIP/2.0\r\n", "\r\n"), Some(400)),
        ("another version", good.replacen(" SIP/2.0\r\n", " SIP/7.0\r\n", 1), Some(505)),
        ("CSeq of another method", good.replace("1 REGISTER", "1 INVITE"), Some(400)),
        ("CSeq too large", good.replace("1 REGISTER", "4294967296 REGISTER"), Some(400)),
        ("a huge length", good.replace("Length: 0", "Length: 4294967296"), Some(513)),
        ("a body that is missing", good.replace("Length: 0", "Length: 10"), Some(400)),
        ("too many headers", after_cseq(&"X: y\r\n".repeat(200)), Some(513)),
        ("a long line", after_cseq(&format!("X: {}\r\n", "y".repeat(20_000))), Some(513)),
        ("an extension", after_cseq("Require: teleport\r\n"), Some(420)),
        ("a NUL", good.replace("sip:sip.", "sip:\0sip."), Some(400)),
        ("no From", good.replace("From:", "Xfrom:"), Some(400)),
        ("no CSeq", good.replace("CSeq:", "Xcseq:"), None),
    ];
    for (what, text, status) in cases {
        phone.send(text).await;
        let answered = phone.has(|sip| sip.cseq().1 != "OPTIONS").await;
        let answer = if answered {
            phone.find("it", |sip| sip.cseq().1 != "OPTIONS").await.status()
        } else {
            None
        };
        assert_eq!(answer, status, "{what}");
    }
    assert_eq!(phone.register("").await.status(), Some(200));
}

#[tokio::test]
async fn methods_that_are_not_served_are_refused_outside_a_call() {
    let (gateway, workspace) = world(Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let uri = format!("sip:{OURS}@gw");
    for method in ["MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER", "DANCE"] {
        let answer = phone.ask(phone.request(method, &uri, &uri, "")).await;
        assert!(matches!(answer.status(), Some(405 | 501)), "{answer}");
        assert!(!answer.must("allow").contains(method), "{answer}");
    }
    for method in ["INFO"] {
        let answer = phone.ask(phone.request(method, &uri, &uri, "")).await;
        assert_eq!(answer.status(), Some(403), "{answer}");
    }
    for method in ["BYE", "UPDATE", "PRACK"] {
        let to = format!("{uri}>;tag=unknown;x=<");
        let answer = phone.ask(phone.request(method, &uri, &to, "")).await;
        assert!(matches!(answer.status(), Some(400 | 481)), "{answer}");
    }
}

#[tokio::test]
async fn a_session_registers_its_own_address_and_no_other() {
    let (gateway, workspace) = world(Setup::new());
    let token = gateway.token(&workspace, json!({"identity": "alice"})).await;
    let mut alice = Phone::open(&gateway, &token, "alice").await.unwrap();
    let registered = alice.register("").await;
    assert_eq!(registered.status(), Some(200));
    assert!(registered.must("contact").ends_with(";expires=300"), "{registered}");
    for other in ["bob", &workspace.id, OURS] {
        let answer = alice.ask(alice.register_request(other, "")).await;
        assert_eq!(answer.refusal(), (403, "token.not_allowed".to_owned()), "{other}");
    }
    let mut plain = Phone::of(&gateway, &workspace).await;
    assert_eq!(plain.register("").await.status(), Some(200));
    let answer = plain.ask(plain.register_request("alice", "")).await;
    assert_eq!(answer.status(), Some(403));
}

#[tokio::test]
async fn a_session_that_floods_is_told_to_slow_down_and_then_closed() {
    let (gateway, workspace) = world(Setup::new());
    let mut other = Phone::of(&gateway, &workspace).await;
    let mut phone = Phone::of(&gateway, &workspace).await;
    let uri = "sip:gw";
    let mut refused = 0;
    for _ in 0..60 {
        phone.send(phone.request("OPTIONS", uri, uri, "")).await;
    }
    for _ in 0..60 {
        let answer = Sip::parse(&phone.next().await);
        if answer.status() != Some(200) {
            assert_eq!(answer.refusal(), (503, "session.rate_limited".to_owned()));
            assert!(answer.retry_after() >= Some(1), "{answer}");
            refused += 1;
        }
    }
    assert!((5..=20).contains(&refused), "40 at once are fine: {refused} were refused");
    assert_eq!(other.options().await.status(), Some(200));
    let mut frames = raw(&gateway, &workspace).await;
    let flood = other.request("OPTIONS", uri, uri, "");
    for _ in 0..600 {
        frames.send(FIN | TEXT, flood.as_bytes()).await;
    }
    assert_eq!(frames.close_code().await, 4429);
    assert_eq!(other.options().await.status(), Some(200));
}

#[tokio::test]
async fn a_session_that_floods_with_what_is_never_answered_is_closed_too() {
    let (gateway, workspace) = world(Setup::new());
    let mut other = Phone::of(&gateway, &workspace).await;
    let ack = other.request("ACK", "sip:gw", "<sip:gw>;tag=nobody", "");
    let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/WS b;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
                    To: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n";
    for noise in [ack.as_str(), response, "\r\n\r\n"] {
        let mut frames = raw(&gateway, &workspace).await;
        for _ in 0..1_500 {
            frames.send(FIN | TEXT, noise.as_bytes()).await;
        }
        assert_eq!(frames.close_code().await, 4429, "{noise}");
    }
    assert_eq!(other.options().await.status(), Some(200));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_nobody_else_notices() {
    let setup = Setup::new().without_limits();
    let (gateway, workspace) = world(setup);
    let mut other = Phone::of(&gateway, &workspace).await;
    let mut frames = raw(&gateway, &workspace).await;
    // Each asks for an answer that repeats its long Via; none is read.
    let via = format!("Via: SIP/2.0/WS b.invalid;branch=z9hG4bK1;x={}\r\n", "y".repeat(7_000));
    let flood = other.request("OPTIONS", "sip:gw", "sip:gw", &via);
    let sent = async {
        for _ in 0..10_000 {
            frames.send(FIN | TEXT, flood.as_bytes()).await;
        }
    };
    // Writing stops when the gateway has closed, or stops reading.
    let closed = async {
        until("the slow reader to be closed", async || {
            let closed = gateway.metric("sautikit_sessions_closed_total", "").await;
            (closed > 0.0).then_some(())
        })
        .await;
    };
    tokio::select! {
        () = closed => {}
        () = async { sent.await; std::future::pending().await } => {}
    }
    let label = "code=\"too_slow\"";
    assert_eq!(gateway.metric("sautikit_sessions_closed_total", label).await, 1.0);
    assert_eq!(gateway.metric("sautikit_sessions_closed_total", "").await, 1.0, "no other");
    assert_eq!(other.options().await.status(), Some(200));
}
