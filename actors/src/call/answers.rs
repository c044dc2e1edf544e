//! What the gateway adds to its answers to a caller, and how a carrier's refusal is passed on.

use sautikit_core::cause::{Refusal, draw};
use sautikit_core::ids::CallId;
use sautikit_core::rate::Rate;
use sautikit_sip::message::Name;
use sautikit_sip::respond::reason_phrase;

/// The call's id: what the HTTP API knows it by.
pub(crate) const CALL_ID_HEADER: &str = "X-Sautikit-Call-Id";
/// What the call costs, for a page's running total.
pub(crate) const RATE_HEADER: &str = "X-Sautikit-Rate";
/// The code of a refusal of the gateway's own.
pub(crate) const ERROR_HEADER: &str = "X-Sautikit-Error";

/// On the 200: `X-Sautikit-Rate: 300;per=60;increment=1;currency=KES` (minor units).
pub(crate) fn answer_headers(call: CallId, rate: &Rate) -> Vec<(Name, String)> {
    vec![
        (Name::parse(CALL_ID_HEADER), call.to_string()),
        (Name::parse(RATE_HEADER), rate.header_value()),
    ]
}

/// On a refusal of the gateway's own: its code, a text for people, and when to try again. `random`
/// spreads the waits of many clients.
pub(crate) fn refusal_headers(refusal: Refusal, domain: &str, random: u32) -> Vec<(Name, String)> {
    let mut headers = vec![
        (Name::parse(ERROR_HEADER), refusal.code().to_owned()),
        (Name::parse("Warning"), format!("399 {domain} \"{}\"", refusal.text())),
    ];
    if let Some(range) = refusal.retry_after() {
        headers.push((Name::parse("Retry-After"), draw(&range, random).to_string()));
    }
    if refusal.sip_status() == 401 {
        let challenge = format!("Bearer realm=\"{domain}\", error=\"invalid_token\"");
        headers.push((Name::parse("WWW-Authenticate"), challenge));
    }
    headers
}

/// The status and reason under which a carrier's refusal reaches the caller. A challenge is the
/// trunk's own affair, and a redirection would have the browser dial elsewhere.
pub(crate) fn passed_status(code: u16) -> (u16, &'static str) {
    let code = match code {
        401 | 407 => 403,
        300..=399 => 480,
        400..=699 => code,
        _ => 500,
    };
    (code, reason_phrase(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carriers_challenge_and_redirection_stay_with_the_gateway() {
        assert_eq!(passed_status(407).0, 403);
        assert_eq!(passed_status(302).0, 480);
        assert_eq!(passed_status(486), (486, "Busy Here"));
    }

    #[test]
    fn a_lapsed_token_is_challenged_with_a_parameter() {
        let headers = refusal_headers(Refusal::TokenExpired, "sip.example", 0);
        let challenge = headers.iter().find(|(name, _)| name.as_str() == "WWW-Authenticate");
        assert_eq!(challenge.unwrap().1, "Bearer realm=\"sip.example\", error=\"invalid_token\"");
    }
}
