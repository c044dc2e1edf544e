//! Latencies, and their percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency that is told apart, in microseconds.
const LATENCY_MAX_US: u64 = 200_000_000;
/// Three digits: a thousandth.
const DIGITS: u8 = 3;

/// Latencies, to a thousandth of each.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(LATENCY_MAX_US, DIGITS);
        Self(histogram.expect("the bounds of the histogram are constants that it takes"))
    }
}

impl Latency {
    /// What is longer than can be told apart counts as the longest.
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.min(LATENCY_MAX_US));
    }

    /// `None` where nothing was recorded.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
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
}
