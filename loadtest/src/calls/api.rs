//! As much of an HTTP client as the gateway's API and its metrics need.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

const ANSWER_MAX_BYTES: usize = 4 << 20;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A server, and a key that goes with each request.
#[derive(Debug)]
pub(super) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: Uri,
    authorization: Option<HeaderValue>,
}

/// Why there is no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("{0} did not answer: {1}")]
    NoAnswer(Uri, String),
    #[error("{uri} answered {status} {code}")]
    Refused { uri: Uri, status: u16, code: String },
    #[error("{0} answered what cannot be read: {1}")]
    Unreadable(Uri, String),
}

/// The key has bytes that no header may have.
#[derive(Debug, thiserror::Error)]
#[error("the API key is no header's value")]
pub(super) struct BadKey;

impl Http {
    /// `base` is the address without a path: `http://127.0.0.1:8080`.
    pub(super) fn new(base: Uri, api_key: Option<&str>) -> Result<Self, BadKey> {
        let authorization = api_key.map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| BadKey)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { client, base, authorization: authorization.transpose()? })
    }

    /// The body of a 200.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, HttpError> {
        self.ask(Request::get(self.uri(path)), Bytes::new()).await
    }

    /// The body of a 200, where it is JSON.
    pub(super) async fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<T, HttpError> {
        read(self.uri(path), &self.get(path).await?)
    }

    pub(super) async fn post_json(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value, HttpError> {
        let request =
            Request::post(self.uri(path)).header(header::CONTENT_TYPE, "application/json");
        read(self.uri(path), &self.ask(request, Bytes::from(body.to_string())).await?)
    }

    fn uri(&self, path: &str) -> String {
        let base = self.base.to_string();
        format!("{}{path}", base.trim_end_matches('/'))
    }

    async fn ask(
        &self,
        mut request: http::request::Builder,
        body: Bytes,
    ) -> Result<Bytes, HttpError> {
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let uri = request.uri_ref().cloned().unwrap_or_default();
        let no_answer = |why: String| HttpError::NoAnswer(uri.clone(), why);
        let request =
            request.body(Full::new(body)).map_err(|error| no_answer(error.to_string()))?;
        let exchange = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| no_answer(error.to_string()))?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
            Ok((status, body.map_err(|error| no_answer(error.to_string()))?.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(no_answer("nothing came within 20 s".into())))?;
        if status == 200 {
            return Ok(body);
        }
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let code = json["error"]["code"].as_str().unwrap_or_default().to_owned();
        Err(HttpError::Refused { uri, status, code })
    }
}

fn read<T: serde::de::DeserializeOwned>(uri: String, body: &[u8]) -> Result<T, HttpError> {
    serde_json::from_slice(body)
        .map_err(|error| HttpError::Unreadable(uri.parse().unwrap_or_default(), error.to_string()))
}
