//! What was dialled.

use crate::e164::E164;
use crate::identity::Identity;

/// Fewest digits of a number that may be dialled. The shortest international numbers have 7;
/// what is shorter is a short code or an emergency number, which would reach some other line when
/// dialled as if it were international (`112` is no subscriber of country code 1).
pub const DIALLED_DIGITS_MIN: usize = 7;
/// Longest user part that is looked at: an identity with every character escaped.
const USER_MAX: usize = 3 * crate::identity::IDENTITY_MAX;

/// Whom a call is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A subscriber of the phone network, through a trunk.
    Number(E164),
    /// Somebody of the workspace, free of charge.
    Identity(Identity),
}

/// What was dialled is neither: [`crate::cause::Refusal::InvalidNumber`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no phone number with its country code and no identity")]
pub struct DestinationError;

impl Destination {
    /// Reads the user part of a Request-URI (or the number of a `tel:` URI, or the API's `to`):
    /// first as a number, then as an identity. Escapes (`%2B254…`, RFC 3261 section 19.1.2) are
    /// undone first.
    ///
    /// National and exit-code forms (`0722…`, `00254…`, `011254…`) are refused rather than guessed
    /// at, and so is anything with a parameter inside the user part: a number that was understood
    /// otherwise than it was meant costs somebody money.
    ///
    /// # Errors
    /// [`DestinationError`], for which the answer is 484.
    pub fn parse(user: &str) -> Result<Self, DestinationError> {
        if user.len() > USER_MAX {
            return Err(DestinationError);
        }
        if user.contains('%') {
            let plain = unescape(user).ok_or(DestinationError)?;
            Self::parse_plain(&plain)
        } else {
            Self::parse_plain(user)
        }
    }

    fn parse_plain(user: &str) -> Result<Self, DestinationError> {
        if let Ok(number) = E164::parse(user) {
            return if number.digits().len() < DIALLED_DIGITS_MIN {
                Err(DestinationError)
            } else {
                Ok(Self::Number(number))
            };
        }
        Identity::parse(user).map(Self::Identity).map_err(|_| DestinationError)
    }
}

/// `None` for a broken escape or one of anything but printable ASCII: no CR, LF or NUL comes in by
/// this way.
fn unescape(user: &str) -> Option<String> {
    let mut plain = String::with_capacity(user.len());
    let mut rest = user.chars();
    while let Some(char) = rest.next() {
        if char != '%' {
            plain.push(char);
            continue;
        }
        let high = rest.next()?.to_digit(16)?;
        let low = rest.next()?.to_digit(16)?;
        let char = char::from_u32(high * 16 + low)?;
        if !char.is_ascii_graphic() {
            return None;
        }
        plain.push(char);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_dialled_with_its_country_code() {
        for user in ["+254722000001", "254722000001", "%2B254722000001", "%2b254-722-000-001"] {
            let number = E164::parse("+254722000001").unwrap();
            assert_eq!(Destination::parse(user), Ok(Destination::Number(number)), "{user}");
        }
    }

    #[test]
    fn a_name_is_an_identity() {
        for (user, name) in [("alice", "alice"), ("desk-7", "desk-7"), ("%61lice", "alice")] {
            let identity = Identity::parse(name).unwrap();
            assert_eq!(Destination::parse(user), Ok(Destination::Identity(identity)), "{user}");
        }
    }

    #[test]
    fn what_would_have_to_be_guessed_is_refused() {
        for user in [
            "",
            "+",
            "0722000001",
            "00254722000001",
            "011254722000001",
            "112",
            "+112",
            "911",
            "999",
            "123456",
            "+1234567890123456",
            "+254722000001;phone-context=example.com",
            "+254722000001%3Bisub=1",
            "+254722000001%0d%0aX:1",
            "+254722000001%00",
            "+254722000001%",
            "+254722000001%2",
            "+254722000001%zz",
            "+254722000001%e9",
            "+٢٥٤٧٢٢٠٠٠٠٠١",
            "*144#",
            "01901234-5678-7fff-bfff-ffffffffffff",
            "alice@example.com",
            "alice bob",
        ] {
            assert_eq!(Destination::parse(user), Err(DestinationError), "{user:?}");
        }
    }

    #[test]
    fn an_endless_user_part_is_refused_unread() {
        assert_eq!(Destination::parse(&"%61".repeat(65)), Err(DestinationError));
        assert!(Destination::parse(&"%61".repeat(64)).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(user in "\\PC{0,80}", escaped in "(%[0-9a-f]{0,3}|[+0-9a-z]){0,30}") {
            let _ = Destination::parse(&user);
            let _ = Destination::parse(&escaped);
        }
    }
}
