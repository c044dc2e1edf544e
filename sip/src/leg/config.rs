//! What a leg is told about itself, and the numbers that it hands out.

use std::fmt;

use crate::leg::print::Head;
use crate::message::Name;
use crate::respond::fault_headers;
use crate::transaction::Reliability;
use crate::via::MAGIC_COOKIE;
use bytes::Bytes;

/// The transport of a leg's hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Transport {
    /// As Via writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// From a URI's `transport` parameter, a Via or a stored row, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|transport| transport.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether messages can be lost.
    #[must_use]
    pub const fn reliability(self) -> Reliability {
        match self {
            Self::Udp => Reliability::Unreliable,
            _ => Reliability::Reliable,
        }
    }

    /// A browser's socket: there is no other way to its end.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// User and password for a peer that challenges us (RFC 8760). The password is never printed.
#[derive(Clone)]
pub struct Credentials {
    pub user: String,
    pub password: String,
    /// Where set, only a challenge of this realm is answered.
    pub realm: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// What the owner decides about a leg. Tags, Call-ID and branch must be hard to guess: they are what keeps a
/// stranger's messages out.
#[derive(Debug, Clone)]
pub struct LegConfig {
    /// Our tag.
    pub local_tag: String,
    /// The Call-ID of an outgoing leg; an incoming one has its caller's.
    pub call_id: String,
    /// What our branches begin with, unique to this leg; a number is appended.
    pub branch_prefix: String,
    /// Our Contact: a URI without angle brackets.
    pub contact: String,
    /// `host:port` of our Via.
    pub via_sent_by: String,
    pub transport: Transport,
    /// User-Agent in requests, Server in responses; empty for none.
    pub user_agent: String,
    /// How long a session may live without a refresh, in seconds (RFC 4028); at least 90. `None`: we ask for no
    /// timer, but take part in the peer's.
    pub session_expires: Option<u32>,
    /// Answers to challenges; without them a 401 or 407 is a refusal.
    pub credentials: Option<Credentials>,
}

/// An INVITE to be sent.
#[derive(Debug, Clone)]
pub struct OutgoingInvite {
    pub request_uri: String,
    /// Display name of From, not quoted yet.
    pub from_display: Option<String>,
    pub from_uri: String,
    pub to_uri: String,
    /// Further headers, such as P-Asserted-Identity. Max-Forwards stands for the 70 where it is given: a call
    /// that came in hands on what is left of its own.
    pub headers: Vec<(Name, String)>,
    /// Route values of an outbound proxy, in order.
    pub route: Vec<String>,
    /// Our offer; `None` asks the other side for one.
    pub sdp: Option<Bytes>,
}

/// The leg's own identity and counters.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) local_tag: String,
    pub(super) contact: String,
    pub(super) user_agent: String,
    pub(super) transport: Transport,
    pub(super) session_expires: Option<u32>,
    pub(super) credentials: Option<Credentials>,
    /// Of an outgoing leg.
    pub(super) made_call_id: bool,
    branch_prefix: String,
    via_sent_by: String,
    cseq: u32,
    branch: u32,
}

impl Own {
    pub(super) fn new(config: LegConfig) -> Self {
        let branch_prefix = if config.branch_prefix.starts_with(MAGIC_COOKIE) {
            config.branch_prefix
        } else {
            format!("{MAGIC_COOKIE}{}", config.branch_prefix)
        };
        Self {
            local_tag: config.local_tag,
            contact: config.contact,
            user_agent: config.user_agent,
            transport: config.transport,
            session_expires: config.session_expires.map(|seconds| seconds.max(90)),
            credentials: config.credentials,
            made_call_id: false,
            branch_prefix,
            via_sent_by: config.via_sent_by,
            cseq: 0,
            branch: 0,
        }
    }

    /// One counter for all dialogs of the leg: in each of them the numbers rise, and gaps are allowed
    /// (RFC 3261 section 12.2.2).
    pub(super) const fn next_cseq(&mut self) -> u32 {
        self.cseq = self.cseq.saturating_add(1);
        self.cseq
    }

    pub(super) const fn cseq(&self) -> u32 {
        self.cseq
    }

    pub(super) const fn skip_cseq(&mut self, to: u32) {
        self.cseq = to;
    }

    pub(super) const fn next_branch(&mut self) -> u32 {
        self.branch += 1;
        self.branch
    }

    /// Prints our Via.
    pub(super) fn via(&self, head: &mut Head, branch: u32) {
        let number = branch.to_string();
        let transport = self.transport.as_str();
        let prefix = &*self.branch_prefix;
        // rport makes the answer come back through a NAT (RFC 3581); on a stream it has no meaning.
        let rport = if self.transport == Transport::Udp { ";rport" } else { "" };
        let parts = [
            "SIP/2.0/",
            transport,
            " ",
            &self.via_sent_by,
            ";branch=",
            prefix,
            ".",
            &number,
            rport,
        ];
        head.pieces("Via", parts);
    }

    /// What a refusal by the leg itself carries: a browser is told which and why, a carrier only what SIP wants.
    pub(super) fn refusal(
        &self,
        status: u16,
        text: &str,
        extra: &[(Name, String)],
    ) -> Vec<(Name, String)> {
        let mut headers = if self.transport.is_websocket() {
            fault_headers(status, &self.via_sent_by, text)
        } else {
            Vec::new()
        };
        headers.extend_from_slice(extra);
        headers
    }

    /// The number of a branch that we made.
    pub(super) fn own_branch(&self, branch: &str) -> Option<u32> {
        crate::list::number(branch.strip_prefix(&*self.branch_prefix)?.strip_prefix('.')?)
    }

    /// A number that differs from leg to leg and try to try, for pauses that two ends must not share.
    pub(super) fn spread(&self, salt: u32) -> u64 {
        let bytes = self.branch_prefix.bytes().chain(salt.to_be_bytes());
        // FNV-1a: spread, not secrecy.
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}
