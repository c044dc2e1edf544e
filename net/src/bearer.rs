//! SIP tokens (JWT, RFC 7519, HS256): how they are made and what of one is believed. Shapes and the
//! signature are judged here, times by [`sautikit_core::token::judge`].
//!
//! The signature comes first: nothing of a stranger's JSON is ever read, and whatever is wrong with
//! a token, the answer takes as long and says the same.

mod claims;
mod header;
mod members;
#[cfg(test)]
mod tests;
mod token;

use jsonwebtoken::{Algorithm, crypto};
use sautikit_core::cause::HandshakeRefusal;
use sautikit_core::token::{Claims, ISSUER};
use serde::Serialize;

use crate::base64url;
use crate::keys::{KeyId, Keys};

pub use token::{Token, from_authorization};

/// Four times what the longest token of this gateway takes.
pub const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// `{"alg":"HS256","typ":"JWT"}`, in this order, which is why the crate's own header is not used.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// A token that this gateway signed, in the right shape; its times are not judged yet.
#[derive(Clone, Debug)]
pub struct Verified {
    pub claims: Claims,
    /// The key that signed it: after an emergency reload it tells whether the session may stay.
    pub key: KeyId,
}

/// Why a token is not believed. A client is told no more than `token.invalid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    #[error("the token is no compact JWS of three parts")]
    Malformed,
    #[error("the token's signature is of no key in force")]
    Signature,
    /// `alg` not HS256, `typ` not JWT, any `crit`, a member twice.
    #[error("the token's header is refused: {0}")]
    Header(&'static str),
    /// A claim missing, twice, or of the wrong kind.
    #[error("the token's claims are refused: {0}")]
    Claims(&'static str),
}

impl BearerError {
    /// What the handshake is refused with.
    #[must_use]
    pub const fn refusal(self) -> HandshakeRefusal {
        HandshakeRefusal::TokenInvalid
    }

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Signature => "signature",
            Self::Header(_) => "header",
            Self::Claims(_) => "claims",
        }
    }
}

/// Signs a token with the active key: `iss`, `sub`, `iat`, `exp` in this order, then the claims
/// that narrow it, where there are any.
#[must_use]
pub fn mint(claims: &Claims, keys: &Keys) -> String {
    let payload = serde_json::to_string(&Payload::of(claims))
        .expect("a struct of strings and integers is always JSON");
    let mut token = String::with_capacity(HEADER.len() + payload.len() * 4 / 3 + 48);
    token.push_str(HEADER);
    token.push('.');
    base64url::encode_into(payload.as_bytes(), &mut token);
    let signature = crypto::sign(token.as_bytes(), keys.signing(), Algorithm::HS256)
        .expect("HMAC signs any bytes with any key");
    token.push('.');
    token.push_str(&signature);
    token
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'static str,
    sub: String,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    from: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    destinations: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_calls: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_cost_minor: Option<i64>,
}

impl<'a> Payload<'a> {
    fn of(claims: &'a Claims) -> Self {
        Self {
            iss: ISSUER,
            sub: claims.workspace.to_string(),
            iat: claims.issued_at,
            exp: claims.expires_at,
            identity: claims.identity.as_ref().map(|identity| identity.as_str()),
            from: claims.from.iter().map(|number| number.as_str()).collect(),
            destinations: &claims.destinations,
            max_calls: claims.max_calls,
            max_cost_minor: claims.max_cost_minor.map(|minor| minor.get()),
        }
    }
}

/// Believes a token or not. `now_unix` (seconds since 1970) decides only which keys are in force:
/// the caller judges the claims' times.
///
/// # Errors
///
/// [`BearerError`].
pub fn verify(token: &str, keys: &Keys, now_unix: i64) -> Result<Verified, BearerError> {
    if token.len() > TOKEN_MAX_BYTES {
        return Err(BearerError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(BearerError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(BearerError::Malformed)?;
    if payload.contains('.') {
        return Err(BearerError::Malformed);
    }
    let key = keys
        .verifying(now_unix)
        .find(|key| {
            let decoding = key.decoding();
            crypto::verify(signature, signed.as_bytes(), decoding, Algorithm::HS256)
                .unwrap_or(false)
        })
        .ok_or(BearerError::Signature)?
        .id();
    // Our own spelling of the header is good by definition; any other is read.
    if header != HEADER {
        header::check(&base64url::decode(header).ok_or(BearerError::Malformed)?)?;
    }
    let claims = claims::read(&base64url::decode(payload).ok_or(BearerError::Malformed)?)?;
    Ok(Verified { claims, key })
}
