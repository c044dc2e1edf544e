//! What must hold for any bytes.

use bytes::Bytes;
use proptest::prelude::*;
use sautikit_sip::digest::Challenge;
use sautikit_sip::message::{Message, Method, Name, Text, print};
use sautikit_sip::name_addr::NameAddr;
use sautikit_sip::reader::{Framing, Read, ReadError, read, read_any};
use sautikit_sip::sdp::Sdp;
use sautikit_sip::uri::Uri;
use sautikit_sip::via::Via;

use crate::{request, split};

/// Reads, and asks all that can be asked.
fn exercise(bytes: &Bytes) {
    for framing in [Framing::Datagram, Framing::WebSocket] {
        match read(bytes, framing) {
            Ok(Read::Message(message)) => {
                assert!(message.from().is_some() && message.to().is_some());
                assert!(message.top_via().is_some() && !message.call_id().is_empty());
                assert!(message.is_request() || message.status().is_some());
                let _ = (message.cseq(), message.contact(), message.branch(), message.to_tag());
                let _ = (message.contacts().count(), message.values(&Name::Via).count());
                let _ = (message.sdp(), message.content_type(), message.max_forwards());
                assert!(message.headers.iter().all(|(_, value)| is_clean(value)));
                let again = read(&print(&message), framing);
                let Ok(Read::Message(again)) = again else { panic!("not read back: {again:?}") };
                assert_eq!(without_length(again), without_length(message));
            }
            Ok(Read::KeepAlive(_)) | Err(ReadError::Drop { .. }) => {}
            Err(ReadError::Answer { status, answer, .. }) => {
                assert!((400..600).contains(&status));
                assert_eq!(split(&answer).status(), Some(status));
            }
        }
    }
}

fn without_length(mut message: Message) -> Message {
    message.headers.retain(|(name, _)| *name != Name::ContentLength);
    message
}

fn is_clean(value: &str) -> bool {
    !value.contains(|c: char| c.is_ascii_control() && c != '\t')
}

/// A good request with some of its bytes changed, removed or doubled.
fn mutated() -> impl Strategy<Value = Bytes> {
    let seeds = vec![
        request("INVITE", "sip:juma@gw;lr", &["Content-Length: 0", "Route: <sip:a;lr>, <sip:b>"]),
        Bytes::from_static(include_bytes!("../data/chromium-invite-jssip.txt")),
        request("REGISTER", "sip:[::1]:5060", &["Contact: \"x\\\"\" <sip:a@b>;expires=3, *"]),
        request("OPTIONS", "tel:+1", &["Subject: a\r\n b", "Require: x"]),
        Bytes::from_static(b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a;branch=1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\ni: x\r\nCSeq: 1 INVITE\r\n\r\n"),
    ];
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let odd = prop::sample::select(b"\r\n \t\0\"<>;,:@[]%\\/=*\x7f\xff09zA".to_vec());
    (prop::sample::select(seeds), prop::collection::vec((edit, odd), 0..8)).prop_map(
        |(seed, edits)| {
            let mut bytes = seed.to_vec();
            for ((at, byte, kind), odd) in edits {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = odd,
                    1 => bytes.insert(at, odd),
                    2 => drop(bytes.remove(at)),
                    _ => bytes[at] = byte,
                }
            }
            Bytes::from(bytes)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        exercise(&Bytes::from(bytes.clone()));
        let _ = Sdp::parse(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = (Uri::parse(&text), NameAddr::parse(&text), Via::parse(&text), Challenge::parse(&text));
    }

    #[test]
    fn no_change_of_a_good_message_panics(bytes in mutated()) {
        exercise(&bytes);
    }

    #[test]
    fn no_change_of_a_good_description_panics(at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let mut bytes = include_bytes!("../data/chromium-offer.sdp").to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        if let Ok(sdp) = Sdp::parse(&bytes) {
            let _ = sdp.audio().map(|audio| (audio.trunk_codecs(), audio.rtcp_addr()));
        }
    }

    #[test]
    fn what_is_printed_is_read_back_the_same(
        method in "[A-Z]{1,9}",
        user in "[a-z0-9._%]{0,3}[a-z]{1,8}",
        display in "\\PC{0,20}",
        call_id in "[!-~]{1,30}",
        tag in "[A-Za-z0-9.~-]{1,20}",
        number in 0..=i32::MAX,
        extra in prop::collection::vec(("X-[A-Za-z]{1,10}", "\\PC{0,40}"), 0..10),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let user = user.replace('%', "%2f");
        let message = Message::request(Method::parse(&method), format!("sip:{user}@gw.example:5060;lr"))
            .header(Name::Via, format!("SIP/2.0/WS x.invalid;branch=z9hG4bK{tag}"))
            .header(Name::From, format!("{} <sip:{user}@gw>;tag={tag}", sautikit_sip::list::quote(&display)))
            .header(Name::To, Text::from_static("<sip:b@gw>"))
            .header(Name::CallId, call_id.as_str())
            .header(Name::CSeq, format!("{number} {method}"))
            .headers(extra.iter().map(|(name, value)| (Name::parse(name), value.trim_matches([' ', '\t']))))
            .body("application/octet-stream", body)
            .build();
        let Ok(Read::Message(again)) = read_any(&print(&message), Framing::WebSocket) else {
            panic!("not read: {message:?}")
        };
        prop_assert_eq!(again.cseq_number(), u32::try_from(number).unwrap());
        prop_assert_eq!(again.from().unwrap().display().unwrap(), message.from().unwrap().display().unwrap());
        prop_assert_eq!(without_length(again), without_length(message));
    }
}

#[test]
fn the_worst_messages_are_read_in_time_that_grows_with_their_length_only() {
    let pad = |unit: &str, total: usize| unit.repeat(total / unit.len());
    let head = "INVITE sip:gw SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=1\r\nFrom: <sip:a@b>;tag=1\r\n\
                To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n";
    let worst = [
        pad("a: b\r\n", 65_000),
        format!("Contact: {}", pad("<sip:a@b>,", 8_000)),
        format!("Contact: <sip:a@b>{}", pad(";a=b", 8_000)),
        format!("Contact: <sip:a@b>{}", pad(";a=\"\\\"\"", 8_000)),
        pad(&format!("Contact: {}\r\n", pad("<sip:a@b;c;d;e>,", 8_000)), 64_000),
        format!("Subject: {}", pad("\r\n ", 60_000)),
        format!("Subject: {}", pad("\"\\\u{1}", 60_000)),
        pad("X-\r\n", 60_000),
        pad("\r\n", 60_000),
        format!("Require: {}", pad("a,", 8_000)),
    ];
    for rest in worst {
        let bytes = Bytes::from(format!("{head}{rest}\r\n\r\n"));
        let _ = read(&bytes, Framing::Datagram);
    }
}
