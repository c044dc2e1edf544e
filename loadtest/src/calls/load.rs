//! All calls of all simulated browsers as one value: messages and time in, messages out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_net::bearer::Token;
use sautikit_net::random;
use sautikit_sip::leg::{ALLOW, Event, Input, Leg, Output as LegOutput};
use sautikit_sip::message::{Message, Method, Name};
use sautikit_sip::reader::{Framing, KeepAlive, Read, read_any};
use sautikit_sip::respond::respond;

use super::browser::{Browser, OFFER};
use super::called::Called;
use super::schedule::Schedule;
use super::seen::{Answered, Fate, Outcome, SESSION_LOST, Seen, Sound};
use super::tally::Tally;
use crate::deadlines::{Armed, Deadlines};

/// How long before a call with audio its browser's end is made: that takes a moment, which is no
/// part of what is measured.
const AHEAD: Duration = Duration::from_millis(500);
/// A browser falls silent before its BYE, so that what it said can arrive.
const QUIET: Duration = Duration::from_millis(100);
/// A BYE that took so long had no answer: its transaction gave up after 32 s (RFC 3261 timer F).
const BYE_GIVEN_UP: Duration = Duration::from_secs(31);

/// What the calls are like.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) start: Instant,
    pub(super) schedule: Schedule,
    /// From the answer to the browser's BYE.
    pub(super) hold: Duration,
    pub(super) called: Called,
    /// Caller numbers, taken in turn by the sessions; empty leaves the choice to the gateway.
    pub(super) callers: Vec<String>,
    /// Refusals that are no failure.
    pub(super) expected: Vec<u16>,
    /// Each call has a browser's end of its audio.
    pub(super) audio: bool,
}

/// What comes out of a [`Load`].
#[derive(Debug)]
pub(super) enum Output {
    /// A message for the socket of a session.
    Send { session: usize, bytes: Bytes },
    /// For the audio of a call.
    Audio { call: u64, ask: Ask },
}

/// What a call wants of its browser's end of the audio.
#[derive(Debug)]
pub(super) enum Ask {
    /// Be there, and answer with [`Load::offered`].
    Offer,
    /// Connect to whom this names.
    Answer(Bytes),
    /// Say no more.
    Quiet,
    /// Be gone, and answer with [`Load::heard`].
    Close,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Load {
    plan: Plan,
    sessions: Vec<Session>,
    /// By the call's number, which our tag holds.
    calls: HashMap<u64, Call>,
    deadlines: Deadlines,
    outputs: Vec<Output>,
    next: u64,
    /// What the calls were, by their number.
    seen: Vec<Seen>,
    /// Of calls that have not begun: their browsers' offers, or why there is none.
    offers: HashMap<u64, Result<Bytes, String>>,
    /// The first call whose offer is not asked for yet.
    unasked: u64,
    /// Calls that have begun and have no offer yet, with their intended time.
    waiting: HashMap<u64, Instant>,
    /// Ends of audio that were asked to be gone and are not.
    closing: u64,
    stopping: bool,
    /// What tells this run's tags from another's.
    run: String,
    pub(super) tally: Tally,
}

#[derive(Debug)]
struct Session {
    browser: Browser,
    open: bool,
    /// Its calls' last message.
    spoke: Option<Instant>,
}

#[derive(Debug)]
struct Call {
    session: usize,
    leg: Leg,
    armed: Armed,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Calling { intended: Instant, rang: bool },
    Talking { since: Instant, quiet_at: Option<Instant>, bye_at: Instant },
    Leaving { bye_at: Instant },
    Over,
}

impl Load {
    pub(super) fn new(plan: Plan, browsers: Vec<Browser>) -> Self {
        let open = |browser| Session { browser, open: true, spoke: None };
        Self {
            plan,
            sessions: browsers.into_iter().map(open).collect(),
            calls: HashMap::new(),
            deadlines: Deadlines::default(),
            outputs: Vec::new(),
            next: 0,
            seen: Vec::new(),
            offers: HashMap::new(),
            unasked: 0,
            waiting: HashMap::new(),
            closing: 0,
            stopping: false,
            run: random::hex::<6>(),
            tally: Tally::default(),
        }
    }

