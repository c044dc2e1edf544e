//! One direction's cryptography: keys from the master key, initialisation vectors, tags.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::INDEX_LEN;

/// Longest tag of a profile.
pub(crate) const TAG_MAX: usize = GCM_TAG;
const GCM_TAG: usize = 16;
/// HMAC-SHA1 cut to 80 bits.
const CM_TAG: usize = 10;
/// Salts are 112 bits; GCM's 96 are padded behind (RFC 7714 section 11).
const SALT: usize = 14;

/// What a key is for (RFC 3711 section 4.3.1): the first of the three labels of RTP or RTCP.
const RTP: u8 = 0;
const RTCP: u8 = 3;

/// The protection profiles of RFC 5764 and RFC 7714 that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Aes128CmSha1_80,
    AeadAes128Gcm,
    AeadAes256Gcm,
}

/// A master key and its salt.
#[derive(Clone, Copy)]
pub(crate) struct Master<'a> {
    pub(super) key: &'a [u8],
    pub(super) salt: &'a [u8],
}

impl Profile {
    const fn key_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    const fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// The client's and the server's, of a DTLS exporter's bytes (RFC 5764 section 4.2).
    pub(super) fn masters(self, material: &[u8]) -> Option<(Master<'_>, Master<'_>)> {
        let (keys, salts) = material.split_at_checked(2 * self.key_len())?;
        let (client_key, server_key) = keys.split_at(self.key_len());
        let (client_salt, server_salt) = salts.split_at_checked(self.salt_len())?;
        (server_salt.len() == self.salt_len()).then_some((
            Master { key: client_key, salt: client_salt },
            Master { key: server_key, salt: server_salt },
        ))
    }
}

/// Seals or opens the RTP, or the RTCP, of one direction.
pub(crate) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    Cm(Box<CounterMode>),
}

/// Keys of 1,700 bytes, which few browsers still make us keep.
pub(crate) struct CounterMode {
    key: EncryptingKey,
    authentication: hmac::Key,
    salt: [u8; SALT],
}

impl Cipher {
    pub(super) fn rtp(profile: Profile, master: Master<'_>) -> Option<Self> {
        Self::derive(profile, master, RTP)
    }

    pub(super) fn rtcp(profile: Profile, master: Master<'_>) -> Option<Self> {
        Self::derive(profile, master, RTCP)
    }

    fn derive(profile: Profile, master: Master<'_>, label: u8) -> Option<Self> {
        let mut salt = [0; SALT];
        salt.get_mut(..master.salt.len())?.copy_from_slice(master.salt);
        let generator = Generator { key: counter_mode(master.key)?, salt };
        let mut key = [0; 32];
        let key = key.get_mut(..profile.key_len())?;
        generator.fill(label, key)?;
        let mut salt = [0; SALT];
        generator.fill(label + 2, &mut salt)?;
        Some(match profile {
            Profile::Aes128CmSha1_80 => {
                let mut authentication = [0; 20];
                generator.fill(label + 1, &mut authentication)?;
                let algorithm = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
                let authentication = hmac::Key::new(algorithm, &authentication);
                Self::Cm(Box::new(CounterMode { key: counter_mode(key)?, authentication, salt }))
            }
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => {
                let is_128 = profile == Profile::AeadAes128Gcm;
                let algorithm = if is_128 { &AES_128_GCM } else { &AES_256_GCM };
                let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
                Self::Gcm { key, salt: *salt.first_chunk()? }
            }
        })
    }

