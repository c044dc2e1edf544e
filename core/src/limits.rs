//! Every limit of the gateway, with the arithmetic that relates them. What an operator may change
//! is in [`Limits`]; the rest is here for good.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bytes of a WebSocket handshake's head; over it 431.
pub const HANDSHAKE_HEAD_MAX_BYTES: usize = 16 * 1024;
/// Header lines of it; over it 431.
pub const HANDSHAKE_HEADERS_MAX: usize = 64;
/// From the accepted connection to the head's last byte.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of one WebSocket message, and so of one SIP message over it.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// Bytes of one SIP message in a datagram: what UDP over IPv4 can carry.
pub const DATAGRAM_MAX_BYTES: usize = 65_507;
/// Header lines of a SIP message.
pub const SIP_HEADERS_MAX: usize = 100;
/// Via values of a SIP message.
pub const SIP_VIAS_MAX: usize = 70;
/// Bytes of one SIP header line, folded lines together.
pub const SIP_LINE_MAX_BYTES: usize = 8 * 1024;
/// Bytes of a SIP message's body.
pub const SIP_BODY_MAX_BYTES: usize = 32 * 1024;
/// Lines of a session description.
pub const SDP_LINES_MAX: usize = 512;

/// A socket without a byte for so long is pinged.
pub const PING_AFTER: Duration = Duration::from_secs(30);
/// No pong for so long after the ping: 4408.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(30);
/// A flow is proven by a byte or a pong within this time; incoming calls go to proven flows.
pub const FLOW_PROVEN: Duration = Duration::from_secs(60);
/// How long the calls of a lost socket wait for its return.
pub const LOST_SOCKET_GRACE: Duration = Duration::from_secs(30);
/// How long after its token's expiry a session without a call is closed.
pub const LAPSED_SESSION_GRACE: Duration = Duration::from_secs(30);

/// Bytes of a WebSocket's read buffer; the library's default costs 137 KiB a socket.
pub const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Messages that wait for a client to read; over it 4408.
pub const WRITE_QUEUE_MAX_MESSAGES: usize = 64;
/// Bytes of them; over it 4408.
pub const WRITE_QUEUE_MAX_BYTES: usize = 256 * 1024;

/// A session's burst of requests, as a multiple of its requests a second.
pub const REQUEST_BURST_FACTOR: u32 = 2;
/// Refused requests of a session within [`REQUEST_REFUSALS_WINDOW`]; over it 4429.
pub const REQUEST_REFUSALS_MAX: u32 = 200;
pub const REQUEST_REFUSALS_WINDOW: Duration = Duration::from_secs(10);

/// Messages of any kind of a session (responses, ACKs, keep-alives), as a multiple of its requests a
/// second, and what of it may come at once; over it 4429.
pub const MESSAGES_FACTOR: u32 = 20;
pub const MESSAGES_BURST_SECONDS: u32 = 2;

/// Connections of the public HTTP address that are open at once; over it the newest is closed.
pub const HTTP_CONNECTIONS_MAX: usize = 512;
/// The same of the admin address: a Prometheus or two and some people.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// An event loop that lags more than this sheds new INVITEs.
pub const LOOP_LAG_MAX: Duration = Duration::from_millis(250);

/// RFC 3261's T1, the estimate of a round trip.
pub const T1: Duration = Duration::from_millis(500);
/// How long a transaction remembers: 64 × T1, on every transport.
pub const TRANSACTION_LIFETIME: Duration = Duration::from_secs(32);
/// Server transactions that a browser's legs keep, across a session's sockets.
pub const SERVER_TRANSACTIONS_MAX: usize = 64;
/// No answer of any kind to an INVITE while another trunk is left.
pub const FAILOVER_AFTER: Duration = Duration::from_secs(4);
/// Ringing, unless the request says otherwise.
pub const RINGING_MAX: Duration = Duration::from_secs(60);

/// How far ahead of the talked time a hold is kept, where the balance allows.
pub const HOLD_AHEAD: Duration = Duration::from_secs(90);
/// Time between an exhausted wallet's warning and the cut.
pub const CUT_WARNING: Duration = Duration::from_secs(30);
/// How often the talked time of live calls is stored.
pub const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(5);
/// How long a debit may wait for the next commit.
pub const DEBIT_COMMIT_DELAY_MAX: Duration = Duration::from_millis(25);
/// A wallet without a hold is forgotten after this time.
pub const WALLET_IDLE: Duration = Duration::from_secs(60);

/// Bytes of an HTTP request's body; over it 413.
pub const HTTP_BODY_MAX_BYTES: usize = 256 * 1024;
/// Rows of one page of a list, and where the request does not say.
pub const PAGE_MAX: u32 = 100;
pub const PAGE_DEFAULT: u32 = 25;

/// Numbers in a token's `from`, prefixes in its `destinations`.
pub const TOKEN_LIST_MAX: usize = 20;

