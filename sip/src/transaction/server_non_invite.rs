//! Server side of all but INVITE and ACK: RFC 3261 section 17.2.2.

use std::time::Instant;

use bytes::Bytes;

use super::Due;
use super::timers::{GIVE_UP, Table, Timer};

#[derive(Debug)]
enum State {
    /// Also RFC 3261's Proceeding: `last` is the provisional response, where one was sent.
    Trying {
        last: Option<Bytes>,
    },
    Completed {
        response: Bytes,
    },
    Terminated,
}

/// A BYE, CANCEL, UPDATE, INFO … that we received.
///
/// Timer J runs 64×T1 on every transport: a browser repeats a request on its next socket, so the answer is
/// kept where RFC 3261 would forget it at once.
#[derive(Debug)]
pub struct ServerNonInvite {
    state: State,
    timers: Table<1>,
}

impl ServerNonInvite {
    /// Begins with nothing answered. A request that its owner never answers is forgotten after 64×T1, when
    /// the client has given it up too.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let mut timers = Table::new();
        timers.start(Timer::J, now + GIVE_UP);
        Self { state: State::Trying { last: None }, timers }
    }

    /// The request came again: what to send again, if anything.
    #[must_use]
    pub fn handle_repeated(&self) -> Option<Bytes> {
        match &self.state {
            State::Trying { last } => last.clone(),
            State::Completed { response } => Some(response.clone()),
            State::Terminated => None,
        }
    }

    /// A provisional response is being sent. Ignored after a final one.
    pub fn provisional(&mut self, response: Bytes) {
        if let State::Trying { last } = &mut self.state {
            *last = Some(response);
        }
    }

    /// The final response is being sent. Ignored after another one.
    pub fn finish(&mut self, now: Instant, response: Bytes) {
        if self.is_pending() {
            self.timers.start(Timer::J, now + GIVE_UP);
            self.state = State::Completed { response };
        }
    }

    /// Does what is due: only the end of its life, which is told to the owner where it never answered.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        self.timers.pop_due(now)?;
        let unanswered = self.is_pending();
        self.state = State::Terminated;
        unanswered.then_some(Due::GaveUp(Timer::J))
    }

    /// The next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// True until the final response is sent.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying { .. })
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

    const OK: Bytes = Bytes::from_static(b"200");

    #[test]
    fn repeated_request_gets_the_kept_answer_for_timer_j() {
        let mut clock = Clock::new();
        let mut machine = ServerNonInvite::new(clock.now());
        assert_eq!(machine.handle_repeated(), None);
        machine.finish(clock.now(), OK);
        assert_eq!(machine.handle_repeated(), Some(OK));
        clock.run(secs(33), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert_eq!(machine.handle_repeated(), None);
        assert!(machine.is_terminated());
    }

    #[test]
    fn request_that_nobody_answers_is_given_up_with_its_client() {
        let mut clock = Clock::new();
        let mut machine = ServerNonInvite::new(clock.now());
        let fired =
            clock.run(secs(60), |now| (machine.handle_timeout(now), machine.poll_timeout()));
        assert_eq!(fired, [(32000, Due::GaveUp(Timer::J))]);
    }
}
