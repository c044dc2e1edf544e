//! The vectors of the RFCs, and libsrtp's of the profile for which they have none.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

const MASTER_KEY: &str = "E1F97A0D3E018BE0D64FA32C06DE4139";
const MASTER_SALT: &str = "0EC675AD498AFEEBB6960B3AABE6";

fn cm(control: bool) -> Cipher {
    let (key, salt) = (hex(MASTER_KEY), hex(MASTER_SALT));
    let master = Master { key: &key, salt: &salt };
    let make = if control { Cipher::rtcp } else { Cipher::rtp };
    make(Profile::Aes128CmSha1_80, master).unwrap()
}

fn gcm(algorithm: &'static aws_lc_rs::aead::Algorithm) -> Cipher {
    let key: Vec<u8> = (0..).take(algorithm.key_len()).collect();
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).unwrap());
    Cipher::Gcm { key, salt: *b"Quid pro quo" }
}

/// Seals and opens again, and finds each flipped bit.
fn rtp(cipher: &Cipher, ssrc: u32, index: u64, plain: &[u8], sealed: &[u8]) {
    let mut bytes = plain.to_vec();
    cipher.seal_rtp(ssrc, index, 12, &mut bytes).unwrap();
    assert_eq!(bytes, sealed);
    let mut out = Vec::new();
    cipher.open_rtp(ssrc, index, 12, sealed, &mut out).unwrap();
    assert_eq!(out, plain);
    for at in 0..sealed.len() {
        let mut forged = sealed.to_vec();
        forged[at] ^= 1;
        assert_eq!(cipher.open_rtp(ssrc, index, 12, &forged, &mut out), None, "byte {at}");
        assert_eq!(cipher.open_rtp(ssrc, index, 12, &sealed[..at], &mut out), None, "cut at {at}");
    }
    assert_eq!(cipher.open_rtp(ssrc, index + (1 << 16), 12, sealed, &mut out), None);
}

fn rtcp(cipher: &Cipher, ssrc: u32, index: u32, plain: &[u8], sealed: &[u8]) {
    let word = index | 1 << 31;
    let mut bytes = plain.to_vec();
    cipher.seal_rtcp(ssrc, word, 8, &mut bytes).unwrap();
    assert_eq!(bytes, sealed);
    assert_eq!(cipher.index_word(sealed), Some(word));
    let mut out = Vec::new();
    cipher.open_rtcp(ssrc, word, 8, sealed, &mut out).unwrap();
    assert_eq!(out, plain);
    for at in 0..sealed.len() {
        let mut forged = sealed.to_vec();
        forged[at] ^= 1;
        let word = cipher.index_word(&forged).unwrap();
        assert_eq!(cipher.open_rtcp(ssrc, word, 8, &forged, &mut out), None, "byte {at}");
        assert_eq!(cipher.open_rtcp(ssrc, word, 8, &sealed[..at], &mut out), None, "cut at {at}");
    }
}

#[test]
fn session_keys_are_those_of_rfc_3711_b_3() {
    let key = counter_mode(&hex(MASTER_KEY)).unwrap();
    let generator = Generator { key, salt: hex(MASTER_SALT).try_into().unwrap() };
    for (label, expected) in [
        (0, "C61E7A93744F39EE10734AFE3FF7A087"),
        (1, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
        (2, "30CBBC08863D8C85D49DB34A9AE1"),
    ] {
        let mut out = hex(expected);
        out.fill(0xff);
        generator.fill(label, &mut out).unwrap();
        assert_eq!(out, hex(expected), "label {label}");
    }
}

#[test]
fn the_key_stream_is_that_of_rfc_3711_b_2() {
    let key = counter_mode(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
    let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    let mut out = [0; 32];
    stream(&key, cm_iv(salt, 0, 0), &mut out).unwrap();
    let expected = hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB");
    assert_eq!(out.to_vec(), expected);
}

#[test]
fn aes_cm_seals_as_libsrtp_does() {
    let plain = hex("800f1234 decafbad cafebabe abababab abababab abababab abababab");
    let sealed = "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402
                  b78d6acc 99ea179b 8dbb";
    rtp(&cm(false), 0xcafe_babe, 0x1234, &plain, &hex(sealed));

    let plain = hex("81c8000b cafebabe abababab abababab abababab abababab");
    let sealed = "81c8000b cafebabe 7128035b e487b9bd bef89041 f977a5a8 80000001
                  993e08cd 54d6c123 0798";
    rtcp(&cm(true), 0xcafe_babe, 1, &plain, &hex(sealed));
}

#[test]
fn aes_gcm_seals_rtp_as_rfc_7714_section_16_does() {
    let plain = hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973
                     20646976 69736120 696e2070 61727465 73207472 6573");
    let sealed = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca
                  be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833
                  899d7f27 beb16a91 52cf765e e4390cce";
    rtp(&gcm(&AES_128_GCM), 0x5501_a0b2, 0xf17b, &plain, &hex(sealed));
    let sealed = "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa
                  b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb
                  7878d7a7 6c13";
    rtp(&gcm(&AES_256_GCM), 0x5501_a0b2, 0xf17b, &plain, &hex(sealed));
}

#[test]
fn aes_gcm_seals_rtcp_as_rfc_7714_section_17_does() {
    let plain = hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930
                     4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef");
    let sealed = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7
                  6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b
                  c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    rtcp(&gcm(&AES_128_GCM), 0x4d61_7273, 0x5d4, &plain, &hex(sealed));
}

#[test]
fn the_rollover_counter_is_part_of_each_seal() {
    for cipher in [cm(false), gcm(&AES_256_GCM)] {
        let seal = |index| {
            let mut bytes = vec![0x80; 40];
            cipher.seal_rtp(7, index, 12, &mut bytes).unwrap();
            bytes
        };
        assert_ne!(seal(5), seal((1 << 16) + 5));
        let mut out = Vec::new();
        assert_eq!(cipher.open_rtp(7, 5, 12, &seal((1 << 16) + 5), &mut out), None);
        assert!(cipher.open_rtp(7, (1 << 16) + 5, 12, &seal((1 << 16) + 5), &mut out).is_some());
    }
}

#[test]
fn masters_lie_in_the_exporters_order() {
    let material: Vec<u8> = (0..60).collect();
    let (client, server) = Profile::Aes128CmSha1_80.masters(&material).unwrap();
    assert_eq!((client.key[0], server.key[0]), (0, 16));
    assert_eq!((client.salt[0], server.salt[0]), (32, 46));
    assert!(Profile::Aes128CmSha1_80.masters(&material[..59]).is_none());
    assert!(Profile::AeadAes128Gcm.masters(&material).is_none());
    let material: Vec<u8> = (0..88).collect();
    let (_, server) = Profile::AeadAes256Gcm.masters(&material).unwrap();
    assert_eq!((server.key[0], server.salt[0], server.salt.len()), (32, 76, 12));
}
