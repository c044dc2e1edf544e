//! What the store's tests share: a database of their own, rows to write, and the invariants that
//! must hold in SQL whatever happened.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sautikit_core::cause::{CallStatus, HangupBy};
use sautikit_core::e164::E164;
use sautikit_core::ids::{CallId, EntryId, EventId, WorkspaceId};
use sautikit_core::money::Minor;
use sautikit_core::rate::Rate;
use sautikit_core::time::UnixMicros;
use sautikit_store::{
    CallEvent, CallRow, Debit, Direction, NewWorkspace, Origin, Role, Store, Urgency, Write,
    WriteError, Writer, Written, open,
};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600_000_000;

/// A directory that goes with the test.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "sautikit-store-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self { directory: std::env::temp_dir().join(name) }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.join("sautikit.db")
    }

    /// What the writer writes down beside a database that takes nothing.
    pub(crate) fn journal(&self) -> PathBuf {
        self.directory.join("sautikit.db.outage")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.file().display())
    }

    pub(crate) async fn serve(&self) -> Store {
        open(&self.url(), Role::Serve).await.expect("the database opens")
    }

    /// A connection that no rule of the store stands in front of.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url()).await.expect("the file is there")
    }

    /// The same, and nobody else may write until it says `ROLLBACK`.
    pub(crate) async fn lock(&self) -> SqliteConnection {
        let mut raw = self.raw().await;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut raw).await.expect("nobody else writes");
        raw
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) async fn workspace(store: &Store, balance: i64) -> WorkspaceId {
    let new = NewWorkspace {
        id: None,
        name: "Test".into(),
        balance: Minor::new(balance),
        numbers: Vec::new(),
        key: None,
    };
    store.create_workspace(new).await.expect("a new workspace")
}

pub(crate) fn number(text: &str) -> E164 {
    E164::parse(text).expect("a number")
}

pub(crate) fn ringing(workspace: WorkspaceId) -> CallRow {
    let id = CallId::from_uuid(Uuid::now_v7());
    CallRow {
        id,
        workspace,
        session: id.into(),
        direction: Direction::Outbound,
        origin: Origin::Browser,
        identity: None,
        local: Some(number("+254700000001")),
        remote: Some(number("+254722000001")),
        country: None,
        trunk: Some("carrier".into()),
        started_at: UnixMicros(START),
        answered_at: None,
        ended_at: None,
        duration_seconds: None,
        status: CallStatus::Ringing,
        failure_code: None,
        hangup_cause: None,
        hangup_by: None,
        rate: Rate::new(300.into(), 1, Minor::ZERO, Minor::ZERO).ok(),
        rate_prefix: Some("+254".into()),
        cost: Minor::ZERO,
        held: Minor::ZERO,
        quality: None,
        metadata: None,
        created_at: UnixMicros(START),
        updated_at: UnixMicros(START),
    }
}

pub(crate) fn answered(mut call: CallRow, held: i64) -> CallRow {
    call.status = CallStatus::Answered;
    call.answered_at = Some(UnixMicros(START + 1_000_000));
    call.held = Minor::new(held);
    call
}

pub(crate) fn ended(mut call: CallRow, cost: i64) -> CallRow {
    let was_answered = call.answered_at.is_some();
    call.status = if was_answered { CallStatus::Completed } else { CallStatus::Canceled };
    call.ended_at = Some(UnixMicros(START + 2_000_000));
    call.duration_seconds = Some(if was_answered { 1 } else { 0 });
    call.hangup_cause = Some(Cow::Borrowed("normal_clearing"));
    call.hangup_by = Some(HangupBy::Caller);
    call.cost = Minor::new(cost);
    call
}

pub(crate) fn event(kind: &'static str) -> CallEvent {
    CallEvent {
        id: EventId::from_uuid(Uuid::now_v7()),
        kind: Cow::Borrowed(kind),
        payload: Cow::Borrowed("{\"a\":\"line\\nbreak\"}"),
        occurred_at: UnixMicros(START),
    }
}

