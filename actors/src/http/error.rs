//! Errors of the API: `{"error":{"code","message","request_id"}}`, and the request id that every
//! answer carries.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sautikit_core::cause::Refusal;
use sautikit_core::token::FieldError;
use sautikit_net::random;
use sautikit_store::StoreError;
use serde::Serialize;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why a request is refused: the status, a code for programs and a text for people.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    fields: Vec<FieldError>,
    retry_after: Option<u32>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), fields: Vec::new(), retry_after: None }
    }

    pub(crate) fn validation(fields: Vec<FieldError>) -> Self {
        let names: Vec<_> = fields.iter().map(|field| field.field.as_str()).collect();
        let message = format!("These members are not right: {}", names.join(", "));
        let error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation.failed", message);
        Self { fields, ..error }
    }

    /// One member is not right.
    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::validation(vec![FieldError { field: field.to_owned(), message }])
    }

    pub(crate) fn unavailable() -> Self {
        let message = "The database does not answer: try again in a moment";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "gateway.unavailable", message);
        Self { retry_after: Some(2), ..error }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = refusal.retry_after().map(random::between);
        Self { retry_after, ..Self::new(status, refusal.code(), refusal.text()) }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!("a request failed in the store: {error}");
        Self::unavailable()
    }
}

impl IntoResponse for ApiError {
    /// The body is written by [`finish`], which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    fields: &'a [FieldError],
}

/// Gives every answer its `X-Request-Id`, writes the body of errors, and counts.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let request_id = format!("req_{}", random::hex::<12>());
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        tracing::debug!(request = request_id, code = error.code, "request refused");
        response = written(&error, &request_id, response);
    }
    metrics::counter!(
        "sautikit_http_requests_total",
        "method" => method_label(&method),
        "status" => status_class(response.status())
    )
    .increment(1);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn written(error: &ApiError, request_id: &str, bare: Response) -> Response {
    let inner =
        Inner { code: error.code, message: &error.message, request_id, fields: &error.fields };
    let mut response = (error.status, Json(Body { error: inner })).into_response();
    for (name, value) in bare.headers() {
        if *name == header::ALLOW {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
    if error.status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Labels come from closed sets, whatever a client sends.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" | "HEAD" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

pub(crate) async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path")
}

pub(crate) async fn method_not_allowed() -> ApiError {
    let message = "This path does not serve this method: the Allow header names those it does";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
