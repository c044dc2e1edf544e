use super::{ELSEWHERE, LATER, RetryAfter, SOON};
use std::fmt;

/// Why a WebSocket is refused before the upgrade. A plain GET of the same path gets the same
/// answer, since a browser cannot see the status of a refused handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandshakeRefusal {
    /// No token, or one that this gateway did not sign in this shape.
    TokenInvalid,
    TokenExpired,
    AccountUnknown,
    AccountSuspended,
    /// `Sec-WebSocket-Protocol` does not offer `sip` (RFC 7118 section 4).
    Subprotocol,
    OriginNotAllowed,
    /// Too many failed handshakes, or too many sockets not yet authenticated, of one address.
    RateLimited,
    SessionsLimitReached,
    Draining,
    Overloaded,
    /// Over 16 KiB or 64 headers.
    HeadTooLarge,
    /// No HTTP/1.1 request, or a broken upgrade.
    Malformed,
}

impl HandshakeRefusal {
    /// Every refusal, for documentation, metrics and tests.
    pub const ALL: [Self; 12] = [
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::AccountUnknown,
        Self::AccountSuspended,
        Self::Subprotocol,
        Self::OriginNotAllowed,
        Self::RateLimited,
        Self::SessionsLimitReached,
        Self::Draining,
        Self::Overloaded,
        Self::HeadTooLarge,
        Self::Malformed,
    ];

    /// The status of the HTTP answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Subprotocol | Self::Malformed => 400,
            Self::TokenInvalid | Self::TokenExpired => 401,
            Self::AccountUnknown | Self::AccountSuspended | Self::OriginNotAllowed => 403,
            Self::RateLimited | Self::SessionsLimitReached => 429,
            Self::HeadTooLarge => 431,
            Self::Draining | Self::Overloaded => 503,
        }
    }

    /// `error.code` of the JSON body.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TokenInvalid => "token.invalid",
            Self::TokenExpired => "token.expired",
            Self::AccountUnknown => "account.unknown",
            Self::AccountSuspended => "account.suspended",
            Self::Subprotocol => "handshake.subprotocol",
            Self::OriginNotAllowed => "origin.not_allowed",
            Self::RateLimited => "handshake.rate_limited",
            Self::SessionsLimitReached => "sessions.limit_reached",
            Self::Draining => "gateway.draining",
            Self::Overloaded => "gateway.overloaded",
            Self::HeadTooLarge => "handshake.too_large",
            Self::Malformed => "handshake.malformed",
        }
    }

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TokenInvalid => "token_invalid",
            Self::TokenExpired => "token_expired",
            Self::AccountUnknown => "account_unknown",
            Self::AccountSuspended => "account_suspended",
            Self::Subprotocol => "subprotocol",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::RateLimited => "rate_limited",
            Self::SessionsLimitReached => "sessions_limit_reached",
            Self::Draining => "draining",
            Self::Overloaded => "overloaded",
            Self::HeadTooLarge => "too_large",
            Self::Malformed => "malformed",
        }
    }

    /// A sentence for people: what is wrong and what to do. No quote, no backslash.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::TokenInvalid => {
                "The token is missing or not valid: mint one with POST /v1/sip/token"
            }
            Self::TokenExpired => "The token has expired: mint a fresh one",
            Self::AccountUnknown => "The token's workspace does not exist here",
            Self::AccountSuspended => "The workspace is suspended: contact the operator",
            Self::Subprotocol => "Offer the subprotocol sip in Sec-WebSocket-Protocol",
            Self::OriginNotAllowed => {
                "This page's origin is not on the allow-list: ask the operator to add it"
            }
            Self::RateLimited => "Too many failed attempts from this address: wait a moment",
            Self::SessionsLimitReached => {
                "The workspace has as many sessions as allowed: close one first"
            }
            Self::Draining => "The gateway is shutting down: connect again",
            Self::Overloaded => "The gateway is full: try again in a moment",
            Self::HeadTooLarge => "The request head is larger than 16 KiB or has over 64 headers",
            Self::Malformed => "Not a well-formed WebSocket handshake over HTTP/1.1",
        }
    }

    /// The seconds of `Retry-After`, where the answer carries one.
    #[must_use]
    pub const fn retry_after(self) -> Option<RetryAfter> {
        match self {
            Self::RateLimited => Some(SOON),
            Self::SessionsLimitReached | Self::Overloaded => Some(LATER),
            Self::Draining => Some(ELSEWHERE),
            _ => None,
        }
    }

    /// The value of `WWW-Authenticate`, which a 401 must carry (RFC 9110 section 11.6.1).
    #[must_use]
    pub const fn www_authenticate(self) -> Option<&'static str> {
        match self {
            Self::TokenInvalid | Self::TokenExpired => Some("Bearer error=\"invalid_token\""),
            _ => None,
        }
    }

    /// Whether it counts against the address: what a token vouches for does not.
    #[must_use]
    pub const fn counts_against_address(self) -> bool {
        matches!(
            self,
            Self::TokenInvalid
                | Self::TokenExpired
                | Self::Subprotocol
                | Self::OriginNotAllowed
                | Self::HeadTooLarge
                | Self::Malformed
        )
    }
}

