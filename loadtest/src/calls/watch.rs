//! Looks on while a load runs: shows it, measures it, and knows when it is over.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::CallsError;
use super::api::Http;
use super::connecting::Connecting;
use super::gauges::packets_relayed;
use super::load::{Load, Plan};
use super::report::{Done, Sample, Window};
use super::sessions::Hub;
use super::stop::Stop;
use super::tally::Tally;
use super::view::{Scene, View};

/// How often progress is shown and the end is looked for.
const TICK: Duration = Duration::from_millis(200);
/// After the first calls were hung up, the load is steady.
const STEADY_AFTER: Duration = Duration::from_secs(1);
/// A steady part shorter than this says nothing; then the whole run counts.
const STEADY_MIN: Duration = Duration::from_secs(2);

/// What is watched.
pub(super) struct Watching<'a> {
    pub(super) plan: &'a Plan,
    /// It may be another one after a while.
    pub(super) gateway_pid: &'a Cell<Option<u32>>,
    pub(super) carrier_pid: Option<u32>,
    /// The gateway's admin address, where its relay's packets are to be counted.
    pub(super) relay: Option<&'a Http>,
    pub(super) sessions: u64,
    /// How long sessions without calls are kept.
    pub(super) idle: Duration,
    pub(super) stop: &'a Stop,
}

impl Watching<'_> {
    /// Lets the calls happen until the last one is over. What it took, and the last sample.
    pub(super) async fn until_over(
        &self,
        hub: &Hub,
        view: &mut View,
    ) -> Result<(Window, Sample), CallsError> {
        let (steady, last) = self.window();
        let first = self.counted(self.sample(Done::default())).await?;
        let (mut from, mut to) = (None, None);
        let mut ticks = tokio::time::interval(TICK);
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                () = hub.alarm.rings() => hub.act(Load::handle_timeout),
                () = self.stop.wanted(), if !stopping => {
                    stopping = true;
                    hub.act(Load::stop);
                }
                now = ticks.tick() => {
                    let now = now.into_std();
                    let sample = hub.act(|load, _| self.show(view, &load.tally, now));
                    if from.is_none() && now >= steady {
                        from = Some(self.counted(sample).await?);
                    }
                    if to.is_none() && now >= last {
                        to = Some(self.counted(sample).await?);
                    }
                    let over = hub.act(|load, _| load.is_over());
                    if over && (stopping || now >= last) {
                        break;
                    }
                }
            }
        }
        let end = self.sample(hub.act(|load, _| done(&load.tally)));
        let end = self.counted(end).await?;
        let steady = from
            .zip(to)
            .filter(|(from, to)| to.at.saturating_duration_since(from.at) >= STEADY_MIN);
        let window = match steady {
            Some((from, to)) => from.until(to, true),
            None => first.until(end, false),
        };
        Ok((window, end))
    }

    /// Where the steady part begins and ends: while calls begin and end at the wanted rate; or, of
    /// calls with audio, while all of them talk, if they ever do.
    fn window(&self) -> (Instant, Instant) {
        let Plan { start, schedule, hold, audio, .. } = self.plan;
        let all_begun = schedule.span() + STEADY_AFTER;
        let (from, to) = match schedule.total() {
            0 => (Duration::ZERO, self.idle),
            _ if *audio && *hold >= all_begun + STEADY_MIN => (all_begun, *hold),
            _ => (schedule.steady_after() + *hold + STEADY_AFTER, schedule.span()),
        };
        (*start + from, *start + to)
    }

    fn sample(&self, done: Done) -> Sample {
        Connecting::sample_of(done, self.gateway_pid.get(), self.carrier_pid)
    }

    /// With the relay's packets, which take a moment to ask for.
    async fn counted(&self, mut sample: Sample) -> Result<Sample, CallsError> {
        if let Some(admin) = self.relay {
            sample.done.packets = packets_relayed(admin).await.map_err(CallsError::admin)?;
        }
        Ok(sample)
    }

    fn show(&self, view: &mut View, tally: &Tally, now: Instant) -> Sample {
        let sample = self.sample(done(tally));
        let Plan { start, schedule, .. } = self.plan;
        view.show(&Scene {
            at: now,
            tally,
            sessions: (self.sessions + tally.sessions_back).saturating_sub(tally.sessions_lost),
            rate_wanted: schedule.rate_at(now.saturating_duration_since(*start)),
            calls_total: schedule.total(),
            gateway: sample.gateway,
        });
        sample
    }
}

fn done(tally: &Tally) -> Done {
    let calls = tally.attempted - tally.live();
    Done { calls, registers: tally.renewed, packets: 0 }
}
