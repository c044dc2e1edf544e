//! DTMF digits as RTP events (RFC 4733): spoken in five updates and three end packets, heard once.

use std::collections::VecDeque;

const UPDATES: u16 = 5;
const ENDS: u16 = 3;
const SAMPLES: u16 = 160;
/// −10 dBm0.
const VOLUME: u8 = 10;
const END: u8 = 0x80;
/// Digits that a peer remembers.
const HEARD_MAX: usize = 64;

/// Digits that wait, the first of them under way.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    waiting: VecDeque<u8>,
    /// When the digit under way began, and how many of its packets are out.
    current: Option<(u32, u16)>,
}

pub(super) struct EventPacket {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: [u8; 4],
}

impl Spoken {
    pub(super) fn push(&mut self, event: u8) {
        if self.waiting.len() < HEARD_MAX {
            self.waiting.push_back(event);
        }
    }

    /// The next packet, in place of audio; `timestamp` is what audio would have now.
    pub(super) fn packet(&mut self, timestamp: u32) -> Option<EventPacket> {
        let event = *self.waiting.front()?;
        let (began, sent) = self.current.unwrap_or((timestamp, 0));
        let ending = sent >= UPDATES;
        let duration = SAMPLES * (sent + 1).min(UPDATES + 1);
        let [high, low] = duration.to_be_bytes();
        let flags = if ending { END | VOLUME } else { VOLUME };
        self.current = Some((began, sent + 1));
        if sent + 1 == UPDATES + ENDS {
            self.waiting.pop_front();
            self.current = None;
        }
        Some(EventPacket {
            timestamp: began,
            marker: sent == 0,
            payload: [event, flags, high, low],
        })
    }
}

/// Digits received: all packets of one have one timestamp.
#[derive(Debug, Default)]
pub(super) struct Heard {
    digits: Vec<u8>,
    last: Option<(u32, u8)>,
}

impl Heard {
    pub(super) fn packet(&mut self, timestamp: u32, payload: &[u8]) {
        let Some(&event) = payload.first() else { return };
        let is_new = self.last.replace((timestamp, event)) != Some((timestamp, event));
        if is_new && self.digits.len() < HEARD_MAX {
            self.digits.push(event);
        }
    }

    pub(super) fn digits(&self) -> &[u8] {
        &self.digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_one_event_of_growing_duration_with_three_ends() {
        let mut spoken = Spoken::default();
        spoken.push(7);
        spoken.push(7);
        let mut heard = Heard::default();
        let mut ends = 0;
        for n in 0..16_u32 {
            let packet = spoken.packet(n * 160).unwrap();
            assert_eq!(packet.timestamp, n / 8 * 8 * 160);
            assert_eq!(packet.marker, n % 8 == 0);
            ends += u32::from(packet.payload[1] & END != 0);
            heard.packet(packet.timestamp, &packet.payload);
        }
        assert!(spoken.packet(9_999).is_none());
        assert_eq!(ends, 6);
        assert_eq!(heard.digits(), [7, 7]);
    }
}
