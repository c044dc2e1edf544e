//! What talking costs.

mod card;
#[cfg(test)]
mod tests;

pub(crate) use card::normalize_prefix;
pub use card::{CardError, PREFIXES_MAX, RateCard, RateRow};

use crate::money::Minor;
use rust_decimal::Decimal;
use std::fmt;
use std::time::Duration;

/// Fraction digits of a rate, in minor units a minute.
pub const SCALE_MAX: u32 = 9;
/// Largest rate a minute, minimum charge or connection fee: ten billion shillings.
pub const AMOUNT_MAX: Minor = Minor::new(1_000_000_000_000);
/// Longest billing increment, in seconds.
pub const INCREMENT_MAX: u32 = 3_600;

const SECONDS_PER_MINUTE: u128 = 60;

/// Why four figures are no rate; prints as the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRate {
    #[error("per_minute_minor must be a decimal number, written as text where it has a fraction")]
    NotDecimal,
    #[error("per_minute_minor must not be negative")]
    NegativeRate,
    #[error("per_minute_minor may have 9 fraction digits at most")]
    TooFine,
    #[error("per_minute_minor, minimum_minor and connection_fee_minor may be 10^12 at most")]
    TooLarge,
    #[error("increment_seconds must lie between 1 and 3600")]
    Increment,
    #[error("minimum_minor must not be negative")]
    NegativeMinimum,
    #[error("connection_fee_minor must not be negative")]
    NegativeFee,
}

/// Why a time has no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    #[error("the cost does not fit an amount")]
    Overflow,
}

/// A rate, frozen at the start of a call. All its arithmetic is on integers and exact; the limits
/// above make every intermediate fit 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_minute_minor: Decimal,
    /// The same as `per_minute_minor × 10^scale`: mantissa and 60 × 10^scale, the divisor that
    /// turns increments' seconds × mantissa into minor units.
    mantissa: u128,
    divisor: u128,
    increment_seconds: u32,
    minimum_minor: Minor,
    connection_fee_minor: Minor,
}

impl Rate {
    /// Costs nothing: inbound calls, and calls within a workspace.
    pub const FREE: Self = Self {
        per_minute_minor: Decimal::ZERO,
        mantissa: 0,
        divisor: SECONDS_PER_MINUTE,
        increment_seconds: 1,
        minimum_minor: Minor::ZERO,
        connection_fee_minor: Minor::ZERO,
    };

    /// `per_minute_minor` in minor units a minute, the increment in seconds.
    ///
    /// # Errors
    /// The first figure that is out of its range.
    pub fn new(
        per_minute_minor: Decimal,
        increment_seconds: u32,
        minimum_minor: Minor,
        connection_fee_minor: Minor,
    ) -> Result<Self, InvalidRate> {
        let per_minute_minor = per_minute_minor.normalize();
        if per_minute_minor < Decimal::ZERO {
            return Err(InvalidRate::NegativeRate);
        }
        if per_minute_minor.scale() > SCALE_MAX {
            return Err(InvalidRate::TooFine);
        }
        if !(1..=INCREMENT_MAX).contains(&increment_seconds) {
            return Err(InvalidRate::Increment);
        }
        if minimum_minor.is_negative() {
            return Err(InvalidRate::NegativeMinimum);
        }
        if connection_fee_minor.is_negative() {
            return Err(InvalidRate::NegativeFee);
        }
        if per_minute_minor > Decimal::from(AMOUNT_MAX.get())
            || minimum_minor.max(connection_fee_minor) > AMOUNT_MAX
        {
            return Err(InvalidRate::TooLarge);
        }
        Ok(Self {
            per_minute_minor,
            mantissa: per_minute_minor.mantissa().unsigned_abs(),
            divisor: SECONDS_PER_MINUTE * 10_u128.pow(per_minute_minor.scale()),
            increment_seconds,
            minimum_minor,
            connection_fee_minor,
        })
    }

    /// A rate whose price is text, as it is stored and configured: `300` or `2.5`.
    ///
    /// # Errors
    /// As [`Rate::new`], and for text that is no decimal number.
    pub fn from_text(
        per_minute_minor: &str,
        increment_seconds: u32,
        minimum_minor: Minor,
        connection_fee_minor: Minor,
    ) -> Result<Self, InvalidRate> {
        let price =
            Decimal::from_str_exact(per_minute_minor).map_err(|_| InvalidRate::NotDecimal)?;
        Self::new(price, increment_seconds, minimum_minor, connection_fee_minor)
    }

