//! Random bytes from the operating system's seeded generator (aws-lc).

use aws_lc_rs::digest;
use std::ops::RangeInclusive;

/// `N` random bytes, fit for secrets and for the random part of a UUIDv7.
///
/// # Panics
///
/// Only where the generator has no entropy source at all: no secret may be made then.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the machine has an entropy source");
    bytes
}

/// `2 * N` lower-case hex digits from `N` random bytes: tags, branches, request ids.
#[must_use]
pub fn hex<const N: usize>() -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * N);
    for byte in bytes::<N>() {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// A number in `range`, for jitter (a `Retry-After` that does not bring everybody back at once).
/// The modulo's bias is below one in 2³², which jitter does not notice.
#[must_use]
pub fn between(range: RangeInclusive<u32>) -> u32 {
    let (low, high) = (*range.start(), *range.end());
    if low >= high {
        return low;
    }
    let span = u64::from(high - low) + 1;
    let offset = u64::from_le_bytes(bytes()) % span;
    low + u32::try_from(offset).expect("the remainder is below a span of u32")
}

/// SHA-256 of some bytes, to compare without keeping them.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ_and_hex_is_twice_as_long() {
        assert_ne!(bytes::<16>(), bytes::<16>());
        assert_eq!(hex::<10>().len(), 20);
        assert!(hex::<10>().bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
    }

    #[test]
    fn jitter_stays_in_its_range_and_reaches_both_ends() {
        let drawn: Vec<u32> = (0..200).map(|_| between(2..=4)).collect();
        assert!(drawn.iter().all(|n| (2..=4).contains(n)));
        assert!(drawn.contains(&2) && drawn.contains(&4));
        assert_eq!(between(7..=7), 7);
    }
}
