//! A call's bounded queue: everything that reaches a call from a socket comes through it, never
//! through the actor's mailbox.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sautikit_core::cause::HangupBy;
use sautikit_media::MediaEvent;
use sautikit_sip::message::Message;
use tokio::sync::mpsc;

/// A call has a handful of messages under way; a peer that has this many waiting floods it.
const WAITING_MAX: usize = 64;

/// Something for a call.
pub(crate) enum CallInput {
    FromCaller(Message),
    FromPeer {
        candidate: usize,
        message: Message,
        source: SocketAddr,
    },
    /// The caller's socket went; when it was last heard.
    CallerLost {
        last_byte: Instant,
    },
    /// The caller closed its socket on purpose.
    CallerLeft,
    HangUp(HangupBy),
    Media(MediaEvent),
}

/// The sending end.
#[derive(Clone)]
pub(crate) struct CallQueue {
    /// Boxed: the channel keeps room for 32 from the start, and a call outlives its messages.
    sender: mpsc::Sender<Box<CallInput>>,
    overflowed: Arc<AtomicBool>,
}

/// The receiving end, and the mark that something was lost.
pub(crate) struct CallInbox {
    pub(crate) receiver: mpsc::Receiver<Box<CallInput>>,
    pub(crate) overflowed: Arc<AtomicBool>,
}

pub(crate) fn call_queue() -> (CallQueue, CallInbox) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let overflowed = Arc::new(AtomicBool::new(false));
    let queue = CallQueue { sender, overflowed: Arc::clone(&overflowed) };
    (queue, CallInbox { receiver, overflowed })
}

/// Hands something to the call. A full queue marks the call, which then ends with a cause; a call
/// that is gone takes nothing.
pub(crate) fn offer_to_call(queue: &CallQueue, input: CallInput) {
    if let Err(mpsc::error::TrySendError::Full(_)) = queue.sender.try_send(Box::new(input)) {
        queue.overflowed.store(true, Ordering::Relaxed);
        metrics::counter!("sautikit_call_queue_overflows_total").increment(1);
    }
}
