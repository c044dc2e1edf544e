//! A worker's figures, told to the recorder once a second instead of once a packet.

use std::time::{Duration, Instant};

use crate::Side;

const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Tally {
    worker: String,
    next: Option<Instant>,
    rounds: u64,
    unmatched: u64,
    browser: Packets,
    trunk: Packets,
    calls: usize,
}

#[derive(Debug, Default)]
struct Packets {
    read: u64,
    sent: u64,
    unsent: u64,
}

impl Tally {
    pub(crate) fn new(worker: usize) -> Self {
        Self {
            worker: worker.to_string(),
            next: None,
            rounds: 0,
            unmatched: 0,
            browser: Packets::default(),
            trunk: Packets::default(),
            calls: 0,
        }
    }

    pub(crate) fn read(&mut self, side: Side) {
        self.packets(side).read += 1;
    }

    /// A datagram left, or the system did not take it (its buffer was full, say).
    pub(crate) fn sent(&mut self, side: Side, done: bool) {
        let packets = self.packets(side);
        if done {
            packets.sent += 1;
        } else {
            packets.unsent += 1;
        }
    }

    /// A datagram on the browsers' port that belongs to no call.
    pub(crate) fn unmatched(&mut self) {
        self.unmatched += 1;
    }

    /// The end of a round.
    pub(crate) fn round(&mut self, now: Instant, calls: usize) {
        self.rounds += 1;
        if self.calls == calls && self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + INTERVAL);
        self.calls = calls;
        let worker = self.worker.clone();
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        metrics::gauge!("sautikit_media_calls", "worker" => worker.clone()).set(calls);
        metrics::counter!("sautikit_media_rounds_total", "worker" => worker)
            .increment(std::mem::take(&mut self.rounds));
        metrics::counter!("sautikit_media_unmatched_total")
            .increment(std::mem::take(&mut self.unmatched));
        for side in [Side::Browser, Side::Trunk] {
            let packets = std::mem::take(self.packets(side));
            let count = |direction: &'static str, count: u64| {
                let labels = [("side", side.label()), ("direction", direction)];
                metrics::counter!("sautikit_media_packets_total", &labels).increment(count);
            };
            count("received", packets.read);
            count("sent", packets.sent);
            count("unsent", packets.unsent);
        }
    }

    fn packets(&mut self, side: Side) -> &mut Packets {
        match side {
            Side::Browser => &mut self.browser,
            Side::Trunk => &mut self.trunk,
        }
    }
}
