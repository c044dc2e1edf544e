//! The call's row and events as they are written, from what the rules decided.

use std::borrow::Cow;
use std::time::Instant;

use sautikit_core::call::Closing;
use sautikit_core::cause::CallStatus;
use sautikit_core::ids::EntryId;
use sautikit_core::money::Minor;
use sautikit_store::{CallEvent, CallRow, Debit, Direction, Origin};

use super::plan::{Clock, Plan, event_id};

/// The row of a call under way.
pub(crate) struct Record {
    row: CallRow,
    clock: Clock,
    events: Vec<CallEvent>,
    count: u8,
}

impl Record {
    pub(crate) fn new(plan: &Plan) -> Self {
        let started_at = plan.clock.started();
        let row = CallRow {
            id: plan.id,
            workspace: plan.workspace,
            session: plan.id.into(),
            direction: Direction::Outbound,
            origin: Origin::Browser,
            identity: plan.identity.clone(),
            local: Some(plan.from),
            remote: Some(plan.to),
            country: None,
            trunk: None,
            started_at,
            answered_at: None,
            ended_at: None,
            duration_seconds: None,
            status: CallStatus::Ringing,
            failure_code: None,
            hangup_cause: None,
            hangup_by: None,
            rate: Some(plan.rate),
            rate_prefix: Some(plan.rate_prefix.clone()),
            cost: Minor::ZERO,
            held: Minor::ZERO,
            quality: None,
            metadata: None,
            created_at: started_at,
            updated_at: started_at,
        };
        Self { row, clock: plan.clock, events: Vec::new(), count: 0 }
    }

    pub(crate) fn row(&self) -> &CallRow {
        &self.row
    }

    /// A trunk is tried.
    pub(crate) fn dialled(&mut self, trunk: &std::sync::Arc<str>, at: Instant) {
        if self.row.trunk.is_none() {
            self.event("call.started", Cow::Borrowed("{}"), at);
        }
        self.row.trunk = Some(trunk.clone());
        self.row.updated_at = self.clock.wall_at(at);
    }

    /// The far side answered.
    pub(crate) fn answered(&mut self, at: Instant) {
        self.row.status = CallStatus::Answered;
        self.row.answered_at = Some(self.clock.wall_at(at));
        self.row.updated_at = self.clock.wall_at(at);
        self.event("call.answered", Cow::Borrowed("{}"), at);
    }

    /// The call is over; gives the debit of an answered one.
    pub(crate) fn close(&mut self, closing: &Closing, held: Minor, at: Instant) -> Option<Debit> {
        let ended = self.clock.wall_at(at);
        let row = &mut self.row;
        row.status = closing.status;
        row.failure_code = closing.failure_code;
        row.hangup_cause = Some(Cow::Borrowed(closing.hangup_cause));
        row.hangup_by = Some(closing.hangup_by);
        row.ended_at = Some(ended);
        row.updated_at = ended;
        let debit = match closing.talked {
            Some(talked) => {
                row.duration_seconds = Some(u32::try_from(talked.seconds).unwrap_or(u32::MAX));
                row.cost = talked.cost;
                row.held = held;
                Some(Debit {
                    entry: EntryId::from_parts(
                        ended.unix_millis(),
                        *event_id(row.id, ended, u8::MAX)
                            .as_uuid()
                            .as_bytes()
                            .last_chunk::<10>()
                            .expect("a UUID has 16 bytes"),
                    ),
                    amount: talked.cost,
                    idempotency_key: format!("{}:debit", row.id),
                    description: format!("Call, {} s", talked.seconds),
                })
            }
            None => {
                row.answered_at = None;
                row.duration_seconds = Some(0);
                None
            }
        };
        let (kind, payload) = match closing.status {
            CallStatus::Completed => ("call.completed", Cow::Borrowed("{}")),
            status => ("call.failed", Cow::Owned(format!("{{\"status\":\"{status}\"}}"))),
        };
        self.event(kind, payload, at);
        debit
    }

    /// A thing worth telling that changes no column.
    pub(crate) fn event(&mut self, kind: &'static str, payload: Cow<'static, str>, at: Instant) {
        let at = self.clock.wall_at(at);
        self.events.push(CallEvent {
            id: event_id(self.row.id, at, self.count),
            kind: Cow::Borrowed(kind),
            payload,
            occurred_at: at,
        });
        self.count = self.count.saturating_add(1);
    }

    /// The events that were not written yet.
    pub(crate) fn take_events(&mut self) -> Vec<CallEvent> {
        std::mem::take(&mut self.events)
    }
}
