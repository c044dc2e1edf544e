//! The paid time of an answered call: how long the hold lasts, when it must grow, when the call
//! is warned and cut, and what it costs in the end.

use std::time::{Duration, Instant};

use super::{ExtendAnswer, Talked, Terms};
use crate::limits::{CUT_WARNING, HOLD_AHEAD};
use crate::money::Minor;
use crate::rate::Rate;

/// A free call is never cut: this stands for "no end" and is far beyond the longest call.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A short hold is asked for again after this at the latest, so that a top-up is soon found.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(5);

/// No warning before the caller's side has taken the answer in: a browser is still at its SDP.
const FIRST_WARNING_AFTER: Duration = Duration::from_secs(1);

/// Closer than this to the cut nothing more is asked: the answer would come too late.
const LAST_TRY_AHEAD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Talking {
    since: Instant,
    held: Minor,
    paid_seconds: u64,
    /// When the wallet is to be asked again; none while an answer is awaited or nothing is needed.
    ask_at: Option<Instant>,
    asking: bool,
    /// How many seconds the hold pays with all that the wallet had left; `None` before it was asked.
    reach_seconds: Option<u64>,
    warned: bool,
}

/// What tells, between the events that change it, how long a call has been known to live: what a
/// crash is billed by.
#[derive(Clone, Copy, Debug)]
pub struct SignOfLife {
    since: Instant,
    held: Minor,
    paid_seconds: u64,
    /// The last byte of a caller whose socket is lost. Whether its media are heard later is asked when
    /// the call ends, and a crash does not ask: this errs for the caller.
    until: Option<Instant>,
}

impl SignOfLife {
    /// Talked milliseconds so far, never more than the hold pays.
    #[must_use]
    pub fn millis(&self, now: Instant) -> u64 {
        let until = self.until.map_or(now, |until| until.min(now));
        talked_millis(self.since, until, self.paid_seconds)
    }

    /// In minor units.
    #[must_use]
    pub fn held(&self) -> Minor {
        self.held
    }
}

fn talked_millis(since: Instant, at: Instant, paid_seconds: u64) -> u64 {
    let talked = at.saturating_duration_since(since).as_millis();
    u64::try_from(talked).unwrap_or(u64::MAX).min(paid_seconds.saturating_mul(1000))
}

/// How much a hold of `held` lacks to pay `talked + 2 × HOLD_AHEAD`, and the least that helps: what
/// it lacks to pay one increment more. A share of a balance is no whole number of increments, so
/// the hold may have part of the next one already.
pub(super) fn growth(rate: &Rate, held: Minor, talked_seconds: u64) -> (Minor, Minor) {
    let target = rate
        .cost(talked_seconds.saturating_add(2 * HOLD_AHEAD.as_secs()))
        .unwrap_or(Minor::new(i64::MAX));
    let wanted = target.checked_sub(held).unwrap_or(Minor::ZERO).max(Minor::ZERO);
    let next = rate.seconds_paid_by(held).saturating_add(u64::from(rate.increment_seconds()));
    let least = rate.cost(next).ok().and_then(|next| next.checked_sub(held));
    (wanted, least.unwrap_or(rate.increment_cost()).max(Minor::ZERO))
}

