//! The WebSocket of one session, polled by one actor: no reader task, no writer task, no channel.
//!
//! [`Feed`] is the stream that the actor polls: it reads, and it writes what [`Outbox`] has queued.
//! The protocol is tungstenite's (`WebSocketContext`); it is driven here directly, since with one
//! task for both directions nothing of an asynchronous wrapper is needed.
//!
//! Limits: a message of 64 KiB, which may cost at most [`WIRE_MAX_BYTES`] on the wire; 64 messages
//! or 256 KiB that wait for the client to read; 2 s for a closing handshake.

mod outbox;
mod wire;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use sautikit_core::limits::{MESSAGE_MAX_BYTES, READ_BUFFER_BYTES, WRITE_QUEUE_MAX_BYTES};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Utf8Bytes};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use outbox::{Frame, Queue};
pub use outbox::{Outbox, SendError};
use wire::{Meter, Wire};

/// What one message may cost on the wire with all its frame headers. A message cut into empty
/// fragments has no size that the protocol would limit; this bounds what is spent on it.
pub const WIRE_MAX_BYTES: usize = 2 * MESSAGE_MAX_BYTES + READ_BUFFER_BYTES;

/// From our close frame to the peer's, or from a failure to the peer's end of the connection.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);
/// What a peer that broke the protocol may still send while it reads why it is being closed.
const LINGER_MAX_BYTES: usize = 1024 * 1024;
/// A control frame's payload is 125 bytes, two of them the code (RFC 6455 section 5.5).
const REASON_MAX_BYTES: usize = 123;

/// What comes out of a [`Feed`]. `Closed` and `Failed` come once, as the last item but for the end
/// of the stream, which follows within 2 s, when the socket may be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// One whole message: a SIP message or a keep-alive, of a text or a binary frame alike.
    Message(Bytes),
    /// Already answered.
    Ping,
    Pong,
    Closed(Close),
    Failed(Failure),
}

/// An orderly end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The close code; `None` where the frame had none (1005 in a browser).
    pub code: Option<u16>,
    pub reason: Box<str>,
    /// The peer wanted it; else [`Outbox::close`] was called, or the outbox overflowed.
    pub by_peer: bool,
}

/// An end that nobody announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The peer broke RFC 6455: an unmasked frame, a reserved bit, a stray continuation.
    #[error("the peer broke the WebSocket protocol")]
    Protocol,
    /// A text message, or a close reason, that is no UTF-8.
    #[error("a text message is no UTF-8")]
    NotUtf8,
    /// A message over 64 KiB, or one that cost over [`WIRE_MAX_BYTES`] in fragments.
    #[error("a message is larger than 64 KiB")]
    TooLong,
    /// The connection is gone without a close frame.
    #[error("the connection was lost")]
    Lost,
}

impl Failure {
    /// The code that the peer was sent (RFC 6455 section 7.4.1), where it could still be told.
    #[must_use]
    pub const fn close_code(self) -> Option<u16> {
        match self {
            Self::Protocol => Some(1002),
            Self::NotUtf8 => Some(1007),
            Self::TooLong => Some(1009),
            Self::Lost => None,
        }
    }

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::NotUtf8 => "not_utf8",
            Self::TooLong => "too_long",
            Self::Lost => "lost",
        }
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::TooLong,
            Error::Utf8(_) => Self::NotUtf8,
            Error::Io(error) if error.kind() == wire::OVERRUN => Self::TooLong,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Lost,
            Error::Protocol(_) => Self::Protocol,
            _ => Self::Lost,
        }
    }
}

/// The reading half, which also writes. Poll it until it ends; the contract of a stream (poll again
/// after each item) is what sends the messages that were queued while an item was handled.
pub struct Feed<S> {
    stream: S,
    context: WebSocketContext,
    meter: Meter,
    queue: Queue,
    /// The 101, until it is written; nothing may go before it.
    preface: Vec<u8>,
    /// The socket took no more: bytes of this many of a message wait in the protocol's own buffer.
    blocked: Option<usize>,
    state: State,
    role: Role,
    /// Writing failed. What came in before is still read: it may hold the peer's close frame.
    mute: bool,
}

enum State {
    Open,
    /// We close. `told` once our close frame went into the protocol's buffer.
    Closing {
        until: Pin<Box<Sleep>>,
        close: Close,
        told: bool,
    },
    /// A failure was reported. The rest of what the peer sends is thrown away, because a socket
    /// closed with unread bytes is reset, and the peer would not read our close frame.
    Lingering {
        until: Pin<Box<Sleep>>,
        left: usize,
        shut: bool,
    },
    Over,
}

