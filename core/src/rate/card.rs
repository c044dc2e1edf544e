use super::{InvalidRate, Rate};
use crate::e164::{DIGITS_MAX, E164};
use crate::money::Minor;
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Rows of one card.
pub const PREFIXES_MAX: usize = 100_000;

/// Why rows are no card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    #[error("prefix {0:?} must be 1 to 15 digits after an optional +, the first of them not 0")]
    Prefix(String),
    #[error("prefix {0:?} is given twice")]
    Duplicate(String),
    #[error("rate of prefix {prefix:?}: {error}")]
    Rate { prefix: String, error: InvalidRate },
    #[error("a rate card may have 100000 prefixes at most")]
    TooMany,
}

/// Prefixes and their rates; the longest prefix of a number wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateCard {
    /// By prefix (with its plus), sorted, each once.
    rows: Vec<(String, Rate)>,
    /// Digits of the longest prefix.
    longest: usize,
}

impl RateCard {
    /// A card of these prefixes, each with or without its plus. An empty card rates nothing.
    ///
    /// # Errors
    /// The first prefix that is malformed or repeated.
    pub fn new(rows: Vec<(String, Rate)>) -> Result<Self, CardError> {
        if rows.len() > PREFIXES_MAX {
            return Err(CardError::TooMany);
        }
        let mut rows = rows
            .into_iter()
            .map(|(prefix, rate)| match normalize_prefix(&prefix) {
                Some(normal) => Ok((normal, rate)),
                None => Err(CardError::Prefix(prefix)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(CardError::Duplicate(pair[0].0.clone()));
        }
        let longest = rows.iter().map(|(prefix, _)| prefix.len() - 1).max().unwrap_or(0);
        Ok(Self { rows, longest })
    }

    /// A card of configured rows.
    ///
    /// # Errors
    /// As [`RateCard::new`], and for a row whose figures are no rate.
    pub fn from_rows(rows: &[RateRow]) -> Result<Self, CardError> {
        let rated = rows.iter().map(|row| match row.rate() {
            Ok(rate) => Ok((row.prefix.clone(), rate)),
            Err(error) => Err(CardError::Rate { prefix: row.prefix.clone(), error }),
        });
        Self::new(rated.collect::<Result<_, _>>()?)
    }

    /// The card of a gateway that nobody gave one: KES 3.00 a minute on +254, billed per second.
    #[must_use]
    pub fn standard() -> Self {
        let rate = Rate::new(300.into(), 1, Minor::ZERO, Minor::ZERO);
        Self::new(vec![("+254".to_owned(), rate.expect("the figures are in range"))])
            .expect("one well-formed prefix is a card")
    }

    /// The rate of the longest prefix of `number`.
    #[must_use]
    pub fn longest(&self, number: &E164) -> Option<&Rate> {
        self.longest_with_prefix(number).map(|(_, rate)| rate)
    }

    /// The same, with the prefix (`+254`).
    #[must_use]
    pub fn longest_with_prefix(&self, number: &E164) -> Option<(&str, &Rate)> {
        let text = number.as_str();
        let most = self.longest.min(text.len() - 1);
        (1..=most).rev().find_map(|digits| {
            let prefix = &text[..=digits];
            let found = self.rows.binary_search_by(|(row, _)| row.as_str().cmp(prefix)).ok()?;
            let (prefix, rate) = &self.rows[found];
            Some((prefix.as_str(), rate))
        })
    }

    /// Prefixes and rates, sorted by prefix.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Rate)> {
        self.rows.iter().map(|(prefix, rate)| (prefix.as_str(), rate))
    }
}

/// A prefix with its plus: `254` and `+254` are the same one. `None` where it is no prefix of an
/// E.164 number.
pub(crate) fn normalize_prefix(prefix: &str) -> Option<String> {
    let digits = prefix.strip_prefix('+').unwrap_or(prefix);
    let well_formed = (1..=DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    well_formed.then(|| format!("+{digits}"))
}

/// One `[[rate]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateRow {
    pub prefix: String,
    /// Minor units a minute: a whole number, or text with a fraction (`"2.5"`). A float is refused,
    /// since it has no exact decimal value.
    #[serde(deserialize_with = "decimal_text")]
    pub per_minute_minor: String,
    #[serde(default = "one_second")]
    pub increment_seconds: u32,
    #[serde(default)]
    pub minimum_minor: Minor,
    #[serde(default)]
    pub connection_fee_minor: Minor,
}

impl RateRow {
    /// # Errors
    /// Which figure is out of its range.
    pub fn rate(&self) -> Result<Rate, InvalidRate> {
        Rate::from_text(
            &self.per_minute_minor,
            self.increment_seconds,
            self.minimum_minor,
            self.connection_fee_minor,
        )
    }
}

const fn one_second() -> u32 {
    1
}

fn decimal_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Visitor;

