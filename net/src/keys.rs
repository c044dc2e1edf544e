//! The keys that sign SIP tokens, and their rotation, as a plain value: `now` is passed in, and a
//! reload makes a new value.
//!
//! The active key signs and verifies, the next one only verifies. On a reload whose new active key
//! was loaded before, the former active key goes on verifying for 305 s (a token's life and the
//! leeway), so that the short recipe (promote and clear `_NEXT` in one step) refuses no token. A
//! reload whose active key was never loaded is an emergency: what is not configured any more is
//! refused at once, and [`Keys::accepts`] tells which sessions have to go.

use std::fmt;

use aws_lc_rs::digest;
use jsonwebtoken::{DecodingKey, EncodingKey};
use sautikit_core::token::{LEEWAY_SECONDS, LIFETIME_SECONDS};
use secrecy::{ExposeSecret, SecretSlice};

/// HS256 keys are at least as long as the hash (RFC 7518 section 3.2).
pub const KEY_MIN_BYTES: usize = 32;
/// How long a promoted key's predecessor verifies.
pub const FORMER_SECONDS: i64 = LIFETIME_SECONDS + LEEWAY_SECONDS;

/// minutes are no rotation.
const SEEN_MAX: usize = 8;
const FORMER_MAX: usize = 4;

const _: () = assert!(FORMER_SECONDS == 305 && FORMER_MAX < SEEN_MAX);

/// One key. Never printed.
#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// Which key verified a token: equal for equal keys, and all that a session keeps of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 16]);

/// A key that must not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key is {length} bytes long and must have at least 32; make one with: openssl rand -base64 48"
)]
pub struct KeyError {
    pub length: usize,
}

/// The keys in force.
#[derive(Clone)]
pub struct Keys {
    active: SigningKey,
    next: Option<SigningKey>,
    former: Vec<Former>,
    /// Newest last.
    seen: Vec<KeyId>,
}

#[derive(Clone)]
struct Former {
    key: SigningKey,
    until_unix: i64,
}

/// What a reload was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The same active key; the next one may have changed.
    Kept,
    /// A key that was loaded before became active: nobody is refused.
    Promoted,
    /// An active key that was never loaded before. Sessions whose key [`Keys::accepts`] no longer
    /// must be closed with 4401.
    Emergency,
}

impl SigningKey {
    /// The key of an environment variable: its raw bytes.
    ///
    /// # Errors
    ///
    /// Fewer than 32 bytes.
    pub fn from_value(value: &SecretSlice<u8>) -> Result<Self, KeyError> {
        Self::new(value.expose_secret())
    }

    /// The key of a file: its bytes without the last newline.
    ///
    /// # Errors
    ///
    /// Fewer than 32 bytes then.
    pub fn from_file(content: &SecretSlice<u8>) -> Result<Self, KeyError> {
        let bytes = content.expose_secret();
        let line = bytes.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        Self::new(line.unwrap_or(bytes))
    }

    fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() < KEY_MIN_BYTES {
            return Err(KeyError { length: bytes.len() });
        }
        let mut id = [0; 16];
        let hash = digest::digest(&digest::SHA256, bytes);
        id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Ok(Self {
            id: KeyId(id),
            encoding: EncodingKey::from_secret(bytes),
            decoding: DecodingKey::from_secret(bytes),
        })
    }

    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

impl Keys {
    /// The keys that a process starts with.
    #[must_use]
    pub fn new(active: SigningKey, next: Option<SigningKey>) -> Self {
        let mut keys = Self { active, next, former: Vec::new(), seen: Vec::new() };
        keys.remember();
        keys
    }

    /// The keys after the configuration was read again at `now_unix` (seconds since 1970).
    #[must_use]
    pub fn reload(
        &self,
        active: SigningKey,
        next: Option<SigningKey>,
        now_unix: i64,
    ) -> (Self, Reload) {
        let reload = if active.id == self.active.id {
            Reload::Kept
        } else if self.seen.contains(&active.id) {
            Reload::Promoted
        } else {
            Reload::Emergency
        };
        let mut former = match reload {
            Reload::Kept | Reload::Promoted => self.former.clone(),
            Reload::Emergency => Vec::new(),
        };
        if reload == Reload::Promoted {
            let until_unix = now_unix.saturating_add(FORMER_SECONDS);
            former.push(Former { key: self.active.clone(), until_unix });
        }
        former.retain(|former| former.until_unix > now_unix && former.key.id != active.id);
        let surplus = former.len().saturating_sub(FORMER_MAX);
        former.drain(..surplus);
        let mut keys = Self { active, next, former, seen: self.seen.clone() };
        keys.remember();
        (keys, reload)
    }

    /// Whether a token of this key would be accepted now.
    #[must_use]
    pub fn accepts(&self, key: KeyId, now_unix: i64) -> bool {
        self.verifying(now_unix).any(|known| known.id == key)
    }

    pub(crate) fn signing(&self) -> &EncodingKey {
        &self.active.encoding
    }

    /// The keys that verify, most likely first.
    pub(crate) fn verifying(&self, now_unix: i64) -> impl Iterator<Item = &SigningKey> {
        let former = self.former.iter().filter(move |former| former.until_unix > now_unix);
        std::iter::once(&self.active).chain(&self.next).chain(former.map(|former| &former.key))
    }

