//! The loop that commits: take, bind, execute, answer; and what to do when the database does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram};
use sautikit_core::ids::CallId;
use sautikit_core::money::Minor;
use sqlx::AssertSqlSafe;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::time::{sleep, timeout_at};

use super::journal::Journal;
use super::queue::{Batch, Item, Queue};
use super::{Write, Written, batch, sql};
use crate::error::WriteError;
use crate::open::{Place, extended_code, primary_code};

/// The first and the longest wait before a failed commit is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// Those whose patience ends are told in steps of this.
const EXPIRE_EVERY: Duration = Duration::from_millis(20);
/// So many ended calls are cleared away at once.
const CLEAR_AT: usize = 512;
/// A failure that lasts is logged this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);

/// What commits. It wants a runtime with a clock, and to be run where most submitters are: then
/// only the connection's thread is woken for a commit and wakes them after it.
#[must_use = "nothing is committed until it runs"]
pub struct WriterTask {
    task: Task,
    _end: EndOnDrop,
}

impl WriterTask {
    pub(super) fn new(place: Place, connection: SqliteConnection, queue: Arc<Queue>) -> Self {
        let task = Task {
            journal: Journal::at(place.journal()),
            place,
            connection: Some(connection),
            queue: Arc::clone(&queue),
            back_off: BACK_OFF.0,
            complained: None,
            ended: Vec::new(),
            measures: Measures::new(),
        };
        Self { task, _end: EndOnDrop(queue) }
    }

    /// Runs until the queue is closed and empty. If it panics or is dropped, waiters are told.
    pub async fn run(self) {
        let Self { mut task, _end } = self;
        while let Some(batch) = task.queue.next().await {
            task.commit(batch).await;
            task.clear_ended(CLEAR_AT).await;
            task.queue.settle();
            task.clear_journal();
            task.measures.queue_items.set(task.queue.len() as f64);
            task.wait_for_the_database().await;
        }
        task.clear_ended(1).await;
        if let Some(connection) = task.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the writer's connection did not close cleanly");
        }
    }
}

impl std::fmt::Debug for WriterTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriterTask").finish_non_exhaustive()
    }
}

