//! Whether a gateway stays as it was, as a plain value: what it uses is measured every second, and a
//! trend is told from noise.
//!
//! Memory is judged while nothing is done to the gateway and its load is the same: outside of faults,
//! and once it is warm. That is a minute for the actors of ended calls, and some 30,000 calls for the
//! database's page caches (16 MiB of the writer's, 2 of each reader's), which fill with what calls
//! write: measured without a fault, memory grew by 3 % a minute at 50 calls/s for all that time, and
//! by less than 0.05 % from then on. Of each ten seconds the
//! least counts. Between any two of these in one life of the gateway there is a slope; the median
//! of all slopes (Theil and Sen), of all lives, is the trend: a burst that is given back, or a
//! single bad sample, does not move it, whereas a leak moves each.
//!
//! Descriptors beyond those of the sessions are counted, not estimated: at no such time there may
//! be more than a few above those of the gateway without sessions. (From 20 s after its start: the
//! connections that tokens were asked for on are kept for some seconds.)

use std::collections::BTreeMap;

use serde::Serialize;

/// One second of a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Since the first call.
    pub(super) seconds: f64,
    /// The how many-th gateway it is.
    pub(super) life: u32,
    /// Since that one was started.
    pub(super) age_seconds: f64,
    /// No fault is there, and the last one is over for some time.
    pub(super) calm: bool,
    pub(super) rss_kib: u64,
    pub(super) descriptors: u64,
    pub(super) sessions: u64,
}

/// What the samples say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Flatness {
    pub(super) ok: bool,
    /// Of memory, in percent of it a minute; `None` where there was too little time to tell.
    pub(super) memory_percent_per_minute: Option<f64>,
    /// Seconds that memory is judged by.
    pub(super) judged_seconds: u64,
    /// Median of the first judged life's first minute, and of the last one's last.
    pub(super) memory_first_kib: Option<u64>,
    pub(super) memory_last_kib: Option<u64>,
    /// Without a session, before the first call and after the last.
    pub(super) descriptors_before: u64,
    pub(super) descriptors_after: u64,
    /// The most that there were beside those of the sessions, while all was calm.
    pub(super) descriptors_most: Option<u64>,
}

const WARM_UP_SECONDS: f64 = 60.0;
const WARM_UP_CALLS: f64 = 32_000.0;
/// How long a warm gateway is looked at, if the run has the time.
const JUDGED_SECONDS: f64 = 300.0;
/// HTTP connections are closed when they were idle for less than this.
const IDLE_SECONDS: f64 = 20.0;
const BUCKET_SECONDS: f64 = 10.0;
/// Buckets of all lives; fewer are noise.
const BUCKETS_MIN: usize = 12;
/// Slopes over less than this are mostly noise.
const APART_BUCKETS: u64 = 3;
/// Half of the leak that must be found.
const PERCENT_PER_MINUTE_MAX: f64 = 0.5;
/// Connections of the API and the admin address, and readers of the database that are opened when
/// they are first needed.
const DESCRIPTORS_APART: u64 = 24;

/// Memory's least within ten seconds.
type Buckets = BTreeMap<u64, u64>;

/// How long a gateway takes until its memory may be judged, at so many calls a second.
pub(super) fn warm_up_seconds(rate: f64) -> f64 {
    WARM_UP_SECONDS.max(WARM_UP_CALLS / rate.max(f64::MIN_POSITIVE))
}

/// Until when a gateway may be killed so that the last one can be judged: to the end, where there is
/// no time for that anyway.
pub(super) fn kills_until(duration: f64, rate: f64) -> f64 {
    let until = duration - warm_up_seconds(rate) - JUDGED_SECONDS;
    if until > 0.0 { until } else { duration }
}

