//! The two kinds of leg of a call, with our identifiers on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sautikit_media::Engine;
use sautikit_sip::leg::{Leg, LegConfig, OutgoingInvite, Transport};
use sautikit_sip::message::Name;

use super::plan::{Candidate, Plan};
use crate::node::Node;

/// How long a session lives without a refresh (RFC 4028); we refresh at half of it.
const SESSION_EXPIRES_SECONDS: u32 = 1800;

/// In requests and responses alike.
pub(crate) const USER_AGENT: &str = concat!("Sautikit/", env!("CARGO_PKG_VERSION"));

/// What all legs of the node have in common.
pub(crate) struct LegMaker {
    pub(crate) domain: Arc<str>,
    /// Host and port that carriers reach us at.
    pub(crate) public: SocketAddr,
    /// The gateway hands SDP through, so an end's new offer is the other end's to answer.
    pub(crate) ends_own_media: bool,
}

impl LegMaker {
    pub(crate) fn new(node: &Node) -> Self {
        Self {
            domain: Arc::clone(&node.domain),
            public: node.sip_public,
            ends_own_media: matches!(node.media, Engine::Bypass),
        }
    }

    /// The caller's leg, on its session's WebSocket.
    pub(crate) fn caller(&self, plan: &Plan, now: Instant) -> Leg {
        let config = LegConfig {
            local_tag: plan.caller_tag.clone(),
            call_id: String::new(),
            branch_prefix: plan.caller_tag.clone(),
            contact: format!("sip:gateway@{};transport=ws", self.domain),
            via_sent_by: self.domain.to_string(),
            transport: Transport::Ws,
            user_agent: USER_AGENT.to_owned(),
            session_expires: Some(SESSION_EXPIRES_SECONDS),
            credentials: None,
        };
        Leg::incoming(config, plan.invite.clone(), None, now)
    }
}

/// The carrier's leg: nothing of the browser's message crosses but what the plan was made of. The
/// caller number is the workspace's own (RFC 3325: we assert it).
pub(crate) fn invite_to_carrier(
    maker: &LegMaker,
    plan: &Plan,
    chosen: &Candidate,
    sdp: Option<Bytes>,
    now: Instant,
) -> Leg {
    let (from, to) = (plan.from.as_str(), plan.to.as_str());
    let public = maker.public;
    let trunk = chosen.trunk.address;
    let config = LegConfig {
        local_tag: chosen.tag.clone(),
        call_id: chosen.call_id.clone(),
        branch_prefix: chosen.tag.clone(),
        contact: format!("sip:gateway@{public}"),
        via_sent_by: public.to_string(),
        transport: Transport::Udp,
        user_agent: USER_AGENT.to_owned(),
        session_expires: Some(SESSION_EXPIRES_SECONDS),
        credentials: None,
    };
    let invite = OutgoingInvite {
        request_uri: format!("sip:{to}@{trunk};user=phone"),
        from_display: None,
        from_uri: format!("sip:{from}@{public};user=phone"),
        to_uri: format!("sip:{to}@{trunk};user=phone"),
        headers: vec![(
            Name::parse("P-Asserted-Identity"),
            format!("<sip:{from}@{public};user=phone>"),
        )],
        route: Vec::new(),
        sdp,
    };
    Leg::outgoing(config, invite, now)
}
