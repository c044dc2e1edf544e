//! The head of a handshake: the same whatever pieces it comes in, within its limits, and nothing of
//! it lost or read twice.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use sautikit_core::limits::{HANDSHAKE_HEAD_MAX_BYTES, HANDSHAKE_HEADERS_MAX};
use tokio::io::{AsyncRead, ReadBuf};

use crate::head::{Head, HeadError, Method, read_head};

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing of the system");
}

/// The first byte says in what pieces the rest comes. Panics where the reader breaks its word.
pub fn check(data: &[u8]) {
    let Some((&pace, request)) = data.split_first() else { return };
    let whole = Seen::of(request, usize::MAX);
    let pieces = Seen::of(request, usize::from(pace) + 1);
    assert_eq!(whole, pieces, "in pieces of {}", usize::from(pace) + 1);
    if request.len() <= 300 {
        assert_eq!(whole, Seen::of(request, 1));
    }
    match &whole.outcome {
        Ok(told) => told.is_sound(request, &whole.rest),
        Err(HeadError::TooLarge) => assert!(
            request.len() >= HANDSHAKE_HEAD_MAX_BYTES || lines_of(request) > HANDSHAKE_HEADERS_MAX
        ),
        Err(HeadError::Closed) => assert!(request.len() < HANDSHAKE_HEAD_MAX_BYTES),
        Err(HeadError::Malformed) => assert!(!request.is_empty()),
        Err(HeadError::Timeout) => panic!("nothing here waits"),
    }
    if let Err(error) = whole.outcome {
        let silent = matches!(error, HeadError::Timeout | HeadError::Closed);
        assert_eq!(error.refusal().is_none(), silent);
    }
}

/// Reads a head that comes `piece` bytes at a time, and asks all that it tells.
pub fn read_in_pieces(request: &[u8], piece: usize) {
    let _ = Seen::of(request, piece);
}

/// What became of a request, and what was left of it for the WebSocket.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    outcome: Result<Told, HeadError>,
    /// Empty where there is no head: then nobody reads on.
    rest: Vec<u8>,
}

/// All that a head tells.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    method: Method,
    path: String,
    token: Option<String>,
    origin: Option<String>,
    hosts: Vec<String>,
    is_upgrade: bool,
    is_preflight: bool,
    offers_sip: bool,
    is_http_11: bool,
    shown: String,
}

impl Seen {
    fn of(request: &[u8], piece: usize) -> Self {
        let mut stream = Pieces { left: request, piece, served: 0 };
        let head = RUNTIME.with(|runtime| runtime.block_on(read_head(&mut stream)));
        assert!(stream.served <= HANDSHAKE_HEAD_MAX_BYTES, "read on after its limit");
        match head {
            Ok(mut head) => {
                let mut rest = head.take_leftover();
                assert!(head.take_leftover().is_empty(), "what is left is taken once");
                rest.extend_from_slice(stream.left);
                Self { outcome: Ok(Told::of(&head)), rest }
            }
            Err(error) => Self { outcome: Err(error), rest: Vec::new() },
        }
    }
}

impl Told {
    fn of(head: &Head) -> Self {
        assert_eq!(head.header("host"), head.values("HOST").next());
        Self {
            method: head.method(),
            path: head.path().to_owned(),
            token: head.token().map(|token| token.expose().to_owned()),
            origin: head.origin().map(ToOwned::to_owned),
            hosts: head.values("host").map(ToOwned::to_owned).collect(),
            is_upgrade: head.is_upgrade(),
            is_preflight: head.is_preflight(),
            offers_sip: head.offers_sip(),
            is_http_11: head.is_http_11(),
            shown: format!("{head:?}"),
        }
    }

    fn is_sound(&self, request: &[u8], rest: &[u8]) {
        assert!(request.ends_with(rest), "what follows the head is the WebSocket's, byte for byte");
        let head = &request[..request.len() - rest.len()];
        assert!(head.len() <= HANDSHAKE_HEAD_MAX_BYTES);
        assert!(head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n"));
        assert!(lines_of(head) <= HANDSHAKE_HEADERS_MAX + 2);
        assert!(!self.is_upgrade || (self.method == Method::Get && self.is_http_11));
        assert_eq!(self.is_preflight, self.method == Method::Options);
        assert!(!self.path.is_empty() && !self.path.contains(['?', ' ', '\r', '\n']));
        assert!(self.token.as_ref().is_none_or(|token| token.len() <= 2 * head.len()));
        // One that stands in the path was never a secret.
        let secret = self.token.as_ref().filter(|token| token.len() > 16);
        assert!(secret.is_none_or(
            |token| self.path.contains(token.as_str()) || !self.shown.contains(token.as_str())
        ));
    }
}

fn lines_of(head: &[u8]) -> usize {
    head.iter().filter(|byte| **byte == b'\n').count()
}

/// A connection whose bytes come `piece` at a time and then end.
struct Pieces<'a> {
    left: &'a [u8],
    piece: usize,
    served: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.left.len().min(self.piece).min(buffer.remaining());
        let (now, later) = self.left.split_at(length);
        buffer.put_slice(now);
        self.left = later;
        self.served += length;
        Poll::Ready(Ok(()))
    }
}
