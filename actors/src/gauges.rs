//! Gauges, counted from the truth when they are asked for.

use std::sync::Arc;

use crate::census::Kind;
use crate::node::Node;

#[allow(clippy::cast_precision_loss)] // counts far below 2^52
pub(crate) fn measure(node: &Arc<Node>) {
    metrics::gauge!("sautikit_sessions").set(node.router.sessions() as f64);
    metrics::gauge!("sautikit_calls_live").set(node.router.calls_live() as f64);
    metrics::gauge!("sautikit_holds").set(node.census.holds() as f64);
    metrics::gauge!("sautikit_media_port_pairs").set(node.media.port_pairs_leased() as f64);
    for kind in Kind::ALL {
        metrics::gauge!("sautikit_actors", "actor" => kind.label())
            .set(node.census.actors(kind) as f64);
    }
    metrics::gauge!("sautikit_store_waiting").set(node.writer.waiting() as f64);
    metrics::gauge!("sautikit_draining").set(if node.is_draining() { 1.0 } else { 0.0 });
    metrics::gauge!("sautikit_uptime_seconds").set(node.uptime().as_secs_f64());
    for trunk in &node.rules().trunks {
        metrics::gauge!("sautikit_trunk_legs", "trunk" => trunk.name.to_string())
            .set(trunk.live() as f64);
    }
}
