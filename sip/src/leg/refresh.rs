//! Session timers (RFC 4028): who refreshes, when, and when the session is dead.

use std::time::{Duration, Instant};

use super::outside::{InvitePurpose, Purpose};
use super::print::{Draft, Head};
use super::{Leg, Message, Method, Phase};
use crate::list::number;
use crate::message::{Name, value_and_params};

/// The shortest session interval there is, in seconds (RFC 4028 section 4).
pub(super) const LEAST: u32 = 90;
/// What a peer that supports the timer without asking for one gets, in seconds: JsSIP refreshes by itself, and
/// often, where a 2xx names nobody.
const USUAL: u32 = 1800;
/// The longest interval that we promise, in seconds; no call lasts that long.
const MOST: u32 = 86_400;
/// A refresh that could not be made is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// Who refreshes, as a header says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresher {
    Uac,
    Uas,
}

/// The session timer of one dialog.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    /// Seconds; `None` where nobody refreshes.
    interval: Option<u32>,
    ours: bool,
    /// Both ends agreed on it, so silence is the end.
    agreed: bool,
    due_at: Option<Instant>,
    expires_at: Option<Instant>,
    /// The least interval that a 422 taught us.
    least: u32,
    pending: bool,
}

/// Session-Expires: seconds, and who refreshes.
pub(super) fn asked(message: &Message) -> Option<(u32, Option<Refresher>)> {
    let (seconds, params) = value_and_params(message.header(&Name::SessionExpires)?);
    let refresher = match params.get("refresher") {
        Some(name) if name.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
        Some(name) if name.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
        _ => None,
    };
    Some((number(seconds)?, refresher))
}

fn least_of(message: &Message) -> u32 {
    let value = message.header(&Name::MinSe).map(|value| value_and_params(value).0);
    value.and_then(number).unwrap_or(LEAST).clamp(LEAST, MOST)
}

/// Takes the interval of a 422 into a request that is sent anew (RFC 4028 section 7.3). False where the 422 names none.
pub(super) fn lengthen(draft: &mut Draft, response: &Message) -> bool {
    if response.header(&Name::MinSe).is_none() {
        return false;
    }
    let least = least_of(response);
    draft.set(Name::MinSe, least.to_string());
    draft.set(Name::SessionExpires, format!("{least};refresher=uac"));
    true
}

impl Refresh {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.due_at, self.expires_at].into_iter().flatten().min()
    }

    /// We answer `request` with 2xx: decides, writes the headers and starts anew.
    pub(super) fn taken_by_us(
        &mut self,
        now: Instant,
        request: &Message,
        wish: Option<u32>,
        head: &mut Head,
    ) {
        let supports = request.lists(&Name::Supported, "timer");
        let asked = asked(request);
        let seconds = match (asked.map(|(seconds, _)| seconds), wish) {
            (Some(asked), Some(wish)) => asked.min(wish),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) if supports => USUAL,
            (None, None) => return self.stop(),
        };
        let seconds = seconds.clamp(least_of(request).max(self.least), MOST);
        // We refresh unless they insist, or do so already.
        let theirs = match asked.and_then(|(_, refresher)| refresher) {
            Some(refresher) => refresher == Refresher::Uac,
            None => self.interval.is_some() && !self.ours,
        };
        self.ours = !(theirs && supports);
        self.agreed = supports;
        self.start(now, seconds);
        let refresher = if self.ours { ";refresher=uas" } else { ";refresher=uac" };
        head.pieces("Session-Expires", [&seconds.to_string(), refresher]);
        if !self.ours {
            head.line("Require", "timer");
        }
    }

    /// A 2xx to our INVITE, re-INVITE or UPDATE: takes what it decides and starts anew.
    pub(super) fn taken_by_peer(&mut self, now: Instant, response: &Message, wish: Option<u32>) {
        match (asked(response), wish) {
            (Some((seconds, refresher)), _) => {
                self.ours = refresher != Some(Refresher::Uas);
                self.agreed = true;
                self.start(now, seconds.clamp(LEAST, MOST));
            }
            // They know no session timer. We look after them all the same, for a dead peer's call costs money.
            (None, Some(wish)) => {
                self.ours = true;
                self.agreed = false;
                self.start(now, wish.max(self.least));
            }
            (None, None) => self.stop(),
        }
    }

    fn start(&mut self, now: Instant, seconds: u32) {
        self.pending = false;
        self.interval = Some(seconds);
        let whole = Duration::from_secs(seconds.into());
        if self.ours {
            self.due_at = Some(now + whole / 2);
            self.expires_at = self.agreed.then_some(now + whole);
        } else {
            // RFC 4028 section 10: BYE goes out a little before the other end forgets the session.
            self.due_at = None;
            self.expires_at = Some(now + whole - (whole / 3).min(Duration::from_secs(32)));
        }
    }

    fn stop(&mut self) {
        *self = Self { least: self.least, ..Self::default() };
    }

    /// The headers of a request of ours that refreshes.
    pub(super) fn ask(&self, draft: &mut Draft) {
        let Some(seconds) = self.interval else { return };
        let refresher = if self.ours { "uac" } else { "uas" };
        draft.set(Name::SessionExpires, format!("{seconds};refresher={refresher}"));
        if self.least > LEAST {
            draft.set(Name::MinSe, self.least.to_string());
        }
    }

    /// A 422 of theirs names a longer interval.
    pub(super) fn raise(&mut self, response: &Message) {
        self.least = least_of(response);
        self.interval = self.interval.map(|seconds| seconds.max(self.least));
    }

    fn again(&mut self, at: Instant) {
        self.pending = false;
        self.due_at = Some(at);
    }
}

