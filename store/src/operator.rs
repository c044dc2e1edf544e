//! What an operator writes: workspaces, numbers, keys, credits. Each is one transaction, and each
//! moves the directory's version (by triggers), so running gateways notice within two seconds.

use std::time::{SystemTime, UNIX_EPOCH};

use sautikit_core::e164::E164;
use sautikit_core::ids::{ApiKeyId, EntryId, NumberId, WorkspaceId};
use sautikit_core::money::Minor;
use sautikit_core::time::UnixMicros;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use crate::directory::{Scope, WorkspaceStatus};
use crate::error::StoreError;
use crate::ledger::EntryKind;
use crate::open::{Store, extended_code};

/// A workspace to make.
#[derive(Debug, Clone)]
pub struct NewWorkspace {
    /// A new UUIDv7 where `None`.
    pub id: Option<WorkspaceId>,
    /// For people.
    pub name: String,
    /// The first top-up, in cents; no entry where it is zero.
    pub balance: Minor,
    /// Claimed at once, in this order; the first is the default caller number.
    pub numbers: Vec<E164>,
    /// Its first key.
    pub key: Option<NewApiKey>,
}

/// An API key to make. Its secret never comes here.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// SHA-256 of the key's text.
    pub hash: [u8; 32],
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From when on it is refused.
    pub expires_at: Option<UnixMicros>,
}

/// What became of a credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credited {
    /// The entry of this credit, or of the first one with its key.
    pub entry: EntryId,
    /// The balance after that entry, in cents.
    pub balance_after: Minor,
    /// Whether the key was there before: nothing was changed.
    pub existed: bool,
}

impl Store {
    /// Makes a workspace with its numbers, key and first balance, or nothing of it.
    pub async fn create_workspace(&self, new: NewWorkspace) -> Result<WorkspaceId, StoreError> {
        let id = new.id.unwrap_or_else(|| WorkspaceId::from_uuid(Uuid::now_v7()));
        let now = now();
        let mut transaction = self.writes().begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO workspaces (id, name, created_at) VALUES (?1, ?2, ?3)")
            .bind(id.as_uuid())
            .bind(&new.name)
            .bind(now.0)
            .execute(&mut *transaction)
            .await
            .map_err(|error| refused(error, "workspace"))?;
        for number in &new.numbers {
            insert_number(&mut transaction, id, number, now).await?;
        }
        if let Some(key) = &new.key {
            insert_key(&mut transaction, id, key, now).await?;
        }
        if new.balance != Minor::ZERO {
            let credit = Credit {
                amount: new.balance,
                key: &format!("{id}:opening"),
                description: "Opening balance",
            };
            post_credit(&mut transaction, id, &credit, now).await?;
        }
        transaction.commit().await?;
        Ok(id)
    }

