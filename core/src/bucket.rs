//! A token bucket that takes `now`.

use crate::limits::Cap;
use std::time::{Duration, Instant};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Lets `rate` things a second pass, and `burst` of them at once after a rest. Two words of state:
/// the time at which it would be full again (the "generic cell rate algorithm"), so that an unused
/// bucket costs nothing to refill.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    /// Between two tokens; zero lets everything pass.
    period: Duration,
    /// What a full bucket holds, as time.
    depth: Duration,
    /// When the bucket is full; `None` before the first use.
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// A full bucket. A `rate_per_s` of 0 is no limit; a `burst` of 0 counts as 1, since nothing
    /// would ever pass. The time between tokens is cut to whole nanoseconds.
    #[must_use]
    pub fn new(rate_per_s: u32, burst: u32) -> Self {
        let nanos = NANOS_PER_SECOND.checked_div(u64::from(rate_per_s)).unwrap_or(0);
        let period = Duration::from_nanos(nanos);
        // The largest product, 1 s × 2³², fits a Duration.
        Self { period, depth: period * burst.max(1), full_at: None }
    }

    /// A bucket for a configured limit, with a burst of `factor` times the rate.
    #[must_use]
    pub fn of(cap: Cap, factor: u32) -> Self {
        let rate = cap.get().unwrap_or(0);
        Self::new(rate, rate.saturating_mul(factor))
    }

    /// Takes one token, if there is one. A `now` before an earlier one adds nothing and takes
    /// nothing away.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.period.is_zero() {
            return true;
        }
        let Some(full_at) = self.filled(now).checked_add(self.period) else {
            return false;
        };
        if full_at.saturating_duration_since(now) > self.depth {
            return false;
        }
        self.full_at = Some(full_at);
        true
    }

    /// Whether [`TokenBucket::take`] would succeed.
    #[must_use]
    pub fn has_one(&self, now: Instant) -> bool {
        self.retry_after(now).is_zero()
    }

    /// How long until the next token; zero where there is one.
    #[must_use]
    pub fn retry_after(&self, now: Instant) -> Duration {
        let wait = self.filled(now).saturating_duration_since(now);
        (wait + self.period).saturating_sub(self.depth)
    }

    /// Whether the bucket is as good as new, so that a table of buckets may forget it.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now)
    }

    fn filled(&self, now: Instant) -> Instant {
        self.full_at.map_or(now, |full_at| full_at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;
    use proptest::prelude::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_then_one_a_period() {
        let start = epoch();
        let mut bucket = TokenBucket::new(20, 40);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 40);
        assert_eq!(bucket.retry_after(start), ms(50));
        assert!(!bucket.take(start + ms(49)));
        assert!(bucket.take(start + ms(50)));
        assert!(!bucket.take(start + ms(50)));
    }

    #[test]
    fn a_rest_fills_it_up_and_no_further() {
        let start = epoch();
        let mut bucket = TokenBucket::new(10, 5);
        while bucket.take(start) {}
        assert!(!bucket.is_full(start + ms(499)));
        assert!(bucket.is_full(start + ms(500)));
        assert_eq!((0..100).filter(|_| bucket.take(start + ms(3_600_000))).count(), 5);
    }

    #[test]
    fn zero_is_no_limit() {
        let start = epoch();
        let mut bucket = TokenBucket::of(Cap::NONE, 2);
        assert!((0..10_000).all(|_| bucket.take(start)));
        assert!(bucket.has_one(start) && bucket.is_full(start));
    }

    #[test]
    fn a_burst_of_zero_still_lets_one_pass() {
        let start = epoch();
        let mut bucket = TokenBucket::new(1, 0);
        assert!(bucket.take(start) && !bucket.take(start));
        assert_eq!(bucket.retry_after(start), ms(1_000));
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing_for_free() {
        let start = epoch();
        let mut bucket = TokenBucket::new(1, 1);
        assert!(bucket.take(start + ms(10_000)));
        assert!(!bucket.take(start));
        assert!(bucket.take(start + ms(11_000)));
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let start = epoch();
        let mut slow = TokenBucket::new(1, u32::MAX);
        assert!(slow.take(start));
        let mut fast = TokenBucket::new(u32::MAX, u32::MAX);
        assert!(fast.take(start));
    }

    proptest! {
        /// Over any time, never more than the burst and the rate's share of that time.
        #[test]
        fn never_more_than_burst_plus_rate(
            rate in 1_u32..200,
            burst in 1_u32..50,
            steps in prop::collection::vec(0_u64..200, 1..200),
        ) {
            let start = epoch();
            let mut bucket = TokenBucket::new(rate, burst);
            let (mut at, mut passed) = (0_u64, 0_u64);
            for step in steps {
                at += step;
                let now = start + ms(at);
                let could = bucket.has_one(now);
                prop_assert_eq!(bucket.take(now), could);
                passed += u64::from(could);
                // One more for the nanoseconds that the period was cut by.
                prop_assert!(passed <= u64::from(burst) + at * u64::from(rate) / 1_000 + 1);
            }
        }
    }
}