impl Talking {
    pub(super) fn new(since: Instant, held: Minor, rate: &Rate) -> Self {
        let paid_seconds = rate.seconds_paid_by(held);
        Self {
            since,
            held,
            paid_seconds,
            ask_at: Some(since),
            asking: false,
            reach_seconds: None,
            warned: false,
        }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// `last_byte` is that of a caller whose socket is lost.
    pub(super) fn sign_of_life(&self, last_byte: Option<Instant>) -> SignOfLife {
        let Self { since, held, paid_seconds, .. } = *self;
        SignOfLife { since, held, paid_seconds, until: last_byte }
    }

    /// Talked milliseconds at `at`, never more than the hold pays.
    pub(super) fn millis(&self, at: Instant) -> u64 {
        talked_millis(self.since, at, self.paid_seconds)
    }

    /// The instant after the last paid second.
    pub(super) fn cut_at(&self) -> Instant {
        self.since + Duration::from_secs(self.paid_seconds).min(NEVER)
    }

    pub(super) fn closed_at(&self, at: Instant, rate: &Rate) -> Talked {
        let millis = self.millis(at);
        let seconds = millis.div_ceil(1000);
        // The hold pays `paid_seconds` by construction, so this neither overflows nor exceeds it.
        let cost = rate.cost(seconds).unwrap_or(self.held).min(self.held);
        Talked { millis, seconds, cost }
    }

    pub(super) fn next_deadline(&self, terms: &Terms) -> Instant {
        let mut next = self.cut_at().min(self.since + terms.longest);
        if let Some(ask) = self.ask_at {
            next = next.min(ask);
        }
        if let Some(warn_at) = self.warn_at().filter(|_| !self.warned) {
            next = next.min(warn_at);
        }
        next
    }

    /// What to ask the wallet for now, if it is time.
    pub(super) fn wants(&mut self, now: Instant, rate: &Rate) -> Option<(Minor, Minor)> {
        if self.asking || self.ask_at.is_none_or(|at| now < at) {
            return None;
        }
        let talked = now.saturating_duration_since(self.since).as_secs();
        let ahead = self.paid_seconds.saturating_sub(talked);
        if ahead > HOLD_AHEAD.as_secs() {
            let spare = Duration::from_secs(ahead - HOLD_AHEAD.as_secs()).min(NEVER);
            self.ask_at = Some(now + spare);
            return None;
        }
        self.asking = true;
        self.ask_at = None;
        Some(growth(rate, self.held, talked))
    }

    pub(super) fn extended(&mut self, now: Instant, answer: ExtendAnswer, rate: &Rate) {
        self.asking = false;
        match answer {
            ExtendAnswer::Extended { held, left } => {
                self.held = held;
                self.paid_seconds = rate.seconds_paid_by(held);
                let all = held.checked_add(left.max(Minor::ZERO)).unwrap_or(held);
                self.reach_seconds = Some(rate.seconds_paid_by(all));
            }
            ExtendAnswer::Insufficient => self.reach_seconds = Some(self.paid_seconds),
            ExtendAnswer::Unavailable => {}
        }
        // Topped up meanwhile: the next shortage is worth a warning of its own.
        if self.warn_at().is_some_and(|warn_at| warn_at > now) {
            self.warned = false;
        }
        let left = self.cut_at().saturating_duration_since(now);
        // A hold that reaches far enough rests until it does not; a short one is asked for again
        // at half of what is left, so that the quarter rule shares the balance over time.
        self.ask_at = if left > HOLD_AHEAD {
            Some(now + left.saturating_sub(HOLD_AHEAD))
        } else if left > LAST_TRY_AHEAD {
            Some(now + (left / 2).min(ASK_AGAIN_MAX))
        } else {
            None
        };
    }

    /// Seconds left where the warning is due now; says so once a shortage.
    pub(super) fn warns(&mut self, now: Instant) -> Option<u64> {
        if self.warned || self.warn_at().is_none_or(|warn_at| now < warn_at) {
            return None;
        }
        self.warned = true;
        self.ends_at().map(|end| end.saturating_duration_since(now).as_secs())
    }

    /// When all the money is talked away, as far as the wallet has told.
    fn ends_at(&self) -> Option<Instant> {
        let reach = Duration::from_secs(self.reach_seconds?).min(NEVER);
        Some(self.since + reach)
    }

    fn warn_at(&self) -> Option<Instant> {
        let end = self.ends_at()?;
        let earliest = self.since + FIRST_WARNING_AFTER;
        Some(end.checked_sub(CUT_WARNING).unwrap_or(earliest).max(earliest))
    }
}
