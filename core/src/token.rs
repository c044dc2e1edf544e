//! SIP tokens: what their claims mean, and when they hold. Shape and signature are checked where
//! the JWT is read.

mod request;

pub use request::{FieldError, Narrowing, TokenRequest};

use crate::cause::HandshakeRefusal;
use crate::e164::E164;
use crate::identity::{AddressUser, Identity};
use crate::ids::WorkspaceId;
use crate::money::Minor;

/// The `iss` of every token.
pub const ISSUER: &str = "sautikit-sip";
/// `exp` − `iat` of every token, and the most that is accepted.
pub const LIFETIME_SECONDS: i64 = 300;
/// How far clocks may differ, for `exp` and `iat` alike.
pub const LEEWAY_SECONDS: i64 = 5;

/// What a token says. Times are Unix seconds. An empty list narrows nothing: such a claim is not
/// in the token at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: whose calls these are.
    pub workspace: WorkspaceId,
    /// `iat`
    pub issued_at: i64,
    /// `exp`
    pub expires_at: i64,
    /// Who this browser is.
    pub identity: Option<Identity>,
    /// The only caller numbers it may use.
    pub from: Vec<E164>,
    /// The only prefixes it may call, each with its plus.
    pub destinations: Vec<String>,
    /// Calls at once, of this workspace and identity.
    pub max_calls: Option<u32>,
    /// What it may spend in 24 hours, rolling, of this workspace and identity.
    pub max_cost_minor: Option<Minor>,
}

impl Claims {
    /// The claims of a token that is minted now.
    #[must_use]
    pub fn new(workspace: WorkspaceId, now_unix: i64, narrowing: Narrowing) -> Self {
        Self {
            workspace,
            issued_at: now_unix,
            expires_at: now_unix.saturating_add(LIFETIME_SECONDS),
            identity: narrowing.identity,
            from: narrowing.from,
            destinations: narrowing.destinations,
            max_calls: narrowing.max_calls,
            max_cost_minor: narrowing.max_cost_minor,
        }
    }

    /// The user part of the session's address of record.
    #[must_use]
    pub fn user(&self) -> AddressUser {
        AddressUser::of(self.workspace, self.identity.as_ref())
    }

    /// Whether the token lets its bearer call from this number. Whose number it is, is another
    /// question.
    #[must_use]
    pub fn allows_from(&self, number: &E164) -> bool {
        self.from.is_empty() || self.from.contains(number)
    }

    /// Whether the token lets its bearer call this number.
    #[must_use]
    pub fn allows_destination(&self, number: &E164) -> bool {
        self.destinations.is_empty()
            || self.destinations.iter().any(|prefix| number.starts_with(prefix))
    }

    /// Whether a renewal by these claims is of the same bearer (RFC 8898: same `sub`, and the same
    /// `identity`).
    #[must_use]
    pub fn is_same_bearer(&self, renewed: &Self) -> bool {
        self.workspace == renewed.workspace && self.identity == renewed.identity
    }
}

/// Why a token of good shape and signature does not hold now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenVerdict {
    #[error("the token has expired")]
    Expired,
    #[error("the token is issued in the future")]
    NotYet,
    #[error("the token lives longer than 300 s, or ends before it begins")]
    TooLong,
}

impl TokenVerdict {
    /// How a handshake with such a token is refused.
    #[must_use]
    pub const fn refusal(self) -> HandshakeRefusal {
        match self {
            Self::Expired => HandshakeRefusal::TokenExpired,
            Self::NotYet | Self::TooLong => HandshakeRefusal::TokenInvalid,
        }
    }
}

/// Judges a token's times at `now_unix`, with [`LEEWAY_SECONDS`] for `exp` and `iat` alike. The
/// lifetime is judged first and without leeway: no clock is involved in it.
///
/// # Errors
/// The first rule that the times break.
pub const fn judge(claims: &Claims, now_unix: i64) -> Result<(), TokenVerdict> {
    match claims.expires_at.checked_sub(claims.issued_at) {
        Some(0..=LIFETIME_SECONDS) => {}
        _ => return Err(TokenVerdict::TooLong),
    }
    if claims.issued_at > now_unix.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenVerdict::NotYet);
    }
    if is_expired(claims, now_unix) {
        return Err(TokenVerdict::Expired);
    }
    Ok(())
}

