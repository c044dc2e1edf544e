//! The trunk's leg: plain RTP and RTCP with the one address that its SDP names.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_sip::sdp::{Codec, Sdp};

use crate::MediaError;
use crate::g711::Law;
use crate::rebase::Rebase;
use crate::reports::Reports;
use crate::rtp::{HEADER_LEN, Packet};
use crate::trunk_sdp::{Local, Remote};

/// A trunk's packet carries at most this much: 120 ms of G.711.
const PAYLOAD_MAX: usize = 960;

pub(crate) struct Trunk {
    /// Our own SDP: what is offered, at which address.
    local: Local,
    remote: Option<Remote>,
    reports: Reports,
    strangers: u64,
}

/// What a packet of the trunk carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Audio(Law),
    /// RFC 4733.
    TelephoneEvent,
}

impl Trunk {
    /// A side at `address` (as the world sees it) that offers these codecs. `wall` is the time since 1970.
    pub(crate) fn new(
        (now, wall): (Instant, Duration),
        address: SocketAddr,
        codecs: Vec<Codec<'static>>,
        session_id: u64,
        ssrc: u32,
    ) -> Self {
        Self {
            local: Local::new(session_id, address, codecs),
            remote: None,
            reports: Reports::new(now, wall, ssrc),
            strangers: 0,
        }
    }

    /// Our SDP as an offer: at first, or for a re-INVITE of the trunk without one.
    pub(crate) fn offer(&mut self) -> Bytes {
        self.local.offer()
    }

    /// Takes the trunk's answer; each later one re-points us.
    pub(crate) fn answered(&mut self, now: Instant, sdp: &Sdp<'_>) -> Result<(), MediaError> {
        let mut remote = Remote::read(sdp)?;
        remote.laws.retain(|(law, _)| self.local.offers(*law));
        if remote.laws.is_empty() {
            return Err(MediaError::NotAcceptable("the trunk answered what was not offered"));
        }
        self.point_at(now, remote);
        Ok(())
    }

    /// Takes the trunk's new offer and answers it: with `wanted` where it offers that, else with the
    /// other law.
    pub(crate) fn reoffered(
        &mut self,
        now: Instant,
        offer: &Sdp<'_>,
        wanted: Law,
    ) -> Result<Bytes, MediaError> {
        let mut remote = Remote::read(offer)?;
        if let Some(at) = remote.laws.iter().position(|(law, _)| *law == wanted) {
            remote.laws.swap(0, at);
        }
        let answer = self.local.answer(offer, &remote);
        self.point_at(now, remote);
        Ok(answer)
    }

    fn point_at(&mut self, now: Instant, remote: Remote) {
        self.remote = Some(remote);
        self.reports.begin(now);
    }

    /// Whether the trunk's last SDP holds the call: the silence rule expects nothing of it.
    pub(crate) fn is_held(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| {
            remote.rtp.is_none() || !(remote.direction.sends() && remote.direction.receives())
        })
    }

    /// The law that the trunk is sent, and whether it takes telephone-events.
    pub(crate) fn codec(&self) -> Option<(Law, bool)> {
        let remote = self.remote.as_ref()?;
        let (law, _) = remote.laws.first()?;
        Some((*law, remote.events.is_some()))
    }

    /// Reads an RTP datagram: `None` when it is not for the call (a stranger's is counted). What is
    /// no audio and no event that we know (comfort noise, say) is a sign of life all the same.
    pub(crate) fn accept<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &'a [u8],
    ) -> Option<(Packet<'a>, Option<Payload>)> {
        let remote = self.remote.as_ref()?;
        if !is_from(source, remote.rtp) {
            self.stranger();
            return None;
        }
        let packet = Packet::parse(datagram).filter(|packet| packet.payload.len() <= PAYLOAD_MAX);
        let Some(packet) = packet else {
            metrics::counter!("sautikit_media_malformed_total", "side" => "trunk").increment(1);
            return None;
        };
        let payload = remote.payload(packet.payload_type, self.local.events());
        let timestamp = matches!(payload, Some(Payload::Audio(_))).then_some(packet.timestamp);
        self.reports.received(now, packet.ssrc, packet.sequence, timestamp);
        Some((packet, payload))
    }

    /// Reads an RTCP datagram: whether it was the trunk's.
    pub(crate) fn accept_rtcp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Some(remote) = self.remote.as_ref() else { return false };
        if !is_from(source, remote.rtcp) {
            self.stranger();
            return false;
        }
        if !self.reports.take(now, datagram) {
            metrics::counter!("sautikit_media_malformed_total", "side" => "trunk").increment(1);
            return false;
        }
        true
    }

    /// Whether the trunk wants a packet of this kind.
    pub(crate) fn wants(&self, payload: Payload) -> bool {
        self.remote.as_ref().is_some_and(|remote| {
            let known = payload != Payload::TelephoneEvent || remote.events.is_some();
            remote.direction.receives() && remote.rtp.is_some() && known
        })
    }

    /// Makes a packet for the trunk; `None` where it does not want one.
    pub(crate) fn send(
        &mut self,
        payload: Payload,
        packet: &Packet<'_>,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let remote = self.remote.as_ref().filter(|remote| remote.direction.receives())?;
        let to = remote.rtp?;
        let (law, law_type) = *remote.laws.first()?;
        let (payload_type, table) = match payload {
            Payload::Audio(from) => (law_type, from.conversion(law)),
            Payload::TelephoneEvent => (remote.events?, None),
        };
        let mut bytes = Packet { payload_type, ssrc: self.reports.ssrc(), ..*packet }.to_bytes();
        if let Some(table) = table {
            convert(table, bytes.iter_mut().skip(HEADER_LEN));
        }
        self.reports.sent(packet.payload.len());
        Some((to, bytes))
    }

    /// The report that is due, if one is.
    pub(crate) fn report(
        &mut self,
        now: Instant,
        stream: &Rebase,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let report = self.reports.due(now, stream)?;
        Some((self.remote.as_ref()?.rtcp?, report))
    }

    /// The end of our stream, for a trunk that heard of it.
    pub(crate) fn goodbye(&self) -> Option<(SocketAddr, Vec<u8>)> {
        Some((self.remote.as_ref()?.rtcp?, self.reports.goodbye()?))
    }

    pub(crate) const fn reports(&self) -> &Reports {
        &self.reports
    }

    pub(crate) const fn strangers(&self) -> u64 {
        self.strangers
    }

    fn stranger(&mut self) {
        self.strangers += 1;
        metrics::counter!("sautikit_media_strangers_total").increment(1);
    }
}

/// Turns coded bytes into the other law's.
pub(crate) fn convert<'a>(table: &[u8; 256], bytes: impl Iterator<Item = &'a mut u8>) {
    for byte in bytes {
        *byte = table[usize::from(*byte)];
    }
}

/// An IPv4 peer of an IPv6 socket has a mapped address.
fn is_from(source: SocketAddr, expected: Option<SocketAddr>) -> bool {
    expected.is_some_and(|expected| {
        source.port() == expected.port()
            && source.ip().to_canonical() == expected.ip().to_canonical()
    })
}
