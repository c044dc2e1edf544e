//! From bytes to a message, or to the answer that its sender gets.
//!
//! The reader is the gate: what it lets through has one well-formed From, To, Call-ID and
//! CSeq and at least one Via, holds no control character in its head, and is within the
//! limits of `sautikit_core::limits`. What it refuses is answered here, without state, where an answer can be
//! addressed; a response, an ACK or noise is dropped. One pass over the lines, one copy of
//! the head, the body as a slice of the input.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::SocketAddr;

use bytes::Bytes;
use memchr::memmem;
use sautikit_core::limits::MESSAGE_MAX_BYTES;

use crate::message::{Message, Method, Name, Start};
use crate::respond::protocol_fault;

mod check;
mod fault;
mod head;

use fault::Fault;
pub use fault::KNOWN_OPTIONS;
use head::Head;

/// How the bytes came. On either a missing Content-Length means that the body is what is
/// left (RFC 3261 §18.3, RFC 7118 §5), a larger one is refused, and what follows the body
/// is never read: a second message in it is never executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One UDP datagram. NAT keep-alives of NUL bytes are common and mean nothing.
    Datagram,
    /// One WebSocket message, text or binary.
    WebSocket,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Message(Message),
    KeepAlive(KeepAlive),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// CR LF CR LF: answer CR LF (RFC 5626 §3.5.1).
    Ping,
    /// CR LF, or nothing at all: no answer.
    Pong,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Send `answer` back to where the bytes came from.
    #[error("{status} {reason}")]
    Answer { status: u16, reason: &'static str, answer: Bytes },
    /// Count it; nothing can or may be answered.
    #[error("dropped: {reason}")]
    Drop { reason: &'static str },
}

impl ReadError {
    /// What is wrong, from a closed set: fit for a log and a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Answer { reason, .. } | Self::Drop { reason } => reason,
        }
    }

    /// The `X-Sautikit-Error` of the answer, where there is one.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Answer { status, .. } => Some(protocol_fault(*status)?.0),
            Self::Drop { .. } => None,
        }
    }
}

/// Reads what came in at the gateway: syntax first, then what it serves at all (method 405,
/// URI scheme 416, hops 483, extensions 420).
pub fn read(input: &Bytes, framing: Framing) -> Result<Read, ReadError> {
    read_checked(input, framing, None, check::policy)
}

/// As [`read`], for a datagram: `received` and `rport` are written into the topmost Via of a
/// request (RFC 3261 §18.2.1, RFC 3581 §4), so that every answer carries them.
pub fn read_datagram(input: &Bytes, source: SocketAddr) -> Result<Read, ReadError> {
    read_checked(input, Framing::Datagram, Some(source), check::policy)
}

/// Reads any well-formed message, served by the gateway or not: for the far end of a test.
pub fn read_any(input: &Bytes, framing: Framing) -> Result<Read, ReadError> {
    read_checked(input, framing, None, |_| None)
}

fn read_checked(
    input: &Bytes,
    framing: Framing,
    source: Option<SocketAddr>,
    policy: fn(&Message) -> Option<Fault>,
) -> Result<Read, ReadError> {
    let Some(start) = first_byte(input, framing) else {
        let is_ping = input.starts_with(b"\r\n\r\n");
        return Ok(Read::KeepAlive(if is_ping { KeepAlive::Ping } else { KeepAlive::Pong }));
    };
    let bytes = input.get(start..).unwrap_or_default();
    let window = bytes.get(..MESSAGE_MAX_BYTES).unwrap_or(bytes);
    let end = memmem::find(window, b"\r\n\r\n");
    let Some(head) = Head::read(window.get(..end.unwrap_or(window.len())).unwrap_or_default())
    else {
        return Err(ReadError::Drop { reason: "not a SIP message" });
    };
    let Head { start_line, headers, mut fault } = head;
    if bytes.len() > window.len() {
        fault = Some(Fault::too_large("Message too large"));
    } else if end.is_none() {
        fault = fault.or(Some(Fault::bad("No empty line after the headers")));
    }
    let mut message = Message { start: start_line, headers, body: Bytes::new() };
    fault = fault.or_else(|| check::fields(&message)).or_else(|| policy(&message));
    if fault.is_none() {
        let body = end.and_then(|end| bytes.get(end.checked_add(4)?..)).unwrap_or_default();
        match check::body_length(&message, body.len()) {
            // The length is at most what is there, so the slice is within the input.
            Ok(length) if length > 0 => {
                message.body = input.slice_ref(body.get(..length).unwrap_or_default());
            }
            Ok(_) => {}
            Err(why) => fault = Some(why),
        }
    }
    if let (Some(source), true) = (source, message.is_request()) {
        message.set_source(source);
    }
    match fault {
        None => Ok(Read::Message(message)),
        Some(fault) => Err(fault.into_error(message)),
    }
}

/// Where the message begins after line breaks (RFC 3261 §7.5); `None` where nothing follows.
fn first_byte(input: &[u8], framing: Framing) -> Option<usize> {
    input.iter().position(|byte| match byte {
        b'\r' | b'\n' => false,
        0 => framing != Framing::Datagram,
        _ => true,
    })
}

/// An ACK and a response are never answered, and nothing without the two headers by which its
/// sender finds his transaction. They need not be well-formed: the answer goes back to where
/// the bytes came from.
fn is_answerable(message: &Message) -> bool {
    let is_ack = match &message.start {
        Start::Request { method, .. } => *method == Method::Ack,
        Start::Response { .. } => true,
    };
    !is_ack && message.header(&Name::Via).is_some() && message.header(&Name::CSeq).is_some()
}
