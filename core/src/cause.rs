//! Why something was refused or ended. From one value follow the SIP answer, the API's status, the
//! code that clients switch on, the text that people read, and the metric's label.

mod ending;
mod handshake;
mod refusal;

pub use ending::{
    CallStatus, HangupBy, NameError, fails_over, hangup_cause_of_q850, hangup_cause_of_status,
    status_of_final,
};
pub use handshake::{CloseCode, HandshakeRefusal};
pub use refusal::Refusal;

use std::ops::RangeInclusive;

/// Seconds after which a refused client may come back. A range, so that a crowd that was refused
/// together does not return together: whoever answers draws from it.
pub type RetryAfter = RangeInclusive<u32>;

/// The seconds that `random` picks of a range; the same entropy gives the same answer.
#[must_use]
pub fn draw(range: &RetryAfter, random: u32) -> u32 {
    let width = range.end().saturating_sub(*range.start()).saturating_add(1);
    range.start().saturating_add(random % width)
}

/// For what an instant's rest cures: a rate over its limit.
const SOON: RetryAfter = 1..=3;
/// For what takes a while: a full node, a database that is down.
const LATER: RetryAfter = 2..=10;
/// For a node that goes away: its clients should find another one, not all at once.
const ELSEWHERE: RetryAfter = 1..=5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_stays_in_its_range_and_reaches_both_ends() {
        for random in [0, 1, 2, 3, 17, u32::MAX] {
            assert!(SOON.contains(&draw(&SOON, random)));
        }
        assert_eq!(draw(&(1..=3), 0), 1);
        assert_eq!(draw(&(1..=3), 2), 3);
        assert_eq!(draw(&(0..=u32::MAX), u32::MAX), 0);
    }
}
