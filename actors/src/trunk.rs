//! Trunks: carriers by static UDP address. One reader takes every datagram of the gateway's SIP
//! port and hands it to the call it belongs to; what belongs to none goes to the trunk's actor.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use actix::prelude::*;
use bytes::Bytes;
use sautikit_core::e164::E164;
use sautikit_net::udp;
use sautikit_sip::message::{Message, Method, Name};
use sautikit_sip::reader::{self, Read, ReadError};
use sautikit_sip::respond::{ALLOW, reason_phrase, respond};
use tokio::sync::{Semaphore, mpsc};

use crate::call::{CallInput, hang_up_stray, offer_to_call};
use crate::node::{Node, Rules};
use crate::streams::Channel;

/// How many requests outside any dialog a trunk may have waiting; more are dropped and counted,
/// and the carrier repeats them.
const REQUESTS_WAITING_MAX: usize = 256;

/// How many answers that belong to no call are hung up at once; the carrier repeats the others.
const STRAYS_MAX: usize = 1024;

/// A carrier as calls see it.
pub struct Trunk {
    /// From the configuration; it goes into rows and metrics.
    pub name: Arc<str>,
    /// Where requests go.
    pub address: SocketAddr,
    /// Called prefixes that it takes, like `+254`; empty takes none.
    pub prefixes: Vec<String>,
    /// Lower is tried first within the longest prefix.
    pub priority: u16,
    live: AtomicU64,
    strays: OnceLock<mpsc::Sender<Stray>>,
}

impl Trunk {
    /// A trunk with no calls.
    pub fn new(name: &str, address: SocketAddr, prefixes: Vec<String>, priority: u16) -> Self {
        Self {
            name: name.into(),
            address,
            prefixes,
            priority,
            live: AtomicU64::new(0),
            strays: OnceLock::new(),
        }
    }

    /// Whether the configuration means the same trunk.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.name == other.name
            && self.address == other.address
            && self.prefixes == other.prefixes
            && self.priority == other.priority
    }

    fn prefix_len(&self, number: &E164) -> Option<usize> {
        self.prefixes.iter().filter(|prefix| number.starts_with(prefix)).map(String::len).max()
    }

    /// Whether a message from this address may be the carrier's.
    pub(crate) fn is_from(&self, source: IpAddr) -> bool {
        self.address.ip() == source
    }

    /// Hands what belongs to no call to the trunk's actor; more than it can take is dropped, and the
    /// carrier repeats it.
    fn stray(&self, stray: Stray) {
        if self.strays.get().is_none_or(|actor| actor.try_send(stray).is_err()) {
            metrics::counter!("sautikit_sip_dropped_total", "transport" => "udp").increment(1);
        }
    }

    /// Legs on this trunk now.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }
}

/// When a carrier may come again to a gateway that ends: another one has its address by then.
const RETRY_AFTER_SECONDS: &str = "5";

/// Counts a leg on its trunk while it is held.
pub(crate) struct OnTrunk(Arc<Trunk>);

impl OnTrunk {
    pub(crate) fn new(trunk: &Arc<Trunk>) -> Self {
        trunk.live.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(trunk))
    }
}

impl Drop for OnTrunk {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The trunks for a number: those with the longest matching prefix, in order of priority.
pub(crate) fn trunks_for(trunks: &[Arc<Trunk>], number: &E164) -> Vec<Arc<Trunk>> {
    let longest = trunks.iter().filter_map(|trunk| trunk.prefix_len(number)).max();
    let mut chosen: Vec<_> = trunks
        .iter()
        .filter(|trunk| longest.is_some() && trunk.prefix_len(number) == longest)
        .cloned()
        .collect();
    chosen.sort_by_key(|trunk| trunk.priority);
    chosen
}

/// A 2xx to an INVITE: who sent it waits for an ACK, and talks to somebody as far as he knows.
fn is_answer_to_invite(message: &Message) -> bool {
    message.status().is_some_and(|status| (200..300).contains(&status))
        && message.cseq().1 == Method::Invite
}

/// A request of a carrier, or its answer to an INVITE, that belongs to no call.
pub(crate) struct Stray {
    message: Message,
    source: SocketAddr,
}

/// Answers what a carrier asks outside any call: OPTIONS, and calls that cannot be taken. Hangs up
/// what it answers to a process that is gone.
pub(crate) struct TrunkActor {
    node: Arc<Node>,
    trunk: Arc<Trunk>,
    requests: Option<mpsc::Receiver<Stray>>,
    /// Answers that are being hung up.
    strays: Arc<Semaphore>,
}

impl TrunkActor {
    /// Starts it for each trunk that has none, on the first shard, where the trunk socket is read.
    pub(crate) fn start_all(node: &Arc<Node>, rules: &Rules) {
        for trunk in &rules.trunks {
            let (sender, requests) = mpsc::channel(REQUESTS_WAITING_MAX);
            if trunk.strays.set(sender).is_ok() {
                let (node, trunk) = (Arc::clone(node), Arc::clone(trunk));
                let requests = Some(requests);
                let strays = Arc::new(Semaphore::new(STRAYS_MAX));
                let shard = node.shards[0].clone();
                Self::start_in_arbiter(&shard, move |_| Self { node, trunk, requests, strays });
            }
        }
    }