/// Whether a token that once held has lapsed, leeway included.
#[must_use]
pub const fn is_expired(claims: &Claims, now_unix: i64) -> bool {
    claims.expires_at.saturating_add(LEEWAY_SECONDS) <= now_unix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(issued_at: i64, expires_at: i64) -> Claims {
        let workspace = WorkspaceId::from_parts(1, [1; 10]);
        Claims { issued_at, expires_at, ..Claims::new(workspace, 0, Narrowing::default()) }
    }

    #[test]
    fn a_fresh_token_holds_for_its_lifetime_and_the_leeway() {
        let fresh = Claims::new(WorkspaceId::from_parts(1, [1; 10]), 1_000, Narrowing::default());
        assert_eq!((fresh.issued_at, fresh.expires_at), (1_000, 1_300));
        for (now, verdict) in [
            (994, Err(TokenVerdict::NotYet)),
            (995, Ok(())),
            (1_000, Ok(())),
            (1_300, Ok(())),
            (1_304, Ok(())),
            (1_305, Err(TokenVerdict::Expired)),
            (i64::MAX, Err(TokenVerdict::Expired)),
            (i64::MIN, Err(TokenVerdict::NotYet)),
        ] {
            assert_eq!(judge(&fresh, now), verdict, "at {now}");
            assert_eq!(is_expired(&fresh, now), now >= 1_305);
        }
    }

    #[test]
    fn lifetimes_out_of_range_are_refused_at_any_time() {
        for (issued, expires) in [
            (1_000, 1_301),
            (1_000, 999),
            (1_000, 87_400),
            (i64::MIN, i64::MAX),
            (i64::MAX, i64::MIN),
            (-1, i64::MAX),
        ] {
            assert_eq!(judge(&claims(issued, expires), 1_000), Err(TokenVerdict::TooLong));
        }
        assert_eq!(judge(&claims(1_000, 1_000), 1_000), Ok(()));
    }

    #[test]
    fn times_at_the_edge_of_counting_do_not_wrap() {
        let last = claims(i64::MAX - 300, i64::MAX);
        assert_eq!(judge(&last, i64::MAX - 1), Ok(()));
        assert_eq!(judge(&last, 0), Err(TokenVerdict::NotYet));
        let first = claims(i64::MIN, i64::MIN + 300);
        assert_eq!(judge(&first, 0), Err(TokenVerdict::Expired));
        assert_eq!(judge(&first, i64::MIN), Ok(()));
    }

    #[test]
    fn verdicts_become_the_contracts_codes() {
        assert_eq!(TokenVerdict::Expired.refusal().code(), "token.expired");
        assert_eq!(TokenVerdict::NotYet.refusal().code(), "token.invalid");
        assert_eq!(TokenVerdict::TooLong.refusal().code(), "token.invalid");
    }

    #[test]
    fn a_claim_narrows_and_its_absence_does_not() {
        let number = |text| E164::parse(text).unwrap();
        let mut claims = claims(0, 300);
        assert!(claims.allows_from(&number("+254700000001")));
        assert!(claims.allows_destination(&number("+12025550100")));
        claims.from = vec![number("+254700000001")];
        claims.destinations = vec!["+254".to_owned(), "+1202".to_owned()];
        assert!(claims.allows_from(&number("+254700000001")));
        assert!(!claims.allows_from(&number("+254700000002")));
        assert!(claims.allows_destination(&number("+12025550100")));
        assert!(!claims.allows_destination(&number("+12125550100")));
    }

    #[test]
    fn a_renewal_must_be_of_the_same_workspace_and_identity() {
        let mine = claims(0, 300);
        let mut other = claims(100, 400);
        assert!(mine.is_same_bearer(&other));
        other.identity = Some(Identity::parse("alice").unwrap());
        assert!(!mine.is_same_bearer(&other));
        assert_eq!(other.user().to_string(), "alice");
        assert_eq!(mine.user().to_string(), mine.workspace.to_string());
        other.identity = None;
        other.workspace = WorkspaceId::from_parts(2, [1; 10]);
        assert!(!mine.is_same_bearer(&other));
    }
}
