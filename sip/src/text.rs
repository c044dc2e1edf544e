//! The string type of header values.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A piece of a message's head: cheap to clone, reads as `str`, never changes.
///
/// All texts of one received message share one copy of its head, so reading a message costs
/// one allocation for all its values, and the receive buffer is free at once. (A slice of the
/// `Bytes` itself would have to be checked for UTF-8 at every look, since this crate forbids
/// `unsafe`.)
///
/// A text never holds a control character but HTAB: the constructors replace them with
/// spaces. So whatever is printed from texts cannot be split into two header lines.
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared { head: Arc<str>, start: u32, end: u32 },
}

impl Text {
    pub const EMPTY: Self = Self(Repr::Static(""));

    /// A text of the program's own. Panics at compile time on a control character.
    pub const fn from_static(value: &'static str) -> Self {
        let bytes = value.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(!is_control(bytes[at]), "a header value holds a control character");
            at += 1;
        }
        Self(Repr::Static(value))
    }

    /// Copies `value`; control characters but HTAB become spaces. Longer than 4 GiB: cut.
    pub fn new(value: &str) -> Self {
        let head: Arc<str> = if value.bytes().any(is_control) {
            value.replace(|c: char| c.is_ascii() && is_control(c as u8), " ").into()
        } else {
            value.into()
        };
        let end = u32::try_from(head.len()).unwrap_or(0);
        Self(Repr::Shared { head, start: 0, end })
    }

    /// A piece of a head in which the reader found no control character but CR LF between
    /// the pieces. A range outside of it, or within a character, is the empty text.
    pub(crate) fn slice(head: &Arc<str>, range: Range<usize>) -> Self {
        match (u32::try_from(range.start), u32::try_from(range.end)) {
            (Ok(start), Ok(end)) if head.get(range).is_some() => {
                Self(Repr::Shared { head: Arc::clone(head), start, end })
            }
            _ => Self::EMPTY,
        }
    }

    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(value) => value,
            Repr::Shared { head, start, end } => {
                head.get(*start as usize..*end as usize).unwrap_or_default()
            }
        }
    }
}

const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl From<String> for Text {
    fn from(value: String) -> Self {
        Self::new(&value)
    }
}

impl From<&String> for Text {
    fn from(value: &String) -> Self {
        Self::new(value)
    }
}

impl From<&Self> for Text {
    fn from(value: &Self) -> Self {
        value.clone()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_never_holds_a_line_break() {
        assert_eq!(Text::new("a\r\nVia: evil\0"), "a  Via: evil ");
        assert_eq!(Text::new("tab\tstays, ä too"), "tab\tstays, ä too");
    }

    #[test]
    fn a_range_that_does_not_fit_is_empty() {
        let head: Arc<str> = "aä".into();
        assert_eq!(Text::slice(&head, 1..3), "ä");
        assert_eq!(Text::slice(&head, 2..3), "");
        assert_eq!(Text::slice(&head, 0..9), "");
    }

    #[test]
    fn a_text_is_no_larger_than_three_words() {
        assert!(size_of::<Text>() <= 24);
    }
}
