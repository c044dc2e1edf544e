//! The other end: sends what a peer would, what a careless one might, and what an attacker tries.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use sautikit_sip::leg::Transport;
use sautikit_sip::message::{Builder, Message, Method, Name};

use super::{OUR_TAG, SDP};
use crate::script::Script;

/// Messages of either side that it can still come back to.
const MEMORY: usize = 24;

const METHODS: [Method; 12] = [
    Method::Invite,
    Method::Bye,
    Method::Update,
    Method::Info,
    Method::Invite,
    Method::Options,
    Method::Refer,
    Method::Prack,
    Method::Cancel,
    Method::Ack,
    Method::Message,
    Method::Register,
];

const STATUSES: [u16; 20] = [
    100, 180, 183, 200, 200, 202, 302, 401, 407, 422, 480, 481, 486, 487, 488, 491, 500, 408, 405,
    603,
];

pub(super) struct Peer {
    transport: Transport,
    call_id: String,
    cseq: u32,
    branch: u32,
    rseq: u32,
    heard: VecDeque<Message>,
    said: VecDeque<Message>,
}

impl Peer {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            call_id: "call-1".to_owned(),
            cseq: 10,
            branch: 0,
            rseq: 0,
            heard: VecDeque::new(),
            said: VecDeque::new(),
        }
    }

    /// Where its datagrams come from.
    pub(super) fn source(&self) -> Option<SocketAddr> {
        (self.transport == Transport::Udp).then(|| SocketAddr::from(([192, 0, 2, 9], 5060)))
    }

    pub(super) fn hears(&mut self, message: Message) {
        remember(&mut self.heard, message);
    }

    pub(super) fn said(&mut self, message: &Message) {
        remember(&mut self.said, message.clone());
    }

    /// The INVITE of a call.
    pub(super) fn invite(&mut self, script: &mut Script<'_>) -> Message {
        let request = self.start(Method::Invite, 0).header(Name::To, "<sip:juma@gw.example>");
        let message = dress(self, request, script).build();
        self.said(&message);
        message
    }

    /// A request in the dialog, or one that only looks so.
    pub(super) fn request(&mut self, script: &mut Script<'_>) -> Message {
        let method = METHODS[script.below(METHODS.len())].clone();
        let fault = script.below(16);
        let to = match fault {
            1 => "<sip:juma@gw.example>".to_owned(),
            2 => "<sip:juma@gw.example>;tag=wrong".to_owned(),
            _ => format!("<sip:juma@gw.example>;tag={OUR_TAG}"),
        };
        let request = self.start(method, fault).header(Name::To, to);
        dress(self, request, script).build()
    }

    fn start(&mut self, method: Method, fault: usize) -> Builder {
        if fault != 3 {
            self.cseq += 1;
        }
        if fault != 4 {
            self.branch += 1;
        }
        let tag = match fault {
            5 => "",
            6 => ";tag=other",
            _ => ";tag=peer",
        };
        let call_id = if fault == 7 { "call-2" } else { &self.call_id };
        let cseq = match fault {
            8 => self.cseq - 5,
            _ => self.cseq,
        };
        let (transport, branch) = (self.transport.as_str(), self.branch);
        let branch = if fault == 9 { String::new() } else { format!(";branch=z9hG4bKp{branch}") };
        Message::request(method.clone(), "sip:gw@192.0.2.1:5060")
            .header(Name::Via, format!("SIP/2.0/{transport} peer.example{branch};rport"))
            .header(Name::From, format!("<sip:asha@peer.example>{tag}"))
            .header(Name::CallId, call_id)
            .header(Name::CSeq, format!("{cseq} {method}"))
    }

    /// A response to something that the leg asked.
    pub(super) fn response(&mut self, script: &mut Script<'_>) -> Option<Message> {
        let which = script.below(256);
        let fault = script.below(16);
        let status = STATUSES[script.below(STATUSES.len())];
        // Most often the latest request.
        let at = self.heard.len().checked_sub(1 + which % self.heard.len().clamp(1, 4))?;
        let mut request = self.heard.get(at)?.clone();
        for (name, value) in &mut request.headers {
            match (fault, name) {
                (1, Name::From) => *value = "<sip:gw@gw.example>;tag=wrong".into(),
                (2, Name::CallId) => *value = "call-2".into(),
                (3, Name::Via) => *value = format!("{value}, SIP/2.0/UDP behind.example").into(),
                (4, Name::CSeq) => *value = "1 INVITE".into(),
                _ => {}
            }
        }
        let tag = match fault {
            5 => None,
            6 => Some("fork-a"),
            7 => Some("fork-b"),
            8 => Some(OUR_TAG),
            _ => Some("peer"),
        };
        let mut response = Message::response_to(&request, status, "");
        if let (Some(tag), true) = (tag, status > 100) {
            response = response.to_tag(tag);
        }
        Some(dress(self, response, script).build())
    }

    /// Something that it said before, byte for byte.
    pub(super) fn again(&self, script: &mut Script<'_>) -> Option<Message> {
        let which = script.below(256) % self.said.len().max(1);
        self.said.get(self.said.len().checked_sub(1 + which)?).cloned()
    }

    /// The ACK or the CANCEL of an INVITE that it sent.
    pub(super) fn companion(&mut self, script: &mut Script<'_>) -> Option<Message> {
        let which = script.below(256);
        let method = if script.one_in(2) { Method::Cancel } else { Method::Ack };
        let invites: Vec<_> =
            self.said.iter().filter(|it| it.method() == Some(&Method::Invite)).collect();
        let invite = *invites.get(which % invites.len().max(1))?;
        let tag = script.pick(&["", ";tag=gw-tag", ";tag=gw-tag"]);
        let to = format!("<sip:juma@gw.example>{tag}");
        // The ACK of a 2xx is a transaction of its own.
        self.branch += 1;
        let via = match script.below(2) {
            1 => format!("SIP/2.0/UDP peer.example;branch=z9hG4bKp{}", self.branch),
            _ => invite.header(&Name::Via)?.to_owned(),
        };
        let companion = Message::request(method.clone(), invite.uri()?.to_owned())
            .header(Name::Via, via)
            .header(Name::From, invite.header(&Name::From)?)
            .header(Name::To, to)
            .header(Name::CallId, invite.call_id())
            .header(Name::CSeq, format!("{} {method}", invite.cseq_number()));
        Some(dress(self, companion, script).build())
    }
}

