//! The wallet and its statement, as the HTTP API reads them.

use sautikit_core::ids::{CallId, EntryId, WorkspaceId};
use sautikit_core::money::Minor;
use sautikit_core::time::UnixMicros;
use sqlx::Row;

use crate::directory::WorkspaceStatus;
use crate::error::StoreError;
use crate::open::Store;
use crate::page::{Cursor, Page, limit_of};

/// Why money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Money came in.
    Topup,
    /// A call was paid.
    Debit,
    /// A number's month was paid.
    Rent,
    /// An operator's correction, either way.
    Adjust,
}

impl EntryKind {
    /// The word of the HTTP API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topup => "topup",
            Self::Debit => "debit",
            Self::Rent => "rent",
            Self::Adjust => "adjust",
        }
    }

    /// The reverse of [`Self::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Topup, Self::Debit, Self::Rent, Self::Adjust]
            .into_iter()
            .find(|value| value.as_str() == word)
    }
}

/// One entry of the ledger. Entries never change and never vanish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Names it for clients.
    pub id: EntryId,
    /// Its place in the workspace's ledger: 1, 2, 3, … without a gap.
    pub seq: i64,
    /// Why.
    pub kind: EntryKind,
    /// Signed, in cents: what the balance grew by. A debit is negative or zero.
    pub amount: Minor,
    /// The balance after it, in cents; never negative.
    pub balance_after: Minor,
    /// The call that was paid.
    pub call: Option<CallId>,
    /// Taken once per workspace.
    pub idempotency_key: String,
    /// For people.
    pub description: String,
    /// Wall clock.
    pub created_at: UnixMicros,
}

/// A wallet as the database knows it. What ringing calls hold is known to the wallet's actor only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletRow {
    /// The sum of the ledger, in cents.
    pub balance: Minor,
    /// The sum of the holds of answered calls, in cents.
    pub held: Minor,
    /// Below this balance a warning goes out, in cents.
    pub low_balance_threshold: Option<Minor>,
    /// Whether calls may start.
    pub status: WorkspaceStatus,
    /// `KES`.
    pub currency: String,
}

impl Store {
    /// The wallet of a workspace; `None` where there is no such workspace.
    pub async fn wallet(&self, workspace: WorkspaceId) -> Result<Option<WalletRow>, StoreError> {
        let row = sqlx::query(
            "SELECT balance_minor, held_minor, low_balance_threshold_minor, status, currency \
             FROM wallets WHERE workspace_id = ?1",
        )
        .bind(workspace.as_uuid())
        .fetch_optional(self.reads())
        .await?;
        row.map(|row| {
            Ok(WalletRow {
                balance: Minor::new(row.try_get(0)?),
                held: Minor::new(row.try_get(1)?),
                low_balance_threshold: row.try_get::<Option<i64>, _>(2)?.map(Minor::new),
                status: WorkspaceStatus::parse(row.try_get(3)?)
                    .ok_or(StoreError::Unreadable("workspace status"))?,
                currency: row.try_get(4)?,
            })
        })
        .transpose()
    }

    /// The statement, newest first. A workspace that does not exist has an empty one.
    pub async fn ledger(
        &self,
        workspace: WorkspaceId,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<LedgerEntry>, StoreError> {
        let limit = limit_of(limit);
        // A cursor beyond the range of a place in the ledger stands after the newest entry.
        let before = cursor.map_or(i64::MAX, |c| i64::try_from(c.0).unwrap_or(i64::MAX));
        let rows = sqlx::query(
            "SELECT id, seq, kind, amount_minor, balance_after_minor, call_id, idempotency_key, \
             description, created_at FROM ledger \
             WHERE workspace_id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3",
        )
        .bind(workspace.as_uuid())
        .bind(before)
        .bind(limit + 1)
        .fetch_all(self.reads())
        .await?;
        let entries = rows.iter().map(entry_of).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(entries, limit as usize, |entry| u128::from(entry.seq.unsigned_abs())))
    }
}

pub(crate) fn entry_of(row: &sqlx::sqlite::SqliteRow) -> Result<LedgerEntry, StoreError> {
    Ok(LedgerEntry {
        id: EntryId::from_uuid(row.try_get(0)?),
        seq: row.try_get(1)?,
        kind: EntryKind::parse(row.try_get(2)?).ok_or(StoreError::Unreadable("entry kind"))?,
        amount: Minor::new(row.try_get(3)?),
        balance_after: Minor::new(row.try_get(4)?),
        call: row.try_get::<Option<uuid::Uuid>, _>(5)?.map(CallId::from_uuid),
        idempotency_key: row.try_get(6)?,
        description: row.try_get(7)?,
        created_at: UnixMicros(row.try_get(8)?),
    })
}
