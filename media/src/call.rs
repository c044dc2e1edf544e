//! One call's media as a plain value: no socket, no clock, no thread in it.
//!
//! Datagrams and verbs come in, each with `now`; after each, the owner drains [`Call::poll_output`]
//! to the end and arms [`Call::poll_timeout`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_sip::sdp::Sdp;

use crate::browser::{Browser, DatagramSend, DtlsCert, Incoming, Parts, Polled};
use crate::browser_sdp::Offer;
use crate::random::Random;
use crate::rebase::Rebase;
use crate::reception::{Reception, mos};
use crate::rtp::{self, Kind, Packet};
use crate::silence::{Limits, Silence};
use crate::trunk::{Payload, Trunk, convert};
use crate::{GoneWhy, LegStats, MediaError, MediaEvent, MediaStats, Side};

/// What a call is made of.
pub(crate) struct Setup {
    pub(crate) offer: Offer,
    /// The trunk side's RTP address as the world sees it; RTCP is the next port.
    pub(crate) trunk_addr: SocketAddr,
    pub(crate) limits: Limits,
}

pub(crate) struct Call {
    offer: Offer,
    browser: Option<Box<Browser>>,
    /// The first answer, which every later answer of the trunk gets again.
    answer: Bytes,
    trunk: Trunk,
    to_browser: Rebase,
    to_trunk: Rebase,
    from_browser: Reception,
    browser_sent: u64,
    browser_rtt: Option<Duration>,
    browser_loss: Option<f32>,
    silence: Silence,
    connected: bool,
    gone: bool,
    /// Goodbye is the last word to the trunk.
    closed: bool,
    events: VecDeque<MediaEvent>,
    to_trunk_rtcp: Option<(SocketAddr, Vec<u8>)>,
}

/// What the owner does for a call.
#[derive(Debug)]
pub(crate) enum Output {
    /// From the worker's browser port.
    Browser(SocketAddr, DatagramSend),
    /// From the call's RTP port.
    Trunk(SocketAddr, Vec<u8>),
    /// From the call's RTCP port.
    TrunkRtcp(SocketAddr, Vec<u8>),
    Event(MediaEvent),
}

impl Call {
    /// A call with a browser's offer, and the SDP to offer to the trunk.
    pub(crate) fn new(now: Instant, setup: Setup, random: &mut Random) -> (Self, Bytes) {
        let Setup { offer, trunk_addr, limits } = setup;
        // The session id of an o= line is a signed 64-bit number to some peers.
        let session_id = random.u64() >> 2;
        let codecs = offer.codecs.clone();
        let mut trunk = Trunk::new(now, trunk_addr, codecs, session_id, random.u32());
        let sdp = trunk.offer();
        let mut silence = Silence::new(limits);
        silence.set_held(Side::Browser, offer.is_held(), now);
        let call = Self {
            offer,
            browser: None,
            answer: Bytes::new(),
            trunk,
            to_browser: Rebase::new(random.u16(), random.u32()),
            to_trunk: Rebase::new(random.u16(), random.u32()),
            from_browser: Reception::new(now),
            browser_sent: 0,
            browser_rtt: None,
            browser_loss: None,
            silence,
            connected: false,
            gone: false,
            closed: false,
            events: VecDeque::new(),
            to_trunk_rtcp: None,
        };
        (call, sdp)
    }

