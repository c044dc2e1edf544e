//! The browser's SDP: the one audio description of its offer that we answer, and our answer.

use std::fmt::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;
use sautikit_sip::sdp::{Codec, Direction, Media, Sdp};

use crate::MediaError;
use crate::dtls::Fingerprint;
use crate::g711::Law;

/// A browser's offer, read.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    mid: Option<String>,
    /// Whether media descriptions are grouped to go over one connection (RFC 9143).
    bundled: bool,
    ufrag: String,
    password: String,
    pub(crate) fingerprint: Fingerprint,
    /// The browser waits for us to begin the DTLS handshake (RFC 8842 section 5.3).
    pub(crate) is_passive: bool,
    /// Payload type of telephone-event/8000.
    pub(crate) events: Option<u8>,
    /// What a trunk is offered of it.
    pub(crate) codecs: Vec<Codec<'static>>,
    pub(crate) direction: Direction,
    /// Refusals of the media descriptions before the audio, and after it.
    before: String,
    after: String,
}

/// RFC 5888 allows any token; no browser's is longer.
const MID_MAX: usize = 16;
/// RFC 8839 section 5.4.
const ICE_MAX: usize = 256;

/// What an answer tells of us.
pub(crate) struct Answer<'a> {
    pub(crate) session_id: u64,
    /// Grows by one with each answer (RFC 3264 section 8).
    pub(crate) version: u64,
    pub(crate) local: SocketAddr,
    pub(crate) ufrag: &'a str,
    pub(crate) password: &'a str,
    pub(crate) fingerprint: &'a str,
    /// We begin the DTLS handshake.
    pub(crate) is_client: bool,
    pub(crate) law: Law,
    /// Payload type of telephone-event, where the trunk takes it.
    pub(crate) events: Option<u8>,
    /// Of all that we send.
    pub(crate) ssrc: u32,
}

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
        // The answer names them by the numbers that RFC 3551 gave them.
        let mut codecs = audio.trunk_codecs();
        codecs.retain(|codec| {
            codec.name == "telephone-event"
                || audio.codecs.iter().any(|offered| offered.payload_type == codec.payload_type)
        });
        if codecs.iter().all(|codec| codec.name == "telephone-event") {
            codecs.clear();
        }
        if codecs.is_empty() {
            return Err(refused("the browser offers neither PCMA nor PCMU"));
        }
        // An answer repeats it.
        if audio.mid.is_some_and(|mid| !is_token(mid) || mid.len() > MID_MAX) {
            return Err(refused("the audio's mid is no token, or too long"));
        }
        let (ufrag, password) = (audio.ice_ufrag.unwrap_or(""), audio.ice_pwd.unwrap_or(""));
        if [ufrag, password].iter().any(|text| text.is_empty() || text.len() > ICE_MAX) {
            return Err(refused("the audio's ICE credentials are empty or too long"));
        }
        let fingerprint = audio.fingerprint.and_then(Fingerprint::read);
        if has_twice(&audio.formats) {
            return Err(refused("the audio names a payload type twice"));
        }
        let (before, rest) = sdp.media.split_at(index);
        Ok(Self {
            mid: audio.mid.map(str::to_owned),
            bundled: sdp.bundle.is_some_and(|group| {
                group.split_ascii_whitespace().any(|mid| Some(mid) == audio.mid)
            }),
            ufrag: ufrag.to_owned(),
            password: password.to_owned(),
            fingerprint: fingerprint
                .ok_or(refused("the audio's fingerprint is no SHA-256, or cannot be read"))?,
            is_passive: audio.setup == Some("passive"),
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

    /// The browser's user fragment and password.
    pub(crate) fn credentials(&self) -> (&str, &str) {
        (&self.ufrag, &self.password)
    }

    /// Whether this is the same audio description as another offer's.
    pub(crate) fn is_same_media(&self, other: &Self) -> bool {
        self.mid == other.mid
    }

    /// Our answer: the audio with one codec, and a refusal for every other media description in its place
    /// (RFC 3264 section 6).
    pub(crate) fn answer(&self, answer: &Answer<'_>) -> Bytes {
        let Answer { session_id, version, local, .. } = answer;
        let family = if local.is_ipv4() { "IP4" } else { "IP6" };
        let address = local.ip();
        let mut out = String::with_capacity(1_024 + self.before.len() + self.after.len());
        let _ = write!(
            out,
            "v=0\r\no=- {session_id} {version} IN {family} {address}\r\ns=-\r\nt=0 0\r\n"
        );
        if let Some(mid) = self.mid.as_ref().filter(|_| self.bundled) {
            push(&mut out, format_args!("a=group:BUNDLE {mid}"));
        }
        push(&mut out, format_args!("a=msid-semantic: WMS *"));
        push(&mut out, format_args!("a=ice-lite"));
        out.push_str(&self.before);
        self.audio(answer, &mut out);
        let connection = format_args!("c=IN {family} {address}");
        push(&mut out, connection);
        self.transport(answer, &mut out);
        self.media(answer, &mut out);
        out.push_str(&self.after);
        Bytes::from(out)
    }

    fn audio(&self, answer: &Answer<'_>, out: &mut String) {
        let (port, number) = (answer.local.port(), answer.law.payload_type());
        let _ = write!(out, "m=audio {port} UDP/TLS/RTP/SAVPF {number}");
        if let Some(events) = answer.events {
            let _ = write!(out, " {events}");
        }
        out.push_str("\r\n");
    }

    /// ICE and DTLS.
    fn transport(&self, answer: &Answer<'_>, out: &mut String) {
        let Answer { local, ufrag, password, fingerprint, .. } = answer;
        // A host candidate alone has the highest priority that there is (RFC 8445 section 5.1.2.1).
        let (address, port) = (local.ip(), local.port());
        push(out, format_args!("a=candidate:1 1 udp 2130706431 {address} {port} typ host"));
        push(out, format_args!("a=end-of-candidates"));
        push(out, format_args!("a=ice-ufrag:{ufrag}"));
        push(out, format_args!("a=ice-pwd:{password}"));
        push(out, format_args!("a=fingerprint:{fingerprint}"));
        let setup = if answer.is_client { "active" } else { "passive" };
        push(out, format_args!("a=setup:{setup}"));
        if let Some(mid) = &self.mid {
            push(out, format_args!("a=mid:{mid}"));
        }
        push(out, format_args!("a=rtcp-mux"));
    }

    /// What is sent, and how.
    fn media(&self, answer: &Answer<'_>, out: &mut String) {
        let Answer { law, events, ssrc, .. } = answer;
        push(out, format_args!("a={}", self.direction.reversed().as_str()));
        push(out, format_args!("a=rtpmap:{} {}/8000", law.payload_type(), law.name()));
        if let Some(events) = events {
            push(out, format_args!("a=rtpmap:{events} telephone-event/8000"));
            push(out, format_args!("a=fmtp:{events} 0-16"));
        }
        push(out, format_args!("a=ptime:20"));
        // The CNAME is that of our RTCP; the stream has the name of its source too.
        push(out, format_args!("a=msid:{ssrc:08x} {ssrc:08x}"));
        push(out, format_args!("a=ssrc:{ssrc} cname:{ssrc:08x}"));
        push(out, format_args!("a=ssrc:{ssrc} msid:{ssrc:08x} {ssrc:08x}"));
    }
}

/// A media description refused: port 0, its kind, protocol and formats as offered.
fn refusal(media: &Media<'_>) -> String {
    let Media { kind, proto, formats, .. } = media;
    let formats = formats.join(" ");
    let mut out = format!("m={kind} 0 {proto} {formats}\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n");
    if let Some(mid) = media.mid.filter(|mid| is_token(mid)) {
        push(&mut out, format_args!("a=mid:{mid}"));
    }
    out
}

fn has_twice(formats: &[&str]) -> bool {
    formats.iter().enumerate().any(|(at, format)| formats.iter().skip(at + 1).any(|o| o == format))
}

/// RFC 8866 section 9.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(&byte))
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = write!(out, "{line}\r\n");
}
