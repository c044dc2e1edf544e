//! The reader: what it lets through keeps its limits and survives being printed, and what it
//! refuses is answered once, in a bounded and clean answer.

use std::net::SocketAddr;

use bytes::Bytes;
use sautikit_core::limits::{
    MESSAGE_MAX_BYTES, SIP_BODY_MAX_BYTES, SIP_HEADERS_MAX, SIP_LINE_MAX_BYTES, SIP_VIAS_MAX,
};
use sautikit_sip::digest::Challenge;
use sautikit_sip::list::{Values, quote, unquote};
use sautikit_sip::message::{Message, Method, Name, Start, print};
use sautikit_sip::name_addr::NameAddr;
use sautikit_sip::reader::{Framing, Read, ReadError, read, read_any, read_datagram};
use sautikit_sip::uri::Uri;
use sautikit_sip::via::Via;

/// What our own lines of an answer take at the most: status, tag, Warning, Allow, code.
const OWN_LINES_MAX_BYTES: usize = 1024;
/// `m:` is printed as `Contact:`, `d:` as `Request-Disposition:`.
const NAME_GROWTH_MAX_BYTES: usize = 24;

/// Panics where the reader breaks its word on these bytes.
pub fn check(data: &[u8]) {
    let input = Bytes::copy_from_slice(data);
    let source = SocketAddr::from(([192, 0, 2, 9], 4000));
    let datagram = read(&input, Framing::Datagram);
    for framing in [Framing::Datagram, Framing::WebSocket] {
        let served = read(&input, framing);
        assert_eq!(served, read(&input, framing), "the same bytes are read in one way");
        judge(&input, framing, &served);
        // What the gateway serves is a part of what is well-formed, and read the same.
        match (&served, read_any(&input, framing)) {
            (Ok(read), any) => assert_eq!(Ok(read), any.as_ref()),
            (Err(_), Err(error)) => answer_is_sound(&input, &error),
            (Err(_), Ok(Read::Message(message))) => message_is_sound(&input, framing, &message),
            (Err(error), Ok(keep_alive)) => panic!("{error:?}, {keep_alive:?}"),
        }
    }
    judge_source(&datagram, &read_datagram(&input, source), source);
    if let Ok(text) = std::str::from_utf8(data) {
        grammar(text);
    }
}

fn judge(input: &Bytes, framing: Framing, result: &Result<Read, ReadError>) {
    match result {
        Ok(Read::Message(message)) => message_is_sound(input, framing, message),
        Ok(Read::KeepAlive(_)) => {
            assert!(input.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
        Err(error) => answer_is_sound(input, error),
    }
}

fn message_is_sound(input: &Bytes, framing: Framing, message: &Message) {
    assert!(input.len() <= MESSAGE_MAX_BYTES + leading(input));
    assert!(message.headers.len() <= SIP_HEADERS_MAX);
    assert!(message.body.len() <= SIP_BODY_MAX_BYTES);
    let within = input.as_ptr_range();
    let body = message.body.as_ptr_range();
    assert!(message.body.is_empty() || (within.start <= body.start && body.end <= within.end));
    let vias = message.headers_of(&Name::Via).flat_map(Values::new).count();
    assert!((1..=SIP_VIAS_MAX).contains(&vias));
    for (name, value) in &message.headers {
        assert!(is_clean(name.as_str()) && is_clean(value));
        // Bytes that are no text became three-byte marks before they were counted.
        assert!(value.len() <= SIP_LINE_MAX_BYTES, "{} bytes of {name}", value.len());
    }
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        assert_eq!(message.headers_of(&name).count(), 1, "{name}");
    }
    assert!(message.from().is_some() && message.to().is_some() && message.top_via().is_some());
    assert!(!message.call_id().is_empty());
    let (number, method) = message.cseq();
    assert!(number < 1 << 31);
    assert!(message.method().is_none_or(|start| *start == method));
    if let Start::Response { status, .. } = message.start {
        assert!((100..700).contains(&status));
    }
    exercise(message);
    printed_is_read_again(input, framing, message);
    length_ends_it(input, framing, message);
}

/// Printing is the inverse of reading, and bounded by what was read.
fn printed_is_read_again(input: &Bytes, framing: Framing, message: &Message) {
    let printed = print(message);
    let growth = NAME_GROWTH_MAX_BYTES * message.headers.len() + OWN_LINES_MAX_BYTES;
    assert!(printed.len() <= 3 * input.len() + growth);
    // A head that was just within the limit may be above it with its long names.
    if printed.len() > MESSAGE_MAX_BYTES {
        return;
    }
    let full =
        message.headers.len() == SIP_HEADERS_MAX && message.header(&Name::ContentLength).is_none();
    if full || lines_grow_too_long(message) {
        return;
    }
    let Ok(Read::Message(again)) = read_any(&printed, framing) else {
        panic!("not read again: {message:?}");
    };
    assert_eq!(printed, print(&again), "printing settles at once");
    assert_eq!(without_length(again), without_length(message.clone()));
}

/// Compact names are printed long, and spaces that an empty value had are not.
fn lines_grow_too_long(message: &Message) -> bool {
    let line = |(name, value): &(Name, _)| {
        let value: &sautikit_sip::message::Text = value;
        name.as_str().len() + 2 + value.len()
    };
    message.headers.iter().map(line).max().unwrap_or(0) > SIP_LINE_MAX_BYTES
}

/// Whatever follows the counted body is never read: a second message in it is never executed.
fn length_ends_it(input: &Bytes, framing: Framing, message: &Message) {
    let more: &[u8] = b"INVITE sip:second@gw SIP/2.0\r\n\r\n";
    let counted = message.header(&Name::ContentLength).is_some();
    if counted && input.len() + more.len() <= MESSAGE_MAX_BYTES {
        let longer = Bytes::from([input, more].concat());
        assert_eq!(read_any(&longer, framing), Ok(Read::Message(message.clone())));
    }
}

/// Asks all that can be asked of a message.
fn exercise(message: &Message) {
    let _ = (message.from_tag(), message.to_tag(), message.branch(), message.max_forwards());
    let _ = (message.content_type(), message.sdp(), message.contact(), message.reason());
    let _ = Challenge::of(message, None);
    assert!(message.contacts().count() <= message.values(&Name::Contact).count());
    if let Some(uri) = message.uri().map(Uri::parse) {
        let uri = uri.expect("the reader has read it");
        let _ = (uri.user_unescaped(), uri.ip(), uri.is_loose_router());
    }
    if message.is_request() {
        let answer = sautikit_sip::respond::respond(message, 486, "", None, &[], None);
        assert!(answer.starts_with(b"SIP/2.0 486 Busy Here\r\n"));
    }
}

fn answer_is_sound(input: &Bytes, error: &ReadError) {
    let ReadError::Answer { status, reason, answer } = error else {
        assert_eq!(error.code(), None);
        return;
    };
    assert!(matches!(status, 400 | 405 | 416 | 420 | 483 | 505 | 513), "{status}");
    assert!(error.code().is_some() && error.reason() == *reason);
    // A reflector that makes much of little would be used as one.
    let bound = 3 * input.len() + NAME_GROWTH_MAX_BYTES * SIP_HEADERS_MAX + OWN_LINES_MAX_BYTES;
    assert!(answer.len() <= bound, "{} bytes for {}", answer.len(), input.len());
    let text = std::str::from_utf8(answer).expect("an answer is text");
    let head = text.strip_suffix("\r\n\r\n").expect("an answer is a head alone");
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some(format!("SIP/2.0 {status} {reason}").as_str()));
    let mut seen = Vec::new();
    for line in lines {
        assert!(is_clean(line), "{line:?}");
        let (name, _) = line.split_once(": ").expect("every line has its name");
        seen.push(Name::parse(name));
    }
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        assert!(seen.iter().filter(|seen| **seen == name).count() <= 1, "two of {name}");
    }
    for name in [Name::Via, Name::CSeq, Name::Warning, Name::XSautikitError] {
        assert!(seen.contains(&name), "no {name}");
    }
    // Two gateways never answer each other for ever.
    for framing in [Framing::Datagram, Framing::WebSocket] {
        assert!(!matches!(read(answer, framing), Err(ReadError::Answer { .. })));
    }
}