    /// What is to be sent, in order.
    pub(super) fn outputs(&mut self) -> std::vec::Drain<'_, Output> {
        self.outputs.drain(..)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.next_offer(), self.next_start(), self.deadlines.next()].into_iter().flatten().min()
    }

    /// Begins the calls that are due, hangs up those that have talked enough.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.next_offer().is_some_and(|at| at <= now) {
            let call = self.unasked;
            self.unasked += 1;
            self.outputs.push(Output::Audio { call, ask: Ask::Offer });
        }
        while let Some(intended) = self.next_start().filter(|at| *at <= now) {
            self.begin(intended, now);
        }
        while let Some((at, number)) = self.deadlines.pop_due(now) {
            let Some(call) = self.calls.get_mut(&number) else { continue };
            if !call.armed.rings(at) {
                continue;
            }
            call.leg.handle_timeout(now);
            if let Stage::Talking { quiet_at, bye_at, .. } = &mut call.stage {
                if quiet_at.is_some_and(|at| at <= now) {
                    *quiet_at = None;
                    self.outputs.push(Output::Audio { call: number, ask: Ask::Quiet });
                }
                if *bye_at <= now {
                    self.hang_up(number, now);
                }
            }
            self.settle(number, now);
        }
    }

    /// Takes one message of a session's socket.
    pub(super) fn handle_message(&mut self, now: Instant, session: usize, bytes: &Bytes) {
        match read_any(bytes, Framing::WebSocket) {
            Ok(Read::Message(message)) => self.message(now, session, message),
            Ok(Read::KeepAlive(KeepAlive::Ping)) => {
                self.outputs.push(Output::Send { session, bytes: Bytes::from_static(b"\r\n") });
            }
            Ok(Read::KeepAlive(KeepAlive::Pong)) => {}
            Err(error) => self.tally.fail(format!("unreadable: {}", error.reason())),
        }
    }

    /// The session's socket is gone, and its calls with it.
    pub(super) fn session_lost(&mut self, now: Instant, session: usize) {
        let mut silent = Duration::ZERO;
        if let Some(session) = self.sessions.get_mut(session) {
            session.open = false;
            silent = session.spoke.map_or(silent, |at| now.saturating_duration_since(at));
        }
        self.tally.sessions_lost += 1;
        let calls = &self.calls;
        let of_it = calls.iter().filter(|(_, call)| call.session == session);
        let lost: Vec<u64> = of_it.map(|(number, _)| *number).collect();
        for number in lost {
            self.calls.remove(&number);
            self.close_audio(number);
            self.fail(number, SESSION_LOST, now);
            if let Some(seen) = self.seen_of(number) {
                seen.fate.silent = silent;
            }
        }
    }

    /// The browser of a session, so that it can come back.
    pub(super) fn browser(&self, session: usize) -> Option<Browser> {
        self.sessions.get(session).map(|session| session.browser.clone())
    }

    /// A session that was lost has a socket again.
    pub(super) fn session_back(&mut self, session: usize, browser: Browser) {
        if let Some(session) = self.sessions.get_mut(session) {
            *session = Session { browser, open: true, spoke: None };
            self.tally.sessions_back += 1;
        }
    }

    /// The browser's end of a call's audio, asked for by [`Ask::Offer`], or why there is none.
    pub(super) fn offered(&mut self, now: Instant, number: u64, offer: Result<Bytes, String>) {
        if number >= self.next {
            self.offers.insert(number, offer);
        } else if let Some(intended) = self.waiting.remove(&number) {
            self.launch(number, intended, offer, now);
        } else {
            self.close_audio(number);
        }
    }

    /// What the end of a call's audio has heard and said, once it is gone.
    pub(super) fn heard(&mut self, number: u64, sound: Option<Sound>) {
        self.closing = self.closing.saturating_sub(1);
        if let Some(seen) = self.seen_of(number) {
            seen.sound = sound;
        }
    }

    /// The browsers whose sockets are open, and what was counted.
    pub(super) fn part(&mut self) -> (Vec<Browser>, Tally) {
        let sessions = std::mem::take(&mut self.sessions).into_iter();
        let browsers = sessions.filter(|it| it.open).map(|it| it.browser).collect();
        (browsers, std::mem::take(&mut self.tally))
    }

    /// What all calls were, in order.
    pub(super) fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// Has a session register again; with a fresh token that renews it.
    pub(super) fn refresh(&mut self, session: usize, token: Option<&Token>) {
        let Some(Session { browser, open: true, .. }) = self.sessions.get_mut(session) else {
            return;
        };
        let bytes = browser.register(token);
        self.outputs.push(Output::Send { session, bytes });
    }

    /// The user of a session that is still open.
    pub(super) fn user(&self, session: usize) -> Option<&str> {
        self.sessions.get(session).filter(|it| it.open).map(|it| it.browser.user())
    }

    /// Begins no more calls, and ends those that are under way.
    pub(super) fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.plan.expected.push(487);
        for number in std::mem::take(&mut self.waiting).into_keys() {
            self.tally.refused += 1;
            self.close_audio(number);
        }
        let live: Vec<u64> = self.calls.keys().copied().collect();
        for number in live {
            self.hang_up(number, now);
            self.settle(number, now);
        }
    }

    /// No call is under way, and none will be.
    pub(super) fn is_over(&self) -> bool {
        self.next_start().is_none()
            && self.calls.is_empty()
            && self.waiting.is_empty()
            && self.closing == 0
    }

    fn next_start(&self) -> Option<Instant> {
        let due = self.plan.schedule.due(self.next).filter(|_| !self.stopping)?;
        Some(self.plan.start + due)
    }

    /// When the next browser's end of audio is to be made.
    fn next_offer(&self) -> Option<Instant> {
        let due = self.plan.schedule.due(self.unasked).filter(|_| self.plan.audio)?;
        let at = self.plan.start + due;
        (!self.stopping).then(|| at.checked_sub(AHEAD).unwrap_or(at))
    }

    fn begin(&mut self, intended: Instant, now: Instant) {
        let number = self.next;
        self.next += 1;
        self.tally.attempted += 1;
        let called = self.plan.called.number(number);
        let fate = Fate { began: Some(intended), ..Fate::default() };
        self.seen.push(Seen { called, outcome: Outcome::Unclear, sound: None, fate });
        if !self.plan.audio {
            self.launch(number, intended, Ok(Bytes::from_static(OFFER.as_bytes())), now);
        } else if let Some(offer) = self.offers.remove(&number) {
            self.launch(number, intended, offer, now);
        } else {
            self.waiting.insert(number, intended);
        }
    }

    fn launch(
        &mut self,
        number: u64,
        intended: Instant,
        offer: Result<Bytes, String>,
        now: Instant,
    ) {
        let sessions = u64::try_from(self.sessions.len()).unwrap_or(1).max(1);
        let index = usize::try_from(number % sessions).unwrap_or(0);
        if let Some(seen) = self.seen_of(number) {
            seen.fate.session = index;
        }
        let Some(session) = self.sessions.get(index).filter(|session| session.open) else {
            self.fail(number, SESSION_LOST, now);
            return self.close_audio(number);
        };
        let offer = match offer {
            Ok(offer) => offer,
            Err(why) => return self.fail(number, &format!("no audio to offer: {why}"), now),
        };
        self.tally.late.record(now.saturating_duration_since(intended));
        let tag = format!("l{number:x}-{}", self.run);
        let callers = self.plan.callers.len().max(1);
        let from = self.plan.callers.get(index % callers).map(String::as_str);
        let to = self.plan.called.number(number);
        let leg = session.browser.call(&tag, from, &to, offer, now);
        let stage = Stage::Calling { intended, rang: false };
        self.calls.insert(number, Call { session: index, leg, armed: Armed::default(), stage });
        self.settle(number, now);
    }

    fn fail(&mut self, number: u64, reason: &str, now: Instant) {
        self.tally.fail(reason.to_owned());
        if let Some(seen) = self.seen_of(number) {
            seen.fate.failed = Some(reason.to_owned());
            seen.fate.ended = Some(now);
        }
    }

    /// Has the audio of a call that is over closed and its figures told.
    fn close_audio(&mut self, number: u64) {
        if self.plan.audio {
            self.closing += 1;
            self.outputs.push(Output::Audio { call: number, ask: Ask::Close });
        }
    }

    fn seen_of(&mut self, number: u64) -> Option<&mut Seen> {
        self.seen.get_mut(usize::try_from(number).ok()?)
    }

    /// BYE, or CANCEL before the answer.
    fn hang_up(&mut self, number: u64, now: Instant) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if let Stage::Talking { since, bye_at, .. } = call.stage {
            let talked = now.saturating_duration_since(since);
            self.tally.talked += talked;
            if let Ok(at) = usize::try_from(number)
                && let Some(seen) = self.seen.get_mut(at)
            {
                seen.talked(talked);
            }
            call.stage = Stage::Leaving { bye_at: bye_at.min(now) };
        }
        call.leg.bye(now, None);
    }

    fn message(&mut self, now: Instant, session: usize, message: Message) {
        let tag = if message.is_request() { message.to_tag() } else { message.from_tag() };
        let number = tag.and_then(|tag| number_of(tag, &self.run));
        if let Some(number) = number
            && let Some(call) = self.calls.get_mut(&number)
        {
            call.leg.handle(now, Input::Message { message, source: None });
            self.settle(number, now);
            return;
        }
        match (message.method(), message.status()) {
            (None, Some(status)) if message.cseq().1 == Method::Register => match status {
                200..300 => self.tally.renewed += 1,
                _ => self.tally.renewals_refused += 1,
            },
            // Of a call that is over.
            (None | Some(Method::Ack), _) => {}
            (Some(method), _) => {
                let is_ping = *method == Method::Options && message.to_tag().is_none();
                let status = if is_ping { 200 } else { 481 };
                let bytes = respond(&message, status, "", None, &[(Name::Allow, ALLOW)], None);
                self.outputs.push(Output::Send { session, bytes });
            }
        }
    }

    /// Performs what the call's leg wants, and forgets a call that is over: on a socket that loses
    /// nothing there is nothing that it would have to repeat.
    fn settle(&mut self, number: u64, now: Instant) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let seen = usize::try_from(number).ok().and_then(|at| self.seen.get_mut(at));
        let Some(seen) = seen else { return };
        while let Some(output) = call.leg.poll_output() {
            match output {
                LegOutput::Send { bytes, .. } => {
                    if let Some(session) = self.sessions.get_mut(call.session) {
                        session.spoke = Some(now);
                    }
                    self.outputs.push(Output::Send { session: call.session, bytes });
                }
                LegOutput::Event(event) => {
                    let ask = call.event(event, &self.plan, &mut self.tally, seen, now);
                    self.outputs.extend(ask.map(|ask| Output::Audio { call: number, ask }));
                }
            }
        }
        if matches!(call.stage, Stage::Over) {
            seen.fate.ended = Some(now);
            self.calls.remove(&number);
            return self.close_audio(number);
        }
        let wanted = call.poll_timeout();
        self.deadlines.arm(&mut call.armed, number, wanted);
    }
}

