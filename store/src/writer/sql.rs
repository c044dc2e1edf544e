//! The writer's statements.
//!
//! A batch is one `INSERT INTO node_writes VALUES (…), (…)`: SQLite runs it as one transaction, and
//! the view's trigger does each row's work. So a commit is one message to the connection's thread
//! and one back, it leaves no open transaction behind when it fails, and nothing is parsed: the
//! values are bound. Each number of rows is a statement of its own, prepared once; so that there
//! are few of them, a batch is filled up with rows that do nothing.

use std::sync::{Arc, LazyLock};

/// How many values a row has.
pub(super) const COLUMNS: usize = 39;

/// The numbers of rows that there are statements for.
const SIZES: &[usize] = &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];

/// SQLite's bound on parameters, as built.
const PARAMETERS_MAX: usize = 32_766;
const _: () = assert!(ROWS_MAX * COLUMNS <= PARAMETERS_MAX);

static INSERTS: LazyLock<Vec<Arc<str>>> =
    LazyLock::new(|| SIZES.iter().map(|size| insert(*size).into()).collect());

/// The most rows that a batch has: beyond it a commit gets no cheaper by its share.
pub(super) const ROWS_MAX: usize = SIZES[SIZES.len() - 1];

/// The statement for at least `rows` rows, of which there are at most [`ROWS_MAX`], and how many
/// it takes.
pub(super) fn insert_of(rows: usize) -> (Arc<str>, usize) {
    let index = SIZES.iter().position(|size| *size >= rows).unwrap_or(SIZES.len() - 1);
    (Arc::clone(&INSERTS[index]), SIZES[index])
}

fn insert(rows: usize) -> String {
    let row = format!("({})", vec!["?"; COLUMNS].join(","));
    format!(
        "INSERT INTO node_writes (parts, id, workspace_id, session_id, direction, origin, \
         identity, local_e164, remote_e164, country, trunk, started_at, answered_at, ended_at, \
         duration_seconds, status, failure_code, hangup_cause, hangup_by, rate_per_minute_minor, \
         rate_increment, rate_minimum_minor, rate_fee_minor, rate_prefix, cost_minor, held_minor, \
         quality_mos, quality_jitter_ms, quality_packet_loss, metadata, created_at, updated_at, \
         events, room, dialog, entry_id, debit_minor, debit_key, debit_description) VALUES {}",
        vec![row; rows].join(",")
    )
}

/// Sign of life of many calls: `[call, talked, held]` each, ids in hex. A sign that comes after the
/// end of its call changes nothing that counts; talked time never goes back.
pub(super) const TALKED: &str = "UPDATE holds SET \
     talked_ms = max(holds.talked_ms, sign.talked_ms), amount_minor = sign.held_minor \
     FROM (SELECT unhex(value ->> 0) AS call_id, value ->> 1 AS talked_ms, \
           value ->> 2 AS held_minor FROM json_each(?1)) AS sign \
     WHERE holds.call_id = sign.call_id";

/// What a dead process had written down beside the database, one line a call. An end is what the call
/// is billed by, though it was known to live longer: silence ends a call at its last packet.
pub(super) const REPLAYED: &str = "UPDATE holds SET \
     talked_ms = CASE WHEN sign.is_end THEN sign.talked_ms \
                      ELSE max(holds.talked_ms, sign.talked_ms) END, \
     amount_minor = max(holds.amount_minor, sign.held_minor) \
     FROM (SELECT unhex(value ->> 0) AS call_id, value ->> 1 AS talked_ms, \
           value ->> 2 AS held_minor, coalesce(value ->> 3, 0) AS is_end \
           FROM json_each(?1)) AS sign \
     WHERE holds.call_id = sign.call_id";

/// Clears away what ended calls left: a JSON array of their ids in hex.
pub(super) const CLEAR: &str =
    "DELETE FROM holds WHERE call_id IN (SELECT unhex(value) FROM json_each(?1))";

/// The same for what a dead process had not cleared.
pub(super) const CLEAR_ALL: &str = "DELETE FROM holds WHERE EXISTS (SELECT 1 FROM calls c \
     WHERE c.workspace_id = holds.workspace_id AND c.id = holds.call_id \
     AND c.ended_at IS NOT NULL)";

/// One workspace's balance; no row where there is no such workspace.
pub(super) const BALANCE: &str = "SELECT balance_minor FROM wallets WHERE workspace_id = ?1";

/// Whether there is such a workspace, and whether its ledger has such a key.
pub(super) const LOOK_AGAIN: &str = "SELECT \
     EXISTS (SELECT 1 FROM workspaces WHERE id = ?1), \
     EXISTS (SELECT 1 FROM ledger WHERE workspace_id = ?1 AND idempotency_key = ?2)";
