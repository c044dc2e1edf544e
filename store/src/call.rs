//! A call as the database keeps it: one row is one party on the phone network (or one identity)
//! joined to something of ours.

use std::borrow::Cow;
use std::sync::Arc;

use sautikit_core::cause::{CallStatus, HangupBy};
use sautikit_core::e164::E164;
use sautikit_core::identity::Identity;
use sautikit_core::ids::{CallId, EventId, SessionId, WorkspaceId};
use sautikit_core::money::Minor;
use sautikit_core::rate::Rate;
use sautikit_core::time::UnixMicros;

/// Which way the call goes, seen from the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the phone network to the workspace.
    Inbound,
    /// From the workspace to the phone network, or to another identity of the workspace.
    Outbound,
}

impl Direction {
    /// The word of the HTTP API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    /// The reverse of [`Self::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|value| value.as_str() == word)
    }
}

/// Who caused the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A browser's (or a SIP server's) INVITE over WebSocket.
    Browser,
    /// `POST /v1/calls`.
    Api,
    /// A carrier's INVITE.
    Carrier,
}

impl Origin {
    /// The word of the HTTP API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Api => "api",
            Self::Carrier => "carrier",
        }
    }

    /// The reverse of [`Self::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Browser, Self::Api, Self::Carrier].into_iter().find(|value| value.as_str() == word)
    }
}

/// What the media relay measured on the worse leg of an ended call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Mean opinion score, 1.0 to 4.5.
    pub mos: f64,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: f64,
    /// Lost packets as a share, 0.0 to 1.0.
    pub packet_loss: f64,
}

/// One call. The row is always written whole; a row that has ended never changes again.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRow {
    /// Also the key of its hold and of its one debit.
    pub id: CallId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Rows that belong together share the id of the first of them; alone it is the call's own id.
    pub session: SessionId,
    /// Inbound or outbound.
    pub direction: Direction,
    /// Who caused it.
    pub origin: Origin,
    /// The identity of the browser that called or was rung, where it has one.
    pub identity: Option<Identity>,
    /// The workspace's number.
    pub local: Option<E164>,
    /// The other party's number; none in a call within the workspace.
    pub remote: Option<E164>,
    /// ISO 3166 alpha-2 of the remote number, where known.
    pub country: Option<Arc<str>>,
    /// The name of the trunk that carried it.
    pub trunk: Option<Arc<str>>,
    /// When the INVITE or the API request came.
    pub started_at: UnixMicros,
    /// When the 200 came; wall clock, for display only.
    pub answered_at: Option<UnixMicros>,
    /// When it ended; wall clock, for display only. A row with it is final.
    pub ended_at: Option<UnixMicros>,
    /// Billed seconds, from the monotonic clock; `None` until the call has ended.
    pub duration_seconds: Option<u32>,
    /// Where the call stands.
    pub status: CallStatus,
    /// The SIP status of a failed call.
    pub failure_code: Option<u16>,
    /// Q.850 name in lower snake case; present on every ended call.
    pub hangup_cause: Option<Cow<'static, str>>,
    /// Who ended it; present on every ended call.
    pub hangup_by: Option<HangupBy>,
    /// The rate frozen at the start of the call; none where the call is free.
    pub rate: Option<Rate>,
    /// The prefix of the rate card that the rate came from, like `+254`.
    pub rate_prefix: Option<Arc<str>>,
    /// What was debited, in cents.
    pub cost: Minor,
    /// The hold at its largest, in cents: an ended call's cost is never above it.
    pub held: Minor,
    /// Media quality, where the gateway relayed media.
    pub quality: Option<Quality>,
    /// The customer's own JSON object, as text.
    pub metadata: Option<Arc<str>>,
    /// When the row was made.
    pub created_at: UnixMicros,
    /// When the row was last written.
    pub updated_at: UnixMicros,
}

/// Something that happened in a call, in the order of its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEvent {
    /// UUIDv7: orders the events of a call. Writing the same id again changes nothing.
    pub id: EventId,
    /// `call.started`, `call.answered`, …
    pub kind: Cow<'static, str>,
    /// A JSON object as text; `{}` where there is nothing to say.
    pub payload: Cow<'static, str>,
    /// Wall clock.
    pub occurred_at: UnixMicros,
}
