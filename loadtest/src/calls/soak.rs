//! `soak`: a load for long, in which something is done to the gateway again and again, and after
//! which it must have lost nothing: no call outside of the faults, no debit, no memory, no file.

mod faults;
mod flat;
mod house;
mod report;
mod stage;
mod survey;
mod windows;

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use sautikit_net::random;

pub use faults::Kind as FaultKind;

use super::alarm::Alarm;
use super::load::Load;
use super::seen::Seen;
use super::sessions::{Gate, Hub, Opened};
use super::settings::{Settings, seconds};
use super::stop::Stop;
use super::tally::Tally;
use super::view::View;
use super::watch::Watching;
use super::witnesses::Witnesses;
use super::{CallsError, Opener, SETTLE, ended};
use faults::{Fault, Kind, Terms, plan};
use house::Gateway;
use report::{SoakReport, Told};
use stage::Stage;
use survey::Survey;

/// What the command line says.
#[derive(Args, Clone, Debug)]
pub struct SoakSettings {
    #[command(flatten)]
    pub calls: Settings,
    /// The gateway's program. It is run as `PROGRAM serve` with this environment, which must say the
    /// addresses that --ws, --api and --admin name, since it is killed and started again.
    #[arg(long, value_name = "PROGRAM")]
    pub gateway: PathBuf,
    /// Where its log, what was measured every second (soak.csv) and the report (report.json) go.
    #[arg(long, value_name = "PATH")]
    pub folder: PathBuf,
    /// Seconds from a fault to the next one.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub every: f64,
    /// Which faults come when follows from it; a random one where it is left out.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The kinds of faults; all that can be done where it is left out (lock needs --database).
    #[arg(long = "fault", value_name = "KIND", value_delimiter = ',')]
    pub kinds: Vec<FaultKind>,
    /// The gateway's SQLite file, which the fault `lock` needs.
    #[arg(long, value_name = "PATH")]
    pub database: Option<PathBuf>,
    /// How long the carrier is silent.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub silence: f64,
    /// How long the database is locked.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub lock: f64,
}

/// Why a soak could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    #[error("a soak needs {0}")]
    Missing(&'static str),
    #[error("--silence and --lock must be at most half of --every, or nothing is undisturbed")]
    TooLong,
    #[error("--folder: {0}")]
    Folder(io::Error),
    #[error("--gateway: {0}")]
    Gateway(io::Error),
    #[error("the gateway ended before it was ready ({0}): see gateway.log in {1}")]
    Ended(String, PathBuf),
    #[error("the gateway was not ready within {0} s")]
    NotReady(u64),
    #[error("the gateway went on for {0} s after SIGTERM")]
    GoesOn(u64),
    #[error("not all sessions were back {0} s after a fault")]
    NotBack(u64),
    #[error("the carrier: {0}")]
    Carrier(io::Error),
    #[error("the database's lock, by the program sqlite3: {0}")]
    Lock(io::Error),
}

impl SoakSettings {
    pub(super) fn report(&self) -> PathBuf {
        let named = self.calls.connecting.report.clone();
        named.unwrap_or_else(|| self.folder.join("report.json"))
    }

    fn faults(&self, seed: u64, sessions: usize) -> Result<Vec<Fault>, SoakError> {
        if self.kinds.contains(&Kind::Lock) && self.database.is_none() {
            return Err(SoakError::Missing("--database for the fault lock"));
        }
        let every = Duration::from_secs_f64(self.every);
        let (duration, mut kinds) = (self.calls.duration(), self.kinds.clone());
        if kinds.is_empty() {
            kinds.extend([Kind::Sockets, Kind::Silence, Kind::Kill]);
            kinds.extend(self.database.is_some().then_some(Kind::Lock));
        }
        let lasts = |kind, seconds| if kinds.contains(&kind) { seconds } else { 0.0 };
        if lasts(Kind::Silence, self.silence).max(lasts(Kind::Lock, self.lock)) > self.every / 2.0 {
            return Err(SoakError::TooLong);
        }
        let until = flat::kills_until(duration.as_secs_f64(), self.calls.rate);
        let kills_until = Duration::from_secs_f64(until);
        Ok(plan(&Terms { seed, duration, kills_until, every, kinds, sessions }))
    }
}

