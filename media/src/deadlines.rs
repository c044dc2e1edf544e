//! When which call wants to be asked again. A call has one deadline; most packets move it later,
//! and then nothing is done until the old one comes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// The entry of the heap that counts, for each slot; others are left over.
    armed: Vec<Option<(Instant, u64)>>,
}

impl Deadlines {
    /// A call's deadline, as it is now. `id` tells a slot's calls apart.
    pub(crate) fn arm(&mut self, slot: usize, id: u64, at: Option<Instant>) {
        let Some(at) = at else { return };
        if self.armed.len() <= slot {
            self.armed.resize(slot + 1, None);
        }
        let Some(armed) = self.armed.get_mut(slot) else { return };
        if armed.is_none_or(|(before, owner)| owner != id || at < before) {
            *armed = Some((at, id));
            self.heap.push(Reverse((at, slot, id)));
        }
    }

    pub(crate) fn forget(&mut self, slot: usize) {
        if let Some(armed) = self.armed.get_mut(slot) {
            *armed = None;
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        while let Some(&Reverse((at, slot, id))) = self.heap.peek() {
            if self.counts(at, slot, id) {
                return Some(at);
            }
            self.heap.pop();
        }
        None
    }

    /// The next call whose deadline has come; it has none until it is armed again.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(usize, u64)> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, slot, id)) = self.heap.pop()?;
        self.forget(slot);
        Some((slot, id))
    }

    fn counts(&self, at: Instant, slot: usize, id: u64) -> bool {
        self.armed.get(slot).is_some_and(|armed| *armed == Some((at, id)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_deadline_counts_and_later_ones_wait() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        deadlines.arm(3, 1, Some(at(50)));
        deadlines.arm(3, 1, Some(at(80)));
        deadlines.arm(0, 2, Some(at(20)));
        assert_eq!(deadlines.next(), Some(at(20)));
        deadlines.arm(3, 1, Some(at(10)));
        assert_eq!(deadlines.due(at(5)), None);
        assert_eq!(deadlines.due(at(60)), Some((3, 1)));
        assert_eq!(deadlines.due(at(60)), Some((0, 2)));
        assert_eq!(deadlines.due(at(60)), None, "the entry at 50 ms was replaced");
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn a_slots_next_call_has_its_own_deadline() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        deadlines.arm(0, 1, Some(at(10)));
        deadlines.forget(0);
        deadlines.arm(0, 2, Some(at(90)));
        assert_eq!(deadlines.due(at(50)), None);
        assert_eq!(deadlines.due(at(90)), Some((0, 2)));
    }
}
