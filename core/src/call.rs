//! One call as a plain value: it decides when money is held, which trunk is dialled, when the
//! answer counts, when the hold must grow, and how the call ends and what it costs.
//!
//! It knows no SIP message, no socket and no clock. The shell around it feeds [`Input`]s with the
//! current instant, drains [`Call::poll_output`] after each, and calls [`Call::handle_timeout`]
//! when [`Call::poll_timeout`] is due.
//!
//! The money's order is the point of this file: a hold before the first packet to a carrier, a
//! durable answer before the caller hears of it, one closing at the end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::cause::{
    CallStatus, HangupBy, Refusal, fails_over, hangup_cause_of_status, status_of_final,
};
use crate::limits::{FAILOVER_AFTER, LOST_SOCKET_GRACE};
use crate::money::Minor;
use crate::rate::Rate;

mod talking;
#[cfg(test)]
mod tests;

pub use talking::SignOfLife;
use talking::Talking;

/// What is agreed before the call starts and never changes while it lives.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The frozen rate; a free rate costs 0 and never cuts.
    pub rate: Rate,
    /// How many trunks may be tried, in order; at least one.
    pub candidates: usize,
    /// How long the far side may ring.
    pub ring_for: Duration,
    /// How long the call may talk.
    pub longest: Duration,
}

/// Something that happened to the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The first hold was decided by the wallet.
    Held(HoldAnswer),
    /// The media of both sides is ready to be offered to a carrier.
    Prepared,
    /// The caller's SDP cannot be served, or no media is free.
    MediaRefused(Refusal),
    /// The carrier answered, but its SDP cannot be served.
    AnswerUnusable(Refusal),
    /// The carrier answered 100: it has the INVITE, so no other trunk is tried for silence.
    PeerTrying,
    /// The carrier answered 18x: the far side rings, so no other trunk is tried at all.
    PeerRinging,
    /// The carrier answered 2xx.
    PeerAnswered,
    /// The carrier refused with this final status.
    PeerRefused { code: u16 },
    /// The carrier never answered the INVITE, or cannot be reached.
    PeerUnreachable,
    /// The answer is durable and the hold is this much; or it could not be made so.
    AnswerCommitted(Result<Minor, CommitFailed>),
    /// The wallet decided an extension.
    Extended(ExtendAnswer),
    /// The caller gave up before the answer (CANCEL).
    CallerCanceled,
    /// The caller hung up, or left on purpose (close 1000 or 1001, DTLS close).
    CallerHungUp,
    /// The far side hung up.
    PeerHungUp,
    /// The caller's dialog broke: its 2xx was never acknowledged, or a refresh went unanswered.
    CallerGone,
    /// The far side's dialog broke.
    PeerGone,
    /// The caller's socket went away; `last_byte` is when it was last heard.
    CallerLost { last_byte: Instant },
    /// Somebody entitled asked for the end: API, shutdown.
    HangUp(HangupBy),
    /// No media for longer than the silence rule allows; `last_packet` is the silent leg's.
    MediaSilent { last_packet: Instant },
    /// The closing is durable.
    Closed,
}

/// The wallet's word on the first hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldAnswer {
    Held(Minor),
    Insufficient,
    Unavailable,
}

/// The wallet's word on an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendAnswer {
    /// The hold grew.
    Extended {
        /// What is held now, in all.
        held: Minor,
        /// What no hold has of the balance yet; other calls may take it.
        left: Minor,
    },
    /// Nothing is left to hold.
    Insufficient,
    /// Nothing was decided (ledger or actor not answering): ask again.
    Unavailable,
}

/// Why an answer is not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFailed {
    /// The ledger did not commit in time: it may or may not hold the answer.
    Unavailable,
}