/// The code.
impl fmt::Display for HandshakeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What a WebSocket is closed with after its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// Another socket took the session over.
    TakenOver,
    /// The token lapsed, or its key was removed.
    Token,
    /// The workspace was suspended.
    Forbidden,
    /// No pong, or the client does not read.
    TooSlow,
    /// Too many requests, in spite of refusals; the reason holds seconds.
    TooMany,
    /// The node is going away.
    Draining,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 6] = [
        Self::TakenOver,
        Self::Token,
        Self::Forbidden,
        Self::TooSlow,
        Self::TooMany,
        Self::Draining,
    ];

    /// The number in the close frame.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::TakenOver => 4000,
            Self::Token => 4401,
            Self::Forbidden => 4403,
            Self::TooSlow => 4408,
            Self::TooMany => 4429,
            Self::Draining => 4503,
        }
    }

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TakenOver => "taken_over",
            Self::Token => "token",
            Self::Forbidden => "forbidden",
            Self::TooSlow => "too_slow",
            Self::TooMany => "too_many",
            Self::Draining => "draining",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_refusal_of_the_contract_has_its_status_and_code() {
        for (refusal, status, code) in [
            (HandshakeRefusal::TokenInvalid, 401, "token.invalid"),
            (HandshakeRefusal::TokenExpired, 401, "token.expired"),
            (HandshakeRefusal::AccountUnknown, 403, "account.unknown"),
            (HandshakeRefusal::AccountSuspended, 403, "account.suspended"),
            (HandshakeRefusal::Subprotocol, 400, "handshake.subprotocol"),
            (HandshakeRefusal::OriginNotAllowed, 403, "origin.not_allowed"),
            (HandshakeRefusal::RateLimited, 429, "handshake.rate_limited"),
            (HandshakeRefusal::SessionsLimitReached, 429, "sessions.limit_reached"),
            (HandshakeRefusal::Draining, 503, "gateway.draining"),
            (HandshakeRefusal::Overloaded, 503, "gateway.overloaded"),
            (HandshakeRefusal::HeadTooLarge, 431, "handshake.too_large"),
            (HandshakeRefusal::Malformed, 400, "handshake.malformed"),
        ] {
            assert_eq!((refusal.status(), refusal.code()), (status, code));
        }
    }

    #[test]
    fn a_401_names_its_scheme_and_a_429_or_503_its_wait() {
        for refusal in HandshakeRefusal::ALL {
            let status = refusal.status();
            assert_eq!(refusal.www_authenticate().is_some(), status == 401, "{refusal}");
            assert_eq!(refusal.retry_after().is_some(), matches!(status, 429 | 503), "{refusal}");
        }
    }

    #[test]
    fn labels_and_texts_are_fit_to_print() {
        let labels: HashSet<_> =
            HandshakeRefusal::ALL.iter().map(|refusal| refusal.label()).collect();
        assert_eq!(labels.len(), HandshakeRefusal::ALL.len());
        for refusal in HandshakeRefusal::ALL {
            assert!(refusal.text().is_ascii() && !refusal.text().contains(['"', '\\']));
        }
    }
}
