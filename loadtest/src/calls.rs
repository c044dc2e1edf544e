//! Many simulated browsers: sessions that register and stay, and calls at a planned rate, with or
//! without audio; and the proof that everybody's books of them agree.
//!
//! The loop is open: which call begins when is fixed before the first one, and every latency counts
//! from the intended time, so a gateway that stalls cannot hide it by slowing its load.

mod alarm;
mod api;
mod audio;
mod books;
mod browser;
mod called;
mod connecting;
mod exchange;
mod gauges;
mod hold;
mod load;
mod process;
mod proof;
mod report;
mod schedule;
mod seen;
mod sessions;
mod settings;
mod soak;
mod stop;
mod tally;
mod tariff;
mod tokens;
mod view;
mod watch;
mod witnesses;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::LocalSet;

pub use called::{Called, CalledError};
pub use connecting::Connecting;
pub use exchange::ExchangeError;
pub use hold::SessionSettings;
pub use settings::Settings;
pub use soak::{FaultKind, SoakError, SoakSettings};
pub use tokens::SourceError;

use crate::latency::{Latency, Percentiles};
use alarm::Alarm;
use audio::{Audio, judge};
use connecting::check_process;
use load::Load;
use report::{CallReport, CarrierReport, Memory, Report, Sample, SessionReport};
use seen::Seen;
use sessions::{Gate, Hub, Opened, Opening, newcomers, open_all};
use stop::Stop;
use view::View;
use watch::Watching;
use witnesses::{Verdict, Witnesses};

use crate::carrier::Record;
use crate::clock::Clock;

/// From the last session's opening to the first call.
const SETTLE: Duration = Duration::from_millis(300);

/// Why the load could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CallsError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("cannot read what process {pid} uses: {source}")]
    Process { pid: u32, source: io::Error },
    #[error("no session could be opened:{}", list(.0))]
    NoSession(BTreeMap<String, u64>),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(
        "--to has {there} numbers for {wanted} calls, and the records of a call are matched by its \
         number: leave more digits open"
    )]
    Numbers { wanted: u64, there: u64 },
    #[error("--reconnect-at lies after the end of --duration")]
    ReconnectTooLate,
    #[error("the proof: {0}")]
    Books(String),
    #[error("--admin: {0}")]
    Admin(String),
    #[error("--report: {0}")]
    Report(io::Error),
    #[error(transparent)]
    Soak(#[from] SoakError),
    #[error("ended before the end")]
    Interrupted,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl CallsError {
    fn books(error: books::BooksError) -> Self {
        Self::Books(error.to_string())
    }

    fn admin(error: api::HttpError) -> Self {
        Self::Admin(error.to_string())
    }
}

fn list(reasons: &BTreeMap<String, u64>) -> String {
    reasons.iter().map(|(reason, count)| format!(" {count} × {reason};")).collect()
}

/// A number of the command line within 0 and a bound.
fn between(text: &str, most: f64) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if (0.0..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("is not within 0 and {most}"))
    }
}

/// Runs the calls and prints their report. False where a session or a call ended as it should not,
/// or where the books do not agree.
///
/// # Errors
///
/// [`CallsError`].
pub fn run(settings: &Settings) -> Result<bool, CallsError> {
    let stop = Stop::default();
    let path = settings.connecting.report.as_deref();
    report(drive(settings, &stop), &stop, path, |report| report.ok)
}

/// Holds the sessions and prints their report. False where one ended as it should not.
///
/// # Errors
///
/// [`CallsError`].
pub fn run_sessions(settings: &SessionSettings) -> Result<bool, CallsError> {
    let stop = Stop::default();
    let path = settings.connecting.report.as_deref();
    report(hold::drive(settings, &stop), &stop, path, |report| report.ok)
}

/// Runs the calls and the faults and prints their report. False where something outside of the
/// faults was not as it should be, where the books do not agree, or where the gateway has grown.
///
/// # Errors
///
/// [`CallsError`].
pub fn run_soak(settings: &SoakSettings) -> Result<bool, CallsError> {
    std::fs::create_dir_all(&settings.folder).map_err(SoakError::Folder)?;
    let (stop, path) = (Stop::default(), settings.report());
    report(soak::drive(settings, &stop), &stop, Some(&path), |report| report.ok)
}

