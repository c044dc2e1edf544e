//! What waits for its commit, in the order it was submitted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout_at;

use super::{ANSWER_PATIENCE, Talked, Urgency, Write, Written, sql};
use crate::error::WriteError;

/// While items come, the writer looks at the clock this often by itself, so that those who are in
/// no hurry need not wake it.
const LOOK_EVERY: Duration = Urgency::Soon.patience();

/// A submitted write and who waits for it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) write: Write,
    pub(super) waiter: Option<oneshot::Sender<Result<Written, WriteError>>>,
    pub(super) submitted: Instant,
    /// Its waiter was told that it failed: it must not be tried again.
    pub(super) given_up: bool,
    /// It stands in the outage journal.
    pub(super) journaled: bool,
}

impl Item {
    pub(super) fn resolve(&mut self, outcome: Result<Written, WriteError>) {
        if let Some(waiter) = self.waiter.take() {
            // Nobody waits any more: what is done stays done.
            let _ = waiter.send(outcome);
        }
    }

    /// Gives it up if it is one that may be, and has waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        if !self.given_up && self.expires_at().is_some_and(|at| at <= now) {
            self.given_up = true;
            self.resolve(Err(WriteError::Unavailable));
        }
    }

    /// When it is given up; `None` for what stays queued whatever happens.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        match self.write {
            Write::Answer { .. } | Write::Read(_) => Some(self.submitted + ANSWER_PATIENCE),
            Write::Call { .. } | Write::Close { .. } | Write::Talked(_) => None,
        }
    }
}

/// What is committed next, in one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Calls' items, or one `Talked` alone.
    pub(super) writes: Vec<Item>,
    /// Reads that come after all of `writes` and before everything else.
    pub(super) reads: Vec<Item>,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the writer.
    wake: Notify,
    /// Wakes who waits for the writer's end.
    ended: Notify,
    items_max: usize,
    /// The last attempt to commit failed by the database's fault.
    failing: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// Taken by the writer and not settled yet.
    in_hand: usize,
    /// When the most urgent item wants its commit.
    due: Option<Instant>,
    /// The writer sleeps without a clock: the first item must wake it.
    parked: bool,
    closed: bool,
    ended: bool,
}

impl Queue {
    pub(super) fn new(items_max: usize) -> Self {
        let state = Mutex::default();
        Self {
            state,
            wake: Notify::new(),
            ended: Notify::new(),
            items_max,
            failing: AtomicBool::new(false),
        }
    }

