//! Proves that the money is right: every entry follows the one before it, every answered call has
//! its one debit, and every debit is what the call's seconds cost at the call's rate.

use sautikit_core::cause::HangupBy;
use sautikit_core::ids::{CallId, EntryId, WorkspaceId};
use sautikit_core::money::Minor;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::call::CallRow;
use crate::calls::{CALL_COLUMN_COUNT, CALL_COLUMNS, call_of};
use crate::error::StoreError;
use crate::ledger::{EntryKind, LedgerEntry, entry_of};
use crate::open::Store;

/// Rows that are read at once.
const ROWS: i64 = 500;
/// Differences that are named; the others are counted.
pub const DIFFERENCES_MAX: usize = 1_000;

/// What was compared, and what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Workspaces looked at.
    pub workspaces: u64,
    /// Calls, open ones too.
    pub calls: u64,
    /// Calls without an end: under way, or left by a gateway that died and did not start again.
    pub open_calls: u64,
    /// Entries of the ledgers.
    pub entries: u64,
    /// What came in and was corrected, in cents.
    pub credited: i128,
    /// What calls and numbers cost, in cents.
    pub debited: i128,
    /// The sum of all balances, in cents.
    pub balance: i128,
    /// How many differences there are.
    pub difference_count: u64,
    /// The first [`DIFFERENCES_MAX`] of them.
    pub differences: Vec<Difference>,
}

/// One thing that is not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub workspace: WorkspaceId,
    /// The call in question.
    pub call: Option<CallId>,
    /// The entry in question.
    pub entry: Option<EntryId>,
    /// What is wrong.
    pub what: Discrepancy,
    /// What it should be, in cents (a place in the ledger for [`Discrepancy::Gap`]).
    pub expected: i64,
    /// What it is.
    pub found: i64,
}

