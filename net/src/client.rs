//! The client's side of the handshake, for the load generator and for tests: what a browser's SIP
//! stack would send, with the token in any of its three places.

use std::fmt::Write as _;
use std::time::Duration;

use sautikit_core::limits::HANDSHAKE_HEAD_MAX_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::bearer::Token;
use crate::ws::{self, Feed, Outbox};

/// A gateway under load answers late; one that is gone does not answer at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
const HEADERS_MAX: usize = 64;

/// Where the token travels (`api.md` calls all three equal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// `?token=…`
    Query,
    /// `Authorization: Bearer …`
    Header,
    /// The second offered subprotocol, `token.<JWT>`.
    Subprotocol,
}

/// What the handshake says.
#[derive(Clone, Copy, Debug)]
pub struct Handshake<'a> {
    /// The `Host` header: `gateway.example:5066`.
    pub host: &'a str,
    /// `/` or `/sip`.
    pub path: &'a str,
    pub token: Option<(TokenPlace, &'a Token)>,
    pub origin: Option<&'a str>,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("the gateway did not answer the handshake within 20 s")]
    Timeout,
    #[error("the answer is no WebSocket handshake: {0}")]
    Malformed(&'static str),
    /// The gateway refused, with its code (`token.expired`) and its `Retry-After` in seconds.
    #[error("refused with {status} {code}")]
    Refused { status: u16, code: String, retry_after: Option<u32> },
}

/// Opens a WebSocket over a connected stream.
///
/// # Errors
///
/// [`ConnectError`].
pub async fn connect<S>(
    mut stream: S,
    handshake: &Handshake<'_>,
) -> Result<(Feed<S>, Outbox), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    let request = handshake.request(&key);
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        read_answer(&mut stream).await
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
        .await
        .unwrap_or(Err(ConnectError::Timeout))?;
    if answer.status != 101 {
        return Err(answer.refused());
    }
    if answer.header("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(ConnectError::Malformed("Sec-WebSocket-Accept is of another key"));
    }
    if answer.header("sec-websocket-protocol") != Some("sip") {
        return Err(ConnectError::Malformed("the subprotocol is not sip"));
    }
    Ok(ws::established(stream, Role::Client, answer.rest))
}

impl Handshake<'_> {
    fn request(&self, key: &str) -> String {
        let token = |place: TokenPlace| {
            self.token.filter(|(at, _)| *at == place).map(|(_, token)| token.expose())
        };
        let mut out = String::with_capacity(1024);
        out.extend(["GET ", self.path]);
        if let Some(token) = token(TokenPlace::Query) {
            out.extend(["?token=", token]);
        }
        out.extend([" HTTP/1.1\r\nHost: ", self.host, "\r\n"]);
        out.push_str("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
        // Writing to a string does not fail.
        let _ = write!(out, "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: sip");
        if let Some(token) = token(TokenPlace::Subprotocol) {
            out.extend([", token.", token]);
        }
        out.push_str("\r\n");
        if let Some(token) = token(TokenPlace::Header) {
            out.extend(["Authorization: Bearer ", token, "\r\n"]);
        }
        if let Some(origin) = self.origin {
            out.extend(["Origin: ", origin, "\r\n"]);
        }
        out.push_str("\r\n");
        out
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    /// After a 101 the first frames, else the body.
    rest: Vec<u8>,
}

async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Answer, ConnectError> {
    let mut bytes = Vec::with_capacity(512);
    let mut answer = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(ConnectError::Malformed("the connection ended within it"));
        }
        if let Some(answer) = parse(&bytes)? {
            break answer;
        }
        if bytes.len() > HANDSHAKE_HEAD_MAX_BYTES {
            return Err(ConnectError::Malformed("its head is larger than 16 KiB"));
        }
    };
    if answer.status != 101 {
        let length = answer.header("content-length").and_then(|text| text.parse().ok());
        let wanted = length.unwrap_or(0usize).min(HANDSHAKE_HEAD_MAX_BYTES);
        while answer.rest.len() < wanted && stream.read_buf(&mut answer.rest).await? > 0 {}
    }
    Ok(answer)
}

fn parse(bytes: &[u8]) -> Result<Option<Answer>, ConnectError> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let end = match response.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ConnectError::Malformed("its head is no HTTP")),
    };
    let owned = |field: &httparse::Header<'_>| {
        (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned())
    };
    Ok(Some(Answer {
        status: response.code.unwrap_or(0),
        headers: response.headers.iter().map(owned).collect(),
        rest: bytes.get(end..).unwrap_or_default().to_vec(),
    }))
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    fn refused(&self) -> ConnectError {
        let body = serde_json::from_slice::<serde_json::Value>(&self.rest).unwrap_or_default();
        ConnectError::Refused {
            status: self.status,
            code: body["error"]["code"].as_str().unwrap_or_default().to_owned(),
            retry_after: self.header("retry-after").and_then(|text| text.parse().ok()),
        }
    }
}
