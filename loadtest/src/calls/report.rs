//! What a run came to: for people on standard output, for programs as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::audio::{AudioReport, Way};
use super::process::Usage;
use super::proof::{Count, Proof};
use super::tally::Tally;
use crate::carrier::Record;
use crate::latency::Percentiles;

/// What was used up to one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) done: Done,
    pub(super) gateway: Option<Usage>,
    pub(super) carrier: Option<Usage>,
    pub(super) generator: Option<Usage>,
}

/// What had been done up to one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Calls that had ended.
    pub(super) calls: u64,
    /// REGISTERs of open sessions that had been answered with 2xx.
    pub(super) registers: u64,
    /// Packets that the gateway's relay had received, by its own count; 0 where it was not asked.
    pub(super) packets: u64,
}

/// What one process used between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Cost {
    pub(super) cpu_seconds: f64,
    /// Of one core.
    pub(super) cpu_share: f64,
    /// `None` where no call ended.
    pub(super) cpu_us_per_call: Option<f64>,
    /// At the end.
    pub(super) rss_kib: u64,
}

/// The part of the run that costs are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Window {
    /// False where the run was too short for one, and all of it counts.
    pub(super) steady: bool,
    pub(super) seconds: f64,
    pub(super) calls_ended: u64,
    /// REGISTERs of open sessions, and packets of audio that the gateway received from either side
    /// (with --media and --admin): what the gateway used for each, `None` where there were none.
    pub(super) registers: u64,
    pub(super) cpu_us_per_register: Option<f64>,
    pub(super) packets: u64,
    pub(super) cpu_us_per_packet: Option<f64>,
    pub(super) gateway: Option<Cost>,
    pub(super) carrier: Option<Cost>,
    pub(super) generator: Option<Cost>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SessionReport {
    pub(super) wanted: u32,
    pub(super) opened: u64,
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) lost: u64,
    pub(super) renewed: u64,
    pub(super) renewals_refused: u64,
    pub(super) opening_seconds: f64,
    /// Connection, handshake and REGISTER.
    pub(super) opening_ms: Option<Percentiles>,
    /// The gateway's, for all openings.
    pub(super) opening_cpu_us_per_session: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct CallReport {
    pub(super) rate: f64,
    pub(super) hold_seconds: f64,
    pub(super) attempted: u64,
    pub(super) answered: u64,
    pub(super) completed: u64,
    pub(super) refused_as_expected: u64,
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) talked_seconds: f64,
    /// From the intended time of the INVITE.
    /// To the INVITE's arrival at the carrier, by the clock of the machine that both run on; `None`
    /// where the carrier's records are not at hand.
    pub(super) invite_to_carrier_ms: Option<Percentiles>,
    pub(super) invite_to_ringing_ms: Option<Percentiles>,
    pub(super) invite_to_answer_ms: Option<Percentiles>,
    pub(super) bye_to_ok_ms: Option<Percentiles>,
    pub(super) generator_late_ms: Option<Percentiles>,
}

/// What the carrier wrote.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct CarrierReport {
    pub(super) records: usize,
    #[serde(flatten)]
    pub(super) count: Count,
}

/// All sockets dropped at once, and back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Reconnect {
    pub(super) dropped: u64,
    pub(super) back: u64,
    pub(super) failed: BTreeMap<String, u64>,
    /// From the drop until the last one was registered.
    pub(super) seconds: f64,
    /// Of each, from the drop until it was registered.
    pub(super) back_ms: Option<Percentiles>,
    /// What the gateway used meanwhile.
    pub(super) gateway: Option<Cost>,
}

/// The gateway's resident memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Memory {
    pub(super) before_kib: u64,
    pub(super) sessions_open_kib: u64,
    pub(super) end_kib: u64,
    /// What the sessions added: at the end of an idle run, else before the first call.
    pub(super) kib_per_session: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) ok: bool,
    pub(super) sessions: SessionReport,
    pub(super) reconnect: Option<Reconnect>,
    /// `None` of a run that was to make none.
    pub(super) calls: Option<CallReport>,
    pub(super) carrier: Option<CarrierReport>,
    pub(super) audio: Option<AudioReport>,
    pub(super) window: Window,
    pub(super) memory: Option<Memory>,
    pub(super) proof: Option<Proof>,
    /// Why there is no proof, where there was to be one.
    pub(super) unproven: Option<String>,
}

