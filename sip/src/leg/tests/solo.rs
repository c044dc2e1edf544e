//! A leg and a hand-made peer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{invite, origin, words};
use crate::leg::{Event, Hop, Input, Leg, LegConfig, Output, RequestKey};
use crate::message::{Builder, Message, Method, Name, print};
use crate::reader::{Framing, Read, read_any};

pub(super) struct Solo {
    pub(super) now: Instant,
    pub(super) leg: Leg,
    pub(super) log: Vec<String>,
    pub(super) pending: Option<RequestKey>,
    sent: VecDeque<(Message, Hop)>,
    /// For what the peer sends in the dialog.
    branches: u32,
}

/// The peer's tag.
pub(super) const TAG: &str = "peer";

fn through_the_reader(bytes: &Bytes) -> Message {
    match read_any(bytes, Framing::Datagram) {
        Ok(Read::Message(message)) => message,
        other => panic!("{other:?}: {bytes:?}"),
    }
}

impl Solo {
    /// Our INVITE is out.
    pub(super) fn called(config: LegConfig, sdp: Option<Bytes>) -> Self {
        let now = origin();
        Self::of(Leg::outgoing(config, invite(sdp), now), now)
    }

    /// Their INVITE is in. `extra` comes on top of what every INVITE has.
    pub(super) fn caller(config: LegConfig, extra: &[(Name, &str)], sdp: Option<Bytes>) -> Self {
        let now = origin();
        let invite = Self::their_invite(extra, sdp);
        Self::of(Leg::incoming(config, invite, None, now), now)
    }

    pub(super) fn their_invite(extra: &[(Name, &str)], sdp: Option<Bytes>) -> Message {
        let mut builder = Message::request(Method::Invite, "sip:+254722000001@gw.example")
            .header(Name::Via, "SIP/2.0/UDP peer.example:5060;rport;branch=z9hG4bKfirst")
            .header(Name::From, format!("<sip:peer@peer.example>;tag={TAG}"))
            .header(Name::To, "<sip:+254722000001@gw.example>")
            .header(Name::CallId, "call-1")
            .header(Name::CSeq, "10 INVITE");
        if !extra.iter().any(|(name, _)| *name == Name::Contact) {
            builder = builder.header(Name::Contact, "<sip:peer@198.51.100.7:5070>");
        }
        let builder = builder.headers(extra.iter().map(|(name, value)| (name, *value)));
        through_the_reader(&builder.sdp(sdp.unwrap_or_default()).print())
    }

    pub(super) fn of(leg: Leg, now: Instant) -> Self {
        let mut solo =
            Self { now, leg, log: Vec::new(), pending: None, sent: VecDeque::new(), branches: 0 };
        solo.drain();
        solo
    }

    fn drain(&mut self) {
        while let Some(output) = self.leg.poll_output() {
            match output {
                Output::Send { bytes, hop } => {
                    self.sent.push_back((through_the_reader(&bytes), hop));
                }
                Output::Event(event) => {
                    if let Event::Offer { request, .. }
                    | Event::OfferWanted { request }
                    | Event::Request { request, .. } = &event
                    {
                        self.pending = Some(*request);
                    }
                    self.log.push(words(&event));
                }
            }
        }
    }

    pub(super) fn act<T>(&mut self, verb: impl FnOnce(&mut Leg, Instant) -> T) -> T {
        let done = verb(&mut self.leg, self.now);
        self.drain();
        done
    }

    pub(super) fn feed(&mut self, message: &Builder) {
        self.feed_message(&message.clone().build());
    }

    pub(super) fn feed_message(&mut self, message: &Message) {
        let message = through_the_reader(&print(message));
        self.leg.handle(self.now, Input::Message { message, source: None });
        self.drain();
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.leg.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.act(Leg::handle_timeout);
            let spins = self.leg.poll_timeout().is_some_and(|at| at <= self.now);
            assert!(!spins, "a leg that spins: {:?}", self.leg);
        }
        self.now = end;
    }

    /// The next message that the leg sent, with its hop.
    pub(super) fn next_with_hop(&mut self) -> (Message, Hop) {
        self.sent.pop_front().expect("the leg has sent something")
    }

    pub(super) fn next(&mut self) -> Message {
        self.next_with_hop().0
    }

    /// The next message, which must be this request.
    pub(super) fn next_request(&mut self, method: &Method) -> Message {
        let message = self.next();
        assert_eq!(message.method(), Some(method), "{message:?}");
        message
    }

    /// The next message, which must be this response.
    pub(super) fn next_status(&mut self, status: u16) -> Message {
        let message = self.next();
        assert_eq!(message.status(), Some(status), "{message:?}");
        message
    }

    pub(super) fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    pub(super) fn assert_quiet(&self) {
        assert!(self.sent.is_empty(), "{:?}", self.sent);
    }

    pub(super) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// A response of the peer's to a request of the leg's.
    pub(super) fn response(&self, request: &Message, status: u16, tag: &str) -> Builder {
        let response = Message::response_to(request, status, "");
        if status == 100 { response } else { response.to_tag(tag) }
    }

    /// A 2xx with the peer's Contact.
    pub(super) fn success(&self, request: &Message, tag: &str, sdp: Option<Bytes>) -> Builder {
        self.response(request, 200, tag)
            .header(Name::Contact, format!("<sip:{tag}@198.51.100.7:5070>"))
            .header(Name::Allow, "INVITE, ACK, BYE, CANCEL, UPDATE")
            .sdp(sdp.unwrap_or_default())
    }

    /// A request of the peer's in the dialog, which the leg's latest message shows from its side.
    pub(super) fn request(&mut self, method: Method, cseq: u32) -> Builder {
        self.branches += 1;
        let (ours, theirs) = match self.leg.dialog_for_recovery() {
            Some(dialog) => (dialog.local, dialog.remote),
            None => (
                "<sip:+254722000001@gw.example>;tag=tag-me".to_owned(),
                format!("<sip:peer@peer.example>;tag={TAG}"),
            ),
        };
        let branch =
            format!("SIP/2.0/UDP peer.example:5060;rport;branch=z9hG4bKp{}", self.branches);
        let number = format!("{cseq} {method}");
        Message::request(method, "sip:me@192.0.2.1:5060")
            .header(Name::Via, branch)
            .header(Name::From, theirs)
            .header(Name::To, ours)
            .header(Name::CallId, "call-1")
            .header(Name::CSeq, number)
            .header(Name::Contact, "<sip:peer@198.51.100.7:5070>")
    }

    /// Everything has ended, and 64×T1 later nothing is left.
    pub(super) fn finish(&mut self) {
        self.run(super::secs(70));
        assert!(self.leg.is_idle(), "left over: {:?}", self.leg);
        assert_eq!(self.leg.poll_timeout(), None);
    }
}
