//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966, RFC 5118 for IPv6).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use crate::list::{Malformed, Params, cut, number};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    Sip,
    Sips,
    Tel,
    /// A request to such a URI is answered 416; in From or To it may stand.
    Other(&'a str),
}

/// A URI, borrowed from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    text: &'a str,
    pub scheme: Scheme<'a>,
    /// Still escaped (`%40`), without the password. Of a tel URI the number with its visual
    /// separators.
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    /// An IPv6 address stands without its brackets. Empty for tel and other schemes.
    pub host: &'a str,
    pub port: Option<u16>,
    pub params: Params<'a>,
    /// What follows the question mark.
    pub headers: Option<&'a str>,
    ipv6: bool,
}

impl<'a> Uri<'a> {
    /// `text` is the whole URI, without angle brackets or spaces around it.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        // No early exit, so that it runs on many bytes at once.
        let is_bad = |b: u8| b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f);
        if text.bytes().fold(false, |found, b| found | is_bad(b)) {
            return Err(Malformed("Space, quote or angle bracket in a URI"));
        }
        let (scheme, rest) = cut(text, b':').ok_or(Malformed("URI without a scheme"))?;
        let is_scheme = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !is_scheme {
            return Err(Malformed("Malformed URI scheme"));
        }
        let mut uri = Self {
            text,
            scheme: Scheme::Other(scheme),
            user: None,
            password: None,
            host: "",
            port: None,
            params: Params::default(),
            headers: None,
            ipv6: false,
        };
        if scheme.eq_ignore_ascii_case("sip") {
            uri.scheme = Scheme::Sip;
        } else if scheme.eq_ignore_ascii_case("sips") {
            uri.scheme = Scheme::Sips;
        } else if scheme.eq_ignore_ascii_case("tel") {
            uri.scheme = Scheme::Tel;
            return uri.with_tel(rest);
        } else {
            return Ok(uri);
        }
        check_escapes(rest)?;
        uri.with_sip(rest)
    }

    fn with_tel(mut self, rest: &'a str) -> Result<Self, Malformed> {
        check_escapes(rest)?;
        let (number, params) = cut(rest, b';').unwrap_or((rest, ""));
        if number.is_empty() {
            return Err(Malformed("Tel URI without a number"));
        }
        self.user = Some(number);
        self.params = Params::parse(params)?;
        Ok(self)
    }

    fn with_sip(mut self, rest: &'a str) -> Result<Self, Malformed> {
        // The user part may hold ";", "?" and "/" but no "@" (RFC 3261 §25.1), so the first
        // "@" ends it, and a second one would be read differently by the next parser.
        let address = match cut(rest, b'@') {
            Some((_, address)) if address.contains('@') => {
                return Err(Malformed("Two @ in a URI"));
            }
            Some((user, address)) => {
                let (user, password) = match cut(user, b':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (user, None),
                };
                if user.is_empty() {
                    return Err(Malformed("Empty user part"));
                }
                self.user = Some(user);
                self.password = password;
                address
            }
            None => rest,
        };
        let (address, headers) = match cut(address, b'?') {
            Some((address, headers)) => (address, Some(headers)),
            None => (address, None),
        };
        self.headers = headers;
        let (host_port, params) = match cut(address, b';') {
            Some((_, "")) => return Err(Malformed("Empty URI parameter")),
            Some((host_port, params)) => (host_port, params),
            None => (address, ""),
        };
        let host = HostPort::parse(host_port)?;
        self.params = Params::parse(params)?;
        (self.host, self.port, self.ipv6) = (host.host, host.port, host.ipv6);
        Ok(self)
    }

    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// sip or sips.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The host is an IPv6 address, and printing it needs brackets.
    pub fn is_ipv6(&self) -> bool {
        self.ipv6
    }

    /// The host as an address; `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The user part without escapes; `None` also where these make no UTF-8. What comes out
    /// may hold any character, a NUL too: it is for comparing, never for printing.
    pub fn user_unescaped(&self) -> Option<Cow<'a, str>> {
        unescape(self.user?)
    }

    /// The value of the URI parameter `name`.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }

    /// `lr`: the hop is a loose router (RFC 3261 §16.12).
    pub fn is_loose_router(&self) -> bool {
        self.params.has("lr")
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// `host`, `host:port` or `[v6]:port`, as in URIs and Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostPort<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    pub(crate) ipv6: bool,
}

