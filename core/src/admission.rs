//! Who may start something now: counters per workspace and per client address, as plain values.
//! Whoever was let in says when he left; the shell ties that to a permit that is released by drop.

mod address;

pub use address::{Address, AddressGate};

use crate::bucket::TokenBucket;
use crate::cause::Refusal;
use crate::ids::WorkspaceId;
use crate::limits::Limits;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A table is swept of idle rows when it has grown to this, and then whenever it has doubled.
const SWEEP_AT_LEAST: usize = 1_024;
/// But not more often than this, so that a full table does not cost a sweep for each stranger.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Workspaces with calls, or with calls a moment ago, on one node.
const WORKSPACES_MAX: usize = 1_000_000;

/// The calls of a node.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    calls: u32,
    workspaces: Table<WorkspaceId, Calls>,
}

/// The calls of a workspace.
#[derive(Debug)]
struct Calls {
    present: u32,
    starts: TokenBucket,
}

impl Admission {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, calls: 0, workspaces: Table::new(WORKSPACES_MAX) }
    }

    /// Counts one more call in. A refused one takes nothing, neither a place nor a token of the
    /// rate, so whoever is over one limit does not use another one up.
    ///
    /// # Errors
    /// The first limit that is reached: the node's calls, the workspace's calls at once, its new
    /// calls a second (with as large a burst).
    pub fn begin(&mut self, workspace: WorkspaceId, now: Instant) -> Result<(), Refusal> {
        if !self.limits.calls_max.allows_one_more(self.calls) {
            return Err(Refusal::Overloaded);
        }
        let per_second = self.limits.calls_per_second_per_workspace;
        let row = self.workspaces.entry(
            workspace,
            now,
            || Calls { present: 0, starts: TokenBucket::of(per_second, 1) },
            |calls| calls.present == 0 && calls.starts.is_full(now),
        );
        let own = row.ok_or(Refusal::Overloaded)?;
        if !self.limits.calls_per_workspace.allows_one_more(own.present) {
            return Err(Refusal::CallsLimitReached);
        }
        if !own.starts.take(now) {
            return Err(Refusal::CallsRateLimited);
        }
        own.present = own.present.saturating_add(1);
        self.calls = self.calls.saturating_add(1);
        Ok(())
    }

    /// Counts a call out that [`Admission::begin`] let in.
    pub fn end(&mut self, workspace: WorkspaceId) {
        let Some(own) = self.workspaces.rows.get_mut(&workspace) else {
            return;
        };
        if own.present > 0 {
            own.present -= 1;
            self.calls -= 1;
        }
    }

    /// Calls of the node.
    #[must_use]
    pub const fn calls(&self) -> u32 {
        self.calls
    }

    /// Calls of one workspace.
    #[must_use]
    pub fn calls_of(&self, workspace: WorkspaceId) -> u32 {
        self.workspaces.rows.get(&workspace).map_or(0, |calls| calls.present)
    }

    /// Puts other limits in force for what starts from now on; nothing that lives is ended.
    pub fn set_limits(&mut self, limits: Limits) {
        if limits.calls_per_second_per_workspace != self.limits.calls_per_second_per_workspace {
            for calls in self.workspaces.rows.values_mut() {
                calls.starts = TokenBucket::of(limits.calls_per_second_per_workspace, 1);
            }
        }
        self.limits = limits;
    }
}

/// Rows that appear on demand and are forgotten when they are as good as new.
#[derive(Debug)]
struct Table<K, V> {
    rows: HashMap<K, V>,
    rows_max: usize,
    sweep_at: usize,
    swept: Option<Instant>,
}

impl<K: Eq + Hash, V> Table<K, V> {
    fn new(rows_max: usize) -> Self {
        Self { rows: HashMap::new(), rows_max, sweep_at: SWEEP_AT_LEAST, swept: None }
    }

    /// The row of `key`, made where it is new; `None` where the table is full of busy ones.
    fn entry(
        &mut self,
        key: K,
        now: Instant,
        new: impl FnOnce() -> V,
        is_idle: impl Fn(&V) -> bool,
    ) -> Option<&mut V> {
        if self.rows.len() >= self.sweep_at && !self.rows.contains_key(&key) {
            self.sweep(now, is_idle);
            if self.rows.len() >= self.rows_max {
                return None;
            }
        }
        Some(self.rows.entry(key).or_insert_with(new))
    }

