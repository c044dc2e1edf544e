//! What a soak came to: for people on standard output, for programs as JSON.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::proof::{Allowance, Proof};
use super::super::report::{CallReport, CarrierReport, SessionReport};
use super::super::witnesses::Verdict;
use super::faults::Kind;
use super::flat::Flatness;
use super::windows::{Window, unexplained};
use super::{Loaded, SoakSettings};

/// All that is known at the end.
pub(super) struct Told {
    pub(super) seed: u64,
    pub(super) start: Instant,
    pub(super) sessions: SessionReport,
    pub(super) windows: Vec<Window>,
    pub(super) load: Loaded,
    pub(super) verdict: Verdict,
    pub(super) reconciled: (bool, String),
    pub(super) flatness: Flatness,
}

/// One fault.
#[derive(Clone, Debug, Serialize)]
struct FaultReport {
    at_seconds: f64,
    fault: Kind,
    /// Until every session had a socket and the gateway took calls.
    seconds: f64,
    sessions: usize,
    /// Calls that it met, and those of them that ended for it.
    calls: usize,
    failed: usize,
    /// What the carrier counted in these calls and nobody paid: of all, and of one at the most.
    unpaid_seconds: f64,
    unpaid_worst_seconds: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(in super::super) struct SoakReport {
    pub(in super::super) ok: bool,
    seed: u64,
    seconds: f64,
    sessions: SessionReport,
    /// Without a socket at the end.
    sessions_missing: usize,
    /// Lost, and no fault says why.
    sessions_lost_outside: usize,
    calls: CallReport,
    /// By reason: of the calls that a fault met, and of all others.
    failed_in_faults: BTreeMap<String, u64>,
    failed_outside: BTreeMap<String, u64>,
    faults: Vec<FaultReport>,
    carrier: Option<CarrierReport>,
    proof: Option<Proof>,
    unproven: Option<String>,
    /// Why it ended before its time, where it did.
    stopped_by: Option<String>,
    /// Whether `reconcile` found nothing, and its last line.
    reconciled: bool,
    reconcile: String,
    flatness: Flatness,
}

impl SoakReport {
    pub(super) fn of(
        told: Told,
        allowed: &HashMap<String, Allowance>,
        settings: &SoakSettings,
    ) -> Self {
        let Told { seed, start, mut sessions, windows, load, verdict, reconciled, flatness } = told;
        let faults = windows
            .iter()
            .map(|window| fault(window, start, &load, verdict.proof.as_ref()))
            .collect();
        let (mut inside, mut outside) = (BTreeMap::new(), BTreeMap::new());
        for seen in &load.seen {
            let Some(reason) = seen.fate.failed.clone() else { continue };
            let of = if allowed.contains_key(&seen.called) { &mut inside } else { &mut outside };
            *of.entry(reason).or_insert(0) += 1;
        }
        sessions.lost = load.tally.sessions_lost;
        sessions.renewed = load.tally.renewed;
        sessions.renewals_refused = load.tally.renewals_refused;
        let hold = settings.calls.hold();
        let (reconciled, reconcile) = reconciled;
        let report = Self {
            ok: false,
            seed,
            seconds: load.seconds,
            sessions_missing: load.missing,
            sessions_lost_outside: unexplained(&windows, &load.losses),
            calls: CallReport::new(&load.tally, settings.calls.rate, hold),
            failed_in_faults: inside,
            failed_outside: outside,
            faults,
            carrier: verdict.records.as_deref().map(CarrierReport::new),
            proof: verdict.proof,
            unproven: verdict.unproven,
            stopped_by: load.stopped_by,
            reconciled,
            reconcile,
            flatness,
            sessions,
        };
        report.judged()
    }

