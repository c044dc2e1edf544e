//! What a leg must never do, whoever talks to it.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use sautikit_sip::leg::{Event, LegState, Output, RequestKey, Transport};
use sautikit_sip::message::{Message, Method, Name};
use sautikit_sip::reader::{Framing, Read, read_any};
use sautikit_sip::transaction::timers::GIVE_UP;

use super::OUR_TAG;

/// Things that one input can cause: as many as the bounded lists of a leg hold together.
const OUTPUTS_MAX: usize = 200;
/// One message of a transaction over UDP: the first and its retransmissions in 64×T1.
const SENDS_MAX: usize = 11;
/// What a leg's own lines add to what it copies.
const OWN_LINES_MAX_BYTES: usize = 4096;

/// Branch, sent-by, number and method: one transaction.
type Key = (String, String, u32, String);

/// A request of ours.
struct Sent {
    bytes: Bytes,
    count: usize,
}

/// A request of theirs, and what it was answered with.
#[derive(Default)]
struct Asked {
    count: usize,
    acked: bool,
    last: Option<(Bytes, u16, Instant)>,
    sends: usize,
}

pub(super) struct Watch {
    reliable: bool,
    sent: BTreeMap<Key, Sent>,
    /// Status of the responses that came to each INVITE of ours, by branch.
    heard: BTreeMap<String, Vec<u16>>,
    asked: BTreeMap<Key, Asked>,
    largest: usize,
    highest_cseq: u32,
    ended: bool,
    answered: bool,
    acked: bool,
    /// Requests of theirs that wait for the owner, or did.
    shown: Vec<RequestKey>,
    /// Requests of the owner's without a response yet.
    waiting: Vec<RequestKey>,
    own_requests: Vec<RequestKey>,
}

impl Watch {
    pub(super) const fn new(transport: Transport) -> Self {
        Self {
            reliable: !matches!(transport, Transport::Udp),
            sent: BTreeMap::new(),
            heard: BTreeMap::new(),
            asked: BTreeMap::new(),
            largest: 0,
            highest_cseq: 0,
            ended: false,
            answered: false,
            acked: false,
            shown: Vec::new(),
            waiting: Vec::new(),
            own_requests: Vec::new(),
        }
    }

    pub(super) const fn is_ended(&self) -> bool {
        self.ended
    }

