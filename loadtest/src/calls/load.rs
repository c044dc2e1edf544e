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
use super::tally::Tally;
use crate::deadlines::{Armed, Deadlines};

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
}

/// A message for the socket of a session.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) session: usize,
    pub(super) bytes: Bytes,
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
    stopping: bool,
    /// What tells this run's tags from another's.
    run: String,
    pub(super) tally: Tally,
}

#[derive(Debug)]
struct Session {
    browser: Browser,
    open: bool,
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
    Talking { since: Instant, bye_at: Instant },
    Leaving { bye_at: Instant },
    Over,
}

impl Load {
    pub(super) fn new(plan: Plan, browsers: Vec<Browser>) -> Self {
        let open = |browser| Session { browser, open: true };
        Self {
            plan,
            sessions: browsers.into_iter().map(open).collect(),
            calls: HashMap::new(),
            deadlines: Deadlines::default(),
            outputs: Vec::new(),
            next: 0,
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
        [self.next_start(), self.deadlines.next()].into_iter().flatten().min()
    }

    /// Begins the calls that are due, hangs up those that have talked enough.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(intended) = self.next_start().filter(|at| *at <= now) {
            self.begin(intended, now);
        }
        while let Some((at, number)) = self.deadlines.pop_due(now) {
            let Some(call) = self.calls.get_mut(&number) else { continue };
            if !call.armed.rings(at) {
                continue;
            }
            call.leg.handle_timeout(now);
            if let Stage::Talking { bye_at, .. } = call.stage
                && bye_at <= now
            {
                self.hang_up(number, now);
            }
            self.settle(number, now);
        }
    }

    /// Takes one message of a session's socket.
    pub(super) fn handle_message(&mut self, now: Instant, session: usize, bytes: &Bytes) {
        match read_any(bytes, Framing::WebSocket) {
            Ok(Read::Message(message)) => self.message(now, session, message),
            Ok(Read::KeepAlive(KeepAlive::Ping)) => {
                self.outputs.push(Output { session, bytes: Bytes::from_static(b"\r\n") });
            }
            Ok(Read::KeepAlive(KeepAlive::Pong)) => {}
            Err(error) => self.tally.fail(format!("unreadable: {}", error.reason())),
        }
    }

    /// The session's socket is gone, and its calls with it.
    pub(super) fn session_lost(&mut self, session: usize) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.open = false;
        }
        self.tally.sessions_lost += 1;
        let calls = &self.calls;
        let of_it = calls.iter().filter(|(_, call)| call.session == session);
        let lost: Vec<u64> = of_it.map(|(number, _)| *number).collect();
        for number in lost {
            self.calls.remove(&number);
            self.tally.fail("session lost".into());
        }
    }

    /// Renews a session's registration with a fresh token.
    pub(super) fn renew(&mut self, session: usize, token: &Token) {
        let Some(Session { browser, open: true }) = self.sessions.get_mut(session) else { return };
        let bytes = browser.register(Some(token));
        self.outputs.push(Output { session, bytes });
    }

    /// The user of a session that is still open.
    pub(super) fn user(&self, session: usize) -> Option<&str> {
        self.sessions.get(session).filter(|it| it.open).map(|it| it.browser.user())
    }

    /// Begins no more calls, and ends those that are under way.
    pub(super) fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.plan.expected.push(487);
        let live: Vec<u64> = self.calls.keys().copied().collect();
        for number in live {
            self.hang_up(number, now);
            self.settle(number, now);
        }
    }

    /// No call is under way, and none will be.
    pub(super) fn is_over(&self) -> bool {
        self.next_start().is_none() && self.calls.is_empty()
    }

    fn next_start(&self) -> Option<Instant> {
        let due = self.plan.schedule.due(self.next).filter(|_| !self.stopping)?;
        Some(self.plan.start + due)
    }

    fn begin(&mut self, intended: Instant, now: Instant) {
        let number = self.next;
        self.next += 1;
        self.tally.attempted += 1;
        let sessions = u64::try_from(self.sessions.len()).unwrap_or(1).max(1);
        let index = usize::try_from(number % sessions).unwrap_or(0);
        let Some(session) = self.sessions.get(index).filter(|session| session.open) else {
            self.tally.fail("session lost".into());
            return;
        };
        self.tally.late.record(now.saturating_duration_since(intended));
        let tag = format!("l{number:x}-{}", self.run);
        let to = self.plan.called.number(number);
        let callers = self.plan.callers.len().max(1);
        let from = self.plan.callers.get(index % callers).map(String::as_str);
        let leg = session.browser.call(&tag, from, &to, now);
        let stage = Stage::Calling { intended, rang: false };
        self.calls.insert(number, Call { session: index, leg, armed: Armed::default(), stage });
        self.settle(number, now);
    }

    /// BYE, or CANCEL before the answer.
    fn hang_up(&mut self, number: u64, now: Instant) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if let Stage::Talking { since, bye_at } = call.stage {
            self.tally.talked += now.saturating_duration_since(since);
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
                self.outputs.push(Output { session, bytes });
            }
        }
    }

    /// Performs what the call's leg wants, and forgets a call that is over: on a socket that loses
    /// nothing there is nothing that it would have to repeat.
    fn settle(&mut self, number: u64, now: Instant) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        while let Some(output) = call.leg.poll_output() {
            match output {
                LegOutput::Send { bytes, .. } => {
                    self.outputs.push(Output { session: call.session, bytes });
                }
                LegOutput::Event(event) => call.event(event, &self.plan, &mut self.tally, now),
            }
        }
        if matches!(call.stage, Stage::Over) {
            self.calls.remove(&number);
            return;
        }
        let wanted = call.poll_timeout();
        self.deadlines.arm(&mut call.armed, number, wanted);
    }
}

