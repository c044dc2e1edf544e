//! The deadlines of many calls in one heap, so that a call costs no task and no timer of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A call's place in [`Deadlines`]: when it will be woken, if it will.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Armed(Option<Instant>);

/// See the [module](self).
///
/// A call that wants to be woken later than it is armed for is left as it is: it is woken once too
/// early, and says then what it wants. One that wants it earlier gets a second entry, and the old
/// one is passed over. So the heap holds a few entries a call at most.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(BinaryHeap<Reverse<(Instant, u64)>>);

impl Deadlines {
    /// Has the call `key` woken at `wanted` or earlier.
    pub(crate) fn arm(&mut self, armed: &mut Armed, key: u64, wanted: Option<Instant>) {
        let Some(wanted) = wanted else { return };
        if armed.0.is_none_or(|at| wanted < at) {
            armed.0 = Some(wanted);
            self.0.push(Reverse((wanted, key)));
        }
    }

    /// The next entry that is due: a key, and what its call must [`Armed::rings`] with.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, u64)> {
        self.0.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.0.pop().map(|Reverse(entry)| entry)
    }

    /// When [`Deadlines::pop_due`] will have something.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }
}

impl Armed {
    /// Whether an entry of this time is the one that counts; if so, the call is armed no more.
    pub(crate) fn rings(&mut self, at: Instant) -> bool {
        let rings = self.0 == Some(at);
        if rings {
            self.0 = None;
        }
        rings
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_earlier_wish_wins_and_a_later_one_waits_for_the_wake_up() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut deadlines, mut armed) = (Deadlines::default(), Armed::default());
        deadlines.arm(&mut armed, 7, Some(at(500)));
        deadlines.arm(&mut armed, 7, Some(at(900)));
        deadlines.arm(&mut armed, 7, Some(at(100)));
        deadlines.arm(&mut armed, 7, None);
        assert_eq!(deadlines.next(), Some(at(100)));
        assert_eq!(deadlines.pop_due(at(99)), None);
        assert_eq!(deadlines.pop_due(at(600)), Some((at(100), 7)));
        assert!(armed.rings(at(100)));
        assert_eq!(deadlines.pop_due(at(600)), Some((at(500), 7)));
        assert!(!armed.rings(at(500)), "the entry that was overtaken");
        assert_eq!(deadlines.pop_due(at(600)), None);
    }
}