impl Sample {
    fn cost(self, later: Self, of: fn(&Self) -> Option<Usage>) -> Option<Cost> {
        let (before, after) = (of(&self)?, of(&later)?);
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let seconds = later.at.saturating_duration_since(self.at).as_secs_f64();
        let calls = later.done.calls.saturating_sub(self.done.calls);
        Some(Cost {
            cpu_seconds: cpu,
            cpu_share: cpu / seconds.max(f64::MIN_POSITIVE),
            cpu_us_per_call: each(cpu, calls),
            rss_kib: after.rss_kib,
        })
    }

    /// What was used from here to `later`.
    pub(super) fn until(self, later: Self, steady: bool) -> Window {
        let gateway = self.cost(later, |sample| sample.gateway);
        let registers = later.done.registers.saturating_sub(self.done.registers);
        let packets = later.done.packets.saturating_sub(self.done.packets);
        let of_gateway = |count| gateway.and_then(|cost| each(cost.cpu_seconds, count));
        Window {
            steady,
            seconds: later.at.saturating_duration_since(self.at).as_secs_f64(),
            calls_ended: later.done.calls.saturating_sub(self.done.calls),
            registers,
            cpu_us_per_register: of_gateway(registers),
            packets,
            cpu_us_per_packet: of_gateway(packets),
            gateway,
            carrier: self.cost(later, |sample| sample.carrier),
            generator: self.cost(later, |sample| sample.generator),
        }
    }
}

/// Microseconds of CPU for each of so many.
fn each(cpu_seconds: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| cpu_seconds * 1e6 / float(count))
}

impl CallReport {
    pub(super) fn new(tally: &Tally, rate: f64, hold: Duration) -> Self {
        Self {
            rate,
            hold_seconds: hold.as_secs_f64(),
            attempted: tally.attempted,
            answered: tally.answered,
            completed: tally.completed,
            refused_as_expected: tally.refused,
            failed: tally.failed.clone(),
            talked_seconds: tally.talked.as_secs_f64(),
            invite_to_carrier_ms: None,
            invite_to_ringing_ms: tally.ringing.percentiles(),
            invite_to_answer_ms: tally.answer.percentiles(),
            bye_to_ok_ms: tally.hang_up.percentiles(),
            generator_late_ms: tally.late.percentiles(),
        }
    }
}

impl Memory {
    /// `calls`: whether there were any, whose memory is no session's.
    pub(super) fn new(
        (before, open, end): (Usage, Usage, Usage),
        sessions: u64,
        calls: bool,
    ) -> Self {
        let with_sessions = if calls { open } else { end };
        let grown = with_sessions.rss_kib.saturating_sub(before.rss_kib);
        Self {
            before_kib: before.rss_kib,
            sessions_open_kib: open.rss_kib,
            end_kib: end.rss_kib,
            kib_per_session: float(grown) / float(sessions.max(1)),
        }
    }
}

impl CarrierReport {
    pub(super) fn new(records: &[Record]) -> Self {
        let answered = records.iter().filter(|record| record.status == 200);
        let count = answered.fold(Count::default(), |sum, record| Count {
            answered: sum.answered + 1,
            seconds: sum.seconds + record.seconds,
        });
        Self { records: records.len(), count }
    }
}

impl Report {
    /// All sessions are as they should be, every call ended as it should, and the books agree.
    pub(super) fn judged(mut self) -> Self {
        let Self { sessions, reconnect, calls, proof, unproven, .. } = &self;
        let sessions_are = sessions.failed.is_empty()
            && sessions.lost == 0
            && sessions.renewals_refused == 0
            && reconnect.as_ref().is_none_or(|it| it.failed.is_empty() && it.back == it.dropped);
        let calls_are = calls.as_ref().is_none_or(|calls| {
            calls.failed.is_empty()
                && calls.attempted == calls.completed + calls.refused_as_expected
        });
        let books_are = unproven.is_none() && proof.as_ref().is_none_or(|proof| proof.ok);
        self.ok = sessions_are && calls_are && books_are;
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sessions.fmt(f)?;
        if let Some(reconnect) = &self.reconnect {
            reconnect.fmt(f)?;
        }
        if let Some(calls) = self.calls.as_ref().filter(|calls| calls.attempted > 0) {
            calls.fmt(f)?;
        }
        if let Some(audio) = &self.audio {
            audio.fmt(f)?;
        }
        self.window.fmt(f)?;
        if let Some(Memory { before_kib, sessions_open_kib, end_kib, kib_per_session }) =
            self.memory
        {
            writeln!(
                f,
                "memory of the gateway: {before_kib} KiB before, {sessions_open_kib} with the sessions open, \
                 {end_kib} at the end: {kib_per_session:.2} KiB a session"
            )?;
        }
        if let Some(proof) = &self.proof {
            proof.fmt(f)?;
        }
        if let Some(why) = &self.unproven {
            writeln!(f, "proof: none: {why}")?;
        }
        writeln!(f, "{}", if self.ok { "all as it should be" } else { "NOT all as it should be" })
    }
}

