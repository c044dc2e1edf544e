//! Metrics: what the whole process counts, kept for Prometheus to fetch from the admin address.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Commits: from a fast disk's fsync to a database that somebody holds.
const COMMIT_SECONDS: [f64; 11] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0];

/// How many calls shared a commit.
const COMMIT_ITEMS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

/// How late an event loop's tick is: over 0.25 it sheds new calls.
const LOOP_LAG_SECONDS: [f64; 8] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// Histogram samples wait in memory until somebody folds them in: a scrape, or this.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder for the process, and keeps its memory bounded where nobody scrapes.
/// To be called once, before anything counts.
pub(crate) fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = builder()?.install_recorder()?;
    tell_of_zero();
    let kept = handle.clone();
    let upkeep = move || {
        loop {
            std::thread::sleep(UPKEEP_EVERY);
            kept.run_upkeep();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("metrics".to_owned()).spawn(upkeep) {
        tracing::warn!(%error, "no thread for metrics: their memory grows between two scrapes");
    }
    Ok(handle)
}

/// What must stay 0 is told as 0 from the start: an alert cannot tell a counter that is absent from
/// one that nobody reads, and the first step from nothing to 1 is no increase to Prometheus.
fn tell_of_zero() {
    for name in [
        "sautikit_unbilled_answered_calls",
        "sautikit_media_panics_total",
        "sautikit_store_refused_total",
        "sautikit_store_queue_full_total",
        "sautikit_call_queue_overflows_total",
    ] {
        metrics::counter!(name).increment(0);
    }
    for actor in ["call", "connection"] {
        metrics::counter!("sautikit_actor_panics_total", "actor" => actor).increment(0);
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let full = |name: &str| Matcher::Full(name.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(full("sautikit_store_commit_seconds"), &COMMIT_SECONDS)?
        .set_buckets_for_metric(full("sautikit_store_commit_items"), &COMMIT_ITEMS)?
        .set_buckets_for_metric(full("sautikit_loop_lag_seconds"), &LOOP_LAG_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_counted_in_buckets_that_can_be_summed_over_nodes() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("sautikit_store_commit_seconds").record(0.0015);
        });
        let text = handle.render();
        assert!(text.contains("sautikit_store_commit_seconds_bucket{le=\"0.002\"} 1"), "{text}");
    }
}
