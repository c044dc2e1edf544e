//! What a fault may change about a call, as a plain value: which calls it touches, and by how many
//! seconds the carrier's time of such a call may be above what was billed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::proof::Allowance;
use super::super::seen::{Fate, SESSION_LOST, Seen};
use super::faults::Kind;

/// A debit rides with the next commit, and what was sent may be on its way: calls that ended so
/// shortly before a fault are touched by it.
const BEFORE: Duration = Duration::from_secs(1);
/// After all is back, what was held up is worked off.
pub(super) const SETTLING: Duration = Duration::from_secs(5);
/// Talked time is stored so often: what a killed gateway bills by.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// A call whose caller is gone goes on for so long.
pub(super) const LOST_GRACE: Duration = Duration::from_secs(30);
/// RFC 3261 timer B, F and 64×T1: a carrier whose 200 nobody acknowledges gives up after it.
const GIVES_UP: Duration = Duration::from_secs(32);
/// RFC 3261 T2: a BYE is repeated so often.
const REPEATED: Duration = Duration::from_secs(4);
/// A second that has begun, and a scheduler's.
const SLACK: Duration = Duration::from_secs(1);

/// A fault that was: from its beginning until all was as before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) kind: Kind,
    pub(super) from: Instant,
    /// The gateway takes calls, the carrier answers, every session has a socket.
    pub(super) until: Instant,
    /// Whose sockets were lost, in ascending order.
    pub(super) sessions: Vec<usize>,
}

impl Window {
    fn is_in(&self, at: Instant) -> bool {
        let from = self.from.checked_sub(BEFORE).unwrap_or(self.from);
        from <= at && at <= self.until + SETTLING
    }

    /// Whether a call may have failed for it.
    pub(super) fn touches(&self, fate: &Fate) -> bool {
        let from = self.from.checked_sub(BEFORE).unwrap_or(self.from);
        let meets = fate.began.is_none_or(|began| began <= self.until + SETTLING)
            && fate.ended.is_none_or(|ended| ended >= from);
        meets && (self.kind != Kind::Sockets || self.sessions.binary_search(&fate.session).is_ok())
    }

    /// What it may have changed about a call that it touches.
    fn allows(&self, fate: &Fate, hold: Duration) -> Allowance {
        match fate.began.is_none_or(|began| began <= self.until) {
            true => self.allowance(fate.silent.min(hold)),
            // All was back already: it may have been refused, and is billed as any other.
            false => Allowance::default(),
        }
    }

    /// How much longer the carrier may have talked than was billed, and how long it may have talked
    /// in a call that nobody else knows to be answered.
    fn allowance(&self, silent: Duration) -> Allowance {
        let took = self.until.saturating_duration_since(self.from);
        let (unpaid, free) = match self.kind {
            // Billed to its caller's last byte, which came so long before the socket was lost.
            Kind::Sockets => (LOST_GRACE + silent, REPEATED),
            // The BYE waits until it listens again, and may be lost in a full buffer.
            Kind::Silence => (took + REPEATED, took + REPEATED),
            // The next start says BYE; who was not acknowledged gives up by himself.
            Kind::Kill => (SIGN_OF_LIFE + took, took.max(GIVES_UP) + REPEATED),
            // An answer that cannot be committed is taken back.
            Kind::Lock => (Duration::ZERO, took),
        };
        let browser = if self.kind == Kind::Kill { SIGN_OF_LIFE } else { Duration::ZERO };
        Allowance {
            carrier: (unpaid + SLACK).as_secs_f64(),
            browser: browser.as_secs_f64(),
            free: (free + SLACK).as_secs_f64(),
        }
    }
}

/// What may differ about each call that a fault touched, by its called number.
pub(super) fn allowances(
    windows: &[Window],
    seen: &[Seen],
    hold: Duration,
) -> HashMap<String, Allowance> {
    let touched = seen.iter().filter_map(|seen| {
        let fate = at_the_gateway(&seen.fate);
        let of_it = windows.iter().filter(|window| window.touches(&fate));
        let sum = of_it.map(|window| window.allows(&fate, hold)).reduce(Allowance::and)?;
        Some((seen.called.clone(), sum))
    });
    touched.collect()
}

/// A call whose caller is gone goes on at the gateway and at the carrier, and may meet another fault.
fn at_the_gateway(fate: &Fate) -> Fate {
    let is_lost = fate.failed.as_deref() == Some(SESSION_LOST);
    let ended = fate.ended.map(|at| if is_lost { at + LOST_GRACE + REPEATED } else { at });
    Fate { ended, ..fate.clone() }
}