/// What the shell has to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask the wallet to hold this much for the call.
    Hold(Minor),
    /// Make the media ready (ports, SDP for the carrier).
    Prepare,
    /// Send the INVITE to this candidate.
    Dial(usize),
    /// Give the candidate up (CANCEL it) because another is tried.
    Abandon,
    /// Write the answered row, growing the hold by `wanted` (at least `least`) in the same step.
    CommitAnswer { wanted: Minor, least: Minor },
    /// Relay the 200 to the caller.
    AnswerCaller,
    /// Refuse the caller for a reason of the gateway's own.
    RefuseCaller(Refusal),
    /// Pass the carrier's refusal on.
    PassRefusal { code: u16 },
    /// End the caller's side, whatever its state: 487 before the answer, BYE after it.
    EndCaller { by: HangupBy },
    /// End the far side: CANCEL before its answer, BYE after it.
    EndPeer,
    /// Grow the hold.
    Extend { wanted: Minor, least: Minor },
    /// The call will be cut in this many seconds unless money comes.
    Warn { seconds_left: u64 },
    /// Let the hold go and write nothing: the call was never dialled.
    Release,
    /// Write the end of the call: row, debit and events in one transaction.
    Close(Closing),
}

/// How a call ended, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    pub status: CallStatus,
    /// The SIP status of a failed call.
    pub failure_code: Option<u16>,
    /// Q.850 name in lower snake case.
    pub hangup_cause: &'static str,
    pub hangup_by: HangupBy,
    /// Only of an answered call; it gets one debit, of `cost`, even when that is 0.
    pub talked: Option<Talked>,
}

/// Answered time and its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Talked {
    pub millis: u64,
    /// Rounded up, and never more than what the hold pays.
    pub seconds: u64,
    pub cost: Minor,
}

#[derive(Debug)]
enum State {
    Holding,
    /// Money is held; the media is being made ready.
    Preparing,
    Dialing {
        candidate: usize,
        ringing: bool,
        give_up: Instant,
        next_trunk: Option<Instant>,
    },
    /// The 2xx came; the answer is on its way to the ledger.
    Committing {
        since: Instant,
        peer_gone: Option<Instant>,
    },
    Talking(Talking),
    /// The end is on its way to the ledger.
    Closing,
    Over,
}

#[derive(Debug, Clone, Copy)]
struct Lost {
    until: Instant,
    last_byte: Instant,
}

/// The call. See the module's page.
#[derive(Debug)]
pub struct Call {
    terms: Terms,
    state: State,
    lost: Option<Lost>,
    outputs: VecDeque<Output>,
}

impl Call {
    /// A new call; its first output asks for the hold.
    pub fn new(terms: Terms) -> Self {
        assert!(terms.candidates > 0, "a call needs at least one trunk to dial");
        let first = terms.rate.first_hold();
        let mut outputs = VecDeque::with_capacity(4);
        outputs.push_back(Output::Hold(first));
        Self { terms, state: State::Holding, lost: None, outputs }
    }

