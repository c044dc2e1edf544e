//! Tokens of any shape, signed by hand (RFC 7519, RFC 2104).

use sautikit_net::random::sha256;
use serde_json::{Value, json};

use super::gateway::SIGNING_KEY;

/// A gateway's own.
pub(crate) const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Any header and any claims, signed as HS256 whatever the header says.
pub(crate) fn signed(header: &str, claims: &str, key: &[u8]) -> String {
    let text = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let signature = hmac_sha256(key, text.as_bytes());
    format!("{text}.{}", base64url(&signature))
}

/// The claims of a good token that began `age` seconds ago.
pub(crate) fn claims(workspace: &str, age: i64) -> Value {
    let now = now_unix() - age;
    json!({"iss": "sautikit-sip", "sub": workspace, "iat": now, "exp": now + 300})
}

/// A token with these claims under the gateway's own key.
pub(crate) fn token(claims: &Value) -> String {
    signed(HEADER, &claims.to_string(), SIGNING_KEY.as_bytes())
}

/// Whether the gateway's own key signed it.
pub(crate) fn is_signed(token: &str) -> bool {
    is_signed_with(token, SIGNING_KEY)
}

pub(crate) fn is_signed_with(token: &str, key: &str) -> bool {
    let (text, signature) = token.rsplit_once('.').unwrap();
    base64url(&hmac_sha256(key.as_bytes(), text.as_bytes())) == signature
}

/// The header and the claims of a token, unverified.
pub(crate) fn read(token: &str) -> (String, Value) {
    let mut parts = token.split('.').map(|part| String::from_utf8(unbase64url(part)).unwrap());
    let header = parts.next().unwrap();
    (header, serde_json::from_str(&parts.next().unwrap()).unwrap())
}

/// Tokens that no gateway may believe, each with what is wrong about it.
pub(crate) fn bad_tokens(workspace: &str) -> Vec<(&'static str, String)> {
    let good = claims(workspace, 0);
    let text = good.to_string();
    let key = SIGNING_KEY.as_bytes();
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        token(&changed)
    };
    let header = |header: &str| signed(header, &text, key);
    let whole = token(&good);
    let unsigned = whole.rsplit_once('.').unwrap().0.to_owned();
    let now = now_unix();
    vec![
        ("no JWT", "this-is-no-token".to_owned()),
        ("another key", signed(HEADER, &text, b"another key of more than 32 bytes")),
        ("an empty key", signed(HEADER, &text, b"")),
        ("no signature", format!("{unsigned}.")),
        ("half a signature", whole[..whole.len() - 20].to_owned()),
        ("a fourth part", format!("{whole}.x")),
        ("two parts", unsigned),
        ("alg none", header(r#"{"alg":"none","typ":"JWT"}"#)),
        ("alg None", header(r#"{"alg":"None","typ":"JWT"}"#)),
        ("alg HS512", header(r#"{"alg":"HS512","typ":"JWT"}"#)),
        ("alg RS256", header(r#"{"alg":"RS256","typ":"JWT"}"#)),
        ("another typ", header(r#"{"alg":"HS256","typ":"at+jwt"}"#)),
        ("a crit", header(r#"{"alg":"HS256","typ":"JWT","crit":["exp"]}"#)),
        ("alg twice", header(r#"{"alg":"none","alg":"HS256","typ":"JWT"}"#)),
        ("another issuer", with("iss", json!("somebody"))),
        ("no UUID as sub", with("sub", json!("alice"))),
        ("a list as sub", with("sub", json!([workspace]))),
        ("issued in the future", {
            let mut later = good.clone();
            later["iat"] = json!(now + 60);
            later["exp"] = json!(now + 360);
            token(&later)
        }),
        ("a day of life", with("exp", json!(now + 86_400))),
        ("a limit of calls that is not kept", {
            let mut limited = good.clone();
            limited["identity"] = json!("alice");
            limited["max_calls"] = json!(1);
            token(&limited)
        }),
        ("text as exp", with("exp", json!((now + 300).to_string()))),
        ("a fraction as exp", with("exp", json!(1e300))),
        ("a negative exp", with("exp", json!(-5))),
        ("no exp", {
            let mut without = good.clone();
            without.as_object_mut().unwrap().remove("exp");
            token(&without)
        }),
        ("sub twice", {
            let twice = text.replacen('{', &format!("{{\"sub\":\"{workspace}\","), 1);
            signed(HEADER, &twice, key)
        }),
    ]
}

pub(crate) fn now_unix() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&sha256(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
    let inner = sha256(&[&padded(0x36), text].concat());
    sha256(&[&padded(0x5c), &inner[..]].concat())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64url(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for index in 0..=chunk.len() {
            let six = (bits >> (18 - 6 * index)) & 63;
            out.push(char::from(ALPHABET[usize::try_from(six).unwrap()]));
        }
    }
    out
}

fn unbase64url(text: &str) -> Vec<u8> {
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes() {
        let six = ALPHABET.iter().position(|each| *each == byte).unwrap();
        bits = (bits << 6) | u32::try_from(six).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 255).unwrap());
        }
    }
    out
}
