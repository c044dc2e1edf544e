//! The checks before any actor sees a message.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use sautikit_core::limits::{SIP_BODY_MAX_BYTES, SIP_VIAS_MAX};

use super::fault::{Fault, unknown_options};
use crate::list::{Malformed, Values, number};
use crate::message::{Message, Method, Name, Start, parse_cseq};
use crate::name_addr::NameAddr;
use crate::respond::is_served;
use crate::uri::{Scheme, Uri};
use crate::via::Via;

/// RFC 3261 §8.1.1.5.
const MAX_CSEQ: u32 = (1 << 31) - 1;
/// Content-Length: 2³² and more is an attack on length arithmetic, not a message.
const MAX_LENGTH_DIGITS: usize = 10;

impl From<Malformed> for Fault {
    fn from(Malformed(rule): Malformed) -> Self {
        Self::bad(rule)
    }
}

#[derive(Default)]
struct Seen {
    from: bool,
    to: bool,
    call_id: bool,
    cseq: bool,
    max_forwards: bool,
    content_length: bool,
    vias: usize,
}

/// Every field that a message must or may have once, and all addresses that steer it.
pub(super) fn fields(message: &Message) -> Option<Fault> {
    let mut seen = Seen::default();
    for (name, value) in &message.headers {
        if let Err(fault) = field(message, &mut seen, name, value) {
            return Some(fault);
        }
    }
    Some(match seen {
        Seen { from: false, .. } => Fault::bad("Missing From"),
        Seen { to: false, .. } => Fault::bad("Missing To"),
        Seen { call_id: false, .. } => Fault::bad("Missing Call-ID"),
        Seen { cseq: false, .. } => Fault::bad("Missing CSeq"),
        Seen { vias: 0, .. } => Fault::bad("Missing Via"),
        _ => return request_uri(message),
    })
}

fn field(message: &Message, seen: &mut Seen, name: &Name, value: &str) -> Result<(), Fault> {
    let is_request = message.is_request();
    match name {
        Name::Via => {
            for via in Values::new(value) {
                seen.vias = seen.vias.saturating_add(1);
                if seen.vias > SIP_VIAS_MAX {
                    return Err(Fault::too_large("Too many Vias"));
                }
                Via::parse(via)?;
            }
        }
        Name::From => {
            once(&mut seen.from, "Repeated From")?;
            peer(value)?;
        }
        Name::To => {
            once(&mut seen.to, "Repeated To")?;
            peer(value)?;
        }
        Name::CallId => {
            once(&mut seen.call_id, "Repeated Call-ID")?;
            if value.is_empty() || value.contains([' ', '\t']) {
                return Err(Fault::bad("Malformed Call-ID"));
            }
        }
        Name::CSeq => {
            once(&mut seen.cseq, "Repeated CSeq")?;
            let (number, method) = parse_cseq(value).ok_or(Fault::bad("Malformed CSeq"))?;
            if number > MAX_CSEQ {
                return Err(Fault::bad("CSeq out of range"));
            }
            if message.method().is_some_and(|expected| expected.as_str() != method) {
                return Err(Fault::bad("CSeq names another method"));
            }
        }
        Name::MaxForwards if is_request => {
            once(&mut seen.max_forwards, "Repeated Max-Forwards")?;
            number::<u8>(value).ok_or(Fault::bad("Malformed Max-Forwards"))?;
        }
        Name::ContentLength => {
            once(&mut seen.content_length, "Repeated Content-Length")?;
            let digits = if value.len() <= MAX_LENGTH_DIGITS { value } else { "" };
            number::<u64>(digits).ok_or(Fault::bad("Malformed Content-Length"))?;
        }
        // A leg copes with a response whose Contact or route cannot be used.
        Name::Contact | Name::Route | Name::RecordRoute if is_request => {
            addresses(message, name, value)?;
        }
        _ => {}
    }
    Ok(())
}

fn once(seen: &mut bool, fault: &'static str) -> Result<(), Fault> {
    match std::mem::replace(seen, true) {
        false => Ok(()),
        true => Err(Fault::bad(fault)),
    }
}

/// From or To: one address, at most one tag, and that not empty.
fn peer(value: &str) -> Result<(), Fault> {
    let addr = NameAddr::parse(value)?;
    if addr.params.count("tag") > 1 || addr.tag() == Some("") {
        return Err(Fault::bad("Malformed tag"));
    }
    Ok(())
}

fn addresses(message: &Message, name: &Name, value: &str) -> Result<(), Fault> {
    if *name == Name::Contact && value == "*" {
        return match message.method() {
            Some(Method::Register) => Ok(()),
            _ => Err(Fault::bad("Contact: * outside of REGISTER")),
        };
    }
    for address in Values::new(value) {
        NameAddr::parse(address)?;
    }
    Ok(())
}

fn request_uri(message: &Message) -> Option<Fault> {
    let uri = match Uri::parse(message.uri()?) {
        Ok(uri) => uri,
        Err(malformed) => return Some(malformed.into()),
    };
    // Headers in a Request-URI would be executed by whoever builds a request from it.
    (uri.is_sip() && uri.headers.is_some()).then(|| Fault::bad("Headers in the Request-URI"))
}

/// What the gateway serves (RFC 3261 §8.2, in its order).
pub(super) fn policy(message: &Message) -> Option<Fault> {
    let Start::Request { method, uri } = &message.start else { return None };
    if !is_served(method) {
        return Some(Fault::METHOD);
    }
    if matches!(Uri::parse(uri).ok()?.scheme, Scheme::Other(_)) {
        return Some(Fault::SCHEME);
    }
    // Only a new call is sent on; everything else ends here, whatever hops it has left.
    if *method == Method::Invite && message.max_forwards() == 0 && message.to_tag().is_none() {
        return Some(Fault::HOPS);
    }
    (!unknown_options(message).is_empty()).then_some(Fault::EXTENSION)
}

/// The length of the body, of which `present` bytes are there.
pub(super) fn body_length(message: &Message, present: usize) -> Result<usize, Fault> {
    let length = match message.header(&Name::ContentLength) {
        // `fields` has seen that it is a number.
        Some(value) => usize::try_from(number::<u64>(value).unwrap_or(u64::MAX)).ok(),
        None => Some(present),
    };
    match length {
        Some(length) if length > SIP_BODY_MAX_BYTES => Err(Fault::too_large("Body too large")),
        Some(length) if length <= present => Ok(length),
        _ => Err(Fault::bad("Content-Length is larger than the body")),
    }
}