    /// Takes in what happened; drain [`Self::poll_output`] afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Held(answer) => self.held(answer),
            Input::Prepared => {
                if matches!(self.state, State::Preparing) {
                    self.dial(now, 0);
                }
            }
            Input::MediaRefused(refusal) => self.media_refused(refusal),
            Input::AnswerUnusable(refusal) => self.answer_unusable(refusal),
            Input::PeerTrying => self.peer_trying(),
            Input::PeerRinging => self.peer_ringing(),
            Input::PeerAnswered => self.peer_answered(now),
            Input::PeerRefused { code } => self.peer_refused(now, code),
            Input::PeerUnreachable => self.peer_unreachable(now),
            Input::AnswerCommitted(result) => self.answer_committed(now, result),
            Input::Extended(answer) => self.extended(now, answer),
            Input::CallerCanceled | Input::CallerHungUp => {
                self.end(now, HangupBy::Caller);
            }
            Input::PeerHungUp => self.peer_hung_up(now, HangupBy::Callee),
            Input::CallerGone => self.end(now, HangupBy::Gateway),
            Input::PeerGone => self.peer_hung_up(now, HangupBy::Gateway),
            Input::CallerLost { last_byte } => self.caller_lost(now, last_byte),
            Input::HangUp(by) => self.end(now, by),
            Input::MediaSilent { last_packet } => self.media_silent(last_packet),
            Input::Closed => {
                if matches!(self.state, State::Closing) {
                    self.state = State::Over;
                }
            }
        }
    }

    /// The next thing to do, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Dialing { give_up, next_trunk, .. } => {
                Some(next_trunk.map_or(*give_up, |next| next.min(*give_up)))
            }
            State::Talking(talking) => Some(talking.next_deadline(&self.terms)),
            State::Holding
            | State::Preparing
            | State::Committing { .. }
            | State::Closing
            | State::Over => None,
        };
        match (own, self.lost_until()) {
            (Some(own), Some(lost)) => Some(own.min(lost)),
            (own, lost) => own.or(lost),
        }
    }

    /// Does what is due. `media_heard` is the last packet from the caller's media where the
    /// gateway sees media; it bills a caller whose socket was lost, unless the socket lived longer:
    /// a caller on hold sends no media and is there all the same.
    pub fn handle_timeout(&mut self, now: Instant, media_heard: Option<Instant>) {
        if let Some(lost) = self.lost
            && now >= lost.until
        {
            let evidence = media_heard.map_or(lost.last_byte, |heard| heard.max(lost.last_byte));
            self.end(evidence, HangupBy::ConnectionLost);
            return;
        }
        match &self.state {
            State::Dialing { give_up, .. } if now >= *give_up => self.not_answered(),
            State::Dialing { candidate, next_trunk: Some(at), .. } if now >= *at => {
                let next = candidate + 1;
                self.outputs.push_back(Output::Abandon);
                self.dial(now, next);
            }
            State::Talking(_) => self.talking_timeout(now),
            _ => {}
        }
    }

    /// When the call ends because the caller's socket is lost: the shell gathers the media's
    /// evidence before it calls [`Self::handle_timeout`] for this.
    pub fn lost_until(&self) -> Option<Instant> {
        match self.state {
            State::Talking(_) => self.lost.map(|lost| lost.until),
            _ => None,
        }
    }

    /// Nothing is left to wait for.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// What the signs of life of an answered call are made from, until it ends.
    pub fn sign_of_life(&self) -> Option<SignOfLife> {
        let State::Talking(talking) = &self.state else { return None };
        Some(talking.sign_of_life(self.lost.map(|lost| lost.last_byte)))
    }

    /// The far side has been dialled and the caller has no final answer yet.
    pub fn is_setting_up(&self) -> bool {
        !matches!(self.state, State::Talking(_) | State::Closing | State::Over)
    }

    fn held(&mut self, answer: HoldAnswer) {
        if !matches!(self.state, State::Holding) {
            return;
        }
        match answer {
            HoldAnswer::Held(_) => {
                self.state = State::Preparing;
                self.outputs.push_back(Output::Prepare);
            }
            HoldAnswer::Insufficient => self.refuse_undialled(Refusal::InsufficientFunds),
            HoldAnswer::Unavailable => self.refuse_undialled(Refusal::WalletUnavailable),
        }
    }

    fn refuse_undialled(&mut self, refusal: Refusal) {
        self.outputs.push_back(Output::RefuseCaller(refusal));
        self.outputs.push_back(Output::Release);
        self.state = State::Over;
    }

    fn media_refused(&mut self, refusal: Refusal) {
        if matches!(self.state, State::Preparing) {
            self.refuse_undialled(refusal);
        }
    }

    /// The carrier is hung up before anything is charged: there was never any sound.
    fn answer_unusable(&mut self, refusal: Refusal) {
        if !matches!(self.state, State::Dialing { .. }) {
            return;
        }
        self.outputs.push_back(Output::EndPeer);
        self.outputs.push_back(Output::RefuseCaller(refusal));
        self.close(Closing {
            status: CallStatus::Failed,
            failure_code: Some(refusal.sip_status()),
            hangup_cause: hangup_cause_of_status(refusal.sip_status()),
            hangup_by: HangupBy::Gateway,
            talked: None,
        });
    }

    fn dial(&mut self, now: Instant, candidate: usize) {
        // The time to ring is the caller's patience: it starts once, however many trunks it takes.
        let give_up = match self.state {
            State::Dialing { give_up, .. } => give_up,
            _ => now + self.terms.ring_for,
        };
        let another = candidate + 1 < self.terms.candidates;
        self.state = State::Dialing {
            candidate,
            ringing: false,
            give_up,
            next_trunk: another.then(|| now + FAILOVER_AFTER),
        };
        self.outputs.push_back(Output::Dial(candidate));
    }

    fn peer_trying(&mut self) {
        if let State::Dialing { next_trunk, .. } = &mut self.state {
            *next_trunk = None;
        }
    }

    fn peer_ringing(&mut self) {
        if let State::Dialing { next_trunk, ringing, .. } = &mut self.state {
            *next_trunk = None;
            *ringing = true;
        }
    }

    fn peer_refused(&mut self, now: Instant, code: u16) {
        let State::Dialing { candidate, ringing, .. } = self.state else { return };
        let another = candidate + 1 < self.terms.candidates;
        if another && !ringing && fails_over(code) {
            self.dial(now, candidate + 1);
            return;
        }
        self.outputs.push_back(Output::PassRefusal { code });
        let status = status_of_final(code);
        self.close(Closing {
            status,
            failure_code: (status == CallStatus::Failed).then_some(code),
            hangup_cause: hangup_cause_of_status(code),
            hangup_by: HangupBy::Callee,
            talked: None,
        });
    }

    fn peer_unreachable(&mut self, now: Instant) {
        let State::Dialing { candidate, ringing, .. } = self.state else { return };
        if candidate + 1 < self.terms.candidates && !ringing {
            self.dial(now, candidate + 1);
            return;
        }
        let refusal = Refusal::NoRoute;
        self.outputs.push_back(Output::RefuseCaller(refusal));
        self.close(Closing {
            status: CallStatus::Failed,
            failure_code: Some(refusal.sip_status()),
            hangup_cause: "no_route_destination",
            hangup_by: HangupBy::Gateway,
            talked: None,
        });
    }

    fn not_answered(&mut self) {
        self.outputs.push_back(Output::EndPeer);
        self.outputs.push_back(Output::RefuseCaller(Refusal::NoAnswer));
        self.close(Closing {
            status: CallStatus::NoAnswer,
            failure_code: None,
            hangup_cause: "no_answer",
            hangup_by: HangupBy::Gateway,
            talked: None,
        });
    }

    fn peer_answered(&mut self, now: Instant) {
        if !matches!(self.state, State::Dialing { .. }) {
            return;
        }
        self.state = State::Committing { since: now, peer_gone: None };
        let first = self.terms.rate.first_hold();
        let (wanted, least) = talking::growth(&self.terms.rate, first, 0);
        self.outputs.push_back(Output::CommitAnswer { wanted, least });
    }

    fn answer_committed(&mut self, now: Instant, result: Result<Minor, CommitFailed>) {
        let State::Committing { since, peer_gone } = self.state else { return };
        match (result, peer_gone) {
            (Err(CommitFailed::Unavailable), _) => {
                let refusal = Refusal::WalletUnavailable;
                self.outputs.push_back(Output::RefuseCaller(refusal));
                self.outputs.push_back(Output::EndPeer);
                self.close(Closing {
                    status: CallStatus::Failed,
                    failure_code: Some(refusal.sip_status()),
                    hangup_cause: "normal_temporary_failure",
                    hangup_by: HangupBy::Gateway,
                    talked: None,
                });
            }
            (Ok(held), Some(gone)) => {
                // The far side hung up before the caller heard of the answer: the carrier counts
                // it as answered, so it is closed as such; the caller is told that it is over.
                self.outputs.push_back(Output::PassRefusal { code: 480 });
                let talking = Talking::new(since, held, &self.terms.rate);
                let talked = talking.closed_at(gone, &self.terms.rate);
                self.close(Closing {
                    status: CallStatus::Completed,
                    failure_code: None,
                    hangup_cause: "normal_clearing",
                    hangup_by: HangupBy::Callee,
                    talked: Some(talked),
                });
            }
            (Ok(held), None) => {
                self.outputs.push_back(Output::AnswerCaller);
                self.state = State::Talking(Talking::new(since, held, &self.terms.rate));
                self.plan_extension(now);
            }
        }
    }

    fn extended(&mut self, now: Instant, answer: ExtendAnswer) {
        let State::Talking(talking) = &mut self.state else { return };
        talking.extended(now, answer, &self.terms.rate);
        self.plan_extension(now);
    }

    /// Asks for more where less than [`HOLD_AHEAD`] are paid and it is time to ask.
    fn plan_extension(&mut self, now: Instant) {
        let State::Talking(talking) = &mut self.state else { return };
        if let Some((wanted, least)) = talking.wants(now, &self.terms.rate) {
            self.outputs.push_back(Output::Extend { wanted, least });
        }
    }

    fn talking_timeout(&mut self, now: Instant) {
        let State::Talking(talking) = &mut self.state else { return };
        if now >= talking.cut_at() {
            let at = talking.cut_at();
            self.end(at, HangupBy::Balance);
            return;
        }
        if now >= talking.since() + self.terms.longest {
            let at = talking.since() + self.terms.longest;
            self.end(at, HangupBy::MaxDuration);
            return;
        }
        if let Some(seconds_left) = talking.warns(now) {
            self.outputs.push_back(Output::Warn { seconds_left });
        }
        self.plan_extension(now);
    }

    fn peer_hung_up(&mut self, now: Instant, by: HangupBy) {
        match &mut self.state {
            State::Committing { peer_gone, .. } => *peer_gone = Some(now),
            State::Talking(_) => self.end(now, by),
            State::Dialing { .. } => self.peer_refused(now, 480),
            State::Holding | State::Preparing | State::Closing | State::Over => {}
        }
    }

    /// A call that talks waits for its caller. One that does not ends at once: nobody would hear whom
    /// it rings, and an answer would cost at the carrier what no bill has.
    fn caller_lost(&mut self, now: Instant, last_byte: Instant) {
        if !matches!(self.state, State::Talking(_)) {
            self.end(last_byte, HangupBy::ConnectionLost);
        } else if self.lost.is_none() {
            self.lost = Some(Lost { until: now + LOST_SOCKET_GRACE, last_byte });
        }
    }

    fn media_silent(&mut self, last_packet: Instant) {
        if matches!(self.state, State::Talking(_)) {
            self.end(last_packet, HangupBy::MediaTimeout);
        }
    }

    /// Ends the call on both sides. `heard` is the instant up to which an answered call is billed.
    fn end(&mut self, heard: Instant, by: HangupBy) {
        match &self.state {
            State::Holding | State::Preparing => {
                self.outputs.push_back(end_unanswered(by));
                self.outputs.push_back(Output::Release);
                self.state = State::Over;
            }
            State::Dialing { .. } | State::Committing { .. } => {
                // A CANCEL that crosses the carrier's 200 is a canceled call: ACK, BYE, charge 0.
                self.outputs.push_back(end_unanswered(by));
                self.outputs.push_back(Output::EndPeer);
                let refusal = refusal_of(by);
                self.close(Closing {
                    status: refusal.map_or(CallStatus::Canceled, |_| CallStatus::Failed),
                    failure_code: refusal.map(Refusal::sip_status),
                    hangup_cause: by.hangup_cause(),
                    hangup_by: by,
                    talked: None,
                });
            }
            State::Talking(talking) => {
                let talked = talking.closed_at(heard, &self.terms.rate);
                self.outputs.push_back(Output::EndCaller { by });
                self.outputs.push_back(Output::EndPeer);
                self.close(Closing {
                    status: CallStatus::Completed,
                    failure_code: None,
                    hangup_cause: by.hangup_cause(),
                    hangup_by: by,
                    talked: Some(talked),
                });
            }
            State::Closing | State::Over => {}
        }
    }

    fn close(&mut self, closing: Closing) {
        self.state = State::Closing;
        self.outputs.push_back(Output::Close(closing));
    }
}

/// A stop of the gateway is a refusal of its own; everything else that ends a call before its answer
/// cancels it.
const fn refusal_of(by: HangupBy) -> Option<Refusal> {
    match by {
        HangupBy::Shutdown => Some(Refusal::Draining),
        _ => None,
    }
}

fn end_unanswered(by: HangupBy) -> Output {
    refusal_of(by).map_or(Output::EndCaller { by }, Output::RefuseCaller)
}
