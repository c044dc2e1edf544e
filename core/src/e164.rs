//! Phone numbers in the international form of ITU-T E.164.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Most digits of a number, country code included (E.164 section 6.1).
pub const DIGITS_MAX: usize = 15;
/// Fewest: shorter ones are short codes, which no trunk is asked for.
pub const DIGITS_MIN: usize = 3;
/// Longest text that is looked at: 15 digits with a separator after each, and a plus.
const TEXT_MAX: usize = 2 * DIGITS_MAX + 1;

/// Why a text is no E.164 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum E164Error {
    #[error("is empty")]
    Empty,
    #[error("has fewer than 3 digits")]
    TooShort,
    #[error("has more than 15 digits")]
    TooLong,
    #[error("starts with 0: write the country code first, as in +254722000001")]
    LeadingZero,
    #[error("holds something other than ASCII digits")]
    NotDigits,
}

/// A phone number: 3 to 15 ASCII digits, the first not 0. Inline and `Copy`; sorts like its text.
/// `Debug` and `Display` are redacted (`+25472…001`): a log line says which number it could be and
/// not which it is. [`E164::as_str`] and serialising give it whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164 {
    /// `+` and the digits, then zero bytes.
    text: [u8; DIGITS_MAX + 1],
    len: u8,
}

impl E164 {
    /// Reads `+254722000001` or `254722000001`, also with the visual separators of RFC 3966
    /// section 5.1.1 (`-`, `.`, `(`, `)`) or spaces between its digits.
    ///
    /// # Errors
    /// What the text is instead; [`E164Error`] prints as the end of a sentence ("to is empty").
    pub fn parse(input: &str) -> Result<Self, E164Error> {
        let body = input.strip_prefix('+').unwrap_or(input);
        if body.is_empty() {
            return Err(E164Error::Empty);
        }
        if input.len() > TEXT_MAX {
            return Err(E164Error::TooLong);
        }
        let mut text = [0; DIGITS_MAX + 1];
        text[0] = b'+';
        let mut len: u8 = 1;
        for byte in body.bytes() {
            match byte {
                b'0'..=b'9' => {
                    let slot = text.get_mut(usize::from(len)).ok_or(E164Error::TooLong)?;
                    *slot = byte;
                    len += 1;
                }
                // A number that starts with a separator is more likely something else's remains.
                b'-' | b'.' | b'(' | b')' | b' ' if len > 1 || byte == b'(' => {}
                _ => return Err(E164Error::NotDigits),
            }
        }
        if text[1] == b'0' {
            return Err(E164Error::LeadingZero);
        }
        if usize::from(len) < DIGITS_MIN + 1 {
            return Err(E164Error::TooShort);
        }
        Ok(Self { text, len })
    }

    /// With the plus: `+254722000001`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text[..usize::from(self.len)])
            .expect("parse wrote only ASCII into the first `len` bytes")
    }

    /// Without the plus: `254722000001`.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.as_str()[1..]
    }

    /// Whether the number lies under `prefix`, which may be written with or without its plus.
    /// The empty prefix covers every number.
    #[must_use]
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.digits().starts_with(prefix.strip_prefix('+').unwrap_or(prefix))
    }
}

impl FromStr for E164 {
    type Err = E164Error;

    fn from_str(text: &str) -> Result<Self, E164Error> {
        Self::parse(text)
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        // At least four digits stay hidden in a number long enough to be somebody's.
        let (head, tail) = match digits.len() {
            12.. => (5, 3),
            8..=11 => (2, 2),
            _ => (1, 0),
        };
        write!(f, "+{}…{}", &digits[..head], &digits[digits.len() - tail..])
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for E164 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for E164 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = E164;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a phone number like +254722000001")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<E164, E> {
                E164::parse(text).map_err(|error| E::custom(format_args!("phone number {error}")))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_reads_with_and_without_plus_and_with_separators() {
        for text in [
            "+254722000001",
            "254722000001",
            "+254-722-000-001",
            "+254 722 000 001",
            "+254.722.000001",
            "(254) 722-000001",
        ] {
            assert_eq!(E164::parse(text).unwrap().as_str(), "+254722000001", "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_reason() {
        for (text, error) in [
            ("", E164Error::Empty),
            ("+", E164Error::Empty),
            ("++254722000001", E164Error::NotDigits),
            ("-254722000001", E164Error::NotDigits),
            ("12", E164Error::TooShort),
            ("+1-2", E164Error::TooShort),
            ("(", E164Error::TooShort),
            ("0722000001", E164Error::LeadingZero),
            ("00254722000001", E164Error::LeadingZero),
            ("+1234567890123456", E164Error::TooLong),
            ("+254722000001;phone-context=x", E164Error::NotDigits),
            ("+254722x", E164Error::NotDigits),
            ("٢٥٤٧٢٢٠٠٠", E164Error::NotDigits),
            ("+２５４７２２", E164Error::NotDigits),
            ("254\r\n722", E164Error::NotDigits),
            ("254\x00722000", E164Error::NotDigits),
            ("2--------------------------------54", E164Error::TooLong),
        ] {
            assert_eq!(E164::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_shortest_and_the_longest_number_fit() {
        assert_eq!(E164::parse("123").unwrap().as_str(), "+123");
        assert_eq!(E164::parse("123456789012345").unwrap().digits(), "123456789012345");
    }

    #[test]
    fn printing_hides_the_middle() {
        let show =
            |text: &str| format!("{} {:?}", E164::parse(text).unwrap(), E164::parse(text).unwrap());
        assert_eq!(show("+254722000001"), "+25472…001 +25472…001");
        assert_eq!(show("+12345678"), "+12…78 +12…78");
        assert_eq!(show("+1234"), "+1… +1…");
    }

    #[test]
    fn a_prefix_counts_by_digits() {
        let number = E164::parse("+254722000001").unwrap();
        for prefix in ["", "+", "2", "+254", "254722", "+254722000001"] {
            assert!(number.starts_with(prefix), "{prefix}");
        }
        for prefix in ["+255", "722", "+2547220000011"] {
            assert!(!number.starts_with(prefix), "{prefix}");
        }
    }

    #[test]
    fn serde_writes_and_reads_the_whole_number() {
        use serde::de::IntoDeserializer;
        use serde::de::value::{Error, StrDeserializer};
        let read = |text: &'static str| {
            let deserializer: StrDeserializer<'_, Error> = text.into_deserializer();
            E164::deserialize(deserializer)
        };
        assert_eq!(read("+254722000001").unwrap().as_str(), "+254722000001");
        assert_eq!(
            read("0722").unwrap_err().to_string().split(':').next(),
            Some("phone number starts with 0")
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_a_good_one_reads_back(text in "\\PC{0,40}") {
            if let Ok(number) = E164::parse(&text) {
                prop_assert_eq!(E164::parse(number.as_str()), Ok(number));
            }
        }

        #[test]
        fn numbers_sort_like_their_text(a in "[1-9][0-9]{2,14}", b in "[1-9][0-9]{2,14}") {
            let (left, right) = (E164::parse(&a).unwrap(), E164::parse(&b).unwrap());
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }
    }
}
