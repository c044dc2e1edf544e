//! One side of a call: a dialog with its transactions, offers, session timer and hang-up, as one value.
//!
//! ```text
//!            incoming                                   outgoing
//!               │                                          │
//!            Ringing ── reject, CANCEL ──▶ Over ◀── refused, silent ── Calling
//!               │ answer                                   │ 2xx
//!               └────────────────▶ Talking ◀───────────────┘
//!                                     │ bye, no ACK, expired          BYE came
//!                                  Leaving ── BYE answered ──▶ Over ◀── (from any)
//! ```
//!
//! The owner feeds messages and deadlines in, says what it wants by verbs, and after each drains
//! [`Leg::poll_output`] to its end, in whose order things happened; then it re-arms its one deadline from
//! [`Leg::poll_timeout`]. What was sent is kept printed: a repeated request is answered with the same bytes, and
//! of what a peer repeats only a provisional response is told to the owner again. When [`Leg::is_idle`], nothing is
//! left to repeat or to wait for.
//!
//! What a peer sends can end this leg and fill its bounded lists, and nothing else.

mod auth;
mod called;
mod caller;
mod config;
mod hangup;
mod offer;
mod outside;
mod print;
mod refresh;
mod requests;
#[cfg(test)]
mod tests;
mod unserved;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use config::{Credentials, LegConfig, OutgoingInvite, Transport};
pub use print::ALLOW;
pub use unserved::Unserved;

use crate::dialog::Dialog;
pub use crate::dialog::RecoveryDialog;
use crate::message::{Message, Method, Text};
use crate::transaction::timers::{GIVE_UP, T1, T2};
use crate::transaction::{Due, Timer};
use called::Calling;
use config::Own;
use offer::Session;
use outside::{Client, InviteOut};
use requests::{InviteIn, Server};

/// What comes in.
#[derive(Debug)]
pub enum Input {
    /// A message that the router found to be this leg's. `source` is a datagram's sender, else `None`.
    Message { message: Message, source: Option<SocketAddr> },
    /// What we last sent cannot be delivered: the connection or the name lookup failed.
    TransportFailed,
}

/// What goes out.
#[derive(Debug)]
pub enum Output {
    Send { bytes: Bytes, hop: Hop },
    Event(Event),
}

/// Where bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// The configured next hop, or the browser's socket.
    Flow,
    /// Back to the sender of a datagram.
    Addr(SocketAddr),
    /// A request inside the dialog: its first route or its target. `host` is a name or an address, IPv6 without
    /// brackets.
    Uri { host: String, port: Option<u16>, transport: Transport },
}

/// Names a request of either side that is not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey(u32);

/// What the owner learns. The leg is over, and tells no more, after `Refused`, `NoAnswer`, `Unreachable`, `Declined`,
/// `Canceled`, `Bye` and `Ended`; exactly one of them comes, or none after [`Leg::reject`]. After `AnsweredTooLate`,
/// `AckMissing` and `Expired` the leg has sent BYE by itself, and `Bye` or `Ended` follows.
#[derive(Debug)]
pub enum Event {
    /// Called leg: 100.
    Trying,
    /// Called leg: 101–199. A reliable one is acknowledged already.
    Progress { status: u16, sdp: Option<Bytes>, reason: String },
    /// Called leg: 2xx. Acknowledged already, except where we made no offer and `sdp` is theirs: then
    /// [`Leg::acknowledge`] with our answer. Without `sdp` the answer came with a reliable `Progress`.
    Answered { sdp: Option<Bytes>, message: Box<Message> },
    /// Called leg: a 2xx crossed our CANCEL. It is acknowledged and hung up; there was no call.
    AnsweredTooLate,
    /// Called leg: 300–699; 487 also after our CANCEL.
    Refused { status: u16, reason: String, message: Box<Message> },
    /// Called leg: no final response in time (timer B, three minutes of ringing without a sign, or 32 s after CANCEL).
    NoAnswer,
    /// Called leg: the INVITE could not be delivered.
    Unreachable,
    /// Caller's leg: the INVITE cannot be served as it is; the leg has answered with this status.
    Declined { status: u16 },
    /// Caller's leg: CANCEL, or BYE before the answer. The leg has answered 487. `reason` is a Reason value.
    Canceled { reason: Option<String> },
    /// Caller's leg: ACK of our 2xx, with their answer where our 2xx made the offer.
    Acked { sdp: Option<Bytes> },
    /// No ACK of a 2xx of ours for 32 s.
    AckMissing,
    /// The session timer ran out, or the peer no longer knows the dialog.
    Expired,
    /// They hung up. `reason` is a Reason value.
    Bye { reason: Option<String> },
    /// Our BYE is answered or given up, or crossed theirs.
    Ended,
    /// A re-INVITE or UPDATE with an offer: [`Leg::accept`] or [`Leg::refuse`].
    Offer { request: RequestKey, sdp: Bytes, method: Method },
    /// A re-INVITE without one: [`Leg::accept`] with our offer; their answer comes as `OfferAnswered`.
    OfferWanted { request: RequestKey },
    /// They took their re-INVITE back, or hung up over it.
    OfferWithdrawn { request: RequestKey },
    /// INFO, REFER or OPTIONS in the dialog: [`Leg::accept`] or [`Leg::refuse`].
    Request { request: RequestKey, message: Box<Message> },
    /// The final response to [`Leg::request`]; without a message nobody answered (408) or the dialog ended (481).
    Response { request: RequestKey, status: u16, message: Option<Box<Message>> },
    /// Our offer is answered.
    OfferAnswered { sdp: Bytes },
    /// Our offer is not accepted (488 also where a 2xx brought no answer); the session goes on as it was.
    OfferRefused { status: u16 },
}

