//! What the node does by the clock: the sign of life of its live calls, and a look at what other
//! processes changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sautikit_core::limits::SIGN_OF_LIFE_EVERY;
use sautikit_store::{Talked, Urgency, Write};
use tokio::time::{MissedTickBehavior, interval};

use crate::node::Node;
use crate::wallet::Reload;

/// So that the command line's work is seen within two seconds.
const DIRECTORY_EVERY: Duration = Duration::from_secs(1);

/// Every five seconds: how long each live call has talked, never more than what its hold pays.
pub(crate) async fn write_signs_of_life(node: Arc<Node>) {
    let mut ticks = interval(SIGN_OF_LIFE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let batch = signs_of_life(&node, Instant::now());
        if batch.is_empty() {
            continue;
        }
        if let Err(error) = node.writer.submit_unwatched(Write::Talked(batch), Urgency::Soon) {
            tracing::warn!("the live calls' signs of life were not written: {error}");
        }
    }
}

fn signs_of_life(node: &Node, now: Instant) -> Vec<Talked> {
    let mut batch = Vec::new();
    node.router.for_each_call(|id, call| {
        let Some(sign) = call.sign else { return };
        batch.push(Talked { call: id, talked_ms: sign.millis(now), held: sign.held() });
    });
    batch
}

/// Every second: workspaces, numbers, keys and balances that another process changed.
pub(crate) async fn watch_directory(node: Arc<Node>) {
    let mut ticks = interval(DIRECTORY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match node.store.directory_version().await {
            Ok(version) if version == node.directory().version => {}
            Ok(_) => reload(&node).await,
            Err(error) => tracing::warn!("the directory could not be looked at: {error}"),
        }
    }
}

async fn reload(node: &Arc<Node>) {
    match node.store.directory().await {
        Ok(directory) => {
            node.set_directory(directory);
            node.router.for_each_wallet(|wallet| wallet.do_send(Reload));
            crate::connection::close_suspended(node);
        }
        Err(error) => tracing::warn!("the directory could not be read: {error}"),
    }
}