    pub(super) const fn all_asked_are_answered(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A request of theirs that the owner may still think of; any key where there is none.
    pub(super) fn some_request(&self, which: usize) -> Option<RequestKey> {
        let all = self.shown.len() + self.own_requests.len();
        let at = which.checked_rem(all)?;
        self.shown.iter().rev().chain(&self.own_requests).nth(at).copied()
    }

    /// The owner's own request.
    pub(super) fn asks(&mut self, key: RequestKey) {
        assert!(!self.ended, "asked after the end");
        self.waiting.push(key);
        self.own_requests.push(key);
    }

    /// A refusal of a caller's leg ends it without an event.
    pub(super) fn rejects(&mut self, state: LegState) {
        self.ended |= state == LegState::Ringing;
    }

    /// A message is on its way in.
    pub(super) fn receives(&mut self, message: &Message) {
        let size: usize = message.headers.iter().map(|(_, value)| value.len() + 24).sum();
        self.largest = self.largest.max(size + message.body.len());
        let key = key_of(message);
        if message.is_request() {
            let asked = self.asked.entry(key.clone()).or_default();
            asked.count += 1;
            if message.method() == Some(&Method::Ack) {
                let invite = (key.0, key.1, key.2, "INVITE".to_owned());
                if let Some(asked) = self.asked.get_mut(&invite) {
                    asked.acked = true;
                }
            }
        } else if key.3 == "INVITE" {
            let status = message.status().unwrap_or_default();
            self.heard.entry(key.0).or_default().push(status);
        }
    }

    /// Judges one output. A request of ours comes back for the peer to answer.
    pub(super) fn output(&mut self, now: Instant, nth: usize, output: &Output) -> Option<Message> {
        assert!(nth <= OUTPUTS_MAX, "one input, {nth} outputs");
        match output {
            Output::Event(event) => {
                self.event(event);
                None
            }
            Output::Send { bytes, .. } => {
                assert!(bytes.len() <= 2 * self.largest + OWN_LINES_MAX_BYTES);
                let Ok(Read::Message(message)) = read_any(bytes, Framing::WebSocket) else {
                    panic!("no message: {}", String::from_utf8_lossy(bytes));
                };
                assert!(message.header(&Name::parse("Evil")).is_none(), "a line of the peer's own");
                if message.is_request() {
                    self.request(&message, bytes);
                    return Some(message);
                }
                self.response(now, &message, bytes);
                None
            }
        }
    }

    fn request(&mut self, message: &Message, bytes: &Bytes) {
        let key = key_of(message);
        let (branch, number) = (key.0.clone(), key.2);
        assert!(branch.starts_with("z9hG4bKgw."), "the branch is ours and unique");
        assert_eq!(message.from_tag(), Some(OUR_TAG));
        let method = message.method().expect("it is a request").clone();
        if let Some(sent) = self.sent.get_mut(&key) {
            assert_eq!(sent.bytes, bytes, "a retransmission is the same message");
            sent.count += 1;
            let is_ack = method == Method::Ack;
            assert!(is_ack || !self.reliable, "repeated on a stream");
            assert!(is_ack || sent.count <= SENDS_MAX, "{} times {method}", sent.count);
            return;
        }
        let of_branch = |method: &str| {
            let same = |key: &&Key| key.0 == branch && key.3 == method;
            self.sent.keys().find(same).map(|key| key.2)
        };
        match method {
            Method::Cancel => {
                assert_eq!(of_branch("INVITE"), Some(number), "CANCEL of what was never sent");
                let heard = self.heard.get(&branch).map(Vec::as_slice).unwrap_or_default();
                assert!(heard.iter().any(|status| *status < 200), "RFC 3261 section 9.1");
            }
            Method::Ack => {
                let invite = self.sent.keys().find(|key| key.3 == "INVITE" && key.2 == number);
                let invite = invite.expect("ACK of what was never sent");
                let heard = self.heard.get(&invite.0).map(Vec::as_slice).unwrap_or_default();
                // That of a refusal belongs to its transaction, that of a 2xx is one of its own.
                let refusal = invite.0 == branch;
                let fits = |status: &u16| *status >= 200 && (*status >= 300) == refusal;
                assert!(heard.iter().any(fits), "ACK of nothing");
            }
            _ => {
                assert!(number > self.highest_cseq, "RFC 3261 section 12.2.1.1");
                self.highest_cseq = number;
                assert!(of_branch(method.as_str()).is_none(), "a branch twice");
            }
        }
        self.sent.insert(key, Sent { bytes: bytes.clone(), count: 1 });
    }

    fn response(&mut self, now: Instant, message: &Message, bytes: &Bytes) {
        let status = message.status().expect("it is a response");
        let key = key_of(message);
        assert!(key.3 != "ACK", "an ACK is never answered");
        let asked = self.asked.get_mut(&key).expect("an answer to what nobody asked");
        assert!(status == 100 || message.to_tag().is_some(), "no tag in To");
        asked.sends += usize::from(status >= 200);
        assert!(asked.sends <= asked.count + SENDS_MAX, "{} answers", asked.sends);
        // What a leg refuses without keeping it, it may refuse otherwise the next time.
        let kept = |status: u16| status >= 200 && !matches!(status, 481 | 482 | 500);
        if let Some((before, earlier, at)) = &asked.last {
            let fresh = now - *at < GIVE_UP && !asked.acked;
            if fresh && kept(*earlier) {
                assert!(status >= 200, "{status} after {earlier}");
            }
            if fresh && kept(*earlier) && kept(status) {
                assert_eq!(before, bytes, "one final response to one request");
            }
        }
        if status >= 200 && asked.last.as_ref().is_none_or(|(.., earlier, _)| !kept(*earlier)) {
            asked.last = Some((bytes.clone(), status, now));
        }
    }

    fn event(&mut self, event: &Event) {
        assert!(!self.ended, "told after the end: {event:?}");
        match event {
            Event::Refused { .. }
            | Event::NoAnswer
            | Event::Unreachable
            | Event::Declined { .. }
            | Event::Canceled { .. }
            | Event::Bye { .. }
            | Event::Ended => self.ended = true,
            Event::Trying | Event::Progress { .. } => assert!(!self.answered, "rings on"),
            Event::Answered { .. } => {
                assert!(!self.answered, "answered twice");
                self.answered = true;
            }
            Event::Acked { .. } => {
                assert!(!self.acked, "the call's ACK came twice");
                self.acked = true;
            }
            Event::Offer { request, .. }
            | Event::OfferWanted { request }
            | Event::Request { request, .. } => {
                assert!(!self.shown.contains(request), "a key twice");
                self.shown.push(*request);
            }
            Event::OfferWithdrawn { request } => assert!(self.shown.contains(request)),
            Event::Response { request, status, .. } => {
                let at = self.waiting.iter().position(|waiting| waiting == request);
                self.waiting.remove(at.expect("a response to what was answered or never asked"));
                assert!((200..700).contains(status));
            }
            Event::AnsweredTooLate
            | Event::AckMissing
            | Event::Expired
            | Event::OfferAnswered { .. }
            | Event::OfferRefused { .. } => {}
        }
    }
}

fn key_of(message: &Message) -> Key {
    let (number, method) = message.cseq();
    let sent_by = message.top_via().map(|via| via.sent_by()).unwrap_or_default();
    let branch = message.branch().unwrap_or_default().to_owned();
    (branch, sent_by, number, method.as_str().to_owned())
}
