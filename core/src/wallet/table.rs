//! The wallet's outcomes as text tables: each step is what is asked and what comes out.
//!
//! `wallet 1000` makes one; `C1` is a call; a step's last words are its outcome.

use super::*;

fn call(name: &str) -> CallId {
    let number: u8 = name.strip_prefix('C').unwrap().parse().unwrap();
    CallId::from_parts(0, [number; 10])
}

fn minor(text: &str) -> Minor {
    match text {
        "MAX" => Minor::MAX,
        "MIN" => Minor::MIN,
        number => Minor::new(number.parse().unwrap()),
    }
}

/// One step; returns its outcome as the table writes it.
fn perform(wallet: &mut Wallet, step: &[&str]) -> String {
    match *step {
        ["wallet", balance, ..] => {
            *wallet = Wallet::new(minor(balance));
            String::new()
        }
        ["hold", id, amount, ..] => match wallet.hold(call(id), minor(amount)) {
            HoldOutcome::Exists => "exists".into(),
            HoldOutcome::ExistsWithOtherAmount => "exists-with-other-amount".into(),
            HoldOutcome::Negative => "negative".into(),
            HoldOutcome::Closed => "closed".into(),
            HoldOutcome::Insufficient => "insufficient".into(),
            HoldOutcome::Created => "created".into(),
        },
        ["extend", id, wanted, least, ..] => {
            match wallet.extend(call(id), minor(wanted), minor(least)) {
                ExtendOutcome::NoHold => "no-hold".into(),
                ExtendOutcome::Negative => "negative".into(),
                ExtendOutcome::Insufficient => "insufficient".into(),
                ExtendOutcome::Extended { total } => format!("to {total}"),
            }
        }
        ["answer", id, ..] => match wallet.answer(call(id)) {
            AnswerOutcome::NoHold => "no-hold".into(),
            AnswerOutcome::Kept { held } => format!("keeps {held}"),
        },
        ["post", id, amount, seq, ..] => {
            match wallet.post(call(id), minor(amount), seq.parse().unwrap()) {
                PostOutcome::NoHold => "no-hold".into(),
                PostOutcome::Negative => "negative".into(),
                PostOutcome::MoreThanHold => "more-than-hold".into(),
                PostOutcome::OutOfOrder => "out-of-order".into(),
                PostOutcome::Posted { debit } => format!("debits {debit}"),
            }
        }
        ["release", id, ..] => match wallet.release(call(id)) {
            ReleaseOutcome::NoHold => "no-hold".into(),
            ReleaseOutcome::Answered => "answered".into(),
            ReleaseOutcome::Released { amount } => format!("frees {amount}"),
        },
        ["credit", amount, seq, ..] => match wallet.credit(minor(amount), seq.parse().unwrap()) {
            CreditOutcome::NotPositive => "not-positive".into(),
            CreditOutcome::Known => "known".into(),
            CreditOutcome::Overflow => "overflow".into(),
            CreditOutcome::Credited => "ok".into(),
        },
        ["withdraw", seq, ..] => match wallet.withdraw(seq.parse().unwrap()) {
            WithdrawOutcome::Unknown => "unknown".into(),
            WithdrawOutcome::Withdrawn => "ok".into(),
        },
        _ => perform_quietly(wallet, step),
    }
}

/// Steps without a refusal, and looks at the state.
fn perform_quietly(wallet: &mut Wallet, step: &[&str]) -> String {
    match *step {
        ["expire", "unless", living, ..] => {
            let living = call(living);
            let mut freed = wallet.expire(|call| call == living);
            freed.sort();
            let total: i64 = freed.iter().map(|(_, amount)| amount.get()).sum();
            format!("frees {total}")
        }
        ["reload", balance, seq] => {
            wallet.reload(minor(balance), seq.parse().unwrap());
            String::new()
        }
        ["close"] | ["open"] => {
            wallet.set_open(step == ["open"]);
            String::new()
        }
        ["balance", ..] => format!("{} held {}", wallet.balance(), wallet.held()),
        ["available", ..] => wallet.available().to_string(),
        ["holds", ..] => {
            assert_eq!(wallet.is_idle(), wallet.holds_len() == 0);
            wallet.holds_len().to_string()
        }
        _ => panic!("no such step: {step:?}"),
    }
}