    const fn tag(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG,
            Self::Cm(_) => CM_TAG,
        }
    }

    /// Encrypts what follows the header and appends the tag.
    pub(super) fn seal_rtp(
        &self,
        ssrc: u32,
        index: u64,
        header: usize,
        bytes: &mut Vec<u8>,
    ) -> Option<()> {
        match self {
            Self::Gcm { key, salt } => {
                seal(key, gcm_iv(*salt, ssrc, index), None, header, bytes)?;
            }
            Self::Cm(cm) => {
                let CounterMode { key, authentication, salt } = &**cm;
                stream(key, cm_iv(*salt, ssrc, index), bytes.get_mut(header..)?)?;
                let tag = authenticate(authentication, bytes, Some(rollovers(index)));
                bytes.extend_from_slice(tag.as_ref().get(..CM_TAG)?);
            }
        }
        Some(())
    }

    /// Checks the tag and writes the packet in clear to `out`.
    pub(super) fn open_rtp(
        &self,
        ssrc: u32,
        index: u64,
        header: usize,
        datagram: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let (body, tag) = datagram.split_at_checked(datagram.len().checked_sub(self.tag())?)?;
        match self {
            Self::Gcm { key, salt } => {
                open(key, gcm_iv(*salt, ssrc, index), None, header, (body, tag), out)
            }
            Self::Cm(cm) => {
                let CounterMode { key, authentication, salt } = &**cm;
                let expected = authenticate(authentication, body, Some(rollovers(index)));
                verify_slices_are_equal(expected.as_ref().get(..CM_TAG)?, tag).ok()?;
                copy(body, out);
                stream(key, cm_iv(*salt, ssrc, index), out.get_mut(header..)?)
            }
        }
    }

    /// Encrypts what follows the clear part; appends tag and index word in the profile's order.
    pub(super) fn seal_rtcp(
        &self,
        ssrc: u32,
        word: u32,
        clear: usize,
        bytes: &mut Vec<u8>,
    ) -> Option<()> {
        let index = control_index(word);
        match self {
            Self::Gcm { key, salt } => {
                let iv = gcm_control_iv(*salt, ssrc, index);
                seal(key, iv, Some(word), clear, bytes)?;
                bytes.extend_from_slice(&word.to_be_bytes());
            }
            Self::Cm(cm) => {
                let CounterMode { key, authentication, salt } = &**cm;
                stream(key, cm_iv(*salt, ssrc, u64::from(index)), bytes.get_mut(clear..)?)?;
                bytes.extend_from_slice(&word.to_be_bytes());
                let tag = authenticate(authentication, bytes, None);
                bytes.extend_from_slice(tag.as_ref().get(..CM_TAG)?);
            }
        }
        Some(())
    }

    /// The index word of an SRTCP packet: last of all with GCM, before the tag otherwise.
    pub(super) fn index_word(&self, datagram: &[u8]) -> Option<u32> {
        let behind = match self {
            Self::Gcm { .. } => 0,
            Self::Cm(_) => CM_TAG,
        };
        let at = datagram.len().checked_sub(behind + INDEX_LEN)?;
        datagram.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
    }

    /// Checks the tag and writes the compound in clear to `out`.
    pub(super) fn open_rtcp(
        &self,
        ssrc: u32,
        word: u32,
        clear: usize,
        datagram: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let overhead = self.tag() + INDEX_LEN;
        let length = datagram.len().checked_sub(overhead).filter(|length| *length >= clear)?;
        let (body, rest) = datagram.split_at_checked(length)?;
        let index = control_index(word);
        match self {
            Self::Gcm { key, salt } => {
                let iv = gcm_control_iv(*salt, ssrc, index);
                open(key, iv, Some(word), clear, (body, rest.get(..GCM_TAG)?), out)
            }
            Self::Cm(cm) => {
                let CounterMode { key, authentication, salt } = &**cm;
                let (signed, tag) = datagram.split_at_checked(length + INDEX_LEN)?;
                let expected = authenticate(authentication, signed, None);
                verify_slices_are_equal(expected.as_ref().get(..CM_TAG)?, tag).ok()?;
                copy(body, out);
                stream(key, cm_iv(*salt, ssrc, u64::from(index)), out.get_mut(clear..)?)
            }
        }
    }
}

/// The pseudo-random function that makes session keys of a master key (RFC 3711 section 4.3.3).
struct Generator {
    key: EncryptingKey,
    salt: [u8; SALT],
}

impl Generator {
    fn fill(&self, label: u8, out: &mut [u8]) -> Option<()> {
        let mut iv = [0; 16];
        iv.first_chunk_mut()?.clone_from(&self.salt);
        // The key derivation rate is 0: the label alone, above 48 zero bits.
        iv[7] ^= label;
        out.fill(0);
        stream(&self.key, iv, out)
    }
}

fn counter_mode(key: &[u8]) -> Option<EncryptingKey> {
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    EncryptingKey::ctr(UnboundCipherKey::new(algorithm, key).ok()?).ok()
}

