//! What must hold of the database after any scenario, asked by another process and judged by
//! arithmetic of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::gateway::Place;

/// Sums over the whole database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) calls: usize,
    pub(crate) answered: usize,
    pub(crate) debits: usize,
    pub(crate) debited: i64,
    pub(crate) open_holds: usize,
}

fn whole(row: &Value, name: &str) -> i64 {
    row[name].as_i64().unwrap_or_else(|| panic!("{name} of {row}"))
}

/// Judges the ledger against itself and against the calls.
pub(crate) fn check(place: &Place) -> Sums {
    let calls = place.sql(
        "SELECT hex(id) id, hex(workspace_id) workspace, status, answered_at, ended_at, \
         duration_seconds, rate_per_minute_minor rate, rate_increment increment, cost_minor cost \
         FROM calls",
    );
    let entries = place.sql(
        "SELECT hex(workspace_id) workspace, seq, kind, amount_minor amount, \
         balance_after_minor after, hex(call_id) call, idempotency_key key FROM ledger \
         ORDER BY workspace_id, seq",
    );
    chain(&entries);
    let mut debits: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry["kind"] == "debit") {
        debits.entry(entry["call"].to_string()).or_default().push(entry);
    }
    for call in &calls {
        judge_call(call, debits.remove(&call["id"].to_string()).unwrap_or_default());
    }
    assert!(debits.is_empty(), "debits of no call: {debits:?}");
    for wallet in place.sql("SELECT balance_minor balance, held_minor held FROM wallets") {
        let (balance, held) = (whole(&wallet, "balance"), whole(&wallet, "held"));
        assert!(held >= 0 && balance >= held, "more is held than there is: {wallet}");
    }
    let whole_file = place.sql("PRAGMA integrity_check");
    assert_eq!(whole_file[0]["integrity_check"], "ok");
    let posted = entries.iter().filter(|entry| entry["kind"] == "debit");
    Sums {
        calls: calls.len(),
        answered: calls.iter().filter(|call| !call["answered_at"].is_null()).count(),
        debits: posted.clone().count(),
        debited: -posted.map(|entry| whole(entry, "amount")).sum::<i64>(),
        open_holds: place.sql("SELECT 1 FROM open_holds").len(),
    }
}

/// Each entry follows the last one of its workspace, and no key stands twice.
fn chain(entries: &[Value]) {
    let mut last: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let mut keys = std::collections::BTreeSet::new();
    for entry in entries {
        let workspace = entry["workspace"].as_str().unwrap();
        let (seq, balance) = last.get(workspace).copied().unwrap_or_default();
        assert_eq!(whole(entry, "seq"), seq + 1, "a gap before {entry}");
        let after = whole(entry, "after");
        assert_eq!(after, balance + whole(entry, "amount"), "{entry}");
        assert!(after >= 0, "{entry}");
        assert!(keys.insert((workspace, entry["key"].as_str().unwrap())), "twice: {entry}");
        last.insert(workspace, (seq + 1, after));
    }
}

fn judge_call(call: &Value, debits: Vec<&Value>) {
    if call["ended_at"].is_null() || call["answered_at"].is_null() {
        assert!(debits.is_empty(), "{call} is debited by {debits:?}");
        assert_eq!(whole(call, "cost"), 0, "{call}");
        return;
    }
    assert_eq!(call["status"], "completed", "{call}");
    let [debit] = debits[..] else { panic!("{call} has {} debits", debits.len()) };
    assert_eq!(-whole(debit, "amount"), whole(call, "cost"), "{call}");
    assert_eq!(debit["workspace"], call["workspace"]);
    let increment = whole(call, "increment");
    let seconds = whole(call, "duration_seconds");
    let billed = (seconds + increment - 1) / increment * increment;
    let rate: i64 = call["rate"].as_str().unwrap().parse().expect("the tests' rates are whole");
    // Half up, once.
    assert_eq!(whole(call, "cost"), (billed * rate * 2 + 60) / 120, "{call}");
}