impl<'a> HostPort<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
        let (host, rest, ipv6) = match text.strip_prefix('[') {
            Some(inner) => {
                let (host, rest) =
                    cut(inner, b']').ok_or(Malformed("IPv6 address without its bracket"))?;
                // Liberal as RFC 5118 §4.10 advises: an old grammar wrote one colon too many.
                let fits = host.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
                if !fits || !host.contains(':') || host.len() > 48 {
                    return Err(Malformed("Malformed IPv6 address"));
                }
                (host, rest, true)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (host, rest) = text.split_at_checked(end).unwrap_or((text, ""));
                // An underscore is no host name, and common in private networks.
                let fits = host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
                if host.is_empty() || !fits || host.len() > 255 {
                    return Err(Malformed("Malformed host"));
                }
                (host, rest, false)
            }
        };
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return Err(Malformed("Text after the host")),
            Some(digits) => match number::<u16>(digits) {
                Some(port) if port != 0 => Some(port),
                _ => return Err(Malformed("Malformed port")),
            },
        };
        Ok(Self { host, port, ipv6 })
    }
}

/// Every percent sign begins an escape.
fn check_escapes(text: &str) -> Result<(), Malformed> {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Ok(());
    }
    for escape in text.split('%').skip(1) {
        if escape.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).is_none()
            || escape.starts_with('+')
        {
            return Err(Malformed("Malformed escape in a URI"));
        }
    }
    Ok(())
}

fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(piece.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_uri_is_taken_apart() {
        let uri = Uri::parse("sips:al%69ce:pw@example.com:5061;transport=ws;lr;x?h=1").unwrap();
        assert_eq!(uri.scheme, Scheme::Sips);
        assert_eq!(uri.user, Some("al%69ce"));
        assert_eq!(uri.user_unescaped().unwrap(), "alice");
        assert_eq!(uri.password, Some("pw"));
        assert_eq!((uri.host, uri.port), ("example.com", Some(5061)));
        assert_eq!(uri.param("Transport"), Some("ws"));
        assert!(uri.is_loose_router());
        assert_eq!(uri.headers, Some("h=1"));
    }

    #[test]
    fn the_user_part_may_hold_what_looks_like_parameters() {
        let uri = Uri::parse("sip:user;par=u%40example.net@example.com").unwrap();
        assert_eq!(uri.user, Some("user;par=u%40example.net"));
        assert_eq!(uri.host, "example.com");
        assert!(uri.params.is_empty());
        let odd = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com";
        assert_eq!(Uri::parse(odd).unwrap().host, "example.com");
    }

    #[test]
    fn ipv6_hosts_stand_without_brackets_and_keep_their_port_apart() {
        let uri = Uri::parse("sip:[2001:db8::10]:5070").unwrap();
        assert_eq!((uri.host, uri.port), ("2001:db8::10", Some(5070)));
        assert!(uri.is_ipv6() && uri.ip().is_some());
        let one_address = Uri::parse("sip:[2001:db8::10:5070]").unwrap();
        assert_eq!((one_address.host, one_address.port), ("2001:db8::10:5070", None));
        assert_eq!(Uri::parse("sip:u@[::ffff:192.0.2.1]").unwrap().host, "::ffff:192.0.2.1");
    }

    #[test]
    fn tel_and_other_schemes_are_read() {
        let uri = Uri::parse("tel:+254-722-000001;phone-context=x").unwrap();
        assert_eq!((uri.scheme, uri.user), (Scheme::Tel, Some("+254-722-000001")));
        assert_eq!(Uri::parse("urn:service:sos").unwrap().scheme, Scheme::Other("urn"));
        assert_eq!(Uri::parse("soap.beep://192.0.2.103:3002").unwrap().host, "");
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for text in [
            "",
            "sip:",
            "alice@example.com",
            "sip:alice@",
            "sip:@example.com",
            "sip:alice@evil@example.com",
            "sip:2001:db8::10",
            "sip:[2001:db8::10",
            "sip:[nohex]",
            "sip:[::1]x",
            "sip:alice@example.com:",
            "sip:alice@example.com:0",
            "sip:alice@example.com:70000",
            "sip:alice@exa mple.com",
            "sip:alice@example.com;;lr",
            "sip:alice@example.com;",
            "sip:%zz@example.com",
            "sip:%4@example.com",
            "sip:%+4@example.com",
            "sip:a\"b@example.com",
            "<sip:alice@example.com>",
            "sip:alice@exämple.com",
            "1sip:alice@example.com",
        ] {
            assert!(Uri::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_escaped_nul_is_read_and_not_printed() {
        let uri = Uri::parse("sip:null-%00-null@example.com").unwrap();
        assert_eq!(uri.user_unescaped().unwrap(), "null-\0-null");
        assert_eq!(uri.to_string(), "sip:null-%00-null@example.com");
        assert_eq!(Uri::parse("sip:%ff@example.com").unwrap().user_unescaped(), None);
    }
}
