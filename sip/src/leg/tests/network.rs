//! Two legs and what lies between them: loss, duplicates, reordering, from a seed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{OFFER, config, invite, ms, origin, words};
use crate::leg::{Event, Input, Leg, LegConfig, Output, RequestKey, Transport};
use crate::message::{Message, Method};
use crate::reader::{Framing, Read, read_any};

/// xorshift64*: a test's own dice.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// Calls.
    Alice,
    /// Is called.
    Bob,
}

use Side::{Alice, Bob};

impl Side {
    const fn other(self) -> Self {
        match self {
            Alice => Bob,
            Bob => Alice,
        }
    }
}

/// What lies in the air, by arrival and then by departure.
type Air = BTreeMap<(Instant, u64), (Side, Bytes)>;

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) alice: Leg,
    pub(super) bob: Option<Leg>,
    pub(super) log: [Vec<String>; 2],
    /// The latest request that waits for each owner.
    pub(super) pending: [Option<RequestKey>; 2],
    pub(super) sdp: [Option<Bytes>; 2],
    pub(super) sent: usize,
    bob_config: LegConfig,
    reliable: bool,
    loss: u64,
    duplicates: u64,
    latency: (u64, u64),
    dice: Dice,
    air: Air,
}

impl Pair {
    pub(super) fn new(transport: Transport) -> Self {
        Self::with(config("alice", transport), config("bob", transport), Some(OFFER))
    }

    pub(super) fn with(alice: LegConfig, bob_config: LegConfig, sdp: Option<Bytes>) -> Self {
        let now = origin();
        let reliable = alice.transport != Transport::Udp;
        Self {
            now,
            alice: Leg::outgoing(alice, invite(sdp), now),
            bob: None,
            log: [Vec::new(), Vec::new()],
            pending: [None, None],
            sdp: [None, None],
            sent: 0,
            bob_config,
            reliable,
            loss: 0,
            duplicates: 0,
            latency: (10, 10),
            dice: Dice::seeded(1),
            air: Air::new(),
        }
    }

    /// A bad network: percentages, and the range of its delay in milliseconds.
    pub(super) fn bad(
        mut self,
        seed: u64,
        loss: u64,
        duplicates: u64,
        latency: (u64, u64),
    ) -> Self {
        self.dice = Dice::seeded(seed);
        (self.loss, self.duplicates, self.latency) = (loss, duplicates, latency);
        self
    }

    pub(super) fn bob(&mut self) -> &mut Leg {
        self.bob.as_mut().expect("the INVITE has arrived")
    }

