//! Lists: `{"data":[…],"next_cursor":…}` with `cursor` and `limit` (1–100, 25).

use sautikit_core::limits::{PAGE_DEFAULT, PAGE_MAX};
use sautikit_core::token::FieldError;
use sautikit_store::{Cursor, Page};
use serde::Serialize;

/// What a list answers.
#[derive(Serialize)]
pub(super) struct Listed<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> Listed<T> {
    pub(super) fn of<R>(page: Page<R>, show: impl FnMut(R) -> T) -> Self {
        Self {
            data: page.rows.into_iter().map(show).collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// Which page is asked for; every fault is named.
pub(super) fn asked(
    cursor: Option<&str>,
    limit: Option<&str>,
    faults: &mut Vec<FieldError>,
) -> (Option<Cursor>, u32) {
    let cursor = cursor.and_then(|text| {
        let parsed = Cursor::parse(text);
        if parsed.is_none() {
            faults.push(fault("cursor", "must be a next_cursor of an earlier page"));
        }
        parsed
    });
    let limit = match limit.map(str::parse::<u32>) {
        None => PAGE_DEFAULT,
        Some(Ok(limit)) if (1..=PAGE_MAX).contains(&limit) => limit,
        Some(_) => {
            faults.push(fault("limit", "must be a whole number from 1 to 100"));
            PAGE_DEFAULT
        }
    };
    (cursor, limit)
}

pub(super) fn fault(field: &str, message: &str) -> FieldError {
    FieldError { field: field.to_owned(), message: message.to_owned() }
}
