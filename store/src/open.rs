//! Opening the database: the one place that knows where it is and who may use it how.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep};

use crate::error::{OpenError, StoreError};
use crate::schema;
use crate::writer::journal::{self, ReplayError};
use crate::writer::{Writer, WriterTask};

/// Where the database is unless `DATABASE_URL` says otherwise.
pub const DEFAULT_URL: &str = "sqlite://./data/sautikit.db?mode=rwc";

/// Connections that read at once; each is a thread of its own with its own page cache.
const READERS_MAX: u32 = 4;
/// How long an operator's write or a migration waits for a lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How long one attempt of the node's writer waits for the lock; it comes again by itself.
const WRITER_LOCK_PATIENCE: Duration = Duration::from_millis(200);
/// A step between two looks at a lock file.
const LOCK_STEP: Duration = Duration::from_millis(20);
/// The write-ahead log is written back once it has this many pages (of 4 KiB): a page that many
/// calls changed is written back once.
const CHECKPOINT_PAGES: &str = "4000";

/// What the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The gateway. Only one serves a database file.
    Serve,
    /// The command line: works beside a gateway that serves.
    Tool,
}

/// An open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    reads: SqlitePool,
    /// One connection: SQLite has one writer, and waiting here is cheaper than waiting in SQLite.
    writes: SqlitePool,
    /// Held as long as the store lives; the system frees it when the process dies, however it does.
    _serving: Option<File>,
}

/// Where the database is and how it is connected to.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    options: SqliteConnectOptions,
    file: PathBuf,
}

/// Opens the database at `url` (sqlx's form, [`DEFAULT_URL`] unless configured): makes its
/// directory and file where `mode=rwc` allows it, migrates it, and for [`Role::Serve`] keeps every
/// other serving process out until the store and its clones are dropped.
///
/// Runs on tokio; the connections' threads outlive the runtime that opened them.
pub async fn open(url: &str, role: Role) -> Result<Store, OpenError> {
    let place = Place::of(url)?;
    place.make_directory(url)?;
    let serving = match role {
        Role::Serve => Some(place.serve()?),
        Role::Tool => None,
    };
    place.migrate(role).await?;
    if role == Role::Serve {
        place.replay_journal().await?;
    }
    // From here on a file that goes away is an error, and no reason to start an empty one.
    let place = Place { options: place.options.create_if_missing(false), file: place.file };
    let reads = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(LOCK_PATIENCE)
        .test_before_acquire(false)
        .connect_lazy_with(place.options.clone());
    let writes = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(LOCK_PATIENCE)
        .test_before_acquire(false)
        .connect_lazy_with(place.options.clone());
    let store = Store { inner: Arc::new(Inner { place, reads, writes, _serving: serving }) };
    if role == Role::Serve {
        // A request that a dead process was still working on has no answer to give again.
        store.forget_unanswered().await.map_err(|error| OpenError::Database {
            database: store.inner.place.file.clone(),
            reason: error.to_string(),
        })?;
    }
    Ok(store)
}

/// How far a database's tables have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The last migration that the database has seen; 0 where there is none yet.
    pub database: i64,
    /// The last one that this version brings.
    pub newest: i64,
}

/// Looks at the version of the database at `url`, and changes nothing: a file that is not there is
/// not made.
///
/// # Errors
/// As [`open`].
pub async fn schema_version(url: &str) -> Result<SchemaVersion, OpenError> {
    let place = Place::of(url)?;
    let newest = schema::newest();
    if !place.file.exists() {
        return Ok(SchemaVersion { database: 0, newest });
    }
    let options = place.options.clone().create_if_missing(false);
    let mut connection = options.connect().await.map_err(|error| place.explain(&error))?;
    let database = place.version(&mut connection).await;
    let closed = connection.close().await;
    let database = database?;
    closed.map_err(|error| place.explain(&error))?;
    Ok(SchemaVersion { database, newest })
}

/// The one name that a file has however it is linked to, there or not: what lies beside it is named
/// after it, the lock of the serving process among that.
fn real_name(file: &Path) -> PathBuf {
    const LINKS_MAX: usize = 40;
    let mut name = file.to_path_buf();
    for _ in 0..LINKS_MAX {
        if let Ok(real) = name.canonicalize() {
            return real;
        }
        // A link to a file that is still to be made.
        let Ok(target) = name.read_link() else { break };
        name = name.parent().unwrap_or(Path::new("")).join(target);
    }
    name
}