    pub(super) fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Alice => &mut self.alice,
            Bob => self.bob(),
        }
    }

    /// Lets one side's owner do something.
    pub(super) fn act<T>(&mut self, side: Side, verb: impl FnOnce(&mut Leg, Instant) -> T) -> T {
        let now = self.now;
        let done = verb(self.leg(side), now);
        self.drain(side);
        done
    }

    fn drain(&mut self, side: Side) {
        loop {
            let leg = match side {
                Alice => Some(&mut self.alice),
                Bob => self.bob.as_mut(),
            };
            match leg.and_then(Leg::poll_output) {
                Some(Output::Send { bytes, .. }) => self.launch(side.other(), bytes),
                Some(Output::Event(event)) => self.note(side, &event),
                None => break,
            }
        }
    }

    fn note(&mut self, side: Side, event: &Event) {
        let slot = side as usize;
        self.log[slot].push(words(event));
        match event {
            Event::Offer { request, sdp, .. } => {
                self.pending[slot] = Some(*request);
                self.sdp[slot] = Some(sdp.clone());
            }
            Event::OfferWanted { request } | Event::Request { request, .. } => {
                self.pending[slot] = Some(*request);
            }
            Event::Answered { sdp, .. } | Event::Acked { sdp } => self.sdp[slot].clone_from(sdp),
            Event::OfferAnswered { sdp } => self.sdp[slot] = Some(sdp.clone()),
            _ => {}
        }
    }

    fn launch(&mut self, to: Side, bytes: Bytes) {
        self.sent += 1;
        let copies = if self.dice.percent(self.duplicates) { 2 } else { 1 };
        for copy in 0..copies {
            if self.dice.percent(self.loss) {
                continue;
            }
            let (least, most) = self.latency;
            let delay =
                if self.reliable { least } else { least + self.dice.below(most - least + 1) };
            let number = u64::try_from(self.sent).unwrap() * 2 + copy;
            self.air.insert((self.now + ms(delay), number), (to, bytes.clone()));
        }
    }

    fn arrive(&mut self, to: Side, bytes: &Bytes) {
        let Ok(Read::Message(message)) = read_any(bytes, Framing::Datagram) else {
            panic!("a leg printed what the reader refuses: {bytes:?}");
        };
        let now = self.now;
        match (to, &mut self.bob) {
            (Alice, _) => self.alice.handle(now, Input::Message { message, source: None }),
            (Bob, Some(bob)) => bob.handle(now, Input::Message { message, source: None }),
            (Bob, slot) => {
                if is_new_call(&message) {
                    *slot = Some(Leg::incoming(self.bob_config.clone(), message, None, now));
                }
            }
        }
        self.drain(to);
    }

    fn next_event(&self) -> Option<Instant> {
        let air = self.air.keys().next().map(|(at, _)| *at);
        let bob = self.bob.as_ref().and_then(Leg::poll_timeout);
        [air, self.alice.poll_timeout(), bob].into_iter().flatten().min()
    }

    fn step(&mut self, at: Instant) {
        self.now = at.max(self.now);
        while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, bytes) = entry.remove();
            self.arrive(to, &bytes);
        }
        self.wake(Alice);
        if self.bob.is_some() {
            self.wake(Bob);
        }
    }

    fn wake(&mut self, side: Side) {
        let now = self.now;
        let is_due = |leg: &Leg| leg.poll_timeout().is_some_and(|at| at <= now);
        if is_due(self.leg(side)) {
            self.act(side, Leg::handle_timeout);
            assert!(!is_due(self.leg(side)), "a leg that spins: {:?}", self.leg(side));
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, span: Duration) {
        self.drain(Alice);
        let end = self.now + span;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.step(at);
        }
        self.now = end;
    }

    /// Lets time pass until `done`, at most `span`. False if it never came to that.
    pub(super) fn run_until(&mut self, span: Duration, done: impl Fn(&Self) -> bool) -> bool {
        self.drain(Alice);
        let end = self.now + span;
        while !done(self) {
            let Some(at) = self.next_event().filter(|at| *at <= end) else {
                self.now = end;
                return done(self);
            };
            self.step(at);
        }
        true
    }

    /// A call that is answered and acknowledged.
    pub(super) fn talking(mut self) -> Self {
        self.run(ms(20));
        self.act(Bob, |bob, now| bob.answer(now, Some(super::ANSWER), &[]));
        self.run(ms(30));
        assert_eq!(self.log[Alice as usize], ["answered with sdp"]);
        assert_eq!(self.log[Bob as usize], ["acked"]);
        self.forget();
        self
    }

    /// Empties both logs.
    pub(super) fn forget(&mut self) {
        self.log = [Vec::new(), Vec::new()];
    }

    pub(super) fn has(&self, side: Side, what: &str) -> bool {
        self.log[side as usize].iter().any(|line| line == what)
    }

    pub(super) fn assert_logs(&self, alice: &[&str], bob: &[&str]) {
        assert_eq!(self.log[Alice as usize], alice, "Alice");
        assert_eq!(self.log[Bob as usize], bob, "Bob");
    }

    pub(super) fn is_idle(&self) -> bool {
        let idle = |leg: &Leg| leg.is_idle() && leg.poll_timeout().is_none();
        idle(&self.alice) && self.bob.as_ref().is_none_or(idle) && self.air.is_empty()
    }

    /// Runs until nothing is left, which 64×T1 must suffice for.
    pub(super) fn finish(&mut self) {
        self.run(ms(33_000));
        assert!(self.is_idle(), "left over: {:?} {:?}", self.alice, self.bob);
    }
}

fn is_new_call(message: &Message) -> bool {
    message.method() == Some(&Method::Invite) && message.to_tag().is_none()
}
