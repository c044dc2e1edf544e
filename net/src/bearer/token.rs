//! A token before anybody believes it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A token as a client sent it. Never printed.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The token of an `Authorization` value, of HTTP or of SIP (RFC 8898), where its scheme is
    /// Bearer.
    #[must_use]
    pub fn from_authorization(value: &str) -> Option<Self> {
        from_authorization(value).map(Self::new)
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What follows `Bearer` (in any case) in an `Authorization` value; `None` for another scheme and
/// for what is no single word.
#[must_use]
pub fn from_authorization(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim_ascii().split_once(' ')?;
    let token = token.trim_ascii();
    let fits = scheme.eq_ignore_ascii_case("bearer")
        && !token.is_empty()
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(token)
}
