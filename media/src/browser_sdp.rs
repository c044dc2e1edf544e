//! The browser's SDP: the one audio description of its offer that we answer, and our answer made
//! whole again.

use std::fmt::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;
use sautikit_sip::sdp::{Codec, Direction, Media, Sdp};

use crate::MediaError;

/// A browser's offer, read.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// The offer with its audio description alone, bundled, as str0m wants it.
    pub(crate) alone: String,
    pub(crate) mid: String,
    /// Payload type of telephone-event/8000.
    pub(crate) events: Option<u8>,
    /// What a trunk is offered of it.
    pub(crate) codecs: Vec<Codec<'static>>,
    pub(crate) direction: Direction,
    /// Refusals of the media descriptions before the audio, and after it.
    before: String,
    after: String,
}

/// RFC 5888 allows any token; ours fits str0m's identifier.
const MID_MAX: usize = 16;

impl Offer {
    /// Reads an offer: audio with G.711 over DTLS-SRTP and ICE, or a refusal.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, MediaError> {
        let refused = MediaError::NotAcceptable;
        let sdp = Sdp::parse(bytes).map_err(|error| MediaError::Malformed(error.to_string()))?;
        let index = sdp.audio_index().ok_or(refused("the browser offers no audio"))?;
        let audio = sdp.media.get(index).ok_or(refused("the browser offers no audio"))?;
        if !audio.is_webrtc() {
            return Err(refused("the audio lacks DTLS-SRTP, its fingerprint or ICE credentials"));
        }
        if !audio.rtcp_mux {
            return Err(refused("the audio does not multiplex RTCP"));
        }
        let codecs = audio.trunk_codecs();
        if codecs.is_empty() {
            return Err(refused("the browser offers neither PCMA nor PCMU"));
        }
        if audio.mid.is_some_and(|mid| mid.is_empty() || mid.len() > MID_MAX) {
            return Err(refused("the audio's mid is empty or too long"));
        }
        if has_twice(&audio.formats) {
            return Err(refused("the audio names a payload type twice"));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| MediaError::Malformed("the SDP is no UTF-8".into()))?;
        let (before, rest) = sdp.media.split_at(index);
        Ok(Self {
            alone: alone(text, index, audio.mid),
            mid: audio.mid.unwrap_or("0").to_owned(),
            events: audio.telephone_event(8_000).map(|codec| codec.payload_type),
            codecs,
            direction: audio.direction,
            before: before.iter().map(refusal).collect(),
            after: rest.iter().skip(1).map(refusal).collect(),
        })
    }

    /// Held by the browser: the silence rule expects nothing of it.
    pub(crate) const fn is_held(&self) -> bool {
        !(self.direction.sends() && self.direction.receives())
    }

    /// str0m's answer made whole: the address where we are, the packet time, and a refusal for
    /// every other media description in its place (RFC 3264 section 6).
    pub(crate) fn finish(&self, answer: &str, local: SocketAddr, version: u64) -> Bytes {
        let family = if local.is_ipv4() { "IP4" } else { "IP6" };
        let (address, port) = (local.ip(), local.port());
        let mut out = String::with_capacity(answer.len() + 128);
        let mut in_audio = false;
        for line in answer.lines() {
            if let Some(origin) = line.strip_prefix("o=") {
                let id = origin.split(' ').nth(1).unwrap_or("0");
                let _ = write!(out, "o=- {id} {version} IN {family} {address}\r\n");
            } else if let Some(media) = line.strip_prefix("m=audio 9 ") {
                out.push_str(&self.before);
                let _ = write!(out, "m=audio {port} {media}\r\n");
                in_audio = true;
            } else if line.starts_with("c=") && in_audio {
                let _ = write!(out, "c=IN {family} {address}\r\n");
            } else if !line.starts_with("a=rtcp-fb:") {
                push(&mut out, line);
            }
        }
        out.push_str("a=ptime:20\r\na=end-of-candidates\r\n");
        out.push_str(&self.after);
        Bytes::from(out)
    }
}

/// The session's lines and those of media description `index`, with a bundle group of it alone:
/// str0m insists on a group, and SIP devices leave it out.
fn alone(text: &str, index: usize, mid: Option<&str>) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut section = None;
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            if section.is_none() {
                push(&mut out, &format!("a=group:BUNDLE {}", mid.unwrap_or("0")));
            }
            section = Some(section.map_or(0, |at: usize| at + 1));
        }
        let wanted = section.is_none_or(|at| at == index);
        if wanted && !line.starts_with("a=group:") {
            push(&mut out, line);
        }
    }
    if mid.is_none() {
        push(&mut out, "a=mid:0");
    }
    out
}

/// A media description refused: port 0, its kind, protocol and formats as offered.
fn refusal(media: &Media<'_>) -> String {
    let Media { kind, proto, formats, .. } = media;
    let formats = formats.join(" ");
    let mut out = format!("m={kind} 0 {proto} {formats}\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n");
    if let Some(mid) = media.mid {
        push(&mut out, &format!("a=mid:{mid}"));
    }
    out
}

fn has_twice(formats: &[&str]) -> bool {
    formats.iter().enumerate().any(|(at, format)| formats.iter().skip(at + 1).any(|o| o == format))
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}
