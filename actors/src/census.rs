//! How many actors live and how many holds stand: counted where they begin, let go by drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The kinds of actors that come and go with the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connection,
    /// Of a call under way.
    Call,
    /// Of a call that is over, and whose legs answer for 32 s what their peers repeat.
    EndedCall,
    Wallet,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Connection, Self::Call, Self::EndedCall, Self::Wallet];

    /// As the metric names it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Call => "call",
            Self::EndedCall => "ended_call",
            Self::Wallet => "wallet",
        }
    }
}

/// Those of one process.
#[derive(Debug, Default)]
pub(crate) struct Census {
    actors: [Arc<AtomicUsize>; Kind::ALL.len()],
    holds: Arc<AtomicUsize>,
}

/// A share in one of the counts, as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted {
    count: Arc<AtomicUsize>,
    share: usize,
}

impl Census {
    /// Counts an actor until this is dropped.
    pub(crate) fn enter(&self, kind: Kind) -> Counted {
        let mut counted = Counted { count: Arc::clone(self.of(kind)), share: 0 };
        counted.set(1);
        counted
    }

    /// The holds of one wallet: none yet.
    pub(crate) fn holds_of_wallet(&self) -> Counted {
        Counted { count: Arc::clone(&self.holds), share: 0 }
    }

    pub(crate) fn actors(&self, kind: Kind) -> usize {
        self.of(kind).load(Ordering::Relaxed)
    }

    pub(crate) fn holds(&self) -> usize {
        self.holds.load(Ordering::Relaxed)
    }

    fn of(&self, kind: Kind) -> &Arc<AtomicUsize> {
        match kind {
            Kind::Connection => &self.actors[0],
            Kind::Call => &self.actors[1],
            Kind::EndedCall => &self.actors[2],
            Kind::Wallet => &self.actors[3],
        }
    }
}

impl Counted {
    /// Counts for this many from now on.
    pub(crate) fn set(&mut self, share: usize) {
        if share >= self.share {
            self.count.fetch_add(share - self.share, Ordering::Relaxed);
        } else {
            self.count.fetch_sub(self.share - share, Ordering::Relaxed);
        }
        self.share = share;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_counts_no_more() {
        let census = Census::default();
        let (call, other) = (census.enter(Kind::Call), census.enter(Kind::Call));
        let (mut first, mut second) = (census.holds_of_wallet(), census.holds_of_wallet());
        first.set(3);
        second.set(2);
        first.set(1);
        assert_eq!((census.actors(Kind::Call), census.actors(Kind::Wallet)), (2, 0));
        assert_eq!(census.holds(), 3);
        drop((call, first));
        assert_eq!((census.actors(Kind::Call), census.holds()), (1, 2));
        drop((other, second));
        assert_eq!((census.actors(Kind::Call), census.holds()), (0, 0));
    }
}