struct EndOnDrop(Arc<Queue>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Measures {
    commit_seconds: Histogram,
    commit_items: Histogram,
    queue_items: Gauge,
    retries: Counter,
}

impl Measures {
    fn new() -> Self {
        Self {
            commit_seconds: metrics::histogram!("sautikit_store_commit_seconds"),
            commit_items: metrics::histogram!("sautikit_store_commit_items"),
            queue_items: metrics::gauge!("sautikit_store_queue_items"),
            retries: metrics::counter!("sautikit_store_retries_total"),
        }
    }
}

struct Task {
    place: Place,
    journal: Journal,
    /// Gone after a failure that is not a lock's.
    connection: Option<SqliteConnection>,
    queue: Arc<Queue>,
    back_off: Duration,
    complained: Option<Instant>,
    /// Ended calls whose holds are still to be cleared away.
    ended: Vec<CallId>,
    measures: Measures,
}

/// What one execution came to.
enum Outcome {
    /// Durable.
    Done,
    /// The item's own fault: it would fail again, others would not.
    Refused(Refusal),
    /// The database's: everything would fail now, and may succeed later.
    Failed(sqlx::Error),
}

enum Refusal {
    /// The ledger has the debit's key.
    Exists,
    Error(WriteError),
}

impl Task {
    /// Commits a batch, or puts what is left of it back and waits a little.
    async fn commit(&mut self, batch: Batch) {
        let Batch { writes, reads } = batch;
        // What is still to be done, last first; halved where an item is refused, to find it.
        let mut parts = vec![writes];
        while let Some(mut part) = parts.pop() {
            part.retain(|item| !item.given_up);
            if part.is_empty() {
                continue;
            }
            match self.execute(&mut part).await {
                Outcome::Done => self.done(part),
                Outcome::Refused(refusal) if part.len() == 1 => {
                    let refusal = self.look_again(&part[0].write, refusal).await;
                    refuse(part, refusal);
                }
                Outcome::Refused(_) => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
                Outcome::Failed(error) => {
                    parts.push(part);
                    let writes = parts.into_iter().rev().flatten().collect();
                    return self.try_later(Batch { writes, reads }, &error).await;
                }
            }
        }
        if let Err((reads, error)) = self.read(reads).await {
            self.try_later(Batch { writes: Vec::new(), reads }, &error).await;
        }
    }

    /// The balance is checked before anything else, so a debit that is there already, or whose
    /// workspace is not, may look like an overdraft at first.
    async fn look_again(&mut self, write: &Write, refusal: Refusal) -> Refusal {
        let (Write::Close { call, debit: Some(debit), .. }, Refusal::Error(WriteError::Overdraft)) =
            (write, &refusal)
        else {
            return refusal;
        };
        let Ok(mut connection) = self.take_connection().await else { return refusal };
        let found = sqlx::query_as::<_, (bool, bool)>(sql::LOOK_AGAIN)
            .bind(call.workspace.as_uuid())
            .bind(&debit.idempotency_key)
            .fetch_one(&mut connection)
            .await;
        self.keep(connection, found.as_ref().err());
        match found {
            Ok((true, true)) => Refusal::Exists,
            Ok((false, _)) => Refusal::Error(WriteError::UnknownWorkspace),
            _ => refusal,
        }
    }

    fn done(&mut self, part: Vec<Item>) {
        self.back_off = BACK_OFF.0;
        self.queue.set_failing(false);
        for mut item in part {
            if let Write::Close { call, .. } = &item.write {
                self.ended.push(call.id);
            }
            let posted = matches!(item.write, Write::Close { debit: Some(_), .. });
            item.resolve(Ok(if posted { Written::Posted } else { Written::Done }));
        }
    }

    /// One statement, one transaction, one fsync.
    async fn execute(&mut self, part: &mut [Item]) -> Outcome {
        let begun = Instant::now();
        let mut connection = match self.take_connection().await {
            Ok(connection) => connection,
            Err(error) => return Outcome::Failed(error),
        };
        let (statement, arguments) = match &*part {
            [Item { write: Write::Talked(signs), .. }] => {
                let mut arguments = sqlx::sqlite::SqliteArguments::default();
                // Text always binds.
                let _ = sqlx::Arguments::add(&mut arguments, batch::talked_json(signs));
                (sqlx::SqlSafeStr::into_sql_str(sql::TALKED), arguments)
            }
            calls => match batch::rows_of(calls) {
                Ok(rows) => {
                    (sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(rows.sql)), rows.arguments)
                }
                Err(error) => {
                    self.connection = Some(connection);
                    let reason = error.to_string();
                    return Outcome::Refused(Refusal::Error(WriteError::Refused(reason)));
                }
            },
        };
        let outcome = {
            let execution = sqlx::query_with(statement, arguments).execute(&mut connection);
            self.attend(execution, part).await
        };
        self.keep(connection, outcome.as_ref().err());
        match outcome {
            Ok(_) => {
                self.measures.commit_seconds.record(begun.elapsed());
                self.measures.commit_items.record(part.len() as f64);
                Outcome::Done
            }
            Err(error) => judge(error),
        }
    }

    /// Waits for the database, telling those whose patience ends meanwhile.
    async fn attend<T>(&self, execution: impl Future<Output = T>, part: &mut [Item]) -> T {
        let mut execution = std::pin::pin!(execution);
        loop {
            let queued = self.queue.next_expiry();
            let next = part.iter().filter(|item| !item.given_up).filter_map(Item::expires_at);
            let Some(expiry) = next.chain(queued).min() else { return execution.await };
            // Looked at in steps: each look goes through the queue.
            let expiry = expiry.max(Instant::now() + EXPIRE_EVERY);
            if let Ok(outcome) = timeout_at(expiry.into(), &mut execution).await {
                return outcome;
            }
            let now = Instant::now();
            part.iter_mut().for_each(|item| item.expire(now));
            self.queue.expire(now);
        }
    }

    /// The balances that come after everything submitted before.
    async fn read(&mut self, mut reads: Vec<Item>) -> Result<(), (Vec<Item>, sqlx::Error)> {
        while let Some(mut item) = reads.pop() {
            let Write::Read(workspace) = item.write else { continue };
            if item.given_up {
                continue;
            }
            let balance = match self.take_connection().await {
                Ok(mut connection) => {
                    let query = sqlx::query_scalar::<_, i64>(sql::BALANCE)
                        .bind(workspace.as_uuid())
                        .fetch_optional(&mut connection);
                    let balance = self.attend(query, std::slice::from_mut(&mut item)).await;
                    self.keep(connection, balance.as_ref().err());
                    balance
                }
                Err(error) => Err(error),
            };
            match balance {
                Ok(Some(balance)) => item.resolve(Ok(Written::Balance(Minor::new(balance)))),
                Ok(None) => item.resolve(Err(WriteError::UnknownWorkspace)),
                Err(error) => {
                    reads.push(item);
                    return Err((reads, error));
                }
            }
        }
        Ok(())
    }

    /// Clears what ended calls left, once they are so many. Rows that stay do no harm: the next
    /// start clears them.
    async fn clear_ended(&mut self, at: usize) {
        if self.ended.len() < at {
            return;
        }
        let Ok(mut connection) = self.take_connection().await else { return };
        let cleared = sqlx::query(sql::CLEAR)
            .bind(batch::ids_json(&self.ended))
            .execute(&mut connection)
            .await;
        self.ended.clear();
        if let Err(error) = &cleared {
            tracing::warn!(%error, "ended calls were not cleared away");
        }
        self.keep(connection, cleared.as_ref().err());
    }

    /// Puts a batch back in front of the queue and waits, longer each time.
    async fn try_later(&mut self, batch: Batch, error: &sqlx::Error) {
        let now = Instant::now();
        self.queue.set_failing(true);
        self.measures.retries.increment(1);
        if self.complained.is_none_or(|last| now - last >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            tracing::error!(%error, waiting = self.queue.len(), "cannot commit, trying again");
        }
        self.queue.restore(batch);
        let (ends, signs) = self.queue.to_journal();
        self.journal.record(&ends, &signs).await;
        self.queue.expire(now);
        sleep(self.back_off).await;
        self.queue.expire(Instant::now());
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
    }

    /// Removes the journal once everything in it is in the database.
    fn clear_journal(&mut self) {
        if self.journal.is_in_use() && !self.queue.is_failing() && self.queue.is_past_the_journal()
        {
            self.journal.clear();
        }
    }

    /// After a failure whose items were all given up: asks for the lock until it is to be had, so
    /// that what waits for it to be over ([`super::Writer::is_failing`]) need not write to find out.
    async fn wait_for_the_database(&mut self) {
        while self.queue.is_failing() && self.queue.is_idle() {
            sleep(self.back_off).await;
            let Ok(mut connection) = self.take_connection().await else { continue };
            let asked = sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await;
            self.keep(connection, asked.as_ref().err());
            self.queue.set_failing(asked.is_err());
        }
    }

    async fn take_connection(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.place.reconnect_writer().await,
        }
    }

    /// Keeps the connection, unless it failed by more than a lock or a refusal.
    fn keep(&mut self, connection: SqliteConnection, error: Option<&sqlx::Error>) {
        let sound = error.is_none_or(|error| {
            // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_CONSTRAINT
            matches!(primary_code(error), Some(5 | 6 | 19))
        });
        if sound {
            self.connection = Some(connection);
        }
    }
}

