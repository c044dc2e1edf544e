//! What is settled about a call before its actor starts: whose it is, where it goes, at what rate,
//! over which trunks, and under which SIP identifiers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_core::e164::E164;
use sautikit_core::identity::Identity;
use sautikit_core::ids::{CallId, EventId, WorkspaceId};
use sautikit_core::rate::Rate;
use sautikit_core::time::UnixMicros;
use sautikit_sip::message::Message;

use crate::trunk::Trunk;

/// A call that may be tried.
pub(crate) struct Plan {
    pub(crate) id: CallId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) identity: Option<Identity>,
    /// The caller number that the carrier is shown.
    pub(crate) from: E164,
    /// The number that is dialled.
    pub(crate) to: E164,
    pub(crate) rate: Rate,
    /// The prefix of the card that the rate came from.
    pub(crate) rate_prefix: Arc<str>,
    /// In the order in which they are tried; at least one.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) ring_for: Duration,
    pub(crate) longest: Duration,
    pub(crate) clock: Clock,
    /// The caller's INVITE.
    pub(crate) invite: Message,
    /// The caller's offer: the INVITE's body.
    pub(crate) offer: Bytes,
    /// Our tag in the caller's dialog.
    pub(crate) caller_tag: String,
}

/// One trunk to try, with the identifiers of the leg that would be made.
pub(crate) struct Candidate {
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) tag: String,
    pub(crate) call_id: String,
}

/// Wall time that follows the monotonic clock from one reading of both, so that a clock step in
/// the middle of a call moves no timestamp.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    wall: UnixMicros,
}

impl Clock {
    pub(crate) fn new(started: Instant, wall: UnixMicros) -> Self {
        Self { started, wall }
    }

    pub(crate) fn wall_at(&self, at: Instant) -> UnixMicros {
        self.wall.checked_add(at.saturating_duration_since(self.started)).unwrap_or(self.wall)
    }

    pub(crate) fn started(&self) -> UnixMicros {
        self.wall
    }
}

/// Ids of a call's events: the call's own random part with a counter in its last byte, under the
/// event's time, so they sort as they happened and need no more randomness.
pub(crate) fn event_id(call: CallId, at: UnixMicros, count: u8) -> EventId {
    let mut random = [0; 10];
    random.copy_from_slice(&call.as_uuid().as_bytes()[6..16]);
    random[9] = count;
    EventId::from_parts(at.unix_millis(), random)
}
