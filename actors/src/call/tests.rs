//! Whole calls in virtual time: a browser and a carrier made of text, the bridge between them, and
//! a shell that does at once what the bridge wants done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_core::call::{CommitFailed, ExtendAnswer, HoldAnswer};
use sautikit_core::cause::{CallStatus, HangupBy};
use sautikit_core::ids::{CallId, WorkspaceId};
use sautikit_core::money::Minor;
use sautikit_core::rate::RateCard;
use sautikit_core::time::UnixMicros;
use sautikit_sip::leg::Hop;
use sautikit_sip::message::{Message, Method, Name};
use sautikit_sip::reader::{Framing, Read, read_any};

use super::bridge::{AnswerFor, Bridge, Close, Do, Input, Side};
use super::legs::LegMaker;
use super::plan::{Candidate, Clock, Plan};
use crate::trunk::Trunk;

const CARRIER: &str = "192.0.2.9:5060";
const OFFER: &[u8] =
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 8\r\n";
const ANSWER: &[u8] =
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

const TRUNK_OFFER: &[u8] =
    b"v=0\r\no=- 1 2 IN IP4 192.0.2.5\r\ns=-\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8 0\r\n";

/// The world around one bridge.
struct World {
    bridge: Bridge,
    now: Instant,
    start: Instant,
    to_browser: Vec<Message>,
    to_carrier: Vec<Message>,
    closed: Vec<Close>,
    committed: usize,
    released: usize,
    /// How the wallet and the ledger answer.
    hold: HoldAnswer,
    commit: Result<Minor, CommitFailed>,
    /// The answer's commit is kept waiting.
    stall_commit: bool,
    /// What the relay was given to answer.
    answers: Vec<(AnswerFor, Bytes)>,
}

fn message(text: &str) -> Message {
    let bytes = Bytes::from(text.replace('\n', "\r\n"));
    match read_any(&bytes, Framing::WebSocket) {
        Ok(Read::Message(message)) => message,
        other => panic!("the test's own message is not readable: {other:?}\n{text}"),
    }
}

fn parsed(bytes: &Bytes) -> Message {
    match read_any(bytes, Framing::WebSocket) {
        Ok(Read::Message(message)) => message,
        other => panic!("the gateway sent what cannot be read: {other:?}"),
    }
}

fn invite() -> Message {
    let body = String::from_utf8_lossy(OFFER).replace("\r\n", "\n");
    message(&format!(
        "INVITE sip:+254722000001@gw SIP/2.0\nVia: SIP/2.0/WS b.invalid;branch=z9hG4bKi\n\
         From: \"+254711111111\" <sip:shop@gw>;tag=b1\nTo: <sip:+254722000001@gw>\nCall-ID: browser\n\
         CSeq: 1 INVITE\nContact: <sip:x@b.invalid;transport=ws>\n\
         P-Asserted-Identity: <sip:+254799999999@gw>\nContent-Type: application/sdp\n\n{body}"
    ))
}

