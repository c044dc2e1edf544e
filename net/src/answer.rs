//! What is written back on the WebSocket listener: the 101, a refusal before any upgrade, or the
//! answer to the plain GET by which a page learns what a browser hides from it.
//!
//! Every answer carries CORS headers: a browser shows a page neither the status of a refused
//! handshake nor that of a fetch without them. `*` is right here: no cookie is involved, and what
//! the answer tells is what the asker's own token would have been told.

use std::fmt::Write as _;
use std::time::Duration;

use sautikit_core::cause::HandshakeRefusal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::server::create_response;

use crate::head::Head;
use crate::random;

/// How long a refused client may take to read its answer, and how much of what it still sends is
/// read meanwhile: a socket closed with unread bytes is reset, and the answer is lost with it.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const LINGER_MAX_BYTES: u64 = 2 * 1024 * 1024;

/// A whole answer, except the 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: String,
    body: String,
    request_id: String,
}

impl Answer {
    /// A refusal: its status, its JSON error, `WWW-Authenticate` on a 401, and a `Retry-After` drawn
    /// from its range.
    #[must_use]
    pub fn refusal(refusal: HandshakeRefusal) -> Self {
        let mut answer = Self::error(refusal.status(), refusal.code(), refusal.text());
        if let Some(challenge) = refusal.www_authenticate() {
            answer = answer.header("WWW-Authenticate", challenge);
        }
        if let Some(range) = refusal.retry_after() {
            answer = answer.header("Retry-After", &random::between(range).to_string());
        }
        answer
    }

    /// `{"error":{"code","message","request_id"}}` with any status.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let mut answer = Self::empty(status);
        let error = serde_json::json!({
            "error": { "code": code, "message": message, "request_id": answer.request_id }
        });
        answer.body = error.to_string();
        answer.header("Content-Type", "application/json")
    }

    /// 204: the handshake would have succeeded.
    #[must_use]
    pub fn would_succeed() -> Self {
        Self::empty(204)
    }

    /// The answer to a CORS preflight.
    #[must_use]
    pub fn preflight() -> Self {
        Self::empty(204)
            .header("Access-Control-Allow-Methods", "GET, OPTIONS")
            // Fetch lists Authorization as the one header that `*` does not cover.
            .header("Access-Control-Allow-Headers", "Authorization")
            .header("Access-Control-Max-Age", "600")
    }

    /// 404 for any other path than the listener's.
    #[must_use]
    pub fn not_found() -> Self {
        Self::error(404, "not_found", "There is nothing here: the WebSocket is at / and at /sip")
    }

    /// 405 for any other method than GET and OPTIONS.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::error(405, "method_not_allowed", "Use GET").header("Allow", "GET, OPTIONS")
    }

    /// Adds a header line. Both arguments are the gateway's own; line ends in them are dropped.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let line_end = ['\r', '\n', '\0'];
        let value = value.replace(line_end, "");
        self.headers.extend([name, ": ", &value, "\r\n"]);
        self
    }

    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The id that the answer names, for the log line that tells of it.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The answer as it goes on the wire. The connection is always closed after it.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let reason = http::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Refused");
        let mut out = String::with_capacity(512 + self.body.len());
        out.extend(["HTTP/1.1 ", &self.status.to_string(), " ", reason, "\r\n"]);
        out.push_str(&self.headers);
        out.push_str(
            "Access-Control-Allow-Origin: *\r\n\
             Access-Control-Expose-Headers: Retry-After\r\n\
             Cache-Control: no-store\r\n\
             Connection: close\r\n",
        );
        out.extend(["X-Request-Id: ", &self.request_id, "\r\n"]);
        // A 204 has no body and must not say how long it is (RFC 9110 section 8.6).
        if self.status != 204 {
            out.extend(["Content-Length: ", &self.body.len().to_string(), "\r\n"]);
        }
        out.push_str("\r\n");
        out.push_str(&self.body);
        out.into_bytes()
    }

    /// Writes the answer and closes the connection so that the client can read it. Takes 2 s at the
    /// most; what goes wrong concerns a client that is being sent away, so nobody is told.
    pub async fn finish<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) {
        let bytes = self.into_bytes();
        let write = async {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        };
        if !matches!(tokio::time::timeout(LINGER_TIMEOUT, write).await, Ok(Ok(()))) {
            return;
        }
        let (mut rest, mut nowhere) = (stream.take(LINGER_MAX_BYTES), tokio::io::sink());
        let drain = tokio::io::copy(&mut rest, &mut nowhere);
        // Either end of the wait is the end of the connection.
        let _ = tokio::time::timeout(LINGER_TIMEOUT, drain).await;
    }

    fn empty(status: u16) -> Self {
        let request_id = format!("req_{}", random::hex::<10>());
        Self { status, headers: String::new(), body: String::new(), request_id }
    }
}

/// The 101 that accepts the handshake with the subprotocol `sip`. No extension is ever negotiated,
/// and a token that came as a subprotocol is not echoed.
///
/// # Errors
///
/// The answer to a broken upgrade: 426 where only the version is wrong (RFC 6455 section 4.4),
/// else 400.
pub fn switching_protocols(head: &Head) -> Result<Vec<u8>, Answer> {
    let version = head.header("sec-websocket-version");
    if head.is_upgrade() && version.is_some_and(|version| version != "13") {
        let text = "Only version 13 of the WebSocket protocol is spoken here";
        let answer = Answer::error(426, HandshakeRefusal::Malformed.code(), text);
        return Err(answer.header("Sec-WebSocket-Version", "13").header("Upgrade", "websocket"));
    }
    let malformed = || Answer::refusal(HandshakeRefusal::Malformed);
    if !head.is_upgrade() {
        return Err(malformed());
    }
    let request = http::Request::builder()
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", version.unwrap_or_default())
        .header("Sec-WebSocket-Key", head.header("sec-websocket-key").unwrap_or_default())
        .body(())
        .map_err(|_| malformed())?;
    let response = create_response(&request).map_err(|_| malformed())?;
    let accept = response.headers().get("Sec-WebSocket-Accept").and_then(|key| key.to_str().ok());
    let mut out = String::with_capacity(160);
    write!(
        out,
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\
         Sec-WebSocket-Protocol: sip\r\n\r\n",
        accept.ok_or_else(malformed)?
    )
    .map_err(|_| malformed())?;
    Ok(out.into_bytes())
}