    /// A panic while the lock was held can only have come from an allocation, between whole steps.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(
        &self,
        write: Write,
        urgency: Urgency,
        waiter: Option<oneshot::Sender<Result<Written, WriteError>>>,
    ) -> Result<(), WriteError> {
        let submitted = Instant::now();
        let due = submitted + urgency.patience();
        let wake = {
            let mut state = self.state();
            if state.closed {
                return Err(WriteError::Stopped);
            }
            if state.items.len() >= self.room_for(&write) {
                metrics::counter!("sautikit_store_queue_full_total").increment(1);
                return Err(WriteError::QueueFull);
            }
            if matches!(write, Write::Talked(_)) && self.is_failing() {
                state.outdate_signs();
            }
            state.items.push_back(Item {
                write,
                waiter,
                submitted,
                given_up: false,
                journaled: false,
            });
            if state.due.is_none_or(|earlier| due < earlier) {
                state.due = Some(due);
            }
            urgency == Urgency::Now || std::mem::take(&mut state.parked)
        };
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// The last quarter of the queue is for closes: they are money, and calls that cannot be
    /// answered now are refused anyway.
    fn room_for(&self, write: &Write) -> usize {
        match write {
            Write::Close { .. } => self.items_max,
            _ => self.items_max - self.items_max / 4,
        }
    }

    pub(super) fn len(&self) -> usize {
        let state = self.state();
        state.items.len() + state.in_hand
    }

    /// What was taken is committed, or back in the queue.
    pub(super) fn settle(&self) {
        self.state().in_hand = 0;
    }

    /// Nothing waits, and the writer has not been told to end.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.items.is_empty() && !state.closed
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }

    /// Waits until something is due and takes what is queued; `None` once closed and empty.
    pub(super) async fn next(&self) -> Option<Batch> {
        let mut idle = false;
        loop {
            let look_at = {
                let mut state = self.state();
                state.in_hand = 0;
                let now = Instant::now();
                match state.due {
                    Some(due) if due <= now || state.closed => {
                        let batch = state.take();
                        state.in_hand = batch.writes.len() + batch.reads.len();
                        return Some(batch);
                    }
                    Some(due) => Some(due.min(now + LOOK_EVERY)),
                    None if state.closed => return None,
                    None if idle => {
                        state.parked = true;
                        None
                    }
                    None => Some(now + LOOK_EVERY),
                }
            };
            match look_at {
                Some(at) => idle = timeout_at(at.into(), self.wake.notified()).await.is_err(),
                None => self.wake.notified().await,
            }
        }
    }

    /// Puts a batch that could not be committed back in front.
    pub(super) fn restore(&self, batch: Batch) {
        let mut state = self.state();
        state.in_hand = 0;
        let items = batch.writes.into_iter().chain(batch.reads);
        for item in items.rev().filter(|item| !item.given_up) {
            state.items.push_front(item);
        }
        state.due = if state.items.is_empty() { None } else { Some(Instant::now()) };
    }

    /// What must be written down while the database takes nothing, each once: how long the calls
    /// talked that have ended, and how long live ones have so far.
    pub(super) fn to_journal(&self) -> (Vec<Talked>, Vec<Talked>) {
        let (mut ends, mut signs) = (Vec::new(), Vec::new());
        for item in self.state().items.iter_mut().filter(|item| !item.journaled) {
            match &item.write {
                Write::Close { call, debit: Some(debit), .. } => ends.push(Talked {
                    call: call.id,
                    talked_ms: u64::from(call.duration_seconds.unwrap_or(0)) * 1000,
                    held: debit.amount,
                }),
                Write::Talked(live) => signs.extend_from_slice(live),
                _ => continue,
            }
            item.journaled = true;
        }
        (ends, signs)
    }

    /// Nothing waits that stands in the journal.
    pub(super) fn is_past_the_journal(&self) -> bool {
        self.state().items.iter().all(|item| !item.journaled)
    }

    /// Tells those who have waited too long.
    pub(super) fn expire(&self, now: Instant) {
        let mut state = self.state();
        for item in &mut state.items {
            item.expire(now);
        }
        state.items.retain(|item| !item.given_up);
        if state.items.is_empty() {
            state.due = None;
        }
    }

    /// When the next of the queued is given up.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        // All have the same patience, so the first in the queue is the first to lose it.
        self.state().items.iter().find_map(Item::expires_at)
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }

    /// The writer has ended: what is queued is told so.
    pub(super) fn end(&self) {
        let left = {
            let mut state = self.state();
            state.closed = true;
            state.ended = true;
            std::mem::take(&mut state.items)
        };
        for mut item in left {
            item.resolve(Err(WriteError::Stopped));
        }
        self.ended.notify_waiters();
    }

    pub(super) async fn finished(&self) {
        loop {
            let ended = self.ended.notified();
            if self.state().ended {
                return;
            }
            ended.await;
        }
    }
}

impl State {
    /// A sign of life is outdated by the next one: in an outage only the newest waits.
    fn outdate_signs(&mut self) {
        let is_sign = |item: &Item| matches!(item.write, Write::Talked(_));
        for item in self.items.iter_mut().filter(|item| is_sign(item)) {
            item.resolve(Err(WriteError::Unavailable));
        }
        self.items.retain(|item| !is_sign(item));
    }

    /// Takes from the front what may be in one commit. A read closes it: nothing that was
    /// submitted after a read may be in the balance that it sees.
    fn take(&mut self) -> Batch {
        let mut batch = Batch::default();
        while let Some(item) = self.items.front() {
            let fits = match (&item.write, batch.writes.first().map(|first| &first.write)) {
                (Write::Read(_), _) | (_, None) => true,
                (Write::Talked(_), _) | (_, Some(Write::Talked(_))) => false,
                _ => batch.writes.len() < sql::ROWS_MAX,
            };
            let read = matches!(item.write, Write::Read(_));
            if !fits || (!read && !batch.reads.is_empty()) {
                break;
            }
            let Some(item) = self.items.pop_front() else { break };
            if read { batch.reads.push(item) } else { batch.writes.push(item) }
        }
        // What was left behind has waited for this commit already: it goes with the next one.
        self.due = if self.items.is_empty() { None } else { Some(Instant::now()) };
        batch
    }
}
