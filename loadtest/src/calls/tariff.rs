//! What a call must cost, reckoned apart from the gateway's own rules: a mistake in those is found by
//! the proof, and not made by both.

/// A price a minute as the 200 and the row have it, and what of it no header tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tariff<'a> {
    /// Minor units, as decimal text.
    pub(super) per_minute: &'a str,
    pub(super) increment_seconds: u32,
    pub(super) minimum: i64,
    pub(super) fee: i64,
}

impl Tariff<'_> {
    /// In minor units. `None` where the price is no number or the cost is none.
    pub(super) fn cost(&self, seconds: u64) -> Option<i64> {
        if seconds == 0 {
            return Some(0);
        }
        let (units, decimals) = self.per_minute.split_once('.').unwrap_or((self.per_minute, ""));
        let price: i128 = format!("{units}{decimals}").parse().ok()?;
        let whole = 60 * 10_i128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
        let increment = i128::from(self.increment_seconds.max(1));
        let begun = (i128::from(seconds) + increment - 1) / increment;
        let exact = price.checked_mul(begun * increment)?;
        // Half up.
        let half_up = i128::from(exact % whole * 2 >= whole);
        let talk = i64::try_from(exact / whole + half_up).ok()?;
        talk.max(self.minimum).checked_add(self.fee)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_those_that_a_person_reckons() {
        let cost = |per_minute, increment_seconds, minimum, fee, seconds| {
            Tariff { per_minute, increment_seconds, minimum, fee }.cost(seconds)
        };
        assert_eq!(cost("300", 1, 0, 0, 7), Some(35));
        assert_eq!(cost("300", 60, 0, 0, 61), Some(600));
        assert_eq!(cost("100", 1, 0, 0, 1), Some(2), "1.67");
        assert_eq!(cost("30", 1, 0, 0, 1), Some(1), "0.5 is rounded up");
        assert_eq!(cost("29.99", 1, 0, 0, 1), Some(0), "0.4998");
        assert_eq!(cost("90.5", 6, 0, 0, 7), Some(18), "18.1");
        assert_eq!(cost("300", 1, 50, 7, 3), Some(57));
        assert_eq!(cost("300", 1, 50, 7, 0), Some(0));
        assert_eq!(cost("a lot", 1, 0, 0, 3), None);
        assert_eq!(cost("300", 1, 0, 0, u64::MAX), None);
    }
}
