//! What a node writes down beside a database that takes no commits: how long each call has talked,
//! so that a process that dies before the database is back has made no call free.
//!
//! A line is `["call in hex", milliseconds, held cents]`, as a sign of life has it, and `true` at its
//! end where it is the call's: that one counts, whatever other lines say. The next start
//! reads them before it looks for what the dead process left; each line may be read twice.

use std::collections::HashMap;
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
        let ends = ends.iter().map(|end| (end, true));
        for (entry, is_end) in ends.chain(signs.iter().map(|sign| (sign, false))) {
            self.pending.push_str(&batch::journal_line(entry, is_end));
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
    let entries = what_counts(text.lines().filter_map(read_line));
    for part in entries.chunks(APPLIED_AT_ONCE) {
        sqlx::query(sql::REPLAYED)
            .bind(batch::journal_json(part))
            .execute(&mut *connection)
            .await
            .map_err(ReplayError::Database)?;
    }
    remove(path).map_err(ReplayError::Io)?;
    Ok(entries.len())
}

/// The shape of a line, with and without its last member.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Line {
    End(uuid::Uuid, u64, i64, bool),
    Sign(uuid::Uuid, u64, i64),
}

fn read_line(line: &str) -> Option<(Talked, bool)> {
    let (call, talked_ms, held, is_end) = match serde_json::from_str(line).ok()? {
        Line::End(call, talked_ms, held, is_end) => (call, talked_ms, held, is_end),
        Line::Sign(call, talked_ms, held) => (call, talked_ms, held, false),
    };
    Some((Talked { call: CallId::from_uuid(call), talked_ms, held: Minor::new(held) }, is_end))
}

/// Of each call its end, or the last sign of its life, and the most that was held.
fn what_counts(lines: impl Iterator<Item = (Talked, bool)>) -> Vec<(Talked, bool)> {
    let mut calls: HashMap<CallId, (Talked, bool)> = HashMap::new();
    for (line, is_end) in lines {
        let (known, ended) = calls.entry(line.call).or_insert_with(|| (line, is_end));
        known.held = known.held.max(line.held);
        if is_end && !*ended {
            (known.talked_ms, *ended) = (line.talked_ms, true);
        } else if !*ended {
            known.talked_ms = known.talked_ms.max(line.talked_ms);
        }
    }
    calls.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_counts_whatever_signs_of_life_say_and_in_any_order() {
        let call = "01a20f8d0d8870178fc65cec8babf2b2";
        let sign = |ms| format!("[\"{call}\",{ms},600]");
        let end = format!("[\"{call}\",1000,5,true]");
        for lines in
            [vec![sign(10_000), end.clone(), end.clone()], vec![end, sign(10_000), sign(15_000)]]
        {
            let found = what_counts(lines.iter().filter_map(|line| read_line(line)));
            let [(talked, is_end)] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((talked.talked_ms, talked.held.get(), *is_end), (1_000, 600, true));
        }
        let live = what_counts([sign(5_000), sign(10_000)].iter().filter_map(|it| read_line(it)));
        assert_eq!((live[0].0.talked_ms, live[0].1), (10_000, false));
        assert!(read_line("[\"0123").is_none());
    }
}