fn plan(now: Instant) -> Plan {
    let card = RateCard::standard();
    let to = "+254722000001".parse().unwrap();
    let (prefix, rate) = card.longest_with_prefix(&to).unwrap();
    let trunk = Trunk::new("carrier", CARRIER.parse().unwrap(), vec!["+254".to_owned()], 0);
    let id = CallId::from_parts(1_700_000_000_000, [7; 10]);
    Plan {
        id,
        workspace: WorkspaceId::from_parts(1, [1; 10]),
        identity: None,
        from: "+254700000001".parse().unwrap(),
        to,
        rate: *rate,
        rate_prefix: prefix.into(),
        candidates: vec![Candidate {
            trunk: Arc::new(trunk),
            tag: "ours".to_owned(),
            call_id: "trunk-call".to_owned(),
        }],
        ring_for: Duration::from_secs(60),
        longest: Duration::from_secs(14_400),
        clock: Clock::new(now, UnixMicros(1_700_000_000_000_000)),
        invite: invite(),
        offer: Bytes::from_static(OFFER),
        caller_tag: "gw-tag".to_owned(),
    }
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(prepare: impl FnOnce(&mut Self)) -> Self {
        let start = Instant::now();
        let maker = LegMaker {
            domain: "sip.example".into(),
            public: "192.0.2.5:5060".parse().unwrap(),
            ends_own_media: false,
        };
        let mut world = Self {
            bridge: Bridge::new(plan(start), maker, start),
            now: start,
            start,
            to_browser: Vec::new(),
            to_carrier: Vec::new(),
            closed: Vec::new(),
            committed: 0,
            released: 0,
            hold: HoldAnswer::Held(Minor::new(5)),
            commit: Ok(Minor::new(905)),
            stall_commit: false,
            answers: Vec::new(),
        };
        prepare(&mut world);
        world.perform();
        world
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        let end = self.start + Duration::from_millis(millis);
        while let Some(due) = self.bridge.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.bridge.handle_timeout(self.now, None);
            self.perform();
        }
        self.now = end;
        self
    }

    fn happens(&mut self, input: Input) -> &mut Self {
        self.bridge.handle(self.now, input);
        self.perform();
        self
    }

    fn perform(&mut self) {
        while let Some(todo) = self.bridge.poll() {
            if let Some(input) = self.done(todo) {
                self.bridge.handle(self.now, input);
            }
        }
    }

    fn done(&mut self, todo: Do) -> Option<Input> {
        match todo {
            Do::ToCaller(bytes) => self.to_browser.push(parsed(&bytes)),
            Do::ToPeer { bytes, hop, .. } => {
                assert!(
                    !matches!(hop, Hop::Uri { ref host, .. } if host != "192.0.2.9"),
                    "{hop:?}"
                );
                self.to_carrier.push(parsed(&bytes));
            }
            Do::Hold(_) => return Some(Input::Held(self.hold)),
            Do::Extend { .. } => return Some(Input::Extended(ExtendAnswer::Insufficient)),
            Do::Commit(_) => {
                self.committed += 1;
                return (!self.stall_commit).then_some(Input::Committed(self.commit));
            }
            Do::Release => self.released += 1,
            Do::Close(close) => {
                self.closed.push(*close);
                return Some(Input::Closed);
            }
            Do::MediaOffer(sdp) => return Some(Input::MediaOffered(Ok(sdp))),
            Do::OfferToTrunk { request } => {
                let result = Ok(Bytes::from_static(TRUNK_OFFER));
                return Some(Input::Reoffered { side: Side::Peer, request, result });
            }
            Do::MediaAnswer { purpose, sdp } => {
                self.answers.push((purpose, sdp.clone()));
                return Some(Input::MediaAnswered { purpose, result: Ok(sdp) });
            }
            Do::Reoffer { side, request, sdp } => {
                return Some(Input::Reoffered { side, request, result: Ok(sdp) });
            }
            Do::Route { .. } | Do::Record { .. } | Do::Talking | Do::Refused { .. } => {}
        }
        None
    }

    /// The carrier answers the last INVITE or BYE that it was sent.
    fn carrier_says(&mut self, method: &Method, status: u16, body: &[u8]) -> &mut Self {
        let request = self
            .to_carrier
            .iter()
            .rev()
            .find(|sent| sent.method() == Some(method))
            .expect("the carrier was asked");
        let mut answer = Message::response_to(request, status, "").to_tag("theirs");
        answer = answer.header(Name::Contact, "<sip:c@192.0.2.9:5070>");
        if !body.is_empty() {
            answer = answer.body("application/sdp", Bytes::copy_from_slice(body));
        }
        let message = answer.build();
        let source = CARRIER.parse().unwrap();
        self.happens(Input::FromPeer { candidate: 0, message, source })
    }

    fn browser_says(&mut self, method: &str, cseq: u32, branch: &str) -> &mut Self {
        let to_tag = if method == "CANCEL" { "" } else { ";tag=gw-tag" };
        let text = format!(
            "{method} sip:gateway@sip.example SIP/2.0\nVia: SIP/2.0/WS b.invalid;branch={branch}\n\
             From: \"+254711111111\" <sip:shop@gw>;tag=b1\nTo: <sip:+254722000001@gw>{to_tag}\n\
             Call-ID: browser\nCSeq: {cseq} {method}\n\n"
        );
        self.happens(Input::FromCaller(message(&text)))
    }

    /// The browser got these statuses to its INVITE.
    fn browser_heard(&self) -> Vec<u16> {
        let is_invites = |message: &&Message| message.cseq().1 == Method::Invite;
        self.to_browser.iter().filter(is_invites).filter_map(Message::status).collect()
    }

    fn carrier_asked(&self) -> Vec<&Method> {
        self.to_carrier.iter().filter_map(Message::method).collect()
    }

    fn talk(&mut self) -> &mut Self {
        self.carrier_says(&Method::Invite, 180, b"")
            .carrier_says(&Method::Invite, 200, ANSWER)
            .browser_says("ACK", 1, "z9hG4bKa")
    }

    fn only_close(&self) -> &Close {
        assert_eq!(self.closed.len(), 1, "a call is closed once");
        &self.closed[0]
    }
}

