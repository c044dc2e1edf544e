//! The shell of a session: polls its socket, asks the value, does what comes out.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use sautikit_core::cause::{CloseCode, HandshakeRefusal, Refusal};
use sautikit_core::identity::AddressUser;
use sautikit_core::ids::SessionId;
use sautikit_core::token::judge as judge_times;
use sautikit_net::answer::{Answer, switching_protocols};
use sautikit_net::bearer::{Token, Verified};
use sautikit_net::head::Head;
use sautikit_net::keys::KeyId;
use sautikit_net::random;
use sautikit_net::ws::{self, Close, Feed, Incoming, Outbox};
use sautikit_sip::leg::Unserved;
use sautikit_sip::message::{Message, Method, Name};
use sautikit_sip::reader::{self, Framing, KeepAlive, Read, ReadError};
use sautikit_sip::respond::{ALLOW, fault_headers, protocol_fault, reason_phrase, respond};
use sautikit_store::WorkspaceStatus;
use tokio::net::TcpStream;

use super::handshake::{Asked, asked, decide};
use super::refused;
use super::register::{self, Registration};
use super::session::{Due, Pace, Session};
use crate::admit::admit;
use crate::call::{
    CallActor, CallInput, CallQueue, CallSeat, call_queue, offer_to_call, refusal_headers,
};
use crate::census::{Counted, Kind};
use crate::edge::Newcomer;
use crate::node::{Node, wall_now};
use crate::router::LiveSession;

/// A close that a page makes when it means to come back: its calls are kept for it.
const CLOSE_COMES_BACK: u16 = 4000;

/// A call of this session is over: its money is settled.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CallEnded;

/// Nothing is left of a call of this session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CallOver {
    pub(crate) tag: String,
}

/// Close the session, at once or when its last call is over.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct Shut {
    pub(crate) code: CloseCode,
    pub(crate) reason: &'static str,
    pub(crate) wait_for_calls: bool,
}

/// The signing key was replaced in an emergency: a session of the removed key is closed, and its
/// calls are those of a lost socket.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct KeysReplaced;

struct Arriving {
    stream: TcpStream,
    head: Head,
    peer: SocketAddr,
    newcomer: Newcomer,
}

struct Open {
    session: Session,
    outbox: Outbox,
    /// By our tag: the legs of this session.
    calls: HashMap<Box<str>, CallQueue>,
    /// By the branch of its INVITE, for CANCEL and repeated INVITEs.
    invites: HashMap<Box<str>, Invited>,
    /// The key of the token that it stands on.
    key: KeyId,
    /// Calls whose money is not settled yet.
    live: usize,
    shut: Option<Shut>,
}

/// An INVITE whose leg is there.
struct Invited {
    /// Our tag.
    tag: Box<str>,
    /// Of From tag, Call-ID and CSeq: the same under another branch has come another way.
    origin: u64,
}

impl Invited {
    fn origin_of(message: &Message) -> u64 {
        let (from, call_id) = (message.from_tag(), message.call_id());
        ORIGINS.with(|hasher| hasher.hash_one((from, call_id, message.cseq_number())))
    }
}

thread_local! {
    static ORIGINS: RandomState = RandomState::new();
}

enum Stage {
    Arriving(Box<Arriving>),
    Open(Box<Open>),
    Over,
}

pub(crate) struct ConnectionActor {
    node: Arc<Node>,
    stage: Stage,
    armed: Option<(Instant, SpawnHandle)>,
    _counted: Counted,
}

impl ConnectionActor {
    pub(super) fn new(
        node: Arc<Node>,
        stream: TcpStream,
        head: Head,
        peer: SocketAddr,
        newcomer: Newcomer,
    ) -> Self {
        let arriving = Arriving { stream, head, peer, newcomer };
        let counted = node.census.enter(Kind::Connection);
        let stage = Stage::Arriving(Box::new(arriving));
        Self { node, stage, armed: None, _counted: counted }
    }

