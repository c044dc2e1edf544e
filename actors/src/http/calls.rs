//! `GET /v1/calls`, `GET /v1/calls/{id}`, `POST /v1/calls/{id}/hangup`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use sautikit_core::cause::{CallStatus, HangupBy};
use sautikit_core::ids::{CallId, SessionId};
use sautikit_core::time::UnixMicros;
use sautikit_core::token::FieldError;
use sautikit_store::{CallEvent, CallFilter, CallRow, Direction, Scope};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::asked::{Members, PathId};
use super::auth::Caller;
use super::body::Body;
use super::error::ApiError;
use super::idempotency::once;
use super::page::{Listed, asked, fault};
use crate::call::{CallInput, offer_to_call};
use crate::node::Node;

pub(super) fn routes() -> Router<Arc<Node>> {
    Router::new()
        .route("/v1/calls", get(list))
        .route("/v1/calls/{id}", get(show))
        .route("/v1/calls/{id}/hangup", post(hang_up))
}

#[derive(Serialize)]
struct Quality {
    mos: f64,
    jitter_ms: f64,
    packet_loss: f64,
}

#[derive(Serialize)]
struct Event {
    id: String,
    kind: String,
    payload: Box<RawValue>,
    occurred_at: String,
}

#[derive(Serialize)]
struct Call {
    id: String,
    workspace_id: String,
    session_id: String,
    direction: &'static str,
    origin: &'static str,
    identity: Option<String>,
    local_e164: Option<String>,
    remote_e164: Option<String>,
    country: Option<String>,
    trunk: Option<String>,
    started_at: String,
    answered_at: Option<String>,
    ended_at: Option<String>,
    duration_seconds: Option<u32>,
    status: &'static str,
    failure_code: Option<u16>,
    hangup_cause: Option<String>,
    hangup_by: Option<&'static str>,
    rate_per_minute_minor: Option<serde_json::Number>,
    cost_minor: i64,
    cost_currency: &'static str,
    quality: Option<Quality>,
    metadata: Option<Box<RawValue>>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<Event>>,
}

fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

fn time(at: UnixMicros) -> String {
    at.to_rfc3339()
}

/// A whole rate as a whole number; one with a fraction as it is.
fn rate_of(row: &CallRow) -> Option<serde_json::Number> {
    row.rate.as_ref()?.per_minute_minor().normalize().to_string().parse().ok()
}

fn shown(row: CallRow, events: Option<Vec<CallEvent>>) -> Call {
    Call {
        id: row.id.to_string(),
        workspace_id: row.workspace.to_string(),
        session_id: row.session.to_string(),
        direction: row.direction.as_str(),
        origin: row.origin.as_str(),
        identity: row.identity.as_ref().map(ToString::to_string),
        local_e164: row.local.as_ref().map(|number| number.as_str().to_owned()),
        remote_e164: row.remote.as_ref().map(|number| number.as_str().to_owned()),
        country: row.country.as_deref().map(ToOwned::to_owned),
        trunk: row.trunk.as_deref().map(ToOwned::to_owned),
        started_at: time(row.started_at),
        answered_at: row.answered_at.map(time),
        ended_at: row.ended_at.map(time),
        duration_seconds: row.duration_seconds,
        status: row.status.as_str(),
        failure_code: row.failure_code,
        hangup_cause: row.hangup_cause.as_deref().map(ToOwned::to_owned),
        hangup_by: row.hangup_by.map(HangupBy::as_str),
        rate_per_minute_minor: rate_of(&row),
        cost_minor: row.cost.get(),
        cost_currency: "KES",
        quality: row.quality.map(|quality| Quality {
            mos: quality.mos,
            jitter_ms: quality.jitter_ms,
            packet_loss: quality.packet_loss,
        }),
        metadata: row.metadata.as_deref().and_then(raw),
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        events: events.map(|events| events.into_iter().filter_map(event).collect()),
    }
}

fn event(event: CallEvent) -> Option<Event> {
    Some(Event {
        id: event.id.to_string(),
        kind: event.kind.into_owned(),
        payload: raw(&event.payload)?,
        occurred_at: time(event.occurred_at),
    })
}

