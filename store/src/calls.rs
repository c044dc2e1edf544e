//! Reading calls.

use std::borrow::Cow;

use rust_decimal::Decimal;
use sautikit_core::cause::{CallStatus, HangupBy};
use sautikit_core::identity::Identity;
use sautikit_core::ids::{CallId, EventId, SessionId, WorkspaceId};
use sautikit_core::money::Minor;
use sautikit_core::rate::Rate;
use sautikit_core::time::UnixMicros;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};
use uuid::Uuid;

use crate::call::{CallEvent, CallRow, Direction, Origin, Quality};
use crate::error::StoreError;
use crate::open::Store;
use crate::page::{Cursor, Page, limit_of};
use crate::row;

/// The columns that [`call_of`] reads, in its order, of a table named `c`.
pub(crate) const CALL_COLUMNS: &str = "c.id, c.workspace_id, c.session_id, c.direction, c.origin, \
    c.identity, c.local_e164, c.remote_e164, c.country, c.trunk, c.started_at, c.answered_at, \
    c.ended_at, c.duration_seconds, c.status, c.failure_code, c.hangup_cause, c.hangup_by, \
    c.rate_per_minute_minor, c.rate_increment, c.rate_minimum_minor, c.rate_fee_minor, \
    c.rate_prefix, c.cost_minor, c.held_minor, c.quality_mos, c.quality_jitter_ms, \
    c.quality_packet_loss, c.metadata, c.created_at, c.updated_at, c.events";
/// How many they are.
pub(crate) const CALL_COLUMN_COUNT: usize = 32;

/// An id's time stands in its first 48 bits; a call starts within a day of it, whatever clock
/// stepped in between.
const ID_TIME_SLACK_MICROS: i64 = 24 * 3600 * 1_000_000;

/// What `GET /v1/calls` may ask for. An empty one asks for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Any of these; empty for all.
    pub statuses: Vec<CallStatus>,
    /// Only this direction.
    pub direction: Option<Direction>,
    /// Part of either number; only its digits count. Without a digit it matches nothing.
    pub q: Option<String>,
    /// Only rows that belong together.
    pub session: Option<SessionId>,
    /// Started at this time or later.
    pub from: Option<UnixMicros>,
    /// Started before this time.
    pub to: Option<UnixMicros>,
}

impl Store {
    /// A page of a workspace's calls, newest first, by id: rows that are added meanwhile come
    /// before the first page and shift nothing.
    pub async fn calls(
        &self,
        workspace: WorkspaceId,
        filter: &CallFilter,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<CallRow>, StoreError> {
        let limit = limit_of(limit);
        let mut query = QueryBuilder::new("SELECT ");
        query.push(CALL_COLUMNS).push(" FROM calls c WHERE c.workspace_id = ");
        query.push_bind(workspace.as_uuid());
        if let Some(cursor) = cursor {
            query.push(" AND c.id < ").push_bind(Uuid::from_u128(cursor.0));
        }
        narrow(&mut query, filter);
        query.push(" ORDER BY c.id DESC LIMIT ").push_bind(limit + 1);
        let rows = query.build().fetch_all(self.reads()).await?;
        let calls = rows.iter().map(call_of).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(calls, limit as usize, |call| call.id.as_uuid().as_u128()))
    }

    /// A call and its events in order, by its id or its session's (which is the id of the first
    /// call of the session). `None` where this workspace has no such call.
    pub async fn call(
        &self,
        workspace: WorkspaceId,
        id: CallId,
    ) -> Result<Option<(CallRow, Vec<CallEvent>)>, StoreError> {
        let sql = format!("SELECT {CALL_COLUMNS} FROM calls c WHERE workspace_id = ?1 AND id = ?2");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(workspace.as_uuid())
            .bind(id.as_uuid())
            .fetch_optional(self.reads())
            .await?;
        row.map(|row| Ok((call_of(&row)?, events_of(row.try_get(CALL_COLUMN_COUNT - 1)?)?)))
            .transpose()
    }
}

fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &CallFilter) {
    if !filter.statuses.is_empty() {
        query.push(" AND c.status IN (");
        let mut list = query.separated(", ");
        for status in &filter.statuses {
            list.push_bind(status.as_str());
        }
        query.push(")");
    }
    if let Some(direction) = filter.direction {
        query.push(" AND c.direction = ").push_bind(direction.as_str());
    }
    if let Some(q) = &filter.q {
        let digits: String = q.chars().filter(char::is_ascii_digit).collect();
        if digits.is_empty() {
            query.push(" AND 0");
        } else {
            query.push(" AND (instr(c.remote_e164, ").push_bind(digits.clone());
            query.push(") OR instr(c.local_e164, ").push_bind(digits).push("))");
        }
    }
    if let Some(session) = filter.session {
        query.push(" AND (c.id = ").push_bind(session.as_uuid());
        query.push(" OR (c.session_id = ").push_bind(session.as_uuid());
        query.push(" AND c.session_id <> c.id))");
    }
    if let Some(from) = filter.from {
        query.push(" AND c.started_at >= ").push_bind(from.0);
        let lowest = id_at(from.0.saturating_sub(ID_TIME_SLACK_MICROS));
        query.push(" AND c.id >= ").push_bind(lowest);
    }
    if let Some(to) = filter.to {
        query.push(" AND c.started_at < ").push_bind(to.0);
        let highest = id_at(to.0.saturating_add(ID_TIME_SLACK_MICROS));
        query.push(" AND c.id < ").push_bind(highest);
    }
}

