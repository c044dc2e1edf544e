use super::super::seen::{Answered, Fate};
use super::*;
use crate::carrier::EndedBy;

/// A world in which all agrees: two answered calls, a busy one, and one that a gateway refused.
#[derive(Clone)]
struct World {
    seen: Vec<Seen>,
    books: Books,
    carried: Vec<Record>,
    gauges: Vec<Gauge>,
    allowed: HashMap<String, Allowance>,
}

fn seen(called: &str, outcome: Outcome) -> Seen {
    Seen { called: called.to_owned(), outcome, sound: None, fate: Fate::default() }
}

fn answered(id: &str, millis: u64) -> Outcome {
    Outcome::Answered(Answered {
        call_id: Some(id.to_owned()),
        rate: Some("300;per=60;increment=1;currency=KES".to_owned()),
        talked: Some(Duration::from_millis(millis)),
    })
}

fn row(id: &str, called: &str, seconds: u64) -> Row {
    Row {
        id: id.to_owned(),
        called: called.to_owned(),
        answered: true,
        ended: true,
        seconds,
        per_minute: Some("300".to_owned()),
        cost: i64::try_from(seconds * 5).unwrap(),
    }
}

fn debit(id: &str, amount: i64, balance_after: i64) -> Entry {
    Entry { is_debit: true, amount, balance_after, call: Some(id.to_owned()) }
}

fn record(to: &str, status: u16, seconds: f64) -> Record {
    Record { to: to.to_owned(), status, seconds, ..Record::default() }
}

impl World {
    fn new() -> Self {
        let busy = Row { answered: false, seconds: 0, cost: 0, ..row("c", "+3", 0) };
        Self {
            seen: vec![
                seen("+1", answered("a", 2_900)),
                seen("+2", answered("b", 4_050)),
                seen("+3", Outcome::Unanswered),
                seen("+4", Outcome::Unanswered),
            ],
            books: Books {
                before: Wallet { balance: 1_000, held: 0 },
                after: Wallet { balance: 960, held: 0 },
                rows: vec![row("b", "+2", 5), row("a", "+1", 3), busy],
                entries: vec![debit("a", -15, 960), debit("b", -25, 975)],
            },
            carried: vec![record("+3", 486, 0.0), record("+2", 200, 4.1), record("+1", 200, 2.95)],
            gauges: vec![Gauge { name: "sautikit_holds".to_owned(), before: 2.0, after: 2.0 }],
            allowed: HashMap::new(),
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            seen: &self.seen,
            books: Some(&self.books),
            terms: Terms::default(),
            carried: Some(&self.carried),
            gauges: &self.gauges,
            allowed: &self.allowed,
        }
    }

    fn found(&self) -> Vec<Kind> {
        kinds(&prove(&self.facts()))
    }
}

fn kinds(proof: &Proof) -> Vec<Kind> {
    proof.differences.iter().map(|it| it.difference).collect()
}

#[test]
fn books_that_agree_are_proven_and_summed() {
    let proof = prove(&World::new().facts());
    assert!(proof.ok, "{proof}");
    let count = |count: Count| (count.answered, (count.seconds * 1000.0).round());
    assert_eq!(count(proof.browsers), (2, 6_950.0));
    assert_eq!(count(proof.gateway.unwrap()), (2, 8_000.0));
    assert_eq!(count(proof.carrier.unwrap()), (2, 7_050.0));
    assert_eq!((proof.debited, proof.cost, proof.spent), (Some(40), Some(40), Some(40)));
}

fn stands_in_the_handbook(kind: &Kind) {
    let handbook = include_str!("../../../../docs/loadtest.md");
    let name = serde_json::to_value(kind).unwrap();
    let name = format!("`{}`", name.as_str().unwrap());
    assert!(handbook.contains(&name), "docs/loadtest.md does not tell of {name}");
}

