//! Calls that a dead process left answered: closed at their last sign of life, debited once, and
//! the carrier gets its BYE.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sautikit_core::call::{Closing, Talked};
use sautikit_core::cause::{CallStatus, HangupBy};
use sautikit_core::ids::EntryId;
use sautikit_core::money::Minor;
use sautikit_core::rate::Rate;
use sautikit_core::time::UnixMicros;
use sautikit_net::random;
use sautikit_sip::leg::{Hop, Input, Leg, LegConfig, Output, RecoveryDialog, Transport};
use sautikit_sip::message::Message;
use sautikit_store::{CallEvent, CallRow, Debit, Orphan, StoreError, Urgency, Write, WriteError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use super::legs::USER_AGENT;
use super::plan::event_id;
use super::shortfall::cost_what_is_left;
use crate::node::{Node, wall_now};
use crate::trunk::Trunk;

/// The CSeq of a recovered BYE is this much above the stored one: the dead process may have sent
/// requests since.
const CSEQ_STEP: u32 = 1000;

/// How the dialog is stored with the answered row.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    call_id: Cow<'a, str>,
    local_tag: Cow<'a, str>,
    remote_tag: Cow<'a, str>,
    local: Cow<'a, str>,
    remote: Cow<'a, str>,
    target: Cow<'a, str>,
    route_set: Cow<'a, [String]>,
    local_cseq: u32,
    transport: Cow<'a, str>,
}

pub(super) fn to_json(dialog: &RecoveryDialog) -> String {
    let stored = Stored {
        call_id: Cow::Borrowed(&dialog.call_id),
        local_tag: Cow::Borrowed(&dialog.local_tag),
        remote_tag: Cow::Borrowed(&dialog.remote_tag),
        local: Cow::Borrowed(&dialog.local),
        remote: Cow::Borrowed(&dialog.remote),
        target: Cow::Borrowed(&dialog.target),
        route_set: Cow::Borrowed(&dialog.route_set),
        local_cseq: dialog.local_cseq,
        transport: Cow::Borrowed(dialog.transport.as_str()),
    };
    serde_json::to_string(&stored).unwrap_or_default()
}

fn from_json(text: &str) -> Option<RecoveryDialog> {
    let stored: Stored<'_> = serde_json::from_str(text).ok()?;
    Some(RecoveryDialog {
        call_id: stored.call_id.into_owned(),
        local_tag: stored.local_tag.into_owned(),
        remote_tag: stored.remote_tag.into_owned(),
        local: stored.local.into_owned(),
        remote: stored.remote.into_owned(),
        target: stored.target.into_owned(),
        route_set: stored.route_set.into_owned(),
        local_cseq: stored.local_cseq,
        transport: Transport::parse(&stored.transport)?,
    })
}

/// Why the orphans of a dead process could not be closed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// They could not be read.
    #[error("the calls of the last run could not be read: {0}")]
    Read(#[from] StoreError),
    /// Their end could not be written.
    #[error("the calls of the last run could not be closed: {0}")]
    Write(#[from] WriteError),
}

/// Closes what a dead process left, before the first call is taken. Gives the number of answered
/// calls among them.
pub(crate) async fn recover(node: &Arc<Node>) -> Result<usize, RecoverError> {
    for row in node.store.unanswered_orphans().await? {
        let (close, _) = closed(row, None);
        write_end(node, close).await?;
    }
    let rules = node.rules();
    let orphans = node.store.orphans().await?;
    let count = orphans.len();
    for orphan in orphans {
        let dialog = from_json(&orphan.dialog);
        let trunk = orphan.call.trunk.clone();
        let (close, talked) = closed_orphan(orphan);
        let id = close_id(&close);
        write_end(node, close).await?;
        tracing::info!(call = %id, seconds = talked.seconds, "a call of the last run was closed");
        let address = rules.trunks.iter().find(|each| Some(&each.name) == trunk.as_ref());
        match (dialog, address) {
            (Some(dialog), Some(trunk)) => {
                tokio::spawn(say_bye(Arc::clone(node), dialog, Arc::clone(trunk)));
            }
            _ => tracing::warn!(call = %id, trunk = trunk.as_deref().unwrap_or("-"),
                "its trunk is not configured any more: the carrier gets no BYE"),
        }
    }
    Ok(count)
}

/// One call that cannot be closed must not keep all others from being made.
async fn write_end(node: &Node, close: Write) -> Result<(), WriteError> {
    let error = match node.writer.submit(close.clone(), Urgency::Now).await {
        Ok(_) => return Ok(()),
        Err(WriteError::Overdraft) => match close {
            Write::Close { call, debit: Some(debit), events } => {
                match cost_what_is_left(node, call, debit, events).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                }
            }
            _ => WriteError::Overdraft,
        },
        Err(error) => error,
    };
    match error {
        WriteError::Stopped | WriteError::Unavailable | WriteError::QueueFull => Err(error),
        other => {
            metrics::counter!("sautikit_unbilled_answered_calls").increment(1);
            tracing::error!("a call of the last run could not be closed: {other}");
            Ok(())
        }
    }
}

fn close_id(write: &Write) -> String {
    match write {
        Write::Close { call, .. } => call.id.to_string(),
        _ => String::new(),
    }
}

fn closed_orphan(orphan: Orphan) -> (Write, Talked) {
    let rate = orphan.call.rate.unwrap_or(Rate::FREE);
    let seconds = orphan.talked_ms.div_ceil(1000);
    let cost = rate.cost(seconds).unwrap_or(orphan.held).min(orphan.held);
    let talked = Talked { millis: orphan.talked_ms, seconds, cost };
    closed(orphan.call, Some(talked))
}