#[track_caller]
fn check(table: &str) {
    let mut wallet = Wallet::new(Minor::ZERO);
    for line in table.split('/').map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let outcome = perform(&mut wallet, &words);
        assert!(
            outcome.is_empty() || line.ends_with(&format!(" {outcome}")),
            "{line:?} gave {outcome:?}"
        );
        let holds = wallet.holds.values().map(|hold| hold.amount.get()).sum::<i64>();
        assert_eq!(holds, wallet.held.get(), "held is the sum of the holds after {line:?}");
    }
}

#[test]
fn a_call_is_held_posted_and_the_rest_is_free_again() {
    check(
        "wallet 1000 / hold C1 5 created / balance 1000 held 5 / available 995 / holds 1 /
         answer C1 keeps 5 / post C1 4 1 debits 4 / balance 996 held 0 / available 996 / holds 0",
    );
}

#[test]
fn an_unanswered_call_costs_nothing() {
    check(
        "wallet 1000 / hold C1 5 created / release C1 frees 5 / balance 1000 held 0 /
         release C1 no-hold / post C1 5 1 no-hold / answer C1 no-hold / holds 0",
    );
}

#[test]
fn a_repeated_hold_is_told_from_another_one() {
    check(
        "wallet 1000 / hold C1 5 created / hold C1 5 exists / hold C1 6 exists-with-other-amount /
         balance 1000 held 5 / extend C1 90 5 to 95 / hold C1 5 exists /
         hold C1 95 exists-with-other-amount / balance 1000 held 95",
    );
}

#[test]
fn a_repeated_hold_is_answered_even_where_a_new_one_would_be_refused() {
    check(
        "wallet 5 / hold C1 5 created / close / hold C1 5 exists / hold C2 0 closed /
         hold C1 -1 exists-with-other-amount",
    );
}

#[test]
fn no_more_is_held_than_there_is() {
    check(
        "wallet 14 / hold C1 5 created / hold C2 5 created / hold C3 5 insufficient /
         hold C3 4 created / hold C4 1 insufficient / balance 14 held 14 / available 0 / holds 3",
    );
}

#[test]
fn two_hundred_attempts_on_a_balance_for_three_get_three() {
    let mut wallet = Wallet::new(Minor::new(15));
    let held = (0..200_u8)
        .filter(|number| {
            let call = CallId::from_parts(0, [*number; 10]);
            wallet.hold(call, Minor::new(5)) == HoldOutcome::Created
        })
        .count();
    assert_eq!((held, wallet.available()), (3, Minor::ZERO));
}

#[test]
fn a_free_call_holds_zero_even_of_nothing() {
    check(
        "wallet 0 / hold C1 0 created / holds 1 / extend C1 0 0 to 0 / answer C1 keeps 0 /
         post C1 0 1 debits 0 / balance 0 held 0 / holds 0",
    );
}

#[test]
fn amounts_below_zero_are_refused() {
    check(
        "wallet 100 / hold C1 -1 negative / hold C1 MIN negative / hold C1 10 created /
         extend C1 -1 0 negative / extend C1 1 -1 negative / post C1 -1 1 negative /
         credit 0 1 not-positive / credit -5 1 not-positive / credit MIN 1 not-positive /
         balance 100 held 10",
    );
}

#[test]
fn a_closed_wallet_lets_its_calls_finish() {
    check(
        "wallet 1000 / hold C1 5 created / close / hold C2 5 closed / extend C1 10 5 to 15 /
         answer C1 keeps 15 / post C1 15 1 debits 15 / balance 985 held 0 /
         open / hold C2 5 created",
    );
}

