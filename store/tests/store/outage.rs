//! A database that does not take writes for a while: nothing is lost, and nobody waits for ever.

use std::time::{Duration, Instant};

use sautikit_core::ids::WorkspaceId;
use sautikit_core::money::Minor;
use sautikit_store::{QUEUE_MAX, Talked, Urgency, Write, WriteError, Writer, Written};
use tokio::time::{sleep, timeout};

use crate::common::{
    Place, answer, answered, assert_invariants, close, ended, now, number_of, ring, ringing,
    workspace,
};

async fn pay(writer: &Writer, ws: WorkspaceId) -> Result<Written, WriteError> {
    now(writer, close(&ended(answered(ringing(ws), 10), 10))).await
}

#[tokio::test]
async fn a_locked_database_loses_no_debit_and_gives_answers_back() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 10_000).await;
    let writer = store.start_writer().await.unwrap();
    pay(&writer, ws).await.unwrap();
    let mut raw = place.lock().await;
    let locked = Instant::now();
    let (mut closes, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let call = answered(ringing(ws), 10);
        closes.push(writer.submit(close(&ended(call, 10)), Urgency::Soon));
        answers.push(writer.submit(answer(&answered(ringing(ws), 10)), Urgency::Now));
    }
    answers.push(writer.submit(Write::Read(ws), Urgency::Now));
    for receipt in answers {
        assert_eq!(receipt.await, Err(WriteError::Unavailable));
    }
    let waited = locked.elapsed();
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(4), "{waited:?}");
    // Readers go on, and so does what can wait.
    assert_eq!(store.wallet(ws).await.unwrap().unwrap().balance.get(), 9_990);
    assert_eq!(writer.waiting(), 40);
    sleep(Duration::from_secs(2)).await;
    sqlx::query("ROLLBACK").execute(&mut raw).await.unwrap();
    for receipt in closes {
        assert_eq!(receipt.await, Ok(Written::Posted));
    }
    assert_eq!(store.wallet(ws).await.unwrap().unwrap().balance.get(), 9_590);
    let answered = "SELECT count(*) FROM calls WHERE ended_at IS NULL";
    assert_eq!(number_of(&mut raw, answered).await, 0, "an answer that was given back");
    assert_eq!(pay(&writer, ws).await, Ok(Written::Posted));
    assert_invariants(&mut raw).await;
}

#[tokio::test]
async fn a_full_queue_says_so_at_once_and_keeps_room_for_closes() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 10_000).await;
    let writer = store.start_writer().await.unwrap();
    let _locked = place.lock().await;
    let call = ringing(ws);
    let mut taken = 0;
    while writer.submit_unwatched(ring(&call), Urgency::Lazy).is_ok() {
        taken += 1;
    }
    assert!((QUEUE_MAX * 3 / 4..QUEUE_MAX).contains(&taken), "{taken}");
    assert_eq!(now(&writer, answer(&answered(call, 10))).await, Err(WriteError::QueueFull));
    let waiting = writer.waiting();
    let over = close(&ended(answered(ringing(ws), 10), 10));
    assert_eq!(writer.submit_unwatched(over, Urgency::Soon), Ok(()));
    assert_eq!(writer.waiting(), waiting + 1);
}

#[tokio::test]
async fn shutting_down_commits_what_is_queued_and_takes_no_more() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 10_000).await;
    let writer = store.start_writer().await.unwrap();
    for _ in 0..500 {
        let call = ended(answered(ringing(ws), 10), 10);
        writer.submit_unwatched(close(&call), Urgency::Lazy).unwrap();
    }
    timeout(Duration::from_secs(20), writer.shut_down()).await.unwrap();
    assert_eq!(store.wallet(ws).await.unwrap().unwrap().balance.get(), 5_000);
    assert_eq!(pay(&writer, ws).await, Err(WriteError::Stopped));
    timeout(Duration::from_secs(1), writer.shut_down()).await.unwrap();
}

#[tokio::test]
async fn what_is_in_no_hurry_waits_no_longer_than_it_may() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 10_000).await;
    let writer = store.start_writer().await.unwrap();
    for (urgency, least) in [(Urgency::Now, 0), (Urgency::Soon, 20), (Urgency::Lazy, 245)] {
        // From a writer that sleeps without a clock, and from one that has just worked.
        for pause in [100, 0] {
            sleep(Duration::from_millis(pause)).await;
            let begun = Instant::now();
            let call = ended(answered(ringing(ws), 10), 10);
            writer.submit(close(&call), urgency).await.unwrap();
            let waited = begun.elapsed();
            assert!(waited >= Duration::from_millis(least), "{urgency:?} {waited:?}");
            // A slow disk may add to it, a forgotten item would never come.
            assert!(waited < Duration::from_millis(least + 2_000), "{urgency:?} {waited:?}");
        }
    }
}

