//! When which call begins: fixed before the first one, so that a slow gateway cannot slow its load.

use std::time::Duration;

/// How a rate rises from 0 to the one that is wanted; afterwards it stays.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Ramp {
    pub(super) duration: Duration,
    /// In this many even steps, the first of them at once; 0 is a straight line.
    pub(super) steps: u32,
}

/// An open loop: when each event is due is fixed, whatever became of those before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Schedule {
    /// Events a second after the ramp, above 0 unless there are none.
    rate: f64,
    ramp: Ramp,
    total: u64,
}

/// A stretch of time in which the rate is a straight line.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    begins: f64,
    seconds: f64,
    rate: f64,
    /// How much the rate grows in a second.
    slope: f64,
}

impl Schedule {
    /// `calls` calls, or those of `duration` (the ramp is part of it), whichever is given and fewer.
    pub(super) fn new(
        rate: f64,
        ramp: Ramp,
        duration: Option<Duration>,
        calls: Option<u64>,
    ) -> Self {
        if rate <= 0.0 {
            return Self { rate: 0.0, ramp: Ramp::default(), total: 0 };
        }
        let schedule = Self { rate, ramp, total: u64::MAX };
        let within = duration.map(|duration| {
            // What comes of a negative or absurd product saturates.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let count = schedule.count_until(duration.as_secs_f64()).ceil() as u64;
            count
        });
        let total = match (within, calls) {
            (Some(within), Some(calls)) => within.min(calls),
            (within, calls) => within.or(calls).unwrap_or(0),
        };
        Self { total, ..schedule }
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// When call `n` is due, from the start on; `None` after the last one.
    pub(super) fn due(&self, n: u64) -> Option<Duration> {
        if n >= self.total {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "exact for every count below 2^53")]
        let mut left = n as f64;
        for stretch in self.stretches() {
            let within = stretch.count(stretch.seconds);
            if left < within {
                return Some(Duration::from_secs_f64(stretch.begins + stretch.when(left)));
            }
            left -= within;
        }
        let steady = self.ramp.duration.as_secs_f64();
        Some(Duration::from_secs_f64(steady + left / self.rate))
    }

    /// From the first call to the last.
    pub(super) fn span(&self) -> Duration {
        self.total.checked_sub(1).and_then(|last| self.due(last)).unwrap_or(Duration::ZERO)
    }

    /// When the rate is the one that is wanted.
    pub(super) const fn steady_after(&self) -> Duration {
        self.ramp.duration
    }

    /// The rate that is wanted at a time after the start.
    pub(super) fn rate_at(&self, at: Duration) -> f64 {
        let at = at.as_secs_f64();
        let stretch = self.stretches().find(|it| at < it.begins + it.seconds);
        stretch.map_or(self.rate, |it| it.rate + it.slope * (at - it.begins))
    }

    /// Of the ramp, in order.
    fn stretches(&self) -> impl Iterator<Item = Stretch> + use<> {
        let (rate, seconds) = (self.rate, self.ramp.duration.as_secs_f64());
        let (count, steps) = match (seconds > 0.0, self.ramp.steps) {
            (false, _) => (0, 0),
            (true, 0) => (1, 0),
            (true, steps) => (steps, steps),
        };
        (0..count).map(move |at| {
            let each = seconds / f64::from(count);
            Stretch {
                begins: each * f64::from(at),
                seconds: each,
                rate: if steps == 0 { 0.0 } else { rate * f64::from(at + 1) / f64::from(steps) },
                slope: if steps == 0 { rate / seconds } else { 0.0 },
            }
        })
    }

    fn count_until(&self, seconds: f64) -> f64 {
        let in_ramp: f64 =
            self.stretches().map(|it| it.count((seconds - it.begins).clamp(0.0, it.seconds))).sum();
        in_ramp + (seconds - self.ramp.duration.as_secs_f64()).max(0.0) * self.rate
    }
}

impl Stretch {
    /// How many events lie in its first seconds.
    fn count(&self, seconds: f64) -> f64 {
        self.rate.mul_add(seconds, self.slope * seconds * seconds / 2.0)
    }