/// A datagram is read as without its source, but for its topmost Via, which then says it.
fn judge_source(
    plain: &Result<Read, ReadError>,
    sourced: &Result<Read, ReadError>,
    source: SocketAddr,
) {
    match (plain, sourced) {
        (Ok(Read::Message(plain)), Ok(Read::Message(sourced))) => {
            let (before, after) = (plain.top_via(), sourced.top_via());
            let (before, after) = before.zip(after).expect("a message has a Via");
            assert_eq!(before.branch(), after.branch());
            assert_eq!(before.sent_by(), after.sent_by());
            if plain.is_request() {
                assert_eq!(before.wants_rport(), after.rport().is_some());
                let seen = after.received().or_else(|| after.host.parse().ok());
                assert_eq!(seen, Some(source.ip()));
                let mut twice = sourced.clone();
                twice.set_source(source);
                assert_eq!(twice, *sourced, "the source is written once");
            }
            let values = |message: &Message| -> Vec<String> {
                message.values(&Name::Via).skip(1).map(ToOwned::to_owned).collect()
            };
            assert_eq!(values(plain), values(sourced));
        }
        (Ok(plain), Ok(sourced)) => assert_eq!(plain, sourced),
        (
            Err(ReadError::Answer { status, .. }),
            Err(ReadError::Answer { status: again, answer, .. }),
        ) => {
            assert_eq!(status, again);
            assert!(answer.ends_with(b"\r\n\r\n"));
        }
        (Err(plain), Err(sourced)) => assert_eq!(plain, sourced),
        _ => panic!("{plain:?} without its source, {sourced:?} with it"),
    }
}

/// The small readers, on text that no other check has seen.
fn grammar(text: &str) {
    if let Ok(uri) = Uri::parse(text) {
        assert_eq!(uri.to_string(), text);
        assert!(uri.port != Some(0));
    }
    if let Ok(address) = NameAddr::parse(text) {
        let rest = address.uri.as_str();
        assert!(text.contains(rest));
        assert!(!rest.contains(['<', '>', '"', ' ']));
    }
    if let Ok(via) = Via::parse(text) {
        assert!(via.port != Some(0) && !via.host.is_empty());
        assert!(via.sent_by().len() <= text.len());
    }
    let _ = Challenge::parse(text);
    assert!(Values::new(text).map(str::len).sum::<usize>() <= text.len());
    if !text.contains(char::is_control) {
        assert_eq!(unquote(&quote(text)), text);
    }
    assert_eq!(
        Method::parse(text).as_str(),
        text.replace(|c: char| c.is_ascii_control() && c != '\t', " ")
    );
}

fn leading(input: &[u8]) -> usize {
    input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n' | 0)).count()
}

fn is_clean(text: &str) -> bool {
    !text.contains(|c: char| c.is_ascii_control() && c != '\t')
}

fn without_length(mut message: Message) -> Message {
    message.headers.retain(|(name, _)| *name != Name::ContentLength);
    message
}
