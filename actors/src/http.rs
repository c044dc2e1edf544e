//! The HTTP actor and its resources: verify, ask an actor or the store, answer. One file per
//! resource; adding one is a file and a line in [`routes`].

mod actor;
mod admin;
mod asked;
mod auth;
mod balance;
mod body;
mod calls;
mod error;
mod idempotency;
mod ledger;
mod page;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use sautikit_core::limits::HTTP_BODY_MAX_BYTES;

use crate::node::Node;

pub(crate) use actor::{HttpActor, StopServing};
pub(crate) use admin::routes as admin_routes;

/// The public API.
pub(crate) fn routes(node: Arc<Node>) -> Router {
    Router::new()
        .merge(tokens::routes())
        .merge(calls::routes())
        .merge(balance::routes())
        .merge(ledger::routes())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(HTTP_BODY_MAX_BYTES))
        .layer(middleware::from_fn(error::finish))
        .with_state(node)
}
