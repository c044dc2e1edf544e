//! The sound of one call: a tone and an echo go out, packets, energy and digits are counted.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sautikit_media::g711::{self, Law};
use sautikit_media::rtp::Packet;
use sautikit_net::random;

use super::sdp::Agreed;

/// How often a packet leaves, and its samples.
pub(super) const PACKET_TIME: Duration = Duration::from_millis(20);
const SAMPLES: usize = 160;
const SAMPLES_PER_SECOND: u16 = 8000;
/// Most of what was heard that waits for its echo: 200 ms.
const ECHO_MAX: usize = 1600;
/// The greeting, in packets: 1.5 s of the tone, so that whoever listens hears something at once.
const GREETING: u64 = 75;
/// After it a soft beep of 100 ms every 2 s.
const BEEP: u64 = 5;
const BEEP_EVERY: u64 = 100;
/// Longest payload that is looked at: 100 ms.
const PAYLOAD_MAX: usize = 800;
const DIGITS_MAX: usize = 64;

/// What a call's line has heard and said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub(super) packets: u64,
    pub(super) sent: u64,
    /// Mean square × seconds, full scale = 1.
    pub(super) energy: f64,
    pub(super) digits: String,
    /// Sequence numbers, extended beyond 16 bits: the first and the highest.
    first: i64,
    highest: i64,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Voice {
    agreed: Agreed,
    tone: Arc<[i16]>,
    echo: VecDeque<i16>,
    /// Packets' worth of time since the answer.
    ticks: u64,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    /// The timestamp of the last event: its packets are repeated.
    last_event: Option<u32>,
    heard: Heard,
}

/// One second of a tone at half of full scale: it loops without a seam.
pub(super) fn tone(hertz: u16) -> Arc<[i16]> {
    let sample = |index: u16| {
        let turn = f64::from(index) * f64::from(hertz) / f64::from(SAMPLES_PER_SECOND);
        // In range by construction, so the cast only drops the fraction.
        #[allow(clippy::cast_possible_truncation)]
        {
            ((turn * TAU).sin() * 16_383.0) as i16
        }
    };
    (0..SAMPLES_PER_SECOND).map(sample).collect()
}

impl Voice {
    pub(super) fn new(agreed: Agreed, tone: Arc<[i16]>) -> Self {
        let [s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = random::bytes();
        Self {
            agreed,
            tone,
            echo: VecDeque::new(),
            ticks: 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            last_event: None,
            heard: Heard::default(),
        }
    }

    /// A new offer was agreed on.
    pub(super) fn change(&mut self, agreed: Agreed) {
        self.agreed = agreed;
    }

    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// Takes a datagram of the line's port. What is no RTP of an agreed kind is passed over.
    pub(super) fn hear(&mut self, datagram: &[u8]) {
        let Some(packet) = Packet::parse(datagram) else { return };
        if packet.payload.len() > PAYLOAD_MAX {
            return;
        }
        if Some(packet.payload_type) == self.agreed.events {
            self.heard.count(packet.sequence);
            self.hear_event(&packet);
        } else if let Some(law) = Law::of_payload_type(packet.payload_type) {
            self.heard.count(packet.sequence);
            let count = u16::try_from(packet.payload.len()).unwrap_or(0);
            let seconds = f64::from(count) / f64::from(SAMPLES_PER_SECOND);
            self.heard.energy += g711::energy(law, packet.payload) * seconds;
            let room = ECHO_MAX.saturating_sub(self.echo.len());
            self.echo.extend(packet.payload.iter().take(room).map(|code| law.decode(*code)));
        }
    }

    fn hear_event(&mut self, packet: &Packet<'_>) {
        let is_new = self.last_event.replace(packet.timestamp) != Some(packet.timestamp);
        let digit =
            packet.payload.first().and_then(|event| b"0123456789*#ABCD".get(usize::from(*event)));
        if let (true, Some(digit)) = (is_new && self.heard.digits.len() < DIGITS_MAX, digit) {
            self.heard.digits.push(char::from(*digit));
        }
    }

    /// The next packet, once in [`PACKET_TIME`]; `None` where the other side wants none.
    pub(super) fn speak(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let loudness = match self.ticks {
            ticks if ticks < GREETING => 4,
            ticks if ticks % BEEP_EVERY < BEEP => 1,
            _ => 0,
        };
        let at = usize::try_from(self.ticks).unwrap_or(0) * SAMPLES % self.tone.len();
        let (sequence, timestamp) = (self.sequence, self.timestamp);
        self.ticks += 1;
        self.timestamp = timestamp.wrapping_add(160);
        let law = self.agreed.law;
        let echo = &mut self.echo;
        let payload: Vec<u8> = self.tone[at..at + SAMPLES]
            .iter()
            .map(|tone| {
                let echo = echo.pop_front().unwrap_or(0);
                law.encode((tone / 4 * loudness).saturating_add(echo))
            })
            .collect();
        let remote = self.agreed.remote.filter(|_| self.agreed.direction.sends())?;
        self.sequence = sequence.wrapping_add(1);
        let marker = self.heard.sent == 0;
        self.heard.sent += 1;
        let (payload_type, ssrc) = (law.payload_type(), self.ssrc);
        let packet = Packet { marker, payload_type, sequence, timestamp, ssrc, payload: &payload };
        Some((remote, packet.to_bytes()))
    }
}

impl Heard {
    /// Packets that are missing, by their sequence numbers; a repeated packet hides a missing one.
    pub(super) fn lost(&self) -> u64 {
        if self.packets == 0 {
            return 0;
        }
        let expected = u64::try_from(self.highest - self.first + 1).unwrap_or(0);
        expected.saturating_sub(self.packets)
    }

