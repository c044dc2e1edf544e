use std::time::{Duration, Instant};

use sautikit_net::head::{HeadError, Method, read_head};
use tokio::io::AsyncWriteExt;

use crate::support::{handshake, head_of, pair};

#[tokio::test]
async fn a_browsers_handshake_is_understood() {
    let lines = "Origin: https://app.example\r\nSec-WebSocket-Protocol: sip, token.a.b-_c\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let head = head_of(handshake("/sip?x=1", lines)).await.unwrap();
    assert_eq!((head.method(), head.path()), (Method::Get, "/sip"));
    assert!(head.is_upgrade() && head.offers_sip() && !head.is_preflight());
    assert_eq!(head.origin(), Some("https://app.example"));
    assert_eq!(head.header("HOST"), Some("gateway"));
    assert_eq!(head.token().unwrap().expose(), "a.b-_c");
}

#[tokio::test]
async fn the_token_is_found_in_each_of_its_three_places() {
    for (target, lines, expected) in [
        ("/?token=q.q.q", "", Some("q.q.q")),
        ("/?a=b&token=q%2Eq%2eq&c=", "", Some("q.q.q")),
        ("/", "Authorization: Bearer h.h.h\r\n", Some("h.h.h")),
        ("/", "authorization:bearer   h.h.h\r\n", Some("h.h.h")),
        ("/", "Sec-WebSocket-Protocol: token.s.s.s,sip\r\n", Some("s.s.s")),
        (
            "/",
            "Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Protocol: token.s.s.s\r\n",
            Some("s.s.s"),
        ),
        ("/?token=", "Authorization: Bearer h.h.h\r\n", Some("h.h.h")),
        ("/?token=q.q.q", "Authorization: Bearer h.h.h\r\n", Some("q.q.q")),
        ("/?xtoken=q.q.q", "", None),
        ("/", "Authorization: Basic aDpo\r\n", None),
        ("/", "Authorization: Bearer\r\n", None),
        ("/", "Authorization: Bearer two words\r\n", None),
        ("/", "", None),
    ] {
        let head = head_of(handshake(target, lines)).await.unwrap();
        let token = head.token();
        assert_eq!(token.as_ref().map(|token| token.expose()), expected, "{target} {lines}");
    }
}

#[tokio::test]
async fn the_token_never_shows_in_debug_output() {
    let lines = "Authorization: Bearer SECRET\r\nSec-WebSocket-Protocol: sip, token.SECRET\r\n";
    let head = head_of(handshake("/?token=SECRET", lines)).await.unwrap();
    let text = format!("{head:?} {head:#?} {:?}", head.token());
    assert!(text.contains("path") && !text.contains("SECRET"), "{text}");
}

#[tokio::test]
async fn a_plain_get_and_a_preflight_are_no_upgrade() {
    let get = head_of("GET / HTTP/1.1\r\nHost: g\r\n\r\n").await.unwrap();
    assert!(!get.is_upgrade() && get.method() == Method::Get);
    let old = handshake("/", "").replace("HTTP/1.1", "HTTP/1.0");
    assert!(!head_of(old).await.unwrap().is_upgrade());
    let options = head_of("OPTIONS /sip HTTP/1.1\r\nHost: g\r\n\r\n").await.unwrap();
    assert!(options.is_preflight() && options.path() == "/sip");
    let post = head_of("POST / HTTP/1.1\r\nHost: g\r\n\r\n").await.unwrap();
    assert_eq!(post.method(), Method::Other);
}

#[tokio::test]
async fn a_proxys_absolute_target_gives_the_same_path_and_query() {
    for (target, path) in [
        ("http://gateway:5066/sip?token=a.b.c", "/sip"),
        ("http://gateway?token=a.b.c", "/"),
        ("/?token=a.b.c&back=http://x/y", "/"),
    ] {
        let head = head_of(handshake(target, "")).await.unwrap();
        assert_eq!(head.path(), path);
        assert_eq!(head.token().unwrap().expose(), "a.b.c");
    }
}

#[tokio::test]
async fn a_second_origin_matches_no_allow_list() {
    let lines = "Origin: https://app.example\r\nOrigin: https://evil.example\r\n";
    assert_eq!(head_of(handshake("/", lines)).await.unwrap().origin(), Some(""));
}