impl Call {
    fn poll_timeout(&self) -> Option<Instant> {
        let planned = match self.stage {
            Stage::Talking { quiet_at, bye_at, .. } => Some(quiet_at.unwrap_or(bye_at)),
            _ => None,
        };
        [planned, self.leg.poll_timeout()].into_iter().flatten().min()
    }

    /// Gives what the audio is to do.
    fn event(
        &mut self,
        event: Event,
        plan: &Plan,
        tally: &mut Tally,
        seen: &mut Seen,
        now: Instant,
    ) -> Option<Ask> {
        match event {
            Event::Progress { .. } => {
                if let Stage::Calling { intended, rang } = &mut self.stage
                    && !std::mem::replace(rang, true)
                {
                    tally.ringing.record(now.saturating_duration_since(*intended));
                }
            }
            Event::Answered { sdp, message } => {
                if let Stage::Calling { intended, .. } = self.stage {
                    tally.answered += 1;
                    tally.answer.record(now.saturating_duration_since(intended));
                    seen.outcome = Outcome::Answered(answer_of(&message));
                    let bye_at = now + plan.hold;
                    let quiet_at = plan.audio.then(|| bye_at - QUIET.min(plan.hold / 4));
                    self.stage = Stage::Talking { since: now, quiet_at, bye_at };
                    return sdp.filter(|_| plan.audio).map(Ask::Answer);
                }
            }
            Event::Refused { status, message, .. } => {
                self.stage = Stage::Over;
                seen.outcome = Outcome::Unanswered;
                if plan.expected.contains(&status) {
                    tally.refused += 1;
                } else {
                    let code = message.header(&Name::XSautikitError).unwrap_or_default();
                    self.fail(format!("{status} {code}").trim_end(), tally, seen);
                }
            }
            Event::NoAnswer => self.fail("no final response", tally, seen),
            Event::Unreachable => self.fail("not delivered", tally, seen),
            Event::Bye { .. } | Event::Ended => {
                self.ended(matches!(event, Event::Ended), tally, seen, now);
            }
            // Nothing is known that would give audio another way in the middle of a call.
            Event::Offer { request, .. } | Event::OfferWanted { request } if plan.audio => {
                self.leg.refuse(now, request, 488, "", &[]);
            }
            Event::Offer { request, .. } | Event::OfferWanted { request } => {
                let sdp = Bytes::from_static(OFFER.as_bytes());
                self.leg.accept(now, request, Some(sdp), &[]);
            }
            Event::Request { request, .. } => self.leg.accept(now, request, None, &[]),
            _ => {}
        }
        None
    }

