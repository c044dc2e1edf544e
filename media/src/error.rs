//! What can go wrong, and which SIP status says so.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// Why an engine did not start; each text names the setting to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "cannot bind the browsers' media port {addr} ({source}): set SAUTIKIT_MEDIA_BROWSER_PORT to \
         a free port, or SAUTIKIT_MEDIA_ADDR to an address of this machine"
    )]
    BrowserPort { addr: SocketAddr, source: io::Error },
    #[error(
        "the browsers' ports run past 65535 (SAUTIKIT_MEDIA_BROWSER_PORT {first}, {workers} workers)"
    )]
    BrowserPortRange { first: u16, workers: usize },
    #[error("trunk ports {}-{} hold no pair of an even port and the next one (SAUTIKIT_MEDIA_PORTS)", .0.start(), .0.end())]
    TrunkPorts(RangeInclusive<u16>),
    #[error(
        "the media address {0} tells a browser nothing: set SAUTIKIT_MEDIA_PUBLIC_ADDR, or \
         SAUTIKIT_MEDIA_ADDR to an address of this machine"
    )]
    Unspecified(std::net::IpAddr),
    #[error("cannot start a media thread: {0}")]
    Thread(#[from] io::Error),
    #[error("media needs at least one worker")]
    NoWorkers,
    #[error("no DTLS certificate could be made")]
    Certificate,
}

/// Why the engine refused to do something for a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// The SDP cannot be read at all.
    #[error("the SDP cannot be read: {0}")]
    Malformed(String),
    /// The SDP can be read, but offers nothing that this relay can do.
    #[error("the media description cannot be accepted: {0}")]
    NotAcceptable(&'static str),
    /// Every port pair is leased or in quarantine, or the system refused the sockets.
    #[error("no media ports are free")]
    NoPorts,
    /// The call was not answered yet, so there is nothing to change.
    #[error("the call's media is not answered yet")]
    NotAnswered,
    /// The call's media ended already.
    #[error("the call's media has ended")]
    Ended,
    /// `bypass` relays nothing: the other side must be asked.
    #[error("this engine hands SDP through and answers none")]
    NotRelayed,
    /// The engine stopped: its thread is gone.
    #[error("the media engine has stopped")]
    Stopped,
}

impl MediaError {
    /// The status that a SIP request with this SDP is answered with.
    #[must_use]
    pub const fn sip_status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::NotAcceptable(_) | Self::NotRelayed => 488,
            Self::NoPorts | Self::Stopped => 503,
            Self::NotAnswered => 491,
            Self::Ended => 481,
        }
    }

    /// A label from a closed set, for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NotAcceptable(_) => "not_acceptable",
            Self::NoPorts => "no_ports",
            Self::NotAnswered => "not_answered",
            Self::Ended => "ended",
            Self::NotRelayed => "not_relayed",
            Self::Stopped => "stopped",
        }
    }
}
