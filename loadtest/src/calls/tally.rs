//! What is counted while the load runs.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency that is told apart, in microseconds.
const LATENCY_MAX_US: u64 = 200_000_000;
/// Three digits: a thousandth.
const DIGITS: u8 = 3;
/// Different reasons of failure that are told apart.
const REASONS_MAX: usize = 40;

/// Latencies, to a thousandth of each.
#[derive(Clone, Debug)]
pub(super) struct Latency(Histogram<u64>);

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

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

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(LATENCY_MAX_US, DIGITS);
        Self(histogram.expect("the bounds of the histogram are constants that it takes"))
    }
}

impl Latency {
    /// What is longer than can be told apart counts as the longest.
    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.min(LATENCY_MAX_US));
    }

    /// `None` where nothing was recorded.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let millis = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1000.0;
        let at = |quantile| millis(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| Percentiles {
            count: self.0.len(),
            mean: self.0.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(self.0.max()),
        })
    }
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
    fn percentiles_are_those_of_all_that_was_recorded() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentiles(), None);
        for ms in 1..=1000 {
            latency.record(Duration::from_millis(ms));
        }
        let found = latency.percentiles().unwrap();
        for (value, expected) in [
            (found.p50, 500.0),
            (found.p90, 900.0),
            (found.p99, 990.0),
            (found.p999, 999.0),
            (found.max, 1000.0),
            (found.mean, 500.5),
        ] {
            assert!((value - expected).abs() / expected < 0.002, "{value} for {expected}");
        }
        assert_eq!(found.count, 1000);
    }

    #[test]
    fn a_latency_beyond_all_bounds_counts_as_the_longest() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(1_000_000));
        let longest = latency.percentiles().unwrap().max;
        assert!((longest - 200_000.0).abs() < 200.0, "{longest}");
    }

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
