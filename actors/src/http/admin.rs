//! The admin address: liveness, readiness and metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::node::Node;

/// Longer than a healthy database takes for one row.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Admin {
    node: Arc<Node>,
    metrics: PrometheusHandle,
}

pub(crate) fn routes(node: Arc<Node>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .with_state(Admin { node, metrics })
}

/// 200 once calls can be taken: not while draining, nor without the database.
async fn ready(State(admin): State<Admin>) -> Response {
    if admin.node.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    if admin.node.writer.is_failing() {
        let told = "the database takes no commits\n";
        return (StatusCode::SERVICE_UNAVAILABLE, told).into_response();
    }
    let asked = tokio::time::timeout(STORE_TIMEOUT, admin.node.store.directory_version()).await;
    match asked {
        Ok(Ok(_)) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "no database\n").into_response(),
    }
}

async fn figures(State(admin): State<Admin>) -> Response {
    crate::gauges::measure(&admin.node);
    let text = admin.metrics.render();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