impl Call {
    fn poll_timeout(&self) -> Option<Instant> {
        let planned = match self.stage {
            Stage::Talking { bye_at, .. } => Some(bye_at),
            _ => None,
        };
        [planned, self.leg.poll_timeout()].into_iter().flatten().min()
    }

    fn event(&mut self, event: Event, plan: &Plan, tally: &mut Tally, now: Instant) {
        match event {
            Event::Progress { .. } => {
                if let Stage::Calling { intended, rang } = &mut self.stage
                    && !std::mem::replace(rang, true)
                {
                    tally.ringing.record(now.saturating_duration_since(*intended));
                }
            }
            Event::Answered { .. } => {
                if let Stage::Calling { intended, .. } = self.stage {
                    tally.answered += 1;
                    tally.answer.record(now.saturating_duration_since(intended));
                    self.stage = Stage::Talking { since: now, bye_at: now + plan.hold };
                }
            }
            Event::Refused { status, message, .. } => {
                self.stage = Stage::Over;
                if plan.expected.contains(&status) {
                    tally.refused += 1;
                } else {
                    let code = message.header(&Name::XSautikitError).unwrap_or_default();
                    tally.fail(format!("{status} {code}").trim_end().to_owned());
                }
            }
            Event::NoAnswer => self.fail("no final response", tally),
            Event::Unreachable => self.fail("not delivered", tally),
            Event::Bye { .. } | Event::Ended => {
                self.ended(matches!(event, Event::Ended), tally, now)
            }
            Event::Offer { request, .. } | Event::OfferWanted { request } => {
                let sdp = Bytes::from_static(OFFER.as_bytes());
                self.leg.accept(now, request, Some(sdp), &[]);
            }
            Event::Request { request, .. } => self.leg.accept(now, request, None, &[]),
            _ => {}
        }
    }

    fn ended(&mut self, by_us: bool, tally: &mut Tally, now: Instant) {
        match self.stage {
            Stage::Leaving { bye_at } => {
                let took = now.saturating_duration_since(bye_at);
                if by_us && took >= BYE_GIVEN_UP {
                    return self.fail("BYE without an answer", tally);
                }
                tally.hang_up.record(took);
                tally.completed += 1;
                self.stage = Stage::Over;
            }
            Stage::Talking { since, .. } => {
                tally.talked += now.saturating_duration_since(since);
                self.fail(if by_us { "expired" } else { "hung up by the gateway" }, tally);
            }
            // A CANCEL that crossed the answer.
            Stage::Calling { .. } => {
                tally.refused += 1;
                self.stage = Stage::Over;
            }
            Stage::Over => {}
        }
    }

    fn fail(&mut self, reason: &str, tally: &mut Tally) {
        self.stage = Stage::Over;
        tally.fail(reason.to_owned());
    }
}

/// The number in a tag of ours.
fn number_of(tag: &str, run: &str) -> Option<u64> {
    let (number, of) = tag.strip_prefix('l')?.split_once('-')?;
    (of == run).then(|| u64::from_str_radix(number, 16).ok())?
}

#[cfg(test)]
mod tests;
