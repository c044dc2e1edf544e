//! What each call was to its browser, kept until the end: what the other sides' books are held to.

use std::time::{Duration, Instant};

/// One call, numbered by its place among all of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// Unique in a run, so that the records of generator, gateway and carrier meet in it.
    pub(super) called: String,
    pub(super) outcome: Outcome,
    /// What its browser's end of the audio heard and said.
    pub(super) sound: Option<Sound>,
    pub(super) fate: Fate,
}

/// Why a call failed whose socket was gone.
pub(super) const SESSION_LOST: &str = "session lost";

/// On which session a call was made, when, and what became of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fate {
    pub(super) session: usize,
    /// Its intended time.
    pub(super) began: Option<Instant>,
    pub(super) ended: Option<Instant>,
    /// Of a call whose socket is gone: since its browser's last byte.
    pub(super) silent: Duration,
    /// Why it was not as it should be.
    pub(super) failed: Option<String>,
}

impl Seen {
    pub(super) fn talked(&mut self, talked: Duration) {
        if let Outcome::Answered(answered) = &mut self.outcome {
            answered.talked = Some(talked);
        }
    }
}

/// How a call went.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Outcome {
    /// It ended without a word: a lost socket, no final response, a CANCEL that met the answer.
    #[default]
    Unclear,
    /// Refused, by whomever.
    Unanswered,
    Answered(Answered),
}

/// What the 200 said, and how long the browser talked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answered {
    /// `X-Sautikit-Call-Id`.
    pub(super) call_id: Option<String>,
    /// `X-Sautikit-Rate`.
    pub(super) rate: Option<String>,
    /// From the 200's arrival to the first BYE; `None` where neither side's came.
    pub(super) talked: Option<Duration>,
}

/// One end's audio.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sound {
    /// From the answer until ICE and DTLS were up.
    pub(super) connected_after: Option<Duration>,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Missing, by sequence numbers.
    pub(super) lost: u64,
    pub(super) jitter_ms: f64,
    /// Mean square × seconds, full scale = 1.
    pub(super) energy: f64,
}
