//! Rating: the contract's examples, the edges, and properties against `rust_decimal` done the long
//! way.

use super::*;
use proptest::prelude::*;
use rust_decimal::RoundingStrategy;

fn rate(per_minute: &str, increment: u32, minimum: i64, fee: i64) -> Rate {
    Rate::from_text(per_minute, increment, Minor::new(minimum), Minor::new(fee)).unwrap()
}

fn cost(rate: Rate, seconds: u64) -> i64 {
    rate.cost(seconds).unwrap().get()
}

#[test]
fn the_contracts_examples_hold() {
    assert_eq!(cost(rate("300", 1, 0, 0), 90), 450);
    assert_eq!(cost(rate("300", 60, 0, 0), 90), 600);
    assert_eq!(cost(rate("300", 1, 0, 0), 295), 1_475);
}

#[test]
fn a_begun_increment_is_billed_whole() {
    let minute = rate("300", 60, 0, 0);
    for (seconds, minor) in [(1, 300), (59, 300), (60, 300), (61, 600), (120, 600)] {
        assert_eq!(cost(minute, seconds), minor, "{seconds} s");
    }
}

#[test]
fn a_call_of_no_time_costs_nothing_whatever_the_fee() {
    assert_eq!(cost(rate("300", 60, 500, 1_000), 0), 0);
}

#[test]
fn minimum_and_fee_are_billed_once_the_call_was_answered() {
    let rate = rate("300", 1, 100, 50);
    for (seconds, minor) in [(1, 150), (20, 150), (21, 155), (60, 350)] {
        assert_eq!(cost(rate, seconds), minor, "{seconds} s");
    }
}

#[test]
fn halves_are_rounded_up_once_at_the_end() {
    // A second of each costs 1/60, 30/60, 29.99/60 and 90/60 of a cent.
    for (per_minute, minor) in [("1", 0), ("30", 1), ("29.99", 0), ("90", 2)] {
        assert_eq!(cost(rate(per_minute, 1, 0, 0), 1), minor, "{per_minute} a minute");
    }
    // Rounded by the second it would be 60.
    assert_eq!(cost(rate("30", 1, 0, 0), 60), 30);
}

#[test]
fn a_day_long_call_and_a_free_one_have_a_cost() {
    assert_eq!(cost(rate("300", 1, 0, 0), 86_400), 432_000);
    assert_eq!(cost(rate("0", 1, 0, 0), 86_400), 0);
    assert_eq!(cost(Rate::FREE, u64::MAX), 0);
}

#[test]
fn a_cost_that_does_not_fit_is_refused() {
    let dear = rate("1000000000000", 3_600, 0, 0);
    assert_eq!(dear.cost(u64::MAX), Err(RateError::Overflow));
    assert!(dear.cost(86_400).is_ok());
    let edge = rate("60", 1, 0, 1);
    let most = u64::try_from(i64::MAX).unwrap();
    assert_eq!(edge.cost(most - 1), Ok(Minor::MAX));
    assert_eq!(edge.cost(most), Err(RateError::Overflow));
    assert_eq!(edge.cost(u64::MAX), Err(RateError::Overflow));
}

#[test]
fn the_first_hold_is_fee_and_minimum_or_one_increment_rounded_up() {
    for (rate, minor) in [
        (rate("300", 1, 0, 0), 5),
        (rate("300", 60, 0, 0), 300),
        (rate("1", 1, 0, 0), 1),
        (rate("300", 1, 100, 50), 150),
        (rate("300", 60, 100, 50), 350),
        (Rate::FREE, 0),
    ] {
        assert_eq!(rate.first_hold(), Minor::new(minor), "{rate:?}");
    }
}

#[test]
fn the_dearest_rate_still_has_a_first_hold() {
    let most = AMOUNT_MAX.get();
    let dearest = rate("1000000000000", INCREMENT_MAX, most, most);
    assert_eq!(dearest.increment_cost(), Minor::new(60 * most));
    assert_eq!(dearest.first_hold(), Minor::new(61 * most));
}

#[test]
fn an_amount_pays_for_whole_increments() {
    let second = rate("300", 1, 0, 0);
    let minute = rate("300", 60, 0, 0);
    let with_fee = rate("300", 1, 100, 50);
    // Half a cent a second: 1 s costs 1, 2 s cost 1, 3 s cost 2.
    let half = rate("30", 1, 0, 0);
    for (rate, amount, seconds) in [
        (half, 0, 0),
        (half, 1, 2),
        (half, 2, 4),
        (second, 0, 0),
        (second, 4, 0),
        (second, 5, 1),
        (second, 10_000, 2_000),
        (minute, 299, 0),
        (minute, 300, 60),
        (minute, 899, 120),
        (with_fee, 149, 0),
        (with_fee, 150, 20),
        (with_fee, 155, 21),
        (second, -1, 0),
        (second, i64::MIN, 0),
    ] {
        assert_eq!(rate.seconds_paid_by(Minor::new(amount)), seconds, "{amount} at {rate:?}");
    }
}

