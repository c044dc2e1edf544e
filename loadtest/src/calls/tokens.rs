//! Where sessions have their tokens from: signed here with the gateway's own key, or asked for over
//! HTTP as a customer's server does.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sautikit_core::identity::Identity;
use sautikit_core::ids::WorkspaceId;
use sautikit_core::token::{Claims, Narrowing};
use sautikit_net::bearer::{self, Token};
use sautikit_net::keys::{KeyError, Keys, SigningKey};

const ANSWER_MAX_BYTES: usize = 64 * 1024;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// See the [module](self).
pub(super) enum Mint {
    Keys { keys: Box<Keys>, workspace: WorkspaceId },
    Http { client: Box<Client<HttpConnector, Full<Bytes>>>, url: Uri, authorization: HeaderValue },
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum MintError {
    #[error("no token: the gateway's API did not answer: {0}")]
    Http(String),
    #[error("no token: the gateway's API answered {status} {code}")]
    Refused { status: u16, code: String },
}

/// Why the sources of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(
        "how do sessions get tokens? Give --token-url and --api-key, or --workspace with \
         --signing-key-env or --key-file"
    )]
    Missing,
    #[error("--key-file: {0}")]
    File(std::io::Error),
    #[error("--signing-key-env: {0} is not set")]
    Variable(String),
    #[error("the signing key cannot be used: {0}")]
    Key(#[from] KeyError),
    #[error("--api-key is no header's value")]
    ApiKey,
}

impl Mint {
    pub(super) fn http(url: Uri, api_key: &str) -> Result<Self, SourceError> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {api_key}")).map_err(|_| SourceError::ApiKey)?;
        authorization.set_sensitive(true);
        let client = Box::new(Client::builder(TokioExecutor::new()).build_http());
        Ok(Self::Http { client, url, authorization })
    }

    pub(super) fn key_file(workspace: WorkspaceId, path: &Path) -> Result<Self, SourceError> {
        let bytes = std::fs::read(path).map_err(SourceError::File)?;
        let key = SigningKey::from_file(&bytes.into())?;
        Ok(Self::Keys { keys: Box::new(Keys::new(key, None)), workspace })
    }

    pub(super) fn key_variable(workspace: WorkspaceId, name: &str) -> Result<Self, SourceError> {
        let value = std::env::var(name).map_err(|_| SourceError::Variable(name.to_owned()))?;
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
            Self::Http { client, url, authorization } => {
                let body = serde_json::json!({ "identity": user.as_str() }).to_string();
                let request = Request::post(url)
                    .header(header::AUTHORIZATION, authorization)
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(Full::new(Bytes::from(body)))
                    .map_err(|error| MintError::Http(error.to_string()))?;
                let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(client, request)).await;
                answer.unwrap_or_else(|_| Err(MintError::Http("no answer within 20 s".into())))
            }
        }
    }
}

async fn ask(
    client: &Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Token, MintError> {
    let answer =
        client.request(request).await.map_err(|error| MintError::Http(error.to_string()))?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
    let body = body.map_err(|error| MintError::Http(error.to_string()))?.to_bytes();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    match json["token"].as_str() {
        Some(token) if status == 200 => Ok(Token::new(token)),
        _ => {
            let code = json["error"]["code"].as_str().unwrap_or_default().to_owned();
            Err(MintError::Refused { status, code })
        }
    }
}

fn now_unix() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