/// What is found, and how the world is spoilt for it.
type Case = (&'static [Kind], fn(&mut World));

/// Each way in which books can fail to agree, alone.
#[test]
fn each_difference_is_found() {
    let cases: [Case; 27] = [
        (&[Kind::CallNotEnded], |w| w.books.rows[1].ended = false),
        (&[Kind::ForeignCall], |w| {
            w.books.rows.push(Row { answered: false, cost: 0, ..row("x", "+9", 0) });
        }),
        (&[Kind::SecondRow], |w| {
            w.books.rows.push(Row { answered: false, cost: 0, ..row("x", "+3", 0) });
        }),
        (&[Kind::CallWithoutDebit, Kind::BalanceDiffers, Kind::SumDiffers], |w| {
            w.books.entries.remove(0);
        }),
        (&[Kind::SecondDebit, Kind::SumDiffers], |w| {
            w.books.entries.insert(0, debit("a", -15, 945));
            w.books.after.balance = 945;
        }),
        (&[Kind::DebitDiffers, Kind::SumDiffers], |w| {
            w.books.entries[0] = debit("a", -16, 959);
            w.books.after.balance = 959;
        }),
        (&[Kind::CostDiffers], |w| {
            w.books.rows[1].cost = 14;
            w.books.entries[0] = debit("a", -14, 961);
            w.books.after.balance = 961;
        }),
        (&[Kind::CostDiffers], |w| w.books.rows[1].seconds = 2),
        (&[Kind::RateDiffers, Kind::CostDiffers], |w| {
            w.books.rows[1].per_minute = Some("600".to_owned());
        }),
        (&[Kind::RateDiffers, Kind::CostDiffers], |w| w.books.rows[1].per_minute = None),
        (&[Kind::CostWithoutAnswer, Kind::SumDiffers], |w| w.books.rows[2].cost = 5),
        (&[Kind::DebitWithoutAnswer, Kind::SumDiffers], |w| {
            w.books.entries.insert(0, debit("c", -5, 955));
            w.books.after.balance = 955;
        }),
        (&[Kind::ForeignEntry, Kind::SumDiffers], |w| {
            w.books.entries.insert(0, debit("nobody", -5, 955));
            w.books.after.balance = 955;
        }),
        (&[Kind::ForeignEntry, Kind::SumDiffers], |w| {
            let top_up = Entry { is_debit: false, amount: 7, balance_after: 967, call: None };
            w.books.entries.insert(0, top_up);
            w.books.after.balance = 967;
        }),
        (&[Kind::BalanceDiffers, Kind::BalanceDiffers], |w| {
            w.books.entries[1].balance_after = 976;
        }),
        (&[Kind::BalanceDiffers, Kind::SumDiffers], |w| w.books.after.balance = 961),
        (&[Kind::StillHeld], |w| w.books.after.held = 5),
        (&[Kind::OnlyAtBrowser, Kind::OnlyAtBrowser], |w| {
            w.seen[2].outcome = answered("c", 0);
            w.seen[3].outcome = answered("d", 0);
        }),
        (&[Kind::OnlyAtGateway], |w| w.seen[0].outcome = Outcome::Unanswered),
        (&[Kind::OtherCallId], |w| w.seen[0].outcome = answered("z", 2_900)),
        (&[Kind::BrowserSecondsDiffer], |w| w.seen[0].outcome = answered("a", 1_000)),
        (&[Kind::BrowserSecondsDiffer], |w| w.seen[0].outcome = answered("a", 4_001)),
        (&[Kind::NotAtCarrier], |w| drop(w.carried.remove(1))),
        (&[Kind::OnlyAtCarrier], |w| w.carried.push(record("+5", 200, 1.0))),
        (&[Kind::TwiceAtCarrier], |w| w.carried.push(record("+1", 200, 3.0))),
        (&[Kind::CarrierSecondsDiffer], |w| w.carried[2].seconds = 4.001),
        (&[Kind::LeftBehind], |w| w.gauges[0].after = 3.0),
    ];
    for (at, (expected, spoil)) in cases.into_iter().enumerate() {
        let mut world = World::new();
        spoil(&mut world);
        let proof = prove(&world.facts());
        assert_eq!(kinds(&proof), expected, "case {at}: {proof}");
        assert!(!proof.ok && proof.to_string().contains("DO NOT agree"));
        expected.iter().for_each(stands_in_the_handbook);
    }
}

#[test]
fn a_begun_second_is_no_difference() {
    for (browser, billed, carrier) in [(1_000, 1, 1.0), (1_000, 2, 1.001), (1_001, 1, 2.0)] {
        let mut world = World::new();
        world.seen[0].outcome = answered("a", browser);
        world.books.rows[1] = row("a", "+1", billed);
        let cost = world.books.rows[1].cost;
        world.books.entries[0] = debit("a", -cost, 975 - cost);
        world.books.after.balance = 975 - cost;
        world.carried[2].seconds = carrier;
        assert_eq!(world.found(), [], "{browser} {billed} {carrier}");
    }
}

#[test]
fn a_second_too_many_or_too_few_on_each_bill_is_found_by_who_hung_up() {
    let hung_up = |world: &mut World, ended_by| {
        world.carried.iter_mut().for_each(|record| record.ended_by = ended_by);
    };
    let bill = |world: &mut World, change: i64| {
        let mut balance = world.books.before.balance;
        for (row, entry) in world.books.rows.iter_mut().zip(world.books.entries.iter_mut().rev()) {
            row.seconds = row.seconds.checked_add_signed(change).unwrap();
            row.cost += 5 * change;
            entry.amount -= 5 * change;
            balance += entry.amount;
            entry.balance_after = balance;
        }
        world.books.after.balance = balance;
    };
    let mut right = World::new();
    hung_up(&mut right, EndedBy::Caller);
    assert_eq!(right.found(), []);
    let mut more = right.clone();
    bill(&mut more, 1);
    assert_eq!(more.found(), [Kind::CarrierSecondsDiffer; 2]);
    let mut less = right.clone();
    bill(&mut less, -1);
    // Of the other one, 4.05 s, the gateway may have heard 4.
    assert_eq!(less.found(), [Kind::BrowserSecondsDiffer]);
    // A carrier's own BYE is under way for a while, which nobody knows.
    hung_up(&mut more, EndedBy::Carrier);
    assert_eq!(more.found(), []);
}

#[test]
fn a_call_that_ended_without_a_word_is_held_to_the_gateway_and_the_carrier_alone() {
    let mut world = World::new();
    world.seen[0].outcome = Outcome::Unclear;
    world.seen[2].outcome = Outcome::Unclear;
    assert_eq!(world.found(), []);
    world.books.rows[1].cost = 16;
    assert!(world.found().contains(&Kind::CostDiffers));
}

#[test]
fn increments_minimum_and_fee_are_part_of_the_rate() {
    let mut world = World::new();
    for (seen, id) in world.seen.iter_mut().zip(["a", "b"]) {
        seen.outcome = Outcome::Answered(Answered {
            call_id: Some(id.to_owned()),
            rate: Some("12.5;per=60;increment=60;currency=KES".to_owned()),
            talked: None,
        });
    }
    for row in &mut world.books.rows[..2] {
        row.per_minute = Some("12.5".to_owned());
        // Half up, and no less than 20, on top of 7.
        row.cost = 27;
    }
    world.books.entries = vec![debit("a", -27, 946), debit("b", -27, 973)];
    world.books.after.balance = 946;
    let terms = Terms { minimum: 20, fee: 7 };
    let proof = prove(&Facts { terms, ..world.facts() });
    assert!(proof.ok, "{proof}");
    assert_eq!(world.found(), [Kind::CostDiffers, Kind::CostDiffers]);
}

#[test]
fn without_the_gateways_books_browsers_and_carrier_are_held_against_each_other() {
    let mut world = World::new();
    let found = |world: &World| kinds(&prove(&Facts { books: None, ..world.facts() }));
    assert_eq!(found(&world), []);
    world.carried.push(record("+4", 200, 1.0));
    world.carried[2].seconds = 7.0;
    assert_eq!(found(&world), [Kind::CarrierSecondsDiffer, Kind::OnlyAtCarrier]);
    world.seen[3].outcome = Outcome::Unclear;
    assert_eq!(found(&world), [Kind::CarrierSecondsDiffer]);
    world.carried.clear();
    assert_eq!(found(&world), [Kind::NotAtCarrier, Kind::NotAtCarrier]);
}

#[test]
fn many_differences_are_counted_and_few_are_told() {
    let mut world = World::new();
    for n in 0..70 {
        world.carried.push(record(&format!("+9{n}"), 200, 1.0));
    }
    let proof = prove(&world.facts());
    assert_eq!((proof.differences_count, proof.differences.len()), (70, TOLD_MAX));
    let text = proof.to_string();
    assert!(
        text.contains("only_at_carrier: +90: 1.000 s") && text.contains("and 20 more"),
        "{text}"
    );
    assert_eq!(world.carried[0].ended_by, EndedBy::Carrier);
}

#[test]
fn a_call_that_met_a_fault_may_be_billed_less_within_its_bound_and_never_more() {
    let mut world = World::new();
    let allowance = Allowance { carrier: 8.0, browser: 5.0, free: 33.0 };
    world.allowed = ["+1", "+4"].map(|called| (called.to_owned(), allowance)).into();
    // Billed 3 s, as far as the gateway lived.
    world.seen[0].outcome = answered("a", 8_900);
    world.carried[2].seconds = 12.0;
    // Answered for the carrier alone.
    world.carried.push(record("+4", 200, 32.9));
    world.seen[3].outcome = Outcome::Unclear;
    let proof = prove(&world.facts());
    assert!(proof.ok, "{proof}");
    let unpaid = proof.unpaid.unwrap();
    assert_eq!((unpaid.calls, unpaid.free_calls), (2, 1));
    assert_eq!((unpaid.seconds, unpaid.worst_seconds, unpaid.allowed_seconds), (9.0, 9.0, 8.0));
    assert!(proof.to_string().contains("nobody paid 9.0 s"), "{proof}");

    let cases: [Case; 6] = [
        (&[Kind::BrowserSecondsDiffer], |w| w.seen[0].outcome = answered("a", 9_001)),
        (&[Kind::BrowserSecondsDiffer], |w| w.seen[0].outcome = answered("a", 1_000)),
        (&[Kind::CarrierSecondsDiffer], |w| w.carried[2].seconds = 12.001),
        (&[Kind::CarrierSecondsDiffer], |w| w.carried[2].seconds = 1.0),
        (&[Kind::OnlyAtCarrier], |w| w.carried[3].seconds = 33.1),
        // Its browser was told that it is answered: it must have a row and be paid.
        (&[Kind::OnlyAtBrowser, Kind::OnlyAtCarrier], |w| w.seen[3].outcome = answered("d", 1_000)),
    ];
    for (at, (expected, spoil)) in cases.into_iter().enumerate() {
        let mut spoilt = world.clone();
        spoil(&mut spoilt);
        assert_eq!(spoilt.found(), expected, "case {at}");
    }
    world.allowed.clear();
    let found = [Kind::BrowserSecondsDiffer, Kind::CarrierSecondsDiffer, Kind::OnlyAtCarrier];
    assert_eq!(world.found(), found, "without a fault nothing is allowed");
}
