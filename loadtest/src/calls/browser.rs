//! What a simulated browser says: JsSIP's kind of messages, small.

use bytes::Bytes;
use sautikit_net::bearer::Token;
use sautikit_net::random;
use sautikit_sip::leg::{Leg, LegConfig, OutgoingInvite, Transport};
use sautikit_sip::message::{Message, Method, Name};
use std::time::Instant;

const USER_AGENT: &str = concat!("sautikit-loadtest/", env!("CARGO_PKG_VERSION"));
const EXPIRES_SECONDS: u32 = 600;

/// One session's identity, and its REGISTERs.
#[derive(Clone, Debug)]
pub(super) struct Browser {
    /// The user part of its address of record.
    user: String,
    domain: String,
    /// `xxxx.invalid`, as a browser writes that does not know its own address.
    host: String,
    contact: String,
    instance: String,
    call_id: String,
    registers: u32,
}

impl Browser {
    pub(super) fn new(user: &str, domain: &str) -> Self {
        let host = format!("{}.invalid", random::hex::<6>());
        Self {
            contact: format!("sip:{user}@{host};transport=ws;ob"),
            user: user.to_owned(),
            domain: domain.to_owned(),
            host,
            instance: instance(random::bytes()),
            call_id: random::hex::<11>(),
            registers: 0,
        }
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The next REGISTER; with a token it renews the session (RFC 8898).
    pub(super) fn register(&mut self, token: Option<&Token>) -> Bytes {
        self.registers += 1;
        let Self { user, domain, host, contact, instance, call_id, registers } = self;
        let address = format!("<sip:{user}@{domain}>");
        let branch = random::hex::<7>();
        let mut request = Message::request(Method::Register, format!("sip:{domain}"))
            .header(Name::Via, format!("SIP/2.0/WS {host};branch=z9hG4bK{branch}"))
            .header(Name::MaxForwards, "69")
            .header(Name::To, &address)
            .header(Name::From, format!("{address};tag={}", random::hex::<5>()))
            .header(Name::CallId, &*call_id)
            .header(Name::CSeq, format!("{registers} REGISTER"))
            .header(
                Name::Contact,
                format!(
                    "<{contact}>;+sip.ice;reg-id=1;+sip.instance=\"<urn:uuid:{instance}>\";expires={EXPIRES_SECONDS}"
                ),
            )
            .header(Name::Expires, EXPIRES_SECONDS.to_string())
            .header(Name::Allow, sautikit_sip::leg::ALLOW)
            .header(Name::Supported, "path,gruu,outbound")
            .header(Name::UserAgent, USER_AGENT);
        if let Some(token) = token {
            request = request.header(Name::Authorization, format!("Bearer {}", token.expose()));
        }
        request.print()
    }

    /// A call from this session. `tag` is unique; `from` is the caller number, where it is not left
    /// to the gateway.
    pub(super) fn call(
        &self,
        tag: &str,
        from: Option<&str>,
        to: &str,
        offer: Bytes,
        now: Instant,
    ) -> Leg {
        let config = LegConfig {
            local_tag: tag.to_owned(),
            call_id: tag.to_owned(),
            branch_prefix: tag.to_owned(),
            contact: self.contact.clone(),
            via_sent_by: self.host.clone(),
            transport: Transport::Ws,
            user_agent: USER_AGENT.to_owned(),
            session_expires: None,
            credentials: None,
        };
        let target = format!("sip:{to}@{}", self.domain);
        let invite = OutgoingInvite {
            request_uri: target.clone(),
            from_display: None,
            from_uri: format!("sip:{}@{}", from.unwrap_or(&self.user), self.domain),
            to_uri: target,
            headers: Vec::new(),
            route: Vec::new(),
            sdp: Some(offer),
        };
        Leg::outgoing(config, invite, now)
    }
}

/// Sixteen random bytes as a UUID's text (version 4).
fn instance(bytes: [u8; 16]) -> String {
    let mut value = u128::from_be_bytes(bytes);
    value = value & !(0xf << 76) | 4 << 76;
    value = value & !(0x3 << 62) | 2 << 62;
    let hex = format!("{value:032x}");
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(from, to)| &hex[from..to]).join("-")
}

/// What a browser offers, as far as a gateway looks at it. Nothing listens at its candidate: the
/// gateway is meant to hand the offer through (`bypass`), and the carrier answers it likewise.
pub(super) const OFFER: &str = "v=0\r\n\
o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n\
s=-\r\n\
t=0 0\r\n\
a=group:BUNDLE 0\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111 8 0 110 126\r\n\
c=IN IP4 0.0.0.0\r\n\
a=rtcp:9 IN IP4 0.0.0.0\r\n\
a=candidate:1 1 udp 2113937151 127.0.0.1 9 typ host generation 0\r\n\
a=ice-ufrag:load\r\n\
a=ice-pwd:0123456789abcdef01234567\r\n\
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=setup:actpass\r\n\
a=mid:0\r\n\
a=sendrecv\r\n\
a=rtcp-mux\r\n\
a=rtpmap:111 opus/48000/2\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:110 telephone-event/48000\r\n\
a=rtpmap:126 telephone-event/8000\r\n";

#[cfg(test)]
mod tests {
    use sautikit_sip::reader::{Framing, Read, read};
    use sautikit_sip::sdp::Sdp;

    use super::*;

    #[test]
    fn the_offer_is_a_browsers() {
        let sdp = Sdp::parse(OFFER.as_bytes()).unwrap();
        assert!(sdp.audio().unwrap().is_webrtc());
    }

    #[test]
    fn a_register_is_what_the_gateways_reader_takes() {
        let mut browser = Browser::new("load1", "sip.example");
        browser.register(None);
        let token = Token::new("a.b.c");
        let Ok(Read::Message(message)) = read(&browser.register(Some(&token)), Framing::WebSocket)
        else {
            panic!("unreadable");
        };
        assert_eq!(message.cseq(), (2, Method::Register));
        assert_eq!(message.header(&Name::Authorization), Some("Bearer a.b.c"));
        let contact = message.contact().unwrap();
        assert!(contact.param("+sip.instance").is_some());
        assert_eq!(contact.param("expires"), Some("600"));
    }

    #[test]
    fn an_instance_is_a_version_4_uuid() {
        let text = instance([0xff; 16]);
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
