//! What arrived of a leg's RTP: loss and jitter (RFC 3550 appendices A.1, A.3, A.8) and a MOS.

use std::time::Instant;

/// Sequence numbers further away than this on one SSRC are a new start.
const JUMP: i32 = 3_000;
/// RTP clock of every codec here, in Hz.
const CLOCK: u64 = 8_000;

/// Counts one leg's packets, over changes of its SSRC.
#[derive(Debug)]
pub(crate) struct Reception {
    origin: Instant,
    received: u64,
    /// Lost of sources that are over.
    lost_before: u64,
    source: Option<Source>,
    /// Smoothed interarrival jitter in sixteenths of a sample, as the RFC's integer form has it.
    jitter: u32,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    first: i64,
    highest: i64,
    received: u64,
    transit: Option<u32>,
    expected_prior: u64,
    received_prior: u64,
}

/// The figures of a report block (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) ssrc: u32,
    /// Lost since the last report, in 1/256.
    pub(crate) fraction: u8,
    pub(crate) lost: u32,
    pub(crate) highest: u32,
    pub(crate) jitter: u32,
}

impl Reception {
    pub(crate) const fn new(origin: Instant) -> Self {
        Self { origin, received: 0, lost_before: 0, source: None, jitter: 0 }
    }

    /// Counts a packet. `timestamp` is `None` for telephone-events, whose timestamps stand still.
    pub(crate) fn packet(&mut self, now: Instant, ssrc: u32, seq: u16, timestamp: Option<u32>) {
        self.received += 1;
        let transit = timestamp.map(|timestamp| self.arrival(now).wrapping_sub(timestamp));
        let step = self.source.as_ref().filter(|source| source.ssrc == ssrc).map(|source| {
            let [low, high, ..] = source.highest.to_le_bytes();
            i64::from(seq.wrapping_sub(u16::from_le_bytes([low, high])).cast_signed())
        });
        let Some(step) = step.filter(|step| step.abs() <= i64::from(JUMP)) else {
            self.lost_before = self.lost();
            self.source = Some(Source::starting(ssrc, seq, transit));
            return;
        };
        let Some(source) = self.source.as_mut() else { return };
        source.received += 1;
        source.highest = source.highest.max(source.highest + step);
        if let Some(transit) = transit
            && step > 0
        {
            if let Some(before) = source.transit {
                let change = transit.wrapping_sub(before).cast_signed().unsigned_abs();
                // J += (|D| - J) / 16, in sixteenths; a leap of a minute is no jitter.
                let change = change.min(480_000);
                self.jitter = self.jitter + change - ((self.jitter + 8) >> 4);
            }
            source.transit = Some(transit);
        }
    }

    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn lost(&self) -> u64 {
        let current = self
            .source
            .as_ref()
            .map_or(0, |source| source.expected().saturating_sub(source.received));
        self.lost_before + current
    }

    pub(crate) fn jitter_ms(&self) -> f32 {
        // Sixteenths of a sample of 1/8 ms.
        let sixteenths = u16::try_from(self.jitter).unwrap_or(u16::MAX);
        f32::from(sixteenths) / 128.0
    }

