//! The head of an HTTP request on the WebSocket listener, read before anything is promised: so a
//! handshake can be refused with any status, and a plain GET or OPTIONS of the same path answered.

use std::fmt;
use std::ops::Range;

use sautikit_core::cause::HandshakeRefusal;
use sautikit_core::limits::{HANDSHAKE_HEAD_MAX_BYTES, HANDSHAKE_HEADERS_MAX, HANDSHAKE_TIMEOUT};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::bearer::Token;

/// Most heads fit: a browser's own headers take 500 to 700 bytes, a token 250.
const FIRST_READ_BYTES: usize = 1024;

/// The request's method, as far as this listener cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Options,
    Other,
}

/// A whole request head. Its query and headers may hold a token, so `Debug` shows neither.
pub struct Head {
    bytes: Box<[u8]>,
    method: Method,
    http_11: bool,
    path: Range<usize>,
    query: Option<Range<usize>>,
    headers: Box<[(Range<usize>, Range<usize>)]>,
    leftover: Vec<u8>,
}

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("the request head is larger than 16 KiB or has over 64 headers")]
    TooLarge,
    #[error("the request is no HTTP/1.x")]
    Malformed,
    #[error("the request head was not whole within 5 s")]
    Timeout,
    #[error("the connection ended before the request head did")]
    Closed,
}

impl HeadError {
    /// The answer, where one is due; without one the socket is just closed.
    #[must_use]
    pub const fn refusal(self) -> Option<HandshakeRefusal> {
        match self {
            Self::TooLarge => Some(HandshakeRefusal::HeadTooLarge),
            Self::Malformed => Some(HandshakeRefusal::Malformed),
            Self::Timeout | Self::Closed => None,
        }
    }

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
        }
    }
}

/// Reads one request head: at most 16 KiB, 64 headers and 5 s in all, however slowly the bytes come.
///
/// # Errors
///
/// [`HeadError::refusal`] says what to answer.
pub async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Head, HeadError> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, read_whole(stream))
        .await
        .unwrap_or(Err(HeadError::Timeout))
}

async fn read_whole<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Head, HeadError> {
    let mut bytes = Vec::with_capacity(FIRST_READ_BYTES);
    let mut searched = 0;
    loop {
        let room = HANDSHAKE_HEAD_MAX_BYTES - bytes.len();
        let read = (&mut *stream).take(room as u64).read_buf(&mut bytes).await;
        match read {
            Ok(0) | Err(_) => return Err(HeadError::Closed),
            Ok(_) => {}
        }
        // What starts otherwise (TLS, SSH, binary noise) would only wait for the timeout.
        if !bytes.first().is_some_and(u8::is_ascii_uppercase) {
            return Err(HeadError::Malformed);
        }
        if let Some(end) = end_of_head(&bytes, searched) {
            return Head::parse(bytes, end);
        }
        if bytes.len() >= HANDSHAKE_HEAD_MAX_BYTES {
            return Err(HeadError::TooLarge);
        }
        searched = bytes.len();
    }
}

/// The index after the empty line. Only what came since `searched` is looked at, so that a head
/// that comes byte by byte is not read again from its start each time.
fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    let tail = bytes.get(from..)?;
    let mut ends = tail.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.find_map(|(at, _)| match tail.get(at + 1..) {
        Some([b'\n', ..]) => Some(from + at + 2),
        Some([b'\r', b'\n', ..]) => Some(from + at + 3),
        _ => None,
    })
}

impl Head {
    fn parse(mut bytes: Vec<u8>, end: usize) -> Result<Self, HeadError> {
        let leftover = bytes.split_off(end);
        let mut fields = [httparse::EMPTY_HEADER; HANDSHAKE_HEADERS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Ok(httparse::Status::Partial) | Err(_) => return Err(HeadError::Malformed),
        }
        let target = request.path.ok_or(HeadError::Malformed)?;
        let (path, query) = split_target(target);
        let span = |part: &[u8]| span_in(&bytes, part);
        let head = Self {
            method: match request.method {
                Some("GET") => Method::Get,
                Some("OPTIONS") => Method::Options,
                _ => Method::Other,
            },
            http_11: request.version == Some(1),
            path: span(path.as_bytes()),
            query: query.map(|query| span(query.as_bytes())),
            headers: request
                .headers
                .iter()
                .map(|field| (span(field.name.as_bytes()), span(field.value)))
                .collect(),
            bytes: Box::default(),
            leftover,
        };
        Ok(Self { bytes: bytes.into_boxed_slice(), ..head })
    }

    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The path without its query: `/`, `/sip`.
    #[must_use]
    pub fn path(&self) -> &str {
        // An absolute target without a path means the root (RFC 9112 section 3.2.2).
        self.text(&self.path).filter(|path| !path.is_empty()).unwrap_or("/")
    }