/// The lowest UUIDv7 of that time: lets a range of times use the order of ids.
fn id_at(micros: i64) -> Uuid {
    let millis = u128::try_from(micros / 1_000).unwrap_or(0);
    Uuid::from_u128(millis.min((1 << 48) - 1) << 80)
}

/// Reads a row whose first columns are [`CALL_COLUMNS`].
pub(crate) fn call_of(row: &SqliteRow) -> Result<CallRow, StoreError> {
    let status: &str = row.try_get(14)?;
    Ok(CallRow {
        id: CallId::from_uuid(row.try_get(0)?),
        workspace: WorkspaceId::from_uuid(row.try_get(1)?),
        session: SessionId::from_uuid(row.try_get(2)?),
        direction: Direction::parse(row.try_get(3)?)
            .ok_or(StoreError::Unreadable("call direction"))?,
        origin: Origin::parse(row.try_get(4)?).ok_or(StoreError::Unreadable("call origin"))?,
        identity: row::optional(row.try_get(5)?, |text| {
            Identity::parse(text).map_err(|_| StoreError::Unreadable("identity"))
        })?,
        local: row::optional(row.try_get(6)?, row::e164)?,
        remote: row::optional(row.try_get(7)?, row::e164)?,
        country: row.try_get::<Option<&str>, _>(8)?.map(Into::into),
        trunk: row.try_get::<Option<&str>, _>(9)?.map(Into::into),
        started_at: UnixMicros(row.try_get(10)?),
        answered_at: row.try_get::<Option<i64>, _>(11)?.map(UnixMicros),
        ended_at: row.try_get::<Option<i64>, _>(12)?.map(UnixMicros),
        duration_seconds: row.try_get(13)?,
        status: status.parse().map_err(|_| StoreError::Unreadable("call status"))?,
        failure_code: row.try_get(15)?,
        hangup_cause: row.try_get::<Option<String>, _>(16)?.map(Cow::Owned),
        hangup_by: row::optional(row.try_get(17)?, |text| {
            text.parse::<HangupBy>().map_err(|_| StoreError::Unreadable("hangup_by"))
        })?,
        rate: rate_of(row)?,
        rate_prefix: row.try_get::<Option<&str>, _>(22)?.map(Into::into),
        cost: Minor::new(row.try_get(23)?),
        held: Minor::new(row.try_get(24)?),
        quality: quality_of(row)?,
        metadata: row.try_get::<Option<&str>, _>(28)?.map(Into::into),
        created_at: UnixMicros(row.try_get(29)?),
        updated_at: UnixMicros(row.try_get(30)?),
    })
}

fn rate_of(row: &SqliteRow) -> Result<Option<Rate>, StoreError> {
    let Some(per_minute) = row.try_get::<Option<&str>, _>(18)? else { return Ok(None) };
    let unreadable = StoreError::Unreadable("rate");
    let Ok(per_minute) = per_minute.parse::<Decimal>() else { return Err(unreadable) };
    let minimum = Minor::new(row.try_get(20)?);
    let fee = Minor::new(row.try_get(21)?);
    Rate::new(per_minute, row.try_get(19)?, minimum, fee).map(Some).map_err(|_| unreadable)
}

fn quality_of(row: &SqliteRow) -> Result<Option<Quality>, StoreError> {
    let Some(mos) = row.try_get::<Option<f64>, _>(25)? else { return Ok(None) };
    Ok(Some(Quality { mos, jitter_ms: row.try_get(26)?, packet_loss: row.try_get(27)? }))
}

/// Reads the lines of JSON that the writer appended. A write that was repeated after an unknown
/// outcome may have appended its events twice: each id counts once.
fn events_of(lines: &str) -> Result<Vec<CallEvent>, StoreError> {
    let mut events: Vec<CallEvent> = Vec::new();
    for line in lines.lines() {
        let (id, kind, at, payload): (Uuid, String, i64, String) =
            serde_json::from_str(line).map_err(|_| StoreError::Unreadable("call event"))?;
        let id = EventId::from_uuid(id);
        if events.iter().all(|event| event.id != id) {
            events.push(CallEvent {
                id,
                kind: Cow::Owned(kind),
                payload: Cow::Owned(payload),
                occurred_at: UnixMicros(at),
            });
        }
    }
    events.sort_by_key(|event| event.id);
    Ok(events)
}
