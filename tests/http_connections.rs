//! Connections to the HTTP addresses: how long a silent one is kept, how many there may be, and
//! what one does to a gateway that stops.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::gateway::{Gateway, Setup, Workspace};
use common::http::Ask;
use futures_util::future::join_all;
use sautikit_core::limits::HTTP_CONNECTIONS_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HALF_A_HEAD: &[u8] = b"GET /v1/calls HTT";
const WHOLE_HEAD: &[u8] = b"GET /v1/calls HTTP/1.1\r\nhost: gateway\r\n\r\n";
const BODY_TO_COME: &[u8] =
    b"POST /v1/sip/token HTTP/1.1\r\nhost: gateway\r\ncontent-length: 9\r\n\r\n";

/// The bound of a head, and what a busy machine may add to it.
const CLOSED_AFTER: std::ops::Range<Duration> = Duration::from_secs(4)..Duration::from_secs(9);

fn gateway() -> (Setup, Gateway) {
    let setup = Setup::new().trunk("carrier", "127.0.0.1:9".parse().unwrap(), &["+254"]);
    let gateway = setup.start();
    (setup, gateway)
}

fn gateway_with_workspace() -> (Workspace, Gateway) {
    let setup = Setup::new().trunk("carrier", "127.0.0.1:9".parse().unwrap(), &["+254"]);
    let workspace = setup.place.workspace(0, &[]);
    (workspace, setup.start())
}

async fn connect(to: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

/// What came until the gateway closed, and how long that took.
async fn until_closed(mut stream: TcpStream) -> (String, Duration) {
    let began = Instant::now();
    let mut heard = Vec::new();
    let read = tokio::time::timeout(common::PATIENCE, stream.read_to_end(&mut heard)).await;
    // A reset is an end as well.
    let _ended = read.expect("the gateway closes the connection");
    (String::from_utf8(heard).unwrap(), began.elapsed())
}

/// A head that comes, one byte at a time, for ever.
async fn until_drip_is_refused(to: SocketAddr) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = connect(to, b"GET /").await;
    while stream.write_all(b"x").await.is_ok() && began.elapsed() < common::PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    (String::new(), began.elapsed())
}

#[tokio::test]
async fn a_head_that_does_not_come_is_waited_for_five_seconds_on_both_addresses() {
    let (_setup, gateway) = gateway();
    for (heard, took) in join_all([gateway.http, gateway.admin].map(async |to| {
        let silent = connect(to, b"").await;
        let half = connect(to, HALF_A_HEAD).await;
        let (silent, half, drip) =
            tokio::join!(until_closed(silent), until_closed(half), until_drip_is_refused(to));
        [silent, half, drip]
    }))
    .await
    .concat()
    {
        assert_eq!(heard, "", "there is no request to answer");
        assert!(CLOSED_AFTER.contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn a_connection_that_has_had_its_answer_is_kept_for_five_seconds() {
    let (_setup, gateway) = gateway();
    let mut stream = connect(gateway.http, WHOLE_HEAD).await;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 401");
    tokio::time::sleep(Duration::from_secs(2)).await;
    stream.write_all(WHOLE_HEAD).await.unwrap();
    let (heard, took) = until_closed(stream).await;
    assert_eq!(heard.matches("HTTP/1.1 401").count(), 1, "it served a second request: {heard}");
    assert!(CLOSED_AFTER.contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_without_a_key() {
    let (_setup, gateway) = gateway();
    let (heard, took) = until_closed(connect(gateway.http, BODY_TO_COME).await).await;
    assert!(heard.starts_with("HTTP/1.1 401"), "{heard}");
    assert!(took < CLOSED_AFTER.end, "{took:?}");
}

#[tokio::test]
async fn over_the_bound_the_connection_that_has_rested_longest_makes_room() {
    let (workspace, gateway) = gateway_with_workspace();
    let refused =
        async || gateway.metric("sautikit_tcp_accept_errors_total", "reason=\"limit\"").await;
    assert_eq!(refused().await, 0.0);
    let mut kept = Vec::new();
    for _ in 1..HTTP_CONNECTIONS_MAX {
        kept.push(connect(gateway.http, HALF_A_HEAD).await);
    }
    // The last one has a request whose body is still to come.
    let head = format!("authorization: Bearer {}\r\ncontent-length: 2\r\n\r\n", workspace.key);
    let head = format!("POST /v1/sip/token HTTP/1.1\r\nhost: gateway\r\n{head}");
    let mut asking = connect(gateway.http, head.as_bytes()).await;
    let newest = connect(gateway.http, BODY_TO_COME).await;
    assert!(until_closed(newest).await.0.starts_with("HTTP/1.1 401"), "it is served");
    let (heard, took) = until_closed(kept.swap_remove(0)).await;
    assert_eq!(heard, "");
    assert!(took < CLOSED_AFTER.start, "at once, not at its time limit: {took:?}");
    assert!(refused().await >= 1.0, "the admin address still answers");
    // Those that came later are served, and so is the one with a request.
    let mut last = kept.pop().unwrap();
    last.write_all(b"P/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(until_closed(last).await.0.starts_with("HTTP/1.1 401"));
    asking.write_all(b"{}").await.unwrap();
    let mut status = [0; 12];
    asking.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

#[tokio::test]
async fn over_the_bound_bodies_that_do_not_come_make_room_too() {
    let (workspace, gateway) = gateway_with_workspace();
    let head = format!("authorization: Bearer {}\r\ncontent-length: 2\r\n\r\n", workspace.key);
    let head = format!("POST /v1/sip/token HTTP/1.1\r\nhost: gateway\r\n{head}");
    let mut kept = Vec::new();
    for _ in 0..HTTP_CONNECTIONS_MAX {
        kept.push(connect(gateway.http, head.as_bytes()).await);
    }
    let newest = connect(gateway.http, BODY_TO_COME).await;
    assert!(until_closed(newest).await.0.starts_with("HTTP/1.1 401"), "it is served");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_refused_after_ten_seconds() {
    let (workspace, gateway) = gateway_with_workspace();
    let head = format!("authorization: Bearer {}\r\ncontent-length: 2\r\n\r\n{{", workspace.key);
    let head = format!("POST /v1/sip/token HTTP/1.1\r\nhost: gateway\r\n{head}");
    let (heard, took) = until_closed(connect(gateway.http, head.as_bytes()).await).await;
    assert!(heard.starts_with("HTTP/1.1 408") && heard.contains("request.timeout"), "{heard}");
    assert!((9..14).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn half_a_head_does_not_keep_a_stopping_gateway_nor_blame_the_database() {
    let (_setup, mut gateway) = gateway();
    let _half = connect(gateway.http, HALF_A_HEAD).await;
    let _admin = connect(gateway.admin, HALF_A_HEAD).await;
    // Heads that came later have been read: so have the halves.
    for address in [gateway.http, gateway.admin] {
        assert_eq!(Ask::get("/nothing").send(address).await.status, 404);
    }
    let began = Instant::now();
    gateway.signal("-TERM");
    assert_eq!(gateway.exit_code(), 0);
    assert!(began.elapsed() < CLOSED_AFTER.start, "{:?}", began.elapsed());
    assert!(!gateway.log().contains("database did not"), "{}", gateway.log());
}