#[test]
fn a_call_rings_is_answered_and_costs_by_the_begun_second() {
    let mut world = World::new();
    world.talk();
    assert_eq!(world.browser_heard(), [100, 180, 200]);
    assert_eq!(world.committed, 1);
    world.at(4_200).browser_says("BYE", 2, "z9hG4bKb").carrier_says(&Method::Bye, 200, b"");
    let close = world.only_close();
    assert_eq!(close.row.status, CallStatus::Completed);
    assert_eq!(close.row.duration_seconds, Some(5));
    assert_eq!(close.debit.as_ref().unwrap().amount, Minor::new(25));
    assert_eq!(world.carrier_asked(), [&Method::Invite, &Method::Ack, &Method::Bye]);
    world.at(120_000);
    assert!(world.bridge.is_over(), "legs and money are settled");
}

#[test]
fn nothing_that_the_browser_claims_reaches_the_carrier() {
    let mut world = World::new();
    world.talk();
    let invite = &world.to_carrier[0];
    let text = String::from_utf8(sautikit_sip::message::print(invite).to_vec()).unwrap();
    for claim in ["254711111111", "254799999999", "b.invalid", "shop@gw", "browser"] {
        assert!(!text.contains(claim), "{claim} crossed:\n{text}");
    }
    assert_eq!(invite.from().unwrap().uri.user, Some("+254700000001"));
    assert_ne!(invite.call_id(), "browser");
}

#[test]
fn the_answer_carries_id_and_rate_for_the_page() {
    let mut world = World::new();
    world.talk();
    let answer = world.to_browser.iter().find(|message| message.status() == Some(200)).unwrap();
    let id = answer.header(&Name::parse("X-Sautikit-Call-Id")).unwrap();
    assert_eq!(id, world.bridge.plan().id.to_string());
    let rate = answer.header(&Name::parse("X-Sautikit-Rate")).unwrap();
    assert_eq!(rate, "300;per=60;increment=1;currency=KES");
}

#[test]
fn the_carrier_hanging_up_hangs_up_the_browser() {
    let mut world = World::new();
    world.talk();
    world.at(3_000);
    let bye = message(
        "BYE sip:gateway@192.0.2.5 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKc\n\
         From: <sip:+254722000001@192.0.2.9;user=phone>;tag=theirs\n\
         To: <sip:+254700000001@192.0.2.5;user=phone>;tag=ours\nCall-ID: trunk-call\nCSeq: 9 BYE\n\n",
    );
    let source = CARRIER.parse().unwrap();
    world.happens(Input::FromPeer { candidate: 0, message: bye, source });
    assert_eq!(world.only_close().row.hangup_by, Some(HangupBy::Callee));
    let asked: Vec<_> = world.to_browser.iter().filter_map(Message::method).collect();
    assert_eq!(asked, [&Method::Bye]);
}

#[test]
fn a_cancel_while_ringing_reaches_the_carrier_and_costs_nothing() {
    let mut world = World::new();
    world.carrier_says(&Method::Invite, 180, b"").browser_says("CANCEL", 1, "z9hG4bKi");
    assert_eq!(world.browser_heard(), [100, 180, 487]);
    assert!(world.carrier_asked().contains(&&Method::Cancel));
    let close = world.only_close();
    assert_eq!(close.row.status, CallStatus::Canceled);
    assert!(close.debit.is_none());
    world.carrier_says(&Method::Invite, 487, b"").at(120_000);
    assert!(world.bridge.is_over());
}

#[test]
fn a_cancel_that_crosses_the_answer_hangs_the_carrier_up_and_costs_nothing() {
    let mut world = World::with(|world| world.stall_commit = true);
    world.carrier_says(&Method::Invite, 200, ANSWER).browser_says("CANCEL", 1, "z9hG4bKi");
    world.happens(Input::Committed(Ok(Minor::new(905))));
    assert_eq!(world.browser_heard(), [100, 487]);
    assert_eq!(world.carrier_asked(), [&Method::Invite, &Method::Ack, &Method::Bye]);
    let close = world.only_close();
    assert_eq!((close.row.status, close.debit.is_none()), (CallStatus::Canceled, true));
}

#[test]
fn the_browser_is_not_answered_before_the_answer_is_durable() {
    let mut world = World::with(|world| world.stall_commit = true);
    world.carrier_says(&Method::Invite, 200, ANSWER);
    assert_eq!(world.browser_heard(), [100]);
    world.happens(Input::Committed(Ok(Minor::new(905))));
    assert_eq!(world.browser_heard(), [100, 200]);
}

#[test]
fn an_answer_that_cannot_be_committed_is_refused_and_hung_up() {
    let mut world = World::with(|world| world.commit = Err(CommitFailed::Unavailable));
    world.carrier_says(&Method::Invite, 200, ANSWER);
    assert_eq!(world.browser_heard(), [100, 503]);
    let refusal = world.to_browser.last().unwrap();
    let code = refusal.header(&Name::parse("X-Sautikit-Error")).unwrap();
    assert_eq!(code, "wallet.unavailable");
    assert!(world.carrier_asked().contains(&&Method::Bye));
    assert!(world.only_close().debit.is_none());
}

