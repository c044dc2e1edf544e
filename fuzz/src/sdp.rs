//! Session descriptions: what is read can be written and read again, and what goes to a trunk is a
//! valid offer, or a valid answer to whatever was offered.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sautikit_core::limits::SDP_LINES_MAX;
use sautikit_sip::sdp::{Codec, Direction, Media, Sdp, TrunkSdp};

const SECTIONS_MAX: usize = 16;
const FORMATS_MAX: usize = 64;

/// Panics where the model breaks its word on these bytes.
pub fn check(data: &[u8]) {
    let Ok(sdp) = Sdp::parse(data) else { return };
    limits(&sdp, data);
    for media in &sdp.media {
        section(media);
    }
    assert_eq!(sdp.audio(), sdp.audio_index().and_then(|at| sdp.media.get(at)));
    written_is_read_again(&sdp);
    let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));
    for address in [v4, v6] {
        for direction in
            [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        {
            to_trunk(&sdp, address, direction);
        }
    }
}

fn limits(sdp: &Sdp<'_>, data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(lines <= SDP_LINES_MAX + 1, "{lines} lines");
    assert!(sdp.media.len() <= SECTIONS_MAX);
    for media in &sdp.media {
        assert!(media.formats.len() <= FORMATS_MAX && media.codecs.len() <= media.formats.len());
    }
}

fn section(media: &Media<'_>) {
    let known = |codec: &Codec<'_>| {
        media.formats.iter().any(|format| format.parse() == Ok(codec.payload_type))
    };
    assert!(media.codecs.iter().all(known), "a codec that no format names");
    if let Some(rtp) = media.rtp_addr() {
        assert!(rtp.port() != 0 && !rtp.ip().is_unspecified());
        assert!(media.rtcp_addr().is_none_or(|rtcp| rtcp.ip() == rtp.ip()));
    } else {
        assert_eq!(media.rtcp_addr(), None);
    }
    assert!(!(media.is_webrtc() && media.is_plain_rtp()));
    if let Some(voice) = media.first_voice() {
        assert!(voice.is_voice() && media.codec(voice.name, voice.clock_rate_hz).is_some());
    }
    assert_eq!(media.is_held(), !media.direction.receives());
    let turned = media.direction.reversed();
    assert_eq!(turned.reversed(), media.direction);
    assert_eq!(media.direction.and(media.direction), media.direction);
    assert_eq!(turned.sends(), media.direction.receives());
    let trunk = media.trunk_codecs();
    assert!(trunk.len() <= 3);
    assert!(trunk.is_empty() || trunk.iter().any(Codec::is_voice));
}

/// An offer to a trunk is read as it was meant; an answer has a section for each that was offered,
/// all but one of them refused.
fn to_trunk(offered: &Sdp<'_>, address: IpAddr, direction: Direction) {
    let codecs = offered.audio().map(Media::trunk_codecs).unwrap_or_default();
    let ours = TrunkSdp {
        session_id: u64::MAX,
        version: 7,
        address,
        port: 40_000,
        codecs: &codecs,
        direction,
        ptime_ms: 20,
    };
    let offer = ours.print();
    well_formed(&offer);
    let read = Sdp::parse(&offer).expect("an offer of ours is valid");
    assert_eq!(read.media.len(), 1);
    is_ours(&read.media[0], &ours);
    let answer = ours.print_answer(offered);
    well_formed(&answer);
    let read = Sdp::parse(&answer).expect("an answer of ours is valid");
    assert_eq!(read.media.len(), offered.media.len(), "RFC 3264 section 6");
    for (at, (theirs, mine)) in offered.media.iter().zip(&read.media).enumerate() {
        if Some(at) == offered.audio_index() {
            is_ours(mine, &ours);
        } else {
            assert!(mine.is_refused());
            assert_eq!((mine.kind, mine.proto), (theirs.kind, theirs.proto));
            assert_eq!(mine.formats.len(), 1);
        }
    }
}

fn is_ours(media: &Media<'_>, ours: &TrunkSdp<'_>) {
    assert!(media.is_audio() && media.is_plain_rtp());
    assert_eq!(media.rtp_addr(), Some((ours.address, ours.port).into()));
    assert_eq!(media.codecs, ours.codecs);
    assert_eq!((media.direction, media.ptime_ms), (ours.direction, Some(ours.ptime_ms)));
}

/// RFC 8866 section 5: `x=value`, CR LF, no control character.
fn well_formed(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("a description of ours is text");
    let lines = text.strip_suffix("\r\n").expect("its last line is whole").split("\r\n");
    for line in lines {
        assert!(line.as_bytes().get(1) == Some(&b'='), "{line:?}");
        assert!(!line.contains(|c: char| c.is_ascii_control()), "{line:?}");
    }
}

/// The model written line by line is the same model: nothing of it depends on how it was written.
fn written_is_read_again(sdp: &Sdp<'_>) {
    let text = write(sdp);
    if text.lines().count() > SDP_LINES_MAX {
        return;
    }
    let again = Sdp::parse(text.as_bytes());
    assert_eq!(again.as_ref(), Ok(sdp), "written as {text:?}");
}

fn write(sdp: &Sdp<'_>) -> String {
    let mut out = String::from("v=0\r\n");
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "{text}\r").expect("writing to a String cannot fail");
    };
    let origin = sdp.origin;
    if !origin.address.is_empty() {
        let (user, session, version) = (origin.username, origin.session_id, origin.version);
        line(format_args!("o={user} {session} {version} IN IP4 {}", origin.address));
    }
    if let Some(mids) = sdp.bundle {
        line(format_args!("a=group:BUNDLE {mids}"));
    }
    if sdp.ice_lite {
        line(format_args!("a=ice-lite"));
    }
    for media in &sdp.media {
        let formats = media.formats.join(" ");
        line(format_args!("m={} {} {} {formats}", media.kind, media.port, media.proto));
        if let Some(address) = media.address {
            line(format_args!("c=IN IP4 {address}"));
        }
        for codec in &media.codecs {
            let Codec { payload_type, name, clock_rate_hz, channels, fmtp } = codec;
            line(format_args!("a=rtpmap:{payload_type} {name}/{clock_rate_hz}/{channels}"));
            if let Some(fmtp) = fmtp {
                line(format_args!("a=fmtp:{payload_type} {fmtp}"));
            }
        }
        let values = [
            ("mid", media.mid),
            ("ice-ufrag", media.ice_ufrag),
            ("ice-pwd", media.ice_pwd),
            ("fingerprint", media.fingerprint),
            ("setup", media.setup),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                line(format_args!("a={name}:{value}"));
            }
        }
        if let Some(ptime) = media.ptime_ms {
            line(format_args!("a=ptime:{ptime}"));
        }
        if media.rtcp_mux {
            line(format_args!("a=rtcp-mux"));
        }
        if let Some(port) = media.rtcp_port {
            line(format_args!("a=rtcp:{port}"));
        }
        line(format_args!("a={}", media.direction.as_str()));
    }
    out
}
