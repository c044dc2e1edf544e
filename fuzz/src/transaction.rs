//! The four transaction machines (RFC 3261 section 17, RFC 6026) under any order of responses,
//! answers, repetitions and time: none speaks after its end, none lives for ever.

use std::time::Instant;

use bytes::Bytes;
use sautikit_sip::transaction::client_invite::Heard as HeardInvite;
use sautikit_sip::transaction::client_non_invite::Heard;
use sautikit_sip::transaction::timers::GIVE_UP;
use sautikit_sip::transaction::{
    ClientInvite, ClientNonInvite, Due, Reliability, ServerInvite, ServerNonInvite, Timer,
};

use crate::script::{Script, later, origin};

/// Retransmissions of one message in 64×T1: timer G is the busiest with 0.5, 1.5, 3.5, 7.5 s and
/// then every T2.
const RESENDS_MAX: usize = 10;
/// What one call may fire: a retransmission and an end.
const DUE_AT_ONCE_MAX: usize = 2;
/// Deadlines from the last event to the end.
const STEPS_MAX: usize = 16;

const REQUEST: Bytes = Bytes::from_static(b"request");

/// Panics where a machine breaks its word under these events.
pub fn check(data: &[u8]) {
    let mut script = Script::new(data);
    let reliability = script.pick(&[Reliability::Unreliable, Reliability::Reliable]);
    match script.below(4) {
        0 => Run::new(reliability).client_invite(&mut script),
        1 => Run::new(reliability).client_non_invite(&mut script),
        2 => Run::new(reliability).server_invite(&mut script),
        _ => Run::new(reliability).server_non_invite(&mut script),
    }
}

/// What all machines have in common.
trait Machine {
    fn handle_timeout(&mut self, now: Instant) -> Option<Due>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn is_terminated(&self) -> bool;
    fn is_pending(&self) -> bool;
}

macro_rules! machines {
    ($($machine:ty),*) => {
        $(impl Machine for $machine {
            fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
                Self::handle_timeout(self, now)
            }
            fn poll_timeout(&self) -> Option<Instant> {
                Self::poll_timeout(self)
            }
            fn is_terminated(&self) -> bool {
                Self::is_terminated(self)
            }
            fn is_pending(&self) -> bool {
                Self::is_pending(self)
            }
        })*
    };
}

machines!(ClientInvite, ClientNonInvite, ServerInvite, ServerNonInvite);

/// One machine's life, as seen from outside.
struct Run {
    now: Instant,
    reliability: Reliability,
    last_event: Instant,
    was_final: bool,
    was_terminated: bool,
    resends: Vec<Bytes>,
    gave_up: Option<Timer>,
}

impl Run {
    fn new(reliability: Reliability) -> Self {
        let now = origin();
        Self {
            now,
            reliability,
            last_event: now,
            was_final: false,
            was_terminated: false,
            resends: Vec::new(),
            gave_up: None,
        }
    }

    fn client_invite(mut self, script: &mut Script<'_>) {
        let mut machine = ClientInvite::new(REQUEST, self.reliability, self.now);
        let mut kept: Option<Bytes> = None;
        let mut answered = false;
        while let Some(op) = script.byte() {
            if op % 4 == 0 {
                let before = self.resends.len();
                let silent = machine.is_pending() && !machine.is_proceeding();
                self.pass(script, &mut machine);
                assert!(silent || self.resends.len() == before, "repeated though it was heard");
                continue;
            }
            if op == u8::MAX {
                machine.terminate();
                self.look(&machine);
                continue;
            }
            let status = script.pick(&[100, 180, 200, 202, 300, 401, 487, 503, 699, 0, 99, 700]);
            let ack = Bytes::from(format!("ack {op}"));
            let mut printed = 0;
            let pending = machine.is_pending();
            let heard = machine.handle_response(self.now, status, || {
                printed += 1;
                ack.clone()
            });
            self.last_event = self.now;
            match heard {
                HeardInvite::Provisional => assert!(pending && status < 200),
                HeardInvite::Answer => {
                    assert!((200..300).contains(&status) && kept.is_none());
                    assert!(pending || answered, "RFC 6026: only an accepted one takes more");
                    answered = true;
                }
                HeardInvite::Refusal { ack: sent } => {
                    assert!(pending && !answered && status >= 300 && sent == ack);
                    kept = Some(sent);
                }
                HeardInvite::RefusalAgain { ack } => {
                    assert_eq!(kept.as_ref(), Some(&ack), "the same ACK again");
                    assert!(!self.reliability.is_reliable());
                }
                HeardInvite::Stray => assert!(!pending || !(100..700).contains(&status)),
            }
            assert_eq!(printed == 1, pending && (300..700).contains(&status));
            self.look(&machine);
        }
        assert!(self.resends.iter().all(|bytes| *bytes == REQUEST));
        assert!(matches!(self.gave_up, None | Some(Timer::B)));
        // What proceeds is the owner's to give up: timer C is no machine's.
        self.ends(&mut machine, |machine| machine.is_proceeding());
    }

