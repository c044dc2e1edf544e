//! The reader against hostile, odd and real messages: the sections of RFC 4475 and 5118 with
//! messages of our own, attempts to be somebody else, and random bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests, where a panic is the verdict")]

mod browsers;
mod framing;
mod identity;
mod ipv6;
mod properties;
mod seeds;
mod torture;

use bytes::Bytes;
use sautikit_sip::message::{Message, Method, Name, Start, Text};
use sautikit_sip::reader::{Framing, Read, ReadError, read, read_any};

/// Line breaks of the source become those of the wire; the head is closed.
pub fn wire(head: &str, body: &str) -> Bytes {
    let lines: Vec<&str> = head.trim().lines().map(|line| line.trim_start_matches('|')).collect();
    Bytes::from(format!("{}\r\n\r\n{body}", lines.join("\r\n")))
}

/// The message, whether the gateway serves its method or not.
pub fn accept(bytes: &Bytes) -> Message {
    match read_any(bytes, Framing::Datagram) {
        Ok(Read::Message(message)) => message,
        other => panic!("not accepted: {other:?}\n{}", String::from_utf8_lossy(bytes)),
    }
}

/// The status and the lines of the gateway's stateless answer. What was torn in the request is
/// torn in its answer, so the answer is split here and not read.
pub fn refuse(bytes: &Bytes) -> (u16, Message) {
    let result = read(bytes, Framing::Datagram);
    let code = result.as_ref().err().and_then(ReadError::code);
    match result {
        Err(ReadError::Answer { status, answer, .. }) => {
            let answer = split(&answer);
            assert_eq!(code, answer.header(&Name::XSautikitError), "counted as it is answered");
            assert_eq!(answer.status(), Some(status));
            assert!(answer.to().is_none_or(|to| to.tag().is_some()), "no tag in To");
            assert!(answer.header(&Name::Warning).is_some());
            (status, answer)
        }
        other => panic!("not refused: {other:?}\n{}", String::from_utf8_lossy(bytes)),
    }
}

pub fn split(answer: &Bytes) -> Message {
    let text = std::str::from_utf8(answer).unwrap();
    let head = text.strip_suffix("\r\n\r\n").expect("an answer has no body");
    let (start, lines) = head.split_once("\r\n").unwrap();
    assert!(!lines.contains(|c: char| c.is_ascii_control() && !"\r\n\t".contains(c)));
    let (version, status) = start.split_once(' ').unwrap();
    let (status, reason) = status.split_once(' ').unwrap();
    assert_eq!(version, "SIP/2.0");
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").expect("every line has a name");
        (Name::parse(name), Text::new(value))
    };
    Message {
        start: Start::Response { status: status.parse().unwrap(), reason: reason.into() },
        headers: lines.split("\r\n").map(header).collect(),
        body: Bytes::new(),
    }
}

pub fn is_dropped(bytes: &Bytes) -> bool {
    matches!(read(bytes, Framing::Datagram), Err(ReadError::Drop { .. }))
}

/// A plain request with one line exchanged or added: `Name: value` replaces the line of that
/// name, and is added where there is none.
pub fn request(method: &str, uri: &str, changes: &[&str]) -> Bytes {
    let mut lines = vec![
        format!("{method} {uri} SIP/2.0"),
        "Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bKplain".to_owned(),
        "Max-Forwards: 70".to_owned(),
        "From: \"Asha\" <sip:asha@example.com>;tag=a1".to_owned(),
        "To: <sip:juma@example.com>".to_owned(),
        "Call-ID: plain@192.0.2.4".to_owned(),
        format!("CSeq: 7 {method}"),
        "Contact: <sip:asha@192.0.2.4>".to_owned(),
    ];
    for change in changes {
        let name = change.split(':').next().unwrap().trim();
        match lines.iter_mut().find(|line| line.split(':').next().unwrap() == name) {
            Some(line) => *line = (*change).to_owned(),
            None => lines.push((*change).to_owned()),
        }
    }
    wire(&lines.join("\n"), "")
}

#[test]
fn the_plain_request_is_accepted() {
    let message = accept(&request("OPTIONS", "sip:gw.example.com", &[]));
    assert_eq!(message.method(), Some(&Method::Options));
    assert_eq!(message.call_id(), "plain@192.0.2.4");
}