#[test]
fn a_free_rate_is_paid_for_ever_once_fee_and_minimum_are() {
    assert_eq!(Rate::FREE.seconds_paid_by(Minor::ZERO), u64::MAX);
    assert_eq!(rate("0", 1, 0, 10).seconds_paid_by(Minor::new(9)), 0);
    assert_eq!(rate("0", 1, 0, 10).seconds_paid_by(Minor::new(10)), u64::MAX);
}

#[test]
fn time_beyond_counting_is_whole_increments_too() {
    let paid = rate("0.000000001", 7, 0, 0).seconds_paid_by(Minor::MAX);
    assert_eq!(paid, u64::MAX - u64::MAX % 7);
}

#[test]
fn figures_out_of_range_are_no_rate() {
    let new = |price: &str, increment, minimum, fee| {
        Rate::from_text(price, increment, Minor::new(minimum), Minor::new(fee)).unwrap_err()
    };
    assert_eq!(new("", 1, 0, 0), InvalidRate::NotDecimal);
    assert_eq!(new("3,5", 1, 0, 0), InvalidRate::NotDecimal);
    assert_eq!(new("1e3", 1, 0, 0), InvalidRate::NotDecimal);
    assert_eq!(new("-1", 1, 0, 0), InvalidRate::NegativeRate);
    assert_eq!(new("0.0000000001", 1, 0, 0), InvalidRate::TooFine);
    assert_eq!(new("1000000000000.1", 1, 0, 0), InvalidRate::TooLarge);
    assert_eq!(new("1", 0, 0, 0), InvalidRate::Increment);
    assert_eq!(new("1", 3_601, 0, 0), InvalidRate::Increment);
    assert_eq!(new("1", 1, -1, 0), InvalidRate::NegativeMinimum);
    assert_eq!(new("1", 1, 0, -1), InvalidRate::NegativeFee);
    assert_eq!(new("1", 1, i64::MAX, 0), InvalidRate::TooLarge);
    assert_eq!(new("1", 1, 0, i64::MAX), InvalidRate::TooLarge);
}

#[test]
fn the_header_shows_the_price_without_needless_zeros() {
    let shown = |price| rate(price, 1, 0, 0).header_value();
    assert_eq!(shown("300"), "300;per=60;increment=1;currency=KES");
    assert_eq!(shown("2.500"), "2.5;per=60;increment=1;currency=KES");
}

#[test]
fn every_begun_second_counts() {
    assert_eq!(seconds_begun(Duration::ZERO), 0);
    assert_eq!(seconds_begun(Duration::from_nanos(1)), 1);
    assert_eq!(seconds_begun(Duration::from_secs(5)), 5);
    assert_eq!(seconds_begun(Duration::from_millis(5_001)), 6);
    assert_eq!(seconds_begun(Duration::MAX), u64::MAX);
}

/// The contract's sentence in decimals, step by step, rounded once at the end.
fn long_way(price: Decimal, increment: u32, minimum: i64, fee: i64, seconds: u64) -> i64 {
    if seconds == 0 {
        return 0;
    }
    let increment = Decimal::from(increment);
    let increments = (Decimal::from(seconds) / increment).ceil();
    let talk = increments * increment * price / Decimal::from(60);
    let rounded = (Decimal::from(fee) + talk.max(Decimal::from(minimum)))
        .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    i64::try_from(rounded).unwrap()
}

fn any_rate() -> impl Strategy<Value = (Decimal, u32, i64, i64)> {
    // Small whole prices meet exact halves of a cent often, fine ones hardly ever.
    let price = prop_oneof![
        (0_i64..10_000_000, 0_u32..=SCALE_MAX).prop_map(|(m, s)| Decimal::new(m, s)),
        (0_i64..40).prop_map(|tens| Decimal::from(tens * 10)),
    ];
    let increment = prop_oneof![Just(1_u32), Just(6), Just(30), Just(60), 1_u32..=INCREMENT_MAX];
    let amount = prop_oneof![Just(0_i64), 0_i64..10_000];
    (price, increment, amount.clone(), amount)
}

