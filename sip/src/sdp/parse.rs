//! Reads a description: one pass over its lines.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use sautikit_core::limits::SDP_LINES_MAX;

use super::{Codec, Direction, Media, Origin, Sdp};
use crate::list::{cut, number, trim};

/// Sections, and payload types in one: what a real peer never reaches.
const MAX_MEDIA: usize = 16;
const MAX_FORMATS: usize = 64;

/// Why a description cannot be used; each is answered 488, or ends the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("session description is not UTF-8")]
    NotText,
    #[error("session description does not begin with v=0")]
    NoVersion,
    #[error("session description has too many lines, sections or formats")]
    TooLarge,
    #[error("malformed {0}= line in the session description")]
    Line(char),
}

impl<'a> Sdp<'a> {
    /// Lines may end in CR LF or LF. Unknown lines and attributes are passed over.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SdpError> {
        let text = std::str::from_utf8(bytes).map_err(|_| SdpError::NotText)?;
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        if lines.next().map(trim) != Some("v=0") {
            return Err(SdpError::NoVersion);
        }
        let mut sdp = Self::default();
        let mut session = Section::default();
        let mut sections: Vec<Section<'a>> = Vec::new();
        for (at, line) in lines.enumerate() {
            if at >= SDP_LINES_MAX {
                return Err(SdpError::TooLarge);
            }
            let Some((key, value)) = cut(line, b'=') else {
                match trim(line) {
                    "" => continue,
                    _ => return Err(SdpError::Line('?')),
                }
            };
            let so_far = sections.len();
            let section = sections.last_mut().unwrap_or(&mut session);
            match key {
                "m" if so_far >= MAX_MEDIA => return Err(SdpError::TooLarge),
                "m" => sections.push(Section::new(value)?),
                "c" => section.media.address = Some(connection(value)?),
                "a" => section.attribute(value)?,
                "o" if so_far == 0 => sdp.origin = origin(value)?,
                _ => {}
            }
        }
        (sdp.bundle, sdp.ice_lite) = (session.bundle, session.ice_lite);
        sdp.media = sections.into_iter().map(|section| section.finish(&session)).collect();
        Ok(sdp)
    }
}

/// A section while it is read, or the session's own part before the first one.
#[derive(Default)]
struct Section<'a> {
    media: Media<'a>,
    direction: Option<Direction>,
    rtpmaps: Vec<Codec<'a>>,
    fmtps: Vec<(u8, &'a str)>,
    bundle: Option<&'a str>,
    ice_lite: bool,
}

impl<'a> Section<'a> {
    /// `audio 49170/2 RTP/AVP 0 8 101`
    fn new(value: &'a str) -> Result<Self, SdpError> {
        const BAD: SdpError = SdpError::Line('m');
        // An answer repeats these words.
        if value.bytes().any(|byte| !byte.is_ascii_graphic() && !byte.is_ascii_whitespace()) {
            return Err(BAD);
        }
        let mut words = value.split_ascii_whitespace();
        let kind = words.next().ok_or(BAD)?;
        let ports = words.next().ok_or(BAD)?;
        let proto = words.next().ok_or(BAD)?;
        let port = number(ports.split('/').next().unwrap_or_default()).ok_or(BAD)?;
        let formats: Vec<&str> = words.take(MAX_FORMATS.saturating_add(1)).collect();
        if formats.len() > MAX_FORMATS {
            return Err(SdpError::TooLarge);
        }
        let is_rtp = proto.contains("RTP/");
        if is_rtp && formats.iter().any(|format| payload_type(format).is_none()) {
            return Err(BAD);
        }
        let media = Media { kind, port, proto, formats, ..Media::default() };
        Ok(Self { media, ..Self::default() })
    }