impl Leg {
    /// Looks after the session timer and the offer that waits.
    pub(super) fn time_of_session(&mut self, now: Instant) {
        let Phase::Talking(session) = &mut self.phase else { return };
        if session.refresh.expires_at.is_some_and(|at| at <= now) {
            return self.expire(now);
        }
        if session.refresh.due_at.is_some_and(|at| at <= now) {
            session.refresh.due_at = None;
            if session.refresh.pending || session.leaving.is_some() {
                return;
            }
            self.send_refresh(now);
        }
    }

    /// UPDATE without a body, or a re-INVITE that repeats our SDP where they take no UPDATE.
    fn send_refresh(&mut self, now: Instant) {
        let settled = !self.unacked.iter().any(|unacked| unacked.initial);
        let Phase::Talking(session) = &mut self.phase else { return };
        if session.takes_update {
            let mut draft = Draft::bare(session.dialog.clone(), Method::Update);
            session.refresh.ask(&mut draft);
            session.refresh.pending = true;
            self.send_request(now, draft, Purpose::Refresh, 0);
        } else if settled && session.is_free() {
            session.refresh.pending = true;
            let sdp = session.local_sdp.clone();
            self.send_reinvite(now, sdp, InvitePurpose::Refresh, 0);
        } else {
            session.refresh.again(now + AGAIN);
        }
    }

    /// The end of a refresh of ours, by either method.
    pub(super) fn refresh_done(&mut self, now: Instant, status: u16, response: Option<&Message>) {
        let pause = self.glare_pause(status.into());
        let wish = self.own.session_expires;
        let Phase::Talking(session) = &mut self.phase else { return };
        match (status, response) {
            (200..=299, Some(response)) => {
                session.dialog.retarget(response);
                session.refresh.taken_by_peer(now, response, wish);
            }
            // RFC 4028 section 10: nobody is there.
            (408 | 481, _) | (_, None) => self.expire(now),
            (422, Some(response)) => {
                session.refresh.raise(response);
                session.refresh.again(now + AGAIN);
            }
            (405 | 501, _) if session.takes_update => {
                session.takes_update = false;
                session.refresh.again(now);
            }
            (491, _) => session.refresh.again(now + pause),
            // Refused, so alive. Where a timer was agreed, only a 2xx counts.
            _ if session.refresh.agreed => session.refresh.again(now + AGAIN),
            _ => {
                let seconds = session.refresh.interval.unwrap_or(USUAL);
                session.refresh.start(now, seconds);
            }
        }
    }
}
