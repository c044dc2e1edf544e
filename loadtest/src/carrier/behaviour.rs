//! What the carrier does with a call, by the last two digits of the called number.

use std::time::Duration;

/// How long a call to a number that ends in 06 lasts.
pub const HANG_UP_AFTER: Duration = Duration::from_secs(3);

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings, and answers when its time has come.
    Answer,
    /// 02: rings until the caller gives up.
    Ring,
    /// 03: 486.
    Busy,
    /// 04: 603.
    Decline,
    /// 05: nothing at all comes back, as from a carrier that is gone.
    Silent,
    /// 06: answers, and hangs up after [`HANG_UP_AFTER`].
    HangUp,
}

impl Behaviour {
    /// Of the user part of a Request-URI.
    #[must_use]
    pub fn of(called: &str) -> Self {
        match called.len().checked_sub(2).and_then(|at| called.get(at..)) {
            Some("02") => Self::Ring,
            Some("03") => Self::Busy,
            Some("04") => Self::Decline,
            Some("05") => Self::Silent,
            Some("06") => Self::HangUp,
            _ => Self::Answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_digits_decide() {
        for (called, behaviour) in [
            ("+254722000001", Behaviour::Answer),
            ("+254722000002", Behaviour::Ring),
            ("+254722000003", Behaviour::Busy),
            ("+254722000004", Behaviour::Decline),
            ("+254722000005", Behaviour::Silent),
            ("254722000006", Behaviour::HangUp),
            ("+254722000007", Behaviour::Answer),
            ("+254722000012", Behaviour::Answer),
            ("02", Behaviour::Ring),
            ("2", Behaviour::Answer),
            ("", Behaviour::Answer),
            ("ä2", Behaviour::Answer),
        ] {
            assert_eq!(Behaviour::of(called), behaviour, "{called}");
        }
    }
}
