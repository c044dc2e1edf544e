use super::*;
use crate::keys::SigningKey;
use sautikit_core::e164::E164;
use sautikit_core::identity::Identity;
use sautikit_core::money::Minor;
use serde_json::{Value, json};

const NOW: i64 = 1_782_554_400;
const WORKSPACE: &str = "018f4e2a-7b1c-7def-8a00-000000000001";
const GOOD_HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn key(letter: &str) -> SigningKey {
    SigningKey::from_value(&letter.repeat(40).into_bytes().into()).unwrap()
}

fn keys() -> Keys {
    Keys::new(key("a"), None)
}

fn claims() -> Claims {
    Claims {
        workspace: WORKSPACE.parse().unwrap(),
        issued_at: NOW,
        expires_at: NOW + 300,
        identity: None,
        from: Vec::new(),
        destinations: Vec::new(),
        max_calls: None,
        max_cost_minor: None,
    }
}

/// A token of any header and payload, signed as well as ours.
fn forged(header: &str, payload: &str) -> String {
    signed_by(&keys(), Algorithm::HS256, header, payload)
}

fn signed_by(keys: &Keys, algorithm: Algorithm, header: &str, payload: &str) -> String {
    let mut token = String::new();
    base64url::encode_into(header.as_bytes(), &mut token);
    token.push('.');
    base64url::encode_into(payload.as_bytes(), &mut token);
    let signature = crypto::sign(token.as_bytes(), keys.signing(), algorithm).unwrap();
    format!("{token}.{signature}")
}

fn good_payload() -> Value {
    json!({"iss": "sautikit-sip", "sub": WORKSPACE, "iat": NOW, "exp": NOW + 300})
}

fn refused(token: &str) -> BearerError {
    verify(token, &keys(), NOW).expect_err(token)
}

fn decoded(part: &str) -> String {
    String::from_utf8(base64url::decode(part).unwrap()).unwrap()
}