fn closed(mut row: CallRow, talked: Option<Talked>) -> (Write, Talked) {
    let now = wall_now();
    let closing = Closing {
        status: if talked.is_some() { CallStatus::Completed } else { CallStatus::Failed },
        failure_code: talked.is_none().then_some(503),
        hangup_cause: HangupBy::Recovered.hangup_cause(),
        hangup_by: HangupBy::Recovered,
        talked,
    };
    row.status = closing.status;
    row.failure_code = closing.failure_code;
    row.hangup_cause = Some(Cow::Borrowed(closing.hangup_cause));
    row.hangup_by = Some(closing.hangup_by);
    // Its last sign of life, however long ago: the end and the billed time must not contradict.
    let talked_for = talked.map(|talked| Duration::from_millis(talked.millis));
    let last_sign = row.answered_at.zip(talked_for).and_then(|(at, spent)| at.checked_add(spent));
    row.ended_at = Some(last_sign.unwrap_or(now));
    row.updated_at = now;
    let billed = talked.unwrap_or(Talked { millis: 0, seconds: 0, cost: Minor::ZERO });
    row.duration_seconds = Some(u32::try_from(billed.seconds).unwrap_or(u32::MAX));
    row.cost = billed.cost;
    let debit = talked.map(|talked| Debit {
        entry: EntryId::from_parts(now.unix_millis(), random::bytes()),
        amount: talked.cost,
        idempotency_key: format!("{}:debit", row.id),
        description: format!("Call, {} s", talked.seconds),
    });
    let events = vec![ended_event(&row, now)];
    (Write::Close { call: Box::new(row), debit, events }, billed)
}

fn ended_event(row: &CallRow, at: UnixMicros) -> CallEvent {
    let kind = if row.status == CallStatus::Completed { "call.completed" } else { "call.failed" };
    CallEvent {
        id: event_id(row.id, at, u8::MAX - 1),
        kind: Cow::Borrowed(kind),
        payload: Cow::Borrowed("{\"recovered\":true}"),
        occurred_at: at,
    }
}

/// How a leg of the gateway's own looks whose call is gone.
fn leg_config(node: &Node, local_tag: &str, call_id: &str, transport: Transport) -> LegConfig {
    LegConfig {
        local_tag: local_tag.to_owned(),
        call_id: call_id.to_owned(),
        branch_prefix: random::hex::<8>(),
        contact: format!("sip:gateway@{}", node.sip_public),
        via_sent_by: node.sip_public.to_string(),
        transport,
        user_agent: USER_AGENT.to_owned(),
        session_expires: None,
        credentials: None,
    }
}

async fn say_bye(node: Arc<Node>, dialog: RecoveryDialog, trunk: Arc<Trunk>) {
    let RecoveryDialog { local_tag, call_id, transport, .. } = &dialog;
    let config = leg_config(&node, local_tag, call_id, *transport);
    let leg = Leg::resume_bye(config, &dialog, CSEQ_STEP, None, Instant::now());
    see_off(node, leg, (local_tag, call_id), trunk, Way::OfDialog).await;
}

/// Hangs up an answer to an INVITE that the last process sent: it rang while that one died.
pub(crate) async fn hang_up_stray(node: Arc<Node>, answer: Message, trunk: Arc<Trunk>) {
    // Under the tag of a live leg but another Call-ID it is forged, or answered by a mad carrier.
    let Some(tag) = answer.from_tag().filter(|tag| !node.router.has_leg(tag)) else { return };
    let config = leg_config(&node, tag, answer.call_id(), Transport::Udp);
    if let Some(leg) = Leg::end_stray(config, &answer, CSEQ_STEP, Instant::now()) {
        // A trunk's address can be forged: it is counted, and no log is filled by it.
        metrics::counter!("sautikit_stray_answers_total", "trunk" => trunk.name.to_string())
            .increment(1);
        tracing::debug!(trunk = %trunk.name, "an answer to a call that nobody here knows is hung up");
        // Where its Contact points is anybody's word: only the carrier itself is sent anything.
        see_off(node, leg, (tag, answer.call_id()), trunk, Way::ToTrunk).await;
    }
}

/// Where a leg of a call that is gone sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Where the dialog says: a call of ours made it.
    OfDialog,
    ToTrunk,
}

/// Sends the BYE until it is answered or given up (timer F).
async fn see_off(
    node: Arc<Node>,
    mut leg: Leg,
    (tag, call_id): (&str, &str),
    trunk: Arc<Trunk>,
    way: Way,
) {
    let (queue, mut inbox) = super::queue::call_queue();
    let call_id = call_id.into();
    let route = crate::router::TrunkLeg { call_id, candidate: 0, trunk: Arc::clone(&trunk), queue };
    node.router.add_leg(tag.into(), route);
    loop {
        while let Some(output) = leg.poll_output() {
            if let Output::Send { bytes, hop } = output {
                let address = match hop {
                    _ if way == Way::ToTrunk => trunk.address,
                    Hop::Flow => trunk.address,
                    Hop::Addr(address) => address,
                    Hop::Uri { host, port, .. } => {
                        super::actor::address_of(&host, port, trunk.address)
                    }
                };
                // Timer E repeats what is lost.
                let _ = node.udp.send(&bytes, address);
            }
        }
        if leg.is_idle() {
            break;
        }
        let due = leg.poll_timeout().unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
        tokio::select! {
            input = inbox.receiver.recv() => match input.map(|input| *input) {
                Some(super::queue::CallInput::FromPeer { message, source, .. }) => {
                    leg.handle(Instant::now(), Input::Message { message, source: Some(source) });
                }
                Some(_) => {}
                None => break,
            },
            () = tokio::time::sleep_until(due.into()) => leg.handle_timeout(Instant::now()),
        }
    }
    node.router.remove_leg(tag);
}