    /// Decides the handshake; what is refused is answered and counted once.
    fn arrive(&mut self, ctx: &mut Context<Self>, arriving: Arriving) {
        let Arriving { stream, mut head, peer, newcomer } = arriving;
        let asked = asked(&head);
        let verdict = match asked {
            Asked::Preflight => Err(Answer::preflight()),
            Asked::Elsewhere => Err(Answer::not_found()),
            Asked::OtherMethod => Err(Answer::method_not_allowed()),
            Asked::Reason => Err(match decide(&self.node, &head, peer.ip(), false) {
                Ok(_) => Answer::would_succeed(),
                Err(refusal) => self.refused(refusal, peer),
            }),
            Asked::Upgrade => decide(&self.node, &head, peer.ip(), true)
                .map_err(|refusal| self.refused(refusal, peer))
                .and_then(|verified| Ok((verified, switching_protocols(&head)?))),
        };
        match verdict {
            Ok((verified, switching)) => {
                let leftover = head.take_leftover();
                drop((newcomer, head));
                let (feed, outbox) = ws::accept(stream, switching, leftover);
                self.open(ctx, verified, feed, outbox);
            }
            Err(answer) => {
                let finish = async move {
                    answer.finish(stream).await;
                    drop(newcomer);
                };
                ctx.spawn(finish.into_actor(self).map(|(), _, ctx| ctx.stop()));
            }
        }
    }

    fn refused(&self, refusal: HandshakeRefusal, peer: SocketAddr) -> Answer {
        metrics::counter!("sautikit_handshakes_total", "outcome" => refusal.label()).increment(1);
        if refusal.counts_against_address() {
            self.node.edge.failed(peer.ip());
        }
        let answer = Answer::refusal(refusal);
        tracing::debug!(request = answer.request_id(), "handshake refused: {refusal}");
        answer
    }

    fn open(
        &mut self,
        ctx: &mut Context<Self>,
        verified: Verified,
        feed: Feed<TcpStream>,
        outbox: Outbox,
    ) {
        metrics::counter!("sautikit_handshakes_total", "outcome" => "accepted").increment(1);
        let now = Instant::now();
        let wall = wall_now();
        let id = SessionId::from_parts(wall.unix_millis(), random::bytes());
        let session =
            Session::new(id, verified.claims, &self.node.rules().limits, now, wall.unix_seconds());
        let live = LiveSession {
            workspace: session.workspace(),
            user: Arc::clone(session.user()),
            address: ctx.address(),
        };
        self.node.router.add_session(id, live);
        self.stage = Stage::Open(Box::new(Open {
            session,
            outbox,
            calls: HashMap::new(),
            invites: HashMap::new(),
            key: verified.key,
            live: 0,
            shut: None,
        }));
        ctx.add_stream(feed);
        self.arm(ctx);
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        let Stage::Open(open) = &self.stage else { return };
        let due = open.session.poll_timeout(open.live);
        if let Some((armed, handle)) = self.armed {
            if armed <= due {
                return;
            }
            ctx.cancel_future(handle);
        }
        let wait = due.saturating_duration_since(Instant::now());
        let handle = ctx.run_later(wait, |act, ctx| {
            act.armed = None;
            if let Stage::Open(open) = &mut act.stage {
                open.deadline(Instant::now());
            }
            act.arm(ctx);
        });
        self.armed = Some((due, handle));
    }

    fn ended(&mut self, close: Option<Close>) {
        let Stage::Open(open) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        self.node.router.remove_session(open.session.id);
        let left = close.as_ref().is_some_and(|close| {
            close.by_peer && close.code.is_none_or(|code| code != CLOSE_COMES_BACK && code < 1002)
        });
        let last_byte = open.session.last_heard();
        for queue in open.calls.values() {
            let input =
                if left { CallInput::CallerLeft } else { CallInput::CallerLost { last_byte } };
            offer_to_call(queue, input);
        }
        // Counted here, where every close of ours ends: a full queue closes by itself.
        if let Some(label) = close.as_ref().and_then(own_close) {
            metrics::counter!("sautikit_sessions_closed_total", "code" => label).increment(1);
        }
        let code = close.and_then(|close| close.code).unwrap_or(1006);
        tracing::debug!(session = %open.session.id, code, "session closed");
    }
}

/// The label of a close that the gateway began.
fn own_close(close: &Close) -> Option<&'static str> {
    let ours = CloseCode::ALL.iter().find(|known| Some(known.code()) == close.code)?;
    (!close.by_peer).then(|| ours.label())
}

impl Actor for ConnectionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Stage::Arriving(arriving) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.arrive(ctx, *arriving);
        }
    }

    fn stopped(&mut self, _ctx: &mut Self::Context) {
        self.ended(None);
    }
}

