//! What the disk takes for what a ledger asks of it: a small write that must be durable. Latencies
//! of the gateway are told beside it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::latency::{Latency, Percentiles};

/// What the command line says.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The folder that the database would be in; a file in it is written and removed.
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub folder: PathBuf,
    /// How many writes, one after the other.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub writes: u32,
    /// Where the report is written as JSON.
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,
}

/// A page, the least that a write-ahead log takes.
const BLOCK: [u8; 4096] = [0x5a; 4096];

#[derive(Debug, Serialize)]
struct Report {
    write_and_fdatasync_ms: Option<Percentiles>,
}

/// Appends so many blocks, each with fdatasync, and prints how long each took.
///
/// # Errors
///
/// The file cannot be made or written.
pub fn run(settings: &Settings) -> io::Result<()> {
    let path = settings.folder.join(format!("sautikit-loadtest-{}.disk", std::process::id()));
    let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let measured = measure(file, settings.writes);
    std::fs::remove_file(&path)?;
    let report = Report { write_and_fdatasync_ms: measured?.percentiles() };
    if let Some(Percentiles { count, p50, p90, p99, max, .. }) = report.write_and_fdatasync_ms {
        println!(
            "{count} writes with fdatasync   p50 {p50:.2} ms  p90 {p90:.2}  p99 {p99:.2}  max {max:.2}"
        );
    }
    match &settings.report {
        Some(path) => {
            let json = serde_json::to_string_pretty(&report).map_err(io::Error::other)?;
            std::fs::write(path, json + "\n")
        }
        None => Ok(()),
    }
}

fn measure(mut file: File, writes: u32) -> io::Result<Latency> {
    let mut latency = Latency::default();
    for _ in 0..writes {
        let began = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        latency.record(began.elapsed());
    }
    Ok(latency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_is_measured_and_the_file_is_gone() {
        let name = format!("sautikit-loadtest-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let report = folder.join("report.json");
        let settings = Settings { folder: folder.clone(), writes: 3, report: Some(report.clone()) };
        run(&settings).unwrap();
        let told: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        assert_eq!(told["write_and_fdatasync_ms"]["count"], 3);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "the report alone");
        let nowhere = Settings { folder: folder.join("none"), ..settings };
        assert_eq!(run(&nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
