//! Many simulated browsers: sessions that register and stay, and calls at a fixed rate, SIP only.
//!
//! The loop is open: which call begins when is fixed before the first one, and every latency counts
//! from the intended time, so a gateway that stalls cannot hide it by slowing its load.

mod alarm;
mod browser;
mod called;
mod load;
mod process;
mod report;
mod schedule;
mod sessions;
mod settings;
mod tally;
mod tokens;

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::LocalSet;

pub use called::{Called, CalledError};
pub use settings::Settings;
pub use tokens::SourceError;

use alarm::Alarm;
use load::{Load, Plan};
use process::usage;
use report::{CallReport, Memory, Report, Sample, SessionReport, Window};
use schedule::Schedule;
use sessions::{Hub, Opening, open_all};
use tally::Tally;

/// How often progress is shown and the end is looked for.
const TICK: Duration = Duration::from_millis(200);
/// From the last session's opening to the first call.
const SETTLE: Duration = Duration::from_millis(300);
/// After the first calls were hung up, the load is steady.
const STEADY_AFTER: Duration = Duration::from_secs(1);
/// A steady part shorter than this says nothing; then the whole run counts.
const STEADY_MIN: Duration = Duration::from_secs(2);

/// Why the load could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CallsError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("cannot read what process {pid} uses: {source}")]
    Process { pid: u32, source: io::Error },
    #[error("no session could be opened:{}", list(.0))]
    NoSession(BTreeMap<String, u64>),
    #[error("--report: {0}")]
    Report(io::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

fn list(reasons: &BTreeMap<String, u64>) -> String {
    reasons.iter().map(|(reason, count)| format!(" {count} × {reason};")).collect()
}

/// Runs the load and prints its report. False where a session or a call ended as it should not.
///
/// # Errors
///
/// [`CallsError`].
pub fn run(settings: &Settings) -> Result<bool, CallsError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(LocalSet::new().run_until(drive(settings)))?;
    print!("{report}");
    if let Some(path) = &settings.report {
        let json = serde_json::to_string_pretty(&report).map_err(io::Error::other)?;
        std::fs::write(path, json + "\n").map_err(CallsError::Report)?;
    }
    Ok(report.ok)
}

async fn drive(settings: &Settings) -> Result<Report, CallsError> {
    let gate = settings.gate()?;
    let schedule = settings.schedule();
    settings.check_processes()?;
    let before = settings.sample(0);
    let bar = ProgressBar::new(u64::from(settings.sessions)).with_style(style());
    bar.set_prefix("sessions");
    let began = Instant::now();
    let opening =
        open_all(&gate, settings.sessions, settings.connecting, |done| bar.set_position(done))
            .await;
    let opening_seconds = began.elapsed().as_secs_f64();
    bar.finish_and_clear();
    if opening.opened.is_empty() {
        return Err(CallsError::NoSession(opening.failed));
    }
    let open = settings.sample(0);
    let Opening { opened, failed, latency } = opening;
    let count = u64::try_from(opened.len()).unwrap_or(u64::MAX);
    let (browsers, wired) = opened.into_iter().map(sessions::Opened::split).unzip();
    let plan = settings.plan(schedule, Instant::now() + SETTLE);
    let hub = Hub::start(Load::new(plan.clone(), browsers), wired, Alarm::start()?);
    let (window, end) = tokio::select! {
        window = watch(settings, &hub, &plan) => window?,
        () = hub.renew(&gate.mint) => return Err(io::Error::other("renewals ended").into()),
    };
    let tally = hub.act(|load, _| load.tally.clone());
    hub.close().await;

    let opening_cpu = before.until(open, false).gateway.map(|cost| cost.cpu_seconds * 1e6);
    let sessions = SessionReport {
        wanted: settings.sessions,
        opened: count,
        failed,
        lost: tally.sessions_lost,
        renewed: tally.renewed,
        renewals_refused: tally.renewals_refused,
        opening_seconds,
        opening_ms: latency.percentiles(),
        opening_cpu_us_per_session: opening_cpu
            .map(|cpu| cpu / f64::from(settings.sessions.max(1))),
    };
    let calls = CallReport::new(&tally, settings.rate, plan.hold);
    let memory = match (before.gateway, open.gateway, end.gateway) {
        (Some(before), Some(open), Some(end)) => {
            Some(Memory::new((before, open, end), count, calls.attempted > 0))
        }
        _ => None,
    };
    Ok(Report { ok: Report::is_ok(&sessions, &calls), sessions, calls, window, memory })
}

