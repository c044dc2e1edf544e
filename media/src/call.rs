//! One call's media as a plain value: no socket, no clock, no thread in it.
//!
//! Datagrams and verbs come in, each with `now`; after each, the owner drains [`Call::poll_output`]
//! to the end and, unless the call [is settled](Call::is_settled) before that, arms
//! [`Call::poll_timeout`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_sip::sdp::Sdp;

use crate::browser::{Browser, DtlsCert, Parts, Polled};
use crate::browser_sdp::Offer;
use crate::random::Random;
use crate::rebase::Rebase;
use crate::reception::mos;
use crate::reports::Reports;
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
    /// The time since 1970 that the call's first moment is.
    pub(crate) wall: Duration,
}

pub(crate) struct Call {
    offer: Offer,
    browser: Option<Box<Browser>>,
    /// The first answer, which every later answer of the trunk gets again.
    answer: Bytes,
    trunk: Trunk,
    to_browser: Rebase,
    to_trunk: Rebase,
    /// What the browser's leg will be known by: its SSRC, and the id of its SDP.
    browser_ids: (u32, u64),
    /// A moment, and the time since 1970 that it was.
    clock: (Instant, Duration),
    silence: Silence,
    gone: bool,
    /// Goodbye is the last word to the trunk.
    closed: bool,
    outputs: VecDeque<Output>,
    /// Something happened that may move a deadline nearer, or that a leg has to say something to. Packets
    /// of media do neither, and there are a hundred a second of them.
    unsettled: bool,
}

/// What the owner does for a call.
#[derive(Debug)]
pub(crate) enum Output {
    /// From the worker's browser port.
    Browser(SocketAddr, Vec<u8>),
    /// From the call's RTP port.
    Trunk(SocketAddr, Vec<u8>),
    /// From the call's RTCP port.
    TrunkRtcp(SocketAddr, Vec<u8>),
    Event(MediaEvent),
}

