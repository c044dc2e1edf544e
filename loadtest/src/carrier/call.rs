//! One call of the carrier: its leg, what is planned for it, and its line.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_sip::leg::{Event, Hop, Leg, LegConfig, Output as LegOutput, RequestKey, Transport};
use sautikit_sip::message::{Message, Name};
use sautikit_sip::sdp::Sdp;

use super::behaviour::{Behaviour, HANG_UP_AFTER};
use super::lines::{Line, Lines};
use super::record::{EndedBy, Record, seconds};
use super::sdp::{self, Own, Terms};
use super::switch::Output;
use crate::clock::Clock;
use crate::deadlines::Armed;

/// What all calls of a carrier have in common.
#[derive(Debug)]
pub(super) struct House {
    /// What the world sees in Contact and SDP.
    pub(super) sip: SocketAddr,
    pub(super) media: IpAddr,
    pub(super) answer_after: Duration,
    pub(super) clock: Clock,
    /// `None` for SIP only.
    pub(super) lines: Option<Lines>,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) leg: Leg,
    pub(super) armed: Armed,
    stage: Stage,
    /// Where the INVITE came from.
    source: SocketAddr,
    own: Own,
    line: Option<Line>,
    record: Record,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Ringing {
        answer_at: Option<Instant>,
        behaviour: Behaviour,
    },
    Talking {
        since: Instant,
        hang_up_at: Option<Instant>,
    },
    /// The line is printed; the leg may still have something to repeat.
    Over,
}

impl Call {
    /// Takes an INVITE. `tag` is unique, `number` makes the session description's id.
    pub(super) fn new(
        house: &House,
        tag: &str,
        number: u64,
        (invite, source): (Message, SocketAddr),
        now: Instant,
        outputs: &mut Vec<Output>,
    ) -> Self {
        let called = invite.uri().map(called_of).unwrap_or_default().to_owned();
        let behaviour = Behaviour::of(&called);
        let from = invite.from().and_then(|from| from.uri.user).unwrap_or_default().to_owned();
        let record = Record {
            call_id: invite.call_id().to_owned(),
            from,
            to: called,
            sautikit_call_id: invite.header(&Name::XSautikitCallId).map(ToOwned::to_owned),
            invited_unix_us: house.clock.unix_us(now),
            ..Record::default()
        };
        let own = Own { session_id: number, version: 1, address: house.media, port: sdp::NO_PORT };
        let leg = Leg::incoming(config(house.sip, tag), invite, Some(source), now);
        let stage = Stage::Ringing { answer_at: None, behaviour };
        let armed = Armed::default();
        let mut call = Self { leg, armed, stage, source, own, line: None, record };
        call.drain(house, now, outputs);
        call
    }

    /// Does with a new call what its number says. `offer` is the INVITE's.
    pub(super) fn begin(
        &mut self,
        house: &House,
        offer: Option<&Bytes>,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        let Stage::Ringing { answer_at, behaviour } = &mut self.stage else { return };
        match behaviour {
            Behaviour::Busy => self.reject(486, now, outputs),
            Behaviour::Decline => self.reject(603, now, outputs),
            Behaviour::Silent => {}
            Behaviour::Ring => self.leg.progress(now, 180, None, &[]),
            Behaviour::Answer | Behaviour::HangUp => {
                if offer.is_some_and(|offer| terms_of(offer).is_none()) {
                    self.reject(488, now, outputs);
                } else {
                    *answer_at = Some(now + house.answer_after);
                    self.leg.progress(now, 180, None, &[]);
                }
            }
        }
        self.drain(house, now, outputs);
    }

    /// Answers, if it is time: with the answer to `offer`, or with an offer of our own.
    pub(super) fn answer_if_due(
        &mut self,
        house: &House,
        offer: Option<&Bytes>,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        let Stage::Ringing { answer_at: Some(at), behaviour } = self.stage else { return };
        if at > now {
            return;
        }
        let sdp = match offer {
            Some(offer) => self.agree(house, offer),
            None => self.offer(house),
        };
        match sdp {
            Some(sdp) => {
                let hang_up_at = (behaviour == Behaviour::HangUp).then(|| now + HANG_UP_AFTER);
                self.record.status = 200;
                self.stage = Stage::Talking { since: now, hang_up_at };
                self.leg.answer(now, Some(sdp), &[]);
            }
            // No port is left for its sound.
            None => self.reject(503, now, outputs),
        }
        self.drain(house, now, outputs);
    }

    /// Does what is due of the leg and the plan.
    pub(super) fn handle_timeout(
        &mut self,
        house: &House,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        self.leg.handle_timeout(now);
        if let Stage::Talking { hang_up_at: Some(at), .. } = self.stage
            && at <= now
        {
            self.over(EndedBy::Carrier, None, now, outputs);
            self.leg.bye(now, None);
        }
        self.drain(house, now, outputs);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let planned = match self.stage {
            Stage::Ringing { answer_at, .. } => answer_at,
            Stage::Talking { hang_up_at, .. } => hang_up_at,
            Stage::Over => None,
        };
        [planned, self.leg.poll_timeout()].into_iter().flatten().min()
    }

    pub(super) const fn is_ringing(&self) -> bool {
        matches!(self.stage, Stage::Ringing { .. })
    }

