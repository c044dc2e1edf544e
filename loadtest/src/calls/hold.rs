//! `sessions`: many sessions that register and stay, and come back when their sockets are dropped.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;

use super::alarm::Alarm;
use super::connecting::Connecting;
use super::load::{Load, Plan};
use super::report::{Memory, Reconnect, Report, Sample, Window};
use super::schedule::{Ramp, Schedule};
use super::sessions::{Gate, Hub, Opened, Opening, open_all};
use super::settings::seconds;
use super::stop::Stop;
use super::tally::Tally;
use super::view::View;
use super::watch::Watching;
use super::witnesses::Watch;
use super::{CallsError, Opener, ended};

/// What the command line says.
#[derive(Args, Clone, Debug)]
pub struct SessionSettings {
    #[command(flatten)]
    pub connecting: Connecting,
    /// Seconds that the sessions are kept. Tokens and registrations are renewed meanwhile.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub duration: f64,
    /// After so many of them all sockets are dropped at once, and opened again as fast as
    /// --connecting lets them.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub reconnect_at: Option<f64>,
    /// Leaves the sessions after the handshake as they are: nobody can be called there.
    #[arg(long)]
    pub no_register: bool,
    /// REGISTERs of all open sessions together a second, evenly; without it each registers again
    /// once in 200 s.
    #[arg(long, value_name = "C", value_parser = super::connecting::session_rate, conflicts_with = "no_register")]
    pub refresh: Option<f64>,
}

impl SessionSettings {
    /// From the start to the drop of all sockets, and from there to the end.
    fn parts(&self) -> Result<(Duration, Option<Duration>), CallsError> {
        let duration = Duration::from_secs_f64(self.duration);
        let Some(at) = self.reconnect_at.map(Duration::from_secs_f64) else {
            return Ok((duration, None));
        };
        let rest = duration.checked_sub(at).ok_or(CallsError::ReconnectTooLate)?;
        Ok((at, Some(rest)))
    }
}

/// Opens, holds, drops and closes the sessions.
pub(super) async fn drive(settings: &SessionSettings, stop: &Stop) -> Result<Report, CallsError> {
    let connecting = &settings.connecting;
    let (first, rest) = settings.parts()?;
    connecting.check_process()?;
    let gate = Gate { register: !settings.no_register, ..connecting.gate()? };
    let watch = Watch::start(connecting).await?;
    let mut view = View::new();
    let opener = Opener { connecting, gate: &gate, carrier_pid: None, stop };
    let (mut sessions, opened, before, open) = opener.open(&mut view).await?;

    let (gate, refresh, count) = (&gate, settings.refresh, sessions.opened);
    let mut holding = Holding { connecting, gate, refresh, stop, count };
    let mut hub = holding.start(opened, None)?;
    let (mut window, mut end) = holding.hold(&hub, &mut view, first).await?;
    let mut reconnect = None;
    if let Some(rest) = rest.filter(|_| !stop.is_wanted()) {
        let (told, again) = holding.reconnect(&hub, &mut view).await?;
        reconnect = Some(told);
        hub = again;
        let second = holding.hold(&hub, &mut view, rest).await?;
        if first.is_zero() {
            window = second.0;
        }
        end = second.1;
    }
    view.clear();
    let tally = hub.act(|load, _| load.tally.clone());
    hub.close().await;
    sessions.lost = tally.sessions_lost;
    sessions.renewed = tally.renewed;
    sessions.renewals_refused = tally.renewals_refused;
    let memory = match (before.gateway, open.gateway, end.gateway) {
        (Some(before), Some(open), Some(end)) => {
            Some(Memory::new((before, open, end), sessions.opened, false))
        }
        _ => None,
    };
    let judged = match watch {
        Some(watch) => watch.judge(connecting.settle()).await.map(Some),
        None => Ok(None),
    };
    let (proof, unproven) = match judged {
        Ok(proof) => (proof, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let (calls, carrier, audio) = (None, None, None);
    let report = Report {
        ok: false,
        sessions,
        reconnect,
        calls,
        carrier,
        audio,
        window,
        memory,
        proof,
        unproven,
    };
    Ok(report.judged())
}

/// Sessions that are kept.
struct Holding<'a> {
    connecting: &'a Connecting,
    gate: &'a Gate,
    /// REGISTERs a second.
    refresh: Option<f64>,
    stop: &'a Stop,
    count: u64,
}

impl Holding<'_> {
    fn start(&self, opened: Vec<Opened>, tally: Option<Tally>) -> Result<Rc<Hub>, CallsError> {
        let (browsers, wired) = opened.into_iter().map(Opened::split).unzip();
        let mut load = Load::new(nothing(Instant::now()), browsers);
        load.tally = tally.unwrap_or_default();
        Ok(Hub::start(load, wired, None, Alarm::start()?))
    }

    async fn hold(
        &self,
        hub: &Hub,
        view: &mut View,
        idle: Duration,
    ) -> Result<(Window, Sample), CallsError> {
        let plan = nothing(Instant::now());
        let watching = Watching {
            plan: &plan,
            gateway_pid: &Cell::new(self.connecting.gateway_pid),
            carrier_pid: None,
            relay: None,
            sessions: self.count,
            idle,
            stop: self.stop,
        };
        tokio::select! {
            held = watching.until_over(hub, view) => held,
            () = hub.renew(&self.gate.mint), if self.gate.register => Err(ended("renewals")),
            () = hub.refresh(self.refresh.unwrap_or(1.0)), if self.refresh.is_some() => {
                Err(ended("refreshes"))
            }
        }
    }

    /// Drops all sockets and opens them again.
    async fn reconnect(
        &mut self,
        hub: &Hub,
        view: &mut View,
    ) -> Result<(Reconnect, Rc<Hub>), CallsError> {
        let before = self.connecting.sample(None);
        let dropped_at = Instant::now();
        let (browsers, tally) = hub.sever().await;
        let dropped = u64::try_from(browsers.len()).unwrap_or(u64::MAX);
        let back =
            open_all(self.gate, browsers, self.connecting.connecting, Some(dropped_at), |done| {
                view.progress("sessions back", done, dropped)
            });
        let Opening { opened, failed, latency } = back.await;
        let seconds = dropped_at.elapsed().as_secs_f64();
        self.count = u64::try_from(opened.len()).unwrap_or(u64::MAX);
        let gateway = before.until(self.connecting.sample(None), false).gateway;
        let (back, back_ms) = (self.count, latency.percentiles());
        let told = Reconnect { dropped, back, failed, seconds, back_ms, gateway };
        Ok((told, self.start(opened, Some(tally))?))
    }
}

/// A plan without calls.
fn nothing(start: Instant) -> Plan {
    Plan {
        start,
        schedule: Schedule::new(0.0, Ramp::default(), None, None),
        hold: Duration::ZERO,
        called: "+254722000001".parse().expect("a constant number"),
        callers: Vec::new(),
        expected: Vec::new(),
        audio: false,
    }
}