#[test]
fn an_extension_takes_a_quarter_of_what_is_left_at_most() {
    check(
        "wallet 1005 / hold C1 5 created / extend C1 450 5 to 255 / available 750 /
         extend C1 450 5 to 442 / available 563 / extend C1 10 5 to 452",
    );
}

#[test]
fn an_extension_takes_one_increment_even_of_little() {
    check(
        "wallet 20 / hold C1 5 created / extend C1 450 5 to 10 / extend C1 450 5 to 15 /
         extend C1 450 5 to 20 / available 0 / extend C1 450 5 insufficient /
         balance 20 held 20",
    );
}

#[test]
fn less_than_an_increment_is_left_alone() {
    check("wallet 9 / hold C1 5 created / extend C1 450 5 insufficient / available 4");
}

#[test]
fn less_is_wanted_than_one_increment() {
    check(
        "wallet 9 / hold C1 5 created / extend C1 3 5 to 8 / extend C1 3 5 insufficient /
         extend C1 1 5 to 9 / extend C1 0 5 to 9",
    );
}

#[test]
fn only_a_call_that_holds_can_extend() {
    check("wallet 100 / extend C1 1 1 no-hold / hold C2 1 created / extend C1 1 1 no-hold");
}

#[test]
fn a_post_is_never_more_than_its_hold() {
    check(
        "wallet 1000 / hold C1 5 created / post C1 6 1 more-than-hold / post C1 MAX 1 more-than-hold
         / balance 1000 held 5 / post C1 5 1 debits 5 / balance 995 held 0",
    );
}

#[test]
fn a_call_is_posted_once() {
    check(
        "wallet 1000 / hold C1 5 created / post C1 5 1 debits 5 / post C1 5 2 no-hold /
         release C1 no-hold / balance 995 held 0",
    );
}

#[test]
fn an_answered_calls_hold_is_never_voided() {
    check(
        "wallet 1000 / hold C1 5 created / answer C1 keeps 5 / answer C1 keeps 5 /
         release C1 answered / expire unless C9 frees 0 / balance 1000 held 5 /
         post C1 0 1 debits 0 / balance 1000 held 0",
    );
}

#[test]
fn what_dead_calls_held_is_let_go() {
    check(
        "wallet 1000 / hold C1 5 created / hold C2 7 created / hold C3 9 created /
         answer C3 keeps 9 / expire unless C2 frees 5 / balance 1000 held 16 /
         expire unless C2 frees 0 / release C2 frees 7",
    );
}

#[test]
fn a_credit_counts_once() {
    check(
        "wallet 10 / credit 90 1 ok / balance 100 held 0 / credit 90 1 known /
         balance 100 held 0 / hold C1 100 created",
    );
}

#[test]
fn the_largest_balance_does_not_wrap() {
    check(
        "wallet MAX / credit 1 1 overflow / hold C1 MAX created / available 0 /
         hold C2 1 insufficient / extend C1 1 1 insufficient / post C1 MAX 1 debits \
         9223372036854775807 / balance 0 held 0 / credit MAX 2 ok /
         balance 9223372036854775807 held 0",
    );
}

#[test]
fn a_balance_below_zero_pays_for_nothing_but_free_calls() {
    check(
        "wallet MIN / available -9223372036854775808 / hold C1 1 insufficient / hold C1 0 created /
         extend C1 1 1 insufficient / extend C1 0 1 to 0 / extend C1 1 0 to 0 / hold C2 MAX \
         insufficient",
    );
}

#[test]
fn a_top_up_from_elsewhere_is_seen_by_reading() {
    check(
        "wallet 4 / hold C1 5 insufficient / reload 104 0 / hold C1 5 created /
         balance 104 held 5",
    );
}

