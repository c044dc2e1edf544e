//! The silence rule: a leg that should send and is heard neither by RTP nor by RTCP is silent. Both
//! silent, or one for longer, ends the call. A held leg need not send; but a browser that is there
//! checks its path all the time (RFC 7675), so one that does not even that is silent, held or not.

use std::time::{Duration, Instant};

use crate::{MediaEvent, Side, Silent};

/// How long may be silent; zero = for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) both: Duration,
    pub(crate) one: Duration,
}

/// Watches one call from its answer on.
#[derive(Debug)]
pub(crate) struct Silence {
    limits: Limits,
    /// When the rule began to count; `None` before the answer and after it fired.
    since: Option<Instant>,
    browser: Leg,
    trunk: Leg,
}

#[derive(Debug, Default)]
struct Leg {
    heard: Option<Instant>,
    /// Its last check of the path.
    checked: Option<Instant>,
    held: bool,
    /// When its hold ended: it has its whole time again.
    resumed: Option<Instant>,
}

impl Silence {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, since: None, browser: Leg::default(), trunk: Leg::default() }
    }

    /// The call is answered. Only the first time counts.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(crate) fn heard(&mut self, side: Side, now: Instant) {
        self.leg(side).heard = Some(now);
    }

    /// The browser checked its path to us.
    pub(crate) fn browser_checked(&mut self, now: Instant) {
        self.browser.checked = Some(now);
    }

    /// What a side's last SDP says: a held leg is exempt.
    pub(crate) fn set_held(&mut self, side: Side, held: bool, now: Instant) {
        let leg = self.leg(side);
        if leg.held && !held {
            leg.resumed = Some(now);
        }
        leg.held = held;
    }

    /// Its last packet of whatever kind.
    pub(crate) fn last_packet(&self, side: Side) -> Option<Instant> {
        match side {
            Side::Browser => self.browser.heard.max(self.browser.checked),
            Side::Trunk => self.trunk.heard,
        }
    }

    /// When the rule would fire if nothing came any more.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.verdict().map(|(at, _)| at)
    }

    /// The event, once, when the rule is broken.
    pub(crate) fn check(&mut self, now: Instant) -> Option<MediaEvent> {
        let since = self.since?;
        let (_, who) = self.verdict().filter(|(at, _)| *at <= now)?;
        let (browser, trunk) = (self.browser.quiet_since(since), self.trunk.quiet_since(since));
        let last_packet = match who {
            Silent::One(Side::Trunk) => trunk,
            // A held call goes on as long as its browser is there.
            Silent::One(Side::Browser) if self.browser.held => {
                browser.max(trunk).max(self.browser.here_since(since))
            }
            // A browser that sends nothing may hear all the same.
            Silent::One(Side::Browser) | Silent::Both => browser.max(trunk),
        };
        // The owner ends the call; telling it again would say nothing new.
        self.limits = Limits { both: Duration::ZERO, one: Duration::ZERO };
        let silence = now.saturating_duration_since(last_packet);
        Some(MediaEvent::Silent { who, last_packet, silence })
    }

    fn verdict(&self) -> Option<(Instant, Silent)> {
        let since = self.since?;
        let quiet = |leg: &Leg| (!leg.held).then(|| leg.quiet_since(since));
        let (browser, trunk) = (quiet(&self.browser), quiet(&self.trunk));
        let gone = self.browser.quiet_since(since).max(self.browser.here_since(since));
        let Limits { both, one } = self.limits;
        let one_at = |from: Option<Instant>, side| {
            from.filter(|_| !one.is_zero()).map(|from| (from + one, Silent::One(side)))
        };
        let both_at = browser
            .zip(trunk)
            .filter(|_| !both.is_zero())
            .map(|(browser, trunk)| (browser.max(trunk) + both, Silent::Both));
        [both_at, one_at(browser.or(Some(gone)), Side::Browser), one_at(trunk, Side::Trunk)]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Browser => &mut self.browser,
            Side::Trunk => &mut self.trunk,
        }
    }
}

impl Leg {
    /// The last check of its path.
    fn here_since(&self, since: Instant) -> Instant {
        self.checked.map_or(since, |checked| checked.max(since))
    }