impl Store {
    /// Opens the node's writer, whose task the caller runs. A node has one: more would each commit
    /// for themselves.
    pub async fn open_writer(&self) -> Result<(Writer, WriterTask), OpenError> {
        Writer::open(&self.inner.place).await
    }

    /// Opens the node's writer and runs its task on the current runtime.
    pub async fn start_writer(&self) -> Result<Writer, OpenError> {
        let (writer, task) = self.open_writer().await?;
        tokio::spawn(task.run());
        Ok(writer)
    }

    /// The version of the open database.
    pub async fn schema_version(&self) -> Result<SchemaVersion, StoreError> {
        let newest = schema::newest();
        let database = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
            .fetch_one(self.reads())
            .await?;
        Ok(SchemaVersion { database, newest })
    }

    /// Whether the database answers: for readiness.
    pub async fn is_up(&self) -> bool {
        self.directory_version().await.is_ok()
    }

    /// Closes the reading and operating connections; the writer has its own. After it every read
    /// fails.
    pub async fn close(&self) {
        self.inner.writes.close().await;
        self.inner.reads.close().await;
    }

    pub(crate) fn reads(&self) -> &SqlitePool {
        &self.inner.reads
    }

    pub(crate) fn writes(&self) -> &SqlitePool {
        &self.inner.writes
    }
}