    fn sweep(&mut self, now: Instant, is_idle: impl Fn(&V) -> bool) {
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.rows.retain(|_, row| !is_idle(row));
        self.sweep_at = (self.rows.len() * 2).clamp(SWEEP_AT_LEAST, self.rows_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Cap;
    use crate::testing::epoch;

    fn workspace(number: u64) -> WorkspaceId {
        WorkspaceId::from_parts(number, [0; 10])
    }

    fn limits(node: u32, at_once: u32, per_second: u32) -> Limits {
        Limits {
            calls_max: Cap::new(node),
            calls_per_workspace: Cap::new(at_once),
            calls_per_second_per_workspace: Cap::new(per_second),
            ..Limits::DEFAULT
        }
    }

    #[test]
    fn no_more_calls_at_once_than_the_workspace_may_have() {
        let now = epoch();
        let mut admission = Admission::new(limits(0, 2, 0));
        let granted = (0..10).filter(|_| admission.begin(workspace(1), now).is_ok()).count();
        assert_eq!(granted, 2);
        assert_eq!(admission.begin(workspace(1), now), Err(Refusal::CallsLimitReached));
        assert_eq!(admission.begin(workspace(2), now), Ok(()));
        admission.end(workspace(1));
        assert_eq!(admission.begin(workspace(1), now), Ok(()));
        assert_eq!((admission.calls(), admission.calls_of(workspace(1))), (3, 2));
    }

    #[test]
    fn no_more_calls_than_the_node_carries() {
        let now = epoch();
        let mut admission = Admission::new(limits(2, 0, 0));
        assert_eq!(admission.begin(workspace(1), now), Ok(()));
        assert_eq!(admission.begin(workspace(2), now), Ok(()));
        assert_eq!(admission.begin(workspace(3), now), Err(Refusal::Overloaded));
        admission.end(workspace(1));
        assert_eq!(admission.begin(workspace(3), now), Ok(()));
    }

    #[test]
    fn new_calls_come_no_faster_than_the_rate_after_its_burst() {
        let start = epoch();
        let mut admission = Admission::new(limits(0, 0, 20));
        let granted = (0..100).filter(|_| admission.begin(workspace(1), start).is_ok()).count();
        assert_eq!(granted, 20);
        assert_eq!(admission.begin(workspace(1), start), Err(Refusal::CallsRateLimited));
        let later = start + Duration::from_millis(50);
        assert_eq!(admission.begin(workspace(1), later), Ok(()));
        assert_eq!(admission.begin(workspace(1), later), Err(Refusal::CallsRateLimited));
    }

    #[test]
    fn a_refused_call_uses_nothing_up() {
        let now = epoch();
        let mut admission = Admission::new(limits(0, 1, 2));
        assert_eq!(admission.begin(workspace(1), now), Ok(()));
        for _ in 0..10 {
            assert_eq!(admission.begin(workspace(1), now), Err(Refusal::CallsLimitReached));
        }
        admission.end(workspace(1));
        assert_eq!(admission.begin(workspace(1), now), Ok(()));
    }

    #[test]
    fn a_call_that_never_began_cannot_end() {
        let mut admission = Admission::new(limits(0, 0, 0));
        admission.end(workspace(1));
        assert_eq!(admission.begin(workspace(1), epoch()), Ok(()));
        admission.end(workspace(1));
        admission.end(workspace(1));
        assert_eq!((admission.calls(), admission.calls_of(workspace(1))), (0, 0));
    }

    #[test]
    fn idle_workspaces_are_forgotten_and_busy_ones_are_not() {
        let start = epoch();
        let mut admission = Admission::new(limits(0, 0, 20));
        assert_eq!(admission.begin(workspace(0), start), Ok(()));
        for number in 1..10_000 {
            let now = start + Duration::from_millis(number);
            assert_eq!(admission.begin(workspace(number), now), Ok(()));
            admission.end(workspace(number));
        }
        assert!(admission.workspaces.rows.len() <= 2 * SWEEP_AT_LEAST);
        assert_eq!((admission.calls(), admission.calls_of(workspace(0))), (1, 1));
    }

    #[test]
    fn new_limits_end_nothing_that_lives() {
        let now = epoch();
        let mut admission = Admission::new(limits(0, 0, 0));
        for _ in 0..5 {
            assert_eq!(admission.begin(workspace(1), now), Ok(()));
        }
        admission.set_limits(limits(0, 2, 1));
        assert_eq!(admission.calls(), 5);
        assert_eq!(admission.begin(workspace(1), now), Err(Refusal::CallsLimitReached));
        for _ in 0..4 {
            admission.end(workspace(1));
        }
        assert_eq!(admission.begin(workspace(1), now), Ok(()));
    }
}
