//! The node's one writer: takes what all calls submitted and commits it in one transaction.
//!
//! Submitting never waits. What was queued while the last commit ran is the next batch, so a node
//! under load commits more per fsync instead of falling behind. Every item is answered after its
//! commit; an item that the database refuses fails alone.

mod batch;
pub(crate) mod journal;
mod queue;
mod sql;
mod task;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sautikit_core::ids::{CallId, EntryId, WorkspaceId};
use sautikit_core::money::Minor;
use tokio::sync::oneshot;

use crate::call::{CallEvent, CallRow};
use crate::error::{OpenError, WriteError};
use queue::Queue;
pub use task::WriterTask;

/// How many items may wait, the last quarter of them closes. At 1,000 calls/s this is a minute of
/// outage; after that `submit` says so at once.
pub const QUEUE_MAX: usize = 65_536;

/// How long an answer or a read may wait for the database; then its caller is told.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// How soon an item must be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// At once, with whatever is queued: somebody waits for it.
    Now,
    /// With the next commit, 25 ms at most.
    Soon,
    /// With the next commit, 250 ms at most.
    Lazy,
}

impl Urgency {
    /// The longest that an item of this urgency waits for company.
    pub const fn patience(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Soon => Duration::from_millis(25),
            Self::Lazy => Duration::from_millis(250),
        }
    }
}

/// The one debit of an answered call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debit {
    /// Made before the first attempt.
    pub entry: EntryId,
    /// What is taken, in cents: 0 or more. The ledger's amount is its negative.
    pub amount: Minor,
    /// `<call id>:debit`; the ledger takes each key of a workspace once.
    pub idempotency_key: String,
    /// What the customer reads in the statement.
    pub description: String,
}

/// How far a live call has come: what a dead node leaves to bill by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Talked {
    /// The call.
    pub call: CallId,
    /// Milliseconds since the answer, by the monotonic clock.
    pub talked_ms: u64,
    /// What is held now, in cents; never less than the talked time costs.
    pub held: Minor,
}

/// One thing to write. All of it happens, or none.
#[derive(Debug, Clone)]
pub enum Write {
    /// A call began or changed: its row as it is now, and its new events.
    Call {
        /// Written whole; of several in one batch only the newest is.
        call: Box<CallRow>,
        /// Appended; those already there are left alone.
        events: Vec<CallEvent>,
    },
    /// A call was answered: the row and its hold are durable before the caller hears of it.
    Answer {
        /// With its rate and `answered_at`; its `held` is the whole hold.
        call: Box<CallRow>,
        /// What a BYE to the other side needs after a restart, as JSON.
        dialog: String,
        /// Appended.
        events: Vec<CallEvent>,
    },
    /// A call is over: closes its row and its hold, and posts its debit.
    Close {
        /// The final row; inserted whole if the call was never written before.
        call: Box<CallRow>,
        /// One for an answered call, none for an unanswered one.
        debit: Option<Debit>,
        /// Appended.
        events: Vec<CallEvent>,
    },
    /// The sign of life of all live calls of the node, every five seconds. A transaction of its own.
    Talked(Vec<Talked>),
    /// The balance after all earlier submissions and before all later ones.
    Read(WorkspaceId),
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Committed; nothing was posted.
    Done,
    /// A close with its debit was committed.
    Posted,
    /// The debit was in the ledger before: nothing was changed.
    Exists,
    /// The answer to a read, in cents.
    Balance(Minor),
}

/// Submits to the node's writer, from any thread. Cheap to clone; the writer ends, with everything
/// committed, after [`Writer::shut_down`] or the drop of the last clone.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: Arc<Door>,
}

/// Closes the queue when nobody is left who could submit.
#[derive(Debug)]
struct Door(Arc<Queue>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Writer {
    /// Opens the writing connection. Nothing is committed before the task runs.
    pub(crate) async fn open(place: &crate::open::Place) -> Result<(Self, WriterTask), OpenError> {
        let mut connection = place.connect_writer().await?;
        let cleared = sqlx::query(sql::CLEAR_ALL).execute(&mut connection).await;
        cleared.map_err(|error| place.explain(&error))?;
        let queue = Arc::new(Queue::new(QUEUE_MAX));
        let task = WriterTask::new(place.clone(), connection, Arc::clone(&queue));
        Ok((Self { queue: Arc::new(Door(queue)) }, task))
    }

    /// Queues an item; the receipt resolves after its commit. Never waits: a full queue resolves
    /// the receipt with [`WriteError::QueueFull`] at once.
    ///
    /// Dropping the receipt takes nothing back.
    pub fn submit(&self, write: Write, urgency: Urgency) -> Receipt {
        let (sender, receiver) = oneshot::channel();
        match self.queue.0.push(write, urgency, Some(sender)) {
            Ok(()) => Receipt(Answer::Waiting(receiver)),
            Err(error) => Receipt(Answer::Refused(Some(error))),
        }
    }

    /// Queues an item whose outcome nobody waits for. A failure is logged and counted.
    pub fn submit_unwatched(&self, write: Write, urgency: Urgency) -> Result<(), WriteError> {
        self.queue.0.push(write, urgency, None)
    }

    /// How many items wait for their commit.
    pub fn waiting(&self) -> usize {
        self.queue.0.len()
    }

    /// The database takes no commits now: an answer would wait for two seconds and fail. Known from
    /// the last attempt, and over as soon as the database is back.
    pub fn is_failing(&self) -> bool {
        self.queue.0.is_failing()
    }

    /// Takes no more, commits what is queued, and returns when that is done. With the database
    /// away this lasts until it is back: bound it by a timeout.
    pub async fn shut_down(&self) {
        self.queue.0.close();
        self.queue.0.finished().await;
    }
}

/// Resolves to what became of a submitted item.
#[derive(Debug)]
#[must_use = "an item's failure is only told here; `submit_unwatched` is for those that do not care"]
pub struct Receipt(Answer);

#[derive(Debug)]
enum Answer {
    Waiting(oneshot::Receiver<Result<Written, WriteError>>),
    Refused(Option<WriteError>),
}

impl Future for Receipt {
    type Output = Result<Written, WriteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Answer::Waiting(receiver) => {
                Pin::new(receiver).poll(cx).map(|answer| answer.unwrap_or(Err(WriteError::Stopped)))
            }
            Answer::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(WriteError::Stopped))),
        }
    }
}
