//! API keys: 40 letters and digits after `sk_live_` (238 bits), stored as their SHA-256 only. A key
//! of that entropy needs no slow hash: there is nothing to guess.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use secrecy::{ExposeSecret, SecretString};

use crate::{bearer, random};

const PREFIX: &str = "sk_live_";
const RANDOM_LENGTH: usize = 40;
const LENGTH_MAX: usize = 128;
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A whole key as its owner shows it. Never printed; [`ApiKey::hash`] is what the store knows.
pub struct ApiKey(SecretString);

/// SHA-256 of a whole key.
#[derive(Clone, Copy, Debug)]
pub struct ApiKeyHash(pub [u8; 32]);

impl ApiKey {
    /// A new key. It is shown once; keep its hash.
    #[must_use]
    pub fn generate() -> Self {
        let mut key = String::with_capacity(PREFIX.len() + RANDOM_LENGTH);
        key.push_str(PREFIX);
        while key.len() < PREFIX.len() + RANDOM_LENGTH {
            // 248 is the largest multiple of 62 in a byte: above it a letter would be likelier.
            let drawn = random::bytes::<RANDOM_LENGTH>();
            let wanted = PREFIX.len() + RANDOM_LENGTH - key.len();
            let letters = drawn.iter().filter(|byte| **byte < 248).take(wanted);
            key.extend(letters.map(|byte| char::from(LETTERS[usize::from(byte % 62)])));
        }
        Self(key.into())
    }

    /// The key in what a client sent, or `None` where it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let fits = !rest.is_empty()
            && text.len() <= LENGTH_MAX
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        fits.then(|| Self(text.into()))
    }

    /// The key of an `Authorization: Bearer …` value.
    #[must_use]
    pub fn from_authorization(value: &str) -> Option<Self> {
        bearer::from_authorization(value).and_then(Self::parse)
    }

    /// The whole key, for the one time it is shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// SHA-256 of the whole key.
    #[must_use]
    pub fn hash(&self) -> ApiKeyHash {
        let digest = digest::digest(&digest::SHA256, self.expose().as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        ApiKeyHash(hash)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(sk_live_…)")
    }
}

impl ApiKeyHash {
    /// Comparison whose time tells nothing of where two hashes differ.
    #[must_use]
    pub fn matches(&self, other: &[u8; 32]) -> bool {
        constant_time::verify_slices_are_equal(&self.0, other).is_ok()
    }
}

impl PartialEq for ApiKeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for ApiKeyHash {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_parsed_again_and_no_two_are_alike() {
        let key = ApiKey::generate();
        assert_eq!(key.expose().len(), 48);
        assert_eq!(ApiKey::parse(key.expose()).unwrap().hash(), key.hash());
        assert_ne!(ApiKey::generate().hash(), key.hash());
    }

    #[test]
    fn the_hash_is_sha_256_of_the_whole_key() {
        let hash = ApiKey::parse("sk_live_abc").unwrap().hash();
        let mut expected = [0; 32];
        expected.copy_from_slice(digest::digest(&digest::SHA256, b"sk_live_abc").as_ref());
        assert!(hash.matches(&expected));
        expected[31] ^= 1;
        assert!(!hash.matches(&expected));
    }

    #[test]
    fn what_cannot_be_a_key_is_none() {
        let long = format!("sk_live_{}", "a".repeat(LENGTH_MAX));
        for bad in ["", "sk_live_", "sk_test_abc", "sk_live_a b", "sk_live_é", &long, " sk_live_a"]
        {
            assert!(ApiKey::parse(bad).is_none(), "{bad}");
        }
        assert!(ApiKey::from_authorization("Basic sk_live_abc").is_none());
        assert!(ApiKey::from_authorization("bearer sk_live_abc").is_some());
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let key = ApiKey::generate();
        assert!(!format!("{key:?}").contains(&key.expose()[8..]));
    }
}
