//! Session descriptions (RFC 8866) as far as calls need them: what a peer offers or answers,
//! and the small description that goes to trunks.
//!
//! A browser's description is read here and answered by the media engine; a trunk's is
//! written from scratch by [`TrunkSdp`], never by editing the browser's.

use std::net::{IpAddr, SocketAddr};

mod parse;
mod write;

pub use parse::SdpError;
pub use write::TrunkSdp;

/// A description, borrowed from its bytes. Session-level defaults (address, direction, ICE
/// and DTLS values) are already in the media sections that do not set their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdp<'a> {
    pub origin: Origin<'a>,
    /// All sections in order, refused ones too: an answer repeats each (RFC 3264 §6).
    pub media: Vec<Media<'a>>,
    /// The mids of the first `a=group:BUNDLE`.
    pub bundle: Option<&'a str>,
    pub ice_lite: bool,
}

/// The o= line. A changed `version` is how a peer says that its description changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    pub username: &'a str,
    pub session_id: &'a str,
    pub version: &'a str,
    pub address: &'a str,
}

/// One m= section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video`, `application`, …
    pub kind: &'a str,
    /// 0 refuses the section; 9 with ICE says nothing.
    pub port: u16,
    /// `RTP/AVP`, `UDP/TLS/RTP/SAVPF`, …
    pub proto: &'a str,
    /// As written; payload types where `proto` is RTP.
    pub formats: Vec<&'a str>,
    /// The host of the c= line: an address or a name.
    pub address: Option<&'a str>,
    /// What the writer will do. `c=0.0.0.0` without ICE takes the receiving away
    /// (RFC 3264 §8.4): `sendrecv` reads as [`Direction::SendOnly`].
    pub direction: Direction,
    /// In the order of `formats`; a dynamic payload type without an rtpmap is left out.
    pub codecs: Vec<Codec<'a>>,
    pub ptime_ms: Option<u16>,
    pub mid: Option<&'a str>,
    pub ice_ufrag: Option<&'a str>,
    pub ice_pwd: Option<&'a str>,
    /// Hash function and value: `sha-256 3B:FF:…`.
    pub fingerprint: Option<&'a str>,
    pub setup: Option<&'a str>,
    pub rtcp_mux: bool,
    /// The port of `a=rtcp`, where it is not the RTP port + 1.
    pub rtcp_port: Option<u16>,
}

/// One payload type of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec<'a> {
    pub payload_type: u8,
    /// As written; compare with [`Codec::is`].
    pub name: &'a str,
    pub clock_rate_hz: u32,
    pub channels: u8,
    pub fmtp: Option<&'a str>,
}

impl Codec<'static> {
    pub const PCMU: Self = Self::fixed(0, "PCMU");
    pub const PCMA: Self = Self::fixed(8, "PCMA");

    const fn fixed(payload_type: u8, name: &'static str) -> Self {
        Self { payload_type, name, clock_rate_hz: 8000, channels: 1, fmtp: None }
    }

    /// DTMF at 8 kHz under the payload type that the other side chose (RFC 4733).
    pub const fn telephone_event(payload_type: u8) -> Self {
        Self { fmtp: Some("0-15"), ..Self::fixed(payload_type, "telephone-event") }
    }
}

impl Codec<'_> {
    pub fn is(&self, name: &str, clock_rate_hz: u32) -> bool {
        self.clock_rate_hz == clock_rate_hz && self.name.eq_ignore_ascii_case(name)
    }

    /// Carries sound, and is no wrapper, comfort noise or event.
    pub fn is_voice(&self) -> bool {
        !["telephone-event", "CN", "red", "rtx", "ulpfec", "flexfec-03"]
            .iter()
            .any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The most that an answer to this may say (RFC 3264 §6.1).
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl<'a> Sdp<'a> {
    /// The first audio section that is not refused.
    pub fn audio(&self) -> Option<&Media<'a>> {
        self.media.iter().find(|media| media.is_audio() && !media.is_refused())
    }

    /// Where [`Sdp::audio`] stands among the sections.
    pub fn audio_index(&self) -> Option<usize> {
        self.media.iter().position(|media| media.is_audio() && !media.is_refused())
    }
}

impl<'a> Media<'a> {
    pub fn is_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case("audio")
    }

    pub fn is_refused(&self) -> bool {
        self.port == 0
    }

    /// A browser's kind of media: ICE and DTLS-SRTP with a fingerprint.
    pub fn is_webrtc(&self) -> bool {
        self.proto.to_ascii_uppercase().ends_with("TLS/RTP/SAVPF")
            && self.fingerprint.is_some()
            && self.ice_ufrag.is_some()
            && self.ice_pwd.is_some()
    }

    /// Plain RTP, as trunks speak it.
    pub fn is_plain_rtp(&self) -> bool {
        self.proto.eq_ignore_ascii_case("RTP/AVP") || self.proto.eq_ignore_ascii_case("RTP/AVPF")
    }

    /// Where RTP goes to. `None` for a name, a refused section, or the address 0.0.0.0.
    pub fn rtp_addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.address?.parse().ok()?;
        (!self.is_refused() && !ip.is_unspecified()).then(|| SocketAddr::new(ip, self.port))
    }

    /// Where RTCP goes to: `a=rtcp`, the RTP port itself with rtcp-mux, else the next port.
    pub fn rtcp_addr(&self) -> Option<SocketAddr> {
        let rtp = self.rtp_addr()?;
        let port = match self.rtcp_port {
            Some(port) => port,
            None if self.rtcp_mux => rtp.port(),
            None => rtp.port().checked_add(1)?,
        };
        Some(SocketAddr::new(rtp.ip(), port))
    }

    /// The writer wants to hear nothing.
    pub fn is_held(&self) -> bool {
        !self.direction.receives()
    }

    pub fn codec(&self, name: &str, clock_rate_hz: u32) -> Option<&Codec<'a>> {
        self.codecs.iter().find(|codec| codec.is(name, clock_rate_hz))
    }

    /// The first codec that carries sound: of an answer, the one in use.
    pub fn first_voice(&self) -> Option<&Codec<'a>> {
        self.codecs.iter().find(|codec| codec.is_voice())
    }

    /// DTMF at the clock rate of the codec beside it: browsers offer it at 48000 and 8000
    /// under different payload types, so it is found by codec and never by number.
    pub fn telephone_event(&self, clock_rate_hz: u32) -> Option<&Codec<'a>> {
        self.codec("telephone-event", clock_rate_hz)
    }

    /// What of this offer a trunk is offered: G.711, A-law first, and DTMF under the payload
    /// type of this offer (some trunks answer with their own number otherwise). Empty where
    /// the offer has no G.711.
    pub fn trunk_codecs(&self) -> Vec<Codec<'static>> {
        let mut codecs = Vec::with_capacity(3);
        for law in [Codec::PCMA, Codec::PCMU] {
            if self.codec(law.name, 8000).is_some() {
                codecs.push(law);
            }
        }
        if let (false, Some(event)) = (codecs.is_empty(), self.telephone_event(8000)) {
            codecs.push(Codec::telephone_event(event.payload_type));
        }
        codecs
    }
}

#[cfg(test)]
mod tests;