/// Runs it, and says what it came to.
pub(super) async fn drive(settings: &SoakSettings, stop: &Stop) -> Result<SoakReport, CallsError> {
    let connecting = &settings.calls.connecting;
    if connecting.api.is_none() {
        return Err(SoakError::Missing("--api: what is billed is asked there").into());
    }
    let admin = || connecting.admin()?.ok_or(CallsError::from(SoakError::Missing("--admin")));
    let seed = settings.seed.unwrap_or_else(|| u64::from(u32::from_be_bytes(random::bytes())));
    let sessions = usize::try_from(connecting.sessions).unwrap_or(usize::MAX);
    let faults = settings.faults(seed, sessions)?;
    eprintln!("seed {seed}: {} faults", faults.len());

    let mut gateway = Gateway::start(&settings.gateway, &settings.folder, admin()?).await?;
    // Calls whose callers are gone end so much later.
    let mut calls = settings.calls.clone();
    calls.connecting.settle += windows::LOST_GRACE.as_secs_f64();
    let witnesses = Witnesses::call(&calls).await?;
    let silent = faults.iter().any(|fault| fault.kind == Kind::Silence);
    let carrier = settings.calls.carrier_pid.or(witnesses.carrier_pid());
    if silent && carrier.is_none() {
        return Err(SoakError::Missing("--carrier-pid for the fault silence").into());
    }
    let gate = connecting.gate()?;
    let mut survey = Survey::start(&settings.folder, admin()?).map_err(SoakError::Folder)?;
    let before = survey::descriptors(gateway.pid()).map_err(SoakError::Gateway)?;
    let mut view = View::new();
    let opener = Opener { connecting, gate: &gate, carrier_pid: None, stop };
    let (sessions, opened, ..) = opener.open(&mut view).await?;

    let start = Instant::now() + SETTLE;
    let stage = Stage::new(settings, &gateway, carrier, start);
    let run = Run { settings, stage: &stage, gate: &gate, stop };
    let load = run.load(opened, (&faults, &mut gateway), &mut survey, &mut view).await?;
    view.clear();

    let windows = stage.windows();
    let allowed = windows::allowances(&windows, &load.seen, settings.calls.hold());
    let verdict = witnesses.judge(&load.seen, &allowed).await;
    // Of a gateway that is gone there are none, which is not flat.
    let after = survey::descriptors(gateway.pid()).unwrap_or(0);
    let reconciled = gateway.reconcile()?;
    let ended = gateway.end().await;
    if load.stopped_by.is_none() {
        ended?;
    }
    let samples = survey.samples(&windows);
    let flatness =
        flat::judge(&samples, flat::warm_up_seconds(settings.calls.rate), (before, after));
    let told = Told { seed, start, sessions, windows, load, verdict, reconciled, flatness };
    Ok(SoakReport::of(told, &allowed, settings))
}

/// What the load was.
struct Loaded {
    seconds: f64,
    tally: Tally,
    seen: Vec<Seen>,
    losses: Vec<(Instant, usize)>,
    missing: usize,
    /// Why it ended before its time: a gateway that does not come back is what a soak looks for.
    stopped_by: Option<String>,
}

struct Run<'a> {
    settings: &'a SoakSettings,
    stage: &'a Stage,
    gate: &'a Gate,
    stop: &'a Stop,
}

impl Run<'_> {
    /// Lets the calls and the faults happen until the last call is over.
    async fn load(
        &self,
        opened: Vec<Opened>,
        (faults, gateway): (&[Fault], &mut Gateway),
        survey: &mut Survey,
        view: &mut View,
    ) -> Result<Loaded, CallsError> {
        let settings = &self.settings.calls;
        let sessions = u64::try_from(opened.len()).unwrap_or(u64::MAX);
        let (browsers, wired) = opened.into_iter().map(Opened::split).unzip();
        let plan = settings.plan(self.stage.start);
        let hub: Rc<Hub> =
            Hub::start(Load::new(plan.clone(), browsers), wired, None, Alarm::start()?);
        let (idle, stop) = (settings.duration(), self.stop);
        let (gateway_pid, carrier_pid) = (self.stage.pid(), None);
        let (plan, relay) = (&plan, None);
        let watching = Watching { plan, gateway_pid, carrier_pid, relay, sessions, idle, stop };
        let stopped_by = tokio::select! {
            over = watching.until_over(&hub, view) => over.map(|_| None)?,
            () = hub.renew(&self.gate.mint) => return Err(ended("renewals")),
            () = hub.bring_back(self.gate) => return Err(ended("reconnections")),
            failed = self.stage.perform(faults, gateway, &hub) => {
                failed.err().map(|error| error.to_string())
            }
            () = survey.keep(self.stage) => return Err(ended("the survey")),
        };
        let seconds = self.stage.start.elapsed().as_secs_f64();
        let (tally, seen) = hub.act(|load, _| (load.tally.clone(), load.take_seen()));
        let (losses, missing) = (hub.losses(), hub.missing());
        hub.close().await;
        Ok(Loaded { seconds, tally, seen, losses, missing, stopped_by })
    }
}
