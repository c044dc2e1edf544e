//! base64url without padding (RFC 4648 section 5), as JWS wants it (RFC 7515 section 2). Decoding
//! is strict: a token has one spelling only.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut value: u8 = 0;
    while value < 64 {
        table[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// Appends `input` in base64url to `out`.
pub(crate) fn encode_into(input: &[u8], out: &mut String) {
    for chunk in input.chunks(3) {
        let (a, b, c) = match *chunk {
            [a, b, c] => (a, Some(b), Some(c)),
            [a, b] => (a, Some(b), None),
            [a] => (a, None, None),
            _ => return,
        };
        let second = b.unwrap_or(0);
        let mut push = |index: u8| out.push(char::from(ALPHABET[usize::from(index)]));
        push(a >> 2);
        push((a & 0x03) << 4 | second >> 4);
        if b.is_some() {
            push((second & 0x0f) << 2 | c.unwrap_or(0) >> 6);
        }
        if let Some(c) = c {
            push(c & 0x3f);
        }
    }
}

/// The bytes that `input` spells, or `None` for a foreign character, padding, an impossible length,
/// or bits left over that are not zero.
pub(crate) fn decode(input: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(input.len() / 4 * 3 + 2);
    for chunk in input.as_bytes().chunks(4) {
        let mut values = [0u8; 4];
        for (value, byte) in values.iter_mut().zip(chunk) {
            *value = VALUES[usize::from(*byte)];
            if *value == NONE {
                return None;
            }
        }
        let [a, b, c, d] = values;
        match chunk.len() {
            4 => out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]),
            3 if c & 0x03 == 0 => out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2]),
            2 if b & 0x0f == 0 => out.push(a << 2 | b >> 4),
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(input: &[u8]) -> String {
        let mut out = String::new();
        encode_into(input, &mut out);
        out
    }

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn every_byte_survives_at_every_length() {
        let all: Vec<u8> = (0..=255).collect();
        for length in 0..all.len() {
            assert_eq!(decode(&encode(&all[..length])).as_deref(), Some(&all[..length]));
        }
    }

    #[test]
    fn a_second_spelling_is_refused() {
        for bad in ["Zg==", "Zh", "Zm9", "A", "Zm8=", "Zm+v", "Zm/v", "Zm v", "Zm9vA", "é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