    fn ended(&mut self, by_us: bool, tally: &mut Tally, seen: &mut Seen, now: Instant) {
        match self.stage {
            Stage::Leaving { bye_at } => {
                let took = now.saturating_duration_since(bye_at);
                if by_us && took >= BYE_GIVEN_UP {
                    return self.fail("BYE without an answer", tally, seen);
                }
                tally.hang_up.record(took);
                tally.completed += 1;
                self.stage = Stage::Over;
            }
            Stage::Talking { since, .. } => {
                let talked = now.saturating_duration_since(since);
                tally.talked += talked;
                seen.talked(talked);
                let why = if by_us { "expired" } else { "hung up by the gateway" };
                self.fail(why, tally, seen);
            }
            // A CANCEL that crossed the answer.
            Stage::Calling { .. } => {
                tally.refused += 1;
                self.stage = Stage::Over;
            }
            Stage::Over => {}
        }
    }

    fn fail(&mut self, reason: &str, tally: &mut Tally, seen: &mut Seen) {
        self.stage = Stage::Over;
        seen.fate.failed = Some(reason.to_owned());
        tally.fail(reason.to_owned());
    }
}

/// What a 200 says of its call.
fn answer_of(message: &Message) -> Answered {
    let header = |name| message.header(&name).map(ToOwned::to_owned);
    Answered {
        call_id: header(Name::XSautikitCallId),
        rate: header(Name::XSautikitRate),
        talked: None,
    }
}

/// The number in a tag of ours.
fn number_of(tag: &str, run: &str) -> Option<u64> {
    let (number, of) = tag.strip_prefix('l')?.split_once('-')?;
    (of == run).then(|| u64::from_str_radix(number, 16).ok())?
}

#[cfg(test)]
mod tests;
