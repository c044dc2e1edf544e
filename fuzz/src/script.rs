//! A sequence of events read from bytes, and the virtual time in which it runs.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Deals out what happens next; when its bytes end, nothing more happens.
#[derive(Clone, Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte; `None` at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A number below `bound`; 0 after the end.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte().unwrap_or(0)) % bound
    }

    /// One of them; the first after the end.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// In one of `of` cases; never after the end.
    pub fn one_in(&mut self, of: u8) -> bool {
        self.byte().is_some_and(|byte| byte % of == of - 1)
    }

    /// Up to `length` bytes as they are.
    pub fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Where time begins: the same for all runs of a process, so that a run depends on its bytes alone.
pub fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// The next moment: where a timer is due, just before or after, or a pause of the usual lengths.
pub fn later(script: &mut Script<'_>, now: Instant, due: Option<Instant>) -> Instant {
    const PAUSES_MS: [u64; 12] =
        [0, 1, 20, 199, 499, 500, 1500, 4000, 5000, 31_999, 32_000, 181_000];
    let kind = script.below(PAUSES_MS.len() + 4);
    let due = due.unwrap_or(now).max(now);
    match PAUSES_MS.get(kind) {
        Some(pause) => now + Duration::from_millis(*pause),
        None if kind == PAUSES_MS.len() => due + Duration::from_millis(1),
        None => due,
    }
}
