//! A call between a browser and the phone network as a plain value: the money's rules
//! ([`sautikit_core::call::Call`]) and the SIP legs, joined. What comes out are things to do; the
//! actor around it does them.

mod offers;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use sautikit_core::call::{
    Call, Closing, CommitFailed, ExtendAnswer, HoldAnswer, Input as Rule, Output as Verdict, Terms,
};
use sautikit_core::cause::{HangupBy, Refusal};
use sautikit_core::ids::CallId;
use sautikit_core::money::Minor;
use sautikit_sip::leg::{
    Event, Hop, Input as LegInput, Leg, LegState, Output as LegOutput, RequestKey,
};
use sautikit_sip::message::{Message, Method, Name};
use sautikit_sip::respond::{fault_headers, reason_phrase};
use sautikit_store::{CallEvent, CallRow, Debit};

use super::answers::{answer_headers, passed_status, refusal_headers};
use super::legs::{LegMaker, invite_to_carrier};
use super::plan::Plan;
use super::row::Record;
use offers::Offers;

/// Which side of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Peer,
}

/// What an SDP from the carrier was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerFor {
    Progress {
        status: u16,
    },
    Answer,
    /// An offer of ours that the carrier wanted in the dialog.
    Update,
}

/// Something that happened.
pub(crate) enum Input {
    FromCaller(Message),
    FromPeer {
        candidate: usize,
        message: Message,
        source: std::net::SocketAddr,
    },
    /// The datagram to this candidate could not be sent.
    PeerUnsendable {
        candidate: usize,
    },
    Held(HoldAnswer),
    Committed(Result<Minor, CommitFailed>),
    Extended(ExtendAnswer),
    Closed,
    /// The SDP for the carrier, or the status to refuse with.
    MediaOffered(Result<Bytes, u16>),
    /// The SDP for the browser, or the status to refuse with.
    MediaAnswered {
        purpose: AnswerFor,
        result: Result<Bytes, u16>,
    },
    /// The answer to an offer in the dialog, or the status to refuse with.
    Reoffered {
        side: Side,
        request: RequestKey,
        result: Result<Bytes, u16>,
    },
    MediaSilent {
        last_packet: Instant,
    },
    /// The browser closed its media on purpose.
    MediaGone,
    /// The caller's socket went; when it was last heard.
    CallerLost {
        last_byte: Instant,
    },
    /// The caller closed its socket on purpose.
    CallerLeft,
    HangUp(HangupBy),
}

/// What a warning in a call is written in.
const WARNING: &str = "application/vnd.sautikit+json";

/// Something to do, in order.
pub(crate) enum Do {
    ToCaller(Bytes),
    ToPeer {
        candidate: usize,
        bytes: Bytes,
        hop: Hop,
    },
    /// From now on messages with this candidate's tag are the call's.
    Route {
        candidate: usize,
    },
    Hold(Minor),
    Extend {
        wanted: Minor,
        least: Minor,
    },
    Commit(Box<Commit>),
    Release,
    Close(Box<Close>),
    Record {
        row: Box<CallRow>,
        events: Vec<CallEvent>,
    },
    MediaOffer(Bytes),
    MediaAnswer {
        purpose: AnswerFor,
        sdp: Bytes,
    },
    Reoffer {
        side: Side,
        request: RequestKey,
        sdp: Bytes,
    },
    /// The carrier wants an offer of ours in the dialog.
    OfferToTrunk {
        request: RequestKey,
    },
    /// The call talks, or its hold grew: the sign of life changed.
    Talking,
    Refused {
        code: &'static str,
    },
}

/// The answered row, on its way to the ledger.
pub(crate) struct Commit {
    pub(crate) row: CallRow,
    pub(crate) events: Vec<CallEvent>,
    pub(crate) dialog: String,
    pub(crate) wanted: Minor,
    pub(crate) least: Minor,
}

/// The end, on its way to the ledger.
#[derive(Clone)]
pub(crate) struct Close {
    pub(crate) row: CallRow,
    pub(crate) events: Vec<CallEvent>,
    pub(crate) debit: Option<Debit>,
}

struct Peer {
    leg: Leg,
}

