use sautikit_core::cause::HandshakeRefusal;
use sautikit_net::answer::{Answer, switching_protocols};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{handshake, head_of, pair};

fn text(answer: Answer) -> String {
    String::from_utf8(answer.into_bytes()).unwrap()
}

fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("{name}: ");
    text.split("\r\n").find_map(|line| line.strip_prefix(&prefix))
}

#[test]
fn every_refusal_says_its_status_code_and_cors() {
    for refusal in HandshakeRefusal::ALL {
        let text = text(Answer::refusal(refusal));
        assert!(text.starts_with(&format!("HTTP/1.1 {} ", refusal.status())), "{text}");
        assert_eq!(line(&text, "Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(line(&text, "Access-Control-Expose-Headers"), Some("Retry-After"));
        assert_eq!(line(&text, "Connection"), Some("close"));
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(line(&text, "Content-Length"), Some(body.len().to_string().as_str()));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], refusal.code());
        assert_eq!(body["error"]["message"], refusal.text());
        let id = body["error"]["request_id"].as_str().unwrap();
        assert!(id.starts_with("req_") && line(&text, "X-Request-Id") == Some(id));
    }
}

#[test]
fn a_401_challenges_and_a_429_or_503_says_when() {
    let invalid = text(Answer::refusal(HandshakeRefusal::TokenInvalid));
    assert_eq!(line(&invalid, "WWW-Authenticate"), Some("Bearer error=\"invalid_token\""));
    assert_eq!(line(&invalid, "Retry-After"), None);
    for refusal in [HandshakeRefusal::RateLimited, HandshakeRefusal::Draining] {
        let text = text(Answer::refusal(refusal));
        let seconds = line(&text, "Retry-After").unwrap().parse().unwrap();
        assert!(refusal.retry_after().unwrap().contains(&seconds), "{text}");
    }
}

#[test]
fn a_204_has_no_body_and_no_length() {
    for answer in [Answer::would_succeed(), Answer::preflight()] {
        let text = text(answer);
        assert!(text.starts_with("HTTP/1.1 204 No Content\r\n") && text.ends_with("\r\n\r\n"));
        assert_eq!(line(&text, "Content-Length"), None);
        assert_eq!(line(&text, "Access-Control-Allow-Origin"), Some("*"));
    }
    let preflight = text(Answer::preflight());
    assert_eq!(line(&preflight, "Access-Control-Allow-Headers"), Some("Authorization"));
    assert_eq!(line(&preflight, "Access-Control-Allow-Methods"), Some("GET, OPTIONS"));
}

#[test]
fn a_line_end_in_a_header_value_is_dropped() {
    let text = text(Answer::would_succeed().header("X-A", "b\r\nX-Evil: c\0"));
    assert_eq!(line(&text, "X-A"), Some("bX-Evil: c"));
}

#[tokio::test]
async fn the_101_accepts_sip_and_neither_token_nor_extension() {
    let lines = "Sec-WebSocket-Protocol: token.a.b.c, sip\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let head = head_of(handshake("/", lines)).await.unwrap();
    let answer = String::from_utf8(switching_protocols(&head).unwrap()).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n") && answer.ends_with("\r\n\r\n")
    );
    // The sample of RFC 6455 section 1.3.
    assert_eq!(line(&answer, "Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(line(&answer, "Sec-WebSocket-Protocol"), Some("sip"));
    assert!(!answer.contains("Extensions") && !answer.contains("a.b.c"));
}

#[tokio::test]
async fn a_broken_upgrade_is_refused_before_any_101() {
    for (from, to, status) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", 400),
        ("Sec-WebSocket-Key", "X-Other", 400),
        ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n", 400),
    ] {
        let head = head_of(handshake("/", "").replace(from, to)).await.unwrap();
        let answer = switching_protocols(&head).unwrap_err();
        assert_eq!(answer.status(), status, "{to}");
        if status == 426 {
            assert_eq!(line(&text(answer), "Sec-WebSocket-Version"), Some("13"));
        }
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_can_read_its_refusal() {
    let (mut client, server) = pair().await;
    let refuse = tokio::spawn(Answer::refusal(HandshakeRefusal::HeadTooLarge).finish(server));
    client.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert!(got.starts_with(b"HTTP/1.1 431 "));
    drop(client);
    refuse.await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_leaves_is_left_after_2_seconds() {
    let (client, server) = pair().await;
    let started = std::time::Instant::now();
    Answer::refusal(HandshakeRefusal::TokenInvalid).finish(server).await;
    assert!(started.elapsed() < std::time::Duration::from_secs(3));
    drop(client);
}