#[test]
fn without_money_no_packet_reaches_the_carrier() {
    let world = World::with(|world| world.hold = HoldAnswer::Insufficient);
    assert_eq!(world.browser_heard(), [100, 402]);
    assert!(world.to_carrier.is_empty());
    assert!(world.closed.is_empty(), "a refusal before dialling makes no record");
    assert_eq!(world.released, 1);
}

#[test]
fn early_media_is_answered_once_and_the_same_in_the_200() {
    let mut world = World::new();
    world.carrier_says(&Method::Invite, 183, ANSWER).carrier_says(&Method::Invite, 200, ANSWER);
    let bodies: Vec<_> = world
        .to_browser
        .iter()
        .filter(|message| !message.body.is_empty())
        .map(|message| message.body.clone())
        .collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
}

#[test]
fn busy_is_passed_on_without_a_code_of_the_gateways_own() {
    let mut world = World::new();
    world.carrier_says(&Method::Invite, 486, b"");
    let refusal = world.to_browser.last().unwrap();
    assert_eq!(refusal.status(), Some(486));
    assert!(refusal.header(&Name::parse("X-Sautikit-Error")).is_none());
    assert_eq!(world.only_close().row.status, CallStatus::Busy);
}

#[test]
fn a_lost_socket_ends_both_sides_after_thirty_seconds() {
    let mut world = World::new();
    world.talk();
    world.at(10_000);
    let last_byte = world.now;
    world.at(12_000).happens(Input::CallerLost { last_byte });
    world.at(41_900);
    assert!(world.closed.is_empty());
    world.at(42_100);
    let close = world.only_close();
    assert_eq!(close.row.hangup_by, Some(HangupBy::ConnectionLost));
    assert_eq!(close.row.duration_seconds, Some(10));
    assert!(world.carrier_asked().contains(&&Method::Bye));
}

#[test]
fn hold_and_resume_are_answered_from_the_relay() {
    let mut world = World::new();
    world.talk();
    let before = world.to_carrier.len();
    let body = String::from_utf8_lossy(OFFER).replace("\r\n", "\n");
    let text = format!(
        "INVITE sip:gateway@sip.example SIP/2.0\nVia: SIP/2.0/WS b.invalid;branch=z9hG4bKh\n\
         From: <sip:shop@gw>;tag=b1\nTo: <sip:+254722000001@gw>;tag=gw-tag\nCall-ID: browser\n\
         CSeq: 2 INVITE\nContact: <sip:x@b.invalid;transport=ws>\n\
         Content-Type: application/sdp\n\n{body}"
    );
    world.happens(Input::FromCaller(message(&text)));
    let last = world.to_browser.last().unwrap();
    assert_eq!((last.status(), last.cseq_number()), (Some(200), 2));
    assert_eq!(world.to_carrier.len(), before, "the carrier need not know");
}

#[test]
fn a_carrier_that_wants_an_offer_gets_the_relays_and_its_answer_reaches_it() {
    let mut world = World::new();
    world.talk();
    let invite = world.to_carrier.first().unwrap().clone();
    let request = |method: &str, branch: &str, body: &str| {
        message(&format!(
            "{method} sip:gateway@192.0.2.5 SIP/2.0\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{branch}\n\
             From: {};tag=theirs\nTo: {}\nCall-ID: trunk-call\nCSeq: 7 {method}\n\
             Contact: <sip:{CARRIER}>\nContent-Type: application/sdp\n\n{body}",
            invite.header(&Name::To).unwrap(),
            invite.header(&Name::From).unwrap(),
        ))
    };
    let from_peer =
        |message| Input::FromPeer { candidate: 0, message, source: CARRIER.parse().unwrap() };
    world.happens(from_peer(request("INVITE", "d1", "")));
    let answer = world.to_carrier.last().unwrap();
    assert_eq!((answer.status(), &answer.body[..]), (Some(200), TRUNK_OFFER));
    let before = world.to_browser.len();
    let moved = String::from_utf8_lossy(ANSWER).replace("\r\n", "\n").replace("4000", "45678");
    world.happens(from_peer(request("ACK", "d2", &moved)));
    let (purpose, sdp) = world.answers.last().unwrap();
    assert_eq!(*purpose, AnswerFor::Update);
    assert!(String::from_utf8_lossy(sdp).contains("45678"), "{sdp:?}");
    assert_eq!(world.to_browser.len(), before, "the browser need not know");
}

#[test]
fn a_carrier_that_never_answers_is_no_route() {
    let mut world = World::new();
    world.at(40_000);
    assert_eq!(world.browser_heard(), [100, 503]);
    assert_eq!(world.only_close().row.failure_code, Some(503));
}
