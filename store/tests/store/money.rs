//! The ledger's rules: what the writer does, and what the database itself refuses.

use crate::common::{
    Place, answer, answered, assert_invariants, close, ended, now, number_of, ring, ringing,
    workspace,
};
use sautikit_core::ids::WorkspaceId;
use sautikit_core::money::Minor;
use sautikit_store::{StoreError, Talked, Urgency, Write, WriteError, Written};
use uuid::Uuid;

#[tokio::test]
async fn a_call_is_held_when_answered_and_debited_once_when_closed() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 1_000).await;
    let writer = store.start_writer().await.unwrap();
    let call = ringing(ws);
    assert_eq!(now(&writer, ring(&call)).await, Ok(Written::Done));
    let call = answered(call, 450);
    assert_eq!(now(&writer, answer(&call)).await, Ok(Written::Done));
    let wallet = store.wallet(ws).await.unwrap().unwrap();
    assert_eq!((wallet.balance.get(), wallet.held.get()), (1_000, 450));
    let sign = Talked { call: call.id, talked_ms: 5_000, held: Minor::new(500) };
    assert_eq!(now(&writer, Write::Talked(vec![sign])).await, Ok(Written::Done));
    assert_eq!(store.wallet(ws).await.unwrap().unwrap().held.get(), 500);

    let mut call = ended(call, 25);
    call.held = Minor::new(500);
    assert_eq!(now(&writer, close(&call)).await, Ok(Written::Posted));
    assert_eq!(now(&writer, close(&call)).await, Ok(Written::Exists));
    let wallet = store.wallet(ws).await.unwrap().unwrap();
    assert_eq!((wallet.balance.get(), wallet.held.get()), (975, 0));
    let page = store.ledger(ws, None, 25).await.unwrap();
    assert_eq!(page.rows.iter().map(|e| e.amount.get()).collect::<Vec<_>>(), [-25, 1_000]);
    assert_eq!(page.rows[0].idempotency_key, format!("{}:debit", call.id));
    let (row, events) = store.call(ws, call.id).await.unwrap().unwrap();
    assert_eq!(row, call);
    let kinds: Vec<_> = events.iter().map(|event| &*event.kind).collect();
    assert_eq!(kinds, ["call.started", "call.answered", "call.completed"]);
    assert_eq!(events[0].payload, "{\"a\":\"line\\nbreak\"}");
    assert_invariants(&mut place.raw().await).await;
}

#[tokio::test]
async fn an_ended_row_never_changes_and_opens_no_hold_again() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 1_000).await;
    let writer = store.start_writer().await.unwrap();
    let live = answered(ringing(ws), 450);
    let call = ended(live.clone(), 25);
    now(&writer, close(&call)).await.unwrap();
    now(&writer, ring(&live)).await.unwrap();
    now(&writer, answer(&live)).await.unwrap();
    assert_eq!(store.call(ws, call.id).await.unwrap().unwrap().0, call);
    assert_eq!(store.wallet(ws).await.unwrap().unwrap().held, Minor::ZERO);
    assert!(store.orphans().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_free_call_and_a_call_of_no_seconds_still_get_their_entry() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 0).await;
    let writer = store.start_writer().await.unwrap();
    let mut call = ended(answered(ringing(ws), 0), 0);
    call.rate = None;
    assert_eq!(now(&writer, close(&call)).await, Ok(Written::Posted));
    assert_eq!(store.ledger(ws, None, 25).await.unwrap().rows[0].amount, Minor::ZERO);
}

#[tokio::test]
async fn one_batch_takes_many_entries_of_one_workspace_and_fails_only_those_that_must() {
    let place = Place::new();
    let store = place.serve().await;
    let (rich, poor) = (workspace(&store, 10_000).await, workspace(&store, 30).await);
    let nobody = WorkspaceId::from_uuid(Uuid::now_v7());
    let writer = store.start_writer().await.unwrap();
    let calls: Vec<_> = (0..300)
        .map(|n| {
            let ws = if n == 50 || n == 120 {
                nobody
            } else if n % 40 == 3 {
                poor
            } else {
                rich
            };
            ended(answered(ringing(ws), 25), 25)
        })
        .collect();
    // Twice the same close, in the same batch.
    let twice = calls.iter().chain(calls.iter().take(5));
    let receipts: Vec<_> =
        twice.map(|call| (call.workspace, writer.submit(close(call), Urgency::Soon))).collect();
    let mut poor_posted = 0;
    for (index, (ws, receipt)) in receipts.into_iter().enumerate() {
        let outcome = receipt.await;
        if index >= 300 {
            assert_eq!(outcome, Ok(Written::Exists), "{index}");
        } else if ws == nobody {
            assert_eq!(outcome, Err(WriteError::UnknownWorkspace));
        } else if ws == poor && poor_posted == 1 {
            assert_eq!(outcome, Err(WriteError::Overdraft));
        } else {
            assert_eq!(outcome, Ok(Written::Posted), "{index}");
            poor_posted += i32::from(ws == poor);
        }
    }
    assert_eq!(store.wallet(poor).await.unwrap().unwrap().balance.get(), 5);
    assert_invariants(&mut place.raw().await).await;
}

