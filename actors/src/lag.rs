//! Whether this shard's event loop keeps up. One that does not sheds new calls, so that those it has
//! are served.

use std::cell::Cell;
use std::time::{Duration, Instant};

use sautikit_core::limits::LOOP_LAG_MAX;
use tokio::time::{MissedTickBehavior, interval};

const EVERY: Duration = Duration::from_millis(100);

thread_local! {
    /// When this loop's next tick is due, and how late the last one was.
    static TICKS: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Ticks as long as the shard lives.
pub(crate) async fn watch_this_loop() {
    let late_by = metrics::histogram!("sautikit_loop_lag_seconds");
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = ticks.tick().await.into_std();
        let now = Instant::now();
        let late = now.saturating_duration_since(due);
        late_by.record(late);
        TICKS.set(Some((now + EVERY, late)));
    }
}

/// The last tick came too late, or the next one should long be here.
pub(crate) fn this_loop_lags(now: Instant) -> bool {
    TICKS
        .get()
        .is_some_and(|(due, late)| late.max(now.saturating_duration_since(due)) > LOOP_LAG_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_something_blocks_lags_until_it_runs_again() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                tokio::task::spawn_local(watch_this_loop());
                while TICKS.get().is_none() {
                    tokio::task::yield_now().await;
                }
                assert!(!this_loop_lags(Instant::now()));
                std::thread::sleep(EVERY + LOOP_LAG_MAX + Duration::from_millis(20));
                assert!(this_loop_lags(Instant::now()), "it sees it before the next tick");
                tokio::task::yield_now().await;
                let end = Instant::now() + Duration::from_secs(5);
                while this_loop_lags(Instant::now()) {
                    assert!(Instant::now() < end, "it never recovers");
                    tokio::time::sleep(EVERY / 10).await;
                }
            })
            .await;
    }
}