pub(super) fn judge(samples: &[Sample], warm_up: f64, descriptors: (u64, u64)) -> Flatness {
    let (before, after) = descriptors;
    let calm = || samples.iter().filter(|sample| sample.calm);
    let mut lives: BTreeMap<u32, Buckets> = BTreeMap::new();
    for sample in calm().filter(|sample| sample.age_seconds >= warm_up) {
        let least = lives.entry(sample.life).or_default().entry(bucket(sample.age_seconds));
        let least = least.or_insert(sample.rss_kib);
        *least = (*least).min(sample.rss_kib);
    }
    let memory = trend(&lives);
    let kept = calm().filter(|sample| sample.age_seconds >= IDLE_SECONDS);
    let most = kept.map(|sample| sample.descriptors.saturating_sub(sample.sessions)).max();
    let few = before + DESCRIPTORS_APART;
    let ok = memory.is_none_or(|percent| percent <= PERCENT_PER_MINUTE_MAX)
        && (1..=few).contains(&after)
        && most.is_none_or(|most| most <= few);
    let all: Vec<u64> = lives.values().flat_map(BTreeMap::values).copied().collect();
    Flatness {
        ok,
        memory_percent_per_minute: memory,
        judged_seconds: u64::try_from(all.len()).unwrap_or(0) * 10,
        memory_first_kib: median(all.iter().take(6)),
        memory_last_kib: median(all.iter().rev().take(6)),
        descriptors_before: before,
        descriptors_after: after,
        descriptors_most: most,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an age is small")]
fn bucket(age_seconds: f64) -> u64 {
    (age_seconds / BUCKET_SECONDS) as u64
}

/// The median slope, in percent a minute.
#[allow(clippy::cast_precision_loss, reason = "kibibytes and ages are far below 2^53")]
fn trend(lives: &BTreeMap<u32, Buckets>) -> Option<f64> {
    if lives.values().map(BTreeMap::len).sum::<usize>() < BUCKETS_MIN {
        return None;
    }
    let mut slopes = Vec::new();
    for buckets in lives.values() {
        for (at, kib) in buckets {
            for (later, then) in buckets.range(at + APART_BUCKETS..) {
                let minutes = (later - at) as f64 * BUCKET_SECONDS / 60.0;
                let grown = *then as f64 - *kib as f64;
                slopes.push(grown / (*kib).max(1) as f64 * 100.0 / minutes);
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied()
}

fn median<'a>(values: impl Iterator<Item = &'a u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.copied().collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lives of so many seconds each; `noise` is of a hundredth of memory and follows from a seed.
    fn gateway(lives: &[u32], percent_per_minute: f64, noise: f64, seed: u64) -> Vec<Sample> {
        let mut state = seed;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31)
        };
        let mut samples = Vec::new();
        for (life, length) in lives.iter().enumerate() {
            for age in 0..*length {
                let minutes = f64::from(age) / 60.0;
                // Half of it is there after a minute's warming up.
                let warm = 40_000.0 * (1.0 - 0.5 * (-f64::from(age) / 12.0).exp());
                let rss = warm * (1.0 + percent_per_minute / 100.0 * minutes);
                let rss = rss * (1.0 + noise * random());
                // A fault a minute, of which memory rises by a fifth.
                let calm = age % 60 >= 25;
                let rss = if calm { rss } else { rss * 1.2 };
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "KiB")]
                let rss_kib = rss as u64;
                let (life, age_seconds) = (u32::try_from(life).unwrap(), f64::from(age));
                let (descriptors, sessions) = (290, 250);
                samples.push(Sample {
                    life,
                    age_seconds,
                    calm,
                    rss_kib,
                    descriptors,
                    sessions,
                    ..Sample::default()
                });
            }
        }
        samples
    }

    #[test]
    fn a_leak_of_one_percent_a_minute_is_found() {
        for lives in [&[180; 10][..], &[1800], &[240, 300], &[30, 150, 170, 400]] {
            for seed in 0..20 {
                let found = judge(&gateway(lives, 1.0, 0.03, seed), WARM_UP_SECONDS, (30, 30));
                assert!(!found.ok, "{lives:?} {seed}: {found:?}");
            }
        }
    }

    #[test]
    fn noise_and_warming_up_are_no_leak() {
        for lives in [&[180; 10][..], &[1800], &[240, 300], &[30, 150, 170, 400]] {
            for seed in 0..20 {
                let found = judge(&gateway(lives, 0.0, 0.03, seed), WARM_UP_SECONDS, (30, 30));
                assert!(found.ok, "{lives:?} {seed}: {found:?}");
            }
        }
    }

    #[test]
    fn what_was_too_short_to_tell_is_said_to_be() {
        let found = judge(&gateway(&[50, 50, 50], 50.0, 0.0, 1), WARM_UP_SECONDS, (30, 31));
        assert_eq!((found.ok, found.memory_percent_per_minute), (true, None));
        assert_eq!(judge(&[], WARM_UP_SECONDS, (30, 30)).descriptors_most, None);
    }

    #[test]
    fn descriptors_that_stay_are_found() {
        let good = gateway(&[300], 0.0, 0.0, 1);
        assert!(
            judge(&good, WARM_UP_SECONDS, (30, 54)).ok
                && !judge(&good, WARM_UP_SECONDS, (30, 55)).ok
        );
        // Some of the sessions that came back left theirs.
        let mut bad = good;
        bad.iter_mut().skip(200).for_each(|sample| sample.descriptors += 20);
        let found = judge(&bad, WARM_UP_SECONDS, (30, 30));
        assert_eq!((found.ok, found.descriptors_most), (false, Some(60)));
        // Not while a fault is there, when they are of sockets that are about to close.
        bad.iter_mut().for_each(|sample| sample.calm = false);
        assert!(judge(&bad, WARM_UP_SECONDS, (30, 30)).ok);
    }

    #[test]
    fn the_last_gateway_has_time_to_get_warm_and_to_be_judged_where_there_is_any() {
        assert!((warm_up_seconds(50.0) - 640.0).abs() < 1e-9);
        assert!((warm_up_seconds(5_000.0) - 60.0).abs() < 1e-9);
        assert!((kills_until(1800.0, 50.0) - 860.0).abs() < 1e-9);
        assert!((kills_until(300.0, 50.0) - 300.0).abs() < 1e-9);
    }
}
