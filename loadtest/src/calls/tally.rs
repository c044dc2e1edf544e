//! What is counted while the load runs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::latency::Latency;

/// Different reasons of failure that are told apart.
const REASONS_MAX: usize = 40;

/// All counters of the calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) attempted: u64,
    pub(super) answered: u64,
    /// Answered, and hung up by the browser at its time.
    pub(super) completed: u64,
    /// Refused with a status that was expected.
    pub(super) refused: u64,
    /// Everything else, by reason: a status with its code, or what happened.
    pub(super) failed: BTreeMap<String, u64>,
    /// Σ of answered time, from the 200's arrival to our BYE.
    pub(super) talked: Duration,
    pub(super) ringing: Latency,
    pub(super) answer: Latency,
    pub(super) hang_up: Latency,
    /// How late the generator itself was with an INVITE: part of the latencies, which count from
    /// the intended time.
    pub(super) late: Latency,
    /// Registrations that were renewed, and those that were not.
    pub(super) renewed: u64,
    pub(super) renewals_refused: u64,
    /// Sockets that closed before their time.
    pub(super) sessions_lost: u64,
    /// Of these, those that have another one.
    pub(super) sessions_back: u64,
}

impl Tally {
    pub(super) fn fail(&mut self, reason: String) {
        let room = self.failed.len() < REASONS_MAX || self.failed.contains_key(&reason);
        *self.failed.entry(if room { reason } else { "other".into() }).or_insert(0) += 1;
    }

    /// A call that seemed complete had no audio.
    pub(super) fn fail_completed(&mut self, reason: &str, calls: u64) {
        // A call may have failed otherwise already.
        let of_completed = calls.min(self.completed);
        self.completed -= of_completed;
        (0..of_completed).for_each(|_| self.fail(reason.to_owned()));
    }

    pub(super) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Calls that are under way.
    pub(super) fn live(&self) -> u64 {
        self.attempted - self.completed - self.refused - self.failures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_failure_are_bounded() {
        let mut tally = Tally { attempted: 200, completed: 90, ..Tally::default() };
        for reason in 0..100 {
            tally.fail(reason.to_string());
        }
        assert_eq!((tally.failed.len(), tally.failed["other"]), (REASONS_MAX + 1, 60));
        assert_eq!((tally.failures(), tally.live()), (100, 10));
    }
}