/// What else a message may carry.
fn dress(peer: &mut Peer, mut message: Builder, script: &mut Script<'_>) -> Builder {
    let choice = script.byte().unwrap_or(0);
    let more = if choice & 0x80 == 0 { 0 } else { script.byte().unwrap_or(0) };
    let contact = ["<sip:peer@192.0.2.9>", "<sip:peer@p.example;transport=tcp>", "<tel:+1>", ""];
    let contact = contact[usize::from(choice >> 2) % 4];
    if !contact.is_empty() {
        message = message.header(Name::Contact, contact);
    }
    if choice & 0x10 != 0 {
        message = message.header(Name::Allow, "INVITE, UPDATE").header(Name::Supported, "timer");
    }
    if choice & 0x20 != 0 {
        peer.rseq += 1;
        message = message
            .header(Name::Require, "100rel")
            .header(Name::RSeq, peer.rseq.to_string())
            .header(Name::Reason, "SIP;cause=600");
    }
    if choice & 0x40 != 0 {
        let expires = ["90;refresher=uac", "90;refresher=uas", "1800", "10", "4294967295", "x"];
        message = message.header(Name::SessionExpires, script.pick(&expires));
        message = message.header(Name::MinSe, script.pick(&["90", "300", "4294967295"]));
    }
    if more & 1 != 0 {
        let count = script.pick(&[1, 2, 21]);
        let route = script.pick(&["<sip:a.example;lr>", "<sip:strict.example>", "nonsense"]);
        for _ in 0..count {
            message = message.header(Name::RecordRoute, route);
        }
    }
    if more & 2 != 0 {
        let name = script.pick(&[0, 1]);
        let name = [Name::WwwAuthenticate, Name::ProxyAuthenticate][name].clone();
        let challenge = script.pick(&[
            "Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"",
            "Digest realm=\"r\", nonce=\"n\", stale=true",
            "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, opaque=\"\\\"\", stale=TRUE",
            "Basic realm=\"r\"",
        ]);
        message = message.header(name, challenge);
    }
    match choice & 3 {
        0 => message,
        which => message.sdp(Bytes::from_static(SDP[usize::from(which) - 1])),
    }
}

fn remember(memory: &mut VecDeque<Message>, message: Message) {
    if memory.len() == MEMORY {
        memory.pop_front();
    }
    memory.push_back(message);
}