#[test]
fn a_plain_token_has_exactly_the_header_and_claims_of_the_contract_in_their_order() {
    let token = mint(&claims(), &keys());
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(decoded(parts[0]), GOOD_HEADER);
    let expected =
        format!(r#"{{"iss":"sautikit-sip","sub":"{WORKSPACE}","iat":{NOW},"exp":{}}}"#, NOW + 300);
    assert_eq!(decoded(parts[1]), expected);
}

#[test]
fn every_claim_comes_back_as_it_was_minted() {
    let narrow = Claims {
        identity: Some(Identity::parse("alice.k").unwrap()),
        from: vec![E164::parse("+254700000001").unwrap()],
        destinations: vec!["+254".to_owned(), "+2557".to_owned()],
        max_calls: Some(2),
        max_cost_minor: Some(Minor::new(50_000)),
        ..claims()
    };
    for claims in [claims(), narrow] {
        let verified = verify(&mint(&claims, &keys()), &keys(), NOW).unwrap();
        assert_eq!(verified.claims, claims);
        assert_eq!(verified.key, key("a").id());
    }
}

#[test]
fn the_crates_own_reader_accepts_what_is_minted() {
    let token = mint(&claims(), &keys());
    let mut validation = jsonwebtoken::Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let key = key("a");
    let data = jsonwebtoken::decode::<Value>(&token, key.decoding(), &validation).unwrap();
    assert_eq!(data.claims, good_payload());
}

#[test]
fn another_algorithm_is_refused_however_it_is_spelt_or_signed() {
    let payload = good_payload().to_string();
    for alg in ["none", "None", "NONE", "hs256", "HS384", "HS512", "RS256", "ES256", ""] {
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        assert!(matches!(refused(&forged(&header, &payload)), BearerError::Header(_)), "{alg}");
        let unsigned = forged(&header, &payload);
        let (signed, _) = unsigned.rsplit_once('.').unwrap();
        assert_eq!(refused(&format!("{signed}.")), BearerError::Signature);
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let header = format!(r#"{{"alg":"{algorithm:?}","typ":"JWT"}}"#);
        let token = signed_by(&keys(), algorithm, &header, &payload);
        assert_eq!(refused(&token), BearerError::Signature);
    }
}

#[test]
fn a_broken_signature_or_shape_is_refused() {
    let token = mint(&claims(), &keys());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for signature in ["", "AAAA", &signature[1..], &signature[..42], &format!("{signature}A")] {
        assert_eq!(refused(&format!("{signed}.{signature}")), BearerError::Signature);
    }
    // The last character's two spare bits: another spelling of the same bytes.
    let last = signature.chars().last().unwrap();
    for other in ['A', 'B', 'C', 'D', '_'].into_iter().filter(|other| *other != last) {
        let altered = format!("{signed}.{}{other}", &signature[..42]);
        assert_eq!(refused(&altered), BearerError::Signature);
    }
    assert_eq!(refused(&format!("{token}=")), BearerError::Signature);
    for shape in
        ["", ".", "..", "...", header, signed, &format!("{token}.{signature}"), "a.b.c.d.e"]
    {
        assert!(
            matches!(refused(shape), BearerError::Malformed | BearerError::Signature),
            "{shape}"
        );
    }
    assert_eq!(refused(&format!("{header}.{payload}.x.{signature}")), BearerError::Malformed);
    assert_eq!(refused(&"a".repeat(TOKEN_MAX_BYTES + 1)), BearerError::Malformed);
}

#[test]
fn a_changed_claim_breaks_the_signature() {
    let token = mint(&claims(), &keys());
    let mut parts = token.split('.');
    let (header, _, signature) =
        (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let mut other = good_payload();
    other["sub"] = json!("018f4e2a-7b1c-7def-8a00-000000000002");
    let mut payload = String::new();
    base64url::encode_into(other.to_string().as_bytes(), &mut payload);
    assert_eq!(refused(&format!("{header}.{payload}.{signature}")), BearerError::Signature);
}

#[test]
fn typ_other_than_jwt_and_any_crit_are_refused_and_any_kid_is_ignored() {
    let payload = good_payload().to_string();
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"jwt"}"#,
        r#"{"alg":"HS256","typ":null}"#,
        r#"{"alg":["HS256"],"typ":"JWT"}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"JWT","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","typ":"JWT","crit":[]}"#,
        r#"{"alg":"HS256","typ":"JWT","crit":null}"#,
        r#"{"alg":"none","alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"JWT","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","typ":"JWT"}{}"#,
        r#"["HS256","JWT"]"#,
        "",
    ] {
        assert!(matches!(refused(&forged(header, &payload)), BearerError::Header(_)), "{header}");
    }
    for kid in ["\"../../etc/passwd\"", "7", "null", "[{}]", "{\"a\":\"' OR 1=1\"}"] {
        let header = format!(r#"{{"typ":"JWT","alg":"HS256","kid":{kid}}}"#);
        assert!(verify(&forged(&header, &payload), &keys(), NOW).is_ok(), "{kid}");
    }
}

#[test]
fn a_claim_missing_or_of_the_wrong_kind_is_refused() {
    for (name, value) in [
        ("iss", json!("sautikit")),
        ("iss", json!(["sautikit-sip"])),
        ("iss", Value::Null),
        ("sub", json!("workspace")),
        ("sub", json!("018f4e2a7b1c7def8a00000000000001")),
        ("sub", json!(1)),
        ("sub", Value::Null),
        ("iat", json!("1782554400")),
        ("iat", json!(1_782_554_400.0)),
        ("iat", json!(-1)),
        ("iat", Value::Null),
        ("exp", json!("1782554700")),
        ("exp", json!(1_782_554_700.5)),
        ("exp", json!(-5)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(i64::MAX)),
        ("exp", Value::Null),
        ("aud", json!("another")),
        ("aud", json!(["sautikit-sip"])),
        ("nbf", json!(NOW)),
        ("identity", json!("12345")),
        ("identity", json!(WORKSPACE)),
        ("identity", json!("a b")),
        ("identity", json!(["alice"])),
        ("from", json!([])),
        ("from", json!("+254700000001")),
        ("from", json!(["254-bad-number"])),
        ("from", json!(vec!["+254700000001"; 21])),
        ("destinations", json!([])),
        ("destinations", json!([""])),
        ("destinations", json!(["+"])),
        ("destinations", json!(["+254 7"])),
        ("destinations", json!([254])),
        ("max_calls", json!(2)),
        ("max_cost_minor", json!(100)),
    ] {
        let mut payload = good_payload();
        payload[name] = value.clone();
        let token = forged(GOOD_HEADER, &payload.to_string());
        assert!(matches!(refused(&token), BearerError::Claims(_)), "{name} {value}");
    }
    for name in ["iss", "sub", "iat", "exp"] {
        let mut payload = good_payload();
        payload.as_object_mut().unwrap().remove(name);
        let token = forged(GOOD_HEADER, &payload.to_string());
        assert!(matches!(refused(&token), BearerError::Claims(_)), "without {name}");
    }
}

#[test]
fn a_limit_below_zero_or_beyond_its_type_is_refused() {
    for (name, value) in [
        ("max_calls", json!(-1)),
        ("max_calls", json!(1.5)),
        ("max_calls", json!(1u64 << 33)),
        ("max_cost_minor", json!(-1)),
        ("max_cost_minor", json!("1")),
    ] {
        let mut payload = good_payload();
        payload["identity"] = json!("alice");
        payload[name] = value.clone();
        let token = forged(GOOD_HEADER, &payload.to_string());
        assert!(matches!(refused(&token), BearerError::Claims(_)), "{name} {value}");
    }
}

#[test]
fn a_name_twice_in_the_payload_is_refused_even_in_another_spelling() {
    let good = good_payload().to_string();
    let body = good.strip_suffix('}').unwrap();
    for extra in [
        format!(r#","sub":"{WORKSPACE}""#),
        format!(r#","\u0073ub":"{WORKSPACE}""#),
        r#","x":1,"x":1"#.to_owned(),
        r#","identity":"a","identity":"b""#.to_owned(),
    ] {
        let token = forged(GOOD_HEADER, &format!("{body}{extra}}}"));
        assert!(matches!(refused(&token), BearerError::Claims(_)), "{extra}");
    }
    let many: String = (0..40).map(|n| format!(r#","x{n}":0"#)).collect();
    assert!(matches!(
        refused(&forged(GOOD_HEADER, &format!("{body}{many}}}"))),
        BearerError::Claims(_)
    ));
}

#[test]
fn a_claim_that_nobody_knows_means_nothing() {
    let mut payload = good_payload();
    payload["jti"] = json!({"any": ["shape"]});
    let verified = verify(&forged(GOOD_HEADER, &payload.to_string()), &keys(), NOW).unwrap();
    assert_eq!(verified.claims, claims());
}

#[test]
fn a_rotated_key_verifies_only_within_its_window() {
    let old = mint(&claims(), &keys());
    let both = Keys::new(key("a"), Some(key("b")));
    let new = mint(&claims(), &Keys::new(key("b"), None));
    assert_eq!(verify(&new, &both, NOW).unwrap().key, key("b").id());
    let (promoted, _) = both.reload(key("b"), None, NOW);
    assert_eq!(verify(&old, &promoted, NOW + 304).unwrap().key, key("a").id());
    assert_eq!(verify(&old, &promoted, NOW + 305).unwrap_err(), BearerError::Signature);
    assert!(verify(&new, &promoted, NOW + 305).is_ok());
    let (emergency, _) = both.reload(key("c"), None, NOW);
    for token in [&old, &new] {
        assert_eq!(verify(token, &emergency, NOW).unwrap_err(), BearerError::Signature);
    }
}

#[test]
fn no_token_shows_in_debug_output_or_errors() {
    let token = Token::from_authorization("Bearer top.secret.token").unwrap();
    assert_eq!(token.expose(), "top.secret.token");
    let error = verify(token.expose(), &keys(), NOW).unwrap_err();
    let text = format!("{token:?} {error:?} {error}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn only_the_bearer_scheme_with_one_word_gives_a_token() {
    for (value, token) in [
        ("Bearer a.b.c", Some("a.b.c")),
        ("  bEaReR   a.b.c  ", Some("a.b.c")),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer a b", None),
        ("Digest a.b.c", None),
        ("Bearera.b.c", None),
        ("", None),
    ] {
        assert_eq!(from_authorization(value), token, "{value}");
    }
}
