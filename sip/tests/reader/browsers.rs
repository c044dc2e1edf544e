//! What JsSIP and SIP.js really send, as recorded from Chromium.

use bytes::Bytes;
use sautikit_sip::message::{Method, Name, print};
use sautikit_sip::reader::{Framing, Read, read};
use sautikit_sip::sdp::Sdp;

use crate::{accept, request};

const INVITES: [&[u8]; 2] = [
    include_bytes!("../data/chromium-invite-jssip.txt"),
    include_bytes!("../data/chromium-invite-sipjs.txt"),
];

#[test]
fn the_invites_of_both_libraries_are_read_whole() {
    for bytes in INVITES {
        let bytes = Bytes::from_static(bytes);
        let Ok(Read::Message(message)) = read(&bytes, Framing::WebSocket) else {
            panic!("refused")
        };
        assert_eq!(message.method(), Some(&Method::Invite));
        assert_eq!(message.from().unwrap().uri.user, Some("alice"));
        assert!(message.from_tag().is_some() && message.to_tag().is_none());
        let via = message.top_via().unwrap();
        assert!(via.host.ends_with(".invalid") && via.branch().unwrap().starts_with("z9hG4bK"));
        assert_eq!(message.contact().unwrap().uri.param("transport"), Some("ws"));
        assert!(message.lists(&Name::Supported, "outbound"));
        assert!(message.lists(&Name::Allow, "bye"));
        let sdp = message.sdp().unwrap();
        assert!(Sdp::parse(&sdp).unwrap().audio().unwrap().is_webrtc());
        // The body points into what came in: no copy.
        assert!(bytes.as_ptr_range().contains(&sdp.as_ptr()));
        assert_eq!(accept(&print(&message)).body, message.body);
    }
}

#[test]
fn the_instance_of_a_registration_is_read() {
    let message = accept(&request(
        "REGISTER",
        "sip:gw",
        &[
            "Contact: <sip:k@x.invalid;transport=ws;ob>;reg-id=1;+sip.instance=\"<urn:uuid:6d1e>\";expires=600, <sip:old@y.invalid>;expires=0",
        ],
    ));
    let contacts: Vec<_> = message.contacts().collect();
    assert_eq!(contacts.len(), 2);
    assert_eq!(contacts[0].param("+sip.instance"), Some("\"<urn:uuid:6d1e>\""));
    assert_eq!(contacts[1].param("expires"), Some("0"));
}