#[tokio::test]
async fn a_read_sees_what_was_submitted_before_it_and_nothing_later() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 1_000).await;
    let writer = store.start_writer().await.unwrap();
    let mut reads = Vec::new();
    for paid in 0..20 {
        let receipt = writer.submit(Write::Read(ws), Urgency::Lazy);
        reads.push((1_000 - paid * 10, receipt));
        let call = ended(answered(ringing(ws), 10), 10);
        writer.submit_unwatched(close(&call), Urgency::Lazy).unwrap();
    }
    for (expected, receipt) in reads {
        assert_eq!(receipt.await, Ok(Written::Balance(Minor::new(expected))));
    }
    let nobody = WorkspaceId::from_uuid(Uuid::now_v7());
    assert_eq!(now(&writer, Write::Read(nobody)).await, Err(WriteError::UnknownWorkspace));
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_the_ledger() {
    let place = Place::new();
    let store = place.serve().await;
    workspace(&store, 1_000).await;
    let mut raw = place.raw().await;
    for sql in [
        "UPDATE ledger SET amount_minor = 2000",
        "DELETE FROM ledger",
        "INSERT INTO ledger SELECT workspace_id, seq + 2, id, kind, 0, balance_after_minor, call_id, \
         'x', '', 0 FROM ledger",
        "INSERT INTO ledger SELECT workspace_id, seq + 1, id, kind, 1, balance_after_minor, call_id, \
         'x', '', 0 FROM ledger",
        "INSERT INTO ledger SELECT workspace_id, seq + 1, id, 'adjust', -1001, -1, call_id, 'x', '', 0 \
         FROM ledger",
        "INSERT INTO ledger SELECT workspace_id, seq + 1, id, 'topup', -1, 999, call_id, 'x', '', 0 \
         FROM ledger",
        "INSERT INTO ledger SELECT workspace_id, seq + 1, id, 'debit', -1, 999, NULL, 'x', '', 0 \
         FROM ledger",
        "INSERT INTO ledger SELECT workspace_id, seq + 1, id, kind, 0, balance_after_minor, call_id, \
         idempotency_key, '', 0 FROM ledger",
        "INSERT OR REPLACE INTO ledger SELECT workspace_id, seq, id, kind, 5, 5, call_id, \
         idempotency_key, '', 0 FROM ledger",
    ] {
        assert!(sqlx::query(sql).execute(&mut raw).await.is_err(), "{sql}");
    }
    assert_eq!(number_of(&mut raw, "SELECT count(*) FROM ledger").await, 1);
    assert_invariants(&mut raw).await;
}

#[tokio::test]
async fn a_credit_is_posted_once_per_key_and_never_leaves_the_range() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 0).await;
    let first = store.credit(ws, Minor::new(500), "order 1", "cash").await.unwrap();
    let again = store.credit(ws, Minor::new(500), "order 1", "cash").await.unwrap();
    assert!(!first.existed && again.existed);
    assert_eq!((first.entry, first.balance_after), (again.entry, again.balance_after));
    let other = store.credit(ws, Minor::new(501), "order 1", "cash").await;
    assert!(matches!(other, Err(StoreError::KeyConflict)));
    for amount in [0, -1, i64::MIN] {
        assert!(store.credit(ws, Minor::new(amount), "order 2", "").await.is_err());
    }
    let rest = Minor::new(i64::MAX - 500);
    assert_eq!(store.credit(ws, rest, "order 3", "").await.unwrap().balance_after, Minor::MAX);
    let over = store.credit(ws, Minor::new(1), "order 4", "").await;
    assert!(matches!(over, Err(StoreError::BalanceRange)));
    let nobody = WorkspaceId::from_uuid(Uuid::now_v7());
    let unknown = store.credit(nobody, Minor::new(1), "order 5", "").await;
    assert!(matches!(unknown, Err(StoreError::UnknownWorkspace)));
    // Two workspaces may use one key.
    let second = workspace(&store, 0).await;
    assert!(!store.credit(second, Minor::new(500), "order 1", "").await.unwrap().existed);
    assert_invariants(&mut place.raw().await).await;
}

#[tokio::test]
async fn a_debit_at_the_edge_of_the_range_is_refused_and_not_wrapped() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 100).await;
    let writer = store.start_writer().await.unwrap();
    let call = ended(answered(ringing(ws), i64::MAX), i64::MAX);
    assert_eq!(now(&writer, close(&call)).await, Err(WriteError::Overdraft));
    assert_eq!(store.wallet(ws).await.unwrap().unwrap().balance.get(), 100);
    assert!(
        store.call(ws, call.id).await.unwrap().is_none(),
        "nothing of a refused close is there"
    );
}

#[tokio::test]
async fn one_commit_of_a_whole_call_keeps_all_its_events_in_order() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 100).await;
    let writer = store.start_writer().await.unwrap();
    let (call, other) = (ringing(ws), ringing(ws));
    let talking = answered(call.clone(), 9);
    // Nothing is committed before the last one: the writer has not run yet.
    writer.submit_unwatched(ring(&call), Urgency::Lazy).unwrap();
    writer.submit_unwatched(ring(&other), Urgency::Lazy).unwrap();
    writer.submit_unwatched(ring(&call), Urgency::Lazy).unwrap();
    let answer = writer.submit(answer(&talking), Urgency::Soon);
    let close = writer.submit(close(&ended(talking, 7)), Urgency::Now);
    assert_eq!((answer.await, close.await), (Ok(Written::Done), Ok(Written::Posted)));
    let kinds = async |id| {
        let (_, events) = store.call(ws, id).await.unwrap().unwrap();
        events.iter().map(|event| event.kind.to_string()).collect::<Vec<_>>()
    };
    let whole = ["call.started", "call.started", "call.answered", "call.completed"];
    assert_eq!(kinds(call.id).await, whole);
    assert_eq!(kinds(other.id).await, ["call.started"]);
    assert_eq!(store.wallet(ws).await.unwrap().unwrap().balance.get(), 93);
}