    fn answer(&self, stray: &Stray) {
        let message = &stray.message;
        let (status, extra): (u16, &[(Name, &str)]) = match message.method() {
            None | Some(Method::Ack) => return,
            Some(Method::Options | Method::Invite)
                if self.node.is_draining() && message.to_tag().is_none() =>
            {
                (503, &[(Name::RetryAfter, RETRY_AFTER_SECONDS)])
            }
            Some(Method::Options) => (200, &[(Name::Allow, ALLOW)]),
            Some(Method::Invite) if message.to_tag().is_none() => (self.called(message), &[]),
            Some(
                Method::Bye
                | Method::Cancel
                | Method::Prack
                | Method::Update
                | Method::Info
                | Method::Refer
                | Method::Invite,
            ) => (481, &[]),
            Some(_) => (405, &[(Name::Allow, ALLOW)]),
        };
        let bytes = respond(message, status, reason_phrase(status), None, extra, None);
        // A datagram that is lost is asked for again.
        let _ = self.node.udp.send(&bytes, stray.source);
        tracing::debug!(trunk = %self.trunk.name, status, "answered outside any call");
    }

    /// A carrier's call: known numbers are not reachable while no session takes calls.
    fn called(&self, message: &Message) -> u16 {
        let number = message
            .uri()
            .and_then(|uri| sautikit_sip::uri::Uri::parse(uri).ok())
            .and_then(|uri| E164::parse(uri.user?).ok());
        let known = number.is_some_and(|number| {
            self.node.directory().workspaces.values().any(|each| each.numbers.contains(&number))
        });
        if known { 480 } else { 404 }
    }
}

impl Actor for TrunkActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(requests) = self.requests.take() {
            ctx.add_stream(Channel(requests));
        }
    }
}

impl StreamHandler<Stray> for TrunkActor {
    fn handle(&mut self, stray: Stray, _ctx: &mut Self::Context) {
        if stray.message.is_request() {
            self.answer(&stray);
        } else if let Ok(permit) = Arc::clone(&self.strays).try_acquire_owned() {
            let (node, trunk) = (Arc::clone(&self.node), Arc::clone(&self.trunk));
            tokio::spawn(async move {
                hang_up_stray(node, stray.message, trunk).await;
                drop(permit);
            });
        }
    }

    /// The trunk's actor never ends before the process.
    fn finished(&mut self, _ctx: &mut Self::Context) {}
}

/// Reads the SIP port until the process ends.
pub(crate) async fn read_datagrams(node: Arc<Node>, mut receiver: udp::Receiver) {
    let mut datagrams = Vec::new();
    loop {
        receiver.recv_many(&mut datagrams).await;
        let rules = node.rules();
        for (datagram, source) in datagrams.drain(..) {
            take_datagram(&node, &rules, &datagram, source);
        }
    }
}

fn take_datagram(node: &Node, rules: &Rules, datagram: &Bytes, source: SocketAddr) {
    let Some(trunk) = rules.every_trunk().find(|trunk| trunk.is_from(source.ip())) else {
        metrics::counter!("sautikit_sip_strangers_total").increment(1);
        return;
    };
    let message = match reader::read_datagram(datagram, source) {
        Ok(Read::Message(message)) => message,
        Ok(Read::KeepAlive(_)) => return,
        Err(error) => {
            metrics::counter!("sautikit_sip_unreadable_total", "transport" => "udp").increment(1);
            if let ReadError::Answer { answer, .. } = error {
                let _ = node.udp.send(&answer, source);
            }
            return;
        }
    };
    metrics::counter!("sautikit_sip_messages_total", "direction" => "in", "transport" => "udp")
        .increment(1);
    // Ours is the From tag of what we asked, and the To tag of what is asked of us.
    let tag = if message.is_request() { message.to_tag() } else { message.from_tag() };
    let leg = tag.and_then(|tag| node.router.leg(tag, message.call_id()));
    match leg {
        Some(leg) if leg.trunk.is_from(source.ip()) => {
            let input = CallInput::FromPeer { candidate: leg.candidate, message, source };
            offer_to_call(&leg.queue, input);
        }
        Some(_) => metrics::counter!("sautikit_sip_strangers_total").increment(1),
        None if message.is_request() || is_answer_to_invite(&message) => {
            trunk.stray(Stray { message, source });
        }
        None => {}
    }
}
