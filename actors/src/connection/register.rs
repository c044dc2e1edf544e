//! REGISTER: a session's address of record is what its token says; the binding lives and dies with
//! the socket.

use sautikit_core::identity::AddressUser;
use sautikit_sip::list::number;
use sautikit_sip::message::{Message, Name};

/// A registration is refreshed at least this often, so that a page that forgot is noticed.
const EXPIRES_MAX_SECONDS: u32 = 600;

/// Shorter ones are answered with this much (RFC 3261 section 10.3 would have 423; a browser that
/// asks for a minute is served, not refused).
const EXPIRES_MIN_SECONDS: u32 = 60;

/// What a REGISTER asks for, and the Contact values of its answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Registration {
    /// A binding, or a question for it (no Contact).
    Bound(Vec<String>),
    /// The end of the binding.
    Unbound,
    /// Another address than the session's.
    NotOwned,
}

/// Judges a REGISTER of the session of `user`.
pub(super) fn judge(request: &Message, user: &AddressUser) -> Registration {
    let asked = request.to().and_then(|to| to.uri.user.map(ToOwned::to_owned));
    if !asked.is_some_and(|asked| user.is(&asked)) {
        return Registration::NotOwned;
    }
    let default = request.header(&Name::Expires).and_then(number::<u32>);
    if request.values(&Name::Contact).any(|value| value == "*") {
        return Registration::Unbound;
    }
    let mut bound = Vec::new();
    for contact in request.contacts() {
        let asked = contact.param("expires").and_then(number::<u32>).or(default);
        let seconds = asked.unwrap_or(EXPIRES_MAX_SECONDS);
        if seconds == 0 {
            continue;
        }
        let seconds = seconds.clamp(EXPIRES_MIN_SECONDS, EXPIRES_MAX_SECONDS);
        let mut value = format!("<{}>", contact.uri.as_str());
        for (name, param) in contact.params {
            if name.eq_ignore_ascii_case("expires") {
                continue;
            }
            value.push(';');
            value.push_str(name);
            if let Some(param) = param {
                value.push('=');
                value.push_str(param);
            }
        }
        value.push_str(&format!(";expires={seconds}"));
        bound.push(value);
    }
    let asked_for_none = request.contacts().next().is_some() && bound.is_empty();
    if asked_for_none { Registration::Unbound } else { Registration::Bound(bound) }
}
