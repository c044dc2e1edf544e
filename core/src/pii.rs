//! Personal data as a type, so that printing it by accident shows nothing.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A value that tells who somebody is or where he sits (a token, an SDP address, a display name).
/// Its `Debug` and `Display` print a placeholder; reading it takes the word `expose`.
/// Serialising writes the value: an API answer is no log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    #[must_use]
    pub const fn expose(&self) -> &T {
        &self.0
    }

    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Pii<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_shows_nothing() {
        let secret = Pii::new("192.0.2.7");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(secret)),
            "[redacted] [redacted] Some([redacted])"
        );
        assert_eq!(*secret.expose(), "192.0.2.7");
        assert_eq!(secret.into_inner(), "192.0.2.7");
    }
}