/// Encrypts or decrypts in place, which is the same in counter mode.
fn stream(key: &EncryptingKey, iv: [u8; 16], bytes: &mut [u8]) -> Option<()> {
    if bytes.is_empty() {
        return Some(());
    }
    key.less_safe_encrypt(bytes, EncryptionContext::Iv128(iv.into())).ok().map(drop)
}

fn authenticate(key: &hmac::Key, bytes: &[u8], rollovers: Option<u32>) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(bytes);
    if let Some(rollovers) = rollovers {
        context.update(&rollovers.to_be_bytes());
    }
    context.sign()
}

fn seal(
    key: &LessSafeKey,
    iv: [u8; 12],
    word: Option<u32>,
    clear: usize,
    bytes: &mut Vec<u8>,
) -> Option<()> {
    let (known, hidden) = bytes.split_at_mut_checked(clear)?;
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = match word {
        None => key.seal_in_place_separate_tag(nonce, Aad::from(&*known), hidden),
        Some(word) => {
            key.seal_in_place_separate_tag(nonce, Aad::from(with_word(known, word)?), hidden)
        }
    };
    bytes.extend_from_slice(tag.ok()?.as_ref());
    Some(())
}

fn open(
    key: &LessSafeKey,
    iv: [u8; 12],
    word: Option<u32>,
    clear: usize,
    (body, tag): (&[u8], &[u8]),
    out: &mut Vec<u8>,
) -> Option<()> {
    let (known, hidden) = body.split_at_checked(clear)?;
    copy(body, out);
    let to = out.get_mut(clear..)?;
    let nonce = Nonce::assume_unique_for_key(iv);
    match word {
        None => key.open_separate_gather(nonce, Aad::from(known), hidden, tag, to),
        Some(word) => {
            let known = with_word(known, word)?;
            key.open_separate_gather(nonce, Aad::from(known), hidden, tag, to)
        }
    }
    .ok()
}

/// What a sealed RTCP packet shows and cannot change (RFC 7714 section 9.2).
fn with_word(known: &[u8], word: u32) -> Option<[u8; 12]> {
    let mut all = [0; 12];
    all.first_chunk_mut::<8>()?.clone_from(known.first_chunk()?);
    all.last_chunk_mut::<4>()?.clone_from(&word.to_be_bytes());
    Some(all)
}

fn copy(from: &[u8], to: &mut Vec<u8>) {
    to.clear();
    to.extend_from_slice(from);
}

/// RFC 7714 section 8.1.
fn gcm_iv(salt: [u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let [.., r3, r2, r1, r0, s1, s0] = index.to_be_bytes();
    xor(salt, ssrc, [r3, r2, r1, r0, s1, s0])
}

/// RFC 7714 section 9.1.
fn gcm_control_iv(salt: [u8; 12], ssrc: u32, index: u32) -> [u8; 12] {
    let [i3, i2, i1, i0] = index.to_be_bytes();
    xor(salt, ssrc, [0, 0, i3, i2, i1, i0])
}

fn xor(mut iv: [u8; 12], ssrc: u32, tail: [u8; 6]) -> [u8; 12] {
    let mixed = ssrc.to_be_bytes().into_iter().chain(tail);
    iv.iter_mut().skip(2).zip(mixed).for_each(|(byte, with)| *byte ^= with);
    iv
}

/// RFC 3711 section 4.1.1.
fn cm_iv(salt: [u8; SALT], ssrc: u32, index: u64) -> [u8; 16] {
    let [.., i5, i4, i3, i2, i1, i0] = index.to_be_bytes();
    let mixed = ssrc.to_be_bytes().into_iter().chain([i5, i4, i3, i2, i1, i0]);
    let mut iv = [0; 16];
    iv.iter_mut().zip(salt).for_each(|(byte, with)| *byte = with);
    iv.iter_mut().skip(4).zip(mixed).for_each(|(byte, with)| *byte ^= with);
    iv
}

/// The rollover counter of an index: its bits above the sequence number.
fn rollovers(index: u64) -> u32 {
    let [.., r3, r2, r1, r0, _, _] = index.to_be_bytes();
    u32::from_be_bytes([r3, r2, r1, r0])
}

/// An index word without its bit.
const fn control_index(word: u32) -> u32 {
    word & 0x7fff_ffff
}

#[cfg(test)]
mod tests;
