//! One outgoing RTP stream for life, whatever feeds it: SSRC, sequence numbers and timestamps go on
//! over a change of source (fork, early media to answer, a carrier's media switch).

use std::time::{Duration, Instant};

/// Sequence numbers further away than this on one SSRC mean that the sender started again.
const JUMP: i32 = 3_000;
/// Packets of the former source are late, not a switch back, for so long.
const LATE: Duration = Duration::from_millis(500);
/// Samples a second of every codec here (G.711 and its telephone-event).
const CLOCK: u64 = 8_000;
/// Samples of one packet, where nothing better is known.
const PACKET: u32 = 160;

/// Numbers of a packet in the outgoing stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// Extended: continues over 65,535; the first is below 65,536.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    /// The first packet of a new source: a talkspurt begins (RFC 3551 section 4.1).
    pub(crate) switched: bool,
}

/// Maps incoming numbers to outgoing ones.
#[derive(Debug)]
pub(crate) struct Rebase {
    next_sequence: u64,
    next_timestamp: u32,
    last_at: Option<Instant>,
    source: Option<Source>,
    former: Option<(u32, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// Highest incoming sequence number, and the outgoing one that it became.
    sequence: u16,
    mapped: u64,
    /// The lowest outgoing number that this source may use.
    floor: u64,
    timestamp_offset: u32,
}

impl Rebase {
    /// A stream whose first packet has these numbers.
    pub(crate) const fn new(sequence: u16, timestamp: u32) -> Self {
        Self {
            next_sequence: sequence as u64,
            next_timestamp: timestamp,
            last_at: None,
            source: None,
            former: None,
        }
    }

    /// Maps a packet; `None` for a packet that came too late to have a place.
    pub(crate) fn map(
        &mut self,
        now: Instant,
        ssrc: u32,
        sequence: u16,
        timestamp: u32,
    ) -> Option<Mapped> {
        if let Some((former, since)) = self.former
            && former == ssrc
            && now.saturating_duration_since(since) < LATE
        {
            return None;
        }
        let known = self.source.filter(|source| source.ssrc == ssrc);
        if let Some(source) = known {
            let step = i32::from(sequence.wrapping_sub(source.sequence).cast_signed());
            if step.abs() <= JUMP {
                return self.follow(now, source, sequence, step, timestamp);
            }
        }
        Some(self.switch(now, ssrc, sequence, timestamp))
    }

    /// A packet of the source was left out (the receiver holds the call, or does not know the
    /// codec): what follows continues without a gap, which the receiver would count as loss.
    pub(crate) fn interrupt(&mut self) {
        self.source = None;
    }

    /// The outgoing timestamp that this moment has, for sender reports; `None` before any packet.
    pub(crate) fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let elapsed = samples(now.saturating_duration_since(self.last_at?));
        Some(self.next_timestamp.wrapping_sub(PACKET).wrapping_add(elapsed))
    }

    fn follow(
        &mut self,
        now: Instant,
        mut source: Source,
        sequence: u16,
        step: i32,
        timestamp: u32,
    ) -> Option<Mapped> {
        let mapped = source.mapped.checked_add_signed(i64::from(step))?;
        if mapped < source.floor {
            return None;
        }
        let out = timestamp.wrapping_add(source.timestamp_offset);
        if step > 0 {
            source.sequence = sequence;
            source.mapped = mapped;
            self.source = Some(source);
            self.next_sequence = mapped + 1;
            self.next_timestamp = out.wrapping_add(PACKET);
            self.last_at = Some(now);
        }
        Some(Mapped { sequence: mapped, timestamp: out, switched: false })
    }

    fn switch(&mut self, now: Instant, ssrc: u32, sequence: u16, timestamp: u32) -> Mapped {
        if let Some(source) = self.source
            && source.ssrc != ssrc
        {
            self.former = Some((source.ssrc, now));
        }
        // The receiver's clock ran on while nothing came: the gap in time is one in timestamps.
        let gap = self.last_at.map_or(0, |last| samples(now.saturating_duration_since(last)));
        let mapped = self.next_sequence;
        let out = self.next_timestamp.wrapping_add(gap.saturating_sub(PACKET));
        self.source = Some(Source {
            ssrc,
            sequence,
            mapped,
            floor: mapped,
            timestamp_offset: out.wrapping_sub(timestamp),
        });
        self.next_sequence = mapped + 1;
        self.next_timestamp = out.wrapping_add(PACKET);
        self.last_at = Some(now);
        Mapped { sequence: mapped, timestamp: out, switched: true }
    }
}

