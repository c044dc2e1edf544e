//! What a path and a query ask for. What cannot be read is answered as everything else is that is
//! wrong with a request.

use std::collections::BTreeSet;
use std::convert::Infallible;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use sautikit_core::token::FieldError;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::page::fault;

/// The query's members, each given once at most.
pub(super) struct Members<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Members<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(members)) => Ok(Self(members)),
            Err(rejection) => Err(unreadable(&parts.uri, &rejection)),
        }
    }
}

/// Every member is text and may be left out, so one that is given twice is all that can be wrong.
fn unreadable(uri: &Uri, rejection: &QueryRejection) -> ApiError {
    let pairs: Vec<(String, String)> =
        Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> =
        pairs.iter().filter(|(name, _)| !seen.insert(name)).map(|(name, _)| &**name).collect();
    if twice.is_empty() {
        return ApiError::field("query", rejection.body_text());
    }
    let faults = twice.into_iter().map(|name| fault(name, "must be given once"));
    ApiError::validation(faults.collect::<Vec<FieldError>>())
}

/// The id in a path; `None` where it is no text, and so nobody's.
pub(super) struct PathId(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(read.ok().map(|Path(id)| id)))
    }
}