#[derive(Deserialize)]
struct Asked {
    status: Option<String>,
    direction: Option<String>,
    q: Option<String>,
    session_id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

impl Asked {
    fn filter(&self, faults: &mut Vec<FieldError>) -> CallFilter {
        CallFilter {
            statuses: self.statuses(faults),
            direction: parsed("direction", self.direction.as_deref(), Direction::parse, faults),
            q: self.q.as_deref().and_then(|part| digits(part, faults)),
            session: parsed("session_id", self.session_id.as_deref(), session_of, faults),
            from: parsed("from", self.from.as_deref(), UnixMicros::parse_rfc3339, faults),
            to: parsed("to", self.to.as_deref(), UnixMicros::parse_rfc3339, faults),
        }
    }

    fn statuses(&self, faults: &mut Vec<FieldError>) -> Vec<CallStatus> {
        let Some(list) = self.status.as_deref() else { return Vec::new() };
        list.split(',')
            .filter_map(|name| parsed("status", Some(name), |name| name.parse().ok(), faults))
            .collect()
    }
}

fn id_of(text: &str) -> Option<CallId> {
    text.parse().ok()
}

fn session_of(text: &str) -> Option<SessionId> {
    text.parse().ok()
}

fn parsed<T>(
    field: &str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    faults: &mut Vec<FieldError>,
) -> Option<T> {
    let value = parse(text?);
    if value.is_none() {
        faults.push(fault(field, "is not a value that this filter knows"));
    }
    value
}

/// Part of a number: its digits, however it is written.
fn digits(part: &str, faults: &mut Vec<FieldError>) -> Option<String> {
    let digits: String = part.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() || digits.len() > 15 {
        faults.push(fault("q", "must be 1 to 15 digits of a number"));
        return None;
    }
    Some(digits)
}

async fn list(
    caller: Caller,
    State(node): State<Arc<Node>>,
    Members(query): Members<Asked>,
) -> Result<Json<Listed<Call>>, ApiError> {
    caller.needs(Scope::CallsRead)?;
    let mut faults = Vec::new();
    let filter = query.filter(&mut faults);
    let (cursor, limit) = asked(query.cursor.as_deref(), query.limit.as_deref(), &mut faults);
    if !faults.is_empty() {
        return Err(ApiError::validation(faults));
    }
    let page = node.store.calls(caller.workspace, &filter, cursor, limit).await?;
    Ok(Json(Listed::of(page, |row| shown(row, None))))
}

#[derive(Serialize)]
struct Shown {
    call: Call,
}

fn no_such_call() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "calls.not_found", "The workspace has no such call")
}

async fn show(
    caller: Caller,
    State(node): State<Arc<Node>>,
    PathId(id): PathId,
) -> Result<Json<Shown>, ApiError> {
    caller.needs(Scope::CallsRead)?;
    let id = id.as_deref().and_then(id_of).ok_or_else(no_such_call)?;
    let found = node.store.call(caller.workspace, id).await?;
    let (row, events) = found.ok_or_else(no_such_call)?;
    Ok(Json(Shown { call: shown(row, Some(events)) }))
}

#[derive(Serialize)]
struct HungUp {
    call_id: String,
    status: &'static str,
}

async fn hang_up(
    caller: Caller,
    State(node): State<Arc<Node>>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    caller.needs(Scope::CallsWrite)?;
    // Nothing in it matters, but a client that sends something else than JSON is told so.
    body.json_or_default::<serde_json::Value>()?;
    let id = id.ok_or_else(no_such_call)?;
    let request = format!("POST /v1/calls/{id}/hangup");
    let workspace = caller.workspace;
    let own = Arc::clone(&node);
    once(&node, workspace, &headers, &request, &body, async move {
        let id = id_of(&id).ok_or_else(no_such_call)?;
        match own.router.call(workspace, id) {
            Some(queue) => offer_to_call(&queue, CallInput::HangUp(HangupBy::Api)),
            None => {
                own.store.call(workspace, id).await?.ok_or_else(no_such_call)?;
            }
        }
        Ok(HungUp { call_id: id.to_string(), status: "hung_up" })
    })
    .await
}
