//! Client side of INVITE: RFC 3261 section 17.1.1 with the Accepted state of RFC 6026 section 7.2.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::timers::{GIVE_UP, T1, Table, Timer};
use super::{Due, Reliability};

/// What a response means to the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// 100–199: pass it on.
    Provisional,
    /// 2xx, the first or another: pass it on. The owner acknowledges each and tells forks apart.
    Answer,
    /// The first 300–699: send this ACK and pass the response on.
    Refusal {
        /// The ACK of the refusal, kept by the machine for repetitions.
        ack: Bytes,
    },
    /// The refusal again: send the ACK again, pass nothing on.
    RefusalAgain {
        /// The same bytes as before.
        ack: Bytes,
    },
    /// Nothing that this transaction waits for.
    Stray,
}

#[derive(Debug)]
enum State {
    Calling { pause: Duration },
    Proceeding,
    Completed { ack: Bytes },
    Accepted,
    Terminated,
}

/// An INVITE that we sent.
#[derive(Debug)]
pub struct ClientInvite {
    request: Bytes,
    reliability: Reliability,
    state: State,
    timers: Table<2>,
}

impl ClientInvite {
    /// Begins with the request printed; the owner sends it once, now.
    #[must_use]
    pub fn new(request: Bytes, reliability: Reliability, now: Instant) -> Self {
        let mut timers = Table::new();
        if !reliability.is_reliable() {
            timers.start(Timer::A, now + T1);
        }
        timers.start(Timer::B, now + GIVE_UP);
        Self { request, reliability, state: State::Calling { pause: T1 }, timers }
    }

    /// A response of this branch came. `ack` prints the ACK of a refusal and is called once at most.
    pub fn handle_response(
        &mut self,
        now: Instant,
        status: u16,
        ack: impl FnOnce() -> Bytes,
    ) -> Heard {
        match (&self.state, status) {
            (State::Calling { .. } | State::Proceeding, 100..=199) => {
                self.timers.clear();
                self.state = State::Proceeding;
                Heard::Provisional
            }
            (State::Calling { .. } | State::Proceeding, 200..=299) => {
                self.timers.clear();
                self.timers.start(Timer::M, now + GIVE_UP);
                self.state = State::Accepted;
                Heard::Answer
            }
            (State::Calling { .. } | State::Proceeding, 300..=699) => self.complete(now, ack()),
            (State::Accepted, 200..=299) => Heard::Answer,
            (State::Completed { ack }, 300..=699) => Heard::RefusalAgain { ack: ack.clone() },
            _ => Heard::Stray,
        }
    }

    fn complete(&mut self, now: Instant, ack: Bytes) -> Heard {
        self.timers.clear();
        // Nobody repeats a refusal on a reliable transport, so timer D is zero there.
        if self.reliability.is_reliable() {
            self.state = State::Terminated;
        } else {
            self.timers.start(Timer::D, now + GIVE_UP);
            self.state = State::Completed { ack: ack.clone() };
        }
        Heard::Refusal { ack }
    }

    /// Does what is due, one thing a call; call again until `None`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        while let Some(timer) = self.timers.pop_due(now) {
            match (timer, &mut self.state) {
                (Timer::A, State::Calling { pause }) => {
                    *pause *= 2;
                    self.timers.start(Timer::A, now + *pause);
                    return Some(Due::Resend(self.request.clone()));
                }
                (Timer::B, _) => {
                    self.terminate();
                    return Some(Due::GaveUp(Timer::B));
                }
                _ => self.terminate(),
            }
        }
        None
    }

    /// Ends it at once: the transport failed, or the owner no longer waits for a final response.
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

    /// True until the first final response.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding)
    }

    /// True once a provisional response came and no final one: only then may it be cancelled
    /// (RFC 3261 section 9.1).
    #[must_use]
    pub const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding)
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

    fn ack() -> Bytes {
        Bytes::from_static(b"ACK")
    }

    fn started(reliability: Reliability) -> (ClientInvite, Clock) {
        let clock = Clock::new();
        (ClientInvite::new(Bytes::from_static(b"INVITE"), reliability, clock.now()), clock)
    }

    #[test]
    fn request_is_repeated_with_doubling_pauses_until_timer_b() {
        let (mut machine, mut clock) = started(Reliability::Unreliable);
        let fired =
            clock.run(secs(60), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        let at: Vec<u64> = fired.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [500, 1500, 3500, 7500, 15500, 31500, 32000]);
        assert_eq!(fired.last().unwrap().1, Due::GaveUp(Timer::B));
        assert!(machine.is_terminated());
    }

    #[test]
    fn reliable_transport_repeats_nothing_but_still_gives_up() {
        let (mut machine, mut clock) = started(Reliability::Reliable);
        let fired =
            clock.run(secs(60), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert_eq!(fired, [(32000, Due::GaveUp(Timer::B))]);
    }

    #[test]
    fn provisional_stops_both_timers() {
        let (mut machine, clock) = started(Reliability::Unreliable);
        assert_eq!(machine.handle_response(clock.now(), 100, ack), Heard::Provisional);
        assert_eq!(machine.poll_timeout(), None);
        assert!(machine.is_proceeding());
    }

    #[test]
    fn refusal_is_acknowledged_each_time_for_timer_d() {
        let (mut machine, mut clock) = started(Reliability::Unreliable);
        let first = machine.handle_response(clock.now(), 486, ack);
        assert_eq!(first, Heard::Refusal { ack: ack() });
        let again = machine.handle_response(clock.now(), 486, || unreachable!("printed once"));
        assert_eq!(again, Heard::RefusalAgain { ack: ack() });
        assert_eq!(machine.handle_response(clock.now(), 200, ack), Heard::Stray);
        clock.run(secs(33), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert!(machine.is_terminated());
    }

    #[test]
    fn reliable_refusal_ends_the_machine_at_once() {
        let (mut machine, clock) = started(Reliability::Reliable);
        machine.handle_response(clock.now(), 603, ack);
        assert!(machine.is_terminated());
        assert_eq!(machine.poll_timeout(), None);
    }

    #[test]
    fn answers_are_passed_on_until_timer_m_on_every_transport() {
        for reliability in [Reliability::Unreliable, Reliability::Reliable] {
            let (mut machine, mut clock) = started(reliability);
            assert_eq!(machine.handle_response(clock.now(), 200, ack), Heard::Answer);
            assert_eq!(machine.handle_response(clock.now(), 200, ack), Heard::Answer);
            assert_eq!(machine.handle_response(clock.now(), 487, ack), Heard::Stray);
            assert_eq!(machine.poll_timeout(), Some(clock.now() + secs(32)));
            clock.run(secs(33), |now| (machine.handle_timeout(now), machine.poll_timeout()));
            assert_eq!(machine.handle_response(clock.now(), 200, ack), Heard::Stray);
            assert!(machine.is_terminated());
        }
    }
}