impl fmt::Display for SessionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, opened, opening_seconds, lost, .. } = self;
        let rate = float(*opened) / opening_seconds.max(f64::MIN_POSITIVE);
        write!(f, "sessions: {opened} of {wanted} in {opening_seconds:.1} s ({rate:.0}/s)")?;
        if let Some(cpu) = self.opening_cpu_us_per_session {
            write!(f, ", {cpu:.0} µs of the gateway's CPU each")?;
        }
        if *lost > 0 {
            write!(f, ", {lost} lost")?;
        }
        if self.renewed + self.renewals_refused > 0 {
            write!(f, ", {} renewed, {} not", self.renewed, self.renewals_refused)?;
        }
        writeln!(f)?;
        reasons(f, &self.failed)?;
        line(f, "opening", self.opening_ms)
    }
}

impl fmt::Display for CallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempted, answered, completed, refused_as_expected, talked_seconds, .. } = self;
        let failed: u64 = self.failed.values().sum();
        writeln!(
            f,
            "calls: {attempted} attempted, {answered} answered, {completed} completed, \
             {refused_as_expected} refused as expected, {failed} failed; {talked_seconds:.1} s talked"
        )?;
        reasons(f, &self.failed)?;
        line(f, "INVITE to INVITE", self.invite_to_carrier_ms)?;
        line(f, "INVITE to ringing", self.invite_to_ringing_ms)?;
        line(f, "INVITE to answer", self.invite_to_answer_ms)?;
        line(f, "BYE to 200", self.bye_to_ok_ms)?;
        line(f, "generator late by", self.generator_late_ms)
    }
}

impl fmt::Display for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dropped, back, seconds, .. } = self;
        write!(f, "reconnect: {dropped} dropped at once, {back} back after {seconds:.2} s")?;
        if let Some(cost) = self.gateway {
            write!(f, ", {:.2} s of the gateway's CPU", cost.cpu_seconds)?;
        }
        writeln!(f)?;
        reasons(f, &self.failed)?;
        line(f, "registered again", self.back_ms)
    }
}

impl fmt::Display for AudioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without: u64 = self.without.values().sum();
        let Self { calls, jitter_ms_mean, jitter_ms_max, .. } = self;
        writeln!(f, "audio: {calls} calls, {without} of them without")?;
        line(f, "ICE and DTLS up", self.connected_ms)?;
        for (name, way) in
            [("to the carrier", self.to_carrier), ("to the browser", Some(self.to_browser))]
        {
            let Some(Way { sent, received, lost, lost_percent }) = way else { continue };
            writeln!(
                f,
                "  {name:<18} {sent} packets sent, {received} received, {lost} lost ({lost_percent:.3} %)"
            )?;
        }
        writeln!(
            f,
            "  {:<18} mean {jitter_ms_mean:.2} ms, max {jitter_ms_max:.2} ms",
            "browsers' jitter"
        )
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.steady { "steady part" } else { "whole run" };
        write!(f, "{part}: {:.1} s, {} calls ended", self.seconds, self.calls_ended)?;
        if let Some(each) = self.cpu_us_per_register {
            write!(f, "; {} REGISTERs at {each:.1} µs of the gateway's CPU", self.registers)?;
        }
        if let Some(each) = self.cpu_us_per_packet {
            write!(f, "; {} packets at {each:.2} µs of the gateway's CPU", self.packets)?;
        }
        writeln!(f)?;
        for (name, cost) in
            [("gateway", self.gateway), ("carrier", self.carrier), ("generator", self.generator)]
        {
            let Some(cost) = cost else { continue };
            let mut text = String::new();
            if let Some(each) = cost.cpu_us_per_call {
                write!(text, ", {each:.0} µs a call")?;
            }
            let Cost { cpu_seconds, cpu_share, rss_kib, .. } = cost;
            let share = cpu_share * 100.0;
            writeln!(
                f,
                "  {name:<10} {cpu_seconds:.2} s of CPU, {share:.1} % of a core{text}, {rss_kib} KiB resident"
            )?;
        }
        Ok(())
    }
}

fn reasons(f: &mut fmt::Formatter<'_>, failed: &BTreeMap<String, u64>) -> fmt::Result {
    failed.iter().try_for_each(|(reason, count)| writeln!(f, "  {count} × {reason}"))
}

