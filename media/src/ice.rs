//! The relay's end of ICE: lite (RFC 8445 section 2.5), one candidate, answers checks and sends none.

use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::rand;
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};
use str0m::crypto::from_feature_flags;

use crate::MediaError;

/// Characters of a user fragment and of a password: 48 and 144 bits, where RFC 8445 section 5.3 asks for
/// 24 and 128.
const UFRAG_LEN: usize = 8;
const PASSWORD_LEN: usize = 24;
/// Addresses that a browser may check from under the same credentials: each costs every later check a look.
const SOURCES_MAX: usize = 32;
/// The ice-chars (RFC 8839 section 5.4), 64 of them.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) struct IceLite {
    agent: IceAgent,
    local: SocketAddr,
    /// Where the browser wants to be sent to.
    to: Option<SocketAddr>,
    /// Where accepted checks came from.
    sources: Vec<SocketAddr>,
}

/// What became of a STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Who sent it knows the password.
    Accepted,
    Refused,
    Malformed,
}

impl IceLite {
    /// An end at `local` (as browsers see it) for a browser with these credentials.
    pub(crate) fn new(
        now: Instant,
        local: SocketAddr,
        (ufrag, password): (&str, &str),
    ) -> Result<Self, MediaError> {
        let hmac = from_feature_flags().sha1_hmac_provider;
        let mut agent = IceAgent::with_hmac(credentials()?, hmac);
        agent.set_ice_lite(true);
        agent.set_controlling(false);
        let candidate = Candidate::host(local, "udp")
            .map_err(|_| MediaError::NotAcceptable("our own address is no ICE candidate"))?;
        agent.add_local_candidate(candidate);
        agent.set_remote_credentials(theirs(ufrag, password));
        agent.handle_timeout(now);
        Ok(Self { agent, local, to: None, sources: Vec::new() })
    }

    /// Takes the browser's credentials again: others than before restart ICE (RFC 8839 section 4.4.1.1.1),
    /// while the media go on where they went.
    pub(crate) fn renew(
        &mut self,
        now: Instant,
        (ufrag, password): (&str, &str),
    ) -> Result<(), MediaError> {
        let theirs = theirs(ufrag, password);
        if self.agent.remote_credentials() != Some(&theirs) {
            self.agent.ice_restart(credentials()?, true);
            self.agent.set_remote_credentials(theirs);
            self.agent.handle_timeout(now);
            self.sources.clear();
        }
        Ok(())
    }

    /// User fragment and password of our side.
    pub(crate) fn local(&self) -> (&str, &str) {
        let IceCreds { ufrag, pass } = self.agent.local_credentials();
        (ufrag, pass)
    }

    /// Where to send to, once the browser has nominated it.
    pub(crate) const fn to(&self) -> Option<SocketAddr> {
        self.to
    }

    /// The browser's media came from here: it has moved, and its media tell so before its checks do, which
    /// the library follows to the path of highest priority alone.
    pub(crate) fn follow(&mut self, source: SocketAddr) {
        self.to = Some(source);
    }

    /// A STUN message of somebody.
    pub(crate) fn receive(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) -> Check {
        let Ok(message) = StunMessage::parse(datagram) else { return Check::Malformed };
        let is_known = self.sources.contains(&source);
        if !is_known && self.sources.len() == SOURCES_MAX {
            return Check::Refused;
        }
        let (proto, destination) = (Protocol::Udp, self.local);
        if !self.agent.handle_packet(now, StunPacket { proto, source, destination, message }) {
            return Check::Refused;
        }
        if !is_known {
            self.sources.push(source);
        }
        // Nomination counts from the next look on; a lite agent has nothing else to wait for.
        self.agent.handle_timeout(now);
        Check::Accepted
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
    }

    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        self.agent.poll_timeout()
    }

    /// What is to be sent.
    pub(crate) fn poll(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        while let Some(event) = self.agent.poll_event() {
            if let IceAgentEvent::NominatedSend { destination, .. } = event {
                self.to = Some(destination);
            }
        }
        self.agent.poll_transmit().map(|transmit| (transmit.destination, transmit.contents.into()))
    }
}

fn theirs(ufrag: &str, password: &str) -> IceCreds {
    IceCreds { ufrag: ufrag.to_owned(), pass: password.to_owned() }
}

/// The library's own come from a generator that is not made for secrets: who sees a few could tell the
/// next call's password.
fn credentials() -> Result<IceCreds, MediaError> {
    Ok(IceCreds { ufrag: secret::<UFRAG_LEN>()?, pass: secret::<PASSWORD_LEN>()? })
}

fn secret<const LEN: usize>() -> Result<String, MediaError> {
    let mut bytes = [0; LEN];
    rand::fill(&mut bytes).map_err(|_| MediaError::Stopped)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect())
}

#[cfg(test)]
mod tests {
    use is::stun::TransId;

    use super::*;

    #[test]
    fn credentials_are_long_enough_and_never_the_same() {
        let all: std::collections::HashSet<_> =
            (0..1_000).map(|_| credentials().unwrap()).collect();
        assert_eq!(all.len(), 1_000);
        for IceCreds { ufrag, pass } in all {
            assert_eq!((ufrag.len(), pass.len()), (8, 24));
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            assert!(ufrag.bytes().chain(pass.bytes()).all(fits), "{ufrag} {pass}");
        }
    }

    #[test]
    fn a_browser_checks_from_so_many_addresses_and_no_more() {
        let now = Instant::now();
        let local = "198.51.100.1:19000".parse().unwrap();
        let mut ice = IceLite::new(now, local, ("them", "their-password-of-24-chars")).unwrap();
        let check = |ice: &mut IceLite, port: u16, password: &str| {
            let (ufrag, own) = ice.local();
            let (name, key) =
                (format!("{ufrag}:them"), if password.is_empty() { own } else { password });
            let message = StunMessage::binding_request(&name, TransId::new(), true, 1, 1, true);
            let hmac = from_feature_flags().sha1_hmac_provider;
            let sign = |key: &[u8], parts: &[&[u8]]| hmac.sha1_hmac(key, parts);
            let mut bytes = [0; 400];
            let length = message.to_bytes(Some(key.as_bytes()), &mut bytes, sign).unwrap();
            ice.receive(now, SocketAddr::from(([192, 0, 2, 1], port)), &bytes[..length])
        };
        assert_eq!(check(&mut ice, 999, "wrong"), Check::Refused);
        for port in 1_000..1_032 {
            assert_eq!(check(&mut ice, port, ""), Check::Accepted, "{port}");
        }
        assert_eq!(check(&mut ice, 1_032, ""), Check::Refused);
        assert_eq!(check(&mut ice, 1_031, ""), Check::Accepted);
        ice.renew(now, ("them", "another-password-24-chars")).unwrap();
        assert_eq!(check(&mut ice, 1_032, ""), Check::Accepted);
        assert_eq!(ice.receive(now, local, &[0, 1]), Check::Malformed);
    }
}
