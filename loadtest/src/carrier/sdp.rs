//! How the carrier answers an offer.
//!
//! Plain RTP gets a line of our own. A browser's offer, which a gateway in `bypass` hands through,
//! gets an answer in its own terms (ICE, DTLS), behind which nobody listens: such a call is SIP only.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sautikit_media::g711::Law;
use sautikit_sip::sdp::{Codec, Direction, Media, Sdp, TrunkSdp};

/// The port of an answer behind which nobody listens.
pub(super) const NO_PORT: u16 = 40_000;
/// Ours, where we make the offer.
const OWN_EVENTS: u8 = 101;
const PTIME_MS: u16 = 20;

/// What both sides agreed on for plain RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) law: Law,
    /// The payload type of telephone-event.
    pub(super) events: Option<u8>,
    /// Where our packets go to; `None` where the offer names no address.
    pub(super) remote: Option<SocketAddr>,
    /// What we do.
    pub(super) direction: Direction,
}

/// What can be made of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terms {
    Rtp(Agreed),
    /// A browser's.
    Webrtc,
}

/// What makes our descriptions ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) session_id: u64,
    pub(super) version: u64,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// `None` where the offer has no audio that we could answer: 488.
pub(super) fn terms(offer: &Sdp<'_>) -> Option<Terms> {
    let audio = offer.audio()?;
    if !audio.is_plain_rtp() {
        audio.first_voice()?;
        return Some(Terms::Webrtc);
    }
    let law = audio.codecs.iter().find_map(law_of)?;
    let events = audio.telephone_event(8000).map(|codec| codec.payload_type);
    let direction = audio.direction.reversed();
    Some(Terms::Rtp(Agreed { law, events, remote: audio.rtp_addr(), direction }))
}

/// Our answer.
pub(super) fn answer(terms: &Terms, offer: &Sdp<'_>, own: Own) -> Bytes {
    match terms {
        Terms::Rtp(agreed) => {
            let law = codec_of(agreed.law);
            let event = agreed.events.map(Codec::telephone_event);
            let codecs: Vec<_> = std::iter::once(law).chain(event).collect();
            trunk_sdp(own, &codecs, agreed.direction).print_answer(offer)
        }
        Terms::Webrtc => webrtc_answer(offer, own),
    }
}

/// Our offer, where the INVITE brought none.
pub(super) fn offer(own: Own) -> Bytes {
    let codecs = [Codec::PCMA, Codec::PCMU, Codec::telephone_event(OWN_EVENTS)];
    trunk_sdp(own, &codecs, Direction::SendRecv).print()
}

const fn trunk_sdp<'a>(own: Own, codecs: &'a [Codec<'a>], direction: Direction) -> TrunkSdp<'a> {
    let Own { session_id, version, address, port } = own;
    TrunkSdp { session_id, version, address, port, codecs, direction, ptime_ms: PTIME_MS }
}

fn law_of(codec: &Codec<'_>) -> Option<Law> {
    [Law::A, Law::Mu].into_iter().find(|law| codec.is(law.name(), 8000))
}

const fn codec_of(law: Law) -> Codec<'static> {
    match law {
        Law::A => Codec::PCMA,
        Law::Mu => Codec::PCMU,
    }
}

/// The first G.711 of the offer, or whatever voice it has; every other section is refused.
fn webrtc_answer(offer: &Sdp<'_>, own: Own) -> Bytes {
    let Own { session_id, version, address, port } = own;
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let mut out = String::with_capacity(900);
    let mid = offer.audio().and_then(|audio| audio.mid).unwrap_or("0");
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "v=0\r\no=- {session_id} {version} IN {family} {address}\r\ns=-\r\nt=0 0\r\n\
         a=group:BUNDLE {mid}\r\n"
    );
    let audio = offer.audio_index();
    for (at, media) in offer.media.iter().enumerate() {
        if Some(at) == audio {
            let _ = write!(out, "m=audio {port} {}", media.proto);
            section(&mut out, media, &format!("c=IN {family} {address}"), session_id);
        } else {
            let format = media.formats.first().unwrap_or(&"0");
            let _ = write!(out, "m={} 0 {} {format}\r\n", media.kind, media.proto);
        }
    }
    Bytes::from(out)
}