#[tokio::test]
async fn a_tool_and_the_writer_take_turns() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 10_000).await;
    let tool = sautikit_store::open(&place.url(), sautikit_store::Role::Tool).await.unwrap();
    let writer = store.start_writer().await.unwrap();
    let crediting = async {
        for n in 0..50 {
            tool.credit(ws, Minor::new(10), &format!("{n}"), "").await.unwrap();
        }
    };
    let paying = async {
        for _ in 0..50 {
            pay(&writer, ws).await.unwrap();
        }
    };
    tokio::join!(crediting, paying);
    assert_eq!(store.wallet(ws).await.unwrap().unwrap().balance.get(), 10_000);
    assert_invariants(&mut place.raw().await).await;
}

#[tokio::test]
async fn a_database_that_takes_no_commits_is_known_until_it_is_back() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 10_000).await;
    let writer = store.start_writer().await.unwrap();
    let mut raw = place.lock().await;
    assert!(!writer.is_failing(), "nothing has been tried");
    // Given up after its patience: then nothing is queued that would find out by itself.
    let call = answered(ringing(ws), 10);
    assert_eq!(now(&writer, answer(&call)).await, Err(WriteError::Unavailable));
    assert!(writer.is_failing());
    sqlx::query("ROLLBACK").execute(&mut raw).await.unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    while writer.is_failing() {
        assert!(Instant::now() < end, "it does not notice that the database is back");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_process_that_dies_during_an_outage_leaves_no_call_free() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 10_000).await;
    let (writer, task) = store.open_writer().await.unwrap();
    let running = tokio::spawn(task.run());
    let (over, live) = (answered(ringing(ws), 500), answered(ringing(ws), 500));
    for call in [&over, &live] {
        now(&writer, answer(call)).await.unwrap();
    }
    // It was known to live longer than it is billed for: it fell silent.
    let longer = Talked { call: over.id, talked_ms: 50_000, held: Minor::new(500) };
    now(&writer, Write::Talked(vec![longer])).await.unwrap();
    let mut raw = place.lock().await;
    let close = close(&ended(over.clone(), 45));
    let billed = |write: &Write| match write {
        Write::Close { call, debit, .. } => {
            (u64::from(call.duration_seconds.unwrap()) * 1000, debit.as_ref().unwrap().amount)
        }
        _ => unreachable!("it is a close"),
    };
    let (talked_ms, cost) = billed(&close);
    writer.submit_unwatched(close, Urgency::Soon).unwrap();
    let sign = Talked { call: live.id, talked_ms: 7_000, held: Minor::new(600) };
    writer.submit_unwatched(Write::Talked(vec![sign]), Urgency::Soon).unwrap();
    let journal = place.journal();
    let written = async {
        while std::fs::read_to_string(&journal).map_or(0, |text| text.matches('[').count()) < 2 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), written).await.unwrap();
    running.abort();
    let _ = running.await;
    drop((store, writer));
    sqlx::query("ROLLBACK").execute(&mut raw).await.unwrap();
    // A line that the death cut short harms no other.
    std::fs::write(&journal, std::fs::read_to_string(&journal).unwrap() + "[\"0123").unwrap();

    let store = place.serve().await;
    let orphans = store.orphans().await.unwrap();
    let found: Vec<_> = orphans.iter().map(|o| (o.call.id, o.talked_ms, o.held.get())).collect();
    assert_eq!(found, [(over.id, talked_ms, 500), (live.id, 7_000, 600)]);
    assert!(cost.get() > 0 && !journal.exists());
}

#[tokio::test]
async fn an_outage_that_is_over_leaves_no_journal() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 10_000).await;
    let writer = store.start_writer().await.unwrap();
    let mut raw = place.lock().await;
    let call = answered(ringing(ws), 10);
    let closing = writer.submit(close(&ended(call, 10)), Urgency::Soon);
    let journal = place.journal();
    let comes_and_goes = async |there: bool| {
        while journal.exists() != there {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), comes_and_goes(true)).await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut raw).await.unwrap();
    assert_eq!(closing.await, Ok(Written::Posted));
    timeout(Duration::from_secs(10), comes_and_goes(false)).await.unwrap();
}

#[tokio::test]
async fn the_newest_sign_of_life_outlasts_an_outage() {
    let place = Place::new();
    let store = place.serve().await;
    let ws = workspace(&store, 10_000).await;
    let writer = store.start_writer().await.unwrap();
    let live = answered(ringing(ws), 500);
    now(&writer, answer(&live)).await.unwrap();
    let mut raw = place.lock().await;
    let sign =
        |talked_ms| Write::Talked(vec![Talked { call: live.id, talked_ms, held: Minor::new(600) }]);
    let first = writer.submit(sign(5_000), Urgency::Soon);
    let known = async {
        while !writer.is_failing() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), known).await.unwrap();
    let mut newest = first;
    for second in 6..=9 {
        newest = writer.submit(sign(second * 1_000), Urgency::Soon);
    }
    // It waits longer than anybody waits for an answer.
    let asked = writer.submit(Write::Read(ws), Urgency::Now);
    assert_eq!(asked.await, Err(WriteError::Unavailable));
    assert!(writer.waiting() <= 2, "one in hand and the newest");
    sqlx::query("ROLLBACK").execute(&mut raw).await.unwrap();
    assert_eq!(newest.await, Ok(Written::Done));
    let talked = "SELECT talked_ms FROM holds";
    assert_eq!(number_of(&mut raw, talked).await, 9_000);
}
