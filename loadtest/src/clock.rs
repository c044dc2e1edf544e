//! One moment on two clocks: what two processes of one machine measured is compared by it.

use std::time::{Duration, Instant, SystemTime};

/// Which moment of the wall clock a monotonic one is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    at: Instant,
    since_epoch: Duration,
}

impl Clock {
    pub(crate) fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self { at: Instant::now(), since_epoch: since_epoch.unwrap_or_default() }
    }

    /// Microseconds since 1970, UTC.
    pub(crate) fn unix_us(&self, at: Instant) -> u64 {
        let later = at.saturating_duration_since(self.at);
        let earlier = self.at.saturating_duration_since(at);
        let since_epoch = (self.since_epoch + later).saturating_sub(earlier);
        u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_before_and_after_are_as_far_apart_on_both_clocks() {
        let clock = Clock { at: Instant::now(), since_epoch: Duration::from_secs(1_000) };
        let second = Duration::from_secs(1);
        assert_eq!(clock.unix_us(clock.at), 1_000_000_000);
        assert_eq!(clock.unix_us(clock.at + second), 1_001_000_000);
        assert_eq!(clock.at.checked_sub(second).map(|at| clock.unix_us(at)), Some(999_000_000));
    }
}