fn built((price, increment, minimum, fee): (Decimal, u32, i64, i64)) -> Rate {
    Rate::new(price, increment, Minor::new(minimum), Minor::new(fee)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn cost_is_what_decimals_give_the_long_way(
        figures in any_rate(),
        seconds in prop_oneof![0_u64..200, 0_u64..200_000],
    ) {
        let (price, increment, minimum, fee) = figures;
        let expected = long_way(price, increment, minimum, fee, seconds);
        prop_assert_eq!(cost(built(figures), seconds), expected);
    }

    /// Less than a cent off the exact value, and the half goes up.
    #[test]
    fn the_rounding_error_is_half_a_cent_at_most(
        (price, increment, _, _) in any_rate(),
        seconds in 1_u64..200_000,
    ) {
        let billed = Decimal::from(seconds.div_ceil(increment.into()) * u64::from(increment));
        let twice_sixty_exact = billed * price * Decimal::from(2);
        let rounded = Decimal::from(cost(built((price, increment, 0, 0)), seconds));
        let error = rounded * Decimal::from(120) - twice_sixty_exact;
        prop_assert!(error > Decimal::from(-60) && error <= Decimal::from(60), "{}", error);
    }

    #[test]
    fn more_time_never_costs_less(
        figures in any_rate(), seconds in 0_u64..100_000, more in 0_u64..1_000,
    ) {
        let rate = built(figures);
        prop_assert!(cost(rate, seconds) <= cost(rate, seconds + more));
    }

    #[test]
    fn the_first_hold_pays_the_first_increment_and_little_more(figures in any_rate()) {
        let rate = built(figures);
        let first = cost(rate, rate.increment_seconds().into());
        let held = rate.first_hold().get();
        prop_assert!(first <= held && held <= first + 1);
        prop_assert!(rate.seconds_paid_by(rate.first_hold()) >= rate.increment_seconds().into());
    }

    /// One increment's cost more pays at least one increment more: what extending relies on.
    #[test]
    fn another_increments_cost_pays_another_increment(
        figures in any_rate(), amount in 0_i64..10_000_000,
    ) {
        let rate = built(figures);
        let amount = rate.first_hold().checked_add(Minor::new(amount)).unwrap();
        let more = amount.checked_add(rate.increment_cost()).unwrap();
        let paid = rate.seconds_paid_by(amount);
        let least = paid.saturating_add(rate.increment_seconds().into());
        prop_assert!(rate.seconds_paid_by(more) >= least);
    }

    /// Exactly the largest whole number of increments that the amount pays.
    #[test]
    fn seconds_paid_are_the_most_that_the_amount_pays(
        figures in any_rate(), amount in prop_oneof![0_i64..500, 0_i64..100_000_000],
    ) {
        let rate = built(figures);
        let paid = rate.seconds_paid_by(Minor::new(amount));
        if paid == u64::MAX {
            prop_assert!(rate.per_minute_minor().is_zero());
        } else {
            let increment = u64::from(rate.increment_seconds());
            prop_assert_eq!(paid % increment, 0);
            prop_assert!(cost(rate, paid) <= amount);
            prop_assert!(cost(rate, paid + increment) > amount);
        }
    }

    #[test]
    fn no_figures_panic(
        mantissa in any::<i64>(), scale in 0_u32..=28, increment in any::<u32>(),
        minimum in any::<i64>(), fee in any::<i64>(), seconds in any::<u64>(),
        amount in any::<i64>(),
    ) {
        let price = Decimal::new(mantissa, scale);
        if let Ok(rate) = Rate::new(price, increment, Minor::new(minimum), Minor::new(fee)) {
            let _ = rate.cost(seconds);
            let _ = rate.first_hold();
            let _ = rate.seconds_paid_by(Minor::new(amount));
        }
    }

    #[test]
    fn no_figures_in_range_panic(
        mantissa in 0_i64..=1_000_000_000_000_000_000, scale in 6_u32..=SCALE_MAX,
        increment in 1_u32..=INCREMENT_MAX, minimum in 0..=AMOUNT_MAX.get(),
        fee in 0..=AMOUNT_MAX.get(), seconds in any::<u64>(), amount in any::<i64>(),
    ) {
        let price = Decimal::new(mantissa, scale);
        let rate = Rate::new(price, increment, Minor::new(minimum), Minor::new(fee)).unwrap();
        let _ = rate.cost(seconds);
        prop_assert!(rate.first_hold() >= rate.increment_cost());
        let paid = rate.seconds_paid_by(Minor::new(amount));
        if paid != u64::MAX {
            prop_assert!(rate.cost(paid).is_ok_and(|cost| cost.get() <= amount.max(0)));
        }
    }
}
