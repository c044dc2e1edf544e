//! `Idempotency-Key` of the HTTP API: the first answer is kept and given again.

use std::time::Duration;

use sautikit_core::ids::WorkspaceId;
use sautikit_core::time::UnixMicros;
use sqlx::Row;

use crate::error::StoreError;
use crate::open::Store;
use crate::operator::now;

/// How long an answer is given again.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How many outdated answers one request clears away at most.
const CLEARED_AT_ONCE: i64 = 100;

/// What a request with a key is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is the first: do the work, then [`Store::idempotency_finish`] (or `_abandon`).
    Started,
    /// The same request was answered before: give this answer again.
    Replay(SavedAnswer),
    /// The key was used with another request.
    Conflict,
    /// The first request still runs.
    InProgress,
}

/// An answer as it is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SavedAnswer {
    /// Status and body, byte for byte.
    Whole {
        /// HTTP status.
        status: u16,
        /// JSON text.
        body: String,
    },
    /// The first answer showed a secret, which is not kept: only the id of what was made.
    SecretShown {
        /// The thing's id.
        id: String,
    },
}

impl Store {
    /// Claims `key` for one request of a workspace. `request_hash` is over all that makes the
    /// request what it is (method, path, body).
    pub async fn idempotency_begin(
        &self,
        workspace: WorkspaceId,
        key: &str,
        request_hash: &[u8; 32],
    ) -> Result<Begun, StoreError> {
        let now = now();
        let oldest = now.checked_sub(IDEMPOTENCY_KEPT).unwrap_or(UnixMicros(0));
        let mut transaction = self.writes().begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "DELETE FROM idempotency WHERE (workspace_id, key) IN \
             (SELECT workspace_id, key FROM idempotency WHERE started_at < ?1 \
              ORDER BY started_at LIMIT ?2) \
             OR (workspace_id = ?3 AND key = ?4 AND started_at < ?1)",
        )
        .bind(oldest.0)
        .bind(CLEARED_AT_ONCE)
        .bind(workspace.as_uuid())
        .bind(key)
        .execute(&mut *transaction)
        .await?;
        let inserted = sqlx::query(
            "INSERT INTO idempotency (workspace_id, key, request_hash, started_at) \
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )
        .bind(workspace.as_uuid())
        .bind(key)
        .bind(request_hash.as_slice())
        .bind(now.0)
        .execute(&mut *transaction)
        .await?;
        let begun = if inserted.rows_affected() == 1 {
            Begun::Started
        } else {
            let row = sqlx::query(
                "SELECT request_hash, status, body, secret FROM idempotency \
                 WHERE workspace_id = ?1 AND key = ?2",
            )
            .bind(workspace.as_uuid())
            .bind(key)
            .fetch_one(&mut *transaction)
            .await?;
            saved(&row, request_hash)?
        };
        transaction.commit().await?;
        Ok(begun)
    }

    /// Keeps the answer of a request that began.
    pub async fn idempotency_finish(
        &self,
        workspace: WorkspaceId,
        key: &str,
        answer: &SavedAnswer,
    ) -> Result<(), StoreError> {
        let (status, body, secret) = match answer {
            SavedAnswer::Whole { status, body } => (i64::from(*status), body, 0),
            SavedAnswer::SecretShown { id } => (409, id, 1),
        };
        sqlx::query(
            "UPDATE idempotency SET answered_at = ?3, status = ?4, body = ?5, secret = ?6 \
             WHERE workspace_id = ?1 AND key = ?2 AND answered_at IS NULL",
        )
        .bind(workspace.as_uuid())
        .bind(key)
        .bind(now().0)
        .bind(status)
        .bind(body)
        .bind(secret)
        .execute(self.writes())
        .await?;
        Ok(())
    }

    /// Gives a key back whose request did nothing (refused before it began, or failed unseen), so
    /// that it may be tried again.
    pub async fn idempotency_abandon(
        &self,
        workspace: WorkspaceId,
        key: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM idempotency WHERE workspace_id = ?1 AND key = ?2 AND answered_at IS NULL",
        )
        .bind(workspace.as_uuid())
        .bind(key)
        .execute(self.writes())
        .await?;
        Ok(())
    }

    /// Gives back every key whose request never ended.
    pub(crate) async fn forget_unanswered(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM idempotency WHERE answered_at IS NULL")
            .execute(self.writes())
            .await?;
        Ok(())
    }
}

fn saved(row: &sqlx::sqlite::SqliteRow, request_hash: &[u8; 32]) -> Result<Begun, StoreError> {
    if row.try_get::<&[u8], _>(0)? != request_hash.as_slice() {
        return Ok(Begun::Conflict);
    }
    let Some(status) = row.try_get::<Option<u16>, _>(1)? else { return Ok(Begun::InProgress) };
    let body: String = row.try_get(2)?;
    Ok(Begun::Replay(if row.try_get::<i64, _>(3)? == 1 {
        SavedAnswer::SecretShown { id: body }
    } else {
        SavedAnswer::Whole { status, body }
    }))
}