fn refuse(part: Vec<Item>, refusal: Refusal) {
    for mut item in part {
        match &refusal {
            Refusal::Exists => item.resolve(Ok(Written::Exists)),
            Refusal::Error(error) => {
                metrics::counter!("sautikit_store_refused_total").increment(1);
                tracing::error!(%error, "a write was refused: {}", name_of(&item.write));
                item.resolve(Err(error.clone()));
            }
        }
    }
}

/// What and whose it was, without personal data.
fn name_of(write: &Write) -> String {
    match write {
        Write::Call { call, .. } => format!("call {}", call.id),
        Write::Answer { call, .. } => format!("answer of call {}", call.id),
        Write::Close { call, .. } => format!("close of call {}", call.id),
        Write::Talked(signs) => format!("sign of life of {} calls", signs.len()),
        Write::Read(workspace) => format!("balance of {workspace}"),
    }
}

/// Whose fault a failure is. Only what a constraint or a type says is the item's: for anything
/// else a debit stays queued.
fn judge(error: sqlx::Error) -> Outcome {
    let message = error.as_database_error().map(|error| error.message().to_owned());
    let message = message.unwrap_or_default();
    let refusal = match extended_code(&error) {
        // SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY
        Some(2067 | 1555) if message.contains("ledger.idempotency_key") => Refusal::Exists,
        // SQLITE_CONSTRAINT_CHECK
        Some(275) if message.contains("ledger_balance_not_negative") => {
            Refusal::Error(WriteError::Overdraft)
        }
        // SQLITE_CONSTRAINT_FOREIGNKEY: every reference is to a workspace.
        Some(787) => Refusal::Error(WriteError::UnknownWorkspace),
        // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH
        Some(code) if matches!(code & 0xff, 18..=20) => {
            Refusal::Error(WriteError::Refused(message))
        }
        _ => return Outcome::Failed(error),
    };
    Outcome::Refused(refusal)
}
