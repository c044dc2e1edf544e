use super::{ELSEWHERE, LATER, RetryAfter, SOON};
use std::fmt;

/// Why the gateway itself refuses a request inside a session, above all an INVITE before anything
/// is dialled. A carrier's refusal is none of these: its status is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The session's token lapsed and was not renewed.
    TokenExpired,
    /// The caller's number belongs to another workspace or to nobody.
    NumberNotClaimed,
    /// Caller number or destination outside the token's claims.
    TokenNotAllowed,
    /// A REGISTER for an address that is not the session's.
    AddressNotOwned,
    /// The workspace is suspended: what lives goes on, nothing starts.
    AccountSuspended,
    /// The workspace may not call there.
    DestinationNotAllowed,
    /// What was dialled is no E.164 number and no identity.
    InvalidNumber,
    /// Nobody of that name was ever seen in the workspace.
    UnknownIdentity,
    /// The identity is known, but none of its sessions is connected.
    NotReachable,
    /// It rang for as long as it may.
    NoAnswer,
    /// The rate card has no row for the destination.
    NoRate,
    /// The available balance does not pay the first hold.
    InsufficientFunds,
    /// More requests a second than a session may send.
    SessionRateLimited,
    /// As many calls at once as token or workspace may have.
    CallsLimitReached,
    /// More calls started a second than the workspace may.
    CallsRateLimited,
    /// The node carries as many calls as it can, or lags.
    Overloaded,
    /// The node is going away.
    Draining,
    /// The ledger cannot be written: calls are never free.
    WalletUnavailable,
    /// No trunk takes the destination, or all failed without an answer.
    NoRoute,
    /// The offer holds nothing that the relay can carry.
    MediaNotAcceptable,
    /// The carrier answered, and its answer holds nothing that the relay can carry.
    CarrierMedia,
    /// A defect of the gateway's own ended the request.
    Internal,
}

/// What follows from a refusal, one row each.
struct Row {
    sip: u16,
    http: u16,
    code: &'static str,
    label: &'static str,
    text: &'static str,
    retry_after: Option<RetryAfter>,
}

const fn row(
    sip: u16,
    http: u16,
    code: &'static str,
    label: &'static str,
    text: &'static str,
) -> Row {
    Row { sip, http, code, label, text, retry_after: None }
}

impl Row {
    const fn retry(self, range: RetryAfter) -> Self {
        Self { retry_after: Some(range), ..self }
    }
}

impl Refusal {
    /// Every refusal, for documentation, metrics and tests.
    pub const ALL: [Self; 22] = [
        Self::TokenExpired,
        Self::NumberNotClaimed,
        Self::TokenNotAllowed,
        Self::AddressNotOwned,
        Self::AccountSuspended,
        Self::DestinationNotAllowed,
        Self::InvalidNumber,
        Self::UnknownIdentity,
        Self::NotReachable,
        Self::NoAnswer,
        Self::NoRate,
        Self::InsufficientFunds,
        Self::SessionRateLimited,
        Self::CallsLimitReached,
        Self::CallsRateLimited,
        Self::Overloaded,
        Self::Draining,
        Self::WalletUnavailable,
        Self::NoRoute,
        Self::MediaNotAcceptable,
        Self::CarrierMedia,
        Self::Internal,
    ];

    /// The status of the SIP answer. A 401 also needs `WWW-Authenticate: Bearer` with a parameter.
    #[must_use]
    pub const fn sip_status(self) -> u16 {
        self.row().sip
    }

