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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sautikit_core::ids::WorkspaceId;
    use sautikit_sip::reader::{Framing, Read, read};

    use super::*;

    fn register(to: &str, contact: &str, expires: &str) -> Message {
        let text = format!(
            "REGISTER sip:gw SIP/2.0\r\nVia: SIP/2.0/WS b.invalid;branch=z9hG4bK1\r\n\
             From: <{to}>;tag=1\r\nTo: <{to}>\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\n\
             {contact}{expires}Content-Length: 0\r\n\r\n"
        );
        match read(&Bytes::from(text), Framing::WebSocket) {
            Ok(Read::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    fn alice() -> AddressUser {
        let identity = "alice".parse().unwrap();
        AddressUser::of(WorkspaceId::from_parts(1, [1; 10]), Some(&identity))
    }

    const CONTACT: &str = "Contact: <sip:x@b.invalid;transport=ws;ob>;reg-id=1;\
        +sip.instance=\"<urn:uuid:7>\";expires=300\r\n";

    #[test]
    fn the_binding_comes_back_as_it_was_asked_for() {
        let judged = judge(&register("sip:alice@any.host", CONTACT, ""), &alice());
        let bound = "<sip:x@b.invalid;transport=ws;ob>;reg-id=1;\
            +sip.instance=\"<urn:uuid:7>\";expires=300";
        assert_eq!(judged, Registration::Bound(vec![bound.to_owned()]));
    }

    #[test]
    fn an_expiry_is_brought_into_range() {
        for (asked, given) in [("1", "60"), ("60", "60"), ("86400", "600"), ("x", "600")] {
            let expires = format!("Expires: {asked}\r\n");
            let request = register("sip:alice@gw", "Contact: <sip:x@b.invalid>\r\n", &expires);
            let Registration::Bound(contacts) = judge(&request, &alice()) else { panic!() };
            assert_eq!(contacts, [format!("<sip:x@b.invalid>;expires={given}")]);
        }
    }

    #[test]
    fn another_address_is_not_owned_whatever_its_display_name_says() {
        let request = register("sip:bob@gw", CONTACT, "");
        assert_eq!(judge(&request, &alice()), Registration::NotOwned);
    }

    #[test]
    fn zero_and_star_end_the_binding() {
        let star = register("sip:alice@gw", "Contact: *\r\n", "Expires: 0\r\n");
        assert_eq!(judge(&star, &alice()), Registration::Unbound);
        let zero = register("sip:alice@gw", "Contact: <sip:x@b.invalid>;expires=0\r\n", "");
        assert_eq!(judge(&zero, &alice()), Registration::Unbound);
    }

    #[test]
    fn without_a_contact_it_is_a_question() {
        let question = register("sip:alice@gw", "", "");
        assert_eq!(judge(&question, &alice()), Registration::Bound(Vec::new()));
    }
}
