use bytes::Bytes;
use sautikit_core::limits::SDP_LINES_MAX;

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/data/", $name)).as_slice()
    };
}

const OFFERS: [(&str, &[u8]); 5] = [
    ("jssip", fixture!("chromium-offer.sdp")),
    ("sipjs", fixture!("chromium-offer-sipjs.sdp")),
    ("mdns", fixture!("chromium-offer-mdns.sdp")),
    ("loopback", fixture!("chromium-offer-loopback-only.sdp")),
    ("icerestart", fixture!("chromium-offer-icerestart.sdp")),
];

#[test]
fn every_offer_of_chromium_is_read_alike() {
    for (name, bytes) in OFFERS {
        let sdp = Sdp::parse(bytes).unwrap();
        let audio = sdp.audio().expect(name);
        assert!(audio.is_webrtc() && audio.rtcp_mux, "{name}");
        assert_eq!(audio.setup, Some("actpass"));
        assert_eq!((audio.mid, sdp.bundle), (Some("0"), Some("0")));
        assert_eq!(audio.direction, Direction::SendRecv, "{name}");
        assert!(!audio.is_held());
        assert_eq!(audio.formats.join(" "), "111 63 9 0 8 13 110 126");
        let opus = audio.first_voice().unwrap();
        assert_eq!((opus.payload_type, opus.channels), (111, 2));
        assert_eq!(opus.fmtp, Some("minptime=10;useinbandfec=1"));
        assert_eq!(audio.telephone_event(8000).unwrap().payload_type, 126);
        assert_eq!(audio.telephone_event(48000).unwrap().payload_type, 110);
        assert_eq!(audio.trunk_codecs(), [Codec::PCMA, Codec::PCMU, Codec::telephone_event(126)]);
    }
}

#[test]
fn an_ice_restart_shows_in_version_and_ufrag() {
    let before = Sdp::parse(OFFERS[0].1).unwrap();
    let after = Sdp::parse(OFFERS[4].1).unwrap();
    assert_eq!((before.origin.version, after.origin.version), ("2", "3"));
    assert_ne!(before.audio().unwrap().ice_ufrag, after.audio().unwrap().ice_ufrag);
}

#[test]
fn the_answer_of_chromium_is_read() {
    let sdp = Sdp::parse(fixture!("chromium-answer.sdp")).unwrap();
    assert_eq!(sdp.audio().unwrap().setup, Some("active"));
}

