//! What a node finds that starts after another one died.

use sautikit_core::money::Minor;
use sautikit_store::{Talked, Urgency, Write};

use crate::common::{
    Place, answer, answered, assert_invariants, close, ended, now, number_of, ring, ringing,
    workspace,
};

#[tokio::test]
async fn answered_calls_are_found_with_their_last_sign_of_life() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 1_000).await;
    let writer = store.start_writer().await.unwrap();
    let (live, silent, over) =
        (answered(ringing(ws), 450), answered(ringing(ws), 5), answered(ringing(ws), 25));
    for call in [&live, &silent, &over] {
        now(&writer, answer(call)).await.unwrap();
    }
    let rings = ringing(ws);
    now(&writer, ring(&rings)).await.unwrap();
    now(&writer, close(&ended(over.clone(), 25))).await.unwrap();
    let sign = |call, talked_ms, held| Talked { call, talked_ms, held: Minor::new(held) };
    // The second sign is late: talked time never goes back.
    for signs in
        [vec![sign(live.id, 9_000, 500), sign(over.id, 1, 1)], vec![sign(live.id, 4_000, 500)]]
    {
        now(&writer, Write::Talked(signs)).await.unwrap();
    }
    drop((store, writer));

    let store = place.serve().await;
    let orphans = store.orphans().await.unwrap();
    let found: Vec<_> = orphans.iter().map(|o| (o.call.id, o.talked_ms, o.held.get())).collect();
    assert_eq!(found, [(live.id, 9_000, 500), (silent.id, 0, 5)]);
    assert_eq!(orphans[0].call, live);
    assert_eq!(orphans[0].dialog, "{\"call_id\":\"x\"}");
    let unanswered = store.unanswered_orphans().await.unwrap();
    assert_eq!(unanswered, std::slice::from_ref(&rings));

    let writer = store.start_writer().await.unwrap();
    now(&writer, close(&ended(live, 45))).await.unwrap();
    now(&writer, close(&ended(silent, 0))).await.unwrap();
    now(&writer, close(&ended(rings, 0))).await.unwrap();
    assert!(store.orphans().await.unwrap().is_empty());
    assert!(store.unanswered_orphans().await.unwrap().is_empty());
    assert_invariants(&mut place.raw().await).await;
}

#[tokio::test]
async fn holds_of_ended_calls_are_cleared_away() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 1_000).await;
    let writer = store.start_writer().await.unwrap();
    let calls: Vec<_> = (0..3).map(|_| answered(ringing(ws), 25)).collect();
    for call in &calls {
        now(&writer, answer(call)).await.unwrap();
    }
    now(&writer, close(&ended(calls[0].clone(), 25))).await.unwrap();
    let mut raw = place.raw().await;
    assert_eq!(number_of(&mut raw, "SELECT count(*) FROM open_holds").await, 2);
    writer.shut_down().await;
    assert_eq!(number_of(&mut raw, "SELECT count(*) FROM holds").await, 2);
    assert_eq!(store.wallet(ws).await.unwrap().unwrap().held.get(), 50);
}

#[tokio::test]
async fn the_events_of_one_call_have_a_bound_that_its_end_does_not_know() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 1_000).await;
    let writer = store.start_writer().await.unwrap();
    let call = ringing(ws);
    for _ in 0..1_000 {
        writer.submit_unwatched(ring(&call), Urgency::Lazy).unwrap();
    }
    now(&writer, close(&ended(call.clone(), 0))).await.unwrap();
    let (_, events) = store.call(ws, call.id).await.unwrap().unwrap();
    assert!(events.len() > 100 && events.len() < 1_000, "{}", events.len());
    assert_eq!(events.last().unwrap().kind, "call.completed");
}
