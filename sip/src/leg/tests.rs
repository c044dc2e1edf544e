//! Legs against each other over a virtual network, and against hand-made peers, in virtual time.

mod calls;
mod floods;
mod network;
mod offers;
mod races;
mod solo;
mod timers;

use std::time::{Duration, Instant};

use super::{Event, LegConfig, OutgoingInvite, Transport};
use bytes::Bytes;

const OFFER: Bytes = Bytes::from_static(b"v=0\r\ns=offer\r\n");
const ANSWER: Bytes = Bytes::from_static(b"v=0\r\ns=answer\r\n");

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[allow(clippy::disallowed_methods, reason = "an arbitrary origin; time is virtual after it")]
fn origin() -> Instant {
    Instant::now()
}

fn config(who: &str, transport: Transport) -> LegConfig {
    LegConfig {
        local_tag: format!("tag-{who}"),
        call_id: "call-1".to_owned(),
        branch_prefix: format!("z9hG4bK{who}"),
        contact: format!("sip:{who}@192.0.2.1:5060"),
        via_sent_by: format!("{who}.example:5060"),
        transport,
        user_agent: "sautikit".to_owned(),
        session_expires: None,
        credentials: None,
    }
}

fn invite(sdp: Option<Bytes>) -> OutgoingInvite {
    OutgoingInvite {
        request_uri: "sip:+254722000001@carrier.example".to_owned(),
        from_display: None,
        from_uri: "sip:+254700000001@gw.example".to_owned(),
        to_uri: "sip:+254722000001@carrier.example".to_owned(),
        headers: Vec::new(),
        route: Vec::new(),
        sdp,
    }
}

/// An event in a few words, for comparing.
fn words(event: &Event) -> String {
    match event {
        Event::Trying => "trying".to_owned(),
        Event::Progress { status, .. } => format!("progress {status}"),
        Event::Answered { sdp, .. } => format!("answered{}", with(sdp.as_ref())),
        Event::AnsweredTooLate => "answered too late".to_owned(),
        Event::Refused { status, .. } => format!("refused {status}"),
        Event::NoAnswer => "no answer".to_owned(),
        Event::Unreachable => "unreachable".to_owned(),
        Event::Declined { status } => format!("declined {status}"),
        Event::Canceled { .. } => "canceled".to_owned(),
        Event::Acked { sdp } => format!("acked{}", with(sdp.as_ref())),
        Event::AckMissing => "ack missing".to_owned(),
        Event::Expired => "expired".to_owned(),
        Event::Bye { .. } => "bye".to_owned(),
        Event::Ended => "ended".to_owned(),
        Event::Offer { method, .. } => format!("offer {method}"),
        Event::OfferWanted { .. } => "offer wanted".to_owned(),
        Event::OfferWithdrawn { .. } => "offer withdrawn".to_owned(),
        Event::Request { message, .. } => format!("request {}", message.method().unwrap()),
        Event::Response { status, .. } => format!("response {status}"),
        Event::OfferAnswered { .. } => "offer answered".to_owned(),
        Event::OfferRefused { status } => format!("offer refused {status}"),
    }
}

const fn with(sdp: Option<&Bytes>) -> &'static str {
    if sdp.is_some() { " with sdp" } else { "" }
}