fn trunk(codecs: &[Codec<'static>], direction: Direction) -> Bytes {
    let address = "192.0.2.1".parse().unwrap();
    TrunkSdp { session_id: 7, version: 2, address, port: 20000, codecs, direction, ptime_ms: 20 }
        .print()
}

#[test]
fn the_trunks_description_is_small_and_says_what_it_was_told() {
    let codecs = [Codec::PCMA, Codec::PCMU, Codec::telephone_event(126)];
    let bytes = trunk(&codecs, Direction::SendRecv);
    assert_eq!(
        bytes,
        "v=0\r\no=- 7 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 8 0 126\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:126 telephone-event/8000\r\na=fmtp:126 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
    let sdp = Sdp::parse(&bytes).unwrap();
    let audio = sdp.audio().unwrap();
    assert_eq!(audio.codecs, codecs);
    assert!(audio.is_plain_rtp() && !audio.is_webrtc());
    assert_eq!(audio.rtp_addr(), Some("192.0.2.1:20000".parse().unwrap()));
    assert_eq!(audio.rtcp_addr(), Some("192.0.2.1:20001".parse().unwrap()));
    assert_eq!(audio.ptime_ms, Some(20));
    for direction in [Direction::SendOnly, Direction::RecvOnly, Direction::Inactive] {
        let bytes = trunk(&codecs, direction);
        assert_eq!(Sdp::parse(&bytes).unwrap().audio().unwrap().direction, direction);
    }
}

#[test]
fn an_answer_keeps_every_section_in_its_place() {
    let offer = Sdp::parse(
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
          m=video 5000 RTP/AVP 31 32\r\nm=audio 0 RTP/AVP 0\r\nm=audio 6000 RTP/AVP 8\r\n\
          m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nm=image 7000 udptl t38\r\n",
    )
    .unwrap();
    assert_eq!(offer.audio_index(), Some(2));
    let address = "2001:db8::1".parse().unwrap();
    let ours = TrunkSdp {
        session_id: 1,
        version: 1,
        address,
        port: 20002,
        codecs: &[Codec::PCMA],
        direction: Direction::SendRecv,
        ptime_ms: 20,
    };
    let bytes = ours.print_answer(&offer);
    let answer = Sdp::parse(&bytes).unwrap();
    let sections: Vec<_> =
        answer.media.iter().map(|media| (media.kind, media.port, media.formats[0])).collect();
    assert_eq!(
        sections,
        [
            ("video", 0, "31"),
            ("audio", 0, "0"),
            ("audio", 20002, "8"),
            ("application", 0, "webrtc-datachannel"),
            ("image", 0, "t38"),
        ]
    );
    assert_eq!(answer.audio().unwrap().rtp_addr(), Some("[2001:db8::1]:20002".parse().unwrap()));
}

#[test]
fn hold_is_read_in_both_styles() {
    let held = |address: &str, attribute: &str| {
        let text = format!("v=0\nc=IN IP4 {address}\nm=audio 4000 RTP/AVP 0\n{attribute}\n");
        Sdp::parse(text.as_bytes()).unwrap().audio().unwrap().direction
    };
    assert_eq!(held("192.0.2.1", ""), Direction::SendRecv);
    assert_eq!(held("192.0.2.1", "a=sendonly"), Direction::SendOnly);
    assert_eq!(held("0.0.0.0", ""), Direction::SendOnly);
    assert_eq!(held("0.0.0.0", "a=sendrecv"), Direction::SendOnly);
    assert_eq!(held("0.0.0.0", "a=recvonly"), Direction::Inactive);
    assert_eq!(held("0.0.0.0", "a=inactive"), Direction::Inactive);
    let session_level = b"v=0\r\na=inactive\r\nm=audio 4000 RTP/AVP 0\r\n";
    assert_eq!(Sdp::parse(session_level).unwrap().media[0].direction, Direction::Inactive);
}

#[test]
fn directions_answer_each_other() {
    use Direction::*;
    assert_eq!(SendOnly.reversed(), RecvOnly);
    assert_eq!(SendRecv.reversed(), SendRecv);
    assert_eq!(SendRecv.and(RecvOnly), RecvOnly);
    assert_eq!(SendOnly.and(RecvOnly), Inactive);
}

#[test]
fn static_payload_types_need_no_rtpmap_and_unknown_ones_are_left_out() {
    let sdp = Sdp::parse(
        b"v=0\r\nm=audio 4000/2 RTP/AVP 8 0 18 101 99\r\na=rtpmap:101 telephone-event/8000\r\n\
          a=fmtp:101 0-16\r\na=rtpmap:77 not-in-list/8000\r\n",
    )
    .unwrap();
    let audio = sdp.audio().unwrap();
    let names: Vec<_> = audio.codecs.iter().map(|codec| codec.name).collect();
    assert_eq!(names, ["PCMA", "PCMU", "G729", "telephone-event"]);
    assert_eq!(audio.telephone_event(8000).unwrap().fmtp, Some("0-16"));
    assert_eq!(audio.rtp_addr(), None);
}

#[test]
fn an_offer_without_g711_offers_a_trunk_nothing() {
    let sdp = Sdp::parse(
        b"v=0\r\nm=audio 9 RTP/AVP 111 126\r\na=rtpmap:111 opus/48000/2\r\n\
          a=rtpmap:126 telephone-event/8000\r\n",
    )
    .unwrap();
    assert!(sdp.audio().unwrap().trunk_codecs().is_empty());
}

#[test]
fn what_breaks_the_grammar_or_a_limit_is_refused() {
    for text in [
        "",
        "v=1\r\n",
        "o=- 1 1 IN IP4 a\r\n",
        "v=0\r\nm=audio\r\n",
        "v=0\r\nm=audio x RTP/AVP 0\r\n",
        "v=0\r\nm=audio 65536 RTP/AVP 0\r\n",
        "v=0\r\nm=audio -1 RTP/AVP 0\r\n",
        "v=0\r\nm=audio 1 RTP/AVP 4294967296\r\n",
        "v=0\r\nm=audio 1 RTP/AVP 128\r\n",
        "v=0\r\nc=IN IP4\r\n",
        "v=0\r\no=-\r\n",
        "v=0\r\nm=audio 1 RTP/AVP 0\r\na=rtpmap:0\r\n",
        "v=0\r\nm=audio 1 RTP/AVP 0\r\na=rtpmap:0 PCMU/99999999999\r\n",
        "v=0\r\nnonsense\r\n",
    ] {
        assert!(Sdp::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(Sdp::parse(b"v=0\r\ns=\xff\r\n"), Err(SdpError::NotText));
    let many = |line: &str, count| format!("v=0\r\n{}", line.repeat(count));
    for text in [
        many("a=x\r\n", SDP_LINES_MAX + 1),
        many("m=audio 0 RTP/AVP 0\r\n", 17),
        format!("v=0\r\nm=audio 1 RTP/AVP{}\r\n", " 0".repeat(65)),
    ] {
        assert_eq!(Sdp::parse(text.as_bytes()), Err(SdpError::TooLarge));
    }
}

#[test]
fn a_section_line_with_a_control_character_never_reaches_an_answer() {
    for section in ["audio\0", "vi\u{1}deo", "video\u{7f}", "v\u{e9}deo"] {
        let text = format!("v=0\r\nm={section} 4000 RTP/AVP 0\r\n");
        assert_eq!(Sdp::parse(text.as_bytes()), Err(SdpError::Line('m')), "{section:?}");
    }
    for line in ["m=video 4000 RTP\0/AVP 0", "m=x 1 y/z \0"] {
        let text = format!("v=0\r\n{line}\r\n");
        assert_eq!(Sdp::parse(text.as_bytes()), Err(SdpError::Line('m')), "{line:?}");
    }
}

#[test]
fn an_address_line_has_an_address() {
    for line in ["c=IN IP4 /127", "c=IN IP6 /", "c=IN IP4"] {
        let text = format!("v=0\r\n{line}\r\n");
        assert_eq!(Sdp::parse(text.as_bytes()), Err(SdpError::Line('c')), "{line:?}");
    }
}