    /// Performs what the leg wants.
    pub(super) fn drain(&mut self, house: &House, now: Instant, outputs: &mut Vec<Output>) {
        while let Some(output) = self.leg.poll_output() {
            match output {
                LegOutput::Send { bytes, hop } => {
                    let to = self.address_of(&hop);
                    outputs.push(Output::Send { bytes, to });
                }
                LegOutput::Event(event) => self.event(house, event, now, outputs),
            }
        }
    }

    fn event(&mut self, house: &House, event: Event, now: Instant, outputs: &mut Vec<Output>) {
        match event {
            Event::Declined { status } => self.over(EndedBy::Carrier, Some(status), now, outputs),
            Event::Canceled { .. } => self.over(EndedBy::Caller, Some(487), now, outputs),
            Event::Bye { .. } => self.over(EndedBy::Caller, None, now, outputs),
            Event::AckMissing | Event::Expired | Event::Ended => {
                self.over(EndedBy::Carrier, None, now, outputs);
            }
            Event::Acked { sdp: Some(sdp) } | Event::OfferAnswered { sdp } => {
                // Their answer to our offer: terms are read from it as from an offer.
                self.agree(house, &sdp);
            }
            Event::Offer { request, sdp, .. } => self.reoffered(house, request, &sdp, now),
            Event::OfferWanted { request } => {
                let sdp = self.offer(house);
                self.leg.accept(now, request, sdp, &[]);
            }
            Event::Request { request, .. } => self.leg.accept(now, request, None, &[]),
            _ => {}
        }
    }

    fn reoffered(&mut self, house: &House, request: RequestKey, offer: &Bytes, now: Instant) {
        match self.agree(house, offer) {
            Some(sdp) => self.leg.accept(now, request, Some(sdp), &[]),
            None => self.leg.refuse(now, request, 488, "", &[]),
        }
    }

    /// Our description for theirs, with a line behind it where it is plain RTP with an address.
    fn agree(&mut self, house: &House, theirs: &Bytes) -> Option<Bytes> {
        let offer = Sdp::parse(theirs).ok()?;
        let terms = sdp::terms(&offer)?;
        if let (Terms::Rtp(agreed), Some(lines)) = (terms, &house.lines) {
            match &self.line {
                Some(line) => line.change(agreed),
                None if agreed.remote.is_some() => self.line = Some(lines.open(agreed).ok()?),
                None => {}
            }
        }
        let sdp = sdp::answer(&terms, &offer, self.described());
        self.own.version += 1;
        Some(sdp)
    }

    /// Our offer. Its line listens only once their answer is there.
    fn offer(&mut self, house: &House) -> Option<Bytes> {
        if let (None, Some(lines)) = (&self.line, &house.lines) {
            let agreed = sdp::Agreed {
                law: sautikit_media::g711::Law::A,
                events: None,
                remote: None,
                direction: sautikit_sip::sdp::Direction::SendRecv,
            };
            self.line = Some(lines.open(agreed).ok()?);
        }
        let sdp = sdp::offer(self.described());
        self.own.version += 1;
        Some(sdp)
    }

    fn described(&self) -> Own {
        Own { port: self.line.as_ref().map_or(sdp::NO_PORT, |line| line.port), ..self.own }
    }

    fn reject(&mut self, status: u16, now: Instant, outputs: &mut Vec<Output>) {
        self.leg.reject(now, status, "", &[]);
        self.over(EndedBy::Carrier, Some(status), now, outputs);
    }

    /// Prints the call's line, once.
    fn over(
        &mut self,
        ended_by: EndedBy,
        status: Option<u16>,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        let talked = match self.stage {
            Stage::Over => return,
            Stage::Ringing { .. } => Duration::ZERO,
            Stage::Talking { since, .. } => now.saturating_duration_since(since),
        };
        self.stage = Stage::Over;
        let mut record = self.record.clone();
        record.status = status.unwrap_or(record.status);
        record.seconds = seconds(talked);
        record.ended_by = ended_by;
        if let Some(line) = self.line.take() {
            record = record.with_sound(line.heard());
        }
        outputs.push(Output::Ended(Box::new(record)));
    }

    fn address_of(&self, hop: &Hop) -> SocketAddr {
        match hop {
            Hop::Addr(address) => *address,
            Hop::Flow => self.source,
            // A name is not looked up: whoever called is the only peer there is.
            Hop::Uri { host, port, .. } => {
                host.parse().map_or(self.source, |ip| SocketAddr::new(ip, port.unwrap_or(5060)))
            }
        }
    }
}

/// The user part of a Request-URI.
pub(super) fn called_of(uri: &str) -> &str {
    sautikit_sip::uri::Uri::parse(uri).ok().and_then(|uri| uri.user).unwrap_or_default()
}

fn terms_of(offer: &Bytes) -> Option<Terms> {
    sdp::terms(&Sdp::parse(offer).ok()?)
}

fn config(sip: SocketAddr, tag: &str) -> LegConfig {
    LegConfig {
        local_tag: tag.to_owned(),
        call_id: String::new(),
        branch_prefix: tag.to_owned(),
        contact: format!("sip:carrier@{sip}"),
        via_sent_by: sip.to_string(),
        transport: Transport::Udp,
        user_agent: String::new(),
        session_expires: None,
        credentials: None,
    }
}
