//! One Via value (RFC 3261 §20.42, RFC 3581 for rport).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::{IpAddr, SocketAddr};

use crate::list::{Malformed, Params, cut, is_token, number, trim};
use crate::uri::HostPort;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// As written: `UDP`, `WS`, …; any token is read.
    pub transport: &'a str,
    /// An IPv6 address stands without its brackets.
    pub host: &'a str,
    pub port: Option<u16>,
    pub params: Params<'a>,
    ipv6: bool,
}

/// What every branch of RFC 3261 begins with; without it, RFC 2543's matching rules apply.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

impl<'a> Via<'a> {
    /// Spaces may stand around the slashes and before the parameters.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        const BAD: Malformed = Malformed("Malformed Via");
        let (protocol, rest) = cut(text, b'/').ok_or(BAD)?;
        let (version, rest) = cut(rest, b'/').ok_or(BAD)?;
        if !trim(protocol).eq_ignore_ascii_case("SIP") || trim(version) != "2.0" {
            return Err(BAD);
        }
        let (transport, rest) = trim(rest).split_once([' ', '\t']).ok_or(BAD)?;
        let (sent_by, params) = match cut(rest, b';') {
            Some((_, params)) if trim(params).is_empty() => return Err(BAD),
            Some(parts) => parts,
            None => (rest, ""),
        };
        if !is_token(transport) {
            return Err(BAD);
        }
        let (host, port) = split_sent_by(trim(sent_by))?;
        let HostPort { host, ipv6, .. } = HostPort::parse(host).map_err(|_| BAD)?;
        Ok(Self { transport, host, port, params: Params::parse(params)?, ipv6 })
    }

    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch")
    }

    /// The address that a server saw, with brackets or not (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        self.params.get("received")?.trim_matches(['[', ']']).parse().ok()
    }

    /// The port that a server saw.
    pub fn rport(&self) -> Option<u16> {
        number(self.params.get("rport")?)
    }

    /// The sender asks to be answered at the port that it sent from.
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// `host:port` as it is compared in transaction matching, IPv6 in brackets.
    pub fn sent_by(&self) -> String {
        let host = if self.ipv6 { format!("[{}]", self.host) } else { self.host.to_owned() };
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// Over UDP, TCP, … `true` where a lost message must be repeated by us.
    pub fn is_unreliable(&self) -> bool {
        self.transport.eq_ignore_ascii_case("UDP")
    }

    /// This Via as a server hands it back (RFC 3261 §18.2.1, RFC 3581 §4): with `received`
    /// where the source differs from the sent-by or rport is asked for, and with the port.
    pub fn with_source(&self, source: SocketAddr) -> String {
        let address = source.ip().to_canonical();
        let mut text = format!("SIP/2.0/{} {}", self.transport, self.sent_by());
        for (name, value) in self.params {
            if name.eq_ignore_ascii_case("received") || name.eq_ignore_ascii_case("rport") {
                continue;
            }
            text.push(';');
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        if self.wants_rport() || self.host.parse() != Ok(address) {
            text.push_str(";received=");
            text.push_str(&address.to_string());
        }
        if self.wants_rport() {
            text.push_str(";rport=");
            text.push_str(&source.port().to_string());
        }
        text
    }
}

/// The port may stand apart from the host: `host : 5060`.
fn split_sent_by(text: &str) -> Result<(&str, Option<u16>), Malformed> {
    const BAD: Malformed = Malformed("Malformed port in Via");
    let after_address = text.find(']').unwrap_or(0);
    let Some(colon) = text.get(after_address..).and_then(|rest| rest.find(':')) else {
        return Ok((text, None));
    };
    let (host, port) = text.split_at_checked(after_address.saturating_add(colon)).ok_or(BAD)?;
    match number::<u16>(trim(port.strip_prefix(':').unwrap_or_default())) {
        Some(port) if port != 0 => Ok((trim(host), Some(port))),
        _ => Err(BAD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_may_stand_where_the_grammar_lets_them() {
        let via = Via::parse(
            "SIP  / 2.0  / TCP     spindle.example.com : 5070  ;branch  =   z9hG4bK9ikj8",
        )
        .unwrap();
        assert_eq!((via.transport, via.host, via.port), ("TCP", "spindle.example.com", Some(5070)));
        assert_eq!(via.branch(), Some("z9hG4bK9ikj8"));
    }

    #[test]
    fn ipv6_and_received_are_read_with_and_without_brackets() {
        for received in ["2001:db8::9:255", "[2001:db8::9:255]"] {
            let text = format!(
                "SIP/2.0/UDP [2001:db8::9:1]:5060;received={received};branch=z9hG4bKas3-111"
            );
            let via = Via::parse(&text).unwrap();
            assert_eq!((via.host, via.port), ("2001:db8::9:1", Some(5060)));
            assert_eq!(via.received(), Some("2001:db8::9:255".parse().unwrap()));
            assert_eq!(via.sent_by(), "[2001:db8::9:1]:5060");
        }
    }

    #[test]
    fn what_is_torn_is_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 UDP host",
            "SIP/7.0/UDP host",
            "HTTP/2.0/UDP host",
            "SIP/2.0/UDP host;;,;,,",
            "SIP/2.0/UDP host;",
            "SIP/2.0/UDP host:0",
            "SIP/2.0/UDP host:99999",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP 2001:db8::1",
        ] {
            assert!(Via::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_source_is_written_where_it_differs_or_is_asked_for() {
        let source: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        let same = Via::parse("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1").unwrap();
        assert_eq!(same.with_source(source), "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1");
        let asks = Via::parse("SIP/2.0/UDP 192.0.2.7;rport;branch=z9hG4bK1").unwrap();
        assert_eq!(
            asks.with_source(source),
            "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1;received=192.0.2.7;rport=4000"
        );
        let name =
            Via::parse("SIP/2.0/UDP a.example:5070;received=10.0.0.1;branch=z9hG4bK1").unwrap();
        assert_eq!(
            name.with_source(source),
            "SIP/2.0/UDP a.example:5070;branch=z9hG4bK1;received=192.0.2.7"
        );
    }
}