    fn remember(&mut self) {
        for id in self.next.iter().map(SigningKey::id).chain([self.active.id]) {
            self.seen.retain(|seen| *seen != id);
            self.seen.push(id);
        }
        let surplus = self.seen.len().saturating_sub(SEEN_MAX);
        self.seen.drain(..surplus);
    }
}

impl SigningKey {
    pub(crate) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Not even the hash: of a weak key it would tell much.
impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyId(…)")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("next", &self.next.is_some())
            .field("former", &self.former.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_782_554_400;

    fn key(letter: char) -> SigningKey {
        SigningKey::from_value(&bytes(&letter.to_string().repeat(32))).unwrap()
    }

    fn bytes(text: &str) -> SecretSlice<u8> {
        text.as_bytes().to_vec().into()
    }

    fn accepted(keys: &Keys, now: i64) -> String {
        "abcd".chars().filter(|letter| keys.accepts(key(*letter).id, now)).collect()
    }

    #[test]
    fn the_long_recipe_refuses_nobody() {
        let keys = Keys::new(key('a'), None);
        let (keys, first) = keys.reload(key('a'), Some(key('b')), NOW);
        assert_eq!((first, accepted(&keys, NOW).as_str()), (Reload::Kept, "ab"));
        let (keys, second) = keys.reload(key('b'), Some(key('a')), NOW + 10);
        assert_eq!((second, accepted(&keys, NOW + 10).as_str()), (Reload::Promoted, "ab"));
        let (keys, third) = keys.reload(key('b'), None, NOW + 400);
        assert_eq!((third, accepted(&keys, NOW + 400).as_str()), (Reload::Kept, "b"));
    }

    #[test]
    fn the_short_recipe_keeps_the_former_key_for_305_seconds_and_no_longer() {
        let keys = Keys::new(key('a'), Some(key('b')));
        let (keys, reload) = keys.reload(key('b'), None, NOW);
        assert_eq!(reload, Reload::Promoted);
        assert_eq!(accepted(&keys, NOW + 304), "ab");
        assert_eq!(accepted(&keys, NOW + 305), "b");
        // Another reload in between neither ends nor prolongs it.
        let (keys, _) = keys.reload(key('b'), None, NOW + 100);
        assert_eq!(accepted(&keys, NOW + 304), "ab");
        assert_eq!(accepted(&keys, NOW + 305), "b");
    }

    #[test]
    fn a_key_never_loaded_before_is_an_emergency_that_refuses_the_old_one_at_once() {
        let keys = Keys::new(key('a'), Some(key('b')));
        let (keys, reload) = keys.reload(key('c'), None, NOW);
        assert_eq!((reload, accepted(&keys, NOW).as_str()), (Reload::Emergency, "c"));
    }

    #[test]
    fn an_emergency_within_the_305_seconds_drops_the_former_key_too() {
        let (keys, _) = Keys::new(key('a'), Some(key('b'))).reload(key('b'), None, NOW);
        let (keys, reload) = keys.reload(key('c'), None, NOW + 1);
        assert_eq!((reload, accepted(&keys, NOW + 1).as_str()), (Reload::Emergency, "c"));
    }

    #[test]
    fn an_emergency_that_keeps_the_old_key_as_next_closes_nobody() {
        let (keys, reload) = Keys::new(key('a'), None).reload(key('c'), Some(key('a')), NOW);
        assert_eq!((reload, accepted(&keys, NOW).as_str()), (Reload::Emergency, "ac"));
    }

    #[test]
    fn a_promotion_taken_back_is_no_emergency() {
        let (keys, _) = Keys::new(key('a'), Some(key('b'))).reload(key('b'), None, NOW);
        let (keys, reload) = keys.reload(key('a'), None, NOW + 5);
        assert_eq!((reload, accepted(&keys, NOW + 5).as_str()), (Reload::Promoted, "ab"));
        assert_eq!(accepted(&keys, NOW + 310), "a");
    }

    #[test]
    fn a_key_shorter_than_32_bytes_is_refused_with_the_way_to_make_one() {
        let error = SigningKey::from_value(&bytes(&"k".repeat(31))).unwrap_err();
        assert!(error.to_string().contains("openssl rand"), "{error}");
        assert_eq!(SigningKey::from_value(&bytes("")).unwrap_err().length, 0);
        let with_newline = bytes(&format!("{}\n", "k".repeat(31)));
        assert_eq!(SigningKey::from_file(&with_newline).unwrap_err().length, 31);
    }

    #[test]
    fn a_file_gives_the_key_of_the_value_without_its_last_newline_only() {
        let value = "k".repeat(40);
        let plain = SigningKey::from_value(&bytes(&value)).unwrap().id();
        let of_file = |text: String| SigningKey::from_file(&bytes(&text)).unwrap().id();
        assert_eq!(of_file(value.clone()), plain);
        assert_eq!(of_file(format!("{value}\n")), plain);
        assert_eq!(of_file(format!("{value}\r\n")), plain);
        assert_ne!(of_file(format!("{value}\n\n")), plain);
        assert_ne!(of_file(format!("{value} ")), plain);
    }

    #[test]
    fn no_key_shows_in_debug_output() {
        let keys = Keys::new(key('a'), Some(key('b')));
        let text = format!("{keys:?} {:?} {:?}", key('a'), key('a').id());
        assert!(!text.contains("aaaa") && !text.contains("97, 97"), "{text}");
    }
}
