//! Digest authentication towards a trunk (RFC 3261 §22, RFC 8760 for SHA-256).
//!
//! The hashes are rsip's. Its generator is given the whole `nonce:nc:cnonce:qop` as the nonce
//! and the URI as an opaque text: it would write the nonce count in decimal, and re-spell the
//! URI, where the server compares with what we sent.

use rsip::common::uri::{Domain, Host, HostWithPort, Uri};
use rsip::headers::auth::Algorithm;
use rsip::services::DigestGenerator;

use crate::list::{Malformed, Values, quote, trim, unquote};
use crate::message::{Message, Method, Name};

/// A WWW-Authenticate or Proxy-Authenticate of scheme Digest that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub realm: String,
    pub nonce: String,
    pub opaque: Option<String>,
    pub hash: Hash,
    /// As the server wrote it; `None` where it names none, which means MD5.
    algorithm: Option<String>,
    /// The server knows `qop=auth`.
    qop_auth: bool,
    /// The password was right and the nonce too old: try again without asking anybody.
    pub stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    Md5,
    Sha256,
}

/// Why a challenge cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    #[error("no digest challenge")]
    NotDigest,
    #[error("malformed challenge: {0}")]
    Malformed(&'static str),
    #[error("unknown digest algorithm")]
    Algorithm,
    #[error("the server demands a quality of protection other than auth")]
    Qop,
}

impl From<Malformed> for ChallengeError {
    fn from(Malformed(rule): Malformed) -> Self {
        Self::Malformed(rule)
    }
}

impl Challenge {
    /// The value of one header line.
    pub fn parse(value: &str) -> Result<Self, ChallengeError> {
        const TORN: ChallengeError = ChallengeError::Malformed("parameter without a value");
        let (scheme, params) = trim(value).split_once(' ').ok_or(ChallengeError::NotDigest)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(ChallengeError::NotDigest);
        }
        let (mut realm, mut nonce, mut opaque, mut algorithm) = (None, None, None, None);
        let (mut qop, mut stale) = (None, false);
        for param in Values::new(params).filter(|param| !param.is_empty()) {
            let (name, value) = param.split_once('=').ok_or(TORN)?;
            let value = unquote(trim(value)).into_owned();
            match trim(name).to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "nonce" => nonce = Some(value),
                "opaque" => opaque = Some(value),
                "algorithm" => algorithm = Some(value),
                "qop" => qop = Some(value),
                "stale" => stale = value.eq_ignore_ascii_case("true"),
                _ => {}
            }
        }
        let hash = match algorithm.as_deref() {
            None => Hash::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Hash::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Hash::Sha256,
            Some(_) => return Err(ChallengeError::Algorithm),
        };
        let has_auth =
            |qop: &str| Values::new(qop).any(|option| option.eq_ignore_ascii_case("auth"));
        let qop_auth = match qop.as_deref() {
            None => false,
            Some(qop) if has_auth(qop) => true,
            Some(_) => return Err(ChallengeError::Qop),
        };
        Ok(Self {
            realm: realm.ok_or(ChallengeError::Malformed("no realm"))?,
            nonce: nonce.ok_or(ChallengeError::Malformed("no nonce"))?,
            opaque,
            hash,
            algorithm,
            qop_auth,
            stale,
        })
    }

    /// The challenge of a 401 or 407 for `realm` (any, where it is `None`) with the strongest
    /// hash (RFC 8760 §2.4), and the header that its answer goes into.
    pub fn of(response: &Message, realm: Option<&str>) -> Result<(Self, Name), ChallengeError> {
        let (asks, answers) = match response.status() {
            Some(401) => (Name::WwwAuthenticate, Name::Authorization),
            Some(407) => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return Err(ChallengeError::NotDigest),
        };
        let mut best: Result<Self, ChallengeError> = Err(ChallengeError::NotDigest);
        for line in response.headers_of(&asks) {
            match Self::parse(line) {
                Ok(challenge) if realm.is_some_and(|realm| realm != challenge.realm) => {}
                Ok(challenge) => {
                    if best.as_ref().map_or(true, |best| challenge.hash > best.hash) {
                        best = Ok(challenge);
                    }
                }
                Err(why) if matches!(best, Err(ChallengeError::NotDigest)) => best = Err(why),
                Err(_) => {}
            }
        }
        best.map(|challenge| (challenge, answers))
    }

    /// The value of the Authorization (or Proxy-Authorization) header.
    pub fn answer(&self, credentials: &Credentials<'_>, request: &Request<'_>) -> String {
        let Request { method, uri, cnonce, nonce_count } = request;
        let count = format!("{nonce_count:08x}");
        let nonce = if self.qop_auth {
            format!("{}:{count}:{cnonce}:auth", self.nonce)
        } else {
            self.nonce.clone()
        };
        let response = self.hash_of(credentials, method, uri, &nonce);
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quote(credentials.username),
            quote(&self.realm),
            quote(&self.nonce),
            quote(uri),
        );
        if let Some(algorithm) = &self.algorithm {
            value.push_str(", algorithm=");
            value.push_str(algorithm);
        }
        if self.qop_auth {
            value.push_str(&format!(", qop=auth, cnonce={}, nc={count}", quote(cnonce)));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(", opaque=");
            value.push_str(&quote(opaque));
        }
        value
    }

    fn hash_of(
        &self,
        credentials: &Credentials<'_>,
        method: &SentMethod,
        uri: &str,
        nonce: &str,
    ) -> String {
        let host = Host::Domain(Domain::from(uri));
        let uri = Uri { host_with_port: HostWithPort { host, port: None }, ..Uri::default() };
        DigestGenerator {
            username: credentials.username,
            password: credentials.password,
            nonce,
            uri: &uri,
            realm: &self.realm,
            method: &method.0,
            qop: None,
            algorithm: match self.hash {
                Hash::Md5 => Algorithm::Md5,
                Hash::Sha256 => Algorithm::Sha256,
            },
        }
        .compute()
    }
}

