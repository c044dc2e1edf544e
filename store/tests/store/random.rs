//! Thousands of random operations, some repeated, some refused, against a model of a few lines.

use std::collections::HashMap;

use sautikit_core::ids::WorkspaceId;
use sautikit_core::money::Minor;
use sautikit_store::{CallRow, Receipt, Role, Talked, Urgency, Write, WriteError, Written, open};

use crate::common::{
    Place, Seeded, answer, answered, assert_invariants, close, ended, ring, ringing, workspace,
};

/// What the database must come to: balances, and calls by how far they are.
struct Model {
    balances: HashMap<WorkspaceId, i64>,
    ringing: Vec<CallRow>,
    live: Vec<CallRow>,
    over: Vec<CallRow>,
}

/// What a submitted item must come to, in the order of submission.
enum Expected {
    Exactly(Written),
    Close { workspace: WorkspaceId, cost: i64, call: Box<CallRow> },
}

impl Model {
    fn settle(&mut self, expected: Expected, outcome: Result<Written, WriteError>) {
        match expected {
            Expected::Exactly(written) => assert_eq!(outcome, Ok(written)),
            Expected::Close { workspace, cost, call } => {
                let balance = self.balances.get_mut(&workspace).expect("a known workspace");
                if cost <= *balance {
                    assert_eq!(outcome, Ok(Written::Posted));
                    *balance -= cost;
                    self.over.push(*call);
                } else {
                    assert_eq!(outcome, Err(WriteError::Overdraft));
                }
            }
        }
    }
}

fn take<T>(list: &mut Vec<T>, random: &mut Seeded) -> Option<T> {
    let end = u64::try_from(list.len()).expect("a length fits");
    (end > 0)
        .then(|| list.swap_remove(usize::try_from(random.below(end)).expect("below the length")))
}

/// The next operation, and what it must come to.
fn step(
    model: &mut Model,
    workspaces: &[WorkspaceId],
    random: &mut Seeded,
) -> Option<(Write, Expected)> {
    let done = Expected::Exactly(Written::Done);
    match random.below(10) {
        0..=2 => {
            let ws = workspaces[usize::try_from(random.below(4)).expect("below four")];
            let call = ringing(ws);
            model.ringing.push(call.clone());
            Some((ring(&call), done))
        }
        3..=5 => {
            let held = i64::try_from(random.below(60)).expect("below sixty");
            let call = answered(take(&mut model.ringing, random)?, held);
            model.live.push(call.clone());
            Some((answer(&call), done))
        }
        6 => Some((close(&ended(take(&mut model.ringing, random)?, 0)), done)),
        7 | 8 => {
            let call = take(&mut model.live, random)?;
            let cost = call.held.get();
            let call = ended(call, cost);
            let (workspace, write) = (call.workspace, close(&call));
            Some((write, Expected::Close { workspace, cost, call: Box::new(call) }))
        }
        _ if random.below(2) == 0 => {
            let signs = model.live.iter().map(|call| Talked {
                call: call.id,
                talked_ms: random.below(10_000),
                held: call.held,
            });
            Some((Write::Talked(signs.collect()), done))
        }
        // A hang-up that comes again, long after.
        _ => {
            let call = take(&mut model.over, random)?;
            let write = close(&call);
            model.over.push(call);
            Some((write, Expected::Exactly(Written::Exists)))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations_keep_every_invariant() {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5eed);
    println!("SEED={seed}");
    let mut random = Seeded(seed);
    let place = Place::new();
    let store = place.serve().await;
    let tool = open(&place.url(), Role::Tool).await.unwrap();
    let mut workspaces = Vec::new();
    for _ in 0..4 {
        workspaces.push(workspace(&store, 5_000).await);
    }
    let writer = store.start_writer().await.unwrap();
    let balances = workspaces.iter().map(|ws| (*ws, 5_000)).collect();
    let mut model = Model { balances, ringing: vec![], live: vec![], over: vec![] };
    let mut pending: Vec<(Expected, Receipt)> = Vec::new();
    let mut raw = place.raw().await;
    for round in 0..6_000 {
        if let Some((write, expected)) = step(&mut model, &workspaces, &mut random) {
            let urgency = [Urgency::Now, Urgency::Soon, Urgency::Lazy];
            let urgency = urgency[usize::try_from(random.below(3)).unwrap()];
            pending.push((expected, writer.submit(write, urgency)));
        }
        if pending.len() >= 60 {
            for (expected, receipt) in pending.drain(..) {
                let outcome = receipt.await;
                model.settle(expected, outcome);
            }
            let ws = workspaces[usize::try_from(random.below(4)).unwrap()];
            tool.credit(ws, Minor::new(100), &format!("{round}"), "").await.unwrap();
            *model.balances.get_mut(&ws).unwrap() += 100;
        }
        if round % 2_000 == 0 {
            // A refused close leaves its call as it was: beyond its balance, but answered.
            assert_eq!(
                crate::common::number_of(
                    &mut raw,
                    "SELECT count(*) FROM wallets WHERE balance_minor < 0"
                )
                .await,
                0
            );
        }
    }
    for (expected, receipt) in pending {
        let outcome = receipt.await;
        model.settle(expected, outcome);
    }
    writer.shut_down().await;
    for (ws, balance) in &model.balances {
        assert_eq!(store.wallet(*ws).await.unwrap().unwrap().balance.get(), *balance);
    }
    close_the_rest(&store, &model, &mut raw).await;
}

/// Calls that the model left open (or whose debit was refused) are closed within what is there.
async fn close_the_rest(
    store: &sautikit_store::Store,
    model: &Model,
    raw: &mut sqlx::sqlite::SqliteConnection,
) {
    let writer = store.start_writer().await.expect("the writer starts");
    for orphan in store.orphans().await.expect("orphans are read") {
        let balance =
            store.wallet(orphan.call.workspace).await.expect("a wallet").expect("is there");
        let cost = orphan.held.get().min(balance.balance.get());
        let outcome = crate::common::now(&writer, close(&ended(orphan.call, cost))).await;
        assert_eq!(outcome, Ok(Written::Posted));
    }
    let rings = store.unanswered_orphans().await.expect("orphans are read");
    assert_eq!(rings.len(), model.ringing.len());
    assert!(store.orphans().await.expect("orphans are read").is_empty());
    assert_invariants(raw).await;
}