    /// The first value of a header; `name` in any case. A value that is no UTF-8 counts as absent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.lines(name).flatten().next()
    }

    /// Every value of a header, in order; one that is no UTF-8 counts as absent.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines(name).flatten()
    }

    /// The value of each line of a header; `None` for one that is no UTF-8.
    fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = Option<&'a str>> {
        self.headers
            .iter()
            .filter(move |(field, _)| {
                self.text(field).is_some_and(|field| field.eq_ignore_ascii_case(name))
            })
            .map(|(_, value)| self.text(value).map(str::trim_ascii))
    }

    /// The members of a comma-separated header, over all its lines.
    fn members<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values(name)
            .flat_map(|value| value.split(','))
            .map(str::trim_ascii)
            .filter(|member| !member.is_empty())
    }

    /// True where the client asks for a WebSocket (RFC 6455 section 4.2.1). Whether it asks rightly
    /// is [`crate::answer::switching_protocols`]'s to say.
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.method == Method::Get
            && self.http_11
            && self.members("connection").any(|token| token.eq_ignore_ascii_case("upgrade"))
            && self.members("upgrade").any(|token| token.eq_ignore_ascii_case("websocket"))
    }

    /// True for a CORS preflight (or a bare OPTIONS, which deserves the same answer).
    #[must_use]
    pub fn is_preflight(&self) -> bool {
        self.method == Method::Options
    }

    /// True where `sip` is among the offered subprotocols (RFC 7118 section 4). The comparison
    /// respects case: a browser that offered `SIP` would reject our `sip`.
    #[must_use]
    pub fn offers_sip(&self) -> bool {
        self.members("sec-websocket-protocol").any(|offered| offered == "sip")
    }

    /// The page's origin; `None` where no browser speaks. More than one, or one that is no text, is
    /// no browser's either and gives a value that no allow-list holds.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        let mut lines = self.lines("origin");
        let first = lines.next()?;
        Some(if lines.next().is_some() { "" } else { first.unwrap_or_default() })
    }

    /// The token: of `?token=`, else of `Authorization: Bearer`, else of the subprotocol
    /// `token.<JWT>`.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.query_token()
            .or_else(|| self.header("authorization").and_then(Token::from_authorization))
            .or_else(|| {
                self.members("sec-websocket-protocol")
                    .find_map(|offered| offered.strip_prefix("token."))
                    .map(Token::new)
            })
    }

    fn query_token(&self) -> Option<Token> {
        let query = self.text(self.query.as_ref()?)?;
        let value = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
        (!value.is_empty()).then(|| Token::new(&percent_decoded(value)))
    }

    /// What the client sent after the head: the first bytes of the WebSocket.
    #[must_use]
    pub fn take_leftover(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.leftover)
    }

    /// Whether the client declared HTTP/1.1, without which there is no upgrade.
    #[must_use]
    pub const fn is_http_11(&self) -> bool {
        self.http_11
    }

    fn text(&self, span: &Range<usize>) -> Option<&str> {
        std::str::from_utf8(self.bytes.get(span.clone())?).ok()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// Path and query of a request target in origin form, or in the absolute form that proxies use.
fn split_target(target: &str) -> (&str, Option<&str>) {
    let local = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.starts_with('/') => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    match local.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (local, None),
    }
}

/// Where `part`, a slice that httparse made of `whole`, lies in it.
fn span_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if start > whole.len() {
        return 0..0;
    }
    start..start + part.len()
}

fn percent_decoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = |offset: usize| {
            bytes.get(at + offset).and_then(|digit| char::from(*digit).to_digit(16))
        };
        let decoded = match (byte, hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        out.push(char::from(decoded.unwrap_or(*byte)));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    out
}
