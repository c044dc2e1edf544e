use serde::de::MapAccess;

use super::BearerError;
use super::members::{Known, Members, Object};

#[derive(Default)]
struct Header {
    alg: Option<String>,
    typ: Option<String>,
    crit: bool,
}

impl Members for Header {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<Known, A::Error> {
        match name {
            "alg" => self.alg = Some(map.next_value()?),
            "typ" => self.typ = Some(map.next_value()?),
            "crit" => {
                self.crit = true;
                return Ok(Known::No);
            }
            // `kid`, `jku` and the like choose no key here, whatever they hold.
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    }
}

/// Checks the decoded header of a token whose HS256 signature is good already.
pub(super) fn check(json: &[u8]) -> Result<(), BearerError> {
    let Object(header) = serde_json::from_slice::<Object<Header>>(json)
        .map_err(|_| BearerError::Header("no JSON object of single members"))?;
    if header.alg.as_deref() != Some("HS256") {
        return Err(BearerError::Header("alg is not HS256"));
    }
    if header.typ.as_deref() != Some("JWT") {
        return Err(BearerError::Header("typ is not JWT"));
    }
    // No extension is understood, so a header that demands one is refused (RFC 7515 section 4.1.11).
    if header.crit {
        return Err(BearerError::Header("crit names extensions"));
    }
    Ok(())
}
