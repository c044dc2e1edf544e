//! The trunk side's port pairs: leased at random, given back into quarantine.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How long a port pair rests, so that late packets of its last call reach nobody.
pub(crate) const QUARANTINE: Duration = Duration::from_secs(10);

/// The pool. A pair is named by its even port (RTP); RTCP has the next one (RFC 3550 section 11).
#[derive(Debug)]
pub(crate) struct Ports {
    free: Vec<u16>,
    resting: VecDeque<(Instant, u16)>,
    total: usize,
}

impl Ports {
    pub(crate) fn new(range: &RangeInclusive<u16>) -> Self {
        let last = *range.end();
        let free: Vec<u16> =
            range.clone().filter(|port| *port != 0 && port % 2 == 0 && *port < last).collect();
        Self { total: free.len(), free, resting: VecDeque::new() }
    }

    /// How many pairs there are, free or resting.
    pub(crate) fn len(&self) -> usize {
        self.free.len() + self.resting.len()
    }

    /// How many pairs calls have now; those that rest are nobody's.
    pub(crate) fn leased(&self) -> usize {
        self.total - self.free.len() - self.resting.len()
    }

    /// Takes the pair that `pick`, a random number, falls on.
    pub(crate) fn lease(&mut self, now: Instant, pick: u64) -> Option<u16> {
        while let Some(&(until, port)) = self.resting.front() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.free.push(port);
        }
        let count = u64::try_from(self.free.len()).ok()?;
        let index = usize::try_from(pick.checked_rem(count)?).ok()?;
        Some(self.free.swap_remove(index))
    }

    /// Gives a pair back; it can be leased again after [`QUARANTINE`].
    pub(crate) fn release(&mut self, now: Instant, port: u16) {
        self.resting.push_back((now + QUARANTINE, port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_of_an_even_port_and_the_next_one_are_leased() {
        let mut ports = Ports::new(&(20_001..=20_006));
        let now = Instant::now();
        let mut leased = [ports.lease(now, 1).unwrap(), ports.lease(now, 0).unwrap()];
        leased.sort_unstable();
        // 20,006 has no partner inside the range.
        assert_eq!(leased, [20_002, 20_004]);
        assert_eq!(ports.lease(now, 7), None);
        assert_eq!(Ports::new(&(20_001..=20_001)).len(), 0);
    }

    #[test]
    fn a_port_rests_before_it_is_leased_again() {
        let mut ports = Ports::new(&(20_000..=20_001));
        let now = Instant::now();
        let port = ports.lease(now, 5).unwrap();
        assert_eq!(ports.leased(), 1);
        ports.release(now, port);
        assert_eq!((ports.leased(), ports.lease(now, 5)), (0, None));
        assert_eq!(ports.lease(now + QUARANTINE - Duration::from_millis(1), 5), None);
        assert_eq!(ports.lease(now + QUARANTINE, 5), Some(port));
    }

    #[test]
    fn the_pick_spreads_over_the_whole_range() {
        let now = Instant::now();
        let firsts: std::collections::BTreeSet<_> =
            (0..100).map(|pick| Ports::new(&(20_000..=20_199)).lease(now, pick).unwrap()).collect();
        assert_eq!(firsts.len(), 100);
    }
}