    fn count(&mut self, sequence: u16) {
        let sequence = i64::from(sequence);
        if self.packets == 0 {
            (self.first, self.highest) = (sequence, sequence);
        } else {
            // The nearest number to the highest one that ends in these 16 bits (RFC 3550 appendix A.1).
            let ahead = (sequence - self.highest + 0x8000).rem_euclid(0x1_0000) - 0x8000;
            self.highest = self.highest.max(self.highest + ahead);
        }
        self.packets += 1;
    }
}

#[cfg(test)]
mod tests {
    use sautikit_sip::sdp::Direction;

    use super::*;

    fn voice(direction: Direction) -> Voice {
        let remote = Some("127.0.0.1:4000".parse().unwrap());
        Voice::new(Agreed { law: Law::A, events: Some(101), remote, direction }, tone(425))
    }

    fn packet(sequence: u16, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        Packet { marker: false, payload_type, sequence, timestamp, ssrc: 1, payload }.to_bytes()
    }

    fn energy(sent: &[u8]) -> f64 {
        g711::energy(Law::A, Packet::parse(sent).unwrap().payload)
    }

    #[test]
    fn the_tone_comes_first_and_then_the_callers_own_voice() {
        let mut voice = voice(Direction::SendRecv);
        let (to, first) = voice.speak().unwrap();
        assert_eq!(to, "127.0.0.1:4000".parse().unwrap());
        assert!(Packet::parse(&first).unwrap().marker);
        assert!(energy(&first) > 0.05);
        for _ in 1..GREETING + BEEP {
            voice.speak();
        }
        let (_, quiet) = voice.speak().unwrap();
        assert!(energy(&quiet) < 1e-6, "no tone, and nobody spoke");
        let spoken = g711::tone(Law::Mu, 440);
        voice.hear(&packet(1, 0, 160, &spoken[..SAMPLES]));
        let (_, echo) = voice.speak().unwrap();
        assert!(energy(&echo) > 0.05, "what was said in µ-law comes back in A-law");
    }

    #[test]
    fn packets_losses_and_energy_are_counted_over_the_wrap() {
        let mut voice = voice(Direction::SendRecv);
        let spoken = g711::tone(Law::A, 440);
        for sequence in [65_533, 65_534, 0, 65_535, 3] {
            voice.hear(&packet(sequence, 8, 0, &spoken[..SAMPLES]));
        }
        voice.hear(b"no RTP at all, but some bytes");
        voice.hear(&packet(4, 111, 0, &spoken[..SAMPLES]));
        let heard = voice.heard();
        assert_eq!((heard.packets, heard.lost()), (5, 2));
        assert!(heard.energy > 0.01 && heard.energy < 0.1, "{}", heard.energy);
        assert_eq!(Heard::default().lost(), 0);
    }

    #[test]
    fn an_event_is_one_digit_however_often_it_is_repeated() {
        let mut voice = voice(Direction::SendRecv);
        for (sequence, timestamp, event) in [(1, 160, 1), (2, 160, 1), (3, 800, 1), (4, 1600, 11)] {
            voice.hear(&packet(sequence, 101, timestamp, &[event, 0x0a, 0, 160]));
        }
        voice.hear(&packet(5, 101, 2400, &[200, 0, 0, 0]));
        assert_eq!(voice.heard().digits, "11#");
    }

    #[test]
    fn a_held_caller_gets_no_packets() {
        assert!(voice(Direction::RecvOnly).speak().is_none());
        let mut voice = voice(Direction::SendRecv);
        voice.change(Agreed { remote: None, ..voice.agreed });
        assert!(voice.speak().is_none());
        assert_eq!(voice.heard().sent, 0);
    }
}