    /// Minor units a minute, without trailing zeros.
    #[must_use]
    pub const fn per_minute_minor(&self) -> Decimal {
        self.per_minute_minor
    }

    #[must_use]
    pub const fn increment_seconds(&self) -> u32 {
        self.increment_seconds
    }

    /// What an answered call costs at least, beside the fee.
    #[must_use]
    pub const fn minimum_minor(&self) -> Minor {
        self.minimum_minor
    }

    #[must_use]
    pub const fn connection_fee_minor(&self) -> Minor {
        self.connection_fee_minor
    }

    /// What `answered_seconds` cost: fee + max(minimum, started increments × price), rounded half
    /// up to the minor unit once, at the end. A call of 0 s costs 0: neither minimum nor fee, since
    /// nothing was connected that anybody could have used.
    ///
    /// # Errors
    /// [`RateError::Overflow`] where the sum does not fit; no call that is held for reaches that.
    pub fn cost(&self, answered_seconds: u64) -> Result<Minor, RateError> {
        if answered_seconds == 0 {
            return Ok(Minor::ZERO);
        }
        let increment = u128::from(self.increment_seconds);
        let billed_seconds = u128::from(answered_seconds).div_ceil(increment) * increment;
        // Doubled, so that adding one divisor is adding a half.
        let talk = self
            .mantissa
            .checked_mul(2 * billed_seconds)
            .and_then(|doubled| doubled.checked_add(self.divisor))
            .and_then(|doubled| i64::try_from(doubled / (2 * self.divisor)).ok())
            .ok_or(RateError::Overflow)?;
        Minor::new(talk)
            .max(self.minimum_minor)
            .checked_add(self.connection_fee_minor)
            .ok_or(RateError::Overflow)
    }

    /// What is held before dialling: fee + max(minimum, one increment), rounded up, so that it
    /// always pays the first increment.
    #[must_use]
    pub fn first_hold(&self) -> Minor {
        self.increment_cost()
            .max(self.minimum_minor)
            .checked_add(self.connection_fee_minor)
            .expect("a rate's figures are at most AMOUNT_MAX, so their sum fits")
    }

    /// One increment without fee or minimum, rounded up.
    #[must_use]
    pub fn increment_cost(&self) -> Minor {
        let cost = (self.mantissa * u128::from(self.increment_seconds)).div_ceil(self.divisor);
        Minor::new(i64::try_from(cost).expect("AMOUNT_MAX a minute for INCREMENT_MAX seconds fits"))
    }

    /// The most seconds, in whole increments, whose [`Rate::cost`] is at most `amount`: how long a
    /// hold lasts. 0 where not even one increment is paid; `u64::MAX` where talking is free.
    #[must_use]
    pub fn seconds_paid_by(&self, amount: Minor) -> u64 {
        let Some(for_talk) = amount.checked_sub(self.connection_fee_minor) else {
            return 0;
        };
        if for_talk < self.minimum_minor {
            return 0;
        }
        let Ok(for_talk) = u128::try_from(for_talk.get()) else {
            return 0;
        };
        if self.mantissa == 0 {
            return u64::MAX;
        }
        let increment = u128::from(self.increment_seconds);
        // Half up rounds to `for_talk` or less whatever lies below for_talk + ½, so the largest n
        // with 2 × n × increment × mantissa < divisor × (2 × for_talk + 1).
        let increments = (self.divisor * (2 * for_talk + 1) - 1) / (2 * increment * self.mantissa);
        u64::try_from(increments * increment)
            .unwrap_or(u64::MAX - u64::MAX % u64::from(self.increment_seconds))
    }

    /// The value of the header `X-Sautikit-Rate`, from which a page shows the running cost.
    #[must_use]
    pub fn header_value(&self) -> String {
        format!(
            "{};per=60;increment={};currency=KES",
            self.per_minute_minor, self.increment_seconds
        )
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Rate({}/min per {} s, minimum {}, fee {})",
            self.per_minute_minor,
            self.increment_seconds,
            self.minimum_minor,
            self.connection_fee_minor
        )
    }
}

/// The seconds that a talked time is billed for: every second that was begun.
#[must_use]
pub const fn seconds_begun(talked: Duration) -> u64 {
    talked.as_secs().saturating_add(if talked.subsec_nanos() == 0 { 0 } else { 1 })
}
