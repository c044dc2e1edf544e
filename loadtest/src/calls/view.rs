//! What is shown while it runs: a few lines in place on a terminal, one line every few seconds
//! elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::process::Usage;
use super::tally::Tally;
use crate::latency::Percentiles;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Over how long the real rate and the share of CPU are taken.
const WINDOW: Duration = Duration::from_secs(1);
/// Reasons of failure that have room on a screen.
const REASONS_SHOWN: usize = 3;

/// What is to be seen at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) at: Instant,
    pub(super) tally: &'a Tally,
    pub(super) sessions: u64,
    pub(super) rate_wanted: f64,
    /// How many calls there will be.
    pub(super) calls_total: u64,
    pub(super) gateway: Option<Usage>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct View {
    screen: Option<Screen>,
    line_at: Instant,
    /// The beginning of the window: when, calls begun, and what the gateway had used.
    since: Option<(Instant, u64, Option<Usage>)>,
    rate: f64,
    cpu_percent: Option<f64>,
}

#[derive(Debug)]
struct Screen {
    all: MultiProgress,
    progress: ProgressBar,
    calls: ProgressBar,
    failed: ProgressBar,
    cost: ProgressBar,
}

impl View {
    pub(super) fn new() -> Self {
        let screen = io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let line = || all.add(ProgressBar::new(0).with_style(style("{msg}")));
            let progress = all.add(
                ProgressBar::new(0).with_style(style("{prefix} {elapsed} {wide_bar} {pos}/{len}")),
            );
            Screen { progress, calls: line(), failed: line(), cost: line(), all: all.clone() }
        });
        let line_at = Instant::now() + LINE_EVERY;
        Self { screen, line_at, since: None, rate: 0.0, cpu_percent: None }
    }

    /// How many of something are done.
    pub(super) fn progress(&mut self, what: &'static str, done: u64, total: u64) {
        if let Some(screen) = &self.screen {
            screen.progress.set_prefix(what);
            screen.progress.set_length(total);
            screen.progress.set_position(done);
        } else if self.is_time() {
            eprintln!("{what}: {done} of {total}");
        }
    }

    pub(super) fn show(&mut self, scene: &Scene<'_>) {
        self.measure(scene);
        let (calls, cost) = (self.calls(scene), self.cost(scene));
        let failed = failed(scene.tally);
        let what = if scene.calls_total > 0 { "calls" } else { "idle" };
        self.progress_of(what, scene);
        if let Some(screen) = &self.screen {
            screen.calls.set_message(calls);
            screen.failed.set_message(failed);
            screen.cost.set_message(cost);
        } else if self.is_time() {
            eprintln!("{calls}; {failed}; {cost}");
        }
    }

    /// Takes the lines away again.
    pub(super) fn clear(&self) {
        if let Some(screen) = &self.screen {
            for line in [&screen.progress, &screen.calls, &screen.failed, &screen.cost] {
                line.finish_and_clear();
            }
            // A screen that is gone needs no clearing.
            let _ = screen.all.clear();
        }
    }

    fn progress_of(&self, what: &'static str, scene: &Scene<'_>) {
        if let Some(screen) = &self.screen {
            screen.progress.set_prefix(what);
            screen.progress.set_length(scene.calls_total);
            screen.progress.set_position(scene.tally.attempted);
        }
    }

    fn is_time(&mut self) -> bool {
        let now = Instant::now();
        let is_time = now >= self.line_at;
        if is_time {
            self.line_at = now + LINE_EVERY;
        }
        is_time
    }

    fn measure(&mut self, scene: &Scene<'_>) {
        let Some((at, attempted, usage)) = self.since else {
            self.since = Some((scene.at, scene.tally.attempted, scene.gateway));
            return;
        };
        let took = scene.at.saturating_duration_since(at);
        if took < WINDOW {
            return;
        }
        let begun = u32::try_from(scene.tally.attempted - attempted).unwrap_or(u32::MAX);
        self.rate = f64::from(begun) / took.as_secs_f64();
        self.cpu_percent = usage.zip(scene.gateway).map(|(before, after)| {
            let used = after.cpu.saturating_sub(before.cpu);
            used.as_secs_f64() / took.as_secs_f64() * 100.0
        });
        self.since = Some((scene.at, scene.tally.attempted, scene.gateway));
    }

    fn calls(&self, scene: &Scene<'_>) -> String {
        let (tally, wanted, rate) = (scene.tally, scene.rate_wanted, self.rate);
        let mut text = format!("{} sessions", scene.sessions);
        if scene.calls_total > 0 {
            let (live, completed) = (tally.live(), tally.completed);
            let _ = write!(
                text,
                ", {wanted:.0} calls/s wanted, {rate:.0} made, {live} live, {completed} completed"
            );
        }
        if let Some(Percentiles { p50, p99, .. }) = tally.answer.percentiles() {
            let _ = write!(text, ", answer p50 {p50:.1} ms p99 {p99:.1} ms");
        }
        text
    }

    fn cost(&self, scene: &Scene<'_>) -> String {
        let Some(usage) = scene.gateway else { return "the gateway's process is not known".into() };
        let mib = usage.rss_kib / 1024;
        match self.cpu_percent {
            Some(cpu) => format!("gateway {cpu:.0} % of a core, {mib} MiB"),
            None => format!("gateway {mib} MiB"),
        }
    }
}

fn failed(tally: &Tally) -> String {
    let mut text = format!("{} failed", tally.failures());
    let mut reasons: Vec<_> = tally.failed.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (at, (reason, count)) in reasons.iter().take(REASONS_SHOWN).enumerate() {
        let before = if at == 0 { ':' } else { ',' };
        // Writing to a string does not fail.
        let _ = write!(text, "{before} {count} × {reason}");
    }
    text
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_tell_rate_calls_causes_and_cost() {
        let mut view = View::new();
        let start = Instant::now();
        let mut tally = Tally { attempted: 100, completed: 40, ..Tally::default() };
        for (reason, count) in
            [("486", 3), ("402 wallet.insufficient_funds", 5), ("a", 1), ("b", 1)]
        {
            (0..count).for_each(|_| tally.fail(reason.to_owned()));
        }
        tally.answer.record(Duration::from_millis(20));
        let usage = |ms| Some(Usage { cpu: Duration::from_millis(ms), rss_kib: 40_960 });
        let scene = |seconds, tally, gateway| Scene {
            at: start + Duration::from_secs(seconds),
            tally,
            sessions: 7,
            rate_wanted: 50.0,
            calls_total: 500,
            gateway,
        };
        let before = Tally::default();
        view.measure(&scene(0, &before, usage(100)));
        let last = scene(2, &tally, usage(600));
        view.measure(&last);
        assert_eq!(
            view.calls(&last),
            "7 sessions, 50 calls/s wanted, 50 made, 50 live, 40 completed, answer p50 20.0 ms p99 20.0 ms"
        );
        assert_eq!(view.cost(&last), "gateway 25 % of a core, 40 MiB");
        assert_eq!(failed(&tally), "10 failed: 5 × 402 wallet.insufficient_funds, 3 × 486, 1 × a");
    }
}
