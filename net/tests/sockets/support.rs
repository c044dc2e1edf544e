use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use sautikit_net::head::{Head, HeadError, read_head};
use sautikit_net::ws::{self, Close, Failure, Feed, Incoming, Outbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Two connected ends.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

/// A server's feed whose client is a bare socket that speaks in bytes.
pub(crate) async fn raw() -> (TcpStream, Feed<TcpStream>, Outbox) {
    let (client, server) = pair().await;
    let (feed, outbox) = ws::accept(server, Vec::new(), Vec::new());
    (client, feed, outbox)
}

/// The head that a server reads of `text`.
pub(crate) async fn head_of(text: impl AsRef<[u8]>) -> Result<Head, HeadError> {
    let (mut client, mut server) = pair().await;
    client.write_all(text.as_ref()).await.unwrap();
    client.shutdown().await.unwrap();
    read_head(&mut server).await
}

/// A handshake with the given further header lines.
pub(crate) fn handshake(target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: gateway\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         {lines}\r\n"
    )
}

/// One frame as a client sends it: masked, unless `mask` is none.
pub(crate) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(bit | u8::try_from(length).unwrap()),
        length @ 126..=65_535 => {
            out.push(bit | 126);
            out.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            out.push(bit | 127);
            out.extend(u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    let mask = match mask {
        Some(mask) => {
            out.extend(mask);
            mask
        }
        None => [0; 4],
    };
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some([7, 1, 9, 200]))
}

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// One unmasked frame as a server sends it: first byte and payload.
pub(crate) async fn read_frame(client: &mut TcpStream) -> (u8, Vec<u8>) {
    let first = client.read_u8().await.unwrap();
    let length = match client.read_u8().await.unwrap() {
        126 => usize::from(client.read_u16().await.unwrap()),
        127 => usize::try_from(client.read_u64().await.unwrap()).unwrap(),
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    client.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

/// The code of the close frame that comes next, and that the connection ends after it.
pub(crate) async fn read_close(client: &mut TcpStream) -> u16 {
    let (first, payload) = read_frame(client).await;
    assert_eq!(first, CLOSE);
    u16::from_be_bytes([payload[0], payload[1]])
}

/// Polls a feed to its end in the background of `other`, and gives both results.
pub(crate) async fn beside<T>(
    feed: &mut Feed<TcpStream>,
    other: impl Future<Output = T>,
) -> (Vec<Incoming>, T) {
    let items = async {
        let mut items = Vec::new();
        while let Some(item) = feed.next().await {
            items.push(item);
        }
        items
    };
    tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(items, other) })
        .await
        .expect("the feed ends")
}

pub(crate) fn message(text: &str) -> Incoming {
    Incoming::Message(Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) fn failed(failure: Failure) -> Incoming {
    Incoming::Failed(failure)
}

pub(crate) fn closed(code: u16, reason: &str, by_peer: bool) -> Incoming {
    Incoming::Closed(Close { code: Some(code), reason: reason.into(), by_peer })
}