    /// When the `n`th of its events is due, from its beginning on: the root of `count`, in the form
    /// that a flat line does not divide by zero.
    fn when(&self, n: f64) -> f64 {
        if n <= 0.0 {
            return 0.0;
        }
        2.0 * n / (self.rate + self.rate.mul_add(self.rate, 2.0 * self.slope * n).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Ramp = Ramp { duration: Duration::ZERO, steps: 0 };

    fn within(duration: u64) -> Option<Duration> {
        Some(Duration::from_secs(duration))
    }

    #[test]
    fn calls_are_evenly_spaced_and_do_not_drift() {
        let schedule = Schedule::new(300.0, NONE, Some(Duration::from_secs(3600)), None);
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
        assert_eq!(Schedule::new(10.0, NONE, second, Some(3)).total(), 3);
        assert_eq!(Schedule::new(10.0, NONE, second, Some(30)).total(), 10);
        assert_eq!(Schedule::new(0.5, NONE, Some(Duration::from_secs(3)), None).total(), 2);
        assert_eq!(Schedule::new(10.0, NONE, None, Some(7)).total(), 7);
        assert_eq!(Schedule::new(10.0, NONE, None, None).total(), 0);
    }

    #[test]
    fn without_a_rate_there_are_no_calls() {
        let schedule = Schedule::new(0.0, NONE, Some(Duration::from_secs(20)), Some(5));
        assert_eq!((schedule.total(), schedule.due(0)), (0, None));
        assert_eq!(schedule.span(), Duration::ZERO);
    }

    #[test]
    fn a_linear_ramp_has_half_the_calls_and_ends_at_the_wanted_rate() {
        let ramp = Ramp { duration: Duration::from_secs(10), steps: 0 };
        let schedule = Schedule::new(100.0, ramp, within(20), None);
        assert_eq!(schedule.total(), 500 + 1000);
        let due = |n| schedule.due(n).unwrap().as_secs_f64();
        for (n, at) in [(0, 0.0), (5, 1.0), (125, 5.0), (500, 10.0), (501, 10.01), (1400, 19.0)] {
            assert!((due(n) - at).abs() < 1e-6, "call {n}: {} for {at}", due(n));
        }
        assert!((1..1500).all(|n| due(n) > due(n - 1)), "in order");
        for (seconds, rate) in [(0, 0.0), (5, 50.0), (10, 100.0), (99, 100.0)] {
            assert!((schedule.rate_at(Duration::from_secs(seconds)) - rate).abs() < 1e-9);
        }
        assert_eq!(schedule.steady_after(), Duration::from_secs(10));
    }

    #[test]
    fn steps_are_even_and_the_first_begins_at_once() {
        let ramp = Ramp { duration: Duration::from_secs(20), steps: 4 };
        let schedule = Schedule::new(40.0, ramp, within(30), None);
        // 10, 20, 30 and 40 a second for 5 s each, then 40 for 10 s.
        assert_eq!(schedule.total(), 50 + 100 + 150 + 200 + 400);
        let due = |n| schedule.due(n).unwrap().as_secs_f64();
        for (n, at) in [(0, 0.0), (1, 0.1), (50, 5.0), (51, 5.05), (150, 10.0), (500, 20.0)] {
            assert!((due(n) - at).abs() < 1e-6, "call {n}: {} for {at}", due(n));
        }
        for (seconds, rate) in [(0, 10.0), (4, 10.0), (5, 20.0), (16, 40.0), (25, 40.0)] {
            assert!((schedule.rate_at(Duration::from_secs(seconds)) - rate).abs() < 1e-9);
        }
    }

    #[test]
    fn a_run_that_ends_within_its_ramp_has_what_was_due_until_then() {
        let ramp = Ramp { duration: Duration::from_secs(10), steps: 0 };
        assert_eq!(Schedule::new(100.0, ramp, within(5), None).total(), 125);
        assert_eq!(Schedule::new(100.0, ramp, within(5), Some(7)).total(), 7);
        assert_eq!(Schedule::new(100.0, ramp, None, Some(600)).total(), 600);
    }
}