#[test]
fn a_reading_that_misses_debits_in_flight_is_set_right() {
    check(
        "wallet 100 / hold C1 10 created / hold C2 10 created / post C1 10 1 debits 10 /
         post C2 8 3 debits 8 / reload 100 0 / balance 82 held 0 / reload 90 1 /
         balance 82 held 0 / reload 90 2 / balance 82 held 0 / reload 82 3 / balance 82 held 0",
    );
}

#[test]
fn a_reading_between_two_debits_brings_a_top_up_in() {
    check(
        "wallet 100 / hold C1 10 created / hold C2 10 created / post C1 10 1 debits 10 /
         post C2 8 2 debits 8 / reload 590 1 / balance 582 held 0",
    );
}

#[test]
fn an_older_reading_than_the_last_is_dropped() {
    check(
        "wallet 100 / reload 90 5 / reload 300 4 / balance 90 held 0 / reload 80 5 / balance 80 held 0",
    );
}

#[test]
fn a_credit_that_a_reading_brought_is_not_added_again() {
    check("wallet 100 / reload 150 3 / credit 50 3 known / credit 50 4 ok / balance 200 held 0");
}

#[test]
fn a_credit_may_become_durable_after_a_later_debit_was_decided() {
    check(
        "wallet 100 / hold C1 10 created / post C1 10 2 debits 10 / credit 50 1 ok /
         balance 140 held 0 / reload 100 0 / balance 140 held 0 / reload 150 1 /
         balance 140 held 0",
    );
}

#[test]
fn a_debit_that_the_ledger_refused_comes_back() {
    check(
        "wallet 100 / hold C1 10 created / post C1 10 1 debits 10 / withdraw 2 unknown /
         withdraw 1 ok / balance 100 held 0 / withdraw 1 unknown / reload 100 0 /
         balance 100 held 0",
    );
}

#[test]
fn a_debit_that_a_reading_settled_cannot_be_withdrawn() {
    check(
        "wallet 100 / hold C1 10 created / post C1 10 1 debits 10 / reload 100 1 /
         balance 100 held 0 / withdraw 1 unknown / balance 100 held 0",
    );
}

#[test]
fn a_debits_number_must_be_above_all_before_it() {
    check(
        "wallet 100 / hold C1 10 created / hold C2 10 created / hold C3 5 created /
         post C1 10 0 out-of-order / post C1 10 4 debits 10 / post C2 10 4 out-of-order /
         reload 90 7 / post C2 10 7 out-of-order / post C2 10 8 debits 10 / balance 80 held 5",
    );
}

#[test]
fn money_taken_out_elsewhere_leaves_holds_standing_and_nothing_available() {
    check(
        "wallet 100 / hold C1 60 created / reload 50 1 / available -10 / hold C2 1 insufficient /
         extend C1 5 5 insufficient / post C1 60 2 debits 60 / balance -10 held 0",
    );
}

#[test]
fn a_reading_overtaken_by_too_much_is_dropped() {
    let mut wallet = Wallet::new(Minor::new(10_000));
    for seq in 1..=IN_FLIGHT_MAX as u64 + 1 {
        let call = CallId::from_parts(seq, [0; 10]);
        assert_eq!(wallet.hold(call, Minor::new(1)), HoldOutcome::Created);
        assert!(matches!(wallet.post(call, Minor::new(1), seq), PostOutcome::Posted { .. }));
    }
    let balance = wallet.balance();
    wallet.reload(Minor::new(99_999), 0);
    assert_eq!(wallet.balance(), balance, "the first debit is forgotten");
    wallet.reload(Minor::new(9_999), 1);
    assert_eq!(wallet.balance(), balance);
    wallet.reload(Minor::new(10_999), 1);
    assert_eq!(wallet.balance().get(), balance.get() + 1_000, "a top-up comes in by a newer one");
}

#[test]
fn a_reading_that_cannot_be_added_up_is_dropped() {
    check("wallet 10 / credit 20 1 ok / reload MAX 0 / balance 30 held 0");
}
