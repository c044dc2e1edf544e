//! From items to bound values.

use std::fmt::Write as _;
use std::sync::Arc;

use sautikit_core::ids::CallId;
use sqlx::Arguments;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;

use super::queue::Item;
use super::{Debit, Talked, Write, sql};
use crate::call::{CallEvent, CallRow};

/// What a row of `node_writes` brings; the migration says the same.
const CALL: i32 = 1;
const HOLD: i32 = 2;
const DEBIT: i32 = 4;

/// How much longer than now a call's row gets until it has ended, in bytes: two more events and
/// the end's columns. Written with the row and given up piece by piece, it keeps rows in place.
const ROOM_RINGING: usize = 190;
const ROOM_ANSWERED: usize = 100;

/// Events of one item beyond this many bytes are left out: a row has a bound.
const EVENTS_BYTES_MAX: usize = 16 * 1024;

/// The rows of some calls' items, bound.
pub(super) struct Rows {
    pub(super) sql: Arc<str>,
    pub(super) arguments: SqliteArguments,
}

/// Binds calls' items in their order, at most [`sql::ROWS_MAX`]. A row that a later item of the
/// batch writes again is left to that one, which brings both's events.
pub(super) fn rows_of(items: &[Item]) -> Result<Rows, BoxDynError> {
    let written: Vec<usize> = (0..items.len()).filter(|at| !is_superseded(items, *at)).collect();
    let (sql, filled) = sql::insert_of(written.len());
    let mut arguments = SqliteArguments::default();
    arguments.reserve(filled * sql::COLUMNS, 0);
    let mut binder = Binder(arguments);
    for at in &written {
        binder.item(&items[*at], &lines_of(events_until(items, *at)))?;
    }
    for _ in written.len()..filled {
        binder.nothing()?;
    }
    Ok(Rows { sql, arguments: binder.0 })
}

/// A call's row and the events that an item brings.
fn call_of(item: &Item) -> Option<(&CallRow, &[CallEvent])> {
    match &item.write {
        Write::Call { call, events }
        | Write::Answer { call, events, .. }
        | Write::Close { call, events, .. } => Some((call, events)),
        Write::Talked(_) | Write::Read(_) => None,
    }
}

/// It only writes a row that a later item writes whole.
fn is_superseded(items: &[Item], at: usize) -> bool {
    let Write::Call { call, .. } = &items[at].write else { return false };
    let later = items[at + 1..].iter().filter_map(call_of);
    later.into_iter().any(|(later, _)| later.id == call.id)
}

/// The events of an item, after those of the items that it supersedes.
fn events_until(items: &[Item], at: usize) -> Vec<&CallEvent> {
    let Some((call, own)) = call_of(&items[at]) else { return Vec::new() };
    let same_call = |item: &&Item| call_of(item).is_some_and(|(earlier, _)| earlier.id == call.id);
    let earlier = items[..at].iter().rev().filter(same_call);
    let superseded = earlier.take_while(|item| matches!(item.write, Write::Call { .. }));
    let mut events: Vec<_> = own.iter().rev().collect();
    events.extend(superseded.filter_map(call_of).flat_map(|(_, events)| events.iter().rev()));
    events.reverse();
    events
}

/// Signs of life as the JSON array that [`sql::TALKED`] takes.
pub(super) fn talked_json(signs: &[Talked]) -> String {
    array(signs, 64, |json, sign| json.write_str(&talked_line(sign)))
}

/// One sign of life, `["call in hex", milliseconds, held cents]`.
pub(super) fn talked_line(sign: &Talked) -> String {
    format!("[\"{:x}\",{},{}]", sign.call.as_uuid().as_simple(), sign.talked_ms, sign.held)
}

/// The same with `true` as its last member where it is a call's end.
pub(super) fn journal_line(sign: &Talked, is_end: bool) -> String {
    let mut line = talked_line(sign);
    if is_end {
        line.truncate(line.len() - 1);
        line.push_str(",true]");
    }
    line
}

/// Lines of the journal as the JSON array that [`sql::REPLAYED`] takes.
pub(super) fn journal_json(lines: &[(Talked, bool)]) -> String {
    array(lines, 69, |json, (sign, is_end)| json.write_str(&journal_line(sign, *is_end)))
}

/// Ids as the JSON array that [`sql::CLEAR`] takes.
pub(super) fn ids_json(calls: &[CallId]) -> String {
    array(calls, 35, |json, call| write!(json, "\"{:x}\"", call.as_uuid().as_simple()))
}

fn array<T>(
    things: &[T],
    each: usize,
    print: impl Fn(&mut String, &T) -> std::fmt::Result,
) -> String {
    let mut json = String::with_capacity(things.len() * each + 2);
    json.push('[');
    for (index, thing) in things.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        // Writing to a string cannot fail.
        let _ = print(&mut json, thing);
    }
    json.push(']');
    json
}