    fn attribute(&mut self, text: &'a str) -> Result<(), SdpError> {
        const BAD: SdpError = SdpError::Line('a');
        let (name, value) = cut(text, b':').unwrap_or((text, ""));
        let value = trim(value);
        let media = &mut self.media;
        match trim(name) {
            "sendrecv" => self.direction = Some(Direction::SendRecv),
            "sendonly" => self.direction = Some(Direction::SendOnly),
            "recvonly" => self.direction = Some(Direction::RecvOnly),
            "inactive" => self.direction = Some(Direction::Inactive),
            "rtpmap" if self.rtpmaps.len() >= MAX_FORMATS => return Err(SdpError::TooLarge),
            "rtpmap" => self.rtpmaps.push(rtpmap(value).ok_or(BAD)?),
            "fmtp" if self.fmtps.len() >= MAX_FORMATS => return Err(SdpError::TooLarge),
            "fmtp" => {
                let (format, parameters) = cut(value, b' ').ok_or(BAD)?;
                self.fmtps.extend(payload_type(format).map(|pt| (pt, trim(parameters))));
            }
            "ptime" => media.ptime_ms = number(value.split('.').next().unwrap_or_default()),
            "mid" => media.mid = Some(value),
            "ice-ufrag" => media.ice_ufrag = Some(value),
            "ice-pwd" => media.ice_pwd = Some(value),
            "fingerprint" => media.fingerprint = media.fingerprint.or(Some(value)),
            "setup" => media.setup = Some(value),
            "rtcp-mux" => media.rtcp_mux = true,
            "rtcp" => media.rtcp_port = number(value.split(' ').next().unwrap_or_default()),
            "ice-lite" => self.ice_lite = true,
            "group" => {
                let mids = value.strip_prefix("BUNDLE").map(trim);
                self.bundle = self.bundle.or(mids);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self, session: &Self) -> Media<'a> {
        let mut media = self.media;
        media.address = media.address.or(session.media.address);
        media.ice_ufrag = media.ice_ufrag.or(session.media.ice_ufrag);
        media.ice_pwd = media.ice_pwd.or(session.media.ice_pwd);
        media.fingerprint = media.fingerprint.or(session.media.fingerprint);
        media.setup = media.setup.or(session.media.setup);
        media.direction = self.direction.or(session.direction).unwrap_or_default();
        // With ICE the candidates say where to send, and browsers write 0.0.0.0 unasked.
        if media.ice_ufrag.is_none() && media.address == Some("0.0.0.0") {
            media.direction = Direction::new(media.direction.sends(), false);
        }
        media.codecs = media
            .formats
            .iter()
            .filter_map(|format| payload_type(format))
            .filter_map(|pt| {
                let written = self.rtpmaps.iter().find(|codec| codec.payload_type == pt).copied();
                let mut codec = written.or_else(|| static_codec(pt))?;
                codec.fmtp = self.fmtps.iter().find(|(of, _)| *of == pt).map(|(_, text)| *text);
                Some(codec)
            })
            .collect();
        media
    }
}

/// `IN IP4 192.0.2.1/127`
fn connection(value: &str) -> Result<&str, SdpError> {
    const BAD: SdpError = SdpError::Line('c');
    let mut words = value.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("IN"), Some("IP4" | "IP6"), Some(address)) => {
            address.split('/').next().filter(|host| !host.is_empty()).ok_or(BAD)
        }
        _ => Err(BAD),
    }
}

/// `- 2890844526 2890842807 IN IP4 host`; some devices leave the user name out.
fn origin(value: &str) -> Result<Origin<'_>, SdpError> {
    let mut words = value.split_ascii_whitespace().rev();
    let (address, _family, _net) = (words.next(), words.next(), words.next());
    match (address, words.next(), words.next()) {
        (Some(address), Some(version), Some(session_id)) => {
            Ok(Origin { username: words.next().unwrap_or("-"), session_id, version, address })
        }
        _ => Err(SdpError::Line('o')),
    }
}

/// `111 opus/48000/2`
fn rtpmap(value: &str) -> Option<Codec<'_>> {
    let (format, encoding) = cut(value, b' ')?;
    let mut parts = trim(encoding).split('/');
    Some(Codec {
        payload_type: payload_type(format)?,
        name: parts.next().filter(|name| !name.is_empty())?,
        clock_rate_hz: number(parts.next()?)?,
        channels: match parts.next() {
            Some(channels) => number(channels)?,
            None => 1,
        },
        fmtp: None,
    })
}

fn payload_type(format: &str) -> Option<u8> {
    number(format).filter(|pt| *pt < 128)
}

/// RFC 3551 §6: these need no rtpmap.
fn static_codec(payload_type: u8) -> Option<Codec<'static>> {
    let name = match payload_type {
        0 => "PCMU",
        3 => "GSM",
        4 => "G723",
        8 => "PCMA",
        9 => "G722",
        13 => "CN",
        18 => "G729",
        _ => return None,
    };
    Some(Codec { payload_type, name, clock_rate_hz: 8000, channels: 1, fmtp: None })
}