    /// Takes the trunk's answer and gives the browser's. The first builds the browser's leg with
    /// exactly the trunk's codec; each later one re-points the trunk side and gives the same bytes.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        trunk_sdp: &[u8],
        local: SocketAddr,
        cert: &DtlsCert,
    ) -> Result<Bytes, MediaError> {
        self.trunk.answered(now, &parse(trunk_sdp)?)?;
        self.silence.set_held(Side::Trunk, self.trunk.is_held(), now);
        if self.browser.is_none() {
            let (law, events) = self.trunk.codec().ok_or(MediaError::NotAnswered)?;
            let parts = Parts { offer: &self.offer, law, events, local, cert };
            let (browser, answer) = Browser::answer(&parts, now)?;
            self.browser = Some(Box::new(browser));
            self.answer = answer;
        }
        Ok(self.answer.clone())
    }

    /// The call is answered: the silence rule begins to count.
    pub(crate) fn talking(&mut self, now: Instant) {
        self.silence.begin(now);
    }

    /// Answers a new offer of the browser.
    pub(crate) fn reoffer_from_browser(
        &mut self,
        now: Instant,
        sdp: &[u8],
    ) -> Result<Bytes, MediaError> {
        let browser = self.browser.as_mut().ok_or(MediaError::NotAnswered)?;
        let offer = Offer::read(sdp)?;
        if !offer.codecs.iter().any(|codec| codec.is(browser.law().name(), 8_000)) {
            return Err(MediaError::NotAcceptable("the codec in use is no longer offered"));
        }
        let answer = browser.reoffer(&offer, now)?;
        self.silence.set_held(Side::Browser, offer.is_held(), now);
        self.offer = offer;
        Ok(answer)
    }

    /// Answers a new offer of the trunk; the browser's codec is taken where it is offered.
    pub(crate) fn reoffer_from_trunk(
        &mut self,
        now: Instant,
        sdp: &[u8],
    ) -> Result<Bytes, MediaError> {
        let browser = self.browser.as_ref().ok_or(MediaError::NotAnswered)?;
        let answer = self.trunk.reoffered(now, &parse(sdp)?, browser.law())?;
        self.silence.set_held(Side::Trunk, self.trunk.is_held(), now);
        Ok(answer)
    }

    /// Our SDP as a new offer to the trunk.
    pub(crate) fn offer_to_trunk(&mut self) -> Bytes {
        self.trunk.offer()
    }

    /// Ends both legs; what that sends comes out of [`Self::poll_output`].
    pub(crate) fn close(&mut self, now: Instant) {
        if let Some(browser) = self.browser.as_mut().filter(|_| !self.gone) {
            browser.close(now);
        }
        (self.gone, self.closed) = (true, true);
        self.to_trunk_rtcp = self.trunk.goodbye();
    }

    /// The user fragment that the browser's ICE checks name, once answered.
    pub(crate) fn ufrag(&mut self) -> Option<String> {
        self.browser.as_mut().map(|browser| browser.ufrag())
    }

    pub(crate) fn stats(&self, now: Instant) -> MediaStats {
        let browser = LegStats {
            packets_sent: self.browser_sent,
            rtt_ms: self.browser_rtt.map(milliseconds),
            reported_loss: self.browser_loss,
            ..received(&self.from_browser, self.browser_rtt)
        };
        let trunk = LegStats {
            packets_sent: self.trunk.packets_sent(),
            rtt_ms: self.trunk.round_trip().map(milliseconds),
            reported_loss: self.trunk.reported_loss(),
            strangers: self.trunk.strangers(),
            ..received(self.trunk.reception(), self.trunk.round_trip())
        };
        let age = |side| self.silence.last_packet(side).map(|at| now.saturating_duration_since(at));
        MediaStats {
            browser: LegStats { last_packet_age: age(Side::Browser), ..browser },
            trunk: LegStats { last_packet_age: age(Side::Trunk), ..trunk },
        }
    }

    /// A datagram on the worker's browser port that is this call's: from an address that has proved the
    /// ICE password, but for a check, which may be the first from there, or forged.
    pub(crate) fn handle_browser(
        &mut self,
        now: Instant,
        (source, proven): (SocketAddr, bool),
        datagram: &[u8],
    ) {
        let Some(browser) = self.browser.as_mut().filter(|_| !self.gone) else { return };
        match rtp::kind(datagram) {
            Kind::Rtcp if self.connected => self.silence.heard(Side::Browser, now),
            Kind::Stun if proven => self.silence.browser_checked(now),
            _ => {}
        }
        browser.receive(now, source, datagram);
    }

    /// A datagram on the call's RTP port.
    pub(crate) fn handle_trunk_rtp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let first = self.trunk.reception().received() == 0;
        let Some((packet, payload)) = self.trunk.accept(now, source, datagram) else { return };
        self.silence.heard(Side::Trunk, now);
        if first {
            self.events.push_back(MediaEvent::FirstRtp(Side::Trunk));
        }
        let Some(browser) = self.browser.as_mut().filter(|_| !self.gone) else { return };
        let law = browser.law();
        let wanted = match payload {
            Some(Payload::Audio(from)) => Some((law.payload_type(), from.conversion(law))),
            Some(Payload::TelephoneEvent) => browser.events().map(|number| (number, None)),
            None => None,
        };
        let Some((payload_type, table)) = wanted.filter(|_| browser.listens()) else {
            self.to_browser.interrupt();
            return;
        };
        let Packet { ssrc, sequence, timestamp, marker, payload, .. } = packet;
        let Some(numbers) = self.to_browser.map(now, ssrc, sequence, timestamp) else { return };
        let marker = marker || numbers.switched;
        self.browser_sent += 1;
        let Some(table) = table else {
            browser.send(now, numbers, payload_type, marker, payload);
            return;
        };
        let mut converted = payload.to_vec();
        convert(table, converted.iter_mut());
        browser.send(now, numbers, payload_type, marker, &converted);
    }

    /// A datagram on the call's RTCP port.
    pub(crate) fn handle_trunk_rtcp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if self.trunk.accept_rtcp(now, source, datagram) {
            self.silence.heard(Side::Trunk, now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(browser) = self.browser.as_mut()
            && browser.deadline() <= now
        {
            browser.advance(now);
        }
        if !self.closed
            && let Some(report) = self.trunk.report(now, &self.to_trunk)
        {
            self.to_trunk_rtcp = Some(report);
        }
        if let Some(event) = self.silence.check(now) {
            self.events.push_back(event);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let browser = self.browser.as_ref().map(|browser| browser.deadline());
        let report = self.trunk.next_report().filter(|_| !self.closed);
        [browser, report, self.silence.deadline()].into_iter().flatten().min()
    }

    pub(crate) fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if let Some((to, bytes)) = self.to_trunk_rtcp.take() {
            return Some(Output::TrunkRtcp(to, bytes));
        }
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Output::Event(event));
            }
            match self.browser.as_mut()?.poll(now) {
                Polled::Transmit(to, bytes) => return Some(Output::Browser(to, bytes)),
                Polled::Rtp(packet) => {
                    if let Some((to, bytes)) = self.relay_to_trunk(now, &packet) {
                        return Some(Output::Trunk(to, bytes));
                    }
                }
                Polled::Connected => {
                    if !std::mem::replace(&mut self.connected, true) {
                        self.events.push_back(MediaEvent::Connected);
                    }
                }
                Polled::Gone { failed } => {
                    if !std::mem::replace(&mut self.gone, true) {
                        let why = if failed { GoneWhy::DtlsFailed } else { GoneWhy::BrowserClosed };
                        self.events.push_back(MediaEvent::Gone(why));
                    }
                    if failed {
                        self.browser = None;
                    }
                }
                Polled::Report { rtt, loss } => {
                    self.browser_rtt = rtt.or(self.browser_rtt);
                    self.browser_loss = loss.or(self.browser_loss);
                }
                Polled::Idle if self.events.is_empty() => return None,
                Polled::Idle => {}
            }
        }
    }

    fn relay_to_trunk(&mut self, now: Instant, packet: &Incoming) -> Option<(SocketAddr, Vec<u8>)> {
        let browser = self.browser.as_ref()?;
        let Incoming { ssrc, sequence, timestamp, marker, payload_type, .. } = *packet;
        let is_event = browser.events() == Some(payload_type);
        let payload =
            if is_event { Payload::TelephoneEvent } else { Payload::Audio(browser.law()) };
        let first = self.from_browser.received() == 0;
        let clock = (!is_event).then_some(timestamp);
        self.from_browser.packet(now, ssrc, sequence, clock);
        self.silence.heard(Side::Browser, now);
        if first {
            self.events.push_back(MediaEvent::FirstRtp(Side::Browser));
        }
        if !self.trunk.wants(payload) {
            self.to_trunk.interrupt();
            return None;
        }
        let numbers = self.to_trunk.map(now, ssrc, sequence, timestamp)?;
        let [low, high, ..] = numbers.sequence.to_le_bytes();
        // The trunk side puts in its own payload type and SSRC.
        let packet = Packet {
            marker: marker || numbers.switched,
            payload_type: 0,
            sequence: u16::from_le_bytes([low, high]),
            timestamp: numbers.timestamp,
            ssrc: 0,
            payload: &packet.payload,
        };
        self.trunk.send(payload, &packet)
    }
}

fn parse(bytes: &[u8]) -> Result<Sdp<'_>, MediaError> {
    Sdp::parse(bytes).map_err(|error| MediaError::Malformed(error.to_string()))
}

fn milliseconds(time: Duration) -> f32 {
    time.as_secs_f32() * 1_000.0
}

fn received(reception: &Reception, rtt: Option<Duration>) -> LegStats {
    let (packets_received, packets_lost) = (reception.received(), reception.lost());
    let jitter_ms = reception.jitter_ms();
    let expected = packets_received + packets_lost;
    let share = ratio(packets_lost, expected);
    let rtt_ms = rtt.map_or(0.0, milliseconds);
    let mos = (packets_received > 0).then(|| mos(rtt_ms, jitter_ms, share));
    LegStats { packets_received, packets_lost, jitter_ms, mos, ..LegStats::default() }
}

/// A share as a number of thousandths, exact enough for a MOS.
fn ratio(part: u64, whole: u64) -> f32 {
    let thousandths = (part.saturating_mul(1_000)).checked_div(whole).unwrap_or(0);
    f32::from(u16::try_from(thousandths).unwrap_or(1_000)) / 1_000.0
}

#[cfg(test)]
mod tests;