    /// Claims a number for a workspace: a new one, or one of the inventory.
    pub async fn add_number(
        &self,
        workspace: WorkspaceId,
        number: &E164,
    ) -> Result<NumberId, StoreError> {
        let mut transaction = self.writes().begin_with("BEGIN IMMEDIATE").await?;
        let id = insert_number(&mut transaction, workspace, number, now()).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Posts a top-up of `amount` cents (positive), once per `idempotency_key` and workspace.
    /// Keys that end with `:debit` are those of calls.
    pub async fn credit(
        &self,
        workspace: WorkspaceId,
        amount: Minor,
        idempotency_key: &str,
        description: &str,
    ) -> Result<Credited, StoreError> {
        if amount <= Minor::ZERO {
            return Err(StoreError::BalanceRange);
        }
        // A call's debit has this key: taken by another entry, the call could never be closed.
        if idempotency_key.ends_with(":debit") {
            return Err(StoreError::Refused("idempotency key (those of calls end with :debit)"));
        }
        let mut transaction = self.writes().begin_with("BEGIN IMMEDIATE").await?;
        let credit = Credit { amount, key: idempotency_key, description };
        let credited = post_credit(&mut transaction, workspace, &credit, now()).await?;
        transaction.commit().await?;
        Ok(credited)
    }

    /// Makes an API key.
    pub async fn create_key(
        &self,
        workspace: WorkspaceId,
        key: &NewApiKey,
    ) -> Result<ApiKeyId, StoreError> {
        let mut transaction = self.writes().begin_with("BEGIN IMMEDIATE").await?;
        let id = insert_key(&mut transaction, workspace, key, now()).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Revokes a key of a workspace; `false` where it has no such key. Revoking again changes
    /// nothing.
    pub async fn revoke_key(
        &self,
        workspace: WorkspaceId,
        key: ApiKeyId,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?3) \
             WHERE workspace_id = ?1 AND id = ?2",
        )
        .bind(workspace.as_uuid())
        .bind(key.as_uuid())
        .bind(now().0)
        .execute(self.writes())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Suspends a workspace, or lets it call again; `false` where there is none.
    pub async fn set_status(
        &self,
        workspace: WorkspaceId,
        status: WorkspaceStatus,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE workspaces SET status = ?2 WHERE id = ?1")
            .bind(workspace.as_uuid())
            .bind(status.as_str())
            .execute(self.writes())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Sets or clears the balance below which a warning goes out; `false` where there is no such
    /// workspace.
    pub async fn set_threshold(
        &self,
        workspace: WorkspaceId,
        threshold: Option<Minor>,
    ) -> Result<bool, StoreError> {
        let done =
            sqlx::query("UPDATE workspaces SET low_balance_threshold_minor = ?2 WHERE id = ?1")
                .bind(workspace.as_uuid())
                .bind(threshold.map(Minor::get))
                .execute(self.writes())
                .await
                .map_err(|error| refused(error, "threshold"))?;
        Ok(done.rows_affected() == 1)
    }
}

/// The wall clock, for timestamps only.
pub(crate) fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

struct Credit<'a> {
    amount: Minor,
    key: &'a str,
    description: &'a str,
}

async fn insert_number(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    number: &E164,
    now: UnixMicros,
) -> Result<NumberId, StoreError> {
    // One that lies in the inventory is taken out of it; one that somebody has is not.
    let row = sqlx::query(
        "INSERT INTO numbers (id, e164, workspace_id, claimed_at, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?4) \
         ON CONFLICT (e164) DO UPDATE SET workspace_id = excluded.workspace_id, \
         claimed_at = excluded.claimed_at WHERE numbers.workspace_id IS NULL RETURNING id",
    )
    .bind(Uuid::now_v7())
    .bind(number.as_str())
    .bind(workspace.as_uuid())
    .bind(now.0)
    .fetch_optional(connection)
    .await
    .map_err(|error| refused(error, "number"))?;
    let row = row.ok_or(StoreError::Exists("this number"))?;
    Ok(NumberId::from_uuid(row.try_get(0)?))
}

async fn insert_key(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    key: &NewApiKey,
    now: UnixMicros,
) -> Result<ApiKeyId, StoreError> {
    let id = Uuid::now_v7();
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    sqlx::query(
        "INSERT INTO api_keys (hash, id, workspace_id, name, scopes, created_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(key.hash.as_slice())
    .bind(id)
    .bind(workspace.as_uuid())
    .bind(&key.name)
    .bind(scopes.join(" "))
    .bind(now.0)
    .bind(key.expires_at.map(|at| at.0))
    .execute(connection)
    .await
    .map_err(|error| refused(error, "key"))?;
    Ok(ApiKeyId::from_uuid(id))
}

/// Posts a top-up, or finds the one that has its key. The caller's transaction has the write lock.
async fn post_credit(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    credit: &Credit<'_>,
    now: UnixMicros,
) -> Result<Credited, StoreError> {
    let there = sqlx::query(
        "SELECT id, kind, amount_minor, balance_after_minor FROM ledger \
         WHERE workspace_id = ?1 AND idempotency_key = ?2",
    )
    .bind(workspace.as_uuid())
    .bind(credit.key)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = there {
        let same = row.try_get::<&str, _>(1)? == EntryKind::Topup.as_str()
            && row.try_get::<i64, _>(2)? == credit.amount.get();
        return if same {
            Ok(Credited {
                entry: EntryId::from_uuid(row.try_get(0)?),
                balance_after: Minor::new(row.try_get(3)?),
                existed: true,
            })
        } else {
            Err(StoreError::KeyConflict)
        };
    }
    let last = sqlx::query(
        "SELECT seq, balance_after_minor FROM ledger WHERE workspace_id = ?1 \
         ORDER BY seq DESC LIMIT 1",
    )
    .bind(workspace.as_uuid())
    .fetch_optional(&mut *connection)
    .await?;
    let (seq, balance) = match last {
        Some(row) => (row.try_get::<i64, _>(0)?, Minor::new(row.try_get(1)?)),
        None => (0, Minor::ZERO),
    };
    let balance_after = balance
        .checked_add(credit.amount)
        .filter(|balance| *balance >= Minor::ZERO)
        .ok_or(StoreError::BalanceRange)?;
    let entry = EntryId::from_uuid(Uuid::now_v7());
    sqlx::query(
        "INSERT INTO ledger (workspace_id, seq, id, kind, amount_minor, balance_after_minor, \
         idempotency_key, description, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )
    .bind(workspace.as_uuid())
    .bind(seq + 1)
    .bind(entry.as_uuid())
    .bind(EntryKind::Topup.as_str())
    .bind(credit.amount.get())
    .bind(balance_after.get())
    .bind(credit.key)
    .bind(credit.description)
    .bind(now.0)
    .execute(connection)
    .await
    .map_err(|error| refused(error, "credit"))?;
    Ok(Credited { entry, balance_after, existed: false })
}

/// What a constraint's refusal means here.
fn refused(error: sqlx::Error, what: &'static str) -> StoreError {
    match extended_code(&error) {
        // SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE
        Some(1555 | 2067) => StoreError::Exists(what),
        // SQLITE_CONSTRAINT_FOREIGNKEY: every reference is to a workspace.
        Some(787) => StoreError::UnknownWorkspace,
        // SQLITE_CONSTRAINT_CHECK
        Some(275) => StoreError::Refused(what),
        _ => error.into(),
    }
}
