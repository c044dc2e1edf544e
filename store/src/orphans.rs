//! Calls that a dead process left.

use std::time::Duration;

use sautikit_core::money::Minor;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::call::CallRow;
use crate::calls::{CALL_COLUMN_COUNT, CALL_COLUMNS, call_of};
use crate::error::StoreError;
use crate::open::Store;

/// Longer than any call rings.
const RINGS_MAX: Duration = Duration::from_secs(3600);

/// A call found answered and not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Orphan {
    /// As it was last written.
    pub call: CallRow,
    /// How long it is known to have talked: what it is billed by.
    pub talked_ms: u64,
    /// What was held at that time, in cents: its debit is never above it.
    pub held: Minor,
    /// What a BYE to the other side needs, as JSON.
    pub dialog: String,
}

impl Store {
    /// Answered calls without an end, oldest first. To be asked before the first call of a node is
    /// taken: later ones are alive.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, StoreError> {
        let sql = format!(
            "SELECT {CALL_COLUMNS}, h.talked_ms, h.amount_minor, h.dialog \
             FROM open_holds h JOIN calls c ON c.workspace_id = h.workspace_id AND c.id = h.call_id \
             ORDER BY h.call_id"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(self.reads()).await?;
        rows.iter().map(orphan_of).collect()
    }

    /// Calls without an answer and without an end, oldest first: they cost nothing and only need
    /// their final row. Found among those of the last hour before the newest call, since no call
    /// rings that long: without an index of its own, which each call would have to pay for.
    pub async fn unanswered_orphans(&self) -> Result<Vec<CallRow>, StoreError> {
        let newest: Option<Uuid> = sqlx::query_scalar(
            "SELECT max((SELECT id FROM calls c WHERE c.workspace_id = w.id \
             ORDER BY id DESC LIMIT 1)) FROM workspaces w",
        )
        .fetch_one(self.reads())
        .await?;
        let Some(newest) = newest else { return Ok(Vec::new()) };
        let hour = u128::from(RINGS_MAX.as_secs()) * 1000;
        let since = Uuid::from_u128((newest.as_u128() >> 80).saturating_sub(hour) << 80);
        let sql = format!(
            "SELECT {CALL_COLUMNS} FROM workspaces w CROSS JOIN calls c \
             ON c.workspace_id = w.id AND c.id >= ?1 \
             WHERE c.ended_at IS NULL AND c.answered_at IS NULL ORDER BY c.id"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(since);
        query.fetch_all(self.reads()).await?.iter().map(call_of).collect()
    }
}

fn orphan_of(row: &SqliteRow) -> Result<Orphan, StoreError> {
    let talked: i64 = row.try_get(CALL_COLUMN_COUNT)?;
    Ok(Orphan {
        call: call_of(row)?,
        talked_ms: u64::try_from(talked).map_err(|_| StoreError::Unreadable("talked time"))?,
        held: Minor::new(row.try_get(CALL_COLUMN_COUNT + 1)?),
        dialog: row.try_get(CALL_COLUMN_COUNT + 2)?,
    })
}
