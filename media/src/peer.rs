//! A browser's end of a call without a browser: full ICE, DTLS-SRTP, G.711, for tests and load
//! generators.
//!
//! [`Peer`] is a plain value; [`Crowd`] runs many of them in one thread over real sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_sip::sdp::{Direction, Sdp};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid, Pt};
use str0m::net::{DatagramRecv, DatagramSend, Protocol, Receive};
use str0m::rtp::{Extension, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};

use crate::browser::warm_up;
use crate::g711::{Law, energy, tone};
use crate::random::Random;

mod crowd;
mod digits;

pub use crowd::{Crowd, PeerHandle};

use digits::{Heard, Spoken};

/// How often a packet of audio leaves, and its samples.
const PACKET_TIME: Duration = Duration::from_millis(20);
const PACKET_SAMPLES: u32 = 160;
/// A peer that is later than this starts its clock anew instead of sending a burst.
const LATE_MAX: Duration = Duration::from_millis(200);
/// How often the library tells what the other end's reports said.
const STATS_INTERVAL: Duration = Duration::from_secs(5);
/// Chromium's payload types of telephone-event.
const EVENTS_8K: u8 = 126;
const EVENTS_48K: u8 = 110;

/// What a peer is like.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// The tone that it sends once connected.
    pub tone_hertz: u16,
    /// Send nothing but RTCP.
    pub silent: bool,
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self { tone_hertz: 440, silent: false }
    }
}

/// Why a peer could not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    #[error("the peer cannot use this SDP: {0}")]
    Sdp(String),
    #[error("the peer has no offer that waits for an answer, or nothing to offer anew")]
    State,
    #[error("the peer's socket: {0}")]
    Socket(std::io::ErrorKind),
    #[error("no DTLS certificate could be made")]
    Certificate,
    #[error("the peers' thread has ended")]
    Ended,
}

/// What a peer has seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerStats {
    /// ICE and DTLS are up.
    pub connected: bool,
    /// How long that took, from the first answer (or offer) on.
    pub connected_after: Option<Duration>,
    /// The other end closed DTLS.
    pub closed: bool,
    pub packets_sent: u64,
    pub packets_received: u64,
    /// Missing by sequence numbers, since the first packet.
    pub packets_lost: u64,
    /// Sum over packets of the mean square of their samples (full scale = 1).
    pub energy_sum: f64,
    /// Energy of the last packet of audio.
    pub energy_last: f64,
    pub jitter_ms: f32,
    /// By the other end's receiver reports.
    pub round_trip: Option<Duration>,
    /// Payload types of received packets: audio and events, the last of each.
    pub payload_type: Option<u8>,
    /// SSRCs that packets came from; one for life, if the other end does it right.
    pub sources: u64,
    pub markers: u64,
    /// RFC 4733 events received, each once.
    pub digits: Vec<u8>,
}

/// What leaves a peer.
#[derive(Debug)]
pub struct PeerOutput {
    pub to: SocketAddr,
    pub bytes: DatagramSend,
}

/// One browser-like end.
pub struct Peer {
    rtc: Rtc,
    mid: Mid,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
    /// Codec and its payload type, once agreed.
    law: Law,
    events: Option<u8>,
    tone: Vec<u8>,
    silent: bool,
    began: Instant,
    next_packet: Option<Instant>,
    sequence: u64,
    timestamp: u32,
    spoken: Spoken,
    heard: Heard,
    reception: crate::reception::Reception,
    last_source: Option<u32>,
    stats: PeerStats,
    deadline: Instant,
}

impl Peer {
    /// A peer at a socket's address that offers what Chromium does.
    pub fn offer(
        now: Instant,
        local: SocketAddr,
        options: &PeerOptions,
    ) -> Result<(Self, Bytes), PeerError> {
        let mut rtc = build(now, local)?;
        let mut change = rtc.sdp_api();
        let direction = str0m::media::Direction::SendRecv;
        let mid = change.add_media(MediaKind::Audio, direction, None, None, None);
        let (offer, pending) = change.apply().ok_or(PeerError::State)?;
        let mut peer = Self::new(now, rtc, mid, local, options);
        peer.pending = Some(pending);
        Ok((peer, Bytes::from(offer.to_sdp_string())))
    }

    /// A peer at a socket's address that answers an offer.
    pub fn answer(
        now: Instant,
        local: SocketAddr,
        options: &PeerOptions,
        offer: &[u8],
    ) -> Result<(Self, Bytes), PeerError> {
        let mut rtc = build(now, local)?;
        let parsed = SdpOffer::from_sdp_string(text(offer)?).map_err(unusable)?;
        let answer = rtc.sdp_api().accept_offer(parsed).map_err(unusable)?.to_sdp_string();
        let sdp = Sdp::parse(answer.as_bytes()).map_err(unusable)?;
        let mid = sdp.audio().and_then(|audio| audio.mid).map(Mid::from).ok_or(PeerError::State)?;
        let mut peer = Self::new(now, rtc, mid, local, options);
        peer.agree(answer.as_bytes())?;
        Ok((peer, Bytes::from(answer)))
    }

