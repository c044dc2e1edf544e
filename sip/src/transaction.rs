//! The four transaction machines of RFC 3261 section 17, with RFC 6026.
//!
//! Each machine is a value of one file: it is told what came in and when, answers with what to send
//! or to tell its owner, and names one deadline. It knows bytes and status codes, not messages: what is
//! sent is printed once, and a retransmission repeats the bytes.
//!
//! The owner (a [`crate::leg::Leg`]) finds the machine by branch, so a machine never sees a message of
//! another transaction.

pub mod client_invite;
pub mod client_non_invite;
pub mod server_invite;
pub mod server_non_invite;
pub mod timers;

use bytes::Bytes;

pub use client_invite::ClientInvite;
pub use client_non_invite::ClientNonInvite;
pub use server_invite::ServerInvite;
pub use server_non_invite::ServerNonInvite;
pub use timers::Timer;

/// What a deadline of a machine asks of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Put these bytes on the wire again.
    Resend(Bytes),
    /// The other side never spoke; the timer says which wait ended. The machine is over.
    GaveUp(Timer),
}

/// Whether the transport loses messages: only then does a machine repeat itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliability {
    /// UDP.
    Unreliable,
    /// TCP, TLS, WebSocket.
    Reliable,
}

impl Reliability {
    /// True for TCP, TLS and WebSocket.
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Reliable)
    }
}