/// Events as lines of JSON, `[id, kind, microseconds, payload as text]`; [`crate::calls`] reads them.
fn lines_of(events: Vec<&CallEvent>) -> String {
    let mut lines = String::with_capacity(events.len() * 112);
    for event in events {
        let before = lines.len();
        let line = (event.id.as_uuid(), &*event.kind, event.occurred_at.0, &*event.payload);
        // Text and numbers always serialize, and a string's line breaks are escaped.
        lines.extend(serde_json::to_string(&line));
        lines.push('\n');
        if lines.len() > EVENTS_BYTES_MAX {
            lines.truncate(before);
        }
    }
    lines
}

struct Binder(SqliteArguments);

impl Binder {
    fn add<'t, T>(&mut self, value: T) -> Result<(), BoxDynError>
    where
        T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.0.add(value)
    }

    fn item(&mut self, item: &Item, events: &str) -> Result<(), BoxDynError> {
        let Some((call, _)) = call_of(item) else { return Ok(()) };
        let (dialog, debit) = match &item.write {
            Write::Answer { dialog, .. } => (Some(dialog.as_str()), None),
            Write::Close { debit, .. } => (None, debit.as_ref()),
            Write::Call { .. } | Write::Talked(_) | Write::Read(_) => (None, None),
        };
        let mut parts = CALL;
        if dialog.is_some() {
            parts |= HOLD;
        }
        if debit.is_some() {
            parts |= DEBIT;
        }
        self.add(parts)?;
        self.call(call)?;
        self.add(events)?;
        self.room(call)?;
        self.add(dialog)?;
        self.debit(debit)
    }

    /// A row that does nothing.
    fn nothing(&mut self) -> Result<(), BoxDynError> {
        self.add(0)?;
        (1..sql::COLUMNS).try_for_each(|_| self.add(None::<i64>))
    }

    fn room(&mut self, call: &CallRow) -> Result<(), BoxDynError> {
        let bytes = match (call.ended_at, call.answered_at) {
            (Some(_), _) => 0,
            (None, Some(_)) => ROOM_ANSWERED,
            (None, None) => ROOM_RINGING,
        };
        self.add((bytes > 0).then(|| vec![0_u8; bytes]))
    }

    fn call(&mut self, call: &CallRow) -> Result<(), BoxDynError> {
        self.add(call.id.as_uuid())?;
        self.add(call.workspace.as_uuid())?;
        self.add(call.session.as_uuid())?;
        self.add(call.direction.as_str())?;
        self.add(call.origin.as_str())?;
        self.add(call.identity.as_ref().map(|identity| identity.as_str()))?;
        self.add(call.local.as_ref().map(|number| number.as_str()))?;
        self.add(call.remote.as_ref().map(|number| number.as_str()))?;
        self.add(call.country.clone())?;
        self.add(call.trunk.clone())?;
        self.add(call.started_at.0)?;
        self.add(call.answered_at.map(|at| at.0))?;
        self.add(call.ended_at.map(|at| at.0))?;
        self.add(call.duration_seconds)?;
        self.add(call.status.as_str())?;
        self.add(call.failure_code)?;
        self.add(call.hangup_cause.as_deref())?;
        self.add(call.hangup_by.map(|by| by.as_str()))?;
        self.rate(call)?;
        self.add(call.rate_prefix.clone())?;
        self.add(call.cost.get())?;
        self.add(call.held.get())?;
        self.add(call.quality.map(|quality| quality.mos))?;
        self.add(call.quality.map(|quality| quality.jitter_ms))?;
        self.add(call.quality.map(|quality| quality.packet_loss))?;
        self.add(call.metadata.clone())?;
        self.add(call.created_at.0)?;
        self.add(call.updated_at.0)
    }

    fn rate(&mut self, call: &CallRow) -> Result<(), BoxDynError> {
        let rate = call.rate.as_ref();
        self.add(rate.map(|rate| rate.per_minute_minor().to_string()))?;
        self.add(rate.map(|rate| rate.increment_seconds()))?;
        self.add(rate.map(|rate| rate.minimum_minor().get()))?;
        self.add(rate.map(|rate| rate.connection_fee_minor().get()))
    }

    fn debit(&mut self, debit: Option<&Debit>) -> Result<(), BoxDynError> {
        self.add(debit.map(|debit| debit.entry.as_uuid()))?;
        self.add(debit.map(|debit| debit.amount.get()))?;
        self.add(debit.map(|debit| debit.idempotency_key.as_str()))?;
        self.add(debit.map(|debit| debit.description.as_str()))
    }
}
