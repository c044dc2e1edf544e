//! `Idempotency-Key`: first, running, again, other.

use sautikit_store::{Begun, SavedAnswer};

use crate::common::{Place, workspace};

#[tokio::test]
async fn a_key_runs_once_and_is_answered_the_same_again() {
    let place = Place::new();
    let store = place.serve().await;
    let (ws, other) = (workspace(&store, 0).await, workspace(&store, 0).await);
    let (hash, another) = ([1; 32], [2; 32]);
    let begin = async |ws, hash: &[u8; 32]| store.idempotency_begin(ws, "k", hash).await.unwrap();
    assert_eq!(begin(ws, &hash).await, Begun::Started);
    assert_eq!(begin(ws, &hash).await, Begun::InProgress);
    assert_eq!(begin(ws, &another).await, Begun::Conflict);
    assert_eq!(begin(other, &another).await, Begun::Started, "another workspace's key");
    let answer = SavedAnswer::Whole { status: 201, body: "{\"id\":1}".into() };
    store.idempotency_finish(ws, "k", &answer).await.unwrap();
    assert_eq!(begin(ws, &hash).await, Begun::Replay(answer));
    assert_eq!(begin(ws, &another).await, Begun::Conflict);
}

#[tokio::test]
async fn a_secret_is_not_kept() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 0).await;
    store.idempotency_begin(ws, "k", &[1; 32]).await.unwrap();
    let answer = SavedAnswer::SecretShown { id: "key id".into() };
    store.idempotency_finish(ws, "k", &answer).await.unwrap();
    let again = store.idempotency_begin(ws, "k", &[1; 32]).await.unwrap();
    assert_eq!(again, Begun::Replay(answer));
}

#[tokio::test]
async fn an_abandoned_or_interrupted_key_may_be_tried_again() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 0).await;
    store.idempotency_begin(ws, "k", &[1; 32]).await.unwrap();
    store.idempotency_abandon(ws, "k").await.unwrap();
    assert_eq!(store.idempotency_begin(ws, "k", &[2; 32]).await.unwrap(), Begun::Started);
    drop(store);
    let store = place.serve().await;
    assert_eq!(store.idempotency_begin(ws, "k", &[3; 32]).await.unwrap(), Begun::Started);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 0).await;
    let answer = SavedAnswer::Whole { status: 200, body: String::new() };
    for key in ["old", "other"] {
        store.idempotency_begin(ws, key, &[1; 32]).await.unwrap();
        store.idempotency_finish(ws, key, &answer).await.unwrap();
    }
    let mut raw = place.raw().await;
    let age = "UPDATE idempotency SET started_at = started_at - 86400000000";
    sqlx::query(age).execute(&mut raw).await.unwrap();
    assert_eq!(store.idempotency_begin(ws, "old", &[2; 32]).await.unwrap(), Begun::Started);
    assert_eq!(crate::common::number_of(&mut raw, "SELECT count(*) FROM idempotency").await, 1);
}
