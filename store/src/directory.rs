//! What every handshake and request asks for: workspaces, their numbers, and API keys. Small enough
//! to be kept whole in memory, and read again when its version has moved.

use std::collections::HashMap;
use std::fmt;

use sautikit_core::e164::E164;
use sautikit_core::ids::{ApiKeyId, WorkspaceId};
use sautikit_core::money::Minor;
use sautikit_core::time::UnixMicros;
use sqlx::Row;

use crate::error::StoreError;
use crate::open::Store;
use crate::row;

/// All workspaces and keys at one version.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Grows with every change that a directory shows.
    pub version: i64,
    /// Every workspace, suspended ones too.
    pub workspaces: HashMap<WorkspaceId, Workspace>,
    /// Every API key by the SHA-256 of its text, revoked and expired ones too.
    pub keys: HashMap<[u8; 32], ApiKey>,
}

/// A tenant as admission sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// For people.
    pub name: String,
    /// A suspended one starts no calls.
    pub status: WorkspaceStatus,
    /// The claimed numbers, the first claimed one first.
    pub numbers: Vec<E164>,
    /// The caller number where a call names none: the chosen one, else the first claimed.
    pub default_number: Option<E164>,
    /// Below this balance a warning goes out, in cents.
    pub low_balance_threshold: Option<Minor>,
}

/// Whether a workspace may start calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkspaceStatus {
    /// It may.
    Active,
    /// No new calls, no tokens, no sessions; live calls finish.
    Suspended,
}

impl WorkspaceStatus {
    /// The word of the HTTP API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// The reverse of [`Self::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|value| value.as_str() == word)
    }
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Names it in lists and deletions.
    pub id: ApiKeyId,
    /// Whom it speaks for.
    pub workspace: WorkspaceId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Since when it is refused.
    pub revoked_at: Option<UnixMicros>,
    /// From when on it is refused.
    pub expires_at: Option<UnixMicros>,
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What an API key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Scope { $($(#[$doc])* $name,)* }

        impl Scope {
            /// Every scope.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word of the HTTP API and the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

scopes! {
    /// Read calls.
    CallsRead = "calls.read",
    /// Start calls and hang them up.
    CallsWrite = "calls.write",
    /// Mint SIP tokens.
    WebrtcToken = "webrtc.token",
    /// Read the balance and the ledger.
    WalletRead = "wallet.read",
    /// Credit a wallet. Only the command line makes a key with it.
    WalletCredit = "wallet.credit",
    /// Read numbers.
    NumbersRead = "numbers.read",
    /// Claim and release numbers.
    NumbersClaim = "numbers.claim",
    /// Manage webhooks.
    WebhooksManage = "webhooks.manage",
    /// Manage API keys.
    ApiKeysManage = "api_keys.manage",
    /// List and close sessions.
    SessionsManage = "sessions.manage",
}

/// A word that names no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such scope")]
pub struct UnknownScope;

impl std::str::FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == word).ok_or(UnknownScope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Scope {
    /// What a customer's first key holds: everything but [`Scope::WalletCredit`].
    pub fn of_a_customer() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|scope| *scope != Self::WalletCredit).collect()
    }
}

impl Store {
    /// Reads the whole directory, at one version.
    pub async fn directory(&self) -> Result<Directory, StoreError> {
        let mut snapshot = self.reads().begin().await?;
        let version = sqlx::query_scalar("SELECT version FROM directory_version")
            .fetch_one(&mut *snapshot)
            .await?;
        let mut directory = Directory { version, ..Directory::default() };
        for row in sqlx::query(
            "SELECT id, name, status, default_number, low_balance_threshold_minor FROM workspaces",
        )
        .fetch_all(&mut *snapshot)
        .await?
        {
            let (id, workspace) = workspace_of(&row)?;
            directory.workspaces.insert(id, workspace);
        }
        for row in sqlx::query(
            "SELECT workspace_id, e164 FROM numbers WHERE workspace_id IS NOT NULL \
             ORDER BY claimed_at, id",
        )
        .fetch_all(&mut *snapshot)
        .await?
        {
            let id = WorkspaceId::from_uuid(row.try_get(0)?);
            if let Some(workspace) = directory.workspaces.get_mut(&id) {
                workspace.numbers.push(row::e164(row.try_get(1)?)?);
            }
        }
        for workspace in directory.workspaces.values_mut() {
            if workspace.default_number.is_none() {
                workspace.default_number = workspace.numbers.first().cloned();
            }
        }
        for row in sqlx::query(
            "SELECT hash, id, workspace_id, scopes, revoked_at, expires_at FROM api_keys",
        )
        .fetch_all(&mut *snapshot)
        .await?
        {
            let (hash, key) = key_of(&row)?;
            directory.keys.insert(hash, key);
        }
        Ok(directory)
    }

    /// The version alone: what a node asks once a second.
    pub async fn directory_version(&self) -> Result<i64, StoreError> {
        let version = sqlx::query_scalar("SELECT version FROM directory_version")
            .fetch_one(self.reads())
            .await?;
        Ok(version)
    }
}

fn workspace_of(row: &sqlx::sqlite::SqliteRow) -> Result<(WorkspaceId, Workspace), StoreError> {
    let status = WorkspaceStatus::parse(row.try_get(2)?)
        .ok_or(StoreError::Unreadable("workspace status"))?;
    let workspace = Workspace {
        name: row.try_get(1)?,
        status,
        numbers: Vec::new(),
        default_number: row::optional(row.try_get(3)?, row::e164)?,
        low_balance_threshold: row.try_get::<Option<i64>, _>(4)?.map(Minor::new),
    };
    Ok((WorkspaceId::from_uuid(row.try_get(0)?), workspace))
}

fn key_of(row: &sqlx::sqlite::SqliteRow) -> Result<([u8; 32], ApiKey), StoreError> {
    let hash = row.try_get::<&[u8], _>(0)?;
    let hash = hash.try_into().map_err(|_| StoreError::Unreadable("key hash"))?;
    let mut scopes = Vec::new();
    for word in row.try_get::<&str, _>(3)?.split_whitespace() {
        // A scope of a newer version grants nothing here; the rest of the key still works.
        scopes.extend(word.parse::<Scope>());
    }
    let key = ApiKey {
        id: ApiKeyId::from_uuid(row.try_get(1)?),
        workspace: WorkspaceId::from_uuid(row.try_get(2)?),
        scopes,
        revoked_at: row.try_get::<Option<i64>, _>(4)?.map(UnixMicros),
        expires_at: row.try_get::<Option<i64>, _>(5)?.map(UnixMicros),
    };
    Ok((hash, key))
}