/// See the module's page.
pub(crate) struct Bridge {
    plan: Plan,
    maker: LegMaker,
    rules: Call,
    record: Record,
    caller: Leg,
    peers: Vec<Peer>,
    trunk_offer: Option<Bytes>,
    browser_answer: Option<Bytes>,
    /// When the carrier's 2xx came, while its SDP is turned into the browser's.
    answered_at: Option<Instant>,
    closing: Option<Closing>,
    /// What the ends' own media needs to know.
    offers: Offers,
    todo: VecDeque<Do>,
}

impl Bridge {
    /// Takes the INVITE: 100 goes out, and the hold is asked for.
    pub(crate) fn new(plan: Plan, maker: LegMaker, now: Instant) -> Self {
        let terms = Terms {
            rate: plan.rate,
            candidates: plan.candidates.len(),
            ring_for: plan.ring_for,
            longest: plan.longest,
        };
        let mut caller = maker.caller(&plan, now);
        caller.trying(now);
        let record = Record::new(&plan);
        let plan_offer = plan.offer.clone();
        let mut bridge = Self {
            plan,
            maker,
            rules: Call::new(terms),
            record,
            caller,
            peers: Vec::with_capacity(1),
            trunk_offer: None,
            browser_answer: None,
            answered_at: None,
            closing: None,
            offers: Offers::new(&plan_offer),
            todo: VecDeque::with_capacity(8),
        };
        bridge.settle(now);
        bridge
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn rules(&self) -> &Call {
        &self.rules
    }

    /// How the call ended, once it has.
    pub(crate) fn closing(&self) -> Option<&Closing> {
        self.closing.as_ref()
    }

    pub(crate) fn row(&self) -> &CallRow {
        self.record.row()
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::FromCaller(message) => {
                self.caller.handle(now, LegInput::Message { message, source: None });
            }
            Input::FromPeer { candidate, message, source } => {
                if let Some(peer) = self.peers.get_mut(candidate) {
                    peer.leg.handle(now, LegInput::Message { message, source: Some(source) });
                }
            }
            Input::PeerUnsendable { candidate } => {
                if let Some(peer) = self.peers.get_mut(candidate) {
                    peer.leg.handle(now, LegInput::TransportFailed);
                }
            }
            Input::Held(answer) => self.rules.handle(now, Rule::Held(answer)),
            Input::Committed(result) => self.rules.handle(now, Rule::AnswerCommitted(result)),
            Input::Extended(answer) => {
                self.rules.handle(now, Rule::Extended(answer));
                self.todo.push_back(Do::Talking);
            }
            Input::Closed => self.rules.handle(now, Rule::Closed),
            Input::MediaOffered(result) => self.media_offered(now, result),
            Input::MediaAnswered { purpose, result } => self.media_answered(now, purpose, result),
            Input::Reoffered { side, request, result } => {
                self.reoffered(now, side, request, result);
            }
            Input::MediaSilent { last_packet } => {
                self.rules.handle(now, Rule::MediaSilent { last_packet });
            }
            Input::MediaGone | Input::CallerLeft => self.rules.handle(now, Rule::CallerHungUp),
            Input::CallerLost { last_byte } => {
                self.rules.handle(now, Rule::CallerLost { last_byte });
                self.todo.push_back(Do::Talking);
            }
            Input::HangUp(by) => self.rules.handle(now, Rule::HangUp(by)),
        }
        self.settle(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let legs = self.peers.iter().filter_map(|peer| peer.leg.poll_timeout());
        legs.chain(self.caller.poll_timeout()).chain(self.rules.poll_timeout()).min()
    }

    /// Does what is due; `media_heard` as in [`Call::handle_timeout`].
    pub(crate) fn handle_timeout(&mut self, now: Instant, media_heard: Option<Instant>) {
        if self.rules.poll_timeout().is_some_and(|due| due <= now) {
            self.rules.handle_timeout(now, media_heard);
        }
        if self.caller.poll_timeout().is_some_and(|due| due <= now) {
            self.caller.handle_timeout(now);
        }
        for peer in &mut self.peers {
            if peer.leg.poll_timeout().is_some_and(|due| due <= now) {
                peer.leg.handle_timeout(now);
            }
        }
        self.settle(now);
    }

    pub(crate) fn poll(&mut self) -> Option<Do> {
        self.todo.pop_front()
    }

    /// The money is settled and no leg waits for anything.
    pub(crate) fn is_over(&self) -> bool {
        self.rules.is_over()
            && self.todo.is_empty()
            && self.caller.is_idle()
            && self.peers.iter().all(|peer| peer.leg.is_idle())
    }

    /// Drains rules and legs until nothing more comes of it. Each pass consumes an output, and an
    /// output makes at most a few others, so this ends.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(verdict) = self.rules.poll_output() {
                self.obey(now, verdict);
                continue;
            }
            if let Some(output) = self.caller.poll_output() {
                self.caller_output(now, output);
                continue;
            }
            let next = self
                .peers
                .iter_mut()
                .enumerate()
                .find_map(|(index, peer)| Some((index, peer.leg.poll_output()?)));
            let Some((index, output)) = next else { return };
            self.peer_output(now, index, output);
        }
    }

    fn obey(&mut self, now: Instant, verdict: Verdict) {
        match verdict {
            Verdict::Hold(amount) => self.todo.push_back(Do::Hold(amount)),
            Verdict::Prepare => self.todo.push_back(Do::MediaOffer(self.plan.offer.clone())),
            Verdict::Dial(candidate) => self.dial(now, candidate),
            Verdict::Abandon => self.end_peer(now),
            Verdict::CommitAnswer { wanted, least } => self.commit(now, wanted, least),
            Verdict::AnswerCaller => {
                let sdp = self.browser_answer.clone();
                let extra = answer_headers(self.plan.id, &self.plan.rate);
                self.caller.answer(now, sdp, &extra);
                self.todo.push_back(Do::Talking);
            }
            Verdict::RefuseCaller(refusal) => self.refuse(now, refusal),
            Verdict::PassRefusal { code } => {
                let (status, reason) = passed_status(code);
                self.caller.reject(now, status, reason, &[]);
            }
            Verdict::EndCaller { by } => self.end_caller(now, by),
            Verdict::EndPeer => self.end_peer(now),
            Verdict::Extend { wanted, least } => {
                self.todo.push_back(Do::Extend { wanted, least });
            }
            Verdict::Warn { seconds_left } => self.warn(now, seconds_left),
            Verdict::Release => self.todo.push_back(Do::Release),
            Verdict::Close(closing) => self.close(now, closing),
        }
    }

    /// The money ends soon: the record tells of it, and so is a page that understands INFO.
    fn warn(&mut self, now: Instant, seconds_left: u64) {
        let payload = format!("{{\"seconds_left\":{seconds_left}}}");
        self.record.event("call.balance_low", Cow::Owned(payload), now);
        if self.plan.invite.lists(&Name::Allow, "INFO") {
            let told = format!("{{\"warning\":\"balance_low\",\"seconds_left\":{seconds_left}}}");
            let body = Some((WARNING, Bytes::from(told)));
            self.caller.request(now, Method::Info, body, &[]);
        }
    }

    fn refuse(&mut self, now: Instant, refusal: Refusal) {
        let extra = refusal_headers(refusal, &self.maker.domain, spread(self.plan.id));
        self.caller.reject(now, refusal.sip_status(), reason_phrase(refusal.sip_status()), &extra);
        self.todo.push_back(Do::Refused { code: refusal.code() });
    }

    fn dial(&mut self, now: Instant, candidate: usize) {
        let Some(chosen) = self.plan.candidates.get(candidate) else { return };
        let sdp = self.trunk_offer.clone();
        let leg = invite_to_carrier(&self.maker, &self.plan, chosen, sdp, now);
        self.peers.push(Peer { leg });
        self.todo.push_back(Do::Route { candidate });
        let first = self.record.row().trunk.is_none();
        self.record.dialled(&chosen.trunk.name, now);
        if first {
            let row = Box::new(self.record.row().clone());
            let events = self.record.take_events();
            self.todo.push_back(Do::Record { row, events });
        }
    }

    fn commit(&mut self, now: Instant, wanted: Minor, least: Minor) {
        self.record.answered(now);
        let dialog = self.peers.last().and_then(|peer| peer.leg.dialog_for_recovery());
        let dialog = dialog.map_or_else(String::new, |dialog| super::recovery::to_json(&dialog));
        self.todo.push_back(Do::Commit(Box::new(Commit {
            row: self.record.row().clone(),
            events: self.record.take_events(),
            dialog,
            wanted,
            least,
        })));
    }

    fn close(&mut self, now: Instant, closing: Closing) {
        let held = closing.talked.map_or(Minor::ZERO, |talked| talked.cost);
        let debit = self.record.close(&closing, held, now);
        self.closing = Some(closing);
        self.todo.push_back(Do::Close(Box::new(Close {
            row: self.record.row().clone(),
            events: self.record.take_events(),
            debit,
        })));
    }

    fn end_caller(&mut self, now: Instant, by: HangupBy) {
        if is_answered(&self.caller) {
            self.caller.bye(now, by.reason());
            return;
        }
        let reason = by.reason_before_answer().map(|reason| (Name::Reason, reason.to_owned()));
        self.caller.reject(now, 487, "Request Terminated", reason.as_slice());
    }

    fn end_peer(&mut self, now: Instant) {
        let Some(peer) = self.peers.last_mut() else { return };
        if is_answered(&peer.leg) {
            peer.leg.bye(now, None);
        } else {
            peer.leg.cancel(now, None);
        }
    }

    fn media_offered(&mut self, now: Instant, result: Result<Bytes, u16>) {
        match result {
            Ok(sdp) => {
                self.trunk_offer = Some(sdp);
                self.rules.handle(now, Rule::Prepared);
            }
            Err(code) => self.rules.handle(now, Rule::MediaRefused(media_refusal(code))),
        }
    }

    fn media_answered(&mut self, now: Instant, purpose: AnswerFor, result: Result<Bytes, u16>) {
        match (purpose, result) {
            (AnswerFor::Progress { status }, Ok(sdp)) => {
                self.browser_answer = Some(sdp.clone());
                if self.answered_at.is_none() {
                    self.caller.progress(now, status, Some(sdp), &[]);
                }
            }
            // Early media that cannot be used is not a reason to end a call that rings.
            (AnswerFor::Progress { .. }, Err(_)) => self.caller.progress(now, 180, None, &[]),
            (AnswerFor::Answer, Ok(sdp)) => {
                self.browser_answer = Some(sdp);
                self.peer_answered(now);
            }
            (AnswerFor::Answer, Err(code)) => self.unusable_answer(now, code),
            // The browser's side stays as it is; an answer that cannot be used changes nothing.
            (AnswerFor::Update, _) => {}
        }
    }

    fn unusable_answer(&mut self, now: Instant, code: u16) {
        let refusal = if code == 503 { Refusal::Overloaded } else { Refusal::CarrierMedia };
        self.rules.handle(now, Rule::AnswerUnusable(refusal));
    }

    fn peer_answered(&mut self, now: Instant) {
        let at = self.answered_at.unwrap_or(now);
        self.rules.handle(at, Rule::PeerAnswered);
    }

    fn caller_output(&mut self, now: Instant, output: LegOutput) {
        match output {
            LegOutput::Send { bytes, .. } => self.todo.push_back(Do::ToCaller(bytes)),
            LegOutput::Event(event) => self.caller_event(now, event),
        }
    }

    fn caller_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Canceled { .. } | Event::Declined { .. } => {
                self.rules.handle(now, Rule::CallerCanceled)
            }
            Event::Bye { .. } => self.rules.handle(now, Rule::CallerHungUp),
            Event::AckMissing | Event::Expired => self.rules.handle(now, Rule::CallerGone),
            Event::Offer { request, sdp, .. } => self.offered(now, Side::Caller, request, sdp),
            Event::OfferAnswered { sdp } => self.offer_answered(now, Side::Caller, sdp),
            Event::OfferRefused { status } => self.relayed(now, Side::Peer, Err(status)),
            Event::OfferWanted { request } => self.offer_wanted(now, Side::Caller, request),
            Event::OfferWithdrawn { request } => self.offer_withdrawn(request),
            Event::Request { request, message } => {
                let host = Some(&*self.maker.domain);
                answer_in_dialog(&mut self.caller, now, request, &message, host);
            }
            _ => {}
        }
    }

    fn peer_output(&mut self, now: Instant, candidate: usize, output: LegOutput) {
        match output {
            LegOutput::Send { bytes, hop } => {
                self.todo.push_back(Do::ToPeer { candidate, bytes, hop });
            }
            LegOutput::Event(event) if candidate + 1 == self.peers.len() => {
                self.peer_event(now, event);
            }
            // A candidate that was given up: its leg cleans up after itself.
            LegOutput::Event(_) => {}
        }
    }

    fn peer_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Trying => self.rules.handle(now, Rule::PeerTrying),
            Event::Progress { status, sdp, .. } => self.peer_progress(now, status, sdp),
            Event::Answered { sdp, .. } => self.peer_answer(now, sdp),
            Event::Refused { status, .. } => {
                self.rules.handle(now, Rule::PeerRefused { code: status });
            }
            Event::NoAnswer | Event::Unreachable => {
                self.rules.handle(now, Rule::PeerUnreachable);
            }
            Event::Bye { .. } => self.rules.handle(now, Rule::PeerHungUp),
            Event::AckMissing | Event::Expired => self.rules.handle(now, Rule::PeerGone),
            Event::Offer { request, sdp, .. } => self.offered(now, Side::Peer, request, sdp),
            Event::OfferAnswered { sdp } => self.offer_answered(now, Side::Peer, sdp),
            Event::OfferRefused { status } => self.relayed(now, Side::Caller, Err(status)),
            Event::OfferWanted { request } => self.offer_wanted(now, Side::Peer, request),
            Event::OfferWithdrawn { request } => self.offer_withdrawn(request),
            Event::Request { request, message } => {
                if let Some(peer) = self.peers.last_mut() {
                    answer_in_dialog(&mut peer.leg, now, request, &message, None);
                }
            }
            _ => {}
        }
    }

    fn peer_progress(&mut self, now: Instant, status: u16, sdp: Option<Bytes>) {
        self.rules.handle(now, Rule::PeerRinging);
        match sdp {
            Some(sdp) => {
                self.peer_says(&sdp);
                let purpose = AnswerFor::Progress { status };
                self.todo.push_back(Do::MediaAnswer { purpose, sdp });
            }
            // The caller was answered in early media before: its answer stays the same.
            None => self.caller.progress(now, status, self.browser_answer.clone(), &[]),
        }
    }

    fn peer_answer(&mut self, now: Instant, sdp: Option<Bytes>) {
        self.answered_at = Some(now);
        match sdp {
            Some(sdp) => {
                self.peer_says(&sdp);
                self.todo.push_back(Do::MediaAnswer { purpose: AnswerFor::Answer, sdp });
            }
            None if self.browser_answer.is_some() => self.peer_answered(now),
            None => self.unusable_answer(now, 488),
        }
    }
}

