//! The end of a call that its wallet no longer covers: another hand took money that was held.

use sautikit_core::ids::CallId;
use sautikit_core::money::Minor;
use sautikit_store::{CallEvent, CallRow, Debit, Urgency, Write, WriteError, Written};

use crate::node::Node;

/// Ends may race for the last coins; each try takes what is there then.
const TRIES_MAX: usize = 8;

/// Writes the end so that the call costs what is left, since a call without an end would be worse
/// than a cheap one. It is counted as not billed, and `reconcile` names it; where even that fails,
/// whoever asked counts it.
pub(super) async fn cost_what_is_left(
    node: &Node,
    mut row: Box<CallRow>,
    mut debit: Debit,
    events: Vec<CallEvent>,
) -> Result<(), WriteError> {
    let wanted = row.cost;
    for _ in 0..TRIES_MAX {
        let read = node.writer.submit(Write::Read(row.workspace), Urgency::Now).await?;
        let Written::Balance(left) = read else { break };
        (row.cost, debit.amount) = (left.min(wanted), left.min(wanted));
        let close =
            Write::Close { call: row.clone(), debit: Some(debit.clone()), events: events.clone() };
        match node.writer.submit(close, Urgency::Now).await {
            Err(WriteError::Overdraft) => {}
            Ok(_) => {
                tell(row.id, wanted, row.cost);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Err(WriteError::Overdraft)
}

fn tell(call: CallId, wanted: Minor, left: Minor) {
    metrics::counter!("sautikit_unbilled_answered_calls").increment(1);
    tracing::error!(%call, cost_minor = wanted.get(), left_minor = left.get(),
        "the balance does not cover a call: it costs what is left");
}