impl StreamHandler<Incoming> for ConnectionActor {
    fn handle(&mut self, incoming: Incoming, ctx: &mut Self::Context) {
        let now = Instant::now();
        let close = match incoming {
            Incoming::Message(bytes) => {
                self.message(ctx, &bytes, now);
                return;
            }
            Incoming::Ping | Incoming::Pong => {
                if let Stage::Open(open) = &mut self.stage {
                    open.session.heard(now, open.outbox.received());
                }
                return;
            }
            Incoming::Closed(close) => Some(close),
            Incoming::Failed(failure) => {
                metrics::counter!("sautikit_sessions_failed_total", "reason" => failure.label())
                    .increment(1);
                None
            }
        };
        self.ended(close);
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        self.ended(None);
        ctx.stop();
    }
}

impl ConnectionActor {
    /// One message; a panic over it ends this session alone.
    fn message(&mut self, ctx: &mut Context<Self>, bytes: &Bytes, now: Instant) {
        let node = Arc::clone(&self.node);
        let Stage::Open(open) = &mut self.stage else { return };
        open.session.heard(now, open.outbox.received());
        let taken = catch_unwind(AssertUnwindSafe(|| open.take(&node, bytes, now, &ctx.address())));
        if taken.is_err() {
            metrics::counter!("sautikit_actor_panics_total", "actor" => "connection").increment(1);
            tracing::error!(session = %open.session.id, "a session broke and is closed");
            open.outbox.close(1011, "internal error");
        }
    }
}

impl Open {
    fn deadline(&mut self, now: Instant) {
        let received = self.outbox.received();
        match self.session.handle_timeout(now, self.live, received) {
            Some(Due::Ping) => self.outbox.ping(),
            Some(Due::Close(code, reason)) => self.close(code, reason),
            None => {}
        }
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        self.outbox.close(code.code(), reason);
    }

    fn take(&mut self, node: &Arc<Node>, bytes: &Bytes, now: Instant, own: &Addr<ConnectionActor>) {
        if !self.session.may_say_more(now) {
            self.close(CloseCode::TooMany, "10");
            return;
        }
        match reader::read(bytes, Framing::WebSocket) {
            Ok(Read::Message(message)) => {
                metrics::counter!("sautikit_sip_messages_total", "direction" => "in", "transport" => "ws")
                    .increment(1);
                if message.is_request() {
                    self.request(node, message, now, own);
                } else if let Some(queue) = message.from_tag().and_then(|tag| self.calls.get(tag)) {
                    offer_to_call(queue, CallInput::FromCaller(message));
                }
            }
            Ok(Read::KeepAlive(KeepAlive::Ping)) => {
                let _ = self.outbox.send(Bytes::from_static(b"\r\n"));
            }
            Ok(Read::KeepAlive(KeepAlive::Pong)) => {}
            Err(error) => {
                metrics::counter!("sautikit_sip_unreadable_total", "transport" => "ws")
                    .increment(1);
                let code = error.code();
                // Noise counts like requests do, and is answered only within their pace.
                match (self.session.pace(now), error) {
                    (Pace::Fine, ReadError::Answer { answer, .. }) => {
                        if let Some(code) = code {
                            refused::count(refused::is_invite(bytes), code);
                        }
                        let _ = self.outbox.send(answer);
                    }
                    (Pace::Close, _) => self.close(CloseCode::TooMany, "10"),
                    _ => {}
                }
            }
        }
    }

    fn request(
        &mut self,
        node: &Arc<Node>,
        message: Message,
        now: Instant,
        own: &Addr<ConnectionActor>,
    ) {
        let Some(method) = message.method().cloned() else { return };
        let known = self.leg_of(&message, &method);
        // What ends a live leg, and the ACK without which it would be hung up, is never held back:
        // whoever is told to come later to a BYE does not, and the call would go on.
        if matches!(method, Method::Ack | Method::Bye | Method::Cancel) {
            if let Some(queue) = &known {
                offer_to_call(queue, CallInput::FromCaller(message));
                return;
            }
            if method == Method::Ack {
                return;
            }
        }
        match self.session.pace(now) {
            Pace::Fine => {}
            Pace::TooFast { retry_after } => {
                let seconds = retry_after.as_secs().saturating_add(1);
                self.refuse_for(&message, Refusal::SessionRateLimited, node, Some(seconds));
                return;
            }
            Pace::Close => {
                self.close(CloseCode::TooMany, "10");
                return;
            }
        }
        // Any request may bring a fresh token; of those that need a good one the rules below tell.
        if !matches!(method, Method::Register | Method::Invite) || known.is_some() {
            let _ = self.renew(node, &message, now);
        }
        if let Some(queue) = known {
            offer_to_call(&queue, CallInput::FromCaller(message));
            return;
        }
        match method {
            Method::Register => self.register(node, &message, now),
            Method::Invite if message.to_tag().is_none() => self.invite(node, message, now, own),
            Method::Options if message.to_tag().is_none() => self.options(node, &message),
            Method::Refer | Method::Info if message.to_tag().is_none() => {
                self.refuse_as_fault(node, &message, 403, &[]);
            }
            Method::Invite
            | Method::Bye
            | Method::Cancel
            | Method::Prack
            | Method::Update
            | Method::Refer
            | Method::Info
            | Method::Options => self.refuse_as_fault(node, &message, 481, &[]),
            _ => {
                let allow = (Name::Allow, ALLOW.to_owned());
                self.refuse_as_fault(node, &message, 405, &[allow]);
            }
        }
    }