#[tokio::test]
async fn a_header_that_is_no_text_is_absent_but_an_origin_is_nobodys() {
    let mut bytes = handshake("/", "X: _\r\nX: b\r\nOrigin: _\r\n").into_bytes();
    for byte in bytes.iter_mut().filter(|byte| **byte == b'_') {
        *byte = 0xff;
    }
    let head = head_of(&bytes).await.unwrap();
    assert_eq!(head.header("x"), Some("b"));
    assert_eq!(head.origin(), Some(""), "no allow-list holds it, and absence would pass one");
}

#[tokio::test]
async fn what_follows_the_head_is_kept_for_the_web_socket() {
    let mut bytes = handshake("/", "").into_bytes();
    bytes.extend([0x81, 0x80, 1, 2, 3, 4]);
    let mut head = head_of(bytes).await.unwrap();
    assert_eq!(head.take_leftover(), [0x81, 0x80, 1, 2, 3, 4]);
    assert!(head.take_leftover().is_empty());
    assert_eq!(head.path(), "/");
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_read_whole() {
    let (mut client, mut server) = pair().await;
    client.set_nodelay(true).unwrap();
    let text = handshake("/sip?token=a.b.c", "");
    let write = async {
        for byte in text.as_bytes() {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (head, ()) = tokio::join!(read_head(&mut server), write);
    assert!(head.unwrap().is_upgrade());
}

#[tokio::test]
async fn sixteen_kib_pass_and_one_byte_more_does_not() {
    let empty = handshake("/", "X-Pad: \r\n").len();
    let padded = |length: usize| handshake("/", &format!("X-Pad: {}\r\n", "x".repeat(length)));
    let largest = padded(16 * 1024 - empty);
    assert_eq!(largest.len(), 16 * 1024);
    assert!(head_of(largest).await.is_ok());
    assert_eq!(head_of(padded(16 * 1024 - empty + 1)).await.unwrap_err(), HeadError::TooLarge);
}

#[tokio::test]
async fn sixty_four_headers_pass_and_one_more_does_not() {
    let with = |count: usize| {
        let lines: String = (0..count).map(|n| format!("X-{n}: v\r\n")).collect();
        format!("GET / HTTP/1.1\r\n{lines}\r\n")
    };
    assert!(head_of(with(64)).await.is_ok());
    assert_eq!(head_of(with(65)).await.unwrap_err(), HeadError::TooLarge);
}

#[tokio::test]
async fn a_megabyte_of_header_is_refused_after_its_first_16_kib() {
    let (mut client, mut server) = pair().await;
    let write = async move {
        let _ = client.write_all(b"GET / HTTP/1.1\r\nX: ").await;
        let _ = client.write_all(&vec![b'x'; 1 << 20]).await;
        client
    };
    let task = tokio::spawn(write);
    assert_eq!(read_head(&mut server).await.unwrap_err(), HeadError::TooLarge);
    drop(server);
    task.await.unwrap();
}

#[tokio::test]
async fn what_is_no_http_is_refused_at_once() {
    for noise in [
        b"\x16\x03\x01\x02\x00\x01\x00" as &[u8],
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken header\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
    ] {
        let error = head_of(noise).await.unwrap_err();
        assert_eq!(error, HeadError::Malformed, "{}", String::from_utf8_lossy(noise));
    }
}

#[tokio::test]
async fn a_client_that_leaves_within_its_head_gets_no_answer() {
    for part in ["", "GET / HTTP/1.1\r\nHost:"] {
        let error = head_of(part).await.unwrap_err();
        assert_eq!((error, error.refusal()), (HeadError::Closed, None));
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_given_up_after_5_seconds() {
    let (mut client, mut server) = pair().await;
    let (_silent, mut silent_server) = pair().await;
    let started = Instant::now();
    let trickle = async {
        for byte in b"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" {
            if client.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let reads = async { tokio::join!(read_head(&mut server), read_head(&mut silent_server)) };
    let (slow, silent) = tokio::select! { got = reads => got, () = trickle => unreachable!() };
    assert_eq!((slow.unwrap_err(), silent.unwrap_err()), (HeadError::Timeout, HeadError::Timeout));
    let took = started.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(8)).contains(&took), "{took:?}");
}