/// Who we are to the trunk. No `Debug`: the password reaches no log.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub username: &'a str,
    pub password: &'a str,
}

/// What the answer is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: SentMethod,
    /// The Request-URI exactly as it is sent.
    pub uri: &'a str,
    /// Fresh random text for each use; hexadecimal digits.
    pub cnonce: &'a str,
    /// 1 for the first use of a nonce, and one more each time.
    pub nonce_count: u32,
}

/// A method that we send to trunks: rsip knows those of the RFCs only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentMethod(rsip::Method);

impl SentMethod {
    /// `None` for a method outside of the RFCs, which we never send.
    pub fn new(method: &Method) -> Option<Self> {
        match method {
            Method::Other(_) => None,
            known => known.as_str().parse().ok().map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: Credentials<'static> =
        Credentials { username: "Mufasa", password: "Circle of Life" };

    fn answer(challenge: &str, uri: &str, cnonce: &str, nonce_count: u32) -> String {
        let method = SentMethod::new(&Method::Invite).unwrap();
        Challenge::parse(challenge)
            .unwrap()
            .answer(&CREDENTIALS, &Request { method, uri, cnonce, nonce_count })
    }

    fn response_of(answer: &str) -> &str {
        answer.split("response=\"").nth(1).unwrap().split('"').next().unwrap()
    }

    #[test]
    fn answers_are_those_that_another_tool_computes() {
        // Expected values: Python's hashlib over the formula of RFC 7616 §3.4.1.
        let md5 = answer("Digest realm=\"carrier\", nonce=\"abc\"", "sip:+254722000001@c", "x", 1);
        assert_eq!(response_of(&md5), MD5_PLAIN);
        assert!(!md5.contains("qop") && !md5.contains("algorithm"));
        let qop = "Digest realm=\"carrier\", nonce=\"abc\", qop=\"auth-int,auth\", algorithm=MD5";
        let md5 = answer(qop, "sip:+254722000001@[2001:db8::1]:5070;transport=udp", "0a4f113b", 26);
        assert_eq!(response_of(&md5), MD5_QOP);
        assert!(md5.contains("nc=0000001a") && md5.contains("qop=auth,"));
        let sha =
            "Digest realm=\"carrier\",nonce=\"abc\",qop=\"auth\",algorithm=SHA-256,opaque=\"o\"";
        let sha = answer(sha, "sip:c", "0a4f113b", 1);
        assert_eq!(response_of(&sha), SHA256_QOP);
        assert!(sha.contains("algorithm=SHA-256") && sha.ends_with("opaque=\"o\""));
    }

    const MD5_PLAIN: &str = "70ca2803bf4566ed637a83a07fb9949a";
    const MD5_QOP: &str = "7ca6a09a5f9c4634447bd31110b9c458";
    const SHA256_QOP: &str = "3b32b44d48626cc59cf8f05c910289b7694baa0e8b9e2f15b49a0171ee8d860e";

    #[test]
    fn the_strongest_challenge_of_our_realm_is_chosen() {
        let response =
            Message::response_to(&Message::request(Method::Invite, "sip:a").build(), 407, "")
                .header(
                    Name::ProxyAuthenticate,
                    "Digest realm=\"other\", nonce=\"n0\", algorithm=SHA-256",
                )
                .header(Name::ProxyAuthenticate, "Digest realm=\"carrier\", nonce=\"n1\"")
                .header(
                    Name::ProxyAuthenticate,
                    "Digest realm=\"carrier\", nonce=\"n2\", algorithm=SHA-256",
                )
                .header(
                    Name::ProxyAuthenticate,
                    "Digest realm=\"carrier\", nonce=\"n3\", algorithm=SHA-512-256",
                )
                .build();
        let (challenge, header) = Challenge::of(&response, Some("carrier")).unwrap();
        assert_eq!((challenge.nonce.as_str(), header), ("n2", Name::ProxyAuthorization));
        assert_eq!(Challenge::of(&response, Some("stranger")), Err(ChallengeError::Algorithm));
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        for (value, why) in [
            ("Bearer realm=\"x\"", ChallengeError::NotDigest),
            ("Digest", ChallengeError::NotDigest),
            ("Digest nonce=\"n\"", ChallengeError::Malformed("no realm")),
            ("Digest realm=\"r\"", ChallengeError::Malformed("no nonce")),
            ("Digest realm", ChallengeError::Malformed("parameter without a value")),
            ("Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess", ChallengeError::Algorithm),
            ("Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"", ChallengeError::Qop),
        ] {
            assert_eq!(Challenge::parse(value), Err(why), "{value}");
        }
        let stale =
            Challenge::parse("digest  Realm = \"r, \\\"x\\\"\" , nonce=n,stale=TRUE").unwrap();
        assert_eq!(
            (stale.realm.as_str(), stale.nonce.as_str(), stale.stale),
            ("r, \"x\"", "n", true)
        );
    }
}