/// Where a leg stands, for its owner's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegState {
    /// Caller's leg, not answered.
    Ringing,
    /// Called leg, not answered.
    Calling,
    Talking,
    /// Our BYE is on its way, or waits for the ACK that must come before it.
    Leaving,
    Over,
}

#[derive(Debug)]
enum Phase {
    Ringing(Box<Dialog>),
    Calling(Box<Calling>),
    Talking(Box<Session>),
    Leaving(Box<Dialog>),
    Over,
}

/// A 2xx of ours that is repeated until its ACK comes, on every transport (RFC 3261 section 13.3.1.4).
#[derive(Debug)]
struct Unacked {
    cseq: u32,
    initial: bool,
    response: Bytes,
    hop: Hop,
    /// The 2xx carried our offer, so the ACK carries their answer.
    offers: bool,
    pause: Duration,
    resend_at: Instant,
    give_up: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Leg {
    own: Own,
    phase: Phase,
    /// INVITEs that we sent: the first, and one re-INVITE at a time.
    invites_out: Vec<InviteOut>,
    /// INVITEs that they sent.
    invites_in: Vec<InviteIn>,
    /// Other requests that we sent.
    clients: Vec<Client>,
    /// Other requests that they sent.
    servers: Vec<Server>,
    unacked: Vec<Unacked>,
    last_request: u32,
    outputs: VecDeque<Output>,
}

impl Leg {
    fn new(own: Own) -> Self {
        Self {
            own,
            phase: Phase::Over,
            invites_out: Vec::new(),
            invites_in: Vec::new(),
            clients: Vec::new(),
            servers: Vec::new(),
            unacked: Vec::new(),
            last_request: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in a message or a failure of the transport.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Message { mut message, source } => {
                if message.is_request() {
                    if let Some(source) = source {
                        message.set_source(source);
                    }
                    let hop = reply_hop(&message, source, self.own.transport);
                    self.handle_request(now, message, hop);
                } else {
                    self.handle_response(now, message);
                }
            }
            Input::TransportFailed => self.transport_failed(),
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.time_of_invites_out(now);
        self.time_of_clients(now);
        self.time_of_servers(now);
        self.time_of_unacked(now);
        self.time_of_session(now);
        self.settle(now);
    }

    /// The next thing to do, in the order in which things happened.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Leg::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = match &self.phase {
            Phase::Talking(session) => session.poll_timeout(!self.unacked.is_empty()),
            _ => None,
        };
        let out = self.invites_out.iter().filter_map(InviteOut::poll_timeout);
        let clients = self.clients.iter().filter_map(|client| client.machine.poll_timeout());
        let invites = self.invites_in.iter().filter_map(InviteIn::poll_timeout);
        let servers = self.servers.iter().filter_map(|server| server.machine.poll_timeout());
        let unacked = self.unacked.iter().map(|unacked| unacked.resend_at.min(unacked.give_up));
        out.chain(clients).chain(invites).chain(servers).chain(unacked).chain(session).min()
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> LegState {
        match &self.phase {
            Phase::Ringing(_) => LegState::Ringing,
            Phase::Calling(_) => LegState::Calling,
            Phase::Talking(session) if session.leaving.is_some() => LegState::Leaving,
            Phase::Talking(_) => LegState::Talking,
            Phase::Leaving(_) => LegState::Leaving,
            Phase::Over => LegState::Over,
        }
    }