    impl serde::de::Visitor<'_> for Visitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number or a decimal written as text, like \"2.5\"")
        }

        fn visit_i64<E>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_u64<E>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_str<E>(self, value: &str) -> Result<String, E> {
            Ok(value.to_owned())
        }
    }

    deserializer.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::value::{Error, MapDeserializer};

    fn rate(per_minute: i64) -> Rate {
        Rate::new(per_minute.into(), 1, Minor::ZERO, Minor::ZERO).unwrap()
    }

    fn card(rows: &[(&str, i64)]) -> Result<RateCard, CardError> {
        let rows = rows.iter().map(|(prefix, price)| ((*prefix).to_owned(), rate(*price)));
        RateCard::new(rows.collect())
    }

    fn number(text: &str) -> E164 {
        E164::parse(text).unwrap()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let card = card(&[("+254", 300), ("25472", 400), ("+2540", 1), ("+1", 50)]).unwrap();
        for (dialled, found) in [
            ("+254733000001", Some(("+254", 300))),
            ("+254722000001", Some(("+25472", 400))),
            ("+254000000001", Some(("+2540", 1))),
            ("+12025550100", Some(("+1", 50))),
            ("+255722000001", None),
            ("+253", None),
        ] {
            let expected = found.map(|(prefix, price)| (prefix, rate(price)));
            let got = card.longest_with_prefix(&number(dialled)).map(|(p, r)| (p, *r));
            assert_eq!(got, expected, "{dialled}");
            assert_eq!(card.longest(&number(dialled)).copied(), expected.map(|(_, rate)| rate));
        }
    }

    #[test]
    fn the_standard_card_is_three_shillings_a_minute_in_kenya() {
        let card = RateCard::standard();
        assert_eq!(card.longest(&number("+254722000001")), Some(&rate(300)));
        assert_eq!(card.longest(&number("+255722000001")), None);
        assert_eq!(card.rows().count(), 1);
    }

    #[test]
    fn malformed_and_repeated_prefixes_are_refused() {
        for prefix in ["", "+", "0254", "25 4", "+25x", "1234567890123456", "++1"] {
            let error = CardError::Prefix(prefix.to_owned());
            assert_eq!(card(&[(prefix, 1)]).unwrap_err(), error);
        }
        let twice = card(&[("+254", 1), ("1", 2), ("254", 3)]).unwrap_err();
        assert_eq!(twice, CardError::Duplicate("+254".to_owned()));
        assert_eq!(card(&[]).unwrap().longest(&number("+254722000001")), None);
    }

    #[test]
    fn a_configured_row_has_defaults_and_takes_text_for_fractions() {
        let row = RateRow {
            prefix: "+254".to_owned(),
            per_minute_minor: "2.50".to_owned(),
            increment_seconds: 1,
            minimum_minor: Minor::ZERO,
            connection_fee_minor: Minor::ZERO,
        };
        let texts = [("prefix", "+254"), ("per_minute_minor", "2.50")];
        let read: Result<RateRow, Error> =
            RateRow::deserialize(MapDeserializer::new(texts.into_iter()));
        assert_eq!(read.unwrap(), row);
        assert_eq!(row.rate().unwrap().per_minute_minor().to_string(), "2.5");
        assert!(RateCard::from_rows(&[row]).is_ok());
    }

    #[test]
    fn a_bad_configured_row_is_named() {
        let row = RateRow {
            prefix: "+254".to_owned(),
            per_minute_minor: "three".to_owned(),
            increment_seconds: 1,
            minimum_minor: Minor::ZERO,
            connection_fee_minor: Minor::ZERO,
        };
        let message = RateCard::from_rows(&[row]).unwrap_err().to_string();
        assert!(message.starts_with("rate of prefix \"+254\": per_minute_minor"), "{message}");
    }

    proptest! {
        #[test]
        fn lookup_agrees_with_trying_every_row(
            prefixes in prop::collection::btree_set("[1-3]{1,4}", 0..30),
            dialled in "[1-3]{3,8}",
        ) {
            let rows: Vec<_> = prefixes.iter().zip(1..).map(|(p, n)| (p.as_str(), n)).collect();
            let card = card(&rows).unwrap();
            let best = rows
                .iter()
                .filter(|(prefix, _)| dialled.starts_with(prefix))
                .max_by_key(|(prefix, _)| prefix.len());
            let found = card.longest(&number(&dialled)).copied();
            prop_assert_eq!(found, best.map(|(_, price)| rate(*price)));
        }
    }
}
