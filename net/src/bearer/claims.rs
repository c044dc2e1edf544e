use sautikit_core::e164::E164;
use sautikit_core::identity::Identity;
use sautikit_core::ids::WorkspaceId;
use sautikit_core::limits::TOKEN_LIST_MAX;
use sautikit_core::money::Minor;
use sautikit_core::token::{Claims, ISSUER};
use serde::de::MapAccess;

use super::BearerError;
use super::members::{Known, Members, Object};

/// The end of the year 9999: times beyond it are no times, and sums with them stay far from overflow.
const UNIX_MAX: i64 = 253_402_300_799;

/// A UUID in its one canonical spelling (RFC 9562 section 4).
const UUID_LENGTH: usize = 36;

#[derive(Default)]
struct Raw {
    iss: Option<String>,
    sub: Option<String>,
    iat: Option<i64>,
    exp: Option<i64>,
    identity: Option<String>,
    from: Option<Vec<String>>,
    destinations: Option<Vec<String>>,
    max_calls: Option<u32>,
    max_cost_minor: Option<i64>,
    unserved: bool,
}

impl Members for Raw {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<Known, A::Error> {
        match name {
            "iss" => self.iss = Some(map.next_value()?),
            "sub" => self.sub = Some(map.next_value()?),
            // As integers: a fraction, an exponent or a string is an error of the JSON reader.
            "iat" => self.iat = Some(map.next_value()?),
            "exp" => self.exp = Some(map.next_value()?),
            "identity" => self.identity = Some(map.next_value()?),
            "from" => self.from = Some(map.next_value()?),
            "destinations" => self.destinations = Some(map.next_value()?),
            "max_calls" => self.max_calls = Some(map.next_value()?),
            "max_cost_minor" => self.max_cost_minor = Some(map.next_value()?),
            // Both restrict who may accept the token, and when (RFC 7519 sections 4.1.3 and 4.1.5).
            // The gateway mints neither, so a token with one was not meant for it.
            "aud" | "nbf" => {
                self.unserved = true;
                return Ok(Known::No);
            }
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    }
}

/// Reads the decoded claims of a token whose signature is good already.
pub(super) fn read(json: &[u8]) -> Result<Claims, BearerError> {
    let Object(raw) = serde_json::from_slice::<Object<Raw>>(json)
        .map_err(|_| BearerError::Claims("no JSON object of single members of the right kinds"))?;
    if raw.iss.as_deref() != Some(ISSUER) {
        return Err(BearerError::Claims("iss is another"));
    }
    if raw.unserved {
        return Err(BearerError::Claims("aud or nbf is present"));
    }
    let sub = raw.sub.filter(|sub| sub.len() == UUID_LENGTH);
    let limited = raw.max_calls.is_some() || raw.max_cost_minor.is_some();
    if limited && raw.identity.is_none() {
        return Err(BearerError::Claims("max_calls and max_cost_minor need identity"));
    }
    Ok(Claims {
        workspace: sub
            .and_then(|sub| sub.parse::<WorkspaceId>().ok())
            .ok_or(BearerError::Claims("sub is no UUID"))?,
        issued_at: time(raw.iat).ok_or(BearerError::Claims("iat is no time"))?,
        expires_at: time(raw.exp).ok_or(BearerError::Claims("exp is no time"))?,
        identity: raw
            .identity
            .map(|identity| Identity::parse(&identity))
            .transpose()
            .map_err(|_| BearerError::Claims("identity is none"))?,
        from: raw.from.map_or(Some(Vec::new()), numbers).ok_or(BearerError::Claims("from"))?,
        destinations: raw
            .destinations
            .map_or(Some(Vec::new()), prefixes)
            .ok_or(BearerError::Claims("destinations"))?,
        max_calls: raw.max_calls,
        max_cost_minor: raw
            .max_cost_minor
            .map(|minor| (minor >= 0).then(|| Minor::new(minor)))
            .map_or(Some(None), |minor| minor.map(Some))
            .ok_or(BearerError::Claims("max_cost_minor is negative"))?,
    })
}

fn time(unix: Option<i64>) -> Option<i64> {
    unix.filter(|unix| (0..=UNIX_MAX).contains(unix))
}

/// An empty list would allow nothing or everything, depending on who reads it: it is refused.
fn numbers(list: Vec<String>) -> Option<Vec<E164>> {
    let fits = (1..=TOKEN_LIST_MAX).contains(&list.len());
    fits.then(|| list.iter().map(|number| E164::parse(number).ok()).collect())?
}

fn prefixes(list: Vec<String>) -> Option<Vec<String>> {
    let is_prefix = |prefix: &String| {
        let digits = prefix.strip_prefix('+').unwrap_or(prefix);
        (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let fits = (1..=TOKEN_LIST_MAX).contains(&list.len()) && list.iter().all(is_prefix);
    fits.then_some(list)
}