pub(crate) fn ring(call: &CallRow) -> Write {
    Write::Call { call: Box::new(call.clone()), events: vec![event("call.started")] }
}

pub(crate) fn answer(call: &CallRow) -> Write {
    Write::Answer {
        call: Box::new(call.clone()),
        dialog: "{\"call_id\":\"x\"}".into(),
        events: vec![event("call.answered")],
    }
}

/// Closes an answered call with its debit, an unanswered one without.
pub(crate) fn close(call: &CallRow) -> Write {
    let debit = call.answered_at.is_some().then(|| Debit {
        entry: EntryId::from_uuid(Uuid::now_v7()),
        amount: call.cost,
        idempotency_key: format!("{}:debit", call.id),
        description: "Call".into(),
    });
    Write::Close { call: Box::new(call.clone()), debit, events: vec![event("call.completed")] }
}

pub(crate) async fn now(writer: &Writer, write: Write) -> Result<Written, WriteError> {
    writer.submit(write, Urgency::Now).await
}

/// Numbers that look random and are the same for a seed.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// One number of one query.
pub(crate) async fn number_of(raw: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(raw).await.expect("the query runs")
}

/// Each counts the rows that break an invariant.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "the entries of a workspace sum up to its balance",
        "SELECT count(*) FROM wallets w WHERE balance_minor IS NOT \
         (SELECT coalesce(sum(amount_minor), 0) FROM ledger l WHERE l.workspace_id = w.workspace_id)",
    ),
    (
        "no balance is negative and no hold goes beyond it",
        "SELECT count(*) FROM wallets WHERE balance_minor < 0 OR balance_minor < held_minor",
    ),
    (
        "each ended answered call has one debit of its cost, and no other call has one",
        "SELECT count(*) FROM calls c WHERE (SELECT count(*) FROM ledger l WHERE l.call_id = c.id \
         AND l.workspace_id = c.workspace_id AND l.kind = 'debit' AND l.amount_minor = -c.cost_minor) \
         <> (c.answered_at IS NOT NULL AND c.ended_at IS NOT NULL) \
         OR (SELECT count(*) FROM ledger l WHERE l.call_id = c.id) > 1",
    ),
    ("no debit is above its hold", "SELECT count(*) FROM calls WHERE cost_minor > held_minor"),
    (
        "each debit is of a call of its own workspace",
        "SELECT count(*) FROM ledger l WHERE kind = 'debit' AND NOT EXISTS \
         (SELECT 1 FROM calls c WHERE c.id = l.call_id AND c.workspace_id = l.workspace_id)",
    ),
    (
        "an open hold is of an answered call without an end, and each such call has one",
        "SELECT (SELECT count(*) FROM open_holds) - \
         (SELECT count(*) FROM calls WHERE answered_at IS NOT NULL AND ended_at IS NULL)",
    ),
    (
        "a key is taken once per workspace",
        "SELECT count(*) FROM (SELECT 1 FROM ledger GROUP BY workspace_id, idempotency_key \
         HAVING count(*) > 1)",
    ),
    (
        "entries are counted without a gap and each balance follows the one before",
        "SELECT count(*) FROM (SELECT seq, amount_minor, balance_after_minor, \
         lag(seq, 1, 0) OVER w AS seq_before, lag(balance_after_minor, 1, 0) OVER w AS balance_before \
         FROM ledger WINDOW w AS (PARTITION BY workspace_id ORDER BY seq)) \
         WHERE seq <> seq_before + 1 OR balance_after_minor <> balance_before + amount_minor",
    ),
];

pub(crate) async fn assert_invariants(raw: &mut SqliteConnection) {
    for (name, sql) in INVARIANTS {
        assert_eq!(number_of(raw, sql).await, 0, "broken: {name}");
    }
    let row = sqlx::query("PRAGMA integrity_check").fetch_one(&mut *raw).await;
    assert_eq!(row.expect("the check runs").get::<String, _>(0), "ok");
}
