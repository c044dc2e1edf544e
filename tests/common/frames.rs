//! WebSocket frames by hand (RFC 6455 section 5).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Set in the first byte of a message's last frame.
pub(crate) const FIN: u8 = 0x80;
/// A reserved bit.
pub(crate) const RSV1: u8 = 0x40;

/// A socket whose handshake is done.
pub(crate) struct Frames {
    stream: TcpStream,
}

/// Sends any bytes on a connection of their own, and gives all that comes back until it ends.
pub(crate) async fn exchange(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // The other side may stop reading in the middle of it.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head of a good handshake; `more` is whole lines.
pub(crate) fn head(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

impl Frames {
    pub(crate) async fn open(to: SocketAddr, token: &str, more: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let more = format!("Sec-WebSocket-Protocol: sip\r\n{more}");
        let head = head(&format!("/?token={token}"), &more);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer").unwrap();
            answer.push(byte);
        }
        (Self { stream }, String::from_utf8(answer).unwrap())
    }

    /// One masked frame; `first` is FIN, reserved bits and opcode.
    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        // The gateway may have closed in the middle of it.
        let _ = self.stream.write_all(&frame).await;
    }

    /// Bytes as they are, as far as the gateway takes them.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame: its first byte and its payload.
    pub(crate) async fn next(&mut self) -> (u8, Vec<u8>) {
        timeout(PATIENCE, self.read()).await.expect("a frame").expect("a whole frame")
    }

    async fn read(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => usize::from(self.stream.read_u16().await?),
            127 => usize::try_from(self.stream.read_u64().await?).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        Ok((first, payload))
    }

    /// The code of the close frame that comes next, other frames left aside.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            let (first, payload) = self.next().await;
            if first == FIN | CLOSE {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}
