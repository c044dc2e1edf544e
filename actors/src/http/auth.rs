//! Whose request this is: the API key of `Authorization: Bearer`, looked up by its hash.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use sautikit_core::ids::WorkspaceId;
use sautikit_net::api_key::ApiKey;
use sautikit_store::{Scope, WorkspaceStatus};

use super::error::ApiError;
use crate::node::{Node, wall_now};

/// A request with a good key.
pub(crate) struct Caller {
    pub(crate) workspace: WorkspaceId,
    scopes: Vec<Scope>,
    status: WorkspaceStatus,
}

impl Caller {
    /// Refuses a key without this scope.
    pub(crate) fn needs(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let message = format!("This API key lacks the scope {scope}: make one that has it");
        Err(ApiError::new(StatusCode::FORBIDDEN, "api_key.scope_denied", message))
    }

    /// Refuses a suspended workspace.
    pub(crate) fn must_be_active(&self) -> Result<(), ApiError> {
        match self.status {
            WorkspaceStatus::Active => Ok(()),
            WorkspaceStatus::Suspended => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "account.suspended",
                "The workspace is suspended: contact the operator",
            )),
        }
    }
}

fn refused(code: &'static str, message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, message)
}

impl FromRequestParts<Arc<Node>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        node: &Arc<Node>,
    ) -> Result<Self, Self::Rejection> {
        let key = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(ApiKey::from_authorization)
            .ok_or_else(|| {
                refused("api_key.invalid", "Send an API key as Authorization: Bearer sk_live_…")
            })?;
        let directory = node.directory();
        // The table is by SHA-256, so a look-up tells nothing about how near a guess came.
        let Some(found) = directory.keys.get(&key.hash().0) else {
            return Err(refused("api_key.invalid", "There is no such API key"));
        };
        if found.revoked_at.is_some() {
            return Err(refused("api_key.revoked", "This API key was revoked: use another"));
        }
        if found.expires_at.is_some_and(|at| at <= wall_now()) {
            return Err(refused("api_key.expired", "This API key has expired: use another"));
        }
        let Some(workspace) = directory.workspaces.get(&found.workspace) else {
            return Err(refused("api_key.invalid", "This API key's workspace is gone"));
        };
        Ok(Self {
            workspace: found.workspace,
            scopes: found.scopes.clone(),
            status: workspace.status,
        })
    }
}
