//! `GET /v1/wallet` and its older name `/v1/wallet/balance`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use sautikit_store::Scope;
use serde::Serialize;

use super::auth::Caller;
use super::error::ApiError;
use crate::node::Node;
use crate::wallet::Figures;

/// Longer than a wallet ever takes; after it the stored figures are shown.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) fn routes() -> Router<Arc<Node>> {
    Router::new().route("/v1/wallet", get(show)).route("/v1/wallet/balance", get(show))
}

#[derive(Serialize)]
struct Wallet {
    workspace_id: String,
    balance_minor: i64,
    held_minor: i64,
    available_minor: i64,
    currency: String,
    low_balance_threshold_minor: Option<i64>,
    status: &'static str,
}

async fn show(caller: Caller, State(node): State<Arc<Node>>) -> Result<Json<Wallet>, ApiError> {
    caller.needs(Scope::WalletRead)?;
    let row = node.store.wallet(caller.workspace).await?.ok_or_else(ApiError::unavailable)?;
    // A wallet in use knows what ringing calls hold and what is on its way to the ledger.
    let live = match node.router.wallet_in_use(caller.workspace) {
        Some(wallet) => wallet.send(Figures).timeout(ASK_TIMEOUT).await.ok().flatten(),
        None => None,
    };
    let (balance, held) = live.unwrap_or((row.balance, row.held));
    let available = balance.checked_sub(held).unwrap_or(balance);
    Ok(Json(Wallet {
        workspace_id: caller.workspace.to_string(),
        balance_minor: balance.get(),
        held_minor: held.get(),
        available_minor: available.get(),
        currency: row.currency,
        low_balance_threshold_minor: row.low_balance_threshold.map(|amount| amount.get()),
        status: row.status.as_str(),
    }))
}
