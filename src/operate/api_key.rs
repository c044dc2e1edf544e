//! `api-key create` and `api-key revoke`. Only here can a key get the scope `wallet.credit`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use sautikit_core::time::UnixMicros;
use sautikit_net::api_key::ApiKey;
use sautikit_store::{NewApiKey, Scope};
use serde::Serialize;

use super::{Missing, OperateError, on_store};
use crate::cli::{CreateApiKey, RevokeApiKey};
use crate::config::Sources;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Serialize)]
struct Created {
    workspace_id: String,
    api_key_id: String,
    /// Shown once.
    api_key: String,
    scopes: Vec<&'static str>,
    expires_at: Option<String>,
}

#[derive(Serialize)]
struct Revoked {
    workspace_id: String,
    api_key_id: String,
}

pub(crate) fn create(sources: &Sources, create: CreateApiKey) -> ExitCode {
    on_store(sources, "api-key create", Missing::Refuse, async |store| {
        let key = ApiKey::generate();
        let mut scopes = create.scopes;
        if scopes.is_empty() {
            scopes = Scope::of_a_customer();
        }
        scopes.sort_unstable();
        scopes.dedup();
        let expires_at = create.expires_in_days.map(in_days);
        let shown = scopes.iter().map(|scope| scope.as_str()).collect();
        let new = NewApiKey { hash: key.hash().0, name: create.name, scopes, expires_at };
        let id = store.create_key(create.workspace, &new).await?;
        Ok(Created {
            workspace_id: create.workspace.to_string(),
            api_key_id: id.to_string(),
            api_key: key.expose().to_owned(),
            scopes: shown,
            expires_at: expires_at.map(|at| at.to_string()),
        })
    })
}

pub(crate) fn revoke(sources: &Sources, revoke: RevokeApiKey) -> ExitCode {
    on_store(sources, "api-key revoke", Missing::Refuse, async |store| {
        if !store.revoke_key(revoke.workspace, revoke.id).await? {
            return Err(OperateError::UnknownKey);
        }
        Ok(Revoked {
            workspace_id: revoke.workspace.to_string(),
            api_key_id: revoke.id.to_string(),
        })
    })
}

fn in_days(days: u32) -> UnixMicros {
    let at = SystemTime::now() + DAY * days;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
