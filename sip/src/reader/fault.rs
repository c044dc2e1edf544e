//! What is wrong with a message, and the answer that follows from it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{ReadError, is_answerable};
use crate::list::is_token;
use crate::message::{Message, Method, Name, Start};
use crate::respond::{ALLOW, respond};

/// Option tags that a request may require. Whether one makes sense in its request is the
/// leg's to judge. `replaces` is not among them: a call that insists on taking another's place
/// must not become one beside it.
pub const KNOWN_OPTIONS: [&str; 6] = ["100rel", "timer", "outbound", "path", "ice", "privacy"];

/// More unknown option tags than this are not all named in the answer.
const MAX_NAMED_OPTIONS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    status: u16,
    code: &'static str,
    reason: &'static str,
}

impl Fault {
    pub(super) const fn bad(reason: &'static str) -> Self {
        Self { status: 400, code: "request.malformed", reason }
    }

    pub(super) const fn too_large(reason: &'static str) -> Self {
        Self { status: 513, code: "request.too_large", reason }
    }

    pub(super) const METHOD: Self =
        Self { status: 405, code: "request.method_not_allowed", reason: "Method Not Allowed" };
    pub(super) const SCHEME: Self =
        Self { status: 416, code: "request.uri_scheme", reason: "Unsupported URI Scheme" };
    pub(super) const EXTENSION: Self =
        Self { status: 420, code: "request.extension", reason: "Bad Extension" };
    pub(super) const HOPS: Self =
        Self { status: 483, code: "request.too_many_hops", reason: "Too Many Hops" };
    pub(super) const VERSION: Self =
        Self { status: 505, code: "request.version", reason: "Version Not Supported" };

    /// `message` is what was read of it so far.
    pub(super) fn into_error(self, mut message: Message) -> ReadError {
        let Self { status, code, reason } = self;
        if !is_answerable(&message) {
            return ReadError::Drop { reason };
        }
        keep_first_of_each(&mut message);
        let warning = format!("399 sautikit \"{reason}\"");
        let mut extra = vec![(Name::XSautikitError, code), (Name::Warning, warning.as_str())];
        let unsupported = unknown_options(&message).join(", ");
        if self == Self::METHOD {
            extra.push((Name::Allow, ALLOW));
        } else if self == Self::EXTENSION {
            extra.push((Name::Unsupported, unsupported.as_str()));
        }
        let answer = respond(&message, status, reason, None, &extra, None);
        ReadError::Answer { status, reason, answer }
    }
}

/// An answer has one From, one To, one Call-ID and one CSeq, whatever the request had.
fn keep_first_of_each(message: &mut Message) {
    let mut seen = [false; 4];
    message.headers.retain(|(name, _)| {
        let slot = match name {
            Name::From => seen.first_mut(),
            Name::To => seen.get_mut(1),
            Name::CallId => seen.get_mut(2),
            Name::CSeq => seen.get_mut(3),
            _ => None,
        };
        slot.is_none_or(|seen| !std::mem::replace(seen, true))
    });
}

/// The option tags of Require and Proxy-Require that nobody here knows. In ACK and CANCEL
/// they have no meaning (RFC 3261 §8.2.2.3).
pub(super) fn unknown_options(message: &Message) -> Vec<&str> {
    if matches!(
        message.start,
        Start::Response { .. } | Start::Request { method: Method::Ack | Method::Cancel, .. }
    ) {
        return Vec::new();
    }
    message
        .headers
        .iter()
        .filter(|(name, _)| matches!(name, Name::Require | Name::ProxyRequire))
        .flat_map(|(_, line)| crate::list::Values::new(line))
        .filter(|tag| is_token(tag))
        .filter(|tag| !KNOWN_OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(tag)))
        .take(MAX_NAMED_OPTIONS)
        .collect()
}
