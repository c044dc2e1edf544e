use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;
use sautikit_core::cause::CloseCode;
use sautikit_core::limits::{WRITE_QUEUE_MAX_BYTES, WRITE_QUEUE_MAX_MESSAGES};

use super::{Close, fitting};

/// The writing half: any number of clones on the feed's own thread. Nothing here waits: what does
/// not fit closes the socket, since a client that does not read its calls' messages is lost anyway.
#[derive(Clone)]
pub struct Outbox(Rc<RefCell<Inner>>);

/// A message that was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// 64 messages or 256 KiB wait already. The socket is now being closed with 4408.
    #[error("the client does not read what it is sent")]
    Full,
    /// The socket is closing or gone.
    #[error("the socket is closed")]
    Closed,
}

/// The feed's side of the queue.
#[derive(Default)]
pub(super) struct Queue(Rc<RefCell<Inner>>);

pub(super) enum Frame {
    Ping,
    Message(Bytes),
}

#[derive(Default)]
struct Inner {
    messages: VecDeque<Bytes>,
    /// Of all that was accepted and is not yet written.
    bytes: usize,
    ping: bool,
    close: Option<Close>,
    /// No more is accepted.
    shut: bool,
    /// Set while the feed's last poll was `Pending`. After an item the feed is polled again anyway,
    /// so what is sent while an item is handled wakes nobody.
    waker: Option<Waker>,
    received: u64,
}

impl Inner {
    fn wake(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    fn start_close(&mut self, code: u16, reason: &str) {
        if !self.shut {
            self.shut = true;
            self.close = Some(Close { code: Some(code), reason: fitting(reason), by_peer: false });
        }
    }
}

impl Frame {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Ping => 0,
            Self::Message(bytes) => bytes.len(),
        }
    }
}

impl Outbox {
    pub(super) fn new(queue: &Queue) -> Self {
        Self(Rc::clone(&queue.0))
    }

    /// Queues one message: a text frame where it is UTF-8, else a binary one.
    ///
    /// # Errors
    ///
    /// [`SendError`]; on `Full` the queue is thrown away and the socket closed with 4408.
    pub fn send(&self, message: Bytes) -> Result<(), SendError> {
        self.change(|inner| {
            if inner.shut {
                return Err(SendError::Closed);
            }
            let bytes = inner.bytes.saturating_add(message.len());
            if inner.messages.len() >= WRITE_QUEUE_MAX_MESSAGES || bytes > WRITE_QUEUE_MAX_BYTES {
                inner.messages.clear();
                inner.start_close(CloseCode::TooSlow.code(), "too slow");
                return Err(SendError::Full);
            }
            inner.bytes = bytes;
            inner.messages.push_back(message);
            Ok(())
        })
    }

    /// Sends an empty ping, before all that waits; one at a time.
    pub fn ping(&self) {
        self.change(|inner| inner.ping = true);
    }

    /// Closes after what is queued: the first code wins. A reason is cut at 123 bytes. The feed
    /// ends within 2 s, whether the peer answers or not.
    pub fn close(&self, code: u16, reason: &str) {
        self.change(|inner| inner.start_close(code, reason));
    }

    /// True while messages are accepted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.0.borrow().shut
    }

    /// Messages and bytes that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let inner = self.0.borrow();
        (inner.messages.len(), inner.bytes)
    }

    /// Bytes that ever came in, frame headers included: a flow of which this grows is alive, even
    /// where no message is whole yet.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.0.borrow().received
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.0.borrow_mut();
        let result = change(&mut inner);
        let waker = inner.wake();
        drop(inner);
        // Outside of the borrow: a waker may run the feed at once.
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }
}

impl Queue {
    pub(super) fn next(&self) -> Option<Frame> {
        let mut inner = self.0.borrow_mut();
        if std::mem::take(&mut inner.ping) {
            return Some(Frame::Ping);
        }
        inner.messages.pop_front().map(Frame::Message)
    }

    pub(super) fn written(&self, bytes: usize) {
        let mut inner = self.0.borrow_mut();
        inner.bytes = inner.bytes.saturating_sub(bytes);
    }

    pub(super) fn take_close(&self) -> Option<Close> {
        self.0.borrow_mut().close.take()
    }

    /// Nothing more is accepted, and what waits is thrown away.
    pub(super) fn shut(&self) {
        let mut inner = self.0.borrow_mut();
        inner.shut = true;
        inner.messages = VecDeque::new();
    }

    pub(super) fn polled(&self, waker: Option<&Waker>, received: u64) {
        let mut inner = self.0.borrow_mut();
        inner.received = received;
        match (waker, &mut inner.waker) {
            (Some(new), Some(old)) => old.clone_from(new),
            (Some(new), slot) => *slot = Some(new.clone()),
            (None, slot) => *slot = None,
        }
    }
}
