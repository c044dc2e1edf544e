//! `POST /v1/sip/token`: a five-minute token for one browser, narrowed by what the body asks.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use sautikit_core::time::UnixMicros;
use sautikit_core::token::{Claims, TokenRequest};
use sautikit_store::Scope;
use serde::Serialize;

use super::auth::Caller;
use super::body::Body;
use super::error::ApiError;
use crate::node::{Node, wall_now};

pub(super) fn routes() -> Router<Arc<Node>> {
    Router::new().route("/v1/sip/token", post(mint))
}

#[derive(Serialize)]
struct Minted {
    token: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ws_url: Option<String>,
}

async fn mint(
    caller: Caller,
    State(node): State<Arc<Node>>,
    body: Body,
) -> Result<Json<Minted>, ApiError> {
    caller.needs(Scope::WebrtcToken)?;
    caller.must_be_active()?;
    let asked: TokenRequest = body.json_or_default()?;
    let narrowing = asked.validate().map_err(ApiError::validation)?;
    let claims = Claims::new(caller.workspace, wall_now().unix_seconds(), narrowing);
    let expires =
        UnixMicros::from_unix_seconds(claims.expires_at).ok_or_else(ApiError::unavailable)?;
    metrics::counter!("sautikit_tokens_minted_total").increment(1);
    Ok(Json(Minted {
        token: node.mint(&claims),
        expires_at: expires.to_rfc3339(),
        ws_url: node.ws_url.clone(),
    }))
}