macro_rules! discrepancies {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What can be wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Discrepancy { $($(#[$doc])* $name,)* }

        impl Discrepancy {
            /// The word of the report.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

discrepancies! {
    /// An entry of the ledger is missing.
    Gap = "entry_missing",
    /// A balance is not the last one and the amount.
    Balance = "balance_differs",
    /// A debit names a call that is not there.
    DebitOfNoCall = "debit_of_no_call",
    /// A debit of a call that was not answered or has not ended.
    DebitOfUnbilledCall = "debit_of_unbilled_call",
    /// A second debit of a call.
    SecondDebit = "second_debit",
    /// An answered call has ended and has no debit.
    NoDebit = "call_without_debit",
    /// The debit is not the call's cost.
    Debit = "debit_differs",
    /// The cost is not what the seconds cost at the rate.
    Cost = "cost_differs",
    /// More is held than there is.
    Held = "held_above_balance",
}

impl Store {
    /// Compares everything of one workspace, or of all, at one moment; gateways may go on writing.
    ///
    /// # Errors
    /// [`StoreError::UnknownWorkspace`], and what reading may fail by.
    pub async fn reconcile(
        &self,
        workspace: Option<WorkspaceId>,
    ) -> Result<Reconciliation, StoreError> {
        let mut snapshot = self.reads().begin().await?;
        let ids: Vec<Uuid> =
            sqlx::query_scalar("SELECT id FROM workspaces WHERE ?1 IS NULL OR id = ?1 ORDER BY id")
                .bind(workspace.map(|id| id.as_uuid()))
                .fetch_all(&mut *snapshot)
                .await?;
        if ids.is_empty() && workspace.is_some() {
            return Err(StoreError::UnknownWorkspace);
        }
        let mut found = Reconciliation::default();
        for id in ids {
            found.workspaces += 1;
            let workspace = WorkspaceId::from_uuid(id);
            let balance = ledger(&mut snapshot, workspace, &mut found).await?;
            calls(&mut snapshot, workspace, &mut found).await?;
            found.balance += i128::from(balance.get());
        }
        Ok(found)
    }
}

/// Follows a ledger from its first entry; gives its balance.
async fn ledger(
    snapshot: &mut SqliteConnection,
    workspace: WorkspaceId,
    found: &mut Reconciliation,
) -> Result<Minor, StoreError> {
    let (mut seq, mut balance) = (0, Minor::ZERO);
    loop {
        let rows = sqlx::query(
            "SELECT l.id, l.seq, l.kind, l.amount_minor, l.balance_after_minor, l.call_id, \
             l.idempotency_key, l.description, l.created_at, c.id IS NOT NULL, \
             c.answered_at IS NOT NULL AND c.ended_at IS NOT NULL \
             FROM ledger l LEFT JOIN calls c \
             ON c.workspace_id = l.workspace_id AND c.id = l.call_id \
             WHERE l.workspace_id = ?1 AND l.seq > ?2 ORDER BY l.seq LIMIT ?3",
        )
        .bind(workspace.as_uuid())
        .bind(seq)
        .bind(ROWS)
        .fetch_all(&mut *snapshot)
        .await?;
        for row in &rows {
            let entry = entry_of(row)?;
            found.entry(workspace, &entry, (seq, balance));
            if entry.kind == EntryKind::Debit {
                found.debit(workspace, &entry, row.try_get(9)?, row.try_get(10)?);
            }
            (seq, balance) = (entry.seq, entry.balance_after);
        }
        if rows.is_empty() {
            break;
        }
    }
    let held: i64 = sqlx::query_scalar("SELECT held_minor FROM wallets WHERE workspace_id = ?1")
        .bind(workspace.as_uuid())
        .fetch_one(snapshot)
        .await?;
    if held > balance.get() {
        found.differs(workspace, None, None, Discrepancy::Held, (balance.get(), held));
    }
    Ok(balance)
}

async fn calls(
    snapshot: &mut SqliteConnection,
    workspace: WorkspaceId,
    found: &mut Reconciliation,
) -> Result<(), StoreError> {
    // The debit is found by its key, which is the call's id as text.
    let sql = format!(
        "SELECT {CALL_COLUMNS}, (SELECT -amount_minor FROM ledger l \
         WHERE l.workspace_id = c.workspace_id AND l.idempotency_key = lower( \
         substr(hex(c.id), 1, 8) || '-' || substr(hex(c.id), 9, 4) || '-' || \
         substr(hex(c.id), 13, 4) || '-' || substr(hex(c.id), 17, 4) || '-' || \
         substr(hex(c.id), 21)) || ':debit') \
         FROM calls c WHERE c.workspace_id = ?1 AND c.id > ?2 ORDER BY c.id LIMIT ?3"
    );
    let mut last = Uuid::nil();
    loop {
        let rows = sqlx::query(AssertSqlSafe(sql.as_str()))
            .bind(workspace.as_uuid())
            .bind(last)
            .bind(ROWS)
            .fetch_all(&mut *snapshot)
            .await?;
        for row in &rows {
            found.call(&call_of(row)?, debit_of(row)?);
        }
        match rows.last() {
            Some(row) => last = row.try_get(0)?,
            None => return Ok(()),
        }
    }
}

fn debit_of(row: &SqliteRow) -> Result<Option<Minor>, StoreError> {
    Ok(row.try_get::<Option<i64>, _>(CALL_COLUMN_COUNT)?.map(Minor::new))
}

impl Reconciliation {
    /// An entry after `last`, its place and the balance after it.
    fn entry(&mut self, workspace: WorkspaceId, entry: &LedgerEntry, last: (i64, Minor)) {
        self.entries += 1;
        let amount = i128::from(entry.amount.get());
        match entry.kind {
            EntryKind::Topup | EntryKind::Adjust => self.credited += amount,
            EntryKind::Debit | EntryKind::Rent => self.debited -= amount,
        }
        let (seq, balance) = last;
        if entry.seq != seq + 1 {
            let places = (seq + 1, entry.seq);
            self.differs(workspace, entry.call, Some(entry.id), Discrepancy::Gap, places);
        }
        let expected = balance.get().saturating_add(entry.amount.get());
        if entry.balance_after.get() != expected {
            let balances = (expected, entry.balance_after.get());
            self.differs(workspace, entry.call, Some(entry.id), Discrepancy::Balance, balances);
        }
    }

    fn debit(&mut self, workspace: WorkspaceId, entry: &LedgerEntry, known: bool, billed: bool) {
        let key = entry.call.map(|call| format!("{call}:debit"));
        let what = match (known, billed) {
            (false, _) => Discrepancy::DebitOfNoCall,
            (true, false) => Discrepancy::DebitOfUnbilledCall,
            (true, true) if key.as_ref() != Some(&entry.idempotency_key) => {
                Discrepancy::SecondDebit
            }
            (true, true) => return,
        };
        self.differs(workspace, entry.call, Some(entry.id), what, (0, -entry.amount.get()));
    }

    fn call(&mut self, call: &CallRow, debit: Option<Minor>) {
        self.calls += 1;
        if call.ended_at.is_none() {
            self.open_calls += 1;
        }
        let billed = call.ended_at.is_some() && call.answered_at.is_some();
        let expected = if billed { cost_of(call) } else { Minor::ZERO };
        let mut differs = |what, expected: Minor, found: Minor| {
            let values = (expected.get(), found.get());
            self.differs(call.workspace, Some(call.id), None, what, values);
        };
        if call.cost != expected {
            differs(Discrepancy::Cost, expected, call.cost);
        }
        match debit {
            None if billed => differs(Discrepancy::NoDebit, call.cost, Minor::ZERO),
            Some(debit) if billed && debit != call.cost => {
                differs(Discrepancy::Debit, call.cost, debit);
            }
            _ => {}
        }
    }

    fn differs(
        &mut self,
        workspace: WorkspaceId,
        call: Option<CallId>,
        entry: Option<EntryId>,
        what: Discrepancy,
        (expected, found): (i64, i64),
    ) {
        self.difference_count += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference { workspace, call, entry, what, expected, found });
        }
    }
}

/// What an answered call's seconds cost at its rate. A call that a dead gateway left is never billed
/// beyond what was held for it.
fn cost_of(call: &CallRow) -> Minor {
    let Some(rate) = &call.rate else { return Minor::ZERO };
    let seconds = u64::from(call.duration_seconds.unwrap_or(0));
    let cost = rate.cost(seconds).unwrap_or(call.held);
    if call.hangup_by == Some(HangupBy::Recovered) { cost.min(call.held) } else { cost }
}
