//! Lists and reads: pages that stay right, filters, and nothing of another workspace.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use sautikit_core::cause::CallStatus;
use sautikit_core::ids::{CallId, WorkspaceId};
use sautikit_core::time::UnixMicros;
use sautikit_store::{CallFilter, CallRow, Cursor, Direction, Store, Urgency, Writer};
use uuid::Uuid;

use crate::common::{Place, START, answered, close, ended, now, number, ring, ringing, workspace};

async fn write_all(writer: &Writer, calls: &[CallRow]) {
    for call in calls {
        writer.submit_unwatched(ring(call), Urgency::Lazy).unwrap();
    }
    now(writer, sautikit_store::Write::Read(calls[0].workspace)).await.unwrap();
}

async fn ids(store: &Store, ws: WorkspaceId, filter: &CallFilter) -> Vec<CallId> {
    let page = store.calls(ws, filter, None, 100).await.unwrap();
    page.rows.iter().map(|call| call.id).collect()
}

#[tokio::test]
async fn pages_show_every_row_once_while_rows_are_added() {
    let place = Place::new();
    let store = place.serve().await;
    let (ws, other) = (workspace(&store, 0).await, workspace(&store, 0).await);
    let writer = store.start_writer().await.unwrap();
    let calls: Vec<_> = (0..57).map(|_| ringing(ws)).collect();
    write_all(&writer, &calls).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.calls(ws, &CallFilter::default(), cursor, 10).await.unwrap();
        seen.extend(page.rows.iter().map(|call| call.id));
        write_all(&writer, &[ringing(ws), ringing(other)]).await;
        let Some(next) = page.next else { break };
        cursor = Cursor::parse(&next.to_string());
        assert!(cursor.is_some());
    }
    let newest_first: Vec<_> = calls.iter().rev().map(|call| call.id).collect();
    assert_eq!(seen, newest_first);
}

#[tokio::test]
async fn ledger_pages_show_every_entry_once_while_entries_are_added() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 1_000).await;
    let writer = store.start_writer().await.unwrap();
    let pay = async || now(&writer, close(&ended(answered(ringing(ws), 1), 1))).await.unwrap();
    for _ in 0..12 {
        pay().await;
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.ledger(ws, cursor, 5).await.unwrap();
        seen.extend(page.rows.iter().map(|entry| entry.seq));
        pay().await;
        let Some(next) = page.next else { break };
        cursor = Some(next);
    }
    assert_eq!(seen, (1..=13).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_limit_is_brought_into_its_range() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 0).await;
    let writer = store.start_writer().await.unwrap();
    write_all(&writer, &(0..120).map(|_| ringing(ws)).collect::<Vec<_>>()).await;
    for (asked, given) in [(0, 1), (25, 25), (1_000, 100)] {
        let page = store.calls(ws, &CallFilter::default(), None, asked).await.unwrap();
        assert_eq!(page.rows.len(), given);
    }
}

#[tokio::test]
async fn another_workspaces_rows_are_not_there() {
    let place = Place::new();
    let store = place.serve().await;
    let (ws, other) = (workspace(&store, 100).await, workspace(&store, 0).await);
    let writer = store.start_writer().await.unwrap();
    let call = ended(answered(ringing(ws), 5), 5);
    now(&writer, close(&call)).await.unwrap();
    assert!(store.call(ws, call.id).await.unwrap().is_some());
    assert!(store.call(other, call.id).await.unwrap().is_none());
    assert!(ids(&store, other, &CallFilter::default()).await.is_empty());
    let session = CallFilter { session: Some(call.session), ..CallFilter::default() };
    assert_eq!(ids(&store, ws, &session).await, [call.id]);
    assert!(ids(&store, other, &session).await.is_empty());
    assert!(store.ledger(other, None, 25).await.unwrap().rows.is_empty());
    let nobody = WorkspaceId::from_uuid(Uuid::now_v7());
    assert!(store.wallet(nobody).await.unwrap().is_none());
    assert!(store.call(nobody, call.id).await.unwrap().is_none());
}

#[tokio::test]
async fn each_filter_gives_exactly_what_it_names() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 1_000).await;
    let writer = store.start_writer().await.unwrap();
    let first = ringing(ws);
    let mut inbound = ringing(ws);
    inbound.direction = Direction::Inbound;
    inbound.remote = Some(number("+254733999888"));
    let mut joined = ringing(ws);
    joined.session = first.session;
    let mut internal = ringing(ws);
    (internal.local, internal.remote) = (None, None);
    let done = ended(answered(ringing(ws), 5), 5);
    write_all(&writer, &[first.clone(), inbound.clone(), joined.clone(), internal.clone()]).await;
    now(&writer, close(&done)).await.unwrap();

    let all = CallFilter::default;
    let check = async |filter: CallFilter, expected: &[&CallRow]| {
        let expected: Vec<_> = expected.iter().map(|call| call.id).collect();
        assert_eq!(ids(&store, ws, &filter).await, expected, "{filter:?}");
    };
    check(all(), &[&done, &internal, &joined, &inbound, &first]).await;
    check(CallFilter { statuses: vec![CallStatus::Completed], ..all() }, &[&done]).await;
    let two = vec![CallStatus::Completed, CallStatus::Ringing];
    check(CallFilter { statuses: two, ..all() }, &[&done, &internal, &joined, &inbound, &first])
        .await;
    check(CallFilter { direction: Some(Direction::Inbound), ..all() }, &[&inbound]).await;
    check(CallFilter { q: Some("+254733".into()), ..all() }, &[&inbound]).await;
    check(
        CallFilter { q: Some("700 000 001".into()), ..all() },
        &[&done, &joined, &inbound, &first],
    )
    .await;
    check(CallFilter { q: Some("%".into()), ..all() }, &[]).await;
    check(CallFilter { session: Some(first.session), ..all() }, &[&joined, &first]).await;
    check(CallFilter { session: Some(joined.id.into()), ..all() }, &[&joined]).await;
}

#[tokio::test]
async fn times_bound_the_start_of_a_call() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 0).await;
    let writer = store.start_writer().await.unwrap();
    let calls: Vec<_> = (0..3_i64)
        .map(|hour| {
            let mut call = ringing(ws);
            let at = START + hour * 3_600_000_000;
            call.id = CallId::from_parts(u64::try_from(at / 1_000).unwrap(), [9; 10]);
            call.session = call.id.into();
            call.started_at = UnixMicros(at);
            call
        })
        .collect();
    write_all(&writer, &calls).await;
    let from = Some(UnixMicros(START + 3_600_000_000));
    let filter = CallFilter { from, ..CallFilter::default() };
    assert_eq!(ids(&store, ws, &filter).await, [calls[2].id, calls[1].id]);
    let filter = CallFilter { to: from, ..CallFilter::default() };
    assert_eq!(ids(&store, ws, &filter).await, [calls[0].id]);
    for (from, to) in [(i64::MIN, i64::MAX), (i64::MIN, i64::MAX - 1)] {
        let filter = CallFilter {
            from: Some(UnixMicros(from)),
            to: Some(UnixMicros(to)),
            ..CallFilter::default()
        };
        assert_eq!(ids(&store, ws, &filter).await.len(), 3);
    }
}