const _: () = {
    assert!(SIP_BODY_MAX_BYTES + SIP_LINE_MAX_BYTES < MESSAGE_MAX_BYTES);
    assert!(DATAGRAM_MAX_BYTES <= MESSAGE_MAX_BYTES);
    assert!(SIP_VIAS_MAX <= SIP_HEADERS_MAX);
    // A whole message fits the queue, so one send never fills it alone.
    assert!(MESSAGE_MAX_BYTES * 4 <= WRITE_QUEUE_MAX_BYTES);
    // A token of every allowed claim still fits a handshake's head: 20 numbers and 20 prefixes of
    // 16 characters with quotes and commas, in base64, beside 8 KiB of a browser's own headers.
    assert!((TOKEN_LIST_MAX * 2 * 19 + 512) * 4 / 3 + 8 * 1024 < HANDSHAKE_HEAD_MAX_BYTES);
    assert!(TRANSACTION_LIFETIME.as_millis() == 64 * T1.as_millis());
    // What is proven can still be pinged, answered and found silent.
    assert!(PING_AFTER.as_secs() + PONG_TIMEOUT.as_secs() <= FLOW_PROVEN.as_secs());
    // A cut is announced while the hold still pays for the warning.
    assert!(CUT_WARNING.as_secs() < HOLD_AHEAD.as_secs());
    // A crash never finds a stored sign of life older than what its hold pays.
    assert!(SIGN_OF_LIFE_EVERY.as_secs() * 2 <= CUT_WARNING.as_secs());
    assert!(FAILOVER_AFTER.as_secs() < TRANSACTION_LIFETIME.as_secs());
    assert!(PAGE_DEFAULT <= PAGE_MAX);
};

/// A limit that an operator may take away: 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cap(u32);

impl Cap {
    pub const NONE: Self = Self(0);

    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The limit, where there is one.
    #[must_use]
    pub const fn get(self) -> Option<u32> {
        if self.0 == 0 { None } else { Some(self.0) }
    }

    /// Whether one more fits beside `present`.
    #[must_use]
    pub const fn allows_one_more(self, present: u32) -> bool {
        self.0 == 0 || present < self.0
    }

    /// A limit in seconds, as a duration.
    #[must_use]
    pub const fn seconds(self) -> Option<Duration> {
        match self.get() {
            Some(seconds) => Some(Duration::from_secs(seconds as u64)),
            None => None,
        }
    }
}

/// What an operator may set: the configuration's `[limits]` table. 0 is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub failed_handshakes_per_second_per_address: Cap,
    /// Sockets of one address that have not shown a good token yet.
    pub unauthenticated_per_address: Cap,
    pub sessions_per_workspace: Cap,
    /// A burst may be [`REQUEST_BURST_FACTOR`] times as much.
    pub requests_per_second_per_session: Cap,
    pub calls_per_workspace: Cap,
    pub calls_per_second_per_workspace: Cap,
    /// Of the node.
    pub sessions_max: Cap,
    /// Of the node.
    pub calls_max: Cap,
    /// Longest call.
    pub call_seconds_max: Cap,
    /// Both legs silent for so long ends a call.
    pub media_silence_both_seconds: Cap,
    /// One leg.
    pub media_silence_one_seconds: Cap,
}

impl Limits {
    /// The limits of a gateway that nobody configured.
    pub const DEFAULT: Self = Self {
        failed_handshakes_per_second_per_address: Cap(50),
        unauthenticated_per_address: Cap(200),
        sessions_per_workspace: Cap(10_000),
        requests_per_second_per_session: Cap(20),
        calls_per_workspace: Cap(100),
        calls_per_second_per_workspace: Cap(20),
        sessions_max: Cap(20_000),
        calls_max: Cap(10_000),
        call_seconds_max: Cap(14_400),
        media_silence_both_seconds: Cap(30),
        media_silence_one_seconds: Cap(60),
    };
}

const _: () = {
    let limits = Limits::DEFAULT;
    assert!(limits.sessions_per_workspace.0 <= limits.sessions_max.0);
    assert!(limits.calls_per_workspace.0 <= limits.calls_max.0);
    assert!(limits.calls_max.0 <= limits.sessions_max.0);
    assert!(limits.media_silence_both_seconds.0 <= limits.media_silence_one_seconds.0);
};

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error, MapDeserializer};

    fn read(table: &[(&'static str, u32)]) -> Result<Limits, Error> {
        Limits::deserialize(MapDeserializer::new(table.iter().copied()))
    }

    #[test]
    fn an_empty_table_gives_the_documented_defaults() {
        assert_eq!(read(&[]).unwrap(), Limits::DEFAULT);
        assert_eq!(Limits::default().calls_per_workspace.get(), Some(100));
        assert_eq!(Limits::default().call_seconds_max.seconds(), Some(Duration::from_secs(14_400)));
    }

    #[test]
    fn one_entry_changes_one_limit_and_zero_takes_it_away() {
        let limits = read(&[("calls_per_workspace", 0), ("sessions_max", 5)]).unwrap();
        assert_eq!(limits.calls_per_workspace, Cap::NONE);
        assert_eq!(limits.sessions_max.get(), Some(5));
        assert_eq!(limits.calls_max, Limits::DEFAULT.calls_max);
    }

    #[test]
    fn a_misspelt_limit_is_refused() {
        assert!(
            read(&[("calls_per_workspaces", 5)]).unwrap_err().to_string().contains("unknown field")
        );
    }

    #[test]
    fn a_cap_counts_what_is_present() {
        assert!(Cap::new(2).allows_one_more(1));
        assert!(!Cap::new(2).allows_one_more(2));
        assert!(Cap::NONE.allows_one_more(u32::MAX));
        assert_eq!(Cap::NONE.get(), None);
        assert_eq!(Cap::NONE.seconds(), None);
    }
}
