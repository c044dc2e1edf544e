//! What a call's media tells the call.

use std::time::{Duration, Instant};

/// One of a call's two media legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Browser,
    Trunk,
}

impl Side {
    /// A label from a closed set, for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Trunk => "trunk",
        }
    }
}

/// Who broke the silence rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silent {
    Both,
    One(Side),
}

/// Why a leg's media is gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoneWhy {
    /// The browser sent DTLS close_notify: its peer connection was closed.
    BrowserClosed,
    /// DTLS failed (wrong fingerprint or a broken handshake).
    DtlsFailed,
    /// The relay itself failed for this call; nothing is relayed any more.
    Failed,
}

/// Something a call should know about its media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    /// ICE and DTLS are up with the browser; once a call.
    Connected,
    /// The first RTP packet of a leg came; once a leg.
    FirstRtp(Side),
    /// The silence rule: end the call (`media_timeout`) and bill it to `last_packet`. Once a call.
    Silent {
        who: Silent,
        /// When either leg was last heard, by RTP or RTCP, or where only the trunk is silent, the
        /// trunk; a leg never heard since [`crate::MediaSession::talking`] counts from there.
        last_packet: Instant,
        silence: Duration,
    },
    /// The browser's leg is gone for good; once a call.
    Gone(GoneWhy),
}

/// Where a call's [`MediaEvent`]s go. Called on a media thread: it must not block.
pub type EventSink = Box<dyn FnMut(MediaEvent) + Send>;

/// Figures of a call's two legs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MediaStats {
    pub browser: LegStats,
    pub trunk: LegStats,
}

/// Figures of one leg: what it sent us, and what we sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LegStats {
    /// RTP packets that this leg sent to us and we took.
    pub packets_received: u64,
    /// RTP packets that we sent to this leg.
    pub packets_sent: u64,
    /// RTP packets that this leg sent and that did not come, by sequence numbers (RFC 3550 A.3).
    pub packets_lost: u64,
    /// Interarrival jitter of what this leg sent, in milliseconds (RFC 3550 A.8).
    pub jitter_ms: f32,
    /// Round-trip time by this leg's receiver reports, in milliseconds, once known.
    pub rtt_ms: Option<f32>,
    /// Share of what we sent that this leg reported lost last, 0..=1, once known.
    pub reported_loss: Option<f32>,
    /// Estimated listening quality of what this leg sent, 1.0..=4.5; `None` before any packet.
    pub mos: Option<f32>,
    /// How long ago the last RTP or RTCP packet of this leg came, or a browser's ICE check.
    pub last_packet_age: Option<Duration>,
    /// Packets dropped because they came from an address that is not the leg's (trunk side).
    pub strangers: u64,
}
