//! Who a browser is within its workspace.

use crate::ids::WorkspaceId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

/// Longest identity, in characters (all ASCII).
pub const IDENTITY_MAX: usize = 64;

/// Why a text is no identity; prints as the end of a sentence ("identity is empty").
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("is empty")]
    Empty,
    #[error("is longer than 64 characters")]
    TooLong,
    #[error("may hold only letters, digits, '.', '_' and '-'")]
    Character,
    #[error("needs at least one letter, so that it is never taken for a phone number")]
    NoLetter,
    #[error("is a UUID, which could be taken for a workspace")]
    Uuid,
}

/// A token's `identity` claim and the user part of an address of record:
/// `[A-Za-z0-9._-]{1,64}` with at least one letter, and no UUID. Case counts, as in SIP user parts
/// (RFC 3261 section 19.1.4). A clone is a counter's increment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<str>);

impl Identity {
    /// # Errors
    /// Which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        if text.is_empty() {
            return Err(IdentityError::Empty);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !text.bytes().all(allowed) {
            return Err(IdentityError::Character);
        }
        if text.len() > IDENTITY_MAX {
            return Err(IdentityError::TooLong);
        }
        if !text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return Err(IdentityError::NoLetter);
        }
        if Uuid::try_parse(text).is_ok() {
            return Err(IdentityError::Uuid);
        }
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::parse(text)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Identity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an identity of letters, digits, '.', '_' and '-'")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Identity, E> {
                Identity::parse(text).map_err(|error| E::custom(format_args!("identity {error}")))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

/// The user part of an address of record: a session's identity, else its workspace. Bindings are
/// keyed by workspace *and* user, since two workspaces may both have an `alice`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressUser {
    Identity(Identity),
    Workspace(WorkspaceId),
}

impl AddressUser {
    /// The user of a token with this `sub` and `identity`.
    #[must_use]
    pub fn of(workspace: WorkspaceId, identity: Option<&Identity>) -> Self {
        identity.map_or(Self::Workspace(workspace), |identity| Self::Identity(identity.clone()))
    }

    /// Reads a user part as it stands in a To or Request-URI; `None` where it is neither.
    #[must_use]
    pub fn parse(user: &str) -> Option<Self> {
        match Identity::parse(user) {
            Ok(identity) => Some(Self::Identity(identity)),
            Err(_) => user.parse().ok().map(Self::Workspace),
        }
    }

    /// Whether a user part names this user; allocates nothing for an identity.
    #[must_use]
    pub fn is(&self, user: &str) -> bool {
        match self {
            Self::Identity(identity) => identity.as_str() == user,
            Self::Workspace(workspace) => user.parse() == Ok(*workspace),
        }
    }
}

impl fmt::Display for AddressUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(identity) => fmt::Display::fmt(identity, f),
            Self::Workspace(workspace) => fmt::Display::fmt(workspace, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "01901234-5678-7fff-bfff-ffffffffffff";

    #[test]
    fn names_with_a_letter_are_identities() {
        for text in ["a", "alice", "Alice.B_c-9", "desk-7", "x1", &"a".repeat(64)] {
            assert_eq!(Identity::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_breaks_a_rule_is_refused_with_it() {
        for (text, error) in [
            ("", IdentityError::Empty),
            (&"a".repeat(65), IdentityError::TooLong),
            ("al ice", IdentityError::Character),
            ("alice@x", IdentityError::Character),
            ("alice\r\n", IdentityError::Character),
            ("älice", IdentityError::Character),
            ("+254722000001", IdentityError::Character),
            ("254722000001", IdentityError::NoLetter),
            ("7.7-7_7", IdentityError::NoLetter),
            (UUID, IdentityError::Uuid),
            (&UUID.to_uppercase(), IdentityError::Uuid),
            (&UUID.replace('-', ""), IdentityError::Uuid),
        ] {
            assert_eq!(Identity::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn an_address_is_the_identity_or_else_the_workspace() {
        let workspace: WorkspaceId = UUID.parse().unwrap();
        let alice = Identity::parse("alice").unwrap();
        let named = AddressUser::of(workspace, Some(&alice));
        let unnamed = AddressUser::of(workspace, None);
        assert_eq!(named.to_string(), "alice");
        assert_eq!(unnamed.to_string(), UUID);
        assert_eq!(AddressUser::parse("alice"), Some(named.clone()));
        assert_eq!(AddressUser::parse(&UUID.to_uppercase()), Some(unnamed.clone()));
        assert_eq!(AddressUser::parse("+254722000001"), None);
        assert!(named.is("alice") && !named.is("Alice") && !named.is(UUID));
        assert!(unnamed.is(UUID) && unnamed.is(&UUID.to_uppercase()) && !unnamed.is("alice"));
    }
}