/// Why there is no sound: the relay is full, or the offer is nothing for it.
fn media_refusal(code: u16) -> Refusal {
    if code == 503 { Refusal::Overloaded } else { Refusal::MediaNotAcceptable }
}

/// The leg's dialog is confirmed, so it ends by BYE.
fn is_answered(leg: &Leg) -> bool {
    !matches!(leg.state(), LegState::Ringing | LegState::Calling)
}

/// A number that differs from call to call, for waits that many clients must not share.
fn spread(call: CallId) -> u32 {
    let bytes = *call.as_uuid().as_bytes();
    u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])
}

/// OPTIONS proves a dialog; INFO without a package that is served, and all else, is refused.
/// `host` names the gateway to a browser, which is told why; carriers are not.
fn answer_in_dialog(
    leg: &mut Leg,
    now: Instant,
    request: RequestKey,
    message: &Message,
    host: Option<&str>,
) {
    let status = match message.method() {
        Some(Method::Options) => return leg.accept(now, request, None, &[]),
        Some(Method::Info) if message.body.is_empty() => {
            return leg.accept(now, request, None, &[]);
        }
        Some(Method::Info) => 415,
        _ => 405,
    };
    let extra = host.map_or_else(Vec::new, |host| fault_headers(status, host, ""));
    leg.refuse(now, request, status, reason_phrase(status), &extra);
}
