//! The trunk's SDP: what it says, and our own, written from scratch.

use std::net::SocketAddr;

use bytes::Bytes;
use sautikit_sip::sdp::{Codec, Direction, Media, Sdp, TrunkSdp};

use crate::MediaError;
use crate::g711::Law;
use crate::trunk::Payload;

const CLOCK: u32 = 8_000;
const PTIME_MS: u16 = 20;

/// What a trunk's SDP says of its side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Where its RTP comes from and goes to; `None` while it has `c=0.0.0.0`.
    pub(crate) rtp: Option<SocketAddr>,
    pub(crate) rtcp: Option<SocketAddr>,
    /// Each G.711 law that it takes, in its order, with its payload type.
    pub(crate) laws: Vec<(Law, u8)>,
    /// Its payload type of telephone-event/8000.
    pub(crate) events: Option<u8>,
    pub(crate) direction: Direction,
}

impl Remote {
    /// Reads an answer or an offer of a trunk.
    pub(crate) fn read(sdp: &Sdp<'_>) -> Result<Self, MediaError> {
        let audio = sdp.audio().ok_or(MediaError::NotAcceptable("the trunk has no audio"))?;
        if !audio.is_plain_rtp() {
            return Err(MediaError::NotAcceptable("the trunk does not speak plain RTP/AVP"));
        }
        let laws: Vec<_> = audio.codecs.iter().filter_map(law_of).collect();
        if laws.is_empty() {
            return Err(MediaError::NotAcceptable("the trunk has neither PCMA nor PCMU"));
        }
        let rtp = audio.rtp_addr();
        if rtp.is_none() && !is_zero(audio) {
            return Err(MediaError::NotAcceptable("the trunk's address is no IP address"));
        }
        Ok(Self {
            rtp,
            rtcp: audio.rtcp_addr(),
            laws,
            events: audio.telephone_event(CLOCK).map(|codec| codec.payload_type),
            direction: audio.direction,
        })
    }

    /// What a packet of this payload type is. `ours` is the telephone-event that we offered: an
    /// answer may name another, and then trunks send either.
    pub(crate) fn payload(&self, payload_type: u8, ours: Option<u8>) -> Option<Payload> {
        let named = self.laws.iter().find(|(_, named)| *named == payload_type);
        if let Some((law, _)) = named {
            return Some(Payload::Audio(*law));
        }
        if self.events == Some(payload_type) || ours == Some(payload_type) {
            return Some(Payload::TelephoneEvent);
        }
        Law::of_payload_type(payload_type).map(Payload::Audio)
    }
}

/// `c=0.0.0.0`, the old way to hold a call (RFC 3264 section 8.4).
fn is_zero(audio: &Media<'_>) -> bool {
    audio
        .address
        .and_then(|address| address.parse().ok())
        .is_some_and(|ip: std::net::IpAddr| ip.is_unspecified())
}

fn law_of(codec: &Codec<'_>) -> Option<(Law, u8)> {
    [Law::A, Law::Mu]
        .into_iter()
        .find(|law| codec.is(law.name(), CLOCK))
        .map(|law| (law, codec.payload_type))
}

/// Our own side.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    session_id: u64,
    version: u64,
    address: SocketAddr,
    /// What the browser lets us offer.
    codecs: Vec<Codec<'static>>,
}

impl Local {
    /// `codecs` as the browser's offer allows them ([`Media::trunk_codecs`]).
    pub(crate) fn new(session_id: u64, address: SocketAddr, codecs: Vec<Codec<'static>>) -> Self {
        Self { session_id, version: 0, address, codecs }
    }

    pub(crate) fn offers(&self, law: Law) -> bool {
        self.codecs.iter().any(|codec| codec.is(law.name(), CLOCK))
    }

    pub(crate) fn events(&self) -> Option<u8> {
        self.codecs.iter().find(|codec| !codec.is_voice()).map(|codec| codec.payload_type)
    }

    /// Our offer; each one has a new version.
    pub(crate) fn offer(&mut self) -> Bytes {
        self.version += 1;
        self.describe(&self.codecs, Direction::SendRecv).print()
    }

    /// Our answer to the trunk's offer: one law, and telephone-events under its number.
    pub(crate) fn answer(&mut self, offer: &Sdp<'_>, remote: &Remote) -> Bytes {
        self.version += 1;
        let law = remote.laws.first().map(|(law, payload_type)| {
            let codec = if *law == Law::A { Codec::PCMA } else { Codec::PCMU };
            Codec { payload_type: *payload_type, ..codec }
        });
        let events = remote.events.map(Codec::telephone_event);
        let codecs: Vec<_> = law.into_iter().chain(events).collect();
        self.describe(&codecs, remote.direction.reversed()).print_answer(offer)
    }

    fn describe<'a>(&self, codecs: &'a [Codec<'static>], direction: Direction) -> TrunkSdp<'a> {
        TrunkSdp {
            session_id: self.session_id,
            version: self.version,
            address: self.address.ip(),
            port: self.address.port(),
            codecs,
            direction,
            ptime_ms: PTIME_MS,
        }
    }
}
