//! Server side of INVITE: RFC 3261 section 17.2.1 with the Accepted state of RFC 6026 section 7.1.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::timers::{GIVE_UP, T1, T2, T4, Table, Timer};
use super::{Due, Reliability};

#[derive(Debug)]
enum State {
    Proceeding { last: Option<Bytes> },
    Completed { response: Bytes, pause: Duration },
    Confirmed,
    Accepted { response: Bytes },
    Terminated,
}

/// An INVITE that we received.
///
/// Repeating a 2xx until its ACK comes is not this machine's work but the dialog's (RFC 3261
/// section 13.3.1.4): the ACK of a 2xx is a transaction of its own.
#[derive(Debug)]
pub struct ServerInvite {
    reliability: Reliability,
    state: State,
    timers: Table<2>,
}

impl ServerInvite {
    /// Begins with nothing answered.
    #[must_use]
    pub const fn new(reliability: Reliability) -> Self {
        Self { reliability, state: State::Proceeding { last: None }, timers: Table::new() }
    }

    /// The INVITE came again: what to send again, if anything.
    ///
    /// RFC 6026 would be silent once it is accepted. We answer with the 2xx all the same: a browser repeats an
    /// INVITE on its next socket, where no timer of ours would repeat the answer.
    #[must_use]
    pub fn handle_repeated(&self) -> Option<Bytes> {
        match &self.state {
            State::Proceeding { last } => last.clone(),
            State::Completed { response, .. } | State::Accepted { response } => {
                Some(response.clone())
            }
            State::Confirmed | State::Terminated => None,
        }
    }

    /// The ACK of a refusal came.
    pub fn handle_ack(&mut self, now: Instant) {
        if !matches!(self.state, State::Completed { .. }) {
            return;
        }
        self.timers.clear();
        if self.reliability.is_reliable() {
            self.state = State::Terminated;
        } else {
            self.timers.start(Timer::I, now + T4);
            self.state = State::Confirmed;
        }
    }

    /// A provisional response is being sent. Ignored after a final one.
    pub fn provisional(&mut self, response: Bytes) {
        if let State::Proceeding { last } = &mut self.state {
            *last = Some(response);
        }
    }

    /// A 2xx is being sent. Ignored after a final response.
    pub fn accept(&mut self, now: Instant, response: Bytes) {
        if self.is_pending() {
            self.timers.start(Timer::L, now + GIVE_UP);
            self.state = State::Accepted { response };
        }
    }

    /// A 300–699 is being sent. Ignored after a final response.
    pub fn refuse(&mut self, now: Instant, response: Bytes) {
        if self.is_pending() {
            if !self.reliability.is_reliable() {
                self.timers.start(Timer::G, now + T1);
            }
            self.timers.start(Timer::H, now + GIVE_UP);
            self.state = State::Completed { response, pause: T1 };
        }
    }

    /// Does what is due, one thing a call; call again until `None`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        while let Some(timer) = self.timers.pop_due(now) {
            match (timer, &mut self.state) {
                (Timer::G, State::Completed { response, pause }) => {
                    *pause = (*pause * 2).min(T2);
                    self.timers.start(Timer::G, now + *pause);
                    return Some(Due::Resend(response.clone()));
                }
                (Timer::H, _) => {
                    self.terminate();
                    return Some(Due::GaveUp(Timer::H));
                }
                _ => self.terminate(),
            }
        }
        None
    }

    /// Ends it at once.
    pub fn terminate(&mut self) {
        self.timers.clear();
        self.state = State::Terminated;
    }

    /// The next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// True until a final response is sent.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// True while a refusal waits for its ACK or absorbs repetitions of it.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self.state, State::Completed { .. } | State::Confirmed)
    }

    /// True when the owner may forget the machine.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::super::timers::tests::{Clock, secs};
    use super::*;

    const RINGING: Bytes = Bytes::from_static(b"180");
    const BUSY: Bytes = Bytes::from_static(b"486");
    const OK: Bytes = Bytes::from_static(b"200");

    #[test]
    fn refusal_is_repeated_until_timer_h() {
        let mut clock = Clock::new();
        let mut machine = ServerInvite::new(Reliability::Unreliable);
        machine.refuse(clock.now(), BUSY);
        let fired =
            clock.run(secs(60), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        let at: Vec<u64> = fired.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 32000]);
        assert_eq!(fired.last().unwrap().1, Due::GaveUp(Timer::H));
    }

    #[test]
    fn reliable_refusal_is_sent_once_and_waits_for_its_ack_all_the_same() {
        let mut clock = Clock::new();
        let mut machine = ServerInvite::new(Reliability::Reliable);
        machine.refuse(clock.now(), BUSY);
        let fired =
            clock.run(secs(60), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert_eq!(fired, [(32000, Due::GaveUp(Timer::H))]);
    }

    #[test]
    fn ack_stops_the_repetition_and_timer_i_absorbs_more_of_them() {
        let mut clock = Clock::new();
        let mut machine = ServerInvite::new(Reliability::Unreliable);
        machine.refuse(clock.now(), BUSY);
        machine.handle_ack(clock.now());
        machine.handle_ack(clock.now());
        assert_eq!(machine.handle_repeated(), None);
        let fired =
            clock.run(secs(60), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert_eq!(fired, []);
        assert!(machine.is_terminated());
    }

    #[test]
    fn repeated_invite_gets_the_latest_response_again() {
        let mut clock = Clock::new();
        let mut machine = ServerInvite::new(Reliability::Reliable);
        assert_eq!(machine.handle_repeated(), None);
        machine.provisional(RINGING);
        assert_eq!(machine.handle_repeated(), Some(RINGING));
        machine.accept(clock.now(), OK);
        machine.provisional(RINGING);
        machine.refuse(clock.now(), BUSY);
        assert_eq!(machine.handle_repeated(), Some(OK));
        clock.run(secs(31), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert_eq!(machine.handle_repeated(), Some(OK));
        clock.run(secs(2), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert!(machine.is_terminated(), "timer L runs on every transport");
    }
}
