//! What a leg counts of its two streams and tells the other end by RTCP (RFC 3550 section 6).

use std::time::{Duration, Instant};

use crate::rebase::Rebase;
use crate::reception::Reception;
use crate::rtcp::{self, LastReport, Sent};

/// How often we report: some carriers hang up without (RFC 3550 section 6.2 allows 5 s).
const INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Reports {
    /// The SSRC of everything that we send there, for the whole call.
    ssrc: u32,
    origin: Instant,
    /// The wall clock at `origin`: what sender reports are stamped by.
    wall: Duration,
    reception: Reception,
    last: Option<LastReport>,
    next: Option<Instant>,
    packets_sent: u64,
    octets_sent: u64,
    round_trip: Option<Duration>,
    reported_loss: Option<u8>,
}

impl Reports {
    /// `wall` is the time since 1970 that `now` is.
    pub(crate) const fn new(now: Instant, wall: Duration, ssrc: u32) -> Self {
        Self {
            ssrc,
            origin: now,
            wall,
            reception: Reception::new(now),
            last: None,
            next: None,
            packets_sent: 0,
            octets_sent: 0,
            round_trip: None,
            reported_loss: None,
        }
    }

    /// There is somebody to report to. The first report comes early, and not at the same moment for
    /// all calls.
    pub(crate) fn begin(&mut self, now: Instant) {
        if self.next.is_none() {
            let spread = u64::from(self.ssrc % 4_000);
            self.next = Some(now + Duration::from_millis(1_000 + spread));
        }
    }

    /// Counts a packet that came. `timestamp` is `None` for what has no clock of its own.
    pub(crate) fn received(&mut self, now: Instant, ssrc: u32, seq: u16, timestamp: Option<u32>) {
        self.reception.packet(now, ssrc, seq, timestamp);
    }

    /// Counts a packet that left.
    pub(crate) fn sent(&mut self, payload: usize) {
        self.packets_sent += 1;
        self.octets_sent += u64::try_from(payload).unwrap_or(0);
    }

    /// Takes a compound packet of the other end; false where it is none.
    pub(crate) fn take(&mut self, now: Instant, compound: &[u8]) -> bool {
        let Some(told) = rtcp::read(compound, self.ssrc) else { return false };
        if let Some((ssrc, ntp)) = told.sender {
            self.last = Some(LastReport { ssrc, ntp, at: now });
        }
        if let Some(ours) = told.ours {
            self.reported_loss = Some(ours.fraction);
            self.round_trip = ours.round_trip(self.wall_at(now)).or(self.round_trip);
        }
        true
    }

    /// When the next report is due.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The report that is due, if one is. `stream` is what we send.
    pub(crate) fn due(&mut self, now: Instant, stream: &Rebase) -> Option<Vec<u8>> {
        let due = self.next.filter(|due| *due <= now)?;
        self.next = Some(due.max(now) + INTERVAL);
        let sent = stream.timestamp_at(now).map(|timestamp| Sent {
            wall: self.wall_at(now),
            timestamp,
            packets: self.packets_sent,
            octets: self.octets_sent,
        });
        let block = self.reception.block();
        Some(rtcp::report(now, self.ssrc, sent, block, self.last))
    }

    fn wall_at(&self, now: Instant) -> Duration {
        self.wall + now.saturating_duration_since(self.origin)
    }

    /// The end of our stream, for who heard of it.
    pub(crate) fn goodbye(&self) -> Option<Vec<u8>> {
        (self.packets_sent > 0).then(|| rtcp::goodbye(self.ssrc))
    }

    pub(crate) const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(crate) const fn reception(&self) -> &Reception {
        &self.reception
    }

    pub(crate) const fn packets_sent(&self) -> u64 {
        self.packets_sent
    }

    pub(crate) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The share of our packets that the other end reported lost last, 0..=1.
    pub(crate) fn reported_loss(&self) -> Option<f32> {
        self.reported_loss.map(|fraction| f32::from(fraction) / 256.0)
    }
}