/// Samples that pass in a time; wraps as RTP timestamps do.
fn samples(time: Duration) -> u32 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let samples = micros.saturating_mul(CLOCK) / 1_000_000;
    u32::try_from(samples & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stream {
        rebase: Rebase,
        now: Instant,
    }

    impl Stream {
        fn new() -> Self {
            Self { rebase: Rebase::new(65_530, 1_000), now: Instant::now() }
        }

        fn after(&mut self, ms: u64) -> &mut Self {
            self.now += Duration::from_millis(ms);
            self
        }

        fn map(&mut self, ssrc: u32, sequence: u16, timestamp: u32) -> Option<(u64, u32, bool)> {
            let mapped = self.rebase.map(self.now, ssrc, sequence, timestamp)?;
            Some((mapped.sequence, mapped.timestamp, mapped.switched))
        }
    }

    #[test]
    fn numbers_start_where_told_and_run_past_65535() {
        let mut s = Stream::new();
        assert_eq!(s.map(1, 7, 0), Some((65_530, 1_000, true)));
        for n in 1..10 {
            let (sequence, timestamp, switched) =
                s.after(20).map(1, 7 + n, u32::from(n) * 160).unwrap();
            assert_eq!(sequence, 65_530 + u64::from(n));
            assert_eq!(timestamp, 1_000 + u32::from(n) * 160);
            assert!(!switched);
        }
    }

    #[test]
    fn gaps_and_reordering_pass_unchanged() {
        let mut s = Stream::new();
        assert_eq!(s.map(1, 65_534, 0), Some((65_530, 1_000, true)));
        assert_eq!(s.map(1, 1, 480), Some((65_533, 1_480, false)));
        assert_eq!(s.map(1, 0, 320), Some((65_532, 1_320, false)));
        assert_eq!(s.map(1, 2, 640), Some((65_534, 1_640, false)));
    }

    #[test]
    fn a_new_source_continues_sequence_and_time() {
        let mut s = Stream::new();
        s.map(1, 100, 50_000);
        s.after(20).map(1, 101, 50_160);
        let switched = s.after(20).map(2, 9_000, 7).unwrap();
        assert_eq!(switched, (65_532, 1_320, true));
        assert_eq!(s.after(20).map(2, 9_001, 167), Some((65_533, 1_480, false)));
        // Half a second of nothing, then a third source.
        assert_eq!(s.after(500).map(3, 1, 0), Some((65_534, 1_480 + 4_000, true)));
    }

    #[test]
    fn a_jump_on_the_same_ssrc_is_a_new_source() {
        let mut s = Stream::new();
        s.map(1, 100, 0);
        assert_eq!(s.after(20).map(1, 20_000, 99_999), Some((65_531, 1_160, true)));
    }

    #[test]
    fn late_packets_of_the_former_source_do_not_switch_back() {
        let mut s = Stream::new();
        s.map(1, 100, 0);
        s.after(20).map(2, 1, 0);
        assert_eq!(s.map(1, 101, 160), None);
        assert!(s.after(600).map(1, 140, 6_400).unwrap().2, "a real switch back is one");
    }

    #[test]
    fn after_an_interruption_the_sequence_continues_and_time_has_passed() {
        let mut s = Stream::new();
        s.map(1, 100, 0);
        s.rebase.interrupt();
        assert_eq!(s.after(200).map(1, 110, 1_600), Some((65_531, 2_600, true)));
        assert_eq!(s.after(20).map(1, 111, 1_760), Some((65_532, 2_760, false)));
    }

    #[test]
    fn a_packet_older_than_its_sources_first_has_no_place() {
        let mut s = Stream::new();
        s.map(1, 100, 0);
        assert_eq!(s.map(1, 99, 0), None);
    }

    #[test]
    fn the_clock_of_sender_reports_runs_with_the_stream() {
        let mut s = Stream::new();
        assert_eq!(s.rebase.timestamp_at(s.now), None);
        s.map(1, 100, 0);
        s.after(10);
        assert_eq!(s.rebase.timestamp_at(s.now), Some(1_080));
    }
}
