//! Logs: one line an event on standard error, as text for people or JSON for machines.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{Log, LogFormat};

/// Whether `filter` is one that [`start`] accepts.
pub(crate) fn is_filter(filter: &str) -> bool {
    EnvFilter::try_new(filter).is_ok()
}

/// Starts logging for the whole process; called once. A second call changes nothing.
pub(crate) fn start(log: &Log) {
    let wanted = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // Without the hint every library would be asked to trace, for lines that are then thrown away.
    let finest = wanted.max_level_hint().unwrap_or(LevelFilter::TRACE);
    let safe = filter_fn(|line| is_safe(line.target(), *line.level()));
    let filter = wanted.and(safe.with_max_level_hint(finest));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    let started = match log.format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            registry.with(lines.with_filter(filter)).try_init()
        }
        LogFormat::Text => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal());
            registry.with(lines.with_filter(filter)).try_init()
        }
    };
    if let Err(error) = started {
        eprintln!("logging was started twice: {error}");
    }
}

/// Libraries whose finer lines hold what no log may: ICE passwords and candidate addresses.
const GUARDED: [&str; 3] = ["str0m", "is", "dimpl"];

/// Whether a line may be written, whatever the filter asks for. Libraries trace whole messages, and
/// those hold tokens and phone numbers; our own lines leave them out at every level.
fn is_safe(target: &str, level: Level) -> bool {
    let library = target.split("::").next().unwrap_or_default();
    match library {
        ours if ours.starts_with("sautikit") => true,
        guarded if GUARDED.contains(&guarded) => level <= Level::WARN,
        _ => level <= Level::DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_filter_lets_a_library_trace_messages() {
        assert!(is_safe("sautikit_sip::leg", Level::TRACE));
        for target in ["tungstenite::protocol", "tungstenite", "hyper::proto", "sqlx::query"] {
            assert!(!is_safe(target, Level::TRACE), "{target}");
            assert!(is_safe(target, Level::DEBUG), "{target}");
        }
        assert!(!is_safe("str0m::ice", Level::INFO) && is_safe("str0m::ice", Level::WARN));
    }

    #[test]
    fn a_filter_is_a_level_or_a_list_of_targets() {
        for filter in ["info", "warn,sautikit_sip=debug", "off"] {
            assert!(is_filter(filter), "{filter}");
        }
        for filter in ["info,=,=", "sautikit_sip=loud"] {
            assert!(!is_filter(filter), "{filter}");
        }
    }
}
