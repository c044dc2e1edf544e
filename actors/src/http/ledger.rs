//! `GET /v1/wallet/ledger`: the statement, newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use sautikit_store::{LedgerEntry, Scope};
use serde::{Deserialize, Serialize};

use super::asked::Members;
use super::auth::Caller;
use super::error::ApiError;
use super::page::{Listed, asked};
use crate::node::Node;

pub(super) fn routes() -> Router<Arc<Node>> {
    Router::new().route("/v1/wallet/ledger", get(list))
}

#[derive(Deserialize)]
struct Asked {
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    id: String,
    kind: &'static str,
    amount_minor: i64,
    balance_after_minor: i64,
    call_id: Option<String>,
    idempotency_key: String,
    description: String,
    created_at: String,
}

impl From<LedgerEntry> for Entry {
    fn from(entry: LedgerEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            kind: entry.kind.as_str(),
            amount_minor: entry.amount.get(),
            balance_after_minor: entry.balance_after.get(),
            call_id: entry.call.map(|call| call.to_string()),
            idempotency_key: entry.idempotency_key,
            description: entry.description,
            created_at: entry.created_at.to_rfc3339(),
        }
    }
}

async fn list(
    caller: Caller,
    State(node): State<Arc<Node>>,
    Members(query): Members<Asked>,
) -> Result<Json<Listed<Entry>>, ApiError> {
    caller.needs(Scope::WalletRead)?;
    let mut faults = Vec::new();
    let (cursor, limit) = asked(query.cursor.as_deref(), query.limit.as_deref(), &mut faults);
    if !faults.is_empty() {
        return Err(ApiError::validation(faults));
    }
    let page = node.store.ledger(caller.workspace, cursor, limit).await?;
    Ok(Json(Listed::of(page, Entry::from)))
}
