//! Which fault comes when: a plain value that follows from a seed, so that a run can be repeated.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

/// What can be done to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The sockets of some sessions are gone, without a word.
    Sockets,
    /// The carrier says nothing for a while.
    Silence,
    /// The gateway is killed, and started again.
    Kill,
    /// Another process holds the database's lock for a while.
    Lock,
}

/// A fault of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// From the first call on.
    pub(super) at: Duration,
    pub(super) kind: Kind,
    /// Whose sockets are lost, in ascending order.
    pub(super) sessions: Vec<usize>,
}

/// What a plan follows from.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) seed: u64,
    /// How long calls begin.
    pub(super) duration: Duration,
    /// No kill afterwards: the last gateway must live long enough to be judged.
    pub(super) kills_until: Duration,
    pub(super) every: Duration,
    pub(super) kinds: Vec<Kind>,
    pub(super) sessions: usize,
}

/// Sockets that are lost at once, in percent.
const SOCKETS_PERCENT: [u64; 2] = [5, 30];

/// A fault in each `every`, in its first quarter, so that the rest of it is undisturbed. What comes
/// is drawn as from a bag that holds each kind once and is filled again when it is empty: each is
/// as frequent as the others, and a gateway lives for some time between two kills.
pub(super) fn plan(terms: &Terms) -> Vec<Fault> {
    let Terms { seed, duration, kills_until, every, kinds, sessions } = terms;
    let mut kinds = kinds.clone();
    let mut dice = Dice(*seed);
    let mut bag: Vec<Kind> = Vec::new();
    let mut faults = Vec::new();
    let mut from = *every;
    // A last one leaves half of its time to recover in.
    while !every.is_zero() && from + *every / 2 <= *duration {
        if from > *kills_until {
            kinds.retain(|kind| *kind != Kind::Kill);
            bag.retain(|kind| *kind != Kind::Kill);
        }
        if bag.is_empty() {
            bag.clone_from(&kinds);
        }
        if bag.is_empty() {
            break;
        }
        let kind = bag.swap_remove(dice.below(bag.len()));
        let at = from + every.mul_f64(dice.share() / 4.0);
        let sessions = if kind == Kind::Sockets { some(&mut dice, *sessions) } else { Vec::new() };
        faults.push(Fault { at, kind, sessions });
        from += *every;
    }
    faults
}

fn some(dice: &mut Dice, sessions: usize) -> Vec<usize> {
    let [least, most] = SOCKETS_PERCENT;
    let percent = least + dice.next() % (most - least + 1);
    let mut chosen: Vec<usize> = (0..sessions).filter(|_| dice.next() % 100 < percent).collect();
    if chosen.is_empty() && sessions > 0 {
        chosen.push(dice.below(sessions));
    }
    chosen
}

/// Numbers that look random and follow from a seed (splitmix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is small and not 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn terms(seed: u64) -> Terms {
        Terms {
            seed,
            duration: Duration::from_secs(1800),
            kills_until: Duration::from_secs(1800),
            every: Duration::from_secs(60),
            kinds: Kind::value_variants().to_vec(),
            sessions: 250,
        }
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_one_others() {
        assert_eq!(plan(&terms(7)), plan(&terms(7)));
        assert_ne!(plan(&terms(7)), plan(&terms(8)));
        // What was written down of a run is repeated by every later version.
        let first = plan(&terms(7));
        let kinds: Vec<_> = first.iter().take(8).map(|fault| fault.kind).collect();
        assert_eq!(kinds, KINDS_OF_7);
    }

    const KINDS_OF_7: [Kind; 8] = [
        Kind::Lock,
        Kind::Sockets,
        Kind::Silence,
        Kind::Kill,
        Kind::Kill,
        Kind::Sockets,
        Kind::Silence,
        Kind::Lock,
    ];

    #[test]
    fn there_is_one_a_minute_that_leaves_the_rest_of_it_alone() {
        for seed in 0..50 {
            let faults = plan(&terms(seed));
            assert_eq!(faults.len(), 29);
            for (fault, minute) in faults.iter().zip(1_u32..) {
                let begins = Duration::from_secs(60) * minute;
                assert!(fault.at >= begins && fault.at < begins + Duration::from_secs(15));
            }
            let mut counts = BTreeMap::new();
            faults.iter().for_each(|fault| *counts.entry(fault.kind).or_insert(0) += 1);
            assert_eq!(counts.len(), 4);
            assert!(counts.values().all(|count| (7..=8).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn the_last_gateway_is_left_alive() {
        for seed in 0..50 {
            let faults = plan(&Terms { kills_until: Duration::from_secs(860), ..terms(seed) });
            let kills = faults.iter().filter(|fault| fault.kind == Kind::Kill);
            let kills: Vec<_> = kills.map(|fault| fault.at.as_secs()).collect();
            assert!((2..=4).contains(&kills.len()), "{kills:?}");
            assert!(kills.iter().all(|at| *at < 875));
            assert_eq!(faults.len(), 29);
        }
        let only =
            Terms { kinds: vec![Kind::Kill], kills_until: Duration::from_secs(200), ..terms(1) };
        assert_eq!(plan(&only).len(), 3);
    }

    #[test]
    fn only_lost_sockets_name_sessions_and_never_all_or_none() {
        for seed in 0..50 {
            for fault in plan(&terms(seed)) {
                let lost = fault.sessions.len();
                assert_eq!(lost > 0, fault.kind == Kind::Sockets);
                assert!(lost < 125 && fault.sessions.is_sorted(), "{lost}");
            }
            let one = plan(&Terms { sessions: 1, kinds: vec![Kind::Sockets], ..terms(seed) });
            assert!(one.iter().all(|fault| fault.sessions == [0]));
        }
    }

    #[test]
    fn a_short_run_has_none() {
        let short = Terms { duration: Duration::from_secs(80), ..terms(1) };
        assert_eq!(plan(&short), []);
        assert_eq!(plan(&Terms { kinds: Vec::new(), ..terms(1) }), []);
        assert_eq!(plan(&Terms { every: Duration::ZERO, ..terms(1) }), []);
        let two =
            Terms { every: Duration::from_secs(8), duration: Duration::from_secs(20), ..terms(1) };
        assert_eq!(plan(&two).len(), 2);
    }
}