/// Lets the calls happen until the last one is over. What it took, and the last sample.
async fn watch(
    settings: &Settings,
    hub: &Hub,
    plan: &Plan,
) -> Result<(Window, Sample), CallsError> {
    let idle = plan.schedule.total() == 0;
    let last = plan.start + if idle { settings.duration() } else { plan.schedule.span() };
    let steady = plan.start + if idle { Duration::ZERO } else { plan.hold + STEADY_AFTER };
    let bar = ProgressBar::new(plan.schedule.total()).with_style(style());
    bar.set_prefix(if idle { "idle" } else { "calls" });
    let first = settings.sample(0);
    let (mut from, mut to) = (None, None);
    let mut ticks = tokio::time::interval(TICK);
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            () = hub.alarm.rings() => hub.act(Load::handle_timeout),
            interrupted = tokio::signal::ctrl_c(), if !stopping => {
                interrupted?;
                stopping = true;
                hub.act(Load::stop);
            }
            now = ticks.tick() => {
                let now = now.into_std();
                let tally = hub.act(|load, _| show(&bar, &load.tally));
                if from.is_none() && now >= steady {
                    from = Some(settings.sample(tally));
                }
                if to.is_none() && now >= last {
                    to = Some(settings.sample(tally));
                }
                let over = hub.act(|load, _| load.is_over());
                if over && (stopping || now >= last) {
                    break;
                }
            }
        }
    }
    bar.finish_and_clear();
    let end = settings.sample(hub.act(|load, _| ended(&load.tally)));
    let steady =
        from.zip(to).filter(|(from, to)| to.at.saturating_duration_since(from.at) >= STEADY_MIN);
    let window = match steady {
        Some((from, to)) => from.until(to, true),
        None => first.until(end, false),
    };
    Ok((window, end))
}

/// Shows how far the calls are; gives how many have ended.
fn show(bar: &ProgressBar, tally: &Tally) -> u64 {
    bar.set_position(tally.attempted);
    let p99 = tally.answer.percentiles().map_or(0.0, |answer| answer.p99);
    let (live, completed, failed) = (tally.live(), tally.completed, tally.failures());
    bar.set_message(format!(
        "{live} live, {completed} completed, {failed} failed, answer p99 {p99:.1} ms"
    ));
    ended(tally)
}

fn ended(tally: &Tally) -> u64 {
    tally.attempted - tally.live()
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} {elapsed} {wide_bar} {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Settings {
    fn check_processes(&self) -> Result<(), CallsError> {
        for pid in [self.gateway_pid, self.carrier_pid].into_iter().flatten() {
            usage(&pid.to_string()).map_err(|source| CallsError::Process { pid, source })?;
        }
        Ok(())
    }

    /// A process that has died since is left out: its calls and sessions tell of it.
    fn sample(&self, ended: u64) -> Sample {
        let of = |pid: Option<u32>| usage(&pid?.to_string()).ok();
        Sample {
            at: Instant::now(),
            ended,
            gateway: of(self.gateway_pid),
            carrier: of(self.carrier_pid),
            generator: usage("self").ok(),
        }
    }

    fn plan(&self, schedule: Schedule, start: Instant) -> Plan {
        Plan {
            start,
            schedule,
            hold: self.hold(),
            called: self.to.clone(),
            callers: self.from.iter().map(|number| number.as_str().to_owned()).collect(),
            expected: self.expect.clone(),
        }
    }
}