impl Place {
    fn of(url: &str) -> Result<Self, OpenError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Err(OpenError::PostgresNotYet);
        }
        let unusable = |reason: &str| OpenError::Url { reason: reason.to_owned() };
        if !url.starts_with("sqlite:") {
            return Err(unusable("it does not begin with sqlite:"));
        }
        if url.contains(":memory:") || url.contains("mode=memory") {
            return Err(unusable("a database in memory loses the money with the process"));
        }
        if url.contains("mode=ro") {
            return Err(unusable("mode=ro cannot be written"));
        }
        let options =
            SqliteConnectOptions::from_str(url).map_err(|error| unusable(&error.to_string()))?;
        let file = real_name(options.get_filename());
        if file.is_dir() {
            return Err(unusable("it names a directory"));
        }
        if !url.contains("mode=rwc") && !file.exists() {
            return Err(unusable("there is no such file; mode=rwc makes one"));
        }
        // WAL with FULL: a commit is durable when it returns, and readers never wait for it.
        let options = options
            .filename(&file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(LOCK_PATIENCE)
            .pragma("temp_store", "memory")
            .thread_name(|id| format!("store-{id}"))
            .disable_statement_logging();
        Ok(Self { options, file })
    }

    /// SQLite makes the file where it may, and not its directory.
    fn make_directory(&self, url: &str) -> Result<(), OpenError> {
        let directory = self.file.parent().filter(|path| !path.as_os_str().is_empty());
        match directory.filter(|_| url.contains("mode=rwc")) {
            // Numbers and the ledger are nobody else's to read.
            Some(directory) => DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(|error| OpenError::Io { path: directory.to_path_buf(), error }),
            None => Ok(()),
        }
    }

    /// The connection of the node's writer.
    pub(crate) async fn connect_writer(&self) -> Result<SqliteConnection, OpenError> {
        self.reconnect_writer().await.map_err(|error| self.explain(&error))
    }

    /// The same, for a writer that will try again.
    pub(crate) async fn reconnect_writer(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options
            .clone()
            .busy_timeout(WRITER_LOCK_PATIENCE)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("cache_size", "-16384")
            .thread_name(|_| "store-writer".to_owned())
            .connect()
            .await
    }

    /// Takes the lock of the serving process.
    fn serve(&self) -> Result<File, OpenError> {
        // Another server would come by the other name, with a write-ahead log and a lock of its own.
        if self.file.metadata().is_ok_and(|file| file.nlink() > 1) {
            let name = self.file.display();
            let reason = format!(
                "its file has a second name, a hard link: find it by `find / -samefile {name}`, and remove one"
            );
            return Err(OpenError::Url { reason });
        }
        let path = self.beside("serving");
        let file = lock_file(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(OpenError::Served { database: self.file.clone() }),
            Err(TryLockError::Error(error)) => Err(OpenError::Io { path, error }),
        }
    }

    /// Brings the schema to this version, alone.
    async fn migrate(&self, role: Role) -> Result<(), OpenError> {
        let path = self.beside("migrating");
        let lock = lock_file(&path)?;
        let give_up = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                    sleep(LOCK_STEP).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(OpenError::Locked { database: self.file.clone() });
                }
                Err(TryLockError::Error(error)) => return Err(OpenError::Io { path, error }),
            }
        }
        let mut connection = self.options.connect().await.map_err(|error| self.explain(&error))?;
        let pending = self.version(&mut connection).await? < schema::newest();
        // A tool of a newer version must not change the tables under a gateway that serves.
        let _alone = if pending && role == Role::Tool { Some(self.serve()?) } else { None };
        let outcome = schema::migrator().run(&mut connection).await;
        // The connection's thread would otherwise end some time later, after the lock is gone.
        let closed = connection.close().await;
        outcome.map_err(|error| self.explain_migration(&error))?;
        closed.map_err(|error| self.explain(&error))
    }

    /// The newest migration that the database has seen; 0 for an empty one.
    async fn version(&self, connection: &mut SqliteConnection) -> Result<i64, OpenError> {
        let known: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| self.explain(&error))?;
        if known == 0 {
            return Ok(0);
        }
        sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
            .fetch_one(connection)
            .await
            .map_err(|error| self.explain(&error))
    }

    /// Where the writer writes down what the database does not take.
    pub(crate) fn journal(&self) -> PathBuf {
        self.beside("outage")
    }

    /// Brings what the last process wrote down beside the database into it.
    async fn replay_journal(&self) -> Result<(), OpenError> {
        let path = self.journal();
        if !path.exists() {
            return Ok(());
        }
        let mut connection = self.options.connect().await.map_err(|error| self.explain(&error))?;
        let replayed = journal::replay(&path, &mut connection).await;
        let closed = connection.close().await;
        match replayed {
            Ok(entries) => tracing::info!(entries, "the last run's outage journal was read"),
            Err(ReplayError::Io(error)) => return Err(OpenError::Io { path, error }),
            Err(ReplayError::Database(error)) => return Err(self.explain(&error)),
        }
        closed.map_err(|error| self.explain(&error))
    }

    fn beside(&self, what: &str) -> PathBuf {
        let mut name = self.file.as_os_str().to_owned();
        name.push(".");
        name.push(what);
        name.into()
    }

    pub(crate) fn explain(&self, error: &sqlx::Error) -> OpenError {
        let database = self.file.clone();
        let reason = error.to_string();
        match primary_code(error) {
            // SQLITE_CORRUPT, SQLITE_NOTADB
            Some(11 | 26) => OpenError::Corrupt { database, reason },
            // SQLITE_BUSY, SQLITE_LOCKED
            Some(5 | 6) => OpenError::Locked { database },
            // SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN
            Some(3 | 8 | 14) => {
                OpenError::Io { path: database, error: std::io::Error::other(reason) }
            }
            _ => OpenError::Database { database, reason },
        }
    }

    fn explain_migration(&self, error: &MigrateError) -> OpenError {
        let reason = match error {
            MigrateError::Execute(error) => return self.explain(error),
            MigrateError::ExecuteMigration(error, _)
                if primary_code(error).is_some_and(is_outer) =>
            {
                return self.explain(error);
            }
            MigrateError::VersionMissing(version) => format!(
                "it was written by a newer version (migration {version}): start that version"
            ),
            MigrateError::VersionMismatch(version) => {
                format!(
                    "migration {version} was altered after it ran: start the version that wrote it"
                )
            }
            other => other.to_string(),
        };
        OpenError::Migrate { database: self.file.clone(), reason }
    }
}

/// Whether a code speaks of the file and not of the statement.
fn is_outer(primary: i32) -> bool {
    matches!(primary, 3 | 5 | 6 | 8 | 11 | 14 | 26)
}

/// SQLite's primary result code of an error, where it is SQLite's.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    extended_code(error).map(|code| code & 0xff)
}

/// SQLite's extended result code of an error, where it is SQLite's.
pub(crate) fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

fn lock_file(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| OpenError::Io { path: path.to_path_buf(), error })
}