    /// The status of the same refusal over the HTTP API.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        self.row().http
    }

    /// What clients switch on: the value of `X-Sautikit-Error` and the API's `error.code`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// The metric's label: one per refusal, where two refusals share a code.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.row().label
    }

    /// A sentence for people: what is wrong and what to do. It holds no quote and no backslash, so
    /// it can stand in a quoted string as it is (`Warning: 399 host "…"`).
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().text
    }

    /// The seconds of `Retry-After`, where the answer carries one.
    #[must_use]
    pub const fn retry_after(self) -> Option<RetryAfter> {
        self.row().retry_after
    }

    const fn row(self) -> Row {
        match self {
            Self::TokenExpired
            | Self::NumberNotClaimed
            | Self::TokenNotAllowed
            | Self::AddressNotOwned
            | Self::AccountSuspended
            | Self::DestinationNotAllowed => self.permission_row(),
            Self::InvalidNumber
            | Self::UnknownIdentity
            | Self::NotReachable
            | Self::NoAnswer
            | Self::NoRate
            | Self::NoRoute
            | Self::MediaNotAcceptable
            | Self::CarrierMedia => self.destination_row(),
            _ => self.capacity_row(),
        }
    }

    /// Who may not do it.
    const fn permission_row(self) -> Row {
        match self {
            Self::TokenExpired => row(
                401,
                401,
                "token.expired",
                "token_expired",
                "The session's token has expired: send REGISTER with a fresh one",
            ),
            Self::NumberNotClaimed => row(
                403,
                403,
                "numbers.not_claimed",
                "number_not_claimed",
                "The caller number is not claimed by this workspace: claim it or call from another",
            ),
            Self::TokenNotAllowed => row(
                403,
                403,
                "token.not_allowed",
                "token_not_allowed",
                "The token does not allow this caller number or destination: mint one that does",
            ),
            Self::AddressNotOwned => row(
                403,
                403,
                "token.not_allowed",
                "address_not_owned",
                "A session may register only the address of its own token's identity",
            ),
            Self::AccountSuspended => row(
                403,
                403,
                "account.suspended",
                "account_suspended",
                "The workspace is suspended: contact the operator",
            ),
            _ => row(
                403,
                403,
                "calls.destination_not_allowed",
                "destination_not_allowed",
                "The workspace may not call this destination: ask the operator to permit it",
            ),
        }
    }

    /// Where it cannot go.
    const fn destination_row(self) -> Row {
        match self {
            Self::InvalidNumber => row(
                484,
                422,
                "calls.invalid_number",
                "invalid_number",
                "Not a phone number: dial it with its country code, as in +254722000001",
            ),
            Self::UnknownIdentity => row(
                404,
                404,
                "calls.unknown_identity",
                "unknown_identity",
                "Nobody of this name is known in the workspace",
            ),
            Self::NotReachable => row(
                480,
                404,
                "calls.not_reachable",
                "not_reachable",
                "This name takes no calls from here now: try again later",
            ),
            Self::NoAnswer => row(
                480,
                408,
                "calls.no_answer",
                "no_answer",
                "The called party did not answer in time",
            ),
            Self::NoRate => row(
                404,
                404,
                "calls.no_rate",
                "no_rate",
                "There is no rate for this destination: ask the operator to add one",
            ),
            Self::CarrierMedia => row(
                502,
                502,
                "calls.carrier_media",
                "carrier_media",
                "The carrier answered without audio that the gateway can carry: call again, or tell the operator",
            ),
            Self::NoRoute => row(
                503,
                503,
                "calls.no_route",
                "no_route",
                "No carrier could take the call: try again later or ask the operator",
            ),
            _ => row(
                488,
                422,
                "calls.media_not_acceptable",
                "media_not_acceptable",
                "The offer has no audio that the gateway can carry: offer PCMA or PCMU over RTP",
            ),
        }
    }

    /// What there is too much or too little of.
    const fn capacity_row(self) -> Row {
        match self {
            Self::InsufficientFunds => row(
                402,
                402,
                "wallet.insufficient_funds",
                "insufficient_funds",
                "The balance does not pay the start of this call: top up the wallet",
            ),
            Self::SessionRateLimited => row(
                503,
                429,
                "session.rate_limited",
                "session_rate_limited",
                "Too many requests a second in this session: slow down",
            )
            .retry(SOON),
            Self::CallsLimitReached => row(
                403,
                429,
                "calls.limit_reached",
                "calls_limit_reached",
                "As many calls at once as allowed: end one first or ask for a higher limit",
            ),
            Self::CallsRateLimited => row(
                403,
                429,
                "calls.rate_limited",
                "calls_rate_limited",
                "Too many new calls in a short time: wait a moment before the next",
            )
            .retry(SOON),
            Self::Overloaded => row(
                503,
                503,
                "gateway.overloaded",
                "overloaded",
                "The gateway is full: try again in a moment",
            )
            .retry(LATER),
            Self::Draining => row(
                503,
                503,
                "gateway.draining",
                "draining",
                "The gateway is shutting down: connect again",
            )
            .retry(ELSEWHERE),
            Self::WalletUnavailable => row(
                503,
                503,
                "wallet.unavailable",
                "wallet_unavailable",
                "The ledger cannot be reached, and no call is made without it: try again later",
            )
            .retry(LATER),
            _ => row(
                500,
                500,
                "gateway.internal",
                "internal",
                "The gateway failed at this request: report it with the call's id",
            ),
        }
    }
}

/// The code.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The table of the public contract.
    #[test]
    fn every_refusal_of_the_contract_has_its_status_code_and_retry() {
        for (refusal, sip, code, retries) in [
            (Refusal::TokenExpired, 401, "token.expired", false),
            (Refusal::NumberNotClaimed, 403, "numbers.not_claimed", false),
            (Refusal::TokenNotAllowed, 403, "token.not_allowed", false),
            (Refusal::AddressNotOwned, 403, "token.not_allowed", false),
            (Refusal::AccountSuspended, 403, "account.suspended", false),
            (Refusal::DestinationNotAllowed, 403, "calls.destination_not_allowed", false),
            (Refusal::InvalidNumber, 484, "calls.invalid_number", false),
            (Refusal::UnknownIdentity, 404, "calls.unknown_identity", false),
            (Refusal::NotReachable, 480, "calls.not_reachable", false),
            (Refusal::NoAnswer, 480, "calls.no_answer", false),
            (Refusal::NoRate, 404, "calls.no_rate", false),
            (Refusal::InsufficientFunds, 402, "wallet.insufficient_funds", false),
            (Refusal::SessionRateLimited, 503, "session.rate_limited", true),
            (Refusal::CallsLimitReached, 403, "calls.limit_reached", false),
            (Refusal::CallsRateLimited, 403, "calls.rate_limited", true),
            (Refusal::Overloaded, 503, "gateway.overloaded", true),
            (Refusal::Draining, 503, "gateway.draining", true),
            (Refusal::WalletUnavailable, 503, "wallet.unavailable", true),
            (Refusal::NoRoute, 503, "calls.no_route", false),
            (Refusal::MediaNotAcceptable, 488, "calls.media_not_acceptable", false),
            (Refusal::CarrierMedia, 502, "calls.carrier_media", false),
            (Refusal::Internal, 500, "gateway.internal", false),
        ] {
            assert_eq!((refusal.sip_status(), refusal.code()), (sip, code));
            assert_eq!(refusal.retry_after().is_some(), retries, "{refusal}");
        }
    }

    #[test]
    fn labels_are_distinct_and_texts_fit_a_quoted_string() {
        let labels: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.label()).collect();
        assert_eq!(labels.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            let text = refusal.text();
            assert!(text.is_ascii() && !text.contains(['"', '\\', '\r', '\n']), "{text}");
            assert!((400..600).contains(&refusal.http_status()), "{refusal}");
        }
    }
}
