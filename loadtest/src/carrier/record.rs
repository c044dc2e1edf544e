//! The JSON line of a call that ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::voice::Heard;

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    Caller,
    #[default]
    Carrier,
}

/// One call, once it is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The SIP Call-ID.
    pub call_id: String,
    /// User parts: of From, and of the Request-URI. By the called number, which no other call of a
    /// load has, records of carrier, gateway and generator meet.
    pub from: String,
    pub to: String,
    /// `X-Sautikit-Call-Id` of the INVITE, where it had one.
    pub sautikit_call_id: Option<String>,
    /// When the INVITE came, in microseconds since 1970 by the carrier's clock; 0 in the lines of a
    /// carrier that did not say it.
    #[serde(default)]
    pub invited_unix_us: u64,
    /// The INVITE's final response; 487 where the caller gave up.
    pub status: u16,
    /// From our 200 to the first BYE, in seconds; 0 for a call without an answer.
    pub seconds: f64,
    /// RTP packets received, missing (by their sequence numbers), and sent.
    pub packets: u64,
    pub lost: u64,
    pub sent: u64,
    /// Energy of the audio received, as WebRTC's `totalAudioEnergy`: mean square × seconds.
    pub audio_energy: f64,
    /// DTMF received, by RFC 4733.
    pub digits: String,
    pub ended_by: EndedBy,
}

impl Record {
    pub(super) fn with_sound(mut self, heard: Heard) -> Self {
        self.packets = heard.packets;
        self.lost = heard.lost();
        self.sent = heard.sent;
        self.audio_energy = heard.energy;
        self.digits = heard.digits;
        self
    }
}

/// To the millisecond: what is printed should be read by people, too.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
