//! What a node writes down beside a database that takes no commits: how long each call has talked,
//! so that a process that dies before the database is back has made no call free.
//!
//! A line is `["call in hex", milliseconds, held cents]`, as a sign of life has it. The next start
//! reads them before it looks for what the dead process left; each line may be read twice.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metrics::Counter;
use sautikit_core::ids::CallId;
use sautikit_core::money::Minor;
use sqlx::SqliteConnection;

use super::{Talked, batch, sql};

/// Signs of life beyond this stay away, in bytes: ten minutes of 10,000 live calls. Ends of calls
/// are always written; no call begins without a database, so they end by themselves.
const SIGNS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// So many lines are applied in one transaction.
const APPLIED_AT_ONCE: usize = 1024;

/// The journal of one outage; without a file before the first entry.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// What could not be written yet.
    pending: String,
    written: usize,
    in_use: bool,
    /// The last attempt failed, and was told of.
    failing: bool,
    failures: Counter,
}

impl Journal {
    pub(super) fn at(path: PathBuf) -> Self {
        let failures = metrics::counter!("sautikit_store_journal_failures_total");
        Self { path, pending: String::new(), written: 0, in_use: false, failing: false, failures }
    }

    /// Something was written down that a commit has not made needless yet.
    pub(super) fn is_in_use(&self) -> bool {
        self.in_use
    }

    /// Writes down ends and signs of life, durably once it returns. What fails is kept for the
    /// next time.
    pub(super) async fn record(&mut self, ends: &[Talked], signs: &[Talked]) {
        let size = self.written + self.pending.len();
        let signs = if size < SIGNS_BYTES_MAX { signs } else { &[] };
        for entry in ends.iter().chain(signs) {
            self.pending.push_str(&batch::talked_line(entry));
            self.pending.push('\n');
        }
        if self.pending.is_empty() {
            return;
        }
        self.in_use = true;
        let lines: Arc<str> = std::mem::take(&mut self.pending).into();
        let (path, appended) = (self.path.clone(), Arc::clone(&lines));
        let outcome = tokio::task::spawn_blocking(move || append(&path, &appended)).await;
        match outcome.map_err(io::Error::other).and_then(|appended| appended) {
            Ok(()) => {
                self.written += lines.len();
                self.failing = false;
            }
            Err(error) => {
                self.failures.increment(1);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, path = %self.path.display(),
                        "cannot write the outage journal: free space, or make its directory writable");
                }
                self.pending = lines.as_ref().to_owned();
            }
        }
    }

    /// All of it is committed.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
        self.written = 0;
        self.in_use = false;
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the outage journal stays: remove it");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// An append that broke off leaves half a line: the next one begins a new one.
fn append(path: &Path, lines: &str) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("\n{lines}").as_bytes())?;
    file.sync_data()?;
    if is_new && let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Why a journal could not be applied.
#[derive(Debug)]
pub(crate) enum ReplayError {
    /// The file.
    Io(io::Error),
    /// The database.
    Database(sqlx::Error),
}

/// Applies what the last process wrote down, if it did, and removes it. Gives the number of
/// entries.
pub(crate) async fn replay(
    path: &Path,
    connection: &mut SqliteConnection,
) -> Result<usize, ReplayError> {
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(ReplayError::Io(error)),
    };
    let entries: Vec<Talked> = text.lines().filter_map(read_line).collect();
    for part in entries.chunks(APPLIED_AT_ONCE) {
        sqlx::query(sql::REPLAYED)
            .bind(batch::talked_json(part))
            .execute(&mut *connection)
            .await
            .map_err(ReplayError::Database)?;
    }
    remove(path).map_err(ReplayError::Io)?;
    Ok(entries.len())
}

fn read_line(line: &str) -> Option<Talked> {
    let (call, talked_ms, held): (uuid::Uuid, u64, i64) = serde_json::from_str(line).ok()?;
    Some(Talked { call: CallId::from_uuid(call), talked_ms, held: Minor::new(held) })
}