fn line(f: &mut fmt::Formatter<'_>, what: &str, latency: Option<Percentiles>) -> fmt::Result {
    let Some(Percentiles { p50, p90, p99, p999, max, .. }) = latency else { return Ok(()) };
    writeln!(
        f,
        "  {what:<18} p50 {p50:>8.2} ms  p90 {p90:>8.2}  p99 {p99:>8.2}  p99.9 {p999:>8.2}  max {max:>8.2}"
    )
}

/// Counts here are far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failed: &[(&str, u64)]) -> Report {
        let mut tally = Tally { attempted: 100, answered: 99, completed: 99, ..Tally::default() };
        for (reason, count) in failed {
            (0..*count).for_each(|_| tally.fail((*reason).to_owned()));
        }
        (1..=99).for_each(|ms| tally.answer.record(Duration::from_millis(ms)));
        let sessions = SessionReport {
            wanted: 10,
            opened: 10,
            failed: BTreeMap::new(),
            lost: 0,
            renewed: 0,
            renewals_refused: 0,
            opening_seconds: 0.5,
            opening_ms: None,
            opening_cpu_us_per_session: Some(55.0),
        };
        let calls = Some(CallReport::new(&tally, 200.0, Duration::from_secs(5)));
        let start = Instant::now();
        let usage = |ms, rss_kib| Usage { cpu: Duration::from_millis(ms), rss_kib };
        let sample = |seconds, calls, usage| Sample {
            at: start + Duration::from_secs(seconds),
            done: Done { calls, registers: calls * 7, packets: calls * 70 },
            gateway: Some(usage),
            carrier: None,
            generator: None,
        };
        let window = sample(0, 0, usage(100, 1000)).until(sample(10, 2000, usage(800, 1640)), true);
        let memory = Memory::new((usage(0, 1000), usage(0, 1500), usage(0, 1640)), 10, false);
        Report {
            ok: false,
            sessions,
            reconnect: None,
            calls,
            carrier: None,
            audio: None,
            window,
            memory: Some(memory),
            proof: None,
            unproven: None,
        }
        .judged()
    }

    #[test]
    fn cost_is_what_was_used_between_two_samples_by_the_calls_that_ended() {
        let report = report(&[]);
        let cost = report.window.gateway.unwrap();
        assert!((cost.cpu_us_per_call.unwrap() - 350.0).abs() < 0.001);
        assert!((cost.cpu_share - 0.07).abs() < 1e-9);
        assert!((report.window.cpu_us_per_register.unwrap() - 50.0).abs() < 1e-9);
        assert!((report.window.cpu_us_per_packet.unwrap() - 5.0).abs() < 1e-9);
        assert!((report.memory.unwrap().kib_per_session - 64.0).abs() < 1e-9);
        let usage = |rss_kib| Usage { cpu: Duration::ZERO, rss_kib };
        let busy = Memory::new((usage(1000), usage(1500), usage(1640)), 10, true);
        assert!((busy.kib_per_session - 50.0).abs() < 1e-9);
    }

    #[test]
    fn people_read_figures_and_reasons() {
        let text = report(&[("402 wallet.insufficient_funds", 1)]).to_string();
        for part in [
            "sessions: 10 of 10 in 0.5 s (20/s), 55 µs",
            "calls: 100 attempted, 99 answered, 99 completed, 0 refused as expected, 1 failed",
            "  1 × 402 wallet.insufficient_funds",
            "INVITE to answer   p50    50.0",
            "350 µs a call",
            "64.00 KiB a session",
            "NOT all as it should be",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn programs_read_json() {
        let json = serde_json::to_value(report(&[("no final response", 1)])).unwrap();
        assert_eq!(json["calls"]["failed"]["no final response"], 1);
        assert_eq!(json["calls"]["invite_to_answer_ms"]["count"], 99);
        assert_eq!(json["window"]["calls_ended"], 2000);
        assert_eq!(json["ok"], false);
    }

    #[test]
    fn a_proof_that_could_not_be_made_is_not_as_it_should_be() {
        let mut report = report(&[("486", 1)]);
        if let Some(calls) = &mut report.calls {
            calls.failed.clear();
            calls.attempted = 99;
        }
        report = report.judged();
        assert!(report.ok);
        report.unproven = Some("nobody answered".to_owned());
        report = report.judged();
        assert!(!report.ok && report.to_string().contains("proof: none: nobody answered"));
    }

    #[test]
    fn a_call_that_never_ended_is_not_as_it_should_be() {
        assert!(!report(&[]).ok, "100 attempted, 99 completed");
    }
}
