//! The end of the process, in order: nothing new is taken; calls may finish within the grace; what
//! is left is hung up on both sides; everything is posted; the servers stop.

use std::time::Duration;

use sautikit_actors::Gateway;
use tokio::signal::unix::Signal;

/// How long the hang-ups of the last calls may take: BYE and its answer on both sides, and the
/// debits' commit.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// How long the last commits may take; longer means that the database is away, and the recovery of
/// the next start posts what is missing.
const LAST_COMMITS: Duration = Duration::from_secs(30);

/// Drains. A Ctrl-C meanwhile cuts the grace short.
/// Gives whether all that was due is committed.
pub(crate) async fn drain(gateway: &Gateway, grace: Duration, interrupt: &mut Signal) -> bool {
    gateway.begin_drain();
    tracing::info!(grace_seconds = grace.as_secs(), "draining: new calls are refused");
    let left = tokio::select! {
        left = gateway.wait_for_calls(grace) => left,
        _ = interrupt.recv() => gateway.wait_for_calls(Duration::ZERO).await,
    };
    if left > 0 {
        tracing::info!(calls = left, "hanging up what is left");
        gateway.end_calls();
        let left = gateway.wait_for_calls(LAST_CALLS).await;
        if left > 0 {
            tracing::warn!(calls = left, "calls without an end; the next start closes them");
        }
    }
    let committed = tokio::time::timeout(LAST_COMMITS, gateway.stop()).await.is_ok();
    if !committed {
        tracing::warn!("the database did not take the last commits in time");
    }
    // Bounded by itself: a slow client is no fault of the database's.
    gateway.stop_serving().await;
    tracing::info!("stopped");
    committed
}
