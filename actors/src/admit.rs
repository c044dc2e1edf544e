//! Whether a browser's INVITE may become a call: the checks of the contract in their order, each a
//! refusal of its own, before any money or port is touched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sautikit_core::cause::Refusal;
use sautikit_core::destination::Destination;
use sautikit_core::e164::E164;
use sautikit_core::ids::{CallId, WorkspaceId};
use sautikit_core::limits::RINGING_MAX;
use sautikit_core::token::Claims;
use sautikit_net::random;
use sautikit_sip::message::{Message, Name};
use sautikit_sip::name_addr::NameAddr;
use sautikit_sip::uri::Uri;
use sautikit_store::{Workspace, WorkspaceStatus};

use crate::call::{Candidate, Clock, Plan};
use crate::lag::this_loop_lags;
use crate::node::{Node, wall_now};
use crate::trunk::trunks_for;

/// Longer than any call may be: where the operator set no limit.
const UNLIMITED: Duration = Duration::from_secs(365 * 24 * 3600);

/// A call counts against its workspace and the node while this is held.
pub(crate) struct CallPermit {
    node: Arc<Node>,
    workspace: WorkspaceId,
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        self.node.admission().end(self.workspace);
    }
}

/// Judges the INVITE; gives it back with the reason where it is refused.
pub(crate) fn admit(
    node: &Arc<Node>,
    claims: &Claims,
    invite: Message,
    now: Instant,
) -> Result<(Plan, CallPermit), (Message, Refusal)> {
    match judge(node, claims, &invite, now) {
        Ok((settled, permit)) => Ok((settled.plan(claims, invite, now), permit)),
        Err(refusal) => Err((invite, refusal)),
    }
}

/// What the checks found.
struct Settled {
    from: E164,
    to: E164,
    rate: sautikit_core::rate::Rate,
    rate_prefix: Arc<str>,
    candidates: Vec<Candidate>,
    offer: bytes::Bytes,
    longest: Duration,
}

fn judge(
    node: &Arc<Node>,
    claims: &Claims,
    invite: &Message,
    now: Instant,
) -> Result<(Settled, CallPermit), Refusal> {
    if node.is_draining() {
        return Err(Refusal::Draining);
    }
    if this_loop_lags(now) {
        return Err(Refusal::Overloaded);
    }
    // Refused before it rings anywhere: an answer could not be committed.
    if node.writer.is_failing() {
        return Err(Refusal::WalletUnavailable);
    }
    let (directory, rules) = (node.directory(), node.rules());
    let workspace = directory.workspaces.get(&claims.workspace).ok_or(Refusal::AccountSuspended)?;
    if workspace.status == WorkspaceStatus::Suspended {
        return Err(Refusal::AccountSuspended);
    }
    let to = match dialled(invite)? {
        Destination::Number(number) => number,
        // Calls within the workspace ring sessions; none takes calls from here.
        Destination::Identity(identity) => {
            let user: Arc<str> = identity.as_str().into();
            return Err(match node.router.connected(claims.workspace, &user) {
                0 => Refusal::UnknownIdentity,
                _ => Refusal::NotReachable,
            });
        }
    };
    let from = caller_number(invite, claims, workspace)?;
    if !claims.allows_from(&from) || !claims.allows_destination(&to) {
        return Err(Refusal::TokenNotAllowed);
    }
    let (rate_prefix, rate) = rules.card.longest_with_prefix(&to).ok_or(Refusal::NoRate)?;
    let candidates = trunks_for(&rules.trunks, &to);
    if candidates.is_empty() {
        return Err(Refusal::NoRoute);
    }
    let offer = invite.sdp().ok_or(Refusal::MediaNotAcceptable)?;
    let settled = Settled {
        from,
        to,
        rate: *rate,
        rate_prefix: rate_prefix.into(),
        candidates: candidates.into_iter().map(candidate).collect(),
        offer,
        longest: rules.limits.call_seconds_max.seconds().unwrap_or(UNLIMITED),
    };
    node.admission().begin(claims.workspace, now)?;
    let permit = CallPermit { node: Arc::clone(node), workspace: claims.workspace };
    Ok((settled, permit))
}

impl Settled {
    fn plan(self, claims: &Claims, invite: Message, now: Instant) -> Plan {
        let wall = wall_now();
        Plan {
            id: CallId::from_parts(wall.unix_millis(), random::bytes()),
            workspace: claims.workspace,
            identity: claims.identity.clone(),
            from: self.from,
            to: self.to,
            rate: self.rate,
            rate_prefix: self.rate_prefix,
            candidates: self.candidates,
            ring_for: RINGING_MAX,
            longest: self.longest,
            clock: Clock::new(now, wall),
            invite,
            offer: self.offer,
            caller_tag: random::hex::<12>(),
        }
    }
}

fn candidate(trunk: Arc<crate::trunk::Trunk>) -> Candidate {
    Candidate { trunk, tag: random::hex::<12>(), call_id: random::hex::<16>() }
}

/// The Request-URI's user (`sip:`) or its number (`tel:`); a `phone-context` has no place in it.
fn dialled(invite: &Message) -> Result<Destination, Refusal> {
    let uri = invite.uri().and_then(|uri| Uri::parse(uri).ok()).ok_or(Refusal::InvalidNumber)?;
    if uri.param("phone-context").is_some() {
        return Err(Refusal::InvalidNumber);
    }
    let user = uri.user.ok_or(Refusal::InvalidNumber)?;
    Destination::parse(user).map_err(|_| Refusal::InvalidNumber)
}

/// P-Preferred-Identity, else From, where that is a number; else the token's only one, else the
/// workspace's default. Whatever is asked for must be claimed by the workspace.
fn caller_number(
    invite: &Message,
    claims: &Claims,
    workspace: &Workspace,
) -> Result<E164, Refusal> {
    let preferred = invite
        .headers_of(&Name::parse("P-Preferred-Identity"))
        .find_map(|value| number_of(NameAddr::parse(value).ok()?));
    let asked = preferred.or_else(|| number_of(invite.from()?));
    let number = match (asked, claims.from.as_slice()) {
        (Some(asked), _) => asked,
        (None, [only]) => *only,
        (None, _) => workspace.default_number.ok_or(Refusal::NumberNotClaimed)?,
    };
    if workspace.numbers.contains(&number) { Ok(number) } else { Err(Refusal::NumberNotClaimed) }
}

fn number_of(address: NameAddr<'_>) -> Option<E164> {
    let user = address.uri.user?;
    // A From without its plus is an extension or a name of digits, not a claim to a number.
    let user = user
        .strip_prefix("%2B")
        .or_else(|| user.strip_prefix("%2b"))
        .map_or(std::borrow::Cow::Borrowed(user), |digits| {
            std::borrow::Cow::Owned(format!("+{digits}"))
        });
    user.starts_with('+').then(|| E164::parse(&user).ok())?
}