    /// Nothing is left to send, to repeat or to wait for: the owner may drop the leg.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Over)
            && self.outputs.is_empty()
            && self.unacked.is_empty()
            && self.invites_out.is_empty()
            && self.invites_in.is_empty()
            && self.clients.is_empty()
            && self.servers.is_empty()
    }

    /// The tag that the router finds this leg by.
    #[must_use]
    pub fn local_tag(&self) -> &str {
        &self.own.local_tag
    }

    /// What a BYE after a restart needs, while the leg is in a confirmed dialog.
    #[must_use]
    pub fn dialog_for_recovery(&self) -> Option<RecoveryDialog> {
        match &self.phase {
            Phase::Talking(session) => {
                Some(session.dialog.recovery(self.own.cseq(), self.own.transport))
            }
            _ => None,
        }
    }

    fn send(&mut self, bytes: Bytes, hop: Hop) {
        self.outputs.push_back(Output::Send { bytes, hop });
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    const fn new_key(&mut self) -> RequestKey {
        self.last_request = self.last_request.wrapping_add(1);
        RequestKey(self.last_request)
    }

    /// Ends the leg with its last event. What the owner still asked the other side has no answer any more.
    fn over(&mut self, event: Event) {
        self.phase = Phase::Over;
        self.forget_requests();
        self.tell(event);
    }

    /// What has become possible, and what may be forgotten.
    fn settle(&mut self, now: Instant) {
        self.send_wanted_offer(now);
        self.invites_out.retain(|invite| !invite.machine.is_terminated());
        self.invites_in.retain(|invite| !invite.machine.is_terminated());
        self.clients.retain(|client| !client.machine.is_terminated());
        self.servers.retain(|server| !server.machine.is_terminated());
    }

    fn transport_failed(&mut self) {
        // Inside a dialog the machines repeat and give up by themselves; a browser's next socket may come first.
        if matches!(self.phase, Phase::Calling(_)) {
            for invite in &mut self.invites_out {
                invite.machine.terminate();
            }
            self.over(Event::Unreachable);
        }
    }

    fn time_of_unacked(&mut self, now: Instant) {
        let mut missing = false;
        let outputs = &mut self.outputs;
        self.unacked.retain_mut(|unacked| {
            if unacked.give_up <= now {
                missing = true;
                return false;
            }
            if unacked.resend_at <= now {
                unacked.pause = (unacked.pause * 2).min(T2);
                unacked.resend_at = now + unacked.pause;
                let (bytes, hop) = (unacked.response.clone(), unacked.hop.clone());
                outputs.push_back(Output::Send { bytes, hop });
            }
            true
        });
        if missing {
            self.ack_missing(now);
        }
    }

    fn await_ack(
        &mut self,
        now: Instant,
        cseq: u32,
        initial: bool,
        offers: bool,
        sent: (Bytes, Hop),
    ) {
        let (response, hop) = sent;
        self.send(response.clone(), hop.clone());
        let (resend_at, give_up) = (now + T1, now + GIVE_UP);
        let pause = T1;
        self.unacked.reserve_exact(1);
        self.unacked.push(Unacked {
            cseq,
            initial,
            response,
            hop,
            offers,
            pause,
            resend_at,
            give_up,
        });
    }
}

/// Where the answer to a request goes (RFC 3261 section 18.2.2, RFC 3581).
fn reply_hop(request: &Message, source: Option<SocketAddr>, transport: Transport) -> Hop {
    let Some(source) = source.filter(|_| !transport.reliability().is_reliable()) else {
        return Hop::Flow;
    };
    match request.top_via() {
        Some(via) if !via.wants_rport() => {
            Hop::Addr(SocketAddr::new(source.ip(), via.port.unwrap_or(5060)))
        }
        _ => Hop::Addr(source),
    }
}

/// The first Reason value, for the owner to read (RFC 3326).
fn reason_of(message: &Message) -> Option<String> {
    message.header(&crate::message::Name::Reason).map(ToOwned::to_owned)
}
