//! The description that goes to a trunk.

use std::fmt::Write;
use std::net::IpAddr;

use bytes::Bytes;

use super::{Codec, Direction, Sdp};

/// One section of plain RTP audio, written from scratch: a trunk learns nothing of the
/// browser, and the INVITE stays far below a datagram's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrunkSdp<'a> {
    /// Kept for the life of the leg.
    pub session_id: u64,
    /// Grows by one with each changed description of the leg (RFC 3264 §8).
    pub version: u64,
    /// What the trunk shall send to: the public address where there is a NAT before us.
    pub address: IpAddr,
    /// RTP; RTCP is expected at the next port.
    pub port: u16,
    /// In order of preference.
    pub codecs: &'a [Codec<'a>],
    pub direction: Direction,
    pub ptime_ms: u16,
}

impl TrunkSdp<'_> {
    /// As an offer.
    pub fn print(&self) -> Bytes {
        let mut out = self.session();
        self.section(&mut out);
        Bytes::from(out)
    }

    /// As the answer to `offer`: its first live audio section gets ours, every other one is
    /// refused with port 0 in its place (RFC 3264 §6).
    pub fn print_answer(&self, offer: &Sdp<'_>) -> Bytes {
        let audio = offer.audio_index();
        let mut out = self.session();
        for (at, media) in offer.media.iter().enumerate() {
            if Some(at) == audio {
                self.section(&mut out);
            } else {
                let format = media.formats.first().unwrap_or(&"0");
                push(&mut out, format_args!("m={} 0 {} {format}\r\n", media.kind, media.proto));
            }
        }
        Bytes::from(out)
    }

    fn session(&self) -> String {
        let family = if self.address.is_ipv4() { "IP4" } else { "IP6" };
        let mut out = String::with_capacity(400);
        push(
            &mut out,
            format_args!(
                "v=0\r\no=- {} {} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n",
                self.session_id,
                self.version,
                address = self.address,
            ),
        );
        out
    }

    fn section(&self, out: &mut String) {
        push(out, format_args!("m=audio {} RTP/AVP", self.port));
        for codec in self.codecs {
            push(out, format_args!(" {}", codec.payload_type));
        }
        out.push_str("\r\n");
        for codec in self.codecs {
            let Codec { payload_type, name, clock_rate_hz, .. } = codec;
            push(out, format_args!("a=rtpmap:{payload_type} {name}/{clock_rate_hz}"));
            if codec.channels > 1 {
                push(out, format_args!("/{}", codec.channels));
            }
            out.push_str("\r\n");
            if let Some(fmtp) = codec.fmtp {
                push(out, format_args!("a=fmtp:{payload_type} {fmtp}\r\n"));
            }
        }
        let direction = self.direction.as_str();
        push(out, format_args!("a=ptime:{}\r\na={direction}\r\n", self.ptime_ms));
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}
