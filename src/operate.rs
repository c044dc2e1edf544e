//! The operators' commands: each opens the database beside a running gateway, does one thing, prints
//! it as one line of JSON, and is done. The gateway sees what changed within a second.

mod api_key;
mod migrate;
mod number;
mod reconcile;
mod wallet;
mod workspace;

use std::io::Write;
use std::process::ExitCode;

use sautikit_store::{OpenError, Role, Store, StoreError, open, schema_version};
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::cli::{ApiKeyCommand, NumberCommand, Operate, WalletCommand, WorkspaceCommand};
use crate::config::{Config, Sources};

/// Does what the command says.
pub(crate) fn operate(sources: &Sources, command: Operate) -> ExitCode {
    match command {
        Operate::Workspace(WorkspaceCommand::Create(create)) => workspace::create(sources, create),
        Operate::Number(NumberCommand::Add(add)) => number::add(sources, add),
        Operate::Wallet(WalletCommand::Credit(credit)) => wallet::credit(sources, credit),
        Operate::ApiKey(ApiKeyCommand::Create(create)) => api_key::create(sources, create),
        Operate::ApiKey(ApiKeyCommand::Revoke(revoke)) => api_key::revoke(sources, revoke),
        Operate::Migrate { check: true } => migrate::check(sources),
        Operate::Migrate { check: false } => migrate::migrate(sources),
        Operate::Reconcile { workspace } => reconcile::reconcile(sources, workspace),
    }
}

/// Why nothing was done. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperateError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("there is no database where DATABASE_URL says; `workspace create` makes one")]
    NoDatabase,
    #[error("there is no such workspace; `workspace create` makes one")]
    UnknownWorkspace,
    #[error("the workspace has no such key")]
    UnknownKey,
    #[error("{0} exists already; choose another one")]
    Exists(&'static str),
    #[error("this --idempotency-key was used with another amount; take a new one for a new credit")]
    KeyConflict,
    #[error("the amount must be positive, and the balance may not exceed 2^63-1 minor units")]
    BalanceRange,
    #[error("{0}; choose another one")]
    Refused(StoreError),
    #[error("{0}; try again")]
    Store(StoreError),
    #[error("the system refused a runtime: {0}")]
    Runtime(std::io::Error),
}

impl From<StoreError> for OperateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownWorkspace => Self::UnknownWorkspace,
            StoreError::Exists(what) => Self::Exists(what),
            StoreError::KeyConflict => Self::KeyConflict,
            StoreError::BalanceRange => Self::BalanceRange,
            StoreError::Refused(_) => Self::Refused(error),
            other => Self::Store(other),
        }
    }
}

/// What to do where there is no database yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    /// Whoever looks for something that must be there has mistyped the address.
    Refuse,
}

/// Runs `work` on the configured database and prints what it made; `name` is the command's.
fn on_store<T: Serialize>(
    sources: &Sources,
    name: &str,
    missing: Missing,
    work: impl AsyncFnOnce(&Store) -> Result<T, OperateError>,
) -> ExitCode {
    let url = match Config::database(sources) {
        Ok(url) => url,
        Err(problems) => return crate::refuse(&problems),
    };
    match run(url.expose_secret(), missing, work) {
        Ok(made) => print(name, &made),
        Err(error) => fail(name, &error),
    }
}

fn run<T>(
    url: &str,
    missing: Missing,
    work: impl AsyncFnOnce(&Store) -> Result<T, OperateError>,
) -> Result<T, OperateError> {
    block_on(async {
        if missing == Missing::Refuse && schema_version(url).await?.database == 0 {
            return Err(OperateError::NoDatabase);
        }
        let store = open(url, Role::Tool).await?;
        let made = work(&store).await;
        store.close().await;
        made
    })
}

fn block_on<T>(work: impl Future<Output = Result<T, OperateError>>) -> Result<T, OperateError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(OperateError::Runtime)?;
    runtime.block_on(work)
}

fn fail(name: &str, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::FAILURE
}

/// What cannot be shown is a failure, though it is done: a key is shown nowhere else.
fn print(name: &str, made: &impl Serialize) -> ExitCode {
    let text = serde_json::to_string(made).expect("strings and numbers are JSON");
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: it is done, but cannot be shown: {error}");
            ExitCode::FAILURE
        }
    }
}
