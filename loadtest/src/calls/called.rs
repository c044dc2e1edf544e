//! Whom the calls go to: one number, or many by a pattern.

use std::str::FromStr;

use sautikit_core::e164::{E164, E164Error};

use crate::carrier::Behaviour;

/// Digits that a pattern may leave open.
const OPEN_MAX: u32 = 9;

/// A number in which `x` stands for a digit that counts: `+254722xxxx01`. An `x` among the last two
/// digits, by which the simulated carrier tells what it does, counts only over those that answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    pattern: String,
    /// What the open ones of the last two digits may be, with zeros before.
    tails: Vec<String>,
    /// How many other digits are open.
    open: u32,
}

/// What is no pattern of a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalledError {
    #[error("the number {0}")]
    Number(#[from] E164Error),
    #[error("more than 9 digits are left open")]
    TooOpen,
}

impl FromStr for Called {
    type Err = CalledError;

    fn from_str(text: &str) -> Result<Self, CalledError> {
        let number = E164::parse(&text.replace('x', "1"))?;
        // As it was written, without visual separators.
        let is_part = |c: &char| c.is_ascii_digit() || *c == 'x';
        let pattern: String = std::iter::once('+').chain(text.chars().filter(is_part)).collect();
        debug_assert_eq!(pattern.len(), number.as_str().len());
        let (head, tail) = pattern.split_at(pattern.len() - 2);
        let open = u32::try_from(head.matches('x').count()).unwrap_or(u32::MAX);
        if open > OPEN_MAX {
            return Err(CalledError::TooOpen);
        }
        Ok(Self { tails: tails(tail), open, pattern })
    }
}

impl Called {
    /// How many calls have a number that no other one has.
    pub(super) fn capacity(&self) -> u64 {
        let tails = u64::try_from(self.tails.len()).unwrap_or(u64::MAX);
        tails.saturating_mul(10_u64.saturating_pow(self.open))
    }

    /// Whether a number is one of these.
    pub(super) fn is_one(&self, number: &str) -> bool {
        let fits =
            |(own, other): (char, char)| own == other || (own == 'x' && other.is_ascii_digit());
        number.len() == self.pattern.len() && self.pattern.chars().zip(number.chars()).all(fits)
    }

    /// The number of call `n`; numbers begin anew after the last one.
    pub(super) fn number(&self, n: u64) -> String {
        let tails = u64::try_from(self.tails.len()).unwrap_or(1).max(1);
        let tail = usize::try_from(n % tails).ok().and_then(|at| self.tails.get(at));
        let count = (n / tails) % 10_u64.pow(self.open);
        let open = usize::try_from(self.open).unwrap_or(0);
        let mut digits = format!("{count:0open$}");
        if open == 0 {
            digits.clear();
        }
        digits.push_str(tail.map_or("", String::as_str));
        let mut digits = digits.chars();
        let filled =
            self.pattern.chars().map(|c| if c == 'x' { digits.next().unwrap_or('0') } else { c });
        filled.collect()
    }
}

/// What fills the open ones of the last two characters.
fn tails(tail: &str) -> Vec<String> {
    let open = tail.matches('x').count();
    if open == 0 {
        return vec![String::new()];
    }
    let fill = |digits: &str| {
        let mut digits = digits.chars();
        tail.chars()
            .map(|c| if c == 'x' { digits.next().unwrap_or('0') } else { c })
            .collect::<String>()
    };
    let all = (0..10_usize.pow(u32::try_from(open).unwrap_or(1))).map(|n| format!("{n:0open$}"));
    all.filter(|digits| Behaviour::of(&fill(digits)) == Behaviour::Answer).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn called(text: &str) -> Called {
        text.parse().unwrap()
    }

    #[test]
    fn a_plain_number_is_called_again_and_again() {
        let called = called("+254 722 000003");
        assert_eq!(
            (called.number(0), called.number(77)),
            ("+254722000003".into(), "+254722000003".into())
        );
    }

    #[test]
    fn open_digits_count_up_and_begin_anew() {
        let called = called("+254722xxxx01");
        assert_eq!(called.number(0), "+254722000001");
        assert_eq!(called.number(1234), "+254722123401");
        assert_eq!(called.number(10_001), "+254722000101");
    }

    #[test]
    fn an_open_ending_never_reaches_a_number_that_does_not_answer() {
        let called = called("+2547220000xx");
        let numbers: BTreeSet<_> = (0..95).map(|n| called.number(n)).collect();
        assert_eq!(numbers.len(), 95);
        for number in &numbers {
            assert_eq!(Behaviour::of(number), Behaviour::Answer, "{number}");
        }
        assert_eq!(called.number(95), called.number(0));
        assert_eq!(
            self::called("+25472200x0x").number(1),
            "+254722000001".replacen("000001", "00001", 1)
        );
    }

    #[test]
    fn it_is_known_how_many_numbers_there_are_and_which() {
        for (text, capacity) in
            [("+254722000001", 1), ("+254722xxxx01", 10_000), ("+254722xxxxxx", 950_000)]
        {
            let called = called(text);
            assert_eq!(called.capacity(), capacity);
            assert!(called.is_one(&called.number(capacity - 1)), "{text}");
            assert!(!called.is_one("+254733000001") && !called.is_one("+25472200000101"));
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert_eq!("0722".parse::<Called>(), Err(CalledError::Number(E164Error::LeadingZero)));
        assert!("+254y".parse::<Called>().is_err());
        assert_eq!("+1xxxxxxxxxx01".parse::<Called>(), Err(CalledError::TooOpen));
    }
}