    /// The next report's block; `None` before any packet.
    pub(crate) fn block(&mut self) -> Option<Block> {
        let jitter = self.jitter >> 4;
        let source = self.source.as_mut()?;
        let expected = source.expected();
        // Of this source alone, as the receiver of the report counts.
        let lost = expected.saturating_sub(source.received);
        let lost = u32::try_from(lost).unwrap_or(u32::MAX).min(0x7f_ffff);
        let expected_now = expected.saturating_sub(source.expected_prior);
        let received_now = source.received.saturating_sub(source.received_prior);
        source.expected_prior = expected;
        source.received_prior = source.received;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0);
        let [h0, h1, h2, h3, ..] = source.highest.to_le_bytes();
        Some(Block {
            ssrc: source.ssrc,
            fraction: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost,
            highest: u32::from_le_bytes([h0, h1, h2, h3]),
            jitter,
        })
    }

    fn arrival(&self, now: Instant) -> u32 {
        let micros = now.saturating_duration_since(self.origin).as_micros();
        let samples = u64::try_from(micros).unwrap_or(u64::MAX).saturating_mul(CLOCK) / 1_000_000;
        let [a, b, c, d, ..] = samples.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

impl Source {
    fn starting(ssrc: u32, seq: u16, transit: Option<u32>) -> Self {
        let first = i64::from(seq);
        Self {
            ssrc,
            first,
            highest: first,
            received: 1,
            transit,
            expected_prior: 0,
            received_prior: 0,
        }
    }

    fn expected(&self) -> u64 {
        u64::try_from(self.highest - self.first + 1).unwrap_or(0)
    }
}

/// Estimated listening quality, 1.0..=4.5: the E-model (ITU-T G.107) in the short form that browser
/// calling products use, from the round trip, the jitter and the lost share (0..=1).
pub(crate) fn mos(rtt_ms: f32, jitter_ms: f32, loss: f32) -> f32 {
    let latency = rtt_ms + 2.0 * jitter_ms + 10.0;
    let delay = if latency < 160.0 { latency / 40.0 } else { (latency - 120.0) / 10.0 };
    let r = (94.768 - delay - loss * 100.0 * 2.5).clamp(0.0, 100.0);
    (1.0 + 0.035 * r + 0.000_007 * r * (r - 60.0) * (100.0 - r)).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn feed(packets: impl IntoIterator<Item = (u64, u32, u16, u32)>) -> Reception {
        let start = Instant::now();
        let mut reception = Reception::new(start);
        for (ms, ssrc, seq, timestamp) in packets {
            reception.packet(start + Duration::from_millis(ms), ssrc, seq, Some(timestamp));
        }
        reception
    }

    #[test]
    fn an_even_stream_has_no_loss_and_no_jitter() {
        let mut reception = feed(
            (0..200_u16).map(|n| (u64::from(n) * 20, 1, n.wrapping_sub(50), u32::from(n) * 160)),
        );
        assert_eq!((reception.received(), reception.lost()), (200, 0));
        assert!(reception.jitter_ms() < 0.1);
        let block = reception.block().unwrap();
        assert_eq!((block.fraction, block.lost), (0, 0));
        assert_eq!(block.highest, 65_486 + 199);
    }

    #[test]
    fn gaps_are_loss_until_the_late_packet_comes() {
        let mut reception = feed([(0, 1, 1, 0), (20, 1, 2, 160), (80, 1, 5, 640)]);
        assert_eq!(reception.lost(), 2);
        assert_eq!(reception.block().unwrap().fraction, 102);
        let now = reception.origin + Duration::from_millis(90);
        reception.packet(now, 1, 4, Some(480));
        assert_eq!(reception.lost(), 1);
    }

    #[test]
    fn a_new_source_starts_anew_and_keeps_what_was_lost() {
        let reception =
            feed([(0, 1, 1, 0), (40, 1, 3, 320), (60, 2, 9_000, 5), (80, 2, 9_001, 165)]);
        assert_eq!((reception.received(), reception.lost()), (4, 1));
    }

    #[test]
    fn uneven_arrival_is_jitter() {
        // Every second packet comes 10 ms late.
        let reception = feed(
            (0..500_u16)
                .map(|n| (u64::from(n) * 20 + u64::from(n % 2) * 10, 1, n, u32::from(n) * 160)),
        );
        assert!((reception.jitter_ms() - 10.0).abs() < 1.0, "{}", reception.jitter_ms());
    }

    #[test]
    fn mos_falls_with_loss_and_delay() {
        let best = mos(20.0, 1.0, 0.0);
        assert!(best > 4.3, "{best}");
        assert!(mos(20.0, 1.0, 0.05) < best - 0.2);
        assert!(mos(600.0, 30.0, 0.0) < best - 0.5);
        assert!((mos(5_000.0, 1_000.0, 1.0) - 1.0).abs() < 0.01);
    }
}
