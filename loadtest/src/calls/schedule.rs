//! When which call begins: fixed before the first one, so that a slow gateway cannot slow its load.

use std::time::Duration;

/// An open loop: call `n` is due `n / rate` after the start, whatever became of the calls before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Schedule {
    /// Calls a second, above 0 unless there are none.
    rate: f64,
    total: u64,
}

impl Schedule {
    /// `calls` calls, or those of `duration`, whichever is given and fewer.
    pub(super) fn new(rate: f64, duration: Option<Duration>, calls: Option<u64>) -> Self {
        if rate <= 0.0 {
            return Self { rate: 0.0, total: 0 };
        }
        let within = duration.map(|duration| {
            // A negative or absurd product saturates; what it is, is bounded by the next line.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let count = (duration.as_secs_f64() * rate).ceil() as u64;
            count
        });
        let total = match (within, calls) {
            (Some(within), Some(calls)) => within.min(calls),
            (within, calls) => within.or(calls).unwrap_or(0),
        };
        Self { rate, total }
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// When call `n` is due, from the start on; `None` after the last one.
    pub(super) fn due(&self, n: u64) -> Option<Duration> {
        #[allow(clippy::cast_precision_loss, reason = "exact for every count below 2^53")]
        let seconds = n as f64 / self.rate;
        (n < self.total).then(|| Duration::from_secs_f64(seconds))
    }

    /// From the first call to the last.
    pub(super) fn span(&self) -> Duration {
        self.total.checked_sub(1).and_then(|last| self.due(last)).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_evenly_spaced_and_do_not_drift() {
        let schedule = Schedule::new(300.0, Some(Duration::from_secs(3600)), None);
        assert_eq!(schedule.total(), 1_080_000);
        assert_eq!(schedule.due(0), Some(Duration::ZERO));
        assert_eq!(schedule.due(1), Some(Duration::from_nanos(3_333_333)));
        assert_eq!(schedule.due(300_000), Some(Duration::from_secs(1000)));
        assert_eq!(schedule.due(1_080_000), None);
        assert!(schedule.span() < Duration::from_secs(3600));
    }

    #[test]
    fn duration_and_count_both_end_it() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(Schedule::new(10.0, second, Some(3)).total(), 3);
        assert_eq!(Schedule::new(10.0, second, Some(30)).total(), 10);
        assert_eq!(Schedule::new(0.5, Some(Duration::from_secs(3)), None).total(), 2);
        assert_eq!(Schedule::new(10.0, None, Some(7)).total(), 7);
        assert_eq!(Schedule::new(10.0, None, None).total(), 0);
    }

    #[test]
    fn without_a_rate_there_are_no_calls() {
        let schedule = Schedule::new(0.0, Some(Duration::from_secs(20)), Some(5));
        assert_eq!((schedule.total(), schedule.due(0)), (0, None));
        assert_eq!(schedule.span(), Duration::ZERO);
    }
}