/// Of the losses, those that no fault explains.
pub(super) fn unexplained(windows: &[Window], losses: &[(Instant, usize)]) -> usize {
    let explained = |(at, session): &&(Instant, usize)| {
        windows.iter().any(|window| match window.kind {
            Kind::Sockets => window.is_in(*at) && window.sessions.binary_search(session).is_ok(),
            Kind::Kill => window.is_in(*at),
            Kind::Silence | Kind::Lock => false,
        })
    };
    losses.iter().filter(|loss| !explained(loss)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(10);

    struct Day(Instant);

    impl Day {
        fn at(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }

        fn window(&self, kind: Kind, from: u64, until: u64, sessions: &[usize]) -> Window {
            let (from, until) = (self.at(from), self.at(until));
            Window { kind, from, until, sessions: sessions.to_vec() }
        }

        fn fate(&self, session: usize, began: u64, ended: u64) -> Fate {
            let (began, ended) = (Some(self.at(began)), Some(self.at(ended)));
            Fate { session, began, ended, silent: Duration::ZERO, failed: None }
        }
    }

    #[test]
    fn a_fault_touches_the_calls_that_it_met_and_those_until_all_has_settled() {
        let day = Day(Instant::now());
        let kill = day.window(Kind::Kill, 100, 103, &[]);
        for (began, ended, touched) in
            [(80, 98, false), (80, 99, true), (101, 102, true), (108, 118, true), (109, 119, false)]
        {
            assert_eq!(kill.touches(&day.fate(0, began, ended)), touched, "{began} {ended}");
        }
        assert!(kill.touches(&Fate { ended: None, ..day.fate(0, 90, 0) }), "it never ended");
    }

    #[test]
    fn lost_sockets_touch_their_own_calls_alone() {
        let day = Day(Instant::now());
        let sockets = day.window(Kind::Sockets, 100, 101, &[3, 7]);
        assert!(sockets.touches(&day.fate(7, 95, 105)));
        assert!(!sockets.touches(&day.fate(6, 95, 105)));
    }

    #[test]
    fn each_fault_has_its_bound_and_two_add_up() {
        let day = Day(Instant::now());
        let of = |kind, until| {
            let found = day.window(kind, 100, until, &[0]).allowance(HOLD);
            (found.carrier, found.browser, found.free)
        };
        assert_eq!(of(Kind::Kill, 102), (8.0, 5.0, 37.0));
        assert_eq!(of(Kind::Silence, 110), (15.0, 0.0, 15.0));
        assert_eq!(of(Kind::Sockets, 101), (41.0, 0.0, 5.0));
        assert_eq!(of(Kind::Lock, 105), (1.0, 0.0, 6.0));
        let windows =
            [day.window(Kind::Kill, 100, 102, &[]), day.window(Kind::Silence, 120, 130, &[])];
        let seen = |called: &str, began, ended| Seen {
            called: called.to_owned(),
            outcome: super::super::super::seen::Outcome::Unclear,
            sound: None,
            fate: day.fate(0, began, ended),
        };
        let seen =
            [seen("+1", 90, 101), seen("+2", 101, 122), seen("+3", 200, 210), seen("+4", 103, 113)];
        let allowed = allowances(&windows, &seen, HOLD);
        let carrier = |called: &str| allowed.get(called).map(|allowed| allowed.carrier);
        assert_eq!((carrier("+1"), carrier("+2"), carrier("+3")), (Some(8.0), Some(23.0), None));
        assert_eq!(carrier("+4"), Some(0.0), "it began when all was back");
    }

    #[test]
    fn a_call_that_goes_on_without_its_caller_meets_the_next_fault_too() {
        let day = Day(Instant::now());
        let windows =
            [day.window(Kind::Sockets, 100, 100, &[0]), day.window(Kind::Silence, 129, 139, &[])];
        let seen = |called: &str, failed: Option<&str>| Seen {
            called: called.to_owned(),
            outcome: super::super::super::seen::Outcome::Unclear,
            sound: None,
            fate: Fate {
                failed: failed.map(str::to_owned),
                silent: Duration::from_secs(3),
                ..day.fate(0, 95, 100)
            },
        };
        let seen = [seen("+1", Some(SESSION_LOST)), seen("+2", None)];
        let allowed = allowances(&windows, &seen, HOLD);
        assert_eq!((allowed["+1"].carrier, allowed["+2"].carrier), (49.0, 34.0));
    }

    #[test]
    fn a_session_that_is_lost_without_a_fault_is_found() {
        let day = Day(Instant::now());
        let windows = [
            day.window(Kind::Kill, 100, 102, &[]),
            day.window(Kind::Sockets, 200, 201, &[3]),
            day.window(Kind::Lock, 300, 305, &[]),
        ];
        let losses = [(100, 1), (200, 3), (200, 4), (250, 3), (301, 1)];
        let losses = losses.map(|(at, session)| (day.at(at), session));
        assert_eq!(unexplained(&windows, &losses), 3);
    }
}