    fn new(now: Instant, rtc: Rtc, mid: Mid, local: SocketAddr, options: &PeerOptions) -> Self {
        let mut random = Random::new();
        Self {
            rtc,
            mid,
            local,
            pending: None,
            law: Law::A,
            events: None,
            tone: tone(Law::A, options.tone_hertz),
            silent: options.silent,
            began: now,
            next_packet: None,
            sequence: u64::from(random.u16()),
            timestamp: random.u32(),
            spoken: Spoken::default(),
            heard: Heard::default(),
            reception: crate::reception::Reception::new(now),
            last_source: None,
            stats: PeerStats::default(),
            deadline: now,
        }
    }

    /// Takes the answer to the last offer.
    pub fn accept_answer(&mut self, now: Instant, answer: &[u8]) -> Result<(), PeerError> {
        let pending = self.pending.take().ok_or(PeerError::State)?;
        let parsed = SdpAnswer::from_sdp_string(text(answer)?).map_err(unusable)?;
        self.rtc.sdp_api().accept_answer(pending, parsed).map_err(unusable)?;
        self.agree(answer)?;
        if !self.stats.connected {
            self.began = now;
        }
        self.advance(now);
        Ok(())
    }

    /// A new offer: another direction (hold, resume), new ICE credentials, or both.
    pub fn reoffer(
        &mut self,
        now: Instant,
        direction: Direction,
        ice_restart: bool,
    ) -> Result<Bytes, PeerError> {
        let mut change = self.rtc.sdp_api();
        change.set_direction(self.mid, to_str0m(direction));
        if ice_restart {
            change.ice_restart(true);
        }
        let (offer, pending) = change.apply().ok_or(PeerError::State)?;
        let sdp = Bytes::from(offer.to_sdp_string());
        self.pending = Some(pending);
        self.advance(now);
        Ok(sdp)
    }

    /// Sends a DTMF digit (RFC 4733: 0–9, 10 = star, 11 = hash) after those that wait.
    pub fn send_digit(&mut self, event: u8) {
        self.spoken.push(event);
    }