    fn client_non_invite(mut self, script: &mut Script<'_>) {
        let mut machine = ClientNonInvite::new(REQUEST, self.reliability, self.now);
        let mut done = false;
        while let Some(op) = script.byte() {
            if op % 3 == 0 {
                let before = self.resends.len();
                let pending = machine.is_pending();
                self.pass(script, &mut machine);
                assert!(pending || self.resends.len() == before, "repeated after its end");
                continue;
            }
            if op == u8::MAX - 1 {
                machine.terminate();
                self.look(&machine);
                continue;
            }
            let status = script.pick(&[100, 199, 200, 302, 404, 481, 500, 699, 0, 99, 700]);
            let pending = machine.is_pending();
            let heard = machine.handle_response(self.now, status);
            self.last_event = self.now;
            match heard {
                Heard::Provisional => assert!(pending && (100..200).contains(&status)),
                Heard::Final => {
                    assert!(pending && !done && (200..700).contains(&status));
                    done = true;
                }
                Heard::Stray => assert!(!pending || !(100..700).contains(&status)),
            }
            self.look(&machine);
        }
        assert!(!(done && self.gave_up.is_some()), "answered and given up");
        assert!(self.resends.iter().all(|bytes| *bytes == REQUEST));
        assert!(matches!(self.gave_up, None | Some(Timer::F)));
        self.ends(&mut machine, |_| false);
    }

    fn server_invite(mut self, script: &mut Script<'_>) {
        let mut machine = ServerInvite::new(self.reliability);
        let mut last: Option<Bytes> = None;
        let mut refused = false;
        while let Some(op) = script.byte() {
            let response = Bytes::from(format!("response {op}"));
            let pending = machine.is_pending();
            let acked = match op % 6 {
                0 => {
                    self.pass(script, &mut machine);
                    continue;
                }
                1 => {
                    machine.provisional(response.clone());
                    false
                }
                2 => {
                    machine.accept(self.now, response.clone());
                    false
                }
                3 => {
                    machine.refuse(self.now, response.clone());
                    refused |= pending;
                    false
                }
                4 => {
                    machine.handle_ack(self.now);
                    true
                }
                _ => {
                    let again = machine.handle_repeated();
                    assert!(again.is_none() || again == last, "what it said last, or nothing");
                    assert!(!pending || again == last);
                    continue;
                }
            };
            self.last_event = self.now;
            if pending && !acked {
                last = Some(response);
            }
            if acked && refused && !self.was_terminated {
                // From here on it is silent.
                last = None;
                assert_eq!(machine.handle_repeated(), None);
            }
            assert_eq!(machine.is_pending(), pending && !matches!(op % 6, 2 | 3));
            self.look(&machine);
        }
        assert!(refused || self.resends.is_empty(), "only a refusal is repeated by the machine");
        assert!(matches!(self.gave_up, None | Some(Timer::H)));
        self.ends(&mut machine, Machine::is_pending);
    }

    fn server_non_invite(mut self, script: &mut Script<'_>) {
        let mut machine = ServerNonInvite::new(self.now);
        let mut last: Option<Bytes> = None;
        while let Some(op) = script.byte() {
            let response = Bytes::from(format!("response {op}"));
            let pending = machine.is_pending();
            match op % 4 {
                0 => {
                    self.pass(script, &mut machine);
                    continue;
                }
                1 => machine.provisional(response.clone()),
                2 => machine.finish(self.now, response.clone()),
                _ => {
                    let again = machine.handle_repeated();
                    assert_eq!(again, if machine.is_terminated() { None } else { last.clone() });
                    continue;
                }
            }
            self.last_event = self.now;
            if pending {
                last = Some(response);
            }
            self.look(&machine);
        }
        assert!(self.resends.is_empty(), "a server of this kind answers only when it is asked");
        assert!(matches!(self.gave_up, None | Some(Timer::J)));
        self.ends(&mut machine, |_| false);
    }

    /// Time passes, and what falls due is done.
    fn pass(&mut self, script: &mut Script<'_>, machine: &mut impl Machine) {
        self.now = later(script, self.now, machine.poll_timeout());
        self.fire(machine);
    }

    fn fire(&mut self, machine: &mut impl Machine) {
        let mut fired = 0;
        while let Some(due) = machine.handle_timeout(self.now) {
            fired += 1;
            assert!(fired <= DUE_AT_ONCE_MAX, "fires without end");
            assert!(!self.was_terminated, "speaks after its end");
            match due {
                Due::Resend(bytes) => {
                    assert!(!self.reliability.is_reliable(), "repeated on a stream");
                    assert!(self.resends.first().is_none_or(|first| *first == bytes));
                    self.resends.push(bytes);
                    assert!(self.resends.len() <= RESENDS_MAX);
                }
                Due::GaveUp(timer) => {
                    assert!(self.gave_up.replace(timer).is_none(), "gave up twice");
                    assert!(machine.is_terminated());
                }
            }
        }
        assert!(machine.poll_timeout().is_none_or(|at| at > self.now), "a deadline that stays");
        self.look(machine);
    }

    /// What never comes back.
    fn look(&mut self, machine: &impl Machine) {
        assert!(!self.was_terminated || machine.is_terminated(), "rose again");
        assert!(!self.was_final || !machine.is_pending(), "waits for what it had");
        if machine.is_terminated() {
            assert!(machine.poll_timeout().is_none() && !machine.is_pending());
        }
        self.was_terminated = machine.is_terminated();
        self.was_final = !machine.is_pending();
    }

    /// Nobody says anything any more: it ends within 64×T1, unless it waits for its owner.
    fn ends<M: Machine>(mut self, machine: &mut M, waits: impl Fn(&M) -> bool) {
        let mut steps = 0;
        while let Some(at) = machine.poll_timeout() {
            steps += 1;
            assert!(steps <= STEPS_MAX, "no end in sight");
            self.now = at.max(self.now);
            self.fire(machine);
        }
        assert!(machine.is_terminated() || waits(machine), "waits for nothing");
        assert!(steps == 0 || self.now - self.last_event <= GIVE_UP);
    }
}
