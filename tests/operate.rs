//! The operators' commands beside a running gateway, as separate processes.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::carrier::{Carrier, Script};
use common::gateway::{Gateway, Place, Setup, Workspace};
use common::http::Ask;
use common::phone::{Dial, Phone};
use common::{OURS, THEIRS};
use serde_json::{Value, json};

/// What a command said: its code, the lines on standard output as JSON, and its errors.
struct Said {
    code: i32,
    lines: Vec<Value>,
    errors: String,
}

impl Said {
    #[track_caller]
    fn done(self) -> Value {
        assert_eq!((self.code, self.errors.as_str(), self.lines.len()), (0, "", 1));
        self.lines.into_iter().next().unwrap()
    }

    #[track_caller]
    fn refused(self, why: &str) {
        assert_eq!((self.code, self.lines.len()), (1, 0), "{}", self.errors);
        assert_eq!(self.errors.lines().count(), 1, "one line: {}", self.errors);
        assert!(self.errors.contains(why), "{}", self.errors);
    }
}

fn run(place: &Place, line: &str) -> Said {
    let output = place.command().args(line.split_whitespace()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    Said {
        code: output.status.code().unwrap(),
        lines: text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Two seconds is what is promised for all that a command changes.
async fn within_two_seconds(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(2);
    while !seen().await {
        assert!(Instant::now() < end, "the gateway does not see {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

fn shop(balance: i64) -> (Carrier, Gateway, Workspace, Arc<Place>) {
    let carrier = Carrier::start(Script::Answer);
    let setup = Setup::new().trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(balance, &[OURS]);
    let place = Arc::clone(&setup.place);
    (carrier, setup.start(), workspace, place)
}

#[tokio::test]
async fn a_number_that_is_added_may_call_within_two_seconds() {
    let (_carrier, gateway, workspace, place) = shop(100);
    let id = &workspace.id;
    let mut phone = Phone::of(&gateway, &workspace).await;
    let dial = || Dial { from: "+254700000077", ..Dial::to(THEIRS) };
    assert_eq!(phone.refused(dial()).await.status(), Some(403), "it is not claimed yet");
    let added = run(&place, &format!("number add +254700000077 --workspace {id}")).done();
    assert_eq!((&added["number"], &added["workspace_id"]), (&json!("+254700000077"), &json!(id)));
    within_two_seconds("the number", async || {
        let mut call = phone.invite(dial()).await;
        let answered = phone.outcome(&mut call).await.status() == Some(200);
        if answered {
            phone.hang_up(&mut call).await;
        }
        answered
    })
    .await;
    run(&place, &format!("number add +254700000077 --workspace {id}"))
        .refused("number exists already");
    let nobody = "01890a5d-ac96-774b-bcce-b302099a8057";
    run(&place, &format!("number add +254700000078 --workspace {nobody}"))
        .refused("`workspace create` makes one");
}

#[tokio::test]
async fn a_credit_counts_once_for_its_key_and_within_two_seconds() {
    let (_carrier, gateway, workspace, place) = shop(100);
    let credit = format!("wallet credit --workspace {} --idempotency-key M-7", workspace.id);
    let first = run(&place, &format!("{credit} --amount-minor 5000")).done();
    let mut again = run(&place, &format!("{credit} --amount-minor 5000")).done();
    assert_eq!((&first["replayed"], &again["replayed"]), (&json!(false), &json!(true)));
    again["replayed"] = json!(false);
    assert_eq!(first, again);
    assert_eq!(first["balance_after_minor"], 5_100);
    run(&place, &format!("{credit} --amount-minor 6000")).refused("--idempotency-key");
    within_two_seconds("the credit", async || gateway.wallet(&workspace).await == (5_100, 0)).await;
    let ledger = gateway.get(&workspace, "/v1/wallet/ledger").await;
    assert_eq!(ledger["data"][0]["description"], "Top-up");
    let a_calls = format!("wallet credit --workspace {} --idempotency-key x:debit", workspace.id);
    run(&place, &format!("{a_calls} --amount-minor 1")).refused(":debit) is not allowed; choose");
    let without_key = format!("wallet credit --workspace {} --amount-minor 1", workspace.id);
    let keys = [run(&place, &without_key).done(), run(&place, &without_key).done()];
    assert_ne!(keys[0]["idempotency_key"], keys[1]["idempotency_key"], "two credits");
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_say_until_it_is_revoked() {
    let (_carrier, gateway, workspace, place) = shop(100);
    let create = format!("api-key create --workspace {} --name reader", workspace.id);
    let made = run(&place, &format!("{create} --scope calls.read --expires-in-days 30")).done();
    assert_eq!(made["scopes"], json!(["calls.read"]));
    assert!(made["expires_at"].as_str().unwrap().ends_with('Z'), "{made}");
    let key = made["api_key"].as_str().unwrap().to_owned();
    place.keep_out_of_logs(&key);
    let reader = Workspace { id: workspace.id.clone(), key };
    let calls = async || gateway.api(&reader, Ask::get("/v1/calls")).await.status;
    within_two_seconds("the key", async || calls().await == 200).await;
    let wallet = gateway.api(&reader, Ask::get("/v1/wallet")).await;
    assert_eq!(wallet.refusal().0, 403);
    let id = made["api_key_id"].as_str().unwrap();
    let revoke = format!("api-key revoke --workspace {} --id {id}", workspace.id);
    run(&place, &revoke).done();
    within_two_seconds("that it is revoked", async || calls().await == 401).await;
    let whole = run(
        &place,
        &format!("{create} --scope wallet.credit --scope wallet.read --scope wallet.read"),
    )
    .done();
    assert_eq!(whole["scopes"], json!(["wallet.read", "wallet.credit"]));
    let customer = run(&place, &create).done();
    let scopes = customer["scopes"].as_array().unwrap();
    assert!(!scopes.contains(&json!("wallet.credit")), "only where it is asked for");
    run(&place, &revoke.replace(id, "01890a5d-ac96-774b-bcce-b302099a8057")).refused("no such key");
}

/// What was altered behind the ledger's back, and the word of the report for it.
const TAMPERED: [(&str, &str); 7] = [
    ("UPDATE ledger SET amount_minor = amount_minor - 1 WHERE kind = 'debit'", "debit_differs"),
    ("UPDATE ledger SET balance_after_minor = 1 WHERE seq = 1", "balance_differs"),
    ("DELETE FROM ledger WHERE kind = 'debit'", "call_without_debit"),
    ("UPDATE ledger SET seq = 9 WHERE seq = 2", "entry_missing"),
    ("UPDATE calls SET cost_minor = cost_minor + 1", "cost_differs"),
    ("PRAGMA foreign_keys = OFF; DELETE FROM calls", "debit_of_no_call"),
    ("UPDATE ledger SET idempotency_key = 'x' WHERE kind = 'debit'", "second_debit"),
];

#[tokio::test]
async fn reconcile_proves_a_right_ledger_and_names_what_is_altered() {
    let (_carrier, gateway, workspace, place) = shop(1_000);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let mut call = phone.talk(THEIRS).await;
    let live = run(&place, "reconcile").done();
    assert_eq!((&live["open_calls"], &live["differences"]), (&json!(1), &json!(0)), "{live}");
    phone.hang_up(&mut call).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    let proved = run(&place, &format!("reconcile --workspace {}", workspace.id)).done();
    assert_eq!(proved["debited_minor"], row["cost_minor"]);
    assert_eq!(proved["credited_minor"], 1_000);
    assert_eq!(proved["balance_minor"], json!(1_000 - row["cost_minor"].as_i64().unwrap()));
    drop(gateway);
    for trigger in ["ledger_never_changes", "ledger_never_shrinks"] {
        place.sql(&format!("DROP TRIGGER {trigger}"));
    }
    place.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    let right = std::fs::read(place.database()).unwrap();
    for (tampering, word) in TAMPERED {
        std::fs::write(place.database(), &right).unwrap();
        place.sql(tampering);
        let said = run(&place, "reconcile");
        let words: Vec<_> =
            said.lines.iter().filter_map(|line| line["difference"].as_str()).collect();
        assert_eq!(said.code, 1, "{tampering}");
        assert!(words.contains(&word), "{tampering}: {words:?}");
        let counted = said.lines.last().unwrap()["differences"].as_u64().unwrap();
        assert_eq!(usize::try_from(counted).unwrap(), words.len(), "{tampering}");
        place.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    }
}

#[test]
fn a_command_for_what_is_there_makes_no_database() {
    let place = Place::new();
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    for line in [
        "reconcile".to_owned(),
        format!("number add +254700000077 --workspace {id}"),
        format!("wallet credit --workspace {id} --amount-minor 1"),
        format!("api-key create --workspace {id} --name a"),
    ] {
        run(&place, &line).refused("there is no database");
        assert!(!place.database().exists(), "{line}");
    }
}

#[test]
fn migrate_check_says_what_is_pending_and_makes_nothing() {
    let place = Place::new();
    let said = run(&place, "migrate --check");
    assert_eq!(said.code, 1);
    assert_eq!(said.lines[0]["database_version"], 0);
    assert!(said.errors.contains("pending"), "{}", said.errors);
    assert!(!place.database().exists());
    let made = run(&place, "migrate").done();
    assert_eq!(made["pending"], 0);
    assert_eq!(run(&place, "migrate --check").done(), made);
    place.sql("UPDATE _sqlx_migrations SET version = 99");
    let newer = run(&place, "migrate --check");
    assert_eq!(newer.code, 1);
    assert!(newer.errors.contains("newer version"), "{}", newer.errors);
}