fn section(out: &mut String, media: &Media<'_>, connection: &str, session_id: u64) {
    let g711 = media.codecs.iter().find(|codec| law_of(codec).is_some());
    let voice = g711.or_else(|| media.first_voice());
    let event = voice.and_then(|voice| media.telephone_event(voice.clock_rate_hz));
    let codecs = || voice.into_iter().chain(event);
    for codec in codecs() {
        let _ = write!(out, " {}", codec.payload_type);
    }
    let _ = write!(out, "\r\n{connection}\r\n");
    for Codec { payload_type, name, clock_rate_hz, channels, .. } in codecs() {
        let _ = write!(out, "a=rtpmap:{payload_type} {name}/{clock_rate_hz}");
        out.push_str(&if *channels > 1 { format!("/{channels}\r\n") } else { "\r\n".into() });
    }
    let hash = session_id.to_be_bytes().map(|byte| format!("{byte:02X}")).join(":");
    let direction = media.direction.reversed().as_str();
    let _ = write!(
        out,
        "a=ice-ufrag:{:08x}\r\na=ice-pwd:{session_id:024x}\r\n\
         a=fingerprint:sha-256 {hash}:{hash}:{hash}:{hash}\r\na=setup:active\r\na=mid:{}\r\n\
         a={direction}\r\na=rtcp-mux\r\n",
        session_id >> 32,
        media.mid.unwrap_or("0"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";

    const OWN: Own = Own {
        session_id: 7,
        version: 1,
        address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        port: 40_000,
    };

    fn agreed(offer: &str) -> Option<Terms> {
        terms(&Sdp::parse(offer.as_bytes()).unwrap())
    }

    #[test]
    fn the_offers_first_g711_is_taken_and_its_own_event_type() {
        let offer = format!(
            "{HEAD}m=audio 4000 RTP/AVP 9 0 8 96\r\na=rtpmap:96 telephone-event/8000\r\na=sendonly\r\n"
        );
        let Some(Terms::Rtp(agreed)) = agreed(&offer) else { panic!("no terms") };
        assert_eq!((agreed.law, agreed.events), (Law::Mu, Some(96)));
        assert_eq!(agreed.remote, Some("127.0.0.1:4000".parse().unwrap()));
        assert_eq!(agreed.direction, Direction::RecvOnly);
        let answer = answer(&Terms::Rtp(agreed), &Sdp::parse(offer.as_bytes()).unwrap(), OWN);
        let sdp = Sdp::parse(&answer).unwrap();
        let audio = sdp.audio().unwrap();
        assert_eq!(audio.formats, ["0", "96"]);
        assert_eq!((audio.port, audio.direction), (40_000, Direction::RecvOnly));
    }

    #[test]
    fn a_browsers_offer_is_answered_in_its_own_terms() {
        let offer = format!(
            "{HEAD}m=audio 9 UDP/TLS/RTP/SAVPF 111 8 110 126\r\na=rtpmap:111 opus/48000/2\r\n\
             a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n\
             a=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:sha-256 AA\r\na=mid:a\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 97\r\n"
        );
        assert_eq!(agreed(&offer), Some(Terms::Webrtc));
        let answer = answer(&Terms::Webrtc, &Sdp::parse(offer.as_bytes()).unwrap(), OWN);
        let sdp = Sdp::parse(&answer).unwrap();
        let audio = sdp.audio().unwrap();
        assert!(audio.is_webrtc() && audio.rtcp_mux);
        assert_eq!((audio.formats.as_slice(), audio.mid), (&["8", "126"][..], Some("a")));
        assert_eq!(sdp.media.len(), 2);
        assert!(sdp.media[1].is_refused());
    }

    #[test]
    fn an_offer_without_audio_that_we_speak_is_none() {
        for section in [
            "",
            "m=audio 4000 RTP/AVP 9\r\n",
            "m=audio 0 RTP/AVP 8\r\n",
            "m=video 4000 RTP/AVP 31\r\n",
        ] {
            assert_eq!(agreed(&format!("{HEAD}{section}")), None, "{section}");
        }
    }

    #[test]
    fn an_offer_without_an_address_is_answered_and_gets_no_packets() {
        let offer = "v=0\r\no=- 1 1 IN IP4 x\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n";
        let Some(Terms::Rtp(agreed)) = agreed(offer) else { panic!("no terms") };
        assert_eq!(agreed.remote, None);
    }

    #[test]
    fn our_own_offer_has_both_laws_and_dtmf() {
        let offer = offer(OWN);
        let sdp = Sdp::parse(&offer).unwrap();
        assert_eq!(sdp.audio().unwrap().formats, ["8", "0", "101"]);
    }
}
