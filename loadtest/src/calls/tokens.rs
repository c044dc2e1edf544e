//! Where sessions have their tokens from: signed here with the gateway's own key, or asked for over
//! HTTP as a customer's server does.

use std::path::Path;
use std::time::SystemTime;

use http::Uri;
use sautikit_core::identity::Identity;
use sautikit_core::ids::WorkspaceId;
use sautikit_core::token::{Claims, Narrowing};
use sautikit_net::bearer::{self, Token};
use sautikit_net::keys::{KeyError, Keys, SigningKey};

use super::api::{Http, HttpError};

/// See the [module](self).
pub(super) enum Mint {
    Keys { keys: Box<Keys>, workspace: WorkspaceId },
    Http { http: Box<Http>, path: String },
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum MintError {
    #[error("no token: {0}")]
    Http(#[from] HttpError),
    #[error("no token: the answer of the gateway's API has none")]
    Missing,
}

/// Why the sources of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(
        "how do sessions get tokens? Give --token-url and --api-key, or --workspace with \
         --signing-key-env or --key-file"
    )]
    Missing,
    #[error("--token-url: {0} is no address of a server")]
    Url(Uri),
    #[error("--api needs the workspace's key: --api-key-env or --api-key")]
    NoApiKey,
    #[error("--key-file: {0}")]
    File(std::io::Error),
    #[error("{flag}: {name} is not set")]
    Variable { flag: &'static str, name: String },
    #[error("the signing key cannot be used: {0}")]
    Key(#[from] KeyError),
    #[error("--api-key is no header's value")]
    ApiKey,
}

impl Mint {
    /// `url` is the whole address that is asked.
    pub(super) fn http(url: &Uri, api_key: &str) -> Result<Self, SourceError> {
        let text = url.to_string();
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let base = text.strip_suffix(&path).unwrap_or(&text).parse();
        let base = base.map_err(|_| SourceError::Url(url.clone()))?;
        let http = Http::new(base, Some(api_key)).map_err(|_| SourceError::ApiKey)?;
        Ok(Self::Http { http: Box::new(http), path })
    }

    pub(super) fn key_file(workspace: WorkspaceId, path: &Path) -> Result<Self, SourceError> {
        let bytes = std::fs::read(path).map_err(SourceError::File)?;
        let key = SigningKey::from_file(&bytes.into())?;
        Ok(Self::Keys { keys: Box::new(Keys::new(key, None)), workspace })
    }

    pub(super) fn key_variable(workspace: WorkspaceId, name: &str) -> Result<Self, SourceError> {
        let value = variable("--signing-key-env", name)?;
        let key = SigningKey::from_value(&value.into_bytes().into())?;
        Ok(Self::Keys { keys: Box::new(Keys::new(key, None)), workspace })
    }

    /// A token that lives five minutes.
    pub(super) async fn token(&self, user: &Identity) -> Result<Token, MintError> {
        match self {
            Self::Keys { keys, workspace } => {
                let narrowing = Narrowing { identity: Some(user.clone()), ..Narrowing::default() };
                let claims = Claims::new(*workspace, now_unix(), narrowing);
                Ok(Token::new(&bearer::mint(&claims, keys)))
            }
            Self::Http { http, path } => {
                let body = serde_json::json!({ "identity": user.as_str() });
                let answer = http.post_json(path, &body).await?;
                Ok(Token::new(answer["token"].as_str().ok_or(MintError::Missing)?))
            }
        }
    }
}

/// What an environment variable holds.
pub(super) fn variable(flag: &'static str, name: &str) -> Result<String, SourceError> {
    std::env::var(name).map_err(|_| SourceError::Variable { flag, name: name.to_owned() })
}

fn now_unix() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
