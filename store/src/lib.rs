//! Where a node keeps what must outlive it: workspaces, numbers, keys, calls and the ledger.
//!
//! [`open`] makes and migrates the database and gives a [`Store`]: reads for the HTTP API and the
//! start of a node, the operator's writes, and the node's one [`Writer`], which commits what all
//! calls of the node submitted in one transaction (group commit).
//!
//! SQLite is the only dialect so far. One process serves a file ([`Role::Serve`] takes a lock);
//! the command line works beside it ([`Role::Tool`]).

mod call;
mod calls;
mod directory;
mod error;
mod idempotency;
mod ledger;
mod open;
mod operator;
mod orphans;
mod page;
mod reconcile;
mod row;
mod schema;
mod writer;

pub use call::{CallEvent, CallRow, Direction, Origin, Quality};
pub use calls::CallFilter;
pub use directory::{ApiKey, Directory, Scope, UnknownScope, Workspace, WorkspaceStatus};
pub use error::{OpenError, StoreError, WriteError};
pub use idempotency::{Begun, IDEMPOTENCY_KEPT, SavedAnswer};
pub use ledger::{EntryKind, LedgerEntry, WalletRow};
pub use open::{DEFAULT_URL, Role, SchemaVersion, Store, open, schema_version};
pub use operator::{Credited, NewApiKey, NewWorkspace};
pub use orphans::Orphan;
pub use page::{Cursor, PAGE_DEFAULT, PAGE_MAX, Page};
pub use reconcile::{DIFFERENCES_MAX, Difference, Discrepancy, Reconciliation};
pub use writer::{Debit, QUEUE_MAX, Receipt, Talked, Urgency, Write, Writer, WriterTask, Written};