    fn quiet_since(&self, since: Instant) -> Instant {
        let heard = self.heard.map_or(since, |heard| heard.max(since));
        self.resumed.map_or(heard, |resumed| heard.max(resumed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { both: Duration::from_secs(30), one: Duration::from_secs(60) };

    struct Watch {
        silence: Silence,
        start: Instant,
    }

    impl Watch {
        fn new() -> Self {
            Self { silence: Silence::new(LIMITS), start: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// Who is silent at a second, and since which.
        fn check(&mut self, seconds: u64) -> Option<(Silent, u64)> {
            let now = self.at(seconds);
            let due = self.silence.deadline().is_some_and(|at| at <= now);
            let event = self.silence.check(now);
            assert_eq!(event.is_some(), due, "the deadline tells when to check");
            event.map(|event| {
                let MediaEvent::Silent { who, last_packet, silence } = event else { panic!() };
                assert_eq!(last_packet + silence, now);
                (who, last_packet.duration_since(self.start).as_secs())
            })
        }
    }

    #[test]
    fn nothing_counts_before_the_answer() {
        let mut watch = Watch::new();
        assert_eq!(watch.check(500), None);
        watch.silence.begin(watch.at(500));
        watch.silence.begin(watch.at(510));
        assert_eq!(watch.check(529), None);
        assert_eq!(watch.check(530), Some((Silent::Both, 500)));
        assert_eq!(watch.check(600), None, "told once");
    }

    #[test]
    fn both_silent_ends_at_the_later_ones_limit() {
        let mut watch = Watch::new();
        watch.silence.begin(watch.at(0));
        watch.silence.heard(Side::Browser, watch.at(10));
        watch.silence.heard(Side::Trunk, watch.at(25));
        assert_eq!(watch.check(54), None);
        assert_eq!(watch.check(55), Some((Silent::Both, 25)));
    }

    #[test]
    fn one_silent_has_longer() {
        let mut watch = Watch::new();
        watch.silence.begin(watch.at(0));
        watch.silence.heard(Side::Trunk, watch.at(7));
        for second in 8..67 {
            watch.silence.heard(Side::Browser, watch.at(second));
            assert_eq!(watch.check(second), None);
        }
        assert_eq!(watch.check(67), Some((Silent::One(Side::Trunk), 7)));
    }

    #[test]
    fn a_silent_browser_may_have_listened_to_the_end() {
        let mut watch = Watch::new();
        watch.silence.begin(watch.at(0));
        for second in 1..60 {
            watch.silence.heard(Side::Trunk, watch.at(second));
            assert_eq!(watch.check(second), None);
        }
        assert_eq!(watch.check(60), Some((Silent::One(Side::Browser), 59)));
    }

    #[test]
    fn held_legs_are_exempt_and_have_their_time_again() {
        let mut watch = Watch::new();
        watch.silence.begin(watch.at(0));
        watch.silence.set_held(Side::Trunk, true, watch.at(5));
        watch.silence.heard(Side::Browser, watch.at(100));
        assert_eq!(watch.check(150), None);
        watch.silence.set_held(Side::Trunk, false, watch.at(150));
        watch.silence.heard(Side::Browser, watch.at(155));
        assert_eq!(watch.check(184), None);
        assert_eq!(watch.check(185), Some((Silent::Both, 155)));
    }

    #[test]
    fn a_held_browser_that_checks_its_path_no_more_is_gone() {
        let mut watch = Watch::new();
        watch.silence.begin(watch.at(0));
        watch.silence.set_held(Side::Browser, true, watch.at(5));
        for second in 6..200 {
            watch.silence.heard(Side::Trunk, watch.at(second));
            watch.silence.browser_checked(watch.at(second));
            assert_eq!(watch.check(second), None);
        }
        assert_eq!(watch.silence.last_packet(Side::Browser), Some(watch.at(199)));
        for second in 200..259 {
            watch.silence.heard(Side::Trunk, watch.at(second));
            assert_eq!(watch.check(second), None);
        }
        // It may have listened to the end, and pays for it.
        assert_eq!(watch.check(259), Some((Silent::One(Side::Browser), 258)));
    }

    #[test]
    fn a_call_that_both_hold_is_billed_to_the_browsers_last_check() {
        let mut watch = Watch::new();
        watch.silence.begin(watch.at(0));
        for side in [Side::Browser, Side::Trunk] {
            watch.silence.heard(side, watch.at(4));
            watch.silence.set_held(side, true, watch.at(5));
        }
        for second in 6..600 {
            watch.silence.browser_checked(watch.at(second));
            assert_eq!(watch.check(second), None);
        }
        assert_eq!(watch.check(658), None);
        assert_eq!(watch.check(659), Some((Silent::One(Side::Browser), 599)));
    }

    #[test]
    fn a_browser_that_should_send_is_not_excused_by_its_checks() {
        let mut watch = Watch::new();
        watch.silence.begin(watch.at(0));
        for second in 1..60 {
            watch.silence.heard(Side::Trunk, watch.at(second));
            watch.silence.browser_checked(watch.at(second));
            assert_eq!(watch.check(second), None);
        }
        assert_eq!(watch.check(60), Some((Silent::One(Side::Browser), 59)));
    }

    #[test]
    fn zero_is_no_limit() {
        let mut watch = Watch::new();
        watch.silence.limits = Limits { both: Duration::ZERO, one: Duration::ZERO };
        watch.silence.begin(watch.at(0));
        assert_eq!(watch.check(100_000), None);
    }
}
