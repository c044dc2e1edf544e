//! Answers that keep no state: what the reader or a router refuses before any leg exists.

use bytes::Bytes;

use crate::message::{Message, Method, Name, Text};

/// Prints the answer to `request`. An empty reason stands for the usual phrase. Without a
/// `to_tag` (and none in the request) the To gets a tag made of the request itself, so that a
/// repeated request gets the same answer (RFC 3261 §8.2.7); a 100 gets none.
pub fn respond(
    request: &Message,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
    extra: &[(Name, &str)],
    body: Option<(&str, Bytes)>,
) -> Bytes {
    let mut response = Message::response_to(request, status, reason);
    if status > 100 {
        response = match to_tag {
            Some(tag) => response.to_tag(tag),
            None => response.to_tag(&stateless_tag(request)),
        };
    }
    response = response.headers(extra.iter().map(|(name, value)| (name, *value)));
    if let Some((content_type, bytes)) = body {
        response = response.body(content_type, bytes);
    }
    response.print()
}

/// The same for every copy of a request, and different for different requests.
fn stateless_tag(request: &Message) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a: spread, not secrecy
    let parts = [
        request.call_id(),
        request.header(&Name::From).unwrap_or_default(),
        request.branch().unwrap_or_default(),
    ];
    for byte in parts.into_iter().flat_map(str::bytes) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("s{hash:016x}")
}

/// The code (`X-Sautikit-Error`) and a text for people of a refusal that the protocol asks for: no
/// rule about calls or money is broken. None where the status is no refusal of this kind, as 487.
pub const fn protocol_fault(status: u16) -> Option<(&'static str, &'static str)> {
    Some(match status {
        400 => ("request.malformed", "The request breaks the rules of SIP"),
        403 => ("request.outside_call", "Such a request is served inside a call alone"),
        405 => {
            ("request.method_not_allowed", "The method is not served: Allow names those that are")
        }
        415 => ("request.body_type", "The type of the body is not served"),
        416 => ("request.uri_scheme", "Dial a sip or a tel address"),
        420 => ("request.extension", "Require names an extension that is not served"),
        422 => ("request.session_interval", "The session would expire too soon: see Min-SE"),
        481 => ("request.no_call", "There is no call that this request belongs to"),
        482 => ("request.merged", "The same request has come another way"),
        483 => ("request.too_many_hops", "The request has passed too many hops"),
        491 => ("request.pending", "An offer of the other side is not answered yet"),
        500 => ("request.out_of_turn", "An earlier request is not done, or a later one came first"),
        504 => ("request.not_answered", "The other side did not answer in time"),
        505 => ("request.version", "The gateway speaks SIP/2.0"),
        513 => ("request.too_large", "The message is too large"),
        _ => return None,
    })
}

/// The headers by which a refusal of [`protocol_fault`] says what is wrong; an empty text stands for
/// the usual one. It holds no quote and no backslash, and `host` says who warns.
pub fn fault_headers(status: u16, host: &str, text: &str) -> Vec<(Name, String)> {
    let Some((code, usual)) = protocol_fault(status) else { return Vec::new() };
    let text = if text.is_empty() { usual } else { text };
    vec![(Name::XSautikitError, code.to_owned()), (Name::Warning, format!("399 {host} \"{text}\""))]
}

/// What the gateway serves, as an Allow header names it.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, REGISTER, OPTIONS, PRACK, UPDATE, INFO";

/// Whether [`ALLOW`] names it.
pub fn is_served(method: &Method) -> bool {
    matches!(
        method,
        Method::Invite
            | Method::Ack
            | Method::Cancel
            | Method::Bye
            | Method::Register
            | Method::Options
            | Method::Prack
            | Method::Update
            | Method::Info
    )
}

/// The phrase that the RFCs give a status; of an unknown one its class.
#[allow(clippy::match_overlapping_arm, reason = "the classes stand behind their members")]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        400..500 => request_failure(status),
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        ..200 => "Session Progress",
        ..300 => "OK",
        ..400 => "Redirection",
        ..600 => "Server Failure",
        _ => "Global Failure",
    }
}

const fn request_failure(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity Info",
        437 => "Unsupported Credential",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        469 => "Bad Info Package",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        _ => "Request Failure",
    }
}

/// The usual phrase as a [`Text`].
pub const fn reason_text(status: u16) -> Text {
    Text::from_static(reason_phrase(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_request_gets_the_same_bytes() {
        let request = |call_id: &str| {
            Message::request(Method::Options, "sip:gw")
                .header(Name::Via, "SIP/2.0/UDP x;branch=z9hG4bK1")
                .header(Name::From, "<sip:a@gw>;tag=1")
                .header(Name::To, "<sip:gw>")
                .header(Name::CallId, call_id)
                .header(Name::CSeq, "1 OPTIONS")
                .build()
        };
        let answer =
            |request: &Message| respond(request, 405, "", None, &[(Name::Allow, ALLOW)], None);
        assert_eq!(answer(&request("c1")), answer(&request("c1")));
        assert_ne!(answer(&request("c1")), answer(&request("c2")));
        let text = String::from_utf8(answer(&request("c1")).to_vec()).unwrap();
        assert!(text.starts_with("SIP/2.0 405 Method Not Allowed\r\nVia: "));
        assert!(text.contains("To: <sip:gw>;tag=s"));
        assert!(text.ends_with("Allow: INVITE, ACK, CANCEL, BYE, REGISTER, OPTIONS, PRACK, UPDATE, INFO\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn a_tag_that_is_given_or_there_is_kept() {
        let request = Message::request(Method::Bye, "sip:gw").header(Name::To, "<sip:gw>;tag=9");
        let text = respond(&request.build(), 481, "Gone", Some("new"), &[], None);
        assert_eq!(text, "SIP/2.0 481 Gone\r\nTo: <sip:gw>;tag=9\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn every_served_method_is_allowed() {
        for name in ALLOW.split(", ") {
            assert!(is_served(&Method::parse(name)), "{name}");
        }
        assert!(!is_served(&Method::Message));
    }
}