    fn judged(mut self) -> Self {
        let failed: u64 = self.calls.failed.values().sum();
        let of_calls: u64 = self.failed_in_faults.values().sum();
        let CallReport { attempted, completed, refused_as_expected, .. } = self.calls;
        self.ok = self.sessions.failed.is_empty()
            && self.sessions_missing == 0
            && self.sessions_lost_outside == 0
            && self.failed_outside.is_empty()
            // What failed and was no call, such as a message that could not be read.
            && failed == of_calls
            && attempted == completed + refused_as_expected + failed
            && completed > 0
            && self.unproven.is_none()
            && self.stopped_by.is_none()
            && self.proof.as_ref().is_some_and(|proof| proof.ok)
            && self.reconciled
            && self.flatness.ok;
        self
    }
}

fn fault(window: &Window, start: Instant, load: &Loaded, proof: Option<&Proof>) -> FaultReport {
    let touched = || load.seen.iter().filter(|seen| window.touches(&seen.fate));
    let seconds = |duration: Duration| millis(duration.as_secs_f64());
    let unpaid = || touched().filter_map(|seen| proof?.unpaid_of.get(&seen.called).copied());
    FaultReport {
        at_seconds: seconds(window.from.saturating_duration_since(start)),
        fault: window.kind,
        seconds: seconds(window.until.saturating_duration_since(window.from)),
        sessions: window.sessions.len(),
        calls: touched().count(),
        failed: touched().filter(|seen| seen.fate.failed.is_some()).count(),
        unpaid_seconds: millis(unpaid().fold(0.0, |sum, seconds| sum + seconds)),
        unpaid_worst_seconds: millis(unpaid().fold(0.0, f64::max)),
    }
}

fn millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, seconds, sessions_missing, sessions_lost_outside, .. } = self;
        writeln!(f, "soak: {seconds:.0} s, {} faults, seed {seed}", self.faults.len())?;
        self.sessions.fmt(f)?;
        writeln!(
            f,
            "  {sessions_lost_outside} lost outside of faults, {sessions_missing} missing at the end"
        )?;
        self.calls.fmt(f)?;
        for (whose, failed) in
            [("in faults", &self.failed_in_faults), ("outside of them", &self.failed_outside)]
        {
            writeln!(f, "  {} failed {whose}", failed.values().sum::<u64>())?;
        }
        self.failed_outside
            .iter()
            .try_for_each(|(why, count)| writeln!(f, "    {count} × {why}"))?;
        for report in &self.faults {
            let FaultReport { at_seconds, fault, seconds, calls, failed, .. } = report;
            let FaultReport { unpaid_seconds, unpaid_worst_seconds, .. } = report;
            writeln!(
                f,
                "  at {at_seconds:>7.1} s {fault:<8} {seconds:>5.1} s  {calls} calls met it, {failed} failed, {unpaid_seconds:.1} s unpaid (at most {unpaid_worst_seconds:.1})",
                fault = format!("{fault:?}").to_lowercase()
            )?;
        }
        if let Some(proof) = &self.proof {
            proof.fmt(f)?;
        }
        if let Some(why) = &self.unproven {
            writeln!(f, "proof: none: {why}")?;
        }
        if let Some(why) = &self.stopped_by {
            writeln!(f, "ended before its time: {why}")?;
        }
        let found = if self.reconciled { "no difference" } else { "DIFFERENCES" };
        writeln!(f, "reconcile: {found}: {}", self.reconcile)?;
        self.flatness.fmt(f)?;
        writeln!(f, "{}", if self.ok { "all as it should be" } else { "NOT all as it should be" })
    }
}

impl fmt::Display for Flatness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { judged_seconds, descriptors_before, descriptors_after, .. } = self;
        let trend = match self.memory_percent_per_minute {
            Some(percent) => format!("{percent:+.2} % a minute"),
            None => "too short to tell".to_owned(),
        };
        write!(f, "memory: {trend}, by {judged_seconds} s outside of faults")?;
        if let (Some(first), Some(last)) = (self.memory_first_kib, self.memory_last_kib) {
            write!(f, "; {first} KiB in the first minute of them, {last} in the last")?;
        }
        write!(
            f,
            "\ndescriptors without sessions: {descriptors_before} before, {descriptors_after} after"
        )?;
        if let Some(most) = self.descriptors_most {
            write!(f, ", {most} at the most beside those of sessions")?;
        }
        let what =
            if self.memory_percent_per_minute.is_some() { "flat" } else { "descriptors are flat" };
        writeln!(f, "\n{}", if self.ok { what } else { "NOT flat" })
    }
}
