//! Keep-alives, bodies and what surrounds a message.

use bytes::Bytes;
use sautikit_sip::message::Name;
use sautikit_sip::reader::{Framing, KeepAlive, Read, ReadError, read, read_datagram};

use crate::{accept, refuse, request};

fn keep_alive(bytes: &'static [u8], framing: Framing) -> Option<KeepAlive> {
    match read(&Bytes::from_static(bytes), framing) {
        Ok(Read::KeepAlive(kind)) => Some(kind),
        _ => None,
    }
}

#[test]
fn keep_alives_are_told_apart() {
    for framing in [Framing::Datagram, Framing::WebSocket] {
        assert_eq!(keep_alive(b"\r\n\r\n", framing), Some(KeepAlive::Ping));
        assert_eq!(keep_alive(b"\r\n", framing), Some(KeepAlive::Pong));
        assert_eq!(keep_alive(b"", framing), Some(KeepAlive::Pong));
    }
    assert_eq!(keep_alive(b"\0\0\0\0", Framing::Datagram), Some(KeepAlive::Pong));
    assert_eq!(keep_alive(b"\0\0\0\0", Framing::WebSocket), None);
}

#[test]
fn line_breaks_before_a_message_are_passed_over() {
    let bytes = [b"\r\n\r\n\r\n".as_slice(), &request("OPTIONS", "sip:gw", &[])].concat();
    assert_eq!(accept(&Bytes::from(bytes)).call_id(), "plain@192.0.2.4");
}

#[test]
fn noise_is_dropped_without_an_answer() {
    for bytes in [
        b"\x00\x01\x00\x08\x21\x12\xa4\x42stunstunstun".as_slice(),
        b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"hello",
        b"SIP/2.0",
        b"SIP/2.0 200 OK\r\n\r\n",
        b" INVITE sip:gw SIP/2.0\r\n\r\n",
        b"\xff\xfe\xfd",
        b"INVITE sip:gw SIP/2.0",
        b"INVITE",
        b": \r\n\r\n",
    ] {
        let read = read(&Bytes::from_static(bytes), Framing::Datagram);
        assert!(matches!(read, Err(ReadError::Drop { .. })), "{read:?}");
    }
}

#[test]
fn without_a_length_the_body_is_what_is_left() {
    let head = request("INVITE", "sip:gw", &["Content-Type: application/sdp"]);
    let bytes = Bytes::from([head, Bytes::from_static(b"v=0\r\n")].concat());
    for framing in [Framing::Datagram, Framing::WebSocket] {
        let Ok(Read::Message(message)) = read(&bytes, framing) else { panic!("refused") };
        assert_eq!(message.sdp().unwrap(), "v=0\r\n");
        assert_eq!(message.header(&Name::ContentLength), None);
    }
}

#[test]
fn a_message_without_its_empty_line_is_refused() {
    let bytes = request("INVITE", "sip:gw", &[]);
    let cut = bytes.slice(..bytes.len() - 2);
    let (status, _) = refuse(&cut);
    assert_eq!(status, 400);
}

#[test]
fn what_is_too_large_is_answered_513() {
    let with_body = |length: usize| {
        let head = request("INVITE", "sip:gw", &[&format!("Content-Length: {length}")]);
        Bytes::from([head, Bytes::from(vec![b'x'; length])].concat())
    };
    assert_eq!(accept(&with_body(32 * 1024)).body.len(), 32 * 1024);
    assert_eq!(refuse(&with_body(32 * 1024 + 1)).0, 513);
    assert_eq!(refuse(&with_body(70_000)).0, 513);
}

#[test]
fn the_source_of_a_datagram_is_written_into_its_top_via_only() {
    let via = "Via: SIP/2.0/UDP 10.0.0.1:5062;rport;branch=z9hG4bK1, SIP/2.0/UDP 10.0.0.2";
    let source = "192.0.2.9:4321".parse().unwrap();
    let read = read_datagram(&request("INVITE", "sip:gw", &[via]), source);
    let Ok(Read::Message(mut message)) = read else { panic!("refused") };
    // A second time changes nothing.
    message.set_source(source);
    let top = message.top_via().unwrap();
    assert_eq!((top.received(), top.rport()), (Some("192.0.2.9".parse().unwrap()), Some(4321)));
    assert_eq!(top.branch(), Some("z9hG4bK1"));
    assert_eq!(message.values(&Name::Via).nth(1), Some("SIP/2.0/UDP 10.0.0.2"));
}

#[test]
fn a_refusal_of_a_datagram_tells_its_source_too() {
    let via = "Via: SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bK1";
    let read = read_datagram(&request("MESSAGE", "sip:gw", &[via]), "192.0.2.9:4".parse().unwrap());
    let Err(ReadError::Answer { answer, .. }) = read else { panic!("not refused") };
    let text = String::from_utf8(answer.to_vec()).unwrap();
    assert!(text.contains(";received=192.0.2.9;rport=4\r\n"), "{text}");
}
