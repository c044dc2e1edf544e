//! All calls of the carrier as one value: datagrams and time in, datagrams and lines out.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use sautikit_net::random;
use sautikit_sip::leg::{ALLOW, Input};
use sautikit_sip::message::{Message, Method, Name};
use sautikit_sip::reader::{self, KeepAlive, Read, ReadError};
use sautikit_sip::respond::respond;

use super::behaviour::Behaviour;
use super::call::{Call, House, called_of};
use super::record::Record;
use crate::deadlines::Deadlines;

/// Calls at once, those that ended within the last 32 s included.
const CALLS_MAX: usize = 200_000;

/// What comes out of a [`Switch`].
#[derive(Debug)]
pub(super) enum Output {
    Send { bytes: Bytes, to: SocketAddr },
    Ended(Box<Record>),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Switch {
    house: House,
    /// By a hash of Call-ID and their tag; the leg checks both itself.
    calls: HashMap<u64, Held>,
    hasher: RandomState,
    deadlines: Deadlines,
    /// Calls so far.
    count: u64,
    /// What makes our tags hard to guess.
    run: String,
    outputs: Vec<Output>,
}

#[derive(Debug)]
struct Held {
    call: Call,
    /// The INVITE's offer, until it is answered.
    offer: Option<Bytes>,
}

impl Switch {
    pub(super) fn new(house: House) -> Self {
        Self {
            house,
            calls: HashMap::new(),
            hasher: RandomState::new(),
            deadlines: Deadlines::default(),
            count: 0,
            run: random::hex::<6>(),
            outputs: Vec::new(),
        }
    }

    /// What is to be done, in order.
    pub(super) fn outputs(&mut self) -> std::vec::Drain<'_, Output> {
        self.outputs.drain(..)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, key)) = self.deadlines.pop_due(now) {
            let Some(held) = self.calls.get_mut(&key) else { continue };
            if held.call.armed.rings(at) {
                held.call.handle_timeout(&self.house, now, &mut self.outputs);
                held.answer_if_due(&self.house, now, &mut self.outputs);
                self.rearm(key);
            }
        }
    }

    /// Takes one datagram.
    pub(super) fn handle(&mut self, now: Instant, datagram: &Bytes, source: SocketAddr) {
        match reader::read_datagram(datagram, source) {
            Ok(Read::Message(message)) => self.message(now, message, source),
            Ok(Read::KeepAlive(KeepAlive::Ping)) => {
                self.send(Bytes::from_static(b"\r\n"), source);
            }
            Ok(Read::KeepAlive(KeepAlive::Pong)) | Err(ReadError::Drop { .. }) => {}
            Err(ReadError::Answer { answer, .. }) => self.send(answer, source),
        }
    }

    fn message(&mut self, now: Instant, message: Message, source: SocketAddr) {
        let theirs = if message.is_request() { message.from_tag() } else { message.to_tag() };
        let key = self.hasher.hash_one((message.call_id(), theirs));
        if let Some(held) = self.calls.get_mut(&key) {
            held.call.leg.handle(now, Input::Message { message, source: Some(source) });
            held.call.drain(&self.house, now, &mut self.outputs);
            self.rearm(key);
            return;
        }
        let Some(method) = message.method() else { return };
        if message.uri().is_some_and(|uri| Behaviour::of(called_of(uri)) == Behaviour::Silent) {
            return;
        }
        let in_dialog = message.to_tag().is_some();
        match method {
            Method::Ack => {}
            Method::Invite if !in_dialog && self.calls.len() >= CALLS_MAX => {
                self.reply(&message, 503, source);
            }
            Method::Invite if !in_dialog => self.invited(now, key, message, source),
            Method::Options if !in_dialog => self.reply(&message, 200, source),
            Method::Register => self.reply(&message, 405, source),
            _ => self.reply(&message, 481, source),
        }
    }

    fn invited(&mut self, now: Instant, key: u64, invite: Message, source: SocketAddr) {
        self.count += 1;
        let tag = format!("c{:x}-{}", self.count, self.run);
        let offer = invite.sdp();
        let (house, outputs) = (&self.house, &mut self.outputs);
        let mut call = Call::new(house, &tag, self.count, (invite, source), now, outputs);
        call.begin(house, offer.as_ref(), now, outputs);
        let mut held = Held { call, offer };
        held.answer_if_due(house, now, outputs);
        self.calls.insert(key, held);
        self.rearm(key);
    }

    /// Has the call woken in time, or forgets it.
    fn rearm(&mut self, key: u64) {
        let Some(held) = self.calls.get_mut(&key) else { return };
        if held.call.leg.is_idle() {
            self.calls.remove(&key);
            return;
        }
        let wanted = held.call.poll_timeout();
        self.deadlines.arm(&mut held.call.armed, key, wanted);
    }

    fn reply(&mut self, request: &Message, status: u16, to: SocketAddr) {
        let extra: &[_] = &[(Name::Allow, ALLOW)];
        let extra = if matches!(status, 200 | 405) { extra } else { &[] };
        self.send(respond(request, status, "", None, extra, None), to);
    }

    fn send(&mut self, bytes: Bytes, to: SocketAddr) {
        self.outputs.push(Output::Send { bytes, to });
    }
}