fn report<R: fmt::Display + Serialize>(
    drive: impl Future<Output = Result<R, CallsError>>,
    stop: &Stop,
    path: Option<&Path>,
    is_ok: impl FnOnce(&R) -> bool,
) -> Result<bool, CallsError> {
    // A place where nothing can be written is told before half an hour of load, not after it.
    let is_new = path.is_some_and(|path| !path.exists());
    let open = |path| File::options().create(true).write(true).truncate(false).open(path);
    let file = path.map(open).transpose().map_err(CallsError::Report)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(LocalSet::new().run_until(async {
        tokio::select! {
            report = drive => report,
            stopped = stop.watch() => stopped.map_err(CallsError::Io).and(Err(CallsError::Interrupted)),
        }
    }));
    let report = match (report, path) {
        (Ok(report), _) => report,
        (Err(error), Some(path)) if is_new => {
            // Empty; where it cannot be removed, it says nothing either.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        (Err(error), _) => return Err(error),
    };
    print!("{report}");
    if let Some(mut file) = file {
        let json = serde_json::to_string_pretty(&report).map_err(io::Error::other)?;
        let written = file.set_len(0).and_then(|()| writeln!(file, "{json}"));
        written.map_err(CallsError::Report)?;
    }
    Ok(is_ok(&report))
}

async fn drive(settings: &Settings, stop: &Stop) -> Result<Report, CallsError> {
    let connecting = &settings.connecting;
    connecting.check_process()?;
    check_process(settings.carrier_pid)?;
    let gate = connecting.gate()?;
    let witnesses = Witnesses::call(settings).await?;
    let carrier_pid = settings.carrier_pid.or(witnesses.carrier_pid());
    let mut view = View::new();
    let opener = Opener { connecting, gate: &gate, carrier_pid, stop };
    let (mut sessions, opened, before, open) = opener.open(&mut view).await?;
    let (browsers, wired) = opened.into_iter().map(Opened::split).unzip();
    let audio = match settings.media {
        true => Some(Audio::start(&connecting.sources, connecting.ws)?),
        false => None,
    };
    let plan = settings.plan(Instant::now() + SETTLE);
    let hub = Hub::start(Load::new(plan.clone(), browsers), wired, audio, Alarm::start()?);
    let idle = settings.duration();
    let count = sessions.opened;
    let gateway_pid = &Cell::new(connecting.gateway_pid);
    let admin = if settings.media { connecting.admin()? } else { None };
    let relay = admin.as_ref();
    let watching =
        Watching { plan: &plan, gateway_pid, carrier_pid, relay, sessions: count, idle, stop };
    let (window, end) = tokio::select! {
        window = watching.until_over(&hub, &mut view) => window?,
        () = hub.renew(&gate.mint) => return Err(ended("renewals")),
    };
    view.clear();
    let (mut tally, seen) = hub.act(|load, _| (load.tally.clone(), load.take_seen()));
    hub.close().await;

    let Verdict { records, proof, unproven } = witnesses.judge(&seen, &HashMap::new()).await;
    let audio = settings.media.then(|| judge(&seen, records.as_deref()));
    for (why, calls) in audio.iter().flat_map(|audio| &audio.without) {
        tally.fail_completed(why, *calls);
    }
    sessions.lost = tally.sessions_lost;
    sessions.renewed = tally.renewed;
    sessions.renewals_refused = tally.renewals_refused;
    let mut calls = CallReport::new(&tally, settings.rate, plan.hold);
    calls.invite_to_carrier_ms = records.as_deref().and_then(|it| towards_carrier(&seen, it));
    let memory = match (before.gateway, open.gateway, end.gateway) {
        (Some(before), Some(open), Some(end)) => {
            Some(Memory::new((before, open, end), count, calls.attempted > 0))
        }
        _ => None,
    };
    let carrier = records.as_deref().map(CarrierReport::new);
    let (ok, reconnect, calls) = (false, None, Some(calls));
    let report =
        Report { ok, sessions, reconnect, calls, carrier, audio, window, memory, proof, unproven };
    Ok(report.judged())
}

/// What goes on for ever has not.
fn ended(what: &str) -> CallsError {
    io::Error::other(format!("{what} ended")).into()
}

/// From the intended time of each browser's INVITE until the carrier had it.
fn towards_carrier(seen: &[Seen], records: &[Record]) -> Option<Percentiles> {
    let clock = Clock::now();
    let began = |seen: &Seen| Some((seen.called.clone(), clock.unix_us(seen.fate.began?)));
    let began: HashMap<String, u64> = seen.iter().filter_map(began).collect();
    let mut latency = Latency::default();
    for record in records {
        let took = began.get(&record.to).and_then(|at| record.invited_unix_us.checked_sub(*at));
        // Clocks of two machines may put the end before the beginning.
        if let Some(took) = took {
            latency.record(Duration::from_micros(took));
        }
    }
    latency.percentiles()
}

/// Opens the sessions of a run.
struct Opener<'a> {
    connecting: &'a Connecting,
    gate: &'a Gate,
    carrier_pid: Option<u32>,
    stop: &'a Stop,
}

impl Opener<'_> {
    /// What was used before and after goes with it.
    async fn open(
        &self,
        view: &mut View,
    ) -> Result<(SessionReport, Vec<Opened>, Sample, Sample), CallsError> {
        let wanted = self.connecting.sessions;
        let before = self.connecting.sample(self.carrier_pid);
        let began = Instant::now();
        let browsers = newcomers(self.gate, wanted);
        let at_once = self.connecting.connecting;
        let opening = tokio::select! {
            opening = open_all(self.gate, browsers, at_once, None, |done| {
                view.progress("sessions", done, wanted.into());
            }) => opening,
            () = self.stop.wanted() => return Err(CallsError::Interrupted),
        };
        let opening_seconds = began.elapsed().as_secs_f64();
        let Opening { opened, failed, latency } = opening;
        if opened.is_empty() {
            return Err(CallsError::NoSession(failed));
        }
        let open = self.connecting.sample(self.carrier_pid);
        let cpu = before.until(open, false).gateway.map(|cost| cost.cpu_seconds * 1e6);
        let count = u64::try_from(opened.len()).unwrap_or(u64::MAX);
        let report = SessionReport {
            wanted,
            opened: count,
            failed,
            lost: 0,
            renewed: 0,
            renewals_refused: 0,
            opening_seconds,
            opening_ms: latency.percentiles(),
            opening_cpu_us_per_session: cpu.map(|cpu| cpu / report::float(count.max(1))),
        };
        Ok((report, opened, before, open))
    }
}
