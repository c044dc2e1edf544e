//! Client side of all but INVITE and ACK: RFC 3261 section 17.1.2.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::timers::{GIVE_UP, T1, T2, T4, Table, Timer};
use super::{Due, Reliability};

/// What a response means to the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// 100–199: it works on it.
    Provisional,
    /// The first final response: pass it on.
    Final,
    /// A repetition, or nothing that this transaction waits for.
    Stray,
}

#[derive(Debug)]
enum State {
    Trying { pause: Duration },
    Proceeding,
    Completed,
    Terminated,
}

/// A BYE, CANCEL, PRACK, UPDATE, INFO … that we sent.
#[derive(Debug)]
pub struct ClientNonInvite {
    request: Bytes,
    reliability: Reliability,
    state: State,
    timers: Table<2>,
}

impl ClientNonInvite {
    /// Begins with the request printed; the owner sends it once, now.
    #[must_use]
    pub fn new(request: Bytes, reliability: Reliability, now: Instant) -> Self {
        let mut timers = Table::new();
        if !reliability.is_reliable() {
            timers.start(Timer::E, now + T1);
        }
        timers.start(Timer::F, now + GIVE_UP);
        Self { request, reliability, state: State::Trying { pause: T1 }, timers }
    }

    /// A response of this branch came.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> Heard {
        if !self.is_pending() {
            return Heard::Stray;
        }
        match status {
            100..=199 => {
                self.state = State::Proceeding;
                Heard::Provisional
            }
            200..=699 => {
                self.complete(now);
                Heard::Final
            }
            _ => Heard::Stray,
        }
    }

    fn complete(&mut self, now: Instant) {
        if self.reliability.is_reliable() {
            self.terminate();
        } else {
            self.timers.clear();
            self.timers.start(Timer::K, now + T4);
            self.request = Bytes::new();
            self.state = State::Completed;
        }
    }

    /// Does what is due, one thing a call; call again until `None`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::E if self.is_pending() => {
                    // Once it is being worked on, T2 is frequent enough (section 17.1.2.2).
                    let pause = match &mut self.state {
                        State::Trying { pause } => {
                            *pause = (*pause * 2).min(T2);
                            *pause
                        }
                        _ => T2,
                    };
                    self.timers.start(Timer::E, now + pause);
                    return Some(Due::Resend(self.request.clone()));
                }
                Timer::F => {
                    self.terminate();
                    return Some(Due::GaveUp(Timer::F));
                }
                _ => self.terminate(),
            }
        }
        None
    }

    /// Ends it at once: the transport failed.
    pub fn terminate(&mut self) {
        self.timers.clear();
        self.request = Bytes::new();
        self.state = State::Terminated;
    }

    /// The next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// True until the final response.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding)
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

    fn started(reliability: Reliability) -> (ClientNonInvite, Clock) {
        let clock = Clock::new();
        (ClientNonInvite::new(Bytes::from_static(b"BYE"), reliability, clock.now()), clock)
    }

    #[test]
    fn request_is_repeated_up_to_every_four_seconds_until_timer_f() {
        let (mut machine, mut clock) = started(Reliability::Unreliable);
        let fired =
            clock.run(secs(60), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        let at: Vec<u64> = fired.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 32000]);
        assert_eq!(fired.last().unwrap().1, Due::GaveUp(Timer::F));
    }

    #[test]
    fn provisional_slows_the_repetition_but_does_not_stop_it() {
        let (mut machine, mut clock) = started(Reliability::Unreliable);
        assert_eq!(machine.handle_response(clock.now(), 100), Heard::Provisional);
        let fired =
            clock.run(secs(60), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        let at: Vec<u64> = fired.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [500, 4500, 8500, 12500, 16500, 20500, 24500, 28500, 32000]);
    }

    #[test]
    fn final_response_is_passed_on_once_and_timer_k_absorbs_the_rest() {
        let (mut machine, mut clock) = started(Reliability::Unreliable);
        assert_eq!(machine.handle_response(clock.now(), 200), Heard::Final);
        assert_eq!(machine.handle_response(clock.now(), 200), Heard::Stray);
        assert_eq!(machine.poll_timeout(), Some(clock.now() + T4));
        clock.run(secs(6), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert!(machine.is_terminated());
    }

    #[test]
    fn reliable_transport_ends_with_the_final_response() {
        let (mut machine, mut clock) = started(Reliability::Reliable);
        assert_eq!(machine.handle_response(clock.now(), 481), Heard::Final);
        assert!(machine.is_terminated());
        let (mut machine, _) = started(Reliability::Reliable);
        let fired =
            clock.run(secs(60), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert_eq!(fired, [(32000, Due::GaveUp(Timer::F))]);
    }
}
