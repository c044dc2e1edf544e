//! What the gateway uses and holds, every second, in a file.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::api::Http;
use super::super::gauges::Reading;
use super::super::process::usage;
use super::flat::Sample;
use super::stage::{Life, Stage};
use super::windows::{SETTLING, Window};

const EVERY: Duration = Duration::from_secs(1);
/// What a busy or a dying gateway has for its gauges.
const PATIENCE: Duration = Duration::from_millis(900);

/// See the [module](self).
pub(super) struct Survey {
    admin: Http,
    file: BufWriter<File>,
    rows: Vec<Row>,
}

/// What was read at one moment.
#[derive(Clone, Copy, Debug)]
struct Row {
    at: Instant,
    sample: Sample,
}

/// How many files a process has open.
pub(super) fn descriptors(pid: u32) -> io::Result<u64> {
    let count = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

impl Survey {
    pub(super) fn start(folder: &Path, admin: Http) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(folder.join("soak.csv"))?);
        let names = Reading::names().map(|name| format!(",{name}")).collect::<String>();
        writeln!(file, "seconds,life,age_seconds,rss_kib,descriptors{names}")?;
        Ok(Self { admin, file, rows: Vec::new() })
    }

    /// Looks every second, for ever. While there is no gateway, there is no line.
    pub(super) async fn keep(&mut self, stage: &Stage) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let life = stage.life();
            let reading = tokio::time::timeout(PATIENCE, Reading::take(&self.admin, true)).await;
            if let Ok(Ok(reading)) = reading
                && stage.life().number == life.number
            {
                // What is not written is missed by whoever looks at it, and by nothing else.
                let _ = self.note(stage, life, &reading);
            }
        }
    }

    fn note(&mut self, stage: &Stage, life: Life, reading: &Reading) -> io::Result<()> {
        let at = Instant::now();
        let (rss_kib, descriptors) =
            (usage(&life.pid.to_string())?.rss_kib, descriptors(life.pid)?);
        let sample = Sample {
            seconds: at.saturating_duration_since(stage.start).as_secs_f64(),
            life: life.number,
            age_seconds: at.saturating_duration_since(life.since).as_secs_f64(),
            calm: false,
            rss_kib,
            descriptors,
            sessions: reading.sessions(),
        };
        self.rows.push(Row { at, sample });
        let Sample { seconds, life, age_seconds, .. } = sample;
        write!(self.file, "{seconds:.1},{life},{age_seconds:.1},{rss_kib},{descriptors}")?;
        reading.values().try_for_each(|value| write!(self.file, ",{value}"))?;
        writeln!(self.file)?;
        self.file.flush()
    }

    /// All that was read, and whether something was done to the gateway at that time.
    pub(super) fn samples(&self, windows: &[Window]) -> Vec<Sample> {
        let is_calm = |at: Instant| {
            windows.iter().all(|window| at < window.from || at > window.until + 2 * SETTLING)
        };
        let samples = self.rows.iter().map(|row| Sample { calm: is_calm(row.at), ..row.sample });
        samples.collect()
    }
}
