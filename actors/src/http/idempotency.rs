//! `Idempotency-Key`: the same request with the same key is answered as it was the first time.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sautikit_core::ids::WorkspaceId;
use sautikit_net::random::sha256;
use sautikit_store::{Begun, SavedAnswer};
use serde::Serialize;

use super::body::Body;
use super::error::ApiError;
use crate::node::Node;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");
const KEY_MAX_BYTES: usize = 255;

/// Does the work once a key. `request` is method and path; without a key the work is just done.
pub(super) async fn once<T: Serialize + Send + 'static>(
    node: &Arc<Node>,
    workspace: WorkspaceId,
    headers: &HeaderMap,
    request: &str,
    body: &Body,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<Response, ApiError> {
    let Some(key) = key_of(headers)? else { return Ok(Json(work.await?).into_response()) };
    let mut hashed = request.as_bytes().to_vec();
    hashed.push(0);
    hashed.extend_from_slice(&body.0);
    match node.store.idempotency_begin(workspace, &key, &sha256(&hashed)).await? {
        Begun::Started => {}
        Begun::Replay(answer) => return Ok(replayed(answer)),
        Begun::Conflict => {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "idempotency.conflict",
                "This Idempotency-Key was used with another request: use a new one",
            ));
        }
        Begun::InProgress => {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "idempotency.in_progress",
                "The first request with this Idempotency-Key still runs: ask again in a moment",
            ));
        }
    }
    // On its own, so that a client that goes away meanwhile leaves no key that never ends.
    let node = Arc::clone(node);
    let running = tokio::spawn(async move { finished(&node, workspace, &key, work).await });
    running.await.unwrap_or_else(|_| Err(ApiError::unavailable()))
}

/// Does the work and keeps its answer.
async fn finished<T: Serialize>(
    node: &Node,
    workspace: WorkspaceId,
    key: &str,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<Response, ApiError> {
    let done = match work.await {
        Ok(done) => serde_json::to_string(&done).map_err(|_| ApiError::unavailable()),
        Err(error) => Err(error),
    };
    let text = match done {
        Ok(text) => text,
        Err(error) => {
            // A refusal changed nothing, so the key is free for the corrected request.
            node.store.idempotency_abandon(workspace, key).await?;
            return Err(error);
        }
    };
    let answer = SavedAnswer::Whole { status: 200, body: text.clone() };
    node.store.idempotency_finish(workspace, key, &answer).await?;
    Ok(json(StatusCode::OK, text))
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=KEY_MAX_BYTES).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::field("Idempotency-Key", "must be 1 to 255 visible characters")),
    }
}

fn json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text)
        .into_response()
}

fn replayed(answer: SavedAnswer) -> Response {
    match answer {
        SavedAnswer::Whole { status, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let mut response = json(status, body);
            response.headers_mut().insert(REPLAY, HeaderValue::from_static("true"));
            response
        }
        SavedAnswer::SecretShown { id } => ApiError::new(
            StatusCode::CONFLICT,
            "idempotency.secret_shown",
            format!("The secret of {id} was shown once and is not kept: make another"),
        )
        .into_response(),
    }
}