    /// The leg that a request belongs to: by our tag, or, before there was one, by the branch of
    /// its INVITE.
    fn leg_of(&self, message: &Message, method: &Method) -> Option<CallQueue> {
        if let Some(tag) = message.to_tag() {
            return self.calls.get(tag).cloned();
        }
        if !matches!(method, Method::Invite | Method::Cancel | Method::Ack) {
            return None;
        }
        let invited = self.invites.get(message.branch()?)?;
        self.calls.get(&invited.tag).cloned()
    }

    fn options(&mut self, node: &Node, message: &Message) {
        if node.is_draining() {
            self.refuse_for(message, Refusal::Draining, node, None);
            return;
        }
        let accept = Name::parse("Accept");
        self.reply(message, 200, &[(Name::Allow, ALLOW), (accept, "application/sdp")]);
    }

    fn register(&mut self, node: &Arc<Node>, message: &Message, now: Instant) {
        if let Err(refusal) = self.renew(node, message, now) {
            self.refuse_for(message, refusal, node, None);
            return;
        }
        if self.session.has_lapsed(now) {
            self.refuse_for(message, Refusal::TokenExpired, node, None);
            return;
        }
        let claims = self.session.claims();
        let user = AddressUser::of(claims.workspace, claims.identity.as_ref());
        match register::judge(message, &user) {
            Registration::NotOwned => {
                self.refuse_for(message, Refusal::AddressNotOwned, node, None);
            }
            Registration::Unbound => {
                self.session.registered = false;
                self.reply(message, 200, &[]);
            }
            Registration::Bound(contacts) => {
                self.session.registered = !contacts.is_empty();
                let extra: Vec<_> =
                    contacts.iter().map(|contact| (Name::Contact, contact.as_str())).collect();
                self.reply(message, 200, &extra);
            }
        }
    }

    /// Renewal in band (RFC 8898). A token that cannot be read is refused only where the session
    /// has nothing else to stand on: clients repeat their stored one on each request.
    fn renew(&mut self, node: &Arc<Node>, message: &Message, now: Instant) -> Result<(), Refusal> {
        let Some(token) =
            message.headers_of(&Name::Authorization).find_map(Token::from_authorization)
        else {
            return Ok(());
        };
        let wall = wall_now().unix_seconds();
        let fresh =
            node.verify(&token).ok().filter(|verified| judge_times(&verified.claims, wall).is_ok());
        let Some(Verified { claims, key }) = fresh else {
            return if self.session.has_lapsed(now) { Err(Refusal::TokenExpired) } else { Ok(()) };
        };
        // A session stands on the key of the token whose claims it has.
        if self.session.renew(claims, now, wall).map_err(|_| Refusal::AddressNotOwned)? {
            self.key = key;
        }
        Ok(())
    }

    fn invite(
        &mut self,
        node: &Arc<Node>,
        message: Message,
        now: Instant,
        own: &Addr<ConnectionActor>,
    ) {
        let renewed = self.renew(node, &message, now);
        let refused = match renewed {
            Err(refusal) => Some(refusal),
            Ok(()) if self.session.has_lapsed(now) => Some(Refusal::TokenExpired),
            Ok(()) => None,
        };
        if let Some(refusal) = refused {
            self.refuse_for(&message, refusal, node, None);
            return;
        }
        // Before anything is held for it: no leg could serve it.
        if let Some(unserved) = Unserved::of(&message) {
            let headers = unserved.headers(&node.domain);
            self.refuse(&message, unserved.status, unserved.code(), &headers);
            return;
        }
        let origin = Invited::origin_of(&message);
        if self.invites.values().any(|invited| invited.origin == origin) {
            self.refuse_as_fault(node, &message, 482, &[]);
            return;
        }
        let branch: Option<Box<str>> = message.branch().map(Into::into);
        match admit(node, self.session.claims(), message, now) {
            Ok((plan, permit)) => {
                let tag: Box<str> = plan.caller_tag.as_str().into();
                let (queue, inbox) = call_queue();
                self.calls.insert(tag.clone(), queue.clone());
                self.live += 1;
                if let Some(branch) = branch {
                    self.invites.insert(branch, Invited { tag, origin });
                }
                let seat = CallSeat {
                    node: Arc::clone(node),
                    outbox: self.outbox.clone(),
                    session: own.clone(),
                    queue,
                    inbox,
                    permit,
                };
                CallActor::start_here(plan, seat, now);
            }
            Err((message, refusal)) => self.refuse_for(&message, refusal, node, None),
        }
    }

