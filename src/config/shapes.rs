//! The shapes of the environment's values: each function reads one, or says that it does not fit.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use sautikit_net::origin::Origins;

pub(super) fn socket_addr(text: &str) -> Option<SocketAddr> {
    text.trim().parse().ok()
}

pub(super) fn ip(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok()
}

/// An address that others can send to.
pub(super) fn public_ip(text: &str) -> Option<IpAddr> {
    ip(text).filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
}

/// `203.0.113.7` or `203.0.113.7:5060`; IPv6 with a port in brackets.
pub(super) fn public_addr(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Some(ip) = public_ip(text) {
        return Some((ip, None));
    }
    let addr = socket_addr(text).filter(|addr| addr.port() != 0)?;
    public_ip(&addr.ip().to_string()).map(|ip| (ip, Some(addr.port())))
}

/// `ws://` or `wss://`, a host, and nothing that a browser would refuse: no fragment, no spaces.
pub(super) fn ws_url(text: &str) -> Option<String> {
    let text = text.trim();
    let rest = text.strip_prefix("wss://").or_else(|| text.strip_prefix("ws://"))?;
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let fine = is_authority(host)
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'"');
    fine.then(|| text.to_owned())
}

/// A list of one origin or more: what names none must not let all in.
pub(super) fn origins(text: &str) -> Option<Origins> {
    Origins::list(text.split(',')).ok().filter(|origins| *origins != Origins::any())
}

/// A host name or address, with or without a port.
fn is_authority(text: &str) -> bool {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return addr.port() != 0;
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return inner.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    host_name(host).is_some() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|p| p != 0))
}

pub(super) fn host_name(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (text.len() <= 253 && text.split('.').all(label)).then_some(text)
}

/// `20000-29999`, with room for at least one pair.
pub(super) fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first >= 1024 && first < last).then_some(first..=last)
}

pub(super) fn port_or_any(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port == 0 || *port >= 1024)
}

pub(super) fn whole(text: &str, range: RangeInclusive<u64>) -> Option<u64> {
    text.trim().parse().ok().filter(|number| range.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_origins_names_at_least_one() {
        let origins_of = |text| origins(text).map(|origins| origins.allows(Some("https://b")));
        assert_eq!(origins_of("https://a/ , https://B:443"), Some(true));
        assert_eq!(origins_of("https://a"), Some(false));
        for text in ["https://a/path", "app.example.com", "*", "null", " , "] {
            assert_eq!(origins_of(text), None, "{text}");
        }
    }

    #[test]
    fn public_addresses_come_with_or_without_a_port() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(public_addr("203.0.113.7"), Some((ip("203.0.113.7"), None)));
        assert_eq!(public_addr("203.0.113.7:5070"), Some((ip("203.0.113.7"), Some(5070))));
        assert_eq!(public_addr("[2001:db8::1]:5070"), Some((ip("2001:db8::1"), Some(5070))));
        for text in ["0.0.0.0", "0.0.0.0:5060", "203.0.113.7:0", "sip.example.com", ""] {
            assert_eq!(public_addr(text), None, "{text}");
        }
    }

    #[test]
    fn websocket_addresses_have_scheme_and_host() {
        for text in ["ws://127.0.0.1:5066", "wss://calls.example.com/sip", "ws://[::1]:5066"] {
            assert_eq!(ws_url(text).as_deref(), Some(text));
        }
        for text in ["http://a", "wss://", "wss:///sip", "ws://a b", "ws://a#b", "ws://a:99999"] {
            assert_eq!(ws_url(text), None, "{text}");
        }
    }

    #[test]
    fn ports_hold_a_pair() {
        assert_eq!(ports("20000-29999"), Some(20000..=29999));
        assert_eq!(ports("20000 - 20001"), Some(20000..=20001));
        for text in ["20000", "20000-20000", "29999-20000", "80-90", "20000-70000", "a-b", "-"] {
            assert_eq!(ports(text), None, "{text}");
        }
    }

    #[test]
    fn host_names_are_labels() {
        assert_eq!(host_name("SIP.example.com").as_deref(), Some("sip.example.com"));
        for text in ["", ".", "a..b", "-a", "a_b", "a b", "ä"] {
            assert_eq!(host_name(text), None, "{text}");
        }
    }
}