impl Held {
    fn answer_if_due(&mut self, house: &House, now: Instant, outputs: &mut Vec<Output>) {
        self.call.answer_if_due(house, self.offer.as_ref(), now, outputs);
        if !self.call.is_ringing() {
            self.offer = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::carrier::record::EndedBy;
    use crate::clock::Clock;

    /// A caller by hand: what it wants to know is what the carrier sends and prints.
    struct Bench {
        switch: Switch,
        now: Instant,
    }

    const CALLER: &str = "127.0.0.1:5060";

    impl Bench {
        fn new() -> Self {
            let house = House {
                sip: "127.0.0.1:5080".parse().unwrap(),
                media: "127.0.0.1".parse().unwrap(),
                answer_after: Duration::from_millis(300),
                clock: Clock::now(),
                lines: None,
            };
            Self { switch: Switch::new(house), now: Instant::now() }
        }

        fn take(&mut self, method: &str, called: &str, to_tag: &str, cseq: u32) -> Vec<String> {
            let text = format!(
                "{method} sip:{called}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{cseq}\r\n\
                 From: <sip:+254700000001@gw>;tag=them\r\nTo: <sip:{called}@127.0.0.1>{to_tag}\r\n\
                 Call-ID: call-{called}\r\nCSeq: {cseq} {method}\r\nContact: <sip:gw@{CALLER}>\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            self.switch.handle(self.now, &Bytes::from(text), CALLER.parse().unwrap());
            self.outcome()
        }

        fn after(&mut self, ms: u64) -> Vec<String> {
            let end = self.now + Duration::from_millis(ms);
            let mut said = Vec::new();
            while let Some(at) = self.switch.poll_timeout().filter(|at| *at <= end) {
                self.now = at;
                self.switch.handle_timeout(at);
                said.extend(self.outcome());
            }
            self.now = end;
            said
        }

        fn outcome(&mut self) -> Vec<String> {
            let words = self.switch.outputs().map(|output| match output {
                Output::Send { bytes, to } => {
                    assert_eq!(to.to_string(), CALLER);
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    let line = text.lines().next().unwrap();
                    line.strip_prefix("SIP/2.0 ")
                        .unwrap_or(line)
                        .split(' ')
                        .next()
                        .unwrap()
                        .to_owned()
                }
                Output::Ended(record) => {
                    let by = if record.ended_by == EndedBy::Caller { "caller" } else { "carrier" };
                    format!("{} {} s by {by}", record.status, record.seconds)
                }
            });
            words.collect()
        }

        fn tag(&self, number: u64) -> String {
            format!(";tag=c{number:x}-{}", self.switch.run)
        }
    }

    #[test]
    fn a_call_is_answered_after_its_time_and_printed_when_the_caller_hangs_up() {
        let mut bench = Bench::new();
        assert_eq!(bench.take("INVITE", "+254722000001", "", 1), ["180"]);
        assert!(bench.after(299).is_empty());
        assert_eq!(bench.after(1), ["200"]);
        let tag = bench.tag(1);
        assert!(bench.take("ACK", "+254722000001", &tag, 1).is_empty());
        assert!(bench.after(2_500).is_empty());
        let said = bench.take("BYE", "+254722000001", &tag, 2);
        assert_eq!(said, ["200", "200 2.5 s by caller"]);
        assert_eq!(bench.take("BYE", "+254722000001", &tag, 2), ["200"], "a repeated BYE");
        assert!(bench.after(40_000).is_empty());
        assert!(bench.switch.calls.is_empty(), "nothing is left of it");
    }

    #[test]
    fn numbers_that_do_not_answer_do_what_they_say() {
        let mut bench = Bench::new();
        assert_eq!(bench.take("INVITE", "+254722000003", "", 1), ["486 0 s by carrier", "486"]);
        assert_eq!(bench.take("INVITE", "+254722000004", "", 1), ["603 0 s by carrier", "603"]);
        assert!(bench.take("INVITE", "+254722000005", "", 1).is_empty());
        assert!(bench.take("CANCEL", "+254722000005", "", 1).is_empty());
        assert_eq!(bench.take("INVITE", "+254722000002", "", 1), ["180"]);
        let tag = bench.tag(1);
        bench.take("ACK", "+254722000003", &tag, 1);
        let tag = bench.tag(2);
        bench.take("ACK", "+254722000004", &tag, 1);
        assert!(bench.after(50_000).is_empty(), "it rings for ever");
        let said = bench.take("CANCEL", "+254722000002", "", 1);
        assert_eq!(said, ["200", "487", "487 0 s by caller"]);
    }

    #[test]
    fn a_number_that_hangs_up_does_so_after_three_seconds() {
        let mut bench = Bench::new();
        bench.take("INVITE", "+254722000006", "", 1);
        assert_eq!(bench.after(300), ["200"]);
        let tag = bench.tag(1);
        bench.take("ACK", "+254722000006", &tag, 1);
        assert!(bench.after(2_999).is_empty());
        assert_eq!(bench.after(1), ["200 3 s by carrier", "BYE"]);
    }

    #[test]
    fn what_belongs_to_no_call_is_answered_without_state() {
        let mut bench = Bench::new();
        assert_eq!(bench.take("OPTIONS", "ping", "", 1), ["200"]);
        assert_eq!(bench.take("BYE", "+254722000001", ";tag=nobody", 2), ["481"]);
        assert_eq!(bench.take("REGISTER", "x", "", 3), ["405"]);
        assert!(bench.take("ACK", "+254722000001", ";tag=nobody", 4).is_empty());
        assert!(bench.switch.calls.is_empty());
    }
}
