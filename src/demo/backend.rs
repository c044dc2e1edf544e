//! The customer's own backend: it keeps the API key, asks the gateway over HTTP, and hands the page
//! only what the page may see.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sautikit_net::api_key::ApiKey;

/// Who the page's person is to the gateway: a real backend takes it from its own log-in.
const TOKEN_REQUEST: &str = r#"{"identity":"demo"}"#;

/// See the module's page.
#[derive(Clone)]
pub(super) struct Backend {
    gateway: SocketAddr,
    authorization: Arc<HeaderValue>,
    client: Client<HttpConnector, Body>,
}

impl Backend {
    pub(super) fn new(gateway: SocketAddr, key: &ApiKey) -> Self {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
            .expect("an API key is visible ASCII");
        value.set_sensitive(true);
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { gateway, authorization: Arc::new(value), client }
    }

    pub(super) fn routes(self) -> Router {
        Router::new()
            .route("/", get(|| async { axum::response::Redirect::temporary("/phone") }))
            .route("/api/sip-token", get(token).post(token))
            .route("/api/wallet", get(wallet))
            .route("/api/calls", get(calls))
            .with_state(self)
    }

    async fn ask(&self, method: Method, path: &str, body: &'static str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.gateway))
            .header(header::AUTHORIZATION, self.authorization.as_ref())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .expect("an address and a fixed path are a URI");
        match self.client.request(request).await {
            Ok(answer) => {
                let (mut parts, body) = answer.into_parts();
                // The page's browser must not keep a token or a balance.
                parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                Response::from_parts(parts, Body::new(body))
            }
            Err(error) => {
                tracing::warn!("the demo's backend cannot reach the gateway: {error}");
                StatusCode::BAD_GATEWAY.into_response()
            }
        }
    }
}

async fn token(State(backend): State<Backend>) -> Response {
    backend.ask(Method::POST, "/v1/sip/token", TOKEN_REQUEST).await
}

async fn wallet(State(backend): State<Backend>) -> Response {
    backend.ask(Method::GET, "/v1/wallet", "").await
}

async fn calls(State(backend): State<Backend>) -> Response {
    backend.ask(Method::GET, "/v1/calls?limit=10", "").await
}