impl Call {
    /// A call with a browser's offer, and the SDP to offer to the trunk.
    pub(crate) fn new(now: Instant, setup: Setup, random: &mut Random) -> (Self, Bytes) {
        let Setup { offer, trunk_addr, limits, wall } = setup;
        // The session id of an o= line is a signed 64-bit number to some peers.
        let session_id = random.u64() >> 2;
        let codecs = offer.codecs.clone();
        let mut trunk = Trunk::new((now, wall), trunk_addr, codecs, session_id, random.u32());
        let sdp = trunk.offer();
        let mut silence = Silence::new(limits);
        silence.set_held(Side::Browser, offer.is_held(), now);
        let call = Self {
            offer,
            browser: None,
            answer: Bytes::new(),
            trunk,
            // In the lower half: who misses the packets before 65,535 could not tell that the numbers began
            // anew, and would open none (RFC 3711 section 3.3.1).
            to_browser: Rebase::new(random.u16() >> 1, random.u32()),
            to_trunk: Rebase::new(random.u16(), random.u32()),
            browser_ids: (random.u32(), random.u64() >> 2),
            clock: (now, wall),
            silence,
            gone: false,
            closed: false,
            outputs: VecDeque::new(),
            unsettled: true,
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
        self.unsettled = true;
        self.trunk.answered(now, &parse(trunk_sdp)?)?;
        self.silence.set_held(Side::Trunk, self.trunk.is_held(), now);
        if self.browser.is_none() {
            let (law, events) = self.trunk.codec().ok_or(MediaError::NotAnswered)?;
            let (ssrc, session_id) = self.browser_ids;
            let offer = &self.offer;
            let wall = self.clock.1 + now.saturating_duration_since(self.clock.0);
            let parts = Parts { offer, law, events, local, cert, ssrc, session_id, wall };
            let (browser, answer) = Browser::answer(&parts, now)?;
            self.browser = Some(Box::new(browser));
            self.answer = answer;
        }
        Ok(self.answer.clone())
    }

    /// The call is answered: the silence rule begins to count.
    pub(crate) fn talking(&mut self, now: Instant) {
        self.unsettled = true;
        self.silence.begin(now);
    }

    /// Answers a new offer of the browser.
    pub(crate) fn reoffer_from_browser(
        &mut self,
        now: Instant,
        sdp: &[u8],
    ) -> Result<Bytes, MediaError> {
        self.unsettled = true;
        let browser = self.browser.as_mut().ok_or(MediaError::NotAnswered)?;
        let offer = Offer::read(sdp)?;
        if !offer.codecs.iter().any(|codec| codec.is(browser.law().name(), 8_000)) {
            return Err(MediaError::NotAcceptable("the codec in use is no longer offered"));
        }
        if !offer.is_same_media(&self.offer) {
            return Err(MediaError::NotAcceptable("the audio's mid changed"));
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
        self.unsettled = true;
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
        self.unsettled = true;
        if let Some(browser) = self.browser.as_mut().filter(|_| !self.gone)
            && let Some((to, bytes)) = browser.close(now)
        {
            self.outputs.push_back(Output::Browser(to, bytes));
        }
        (self.gone, self.closed) = (true, true);
        if let Some((to, bytes)) = self.trunk.goodbye() {
            self.outputs.push_back(Output::TrunkRtcp(to, bytes));
        }
    }

    /// The user fragment that the browser's ICE checks name, once answered.
    pub(crate) fn ufrag(&self) -> Option<&str> {
        self.browser.as_ref().map(|browser| browser.ufrag())
    }

    pub(crate) fn stats(&self, now: Instant) -> MediaStats {
        let browser = self.browser.as_ref().map(|browser| told(browser.reports()));
        let browser = browser.unwrap_or_default();
        let trunk = told(self.trunk.reports());
        let trunk = LegStats { strangers: self.trunk.strangers(), ..trunk };
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
            Kind::Rtp => self.relay_to_trunk(now, source, datagram),
            Kind::Rtcp => {
                if browser.take_report(now, source, datagram) {
                    self.silence.heard(Side::Browser, now);
                }
            }
            kind => {
                self.unsettled = true;
                // Whoever heard the browser could send its check again, but not from there.
                if browser.receive(now, source, datagram) && kind == Kind::Stun && proven {
                    self.silence.browser_checked(now);
                }
            }
        }
    }

    /// A datagram on the call's RTP port.
    pub(crate) fn handle_trunk_rtp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let first = self.trunk.reports().reception().received() == 0;
        let Some((packet, payload)) = self.trunk.accept(now, source, datagram) else { return };
        self.silence.heard(Side::Trunk, now);
        if first {
            self.outputs.push_back(Output::Event(MediaEvent::FirstRtp(Side::Trunk)));
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
        let converted: Vec<u8>;
        let payload = match table {
            None => payload,
            Some(table) => {
                let mut bytes = payload.to_vec();
                convert(table, bytes.iter_mut());
                converted = bytes;
                converted.as_slice()
            }
        };
        if let Some((to, bytes)) = browser.send(numbers, payload_type, marker, payload) {
            self.outputs.push_back(Output::Browser(to, bytes));
        }
    }

    /// A datagram on the call's RTCP port.
    pub(crate) fn handle_trunk_rtcp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if self.trunk.accept_rtcp(now, source, datagram) {
            self.silence.heard(Side::Trunk, now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.unsettled = true;
        if let Some(browser) = self.browser.as_mut()
            && browser.deadline().is_some_and(|at| at <= now)
        {
            browser.advance(now);
            // Made though nobody is there to take it: one that stays due would be asked for without end.
            let report = browser.report(now, &self.to_browser);
            if let Some((to, bytes)) = report.filter(|_| !self.gone) {
                self.outputs.push_back(Output::Browser(to, bytes));
            }
        }
        if !self.closed
            && let Some((to, bytes)) = self.trunk.report(now, &self.to_trunk)
        {
            self.outputs.push_back(Output::TrunkRtcp(to, bytes));
        }
        if let Some(event) = self.silence.check(now) {
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Whether the deadline that was told last still is early enough: packets of media only move it away.
    pub(crate) const fn is_settled(&self) -> bool {
        !self.unsettled
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        let browser = self.browser.as_mut().and_then(|browser| browser.deadline());
        let report = self.trunk.reports().next().filter(|_| !self.closed);
        [browser, report, self.silence.deadline()].into_iter().flatten().min()
    }

    pub(crate) fn poll_output(&mut self, now: Instant) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if !self.unsettled {
                return None;
            }
            let Some(browser) = self.browser.as_mut() else {
                self.unsettled = false;
                return None;
            };
            match browser.poll(now) {
                Polled::Transmit(to, bytes) => return Some(Output::Browser(to, bytes)),
                Polled::Connected => return Some(Output::Event(MediaEvent::Connected)),
                Polled::Gone { failed } => {
                    // A leg that failed says so each time it is asked.
                    self.unsettled = !failed;
                    if !std::mem::replace(&mut self.gone, true) {
                        let why = if failed { GoneWhy::DtlsFailed } else { GoneWhy::BrowserClosed };
                        return Some(Output::Event(MediaEvent::Gone(why)));
                    }
                }
                Polled::Idle => self.unsettled = false,
            }
        }
    }

    /// An RTP datagram of the browser, which must prove itself first.
    fn relay_to_trunk(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let Some(browser) = self.browser.as_mut() else { return };
        let first = browser.reports().reception().received() == 0;
        let Some((packet, payload)) = browser.open(now, source, datagram) else { return };
        self.silence.heard(Side::Browser, now);
        if first {
            self.outputs.push_back(Output::Event(MediaEvent::FirstRtp(Side::Browser)));
        }
        let Some(payload) = payload.filter(|payload| self.trunk.wants(*payload)) else {
            self.to_trunk.interrupt();
            return;
        };
        let Packet { ssrc, sequence, timestamp, marker, .. } = packet;
        let Some(numbers) = self.to_trunk.map(now, ssrc, sequence, timestamp) else { return };
        let [low, high, ..] = numbers.sequence.to_le_bytes();
        let packet = Packet {
            marker: marker || numbers.switched,
            sequence: u16::from_le_bytes([low, high]),
            timestamp: numbers.timestamp,
            // The trunk side puts in its own payload type and SSRC.
            ..packet
        };
        if let Some((to, bytes)) = self.trunk.send(payload, &packet) {
            self.outputs.push_back(Output::Trunk(to, bytes));
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Sdp<'_>, MediaError> {
    Sdp::parse(bytes).map_err(|error| MediaError::Malformed(error.to_string()))
}

fn milliseconds(time: Duration) -> f32 {
    time.as_secs_f32() * 1_000.0
}

fn told(reports: &Reports) -> LegStats {
    let (reception, round_trip) = (reports.reception(), reports.round_trip());
    let (packets_received, packets_lost) = (reception.received(), reception.lost());
    let jitter_ms = reception.jitter_ms();
    let expected = packets_received + packets_lost;
    let share = ratio(packets_lost, expected);
    let rtt_ms = round_trip.map(milliseconds);
    let mos = (packets_received > 0).then(|| mos(rtt_ms.unwrap_or(0.0), jitter_ms, share));
    LegStats {
        packets_received,
        packets_lost,
        packets_sent: reports.packets_sent(),
        jitter_ms,
        mos,
        rtt_ms,
        reported_loss: reports.reported_loss(),
        ..LegStats::default()
    }
}

/// A share as a number of thousandths, exact enough for a MOS.
fn ratio(part: u64, whole: u64) -> f32 {
    let thousandths = (part.saturating_mul(1_000)).checked_div(whole).unwrap_or(0);
    f32::from(u16::try_from(thousandths).unwrap_or(1_000)) / 1_000.0
}

#[cfg(test)]
impl Call {
    /// DTLS records that wait for somewhere to go.
    fn waiting_records(&self) -> usize {
        self.browser.as_ref().map_or(0, |browser| browser.waiting_records())
    }
}

#[cfg(test)]
mod tests;
