//! Amounts.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount in minor units: cents of a Kenya shilling (KES 1 is 100). Whole, signed, and never
/// computed with unchecked arithmetic.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Minor(i64);

impl Minor {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);
    pub const MIN: Self = Self(i64::MIN);

    #[must_use]
    pub const fn new(minor: i64) -> Self {
        Self(minor)
    }

    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// `None` where the sum does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// `None` where the difference does not fit.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// `None` only for the one amount whose opposite does not fit.
    #[must_use]
    pub const fn checked_neg(self) -> Option<Self> {
        match self.0.checked_neg() {
            Some(opposite) => Some(Self(opposite)),
            None => None,
        }
    }
}

/// The plain integer, as the API shows it.
impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_at_the_edge_do_not_wrap() {
        assert_eq!(Minor::MAX.checked_add(Minor::new(1)), None);
        assert_eq!(Minor::MIN.checked_sub(Minor::new(1)), None);
        assert_eq!(Minor::MIN.checked_neg(), None);
        assert_eq!(Minor::MAX.checked_add(Minor::ZERO), Some(Minor::MAX));
        assert_eq!(Minor::MAX.checked_sub(Minor::MAX), Some(Minor::ZERO));
    }

    #[test]
    fn an_amount_prints_as_the_plain_integer() {
        assert_eq!(Minor::new(-450).to_string(), "-450");
    }
}