    /// Whether it sends its tone.
    pub fn set_silent(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// Closes the connection as a page does that closes its `RTCPeerConnection`.
    pub fn close(&mut self, now: Instant) {
        if self.rtc.close().is_ok() {
            self.advance(now);
        }
    }

    #[must_use]
    pub fn stats(&self) -> PeerStats {
        PeerStats {
            packets_lost: self.reception.lost(),
            jitter_ms: self.reception.jitter_ms(),
            digits: self.heard.digits().to_vec(),
            ..self.stats.clone()
        }
    }

    /// A datagram on the peer's socket.
    pub fn handle(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let Ok(contents) = DatagramRecv::try_from(datagram) else { return };
        let destination = self.local;
        let receive = Receive { proto: Protocol::Udp, source, destination, contents };
        // Whatever is wrong with it, the next poll tells.
        let _ = self.rtc.handle_input(Input::Receive(now, receive));
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(due) = self.next_packet.filter(|due| *due <= now) {
            let late = now.saturating_duration_since(due) > LATE_MAX;
            self.next_packet = Some(if late { now } else { due } + PACKET_TIME);
            self.speak(now);
        }
        self.advance(now);
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.next_packet.map_or(self.deadline, |next| next.min(self.deadline))
    }

    pub fn poll_output(&mut self, now: Instant) -> Option<PeerOutput> {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    let (to, bytes) = (transmit.destination, transmit.contents);
                    return Some(PeerOutput { to, bytes });
                }
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    return None;
                }
                Ok(Output::Event(event)) => self.event(now, event),
                Err(_) => {
                    self.stats.closed |= !self.rtc.is_alive();
                    self.deadline = now + LATE_MAX;
                    return None;
                }
            }
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => {
                self.stats.connected = true;
                let took = now.saturating_duration_since(self.began);
                self.stats.connected_after.get_or_insert(took);
                self.next_packet.get_or_insert(now);
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.stats.connected = false;
            }
            Event::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) => self.stats.connected = self.rtc.is_connected(),
            Event::Closed => {
                self.stats.closed = true;
                self.next_packet = None;
            }
            Event::RtpPacket(packet) => self.listen(now, &packet),
            Event::MediaEgressStats(told) => {
                self.stats.round_trip = told.rtt.or(self.stats.round_trip);
            }
            _ => {}
        }
    }

    fn listen(&mut self, now: Instant, packet: &RtpPacket) {
        let header = &packet.header;
        let payload_type = *header.payload_type;
        self.stats.packets_received += 1;
        self.stats.markers += u64::from(header.marker);
        if self.last_source.replace(*header.ssrc) != Some(*header.ssrc) {
            self.stats.sources += 1;
        }
        let is_event = self.events == Some(payload_type);
        let clock = (!is_event).then_some(header.timestamp);
        self.reception.packet(now, *header.ssrc, header.sequence_number, clock);
        if is_event {
            self.heard.packet(header.timestamp, &packet.payload);
            return;
        }
        self.stats.payload_type = Some(payload_type);
        if let Some(law) = Law::of_payload_type(payload_type) {
            self.stats.energy_last = energy(law, &packet.payload);
            self.stats.energy_sum += self.stats.energy_last;
        }
    }

    fn speak(&mut self, now: Instant) {
        let sending = self.rtc.media(self.mid).is_some_and(|m| m.direction().is_sending());
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(PACKET_SAMPLES);
        if !sending {
            return;
        }
        if let Some(payload_type) = self.events
            && let Some(event) = self.spoken.packet(timestamp)
        {
            self.write(now, payload_type, event.timestamp, event.marker, &event.payload);
            return;
        }
        if self.silent {
            return;
        }
        let samples = usize::try_from(PACKET_SAMPLES).unwrap_or(0);
        let at = usize::try_from(self.stats.packets_sent).unwrap_or(0) * samples % self.tone.len();
        let payload = self.tone.get(at..at + samples).unwrap_or_default().to_vec();
        let marker = self.stats.packets_sent == 0;
        self.write(now, self.law.payload_type(), timestamp, marker, &payload);
    }

    fn write(
        &mut self,
        now: Instant,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) {
        let sequence = self.sequence;
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(self.mid, None) else { return };
        let payload_type = Pt::new_with_value(payload_type);
        let packet = RtpWrite::new(payload_type, sequence.into(), timestamp, now, payload);
        stream.write_rtp(packet.marker(marker));
        self.sequence += 1;
        self.stats.packets_sent += 1;
    }

    /// Takes codec and events from an answer, whoever wrote it.
    fn agree(&mut self, answer: &[u8]) -> Result<(), PeerError> {
        let sdp = Sdp::parse(answer).map_err(unusable)?;
        let audio = sdp.audio().ok_or_else(|| PeerError::Sdp("no audio".into()))?;
        let law = audio.codecs.iter().find_map(|codec| {
            [Law::A, Law::Mu].into_iter().find(|law| codec.is(law.name(), 8_000))
        });
        let law = law.ok_or_else(|| PeerError::Sdp("no G.711".into()))?;
        if let Some(table) = self.law.conversion(law) {
            crate::trunk::convert(table, self.tone.iter_mut());
        }
        self.law = law;
        self.events = audio.telephone_event(8_000).map(|codec| codec.payload_type);
        Ok(())
    }

    fn advance(&mut self, now: Instant) {
        // Whatever failed, the next poll tells.
        let _ = self.rtc.handle_input(Input::Timeout(now));
    }
}

/// An `Rtc` as a browser has it.
fn build(now: Instant, local: SocketAddr) -> Result<Rtc, PeerError> {
    static CERT: std::sync::OnceLock<Option<str0m::config::DtlsCert>> = std::sync::OnceLock::new();
    let cert = CERT.get_or_init(|| warm_up(now)).clone().ok_or(PeerError::Certificate)?;
    let mut config = RtcConfig::new()
        .set_rtp_mode(true)
        .set_dtls_cert(cert)
        .set_stats_interval(Some(STATS_INTERVAL))
        .clear_codecs()
        .enable_opus(true, false)
        .enable_pcmu(true, false)
        .enable_pcma(true, false)
        .clear_extension_map()
        .set_extension(4, Extension::RtpMid);
    let rates = [(EVENTS_48K, Frequency::FORTY_EIGHT_KHZ), (EVENTS_8K, Frequency::EIGHT_KHZ)];
    for (payload_type, rate) in rates {
        let payload_type = Pt::new_with_value(payload_type);
        let format = FormatParams::default();
        config.codec_config().add_config(payload_type, None, Codec::Tele, rate, None, format);
    }
    let mut rtc = config.build(now);
    let candidate = Candidate::host(local, "udp").map_err(unusable)?;
    rtc.add_local_candidate(candidate);
    Ok(rtc)
}

const fn to_str0m(direction: Direction) -> str0m::media::Direction {
    match direction {
        Direction::SendRecv => str0m::media::Direction::SendRecv,
        Direction::SendOnly => str0m::media::Direction::SendOnly,
        Direction::RecvOnly => str0m::media::Direction::RecvOnly,
        Direction::Inactive => str0m::media::Direction::Inactive,
    }
}

fn text(sdp: &[u8]) -> Result<&str, PeerError> {
    std::str::from_utf8(sdp).map_err(unusable)
}

fn unusable(error: impl std::fmt::Display) -> PeerError {
    PeerError::Sdp(error.to_string())
}
