//! After the sections of RFC 5118.

use sautikit_sip::message::Name;
use sautikit_sip::sdp::Sdp;
use sautikit_sip::uri::Uri;

use crate::{accept, refuse, request, wire};

// 4.1, 4.2
#[test]
fn an_address_needs_its_brackets() {
    let message = accept(&request(
        "REGISTER",
        "sip:[2001:db8::10]",
        &[
            "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111",
            "To: sip:user@[2001:db8::10]",
            "Contact: \"Caller\" <sip:caller@[2001:db8::1]>",
        ],
    ));
    assert_eq!(Uri::parse(message.uri().unwrap()).unwrap().host, "2001:db8::10");
    assert_eq!(message.top_via().unwrap().host, "2001:db8::9:1");
    assert_eq!(message.contact().unwrap().uri.host, "2001:db8::1");
    assert_eq!(refuse(&request("REGISTER", "sip:2001:db8::10", &[])).0, 400);
}

// 4.3, 4.4
#[test]
fn a_port_is_outside_of_the_brackets() {
    for (uri, host, port) in [
        ("sip:[2001:db8::10:5070]", "2001:db8::10:5070", None),
        ("sip:[2001:db8::10]:5070", "2001:db8::10", Some(5070)),
    ] {
        let message = accept(&request("REGISTER", uri, &[]));
        let uri = Uri::parse(message.uri().unwrap()).unwrap();
        assert_eq!((uri.host, uri.port), (host, port));
    }
}

// 4.5
#[test]
fn received_may_stand_with_or_without_brackets() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let via = format!("Via: SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bK1");
        let message = accept(&request("BYE", "sip:[2001:db8::10]", &[&via]));
        let received = message.top_via().unwrap().received();
        assert_eq!(received, Some("2001:db8::9:255".parse().unwrap()));
    }
}

// 4.6, 4.8
#[test]
fn sessions_may_mix_the_families() {
    let body = "v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=Live\r\n\
                c=IN IP6 2001:db8::20\r\nt=3338481189 3370017201\r\n\
                m=audio 6000 RTP/AVP 2\r\na=rtpmap:2 G726-32/8000\r\n\
                m=video 6024 RTP/AVP 107\r\nc=IN IP4 192.0.2.1\r\na=rtpmap:107 H263-1998/90000\r\n";
    let head = "INVITE sip:user@[2001:db8::10] SIP/2.0\nv: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bK1\n\
                f: <sip:user@[2001:db8::20]>;tag=1\nt: <sip:user@[2001:db8::10]>\ni: c6\n\
                CSeq: 612 INVITE\nc: Application/SDP";
    let message = accept(&wire(head, body));
    let sdp = message.sdp().unwrap();
    let sdp = Sdp::parse(&sdp).unwrap();
    assert_eq!(sdp.media[0].rtp_addr(), Some("[2001:db8::20]:6000".parse().unwrap()));
    assert_eq!(sdp.media[1].rtp_addr(), Some("192.0.2.1:6024".parse().unwrap()));
}

// 4.7, 4.9
#[test]
fn headers_may_mix_the_families_and_map_one_into_the_other() {
    let message = accept(&request(
        "OPTIONS",
        "sip:user@[2001:db8:0:0:0::10]",
        &[
            "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144, SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200",
            "Contact: <sip:user@[::ffff:192.0.2.10]:19823>",
        ],
    ));
    assert_eq!(message.values(&Name::Via).count(), 3);
    let contact = message.contact().unwrap();
    assert_eq!((contact.uri.host, contact.uri.port), ("::ffff:192.0.2.10", Some(19823)));
    assert_eq!(contact.uri.ip(), Some("::ffff:192.0.2.10".parse().unwrap()));
}

// 4.10
#[test]
fn one_colon_too_many_of_an_old_grammar_is_let_through() {
    let message = accept(&request("OPTIONS", "sip:user@[2001:db8:::192.0.2.1]", &[]));
    assert_eq!(Uri::parse(message.uri().unwrap()).unwrap().ip(), None);
}
