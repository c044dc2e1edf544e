//! SRTP and SRTCP of one browser's leg (RFC 3711, RFC 7714), with the keys that its DTLS handshake
//! made (RFC 5764).
//!
//! Nothing is kept of a packet that does not prove itself: a forged one costs a look and leaves no
//! trace.

use std::fmt;

use crate::rtp::{self, HEADER_LEN, Packet};

mod cipher;
mod window;

pub(crate) use cipher::Profile;
use cipher::{Cipher, TAG_MAX};
use window::Window;

/// RTP streams that one browser may start: a page has one microphone, a few over a long call.
const STREAMS_MAX: usize = 16;
/// The word with the SRTCP index, and its bit that says "encrypted" (RFC 3711 section 3.4).
const INDEX_LEN: usize = 4;
const ENCRYPTED: u32 = 1 << 31;
/// What of an RTCP packet stays in clear: its first header and SSRC.
const RTCP_CLEAR: usize = 8;

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is no packet of this protocol.
    Malformed,
    /// It came before, or is too old to tell (RFC 3711 section 3.3.2).
    Replayed,
    /// It is not from who has the keys.
    Forged,
    /// One stream more than a browser may start.
    Stream,
}

impl Refused {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Replayed => "replayed",
            Self::Forged => "forged",
            Self::Stream => "stream",
        }
    }
}

/// What a handshake agreed on.
pub(crate) struct Keys {
    pub(crate) profile: Profile,
    /// The exporter's bytes: client key, server key, client salt, server salt (RFC 5764 section 4.2).
    pub(crate) material: Vec<u8>,
    /// We were the DTLS client.
    pub(crate) client: bool,
}

/// Both directions.
pub(crate) struct Srtp {
    ours: Cipher,
    ours_control: Cipher,
    theirs: Cipher,
    theirs_control: Cipher,
    /// Of our one stream. A packet of a number that was used before would open both.
    sent: Option<Window>,
    sent_control: u32,
    received: Streams,
    received_control: Streams,
    opened: Vec<u8>,
}

impl fmt::Debug for Srtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are in it.
        f.debug_struct("Srtp").finish_non_exhaustive()
    }
}

/// Where the browser's streams stand.
#[derive(Debug, Default)]
struct Streams(Vec<(u32, Window)>);

impl Streams {
    /// The number of a packet in its stream; one that is not known yet starts with it.
    fn index_of(&self, ssrc: u32, sequence: u16) -> Result<u64, Refused> {
        match self.find(ssrc) {
            Some(window) => window.index_of(sequence).ok_or(Refused::Replayed),
            None => Ok(u64::from(sequence)),
        }
    }

    fn check(&self, ssrc: u32, index: u64) -> Result<(), Refused> {
        match self.find(ssrc) {
            Some(window) if window.is_new(index) => Ok(()),
            Some(_) => Err(Refused::Replayed),
            None if self.0.len() < STREAMS_MAX => Ok(()),
            None => Err(Refused::Stream),
        }
    }

    /// Uses the number of a packet up that proved itself.
    fn insert(&mut self, ssrc: u32, index: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, window)) => window.insert(index),
            None => self.0.push((ssrc, Window::new(index))),
        }
    }

    fn find(&self, ssrc: u32) -> Option<&Window> {
        self.0.iter().find(|(known, _)| *known == ssrc).map(|(_, window)| window)
    }
}

impl Srtp {
    /// `None` where the material is not the profile's.
    pub(crate) fn new(keys: &Keys) -> Option<Self> {
        let (profile, client) = (keys.profile, keys.client);
        let (client_master, server_master) = profile.masters(&keys.material)?;
        let (ours, theirs) =
            if client { (client_master, server_master) } else { (server_master, client_master) };
        Some(Self {
            ours: Cipher::rtp(profile, ours)?,
            ours_control: Cipher::rtcp(profile, ours)?,
            theirs: Cipher::rtp(profile, theirs)?,
            theirs_control: Cipher::rtcp(profile, theirs)?,
            sent: None,
            sent_control: 0,
            received: Streams::default(),
            received_control: Streams::default(),
            opened: Vec::new(),
        })
    }

    /// Seals a packet of our stream. `index` is its number since the stream's start, below 2^48, of
    /// which the packet carries the low 16 bits. `None` where it cannot go: sent before, or too old.
    pub(crate) fn seal(&mut self, index: u64, packet: &Packet<'_>) -> Option<Vec<u8>> {
        match &mut self.sent {
            Some(sent) if !sent.is_new(index) => return None,
            Some(sent) => sent.insert(index),
            none => *none = Some(Window::new(index)),
        }
        let mut bytes = packet.with_room(TAG_MAX);
        self.ours.seal_rtp(packet.ssrc, index, HEADER_LEN, &mut bytes)?;
        Some(bytes)
    }

    /// Opens a packet of the browser: the packet as it was before it was sealed.
    pub(crate) fn open(&mut self, datagram: &[u8]) -> Result<Packet<'_>, Refused> {
        let header = rtp::header_len(datagram).ok_or(Refused::Malformed)?;
        let (Some(ssrc), Some(sequence)) = (rtp::ssrc(datagram), rtp::sequence(datagram)) else {
            return Err(Refused::Malformed);
        };
        let index = self.received.index_of(ssrc, sequence)?;
        self.received.check(ssrc, index)?;
        self.theirs
            .open_rtp(ssrc, index, header, datagram, &mut self.opened)
            .ok_or(Refused::Forged)?;
        self.received.insert(ssrc, index);
        Packet::parse(&self.opened).ok_or(Refused::Malformed)
    }

    /// Seals a compound RTCP packet.
    pub(crate) fn seal_control(&mut self, mut compound: Vec<u8>) -> Option<Vec<u8>> {
        let index = self.sent_control;
        // 2^31 reports last for centuries; the number is never used twice all the same.
        self.sent_control = index.checked_add(1).filter(|next| *next < ENCRYPTED)?;
        let ssrc = control_ssrc(&compound)?;
        self.ours_control.seal_rtcp(ssrc, index | ENCRYPTED, RTCP_CLEAR, &mut compound)?;
        Some(compound)
    }

    /// Opens a compound RTCP packet of the browser.
    pub(crate) fn open_control(&mut self, datagram: &[u8]) -> Result<&[u8], Refused> {
        let ssrc = control_ssrc(datagram).ok_or(Refused::Malformed)?;
        let word = self.theirs_control.index_word(datagram).ok_or(Refused::Malformed)?;
        // RFC 5764 has no profile that leaves RTCP in clear.
        if word & ENCRYPTED == 0 {
            return Err(Refused::Forged);
        }
        let index = u64::from(word & !ENCRYPTED);
        self.received_control.check(ssrc, index)?;
        self.theirs_control
            .open_rtcp(ssrc, word, RTCP_CLEAR, datagram, &mut self.opened)
            .ok_or(Refused::Forged)?;
        self.received_control.insert(ssrc, index);
        Ok(&self.opened)
    }
}

/// The SSRC of a compound's first packet.
fn control_ssrc(compound: &[u8]) -> Option<u32> {
    compound.get(4..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
