//! The handshake's decision: who this is, or why not. The order is fixed, so the same request gets
//! the same answer: address, draining, origin, subprotocol, token, workspace, room.

use std::net::IpAddr;

use sautikit_core::cause::HandshakeRefusal;
use sautikit_core::token::{TokenVerdict, judge};
use sautikit_net::bearer::Verified;
use sautikit_net::head::Head;
use sautikit_store::WorkspaceStatus;

use crate::node::{Node, wall_now};

/// What the head asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A WebSocket.
    Upgrade,
    /// Why a WebSocket was refused, or whether it would be.
    Reason,
    /// A browser's question before that one.
    Preflight,
    /// Nothing that is here.
    Elsewhere,
    /// A method that is not served.
    OtherMethod,
}

pub(super) fn asked(head: &Head) -> Asked {
    use sautikit_net::head::Method;
    if !matches!(head.path(), "/" | "/sip") {
        return Asked::Elsewhere;
    }
    match head.method() {
        Method::Options => Asked::Preflight,
        Method::Other => Asked::OtherMethod,
        Method::Get if head.is_upgrade() => Asked::Upgrade,
        Method::Get => Asked::Reason,
    }
}

/// Judges the head. A plain GET is judged as its handshake would have been, which would have
/// offered `sip`.
pub(super) fn decide(
    node: &Node,
    head: &Head,
    address: IpAddr,
    upgrade: bool,
) -> Result<Verified, HandshakeRefusal> {
    if !node.edge.may_try(address) {
        return Err(HandshakeRefusal::RateLimited);
    }
    let rules = node.rules();
    if node.is_draining() {
        return Err(HandshakeRefusal::Draining);
    }
    if !rules.origins.allows(head.origin()) {
        return Err(HandshakeRefusal::OriginNotAllowed);
    }
    if upgrade && !head.offers_sip() {
        return Err(HandshakeRefusal::Subprotocol);
    }
    let verified = verified(node, head)?;
    let claims = &verified.claims;
    let directory = node.directory();
    match directory.workspaces.get(&claims.workspace).map(|workspace| workspace.status) {
        None => return Err(HandshakeRefusal::AccountUnknown),
        Some(WorkspaceStatus::Suspended) => return Err(HandshakeRefusal::AccountSuspended),
        Some(WorkspaceStatus::Active) => {}
    }
    let sessions = u32::try_from(node.router.sessions()).unwrap_or(u32::MAX);
    if !rules.limits.sessions_max.allows_one_more(sessions) {
        return Err(HandshakeRefusal::Overloaded);
    }
    let own = node.router.sessions_of(claims.workspace);
    if !rules.limits.sessions_per_workspace.allows_one_more(own) {
        return Err(HandshakeRefusal::SessionsLimitReached);
    }
    Ok(verified)
}

fn verified(node: &Node, head: &Head) -> Result<Verified, HandshakeRefusal> {
    let token = head.token().ok_or(HandshakeRefusal::TokenInvalid)?;
    let now = wall_now().unix_seconds();
    let verified = node.verify(&token).map_err(|_| HandshakeRefusal::TokenInvalid)?;
    judge(&verified.claims, now).map_err(TokenVerdict::refusal)?;
    Ok(verified)
}
