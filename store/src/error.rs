//! What can go wrong, one enum per kind of operation.

use std::path::PathBuf;

/// The database cannot be opened. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// `postgres://` or `postgresql://`.
    #[error(
        "DATABASE_URL names PostgreSQL, which this version does not speak yet: unset it, or use sqlite://path/to/file.db?mode=rwc"
    )]
    PostgresNotYet,
    /// The URL is none that SQLite understands.
    #[error("DATABASE_URL is not usable ({reason}): use sqlite://path/to/file.db?mode=rwc")]
    Url {
        /// What is wrong with it; never the URL itself, which may hold a password.
        reason: String,
    },
    /// Another process serves this file.
    #[error(
        "another sautikit-gateway already serves {}: stop it first, or give this one its own DATABASE_URL",
        database.display()
    )]
    Served {
        /// The database file.
        database: PathBuf,
    },
    /// A directory or file cannot be made, read or written.
    #[error("cannot use {}: {error}: make its directory writable for this user", path.display())]
    Io {
        /// The directory, database or lock file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is no database, or a damaged one.
    #[error(
        "{} is no readable SQLite database ({reason}): restore it from a backup, or move it away to start with an empty one",
        database.display()
    )]
    Corrupt {
        /// The database file.
        database: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// Another process holds a write lock for too long.
    #[error("{} stays locked by another process: end the program that holds it open", database.display())]
    Locked {
        /// The database file.
        database: PathBuf,
    },
    /// A migration failed, or the file was written by a newer or altered version.
    #[error("cannot migrate {}: {reason}", database.display())]
    Migrate {
        /// The database file.
        database: PathBuf,
        /// Which migration and why, and what to do.
        reason: String,
    },
    /// Anything else that SQLite says.
    #[error("cannot open {}: {reason}", database.display())]
    Database {
        /// The database file.
        database: PathBuf,
        /// What SQLite said.
        reason: String,
    },
}

/// A read, or a write of the operator, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database did not answer: locked, gone, full. Worth trying again.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A row holds what this version cannot read.
    #[error("the database holds an unreadable {0}")]
    Unreadable(&'static str),
    /// A value that the database's own rules refuse: an empty or overlong key, a negative threshold.
    #[error("the {0} is not allowed")]
    Refused(&'static str),
    /// The workspace does not exist.
    #[error("no such workspace")]
    UnknownWorkspace,
    /// A workspace with this id, or a number or a key that is to be added, exists already.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// The idempotency key was used for something else.
    #[error("this idempotency key was used with another request")]
    KeyConflict,
    /// The sum would leave the range of a balance (0 to 2⁶³−1 cents).
    #[error("the balance would leave its range")]
    BalanceRange,
}

/// A submitted write was not done: all of it, not a part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The writer's queue is full: the database has not kept up for a while.
    #[error("the write queue is full")]
    QueueFull,
    /// The database did not take it within two seconds. Answers, reads and signs of life are given
    /// up so, closes never; an answer whose commit hangs may still be found done, which the call's
    /// close then ends.
    #[error("the database is not available")]
    Unavailable,
    /// The debit is larger than the balance.
    #[error("the balance does not cover the debit")]
    Overdraft,
    /// The workspace does not exist.
    #[error("no such workspace")]
    UnknownWorkspace,
    /// The database refuses this item for a reason that trying again would not change.
    #[error("refused by the database: {0}")]
    Refused(String),
    /// The writer has been shut down.
    #[error("the writer has stopped")]
    Stopped,
}
