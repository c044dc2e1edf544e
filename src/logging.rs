//! Logs: one line an event on standard error, as text for people or JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Whether `filter` is one that [`start`] accepts.
pub(crate) fn is_filter(filter: &str) -> bool {
    EnvFilter::try_new(filter).is_ok()
}

/// Starts logging for the whole process; called once. A second call changes nothing.
pub(crate) fn start(log: &Log) {
    let filter = EnvFilter::try_new(guarded(&log.filter));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    if let Err(error) = started {
        eprintln!("logging was started twice: {error}");
    }
}

/// Libraries whose finer lines hold what no log may: ICE passwords and candidate addresses. They
/// come last, so they win over the same target earlier in the filter.
const GUARDED: [&str; 3] = ["str0m", "is", "dimpl"];

fn guarded(filter: &str) -> String {
    let quiet = filter.trim() == "off" || filter.trim() == "error";
    let level = if quiet { "error" } else { "warn" };
    GUARDED.iter().fold(filter.to_owned(), |filter, target| format!("{filter},{target}={level}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
