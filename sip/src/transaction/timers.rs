//! Names and lengths of the timers of RFC 3261 table 4, and the small table a machine keeps them in.

use std::time::{Duration, Instant};

/// Estimate of the round trip (RFC 3261 section 17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// Longest pause between retransmissions of a non-INVITE request and of a response to an INVITE.
pub const T2: Duration = Duration::from_secs(4);
/// Longest time that a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64×T1: timers B, F, H, J, L and M. Also the least length of timer D on an unreliable transport.
pub const GIVE_UP: Duration = Duration::from_secs(32);

const _: () = assert!(GIVE_UP.as_millis() == 64 * T1.as_millis());

/// The timers of RFC 3261 and RFC 6026, by their letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// INVITE request is sent again.
    A,
    /// INVITE was never answered.
    B,
    /// Retransmitted refusals of an INVITE are still acknowledged.
    D,
    /// Non-INVITE request is sent again.
    E,
    /// Non-INVITE request was never answered.
    F,
    /// Refusal of an INVITE is sent again.
    G,
    /// ACK never came.
    H,
    /// Repeated ACKs are still absorbed.
    I,
    /// Repeated non-INVITE requests are still answered.
    J,
    /// Repeated responses to a non-INVITE request are still absorbed.
    K,
    /// Repeated INVITEs of an accepted one are still absorbed (RFC 6026).
    L,
    /// Further 2xx of an accepted INVITE are still taken (RFC 6026).
    M,
}

impl Timer {
    /// The letter, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::D => "D",
            Self::E => "E",
            Self::F => "F",
            Self::G => "G",
            Self::H => "H",
            Self::I => "I",
            Self::J => "J",
            Self::K => "K",
            Self::L => "L",
            Self::M => "M",
        }
    }
}

/// The running timers of one machine: at most `N` at once, one deadline to the outside.
#[derive(Debug, Clone)]
pub struct Table<const N: usize> {
    rows: [Option<(Timer, Instant)>; N],
}

impl<const N: usize> Table<N> {
    /// A table in which nothing runs.
    #[must_use]
    pub const fn new() -> Self {
        Self { rows: [None; N] }
    }

    /// Starts the timer, or moves it where it runs already.
    ///
    /// # Panics
    /// When more than `N` timers would run: each machine's `N` covers its busiest state.
    pub fn start(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        let row = self.rows.iter_mut().find(|row| row.is_none());
        *row.expect("N covers the machine's busiest state") = Some((timer, at));
    }

    /// Stops the timer where it runs.
    pub fn stop(&mut self, timer: Timer) {
        for row in &mut self.rows {
            if row.is_some_and(|(running, _)| running == timer) {
                *row = None;
            }
        }
    }

    /// Stops all.
    pub fn clear(&mut self) {
        self.rows = [None; N];
    }

    /// The next deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.rows.iter().flatten().map(|(_, at)| *at).min()
    }

    /// Takes out the earliest timer that is due. Of two due at one instant the one whose letter comes last
    /// goes first, so that giving up (B, F, H) beats one more retransmission (A, E, G).
    pub fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (timer, _) = self
            .rows
            .iter()
            .flatten()
            .filter(|(_, at)| *at <= now)
            .min_by_key(|(timer, at)| (*at, std::cmp::Reverse(*timer)))
            .copied()?;
        self.stop(timer);
        Some(timer)
    }
}

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::Due;
    use super::*;

    pub(crate) const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Virtual time: jumps from deadline to deadline.
    pub(crate) struct Clock {
        start: Instant,
        now: Instant,
    }

    impl Clock {
        #[allow(
            clippy::disallowed_methods,
            reason = "an arbitrary origin; time is virtual after it"
        )]
        pub(crate) fn new() -> Self {
            let start = Instant::now();
            Self { start, now: start }
        }

        pub(crate) const fn now(&self) -> Instant {
            self.now
        }

        /// Runs a machine for `span` and lists what fell due, with milliseconds since the clock began.
        /// `step` handles the given instant and tells the next deadline.
        pub(crate) fn run(
            &mut self,
            span: Duration,
            mut step: impl FnMut(Instant) -> (Option<Due>, Option<Instant>),
        ) -> Vec<(u64, Due)> {
            let end = self.now + span;
            let mut fired = Vec::new();
            loop {
                let (due, next) = step(self.now);
                let told = due.is_some();
                if let Some(due) = due {
                    let at = u64::try_from((self.now - self.start).as_millis()).unwrap();
                    fired.push((at, due));
                }
                match next {
                    _ if told => {}
                    Some(next) if next <= end => self.now = next.max(self.now),
                    _ => break,
                }
            }
            self.now = end;
            fired
        }
    }

    #[test]
    fn of_two_timers_due_at_once_giving_up_goes_first() {
        let now = Clock::new().now();
        let mut table = Table::<2>::new();
        table.start(Timer::A, now);
        table.start(Timer::B, now);
        assert_eq!(table.pop_due(now), Some(Timer::B));
        assert_eq!(table.pop_due(now), Some(Timer::A));
        assert_eq!(table.pop_due(now), None);
    }
}