    /// A refusal by a rule of the gateway's.
    fn refuse_for(
        &mut self,
        message: &Message,
        refusal: Refusal,
        node: &Node,
        retry_after: Option<u64>,
    ) {
        let spread = u32::from_be_bytes(random::bytes());
        let mut headers = refusal_headers(refusal, &node.domain, spread);
        if let Some(seconds) = retry_after {
            headers.retain(|(name, _)| name.as_str() != "Retry-After");
            headers.push((Name::parse("Retry-After"), seconds.to_string()));
        }
        self.refuse(message, refusal.sip_status(), refusal.code(), &headers);
    }

    /// A refusal by a rule of SIP.
    fn refuse_as_fault(
        &mut self,
        node: &Node,
        message: &Message,
        status: u16,
        extra: &[(Name, String)],
    ) {
        let code = protocol_fault(status).map_or("request.malformed", |(code, _)| code);
        let mut headers = fault_headers(status, &node.domain, "");
        headers.extend_from_slice(extra);
        self.refuse(message, status, code, &headers);
    }

    /// A refusal of the gateway's own: answered, counted and logged once.
    fn refuse(
        &mut self,
        message: &Message,
        status: u16,
        code: &'static str,
        headers: &[(Name, String)],
    ) {
        refused::count(message.method() == Some(&Method::Invite), code);
        tracing::debug!(session = %self.session.id, code, "refused");
        let extra: Vec<_> =
            headers.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
        self.reply(message, status, &extra);
    }

    fn reply(&mut self, message: &Message, status: u16, extra: &[(Name, &str)]) {
        metrics::counter!("sautikit_sip_messages_total", "direction" => "out", "transport" => "ws")
            .increment(1);
        let bytes = respond(message, status, reason_phrase(status), None, extra, None);
        // A client that does not read is closed by its queue (4408).
        let _ = self.outbox.send(bytes);
    }

    fn maybe_shut(&mut self) {
        let Some(shut) = self.shut else { return };
        if self.live == 0 || !shut.wait_for_calls {
            self.close(shut.code, shut.reason);
        }
    }
}

impl Handler<CallEnded> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, _: CallEnded, ctx: &mut Self::Context) {
        if let Stage::Open(open) = &mut self.stage {
            open.live = open.live.saturating_sub(1);
            open.maybe_shut();
        }
        self.arm(ctx);
    }
}

impl Handler<CallOver> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, over: CallOver, _ctx: &mut Self::Context) {
        if let Stage::Open(open) = &mut self.stage {
            open.calls.remove(over.tag.as_str());
            open.invites.retain(|_, invited| *invited.tag != *over.tag);
        }
    }
}

impl Handler<KeysReplaced> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, _: KeysReplaced, _ctx: &mut Self::Context) {
        let wall = wall_now().unix_seconds();
        if let Stage::Open(open) = &mut self.stage
            && !self.node.keys().accepts(open.key, wall)
        {
            open.close(CloseCode::Token, "signing key replaced");
        }
    }
}

impl Handler<Shut> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, shut: Shut, _ctx: &mut Self::Context) {
        if let Stage::Open(open) = &mut self.stage {
            open.shut = Some(shut);
            open.maybe_shut();
        }
    }
}

/// Closes the sessions of workspaces that were suspended since they came.
pub(crate) fn close_suspended(node: &Node) {
    let directory = node.directory();
    node.router.for_each_session(|session| {
        let status = directory.workspaces.get(&session.workspace).map(|known| known.status);
        if status != Some(WorkspaceStatus::Active) {
            let code = CloseCode::Forbidden;
            let shut = Shut { code, reason: "account suspended", wait_for_calls: true };
            session.address.do_send(shut);
        }
    });
}
