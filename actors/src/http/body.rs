//! A request's JSON body: too long is 413, too slow is 408, no JSON is 400, absent may be fine.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::actor::Rest;
use super::error::ApiError;

/// For all of it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The body as it came, within the limit.
pub(crate) struct Body(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let rest = request.extensions().get::<Rest>().cloned();
        let read = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state));
        let read = match rest {
            Some(rest) => rest.during(read).await,
            None => read.await,
        };
        let Ok(read) = read else {
            return Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "request.timeout",
                "The body did not come within 10 s",
            ));
        };
        match read {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "request.too_large",
                    "A body may have 256 KiB at most",
                ))
            }
            Err(_) => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "request.malformed",
                "The body ended before it was whole",
            )),
        }
    }
}

impl Body {
    /// Reads the JSON; an empty body is the default.
    pub(crate) fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.0.trim_ascii().is_empty() {
            return Ok(T::default());
        }
        serde_json::from_slice(&self.0).map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "request.malformed",
                format!("The body is not the JSON that this path takes: {error}"),
            )
        })
    }
}