/// The two halves of an accepted handshake: `switching` is the 101, written first, `leftover` what
/// the client sent after its request head.
pub fn accept<S>(stream: S, switching: Vec<u8>, leftover: Vec<u8>) -> (Feed<S>, Outbox)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Feed::new(stream, Role::Server, switching, leftover)
}

/// The two halves of a socket whose handshake is done, in either role.
pub(crate) fn established<S>(stream: S, role: Role, leftover: Vec<u8>) -> (Feed<S>, Outbox)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Feed::new(stream, role, Vec::new(), leftover)
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_QUEUE_MAX_BYTES)
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_frame_size(Some(MESSAGE_MAX_BYTES))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Feed<S> {
    fn new(stream: S, role: Role, preface: Vec<u8>, leftover: Vec<u8>) -> (Self, Outbox) {
        let queue = Queue::default();
        let outbox = Outbox::new(&queue);
        let context = WebSocketContext::from_partially_read(leftover, role, Some(config()));
        let meter = Meter::default();
        let (blocked, state) = (None, State::Open);
        let mute = false;
        (Self { stream, context, meter, queue, preface, blocked, state, role, mute }, outbox)
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        if matches!(self.state, State::Open) {
            match self.poll_open(cx) {
                Poll::Ready(Some(item)) => return Poll::Ready(Some(item)),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        match self.state {
            State::Closing { .. } => self.poll_closing(cx),
            State::Lingering { .. } => self.poll_lingering(cx),
            State::Open | State::Over => Poll::Ready(None),
        }
    }

    /// `Ready(None)` where the state is no longer open.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        if !self.mute && matches!(self.poll_write_out(cx), Poll::Ready(Err(_))) {
            self.mute = true;
            self.preface = Vec::new();
            self.queue.shut();
        }
        if let Some(close) = self.queue.take_close() {
            let until = Box::pin(tokio::time::sleep(CLOSING_TIMEOUT));
            self.state = State::Closing { until, close, told: false };
            return Poll::Ready(None);
        }
        if !self.preface.is_empty() {
            return Poll::Pending;
        }
        let read = self.context.read(&mut Wire::new(&mut self.stream, cx, &mut self.meter));
        let item = match read {
            Ok(Message::Text(text)) => Incoming::Message(self.whole(text.into())),
            Ok(Message::Binary(bytes)) => Incoming::Message(self.whole(bytes)),
            Ok(Message::Ping(payload)) => {
                self.meter.control(payload.len());
                Incoming::Ping
            }
            Ok(Message::Pong(payload)) => {
                self.meter.control(payload.len());
                Incoming::Pong
            }
            Ok(Message::Close(frame)) => self.closed_by_peer(frame, cx),
            // Raw frames are never given out by a read.
            Ok(Message::Frame(_)) => self.fail(Failure::Protocol, cx),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if !self.mute {
                    return Poll::Pending;
                }
                self.fail(Failure::Lost, cx)
            }
            Err(error) => self.fail(Failure::of(&error), cx),
        };
        Poll::Ready(Some(item))
    }

    fn whole(&mut self, message: Bytes) -> Bytes {
        self.meter.message();
        message
    }

    /// Writes until the queue is empty (`Ready`) or the socket takes no more (`Pending`).
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while !self.preface.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.preface) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    self.preface.drain(..written);
                    if self.preface.is_empty() {
                        self.preface = Vec::new();
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Err(Failure::Lost)),
                Poll::Pending => return Poll::Pending,
            }
        }
        loop {
            if self.blocked.is_some() && self.poll_flush(cx)?.is_pending() {
                return Poll::Pending;
            }
            let Some(frame) = self.queue.next() else {
                return Poll::Ready(Ok(()));
            };
            let size = frame.size();
            self.blocked = Some(size);
            let message = match frame {
                Frame::Ping => Message::Ping(Bytes::new()),
                Frame::Message(bytes) => as_frame(bytes),
            };
            let mut wire = Wire::new(&mut self.stream, cx, &mut self.meter);
            match self.context.write(&mut wire, message) {
                Ok(()) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(Err(Failure::Lost)),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let flushed = self.context.flush(&mut Wire::new(&mut self.stream, cx, &mut self.meter));
        match flushed {
            Ok(()) => {
                self.queue.written(self.blocked.take().unwrap_or(0));
                Poll::Ready(Ok(()))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(_) => Poll::Ready(Err(Failure::Lost)),
        }
    }

    fn closed_by_peer(&mut self, frame: Option<CloseFrame>, cx: &mut Context<'_>) -> Incoming {
        // The echo of the close frame; where the socket does not take it, the peer that wanted to
        // go does without.
        let _ = self.poll_flush(cx);
        self.queue.shut();
        self.state = State::Over;
        Incoming::Closed(Close {
            code: frame.as_ref().map(|frame| frame.code.into()),
            reason: frame.map_or_else(Box::default, |frame| frame.reason.as_str().into()),
            by_peer: true,
        })
    }

    fn fail(&mut self, failure: Failure, cx: &mut Context<'_>) -> Incoming {
        self.queue.shut();
        self.state = match failure.close_code() {
            None => State::Over,
            Some(code) => {
                self.tell(code, "", cx);
                State::Lingering {
                    until: Box::pin(tokio::time::sleep(CLOSING_TIMEOUT)),
                    left: LINGER_MAX_BYTES,
                    shut: false,
                }
            }
        };
        Incoming::Failed(failure)
    }

    /// Puts a close frame into the protocol's buffer and tries to write it.
    fn tell(&mut self, code: u16, reason: &str, cx: &mut Context<'_>) {
        let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from(reason) };
        // Not written yet is tried again by the states that follow; a lost socket ends them.
        let _ =
            self.context.close(&mut Wire::new(&mut self.stream, cx, &mut self.meter), Some(frame));
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        let goes_on = self.closing_goes_on(cx);
        let State::Closing { until, close, .. } = &mut self.state else {
            return Poll::Ready(None);
        };
        if goes_on && until.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let close =
            Close { code: close.code, reason: std::mem::take(&mut close.reason), by_peer: false };
        self.queue.shut();
        self.state = State::Over;
        Poll::Ready(Some(Incoming::Closed(close)))
    }

    /// Writes what was queued before the close, then our close frame, then waits for the peer's.
    /// False once there is nothing left to wait for.
    fn closing_goes_on(&mut self, cx: &mut Context<'_>) -> bool {
        let State::Closing { close, told, .. } = &mut self.state else {
            return false;
        };
        if !*told {
            let (code, reason) = (close.code.unwrap_or(1000), close.reason.clone());
            match self.poll_write_out(cx) {
                Poll::Pending => return true,
                Poll::Ready(Err(_)) => return false,
                Poll::Ready(Ok(())) => self.tell(code, &reason, cx),
            }
            if let State::Closing { told, .. } = &mut self.state {
                *told = true;
            }
        }
        match self.poll_flush(cx) {
            Poll::Ready(Err(_)) => return false,
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        loop {
            let read = self.context.read(&mut Wire::new(&mut self.stream, cx, &mut self.meter));
            match read {
                // The server closes the connection first (RFC 6455 section 7.1.1).
                Ok(Message::Close(_)) if self.role == Role::Server => return false,
                Ok(message) => self.meter.forget(message.len()),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    }

    fn poll_lingering(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        let flushed = self.poll_flush(cx);
        let State::Lingering { until, left, shut } = &mut self.state else {
            return Poll::Ready(None);
        };
        let mut goes_on = !matches!(flushed, Poll::Ready(Err(_)));
        if goes_on && flushed.is_ready() && !*shut {
            *shut = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
        }
        let mut scratch = [0; 1024];
        while goes_on {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    *left = left.saturating_sub(buffer.filled().len());
                    goes_on = *left > 0;
                }
                Poll::Ready(_) => goes_on = false,
                Poll::Pending => break,
            }
        }
        if goes_on && until.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.state = State::Over;
        Poll::Ready(None)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Feed<S> {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        let polled = self.step(cx);
        let waker = polled.is_pending().then(|| cx.waker());
        let received = self.meter.received();
        self.queue.polled(waker, received);
        polled
    }
}

impl<S> Drop for Feed<S> {
    fn drop(&mut self) {
        self.queue.shut();
    }
}

/// A text frame where the message is UTF-8, as browsers' SIP stacks expect, else a binary one.
fn as_frame(message: Bytes) -> Message {
    match Utf8Bytes::try_from(message.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(message),
    }
}

/// The part of `reason` that fits a close frame, cut between two characters.
fn fitting(reason: &str) -> Box<str> {
    let mut end = reason.len().min(REASON_MAX_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].into()
}
