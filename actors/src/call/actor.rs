//! The shell: performs what the bridge wants done.

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use sautikit_core::call::{CommitFailed, ExtendAnswer, HoldAnswer};
use sautikit_core::cause::HangupBy;
use sautikit_media::{MediaEvent, MediaSession};
use sautikit_net::ws::Outbox;
use sautikit_sip::leg::Hop;
use sautikit_store::{Urgency, Write, WriteError};

use super::bridge::{Bridge, Close, Do, Input};
use super::legs::LegMaker;
use super::plan::Plan;
use super::queue::{CallInbox, CallInput, CallQueue};
use super::shortfall::cost_what_is_left;
use crate::admit::CallPermit;
use crate::census::{Counted, Kind};
use crate::connection::{CallEnded, CallOver, ConnectionActor};
use crate::node::Node;
use crate::router::TrunkLeg;
use crate::streams::Channel;
use crate::trunk::OnTrunk;
use crate::wallet::{ASK_TIMEOUT, Answer, End, Extend, Hold, Release, Reload};

/// What a call gets from the session that it starts in.
pub(crate) struct CallSeat {
    pub(crate) node: Arc<Node>,
    pub(crate) outbox: Outbox,
    pub(crate) session: Addr<ConnectionActor>,
    pub(crate) queue: CallQueue,
    pub(crate) inbox: CallInbox,
    pub(crate) permit: CallPermit,
}

pub(crate) struct CallActor {
    pub(super) node: Arc<Node>,
    outbox: Outbox,
    session: Addr<ConnectionActor>,
    queue: CallQueue,
    inbox: Option<CallInbox>,
    overflowed: Arc<std::sync::atomic::AtomicBool>,
    permit: Option<CallPermit>,
    pub(super) bridge: Bridge,
    pub(super) media: Option<Rc<MediaSession>>,
    routes: Vec<Arc<str>>,
    on_trunks: Vec<OnTrunk>,
    armed: Option<(Instant, SpawnHandle)>,
    /// The media's evidence is being asked for.
    asking_evidence: bool,
    broken: bool,
    counted: Counted,
}

impl CallActor {
    /// Starts on the current arbiter, which is the session's.
    pub(crate) fn start_here(plan: Plan, seat: CallSeat, now: Instant) {
        let maker = LegMaker::new(&seat.node);
        let overflowed = Arc::clone(&seat.inbox.overflowed);
        seat.node.router.add_call(plan.id, plan.workspace, seat.queue.clone());
        let actor = Self {
            counted: seat.node.census.enter(Kind::Call),
            bridge: Bridge::new(plan, maker, now),
            node: seat.node,
            outbox: seat.outbox,
            session: seat.session,
            queue: seat.queue,
            inbox: Some(seat.inbox),
            overflowed,
            permit: Some(seat.permit),
            media: None,
            routes: Vec::new(),
            on_trunks: Vec::new(),
            armed: None,
            asking_evidence: false,
            broken: false,
        };
        actor.start();
    }

    /// One step of the value, and all that comes of it. A panic in it ends this call alone.
    pub(super) fn step(&mut self, ctx: &mut Context<Self>, input: Input) {
        if self.broken {
            return;
        }
        let now = Instant::now();
        let stepped = catch_unwind(AssertUnwindSafe(|| self.bridge.handle(now, input)));
        self.after_step(ctx, stepped.is_ok());
    }

    fn after_step(&mut self, ctx: &mut Context<Self>, sound: bool) {
        if !sound {
            self.give_up(ctx);
            return;
        }
        while let Some(todo) = self.bridge.poll() {
            self.perform(ctx, todo);
        }
        self.arm(ctx);
        if self.bridge.is_over() {
            ctx.stop();
        }
    }

    /// The value panicked: its state is not to be trusted, so the money is left to the recovery
    /// of answered calls, and the legs to their peers' timers.
    fn give_up(&mut self, ctx: &mut Context<Self>) {
        self.broken = true;
        metrics::counter!("sautikit_actor_panics_total", "actor" => "call").increment(1);
        tracing::error!(call = %self.bridge.plan().id, "a call broke; it is closed by the recovery");
        ctx.stop();
    }

    fn perform(&mut self, ctx: &mut Context<Self>, todo: Do) {
        match todo {
            Do::ToCaller(bytes) => self.send_to_caller(bytes),
            Do::ToPeer { candidate, bytes, hop } => self.send_to_peer(ctx, candidate, &bytes, hop),
            Do::Route { candidate } => self.route(candidate),
            Do::Hold(amount) => {
                let call = self.bridge.plan().id;
                self.ask(ctx, Hold { call, amount }, |answer| {
                    Input::Held(answer.unwrap_or(HoldAnswer::Unavailable))
                });
            }
            Do::Extend { wanted, least } => {
                let call = self.bridge.plan().id;
                self.ask(ctx, Extend { call, wanted, least }, |answer| {
                    Input::Extended(answer.unwrap_or(ExtendAnswer::Unavailable))
                });
            }
            Do::Commit(commit) => self.ask(ctx, Answer(commit), |answer| {
                Input::Committed(answer.unwrap_or(Err(CommitFailed::Unavailable)))
            }),
            Do::Release => {
                self.end_live();
                let call = self.bridge.plan().id;
                self.node.router.remove_call(call);
                self.node.wallet(self.bridge.plan().workspace).do_send(Release(call));
            }
            Do::Close(close) => self.close(ctx, close),
            Do::Record { row, events } => {
                let write = Write::Call { call: row, events };
                let lazy = Urgency::Lazy;
                if let Err(error) = self.node.writer.submit_unwatched(write, lazy) {
                    tracing::warn!(call = %self.bridge.plan().id, "a call's start was not written: {error}");
                }
            }
            Do::MediaOffer(sdp) => self.media_offer(ctx, sdp),
            Do::MediaAnswer { purpose, sdp } => self.media_answer(ctx, purpose, sdp),
            Do::Reoffer { side, request, sdp } => self.media_reoffer(ctx, side, request, sdp),
            Do::OfferToTrunk { request } => self.offer_to_trunk(ctx, request),
            Do::Talking => self.talking(),
            Do::Refused { code } => {
                metrics::counter!("sautikit_refusals_total", "code" => code).increment(1);
            }
        }
    }

    pub(super) fn queue(&self) -> CallQueue {
        self.queue.clone()
    }

    fn send_to_caller(&mut self, bytes: Bytes) {
        metrics::counter!("sautikit_sip_messages_total", "direction" => "out", "transport" => "ws")
            .increment(1);
        // A full queue closes the session (4408), which tells this call that its caller is lost.
        let _ = self.outbox.send(bytes);
    }

    fn send_to_peer(&mut self, ctx: &mut Context<Self>, candidate: usize, bytes: &Bytes, hop: Hop) {
        let Some(chosen) = self.bridge.plan().candidates.get(candidate) else { return };
        let address = match hop {
            Hop::Flow => chosen.trunk.address,
            Hop::Addr(address) => address,
            Hop::Uri { host, port, .. } => address_of(&host, port, chosen.trunk.address),
        };
        metrics::counter!("sautikit_sip_messages_total", "direction" => "out", "transport" => "udp")
            .increment(1);
        if self.node.udp.send(bytes, address).is_err() {
            ctx.notify(Unsendable { candidate });
        }
    }

    fn route(&mut self, candidate: usize) {
        let Some(chosen) = self.bridge.plan().candidates.get(candidate) else { return };
        let tag: Arc<str> = chosen.tag.as_str().into();
        self.routes.push(Arc::clone(&tag));
        self.on_trunks.push(OnTrunk::new(&chosen.trunk));
        let leg = TrunkLeg {
            call_id: chosen.call_id.as_str().into(),
            candidate,
            trunk: Arc::clone(&chosen.trunk),
            queue: self.queue.clone(),
        };
        self.node.router.add_leg(tag, leg);
    }

    fn talking(&self) {
        self.node.router.talks(self.bridge.plan().id, self.bridge.rules().sign_of_life());
    }

    /// Asks the wallet; the answer, or that there was none, becomes the next input.
    fn ask<M>(
        &mut self,
        ctx: &mut Context<Self>,
        message: M,
        input: impl FnOnce(Option<M::Result>) -> Input + 'static,
    ) where
        M: Message + Send + 'static,
        M::Result: Send,
        crate::wallet::WalletActor: Handler<M>,
    {
        let wallet = self.node.wallet(self.bridge.plan().workspace);
        let asked = wallet.send(message).timeout(ASK_TIMEOUT);
        ctx.spawn(asked.into_actor(self).map(move |answer, act, ctx| {
            act.step(ctx, input(answer.ok()));
        }));
    }

    /// The call is decided: media ends, its figures go into the row, and the end is written.
    fn close(&mut self, ctx: &mut Context<Self>, close: Box<Close>) {
        self.on_trunks.clear();
        self.talking();
        self.log_end();
        let media = self.media.take();
        let measured = super::media::last_figures(media);
        let workspace = self.bridge.plan().workspace;
        let node = Arc::clone(&self.node);
        let written = async move {
            let mut close = close;
            close.row.quality = measured.await;
            // The writer keeps what it took until it is committed; only a wallet that stopped
            // between look-up and sending loses the message, and then it is sent again.
            for _ in 0..3 {
                let copy = close.clone();
                match node.wallet(workspace).send(End(copy)).await {
                    Ok(Err(WriteError::Overdraft)) => return end_short(&node, *close).await,
                    Ok(result) => return result,
                    Err(error) => tracing::warn!("the wallet took no end of a call: {error}"),
                }
            }
            Err(WriteError::Stopped)
        };
        ctx.spawn(written.into_actor(self).map(|result, act, ctx| {
            if let Err(error) = result {
                metrics::counter!("sautikit_unbilled_answered_calls").increment(1);
                tracing::error!(call = %act.bridge.plan().id, "the end of a call was not written: {error}");
            }
            act.node.router.remove_call(act.bridge.plan().id);
            act.end_live();
            act.step(ctx, Input::Closed);
        }));
    }

    /// The call is over for its workspace's count and for its session; its legs may still repeat
    /// what their peers ask for again.
    fn end_live(&mut self) {
        if self.permit.take().is_some() {
            self.counted = self.node.census.enter(Kind::EndedCall);
            self.session.do_send(CallEnded);
        }
    }

    fn log_end(&self) {
        let Some(closing) = self.bridge.closing() else { return };
        let plan = self.bridge.plan();
        let talked = closing.talked;
        metrics::counter!("sautikit_calls_total", "status" => closing.status.as_str()).increment(1);
        tracing::info!(
            call = %plan.id,
            workspace = %plan.workspace,
            from = %plan.from,
            to = %plan.to,
            trunk = self.bridge.row().trunk.as_deref().unwrap_or("-"),
            status = %closing.status,
            seconds = talked.map_or(0, |talked| talked.seconds),
            cost_minor = talked.map_or(0, |talked| talked.cost.get()),
            cause = closing.hangup_cause,
            by = %closing.hangup_by,
            "call ended"
        );
    }

    /// Keeps one deadline: an earlier one replaces it, a later one waits for it to fire.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let Some(due) = self.bridge.poll_timeout() else { return };
        if let Some((armed, handle)) = self.armed {
            if armed <= due {
                return;
            }
            ctx.cancel_future(handle);
        }
        let wait = due.saturating_duration_since(Instant::now());
        let handle = ctx.run_later(wait, |act, ctx| {
            act.armed = None;
            act.deadline(ctx);
        });
        self.armed = Some((due, handle));
    }

    fn deadline(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let lost = self.bridge.rules().lost_until().is_some_and(|until| until <= now);
        if lost
            && !self.asking_evidence
            && let Some(media) = self.media.clone()
        {
            self.asking_evidence = true;
            let asked = async move { super::media::heard_from_browser(&media).await };
            ctx.spawn(asked.into_actor(self).map(|heard, act, ctx| act.timed_out(ctx, heard)));
            return;
        }
        self.timed_out(ctx, None);
    }

    fn timed_out(&mut self, ctx: &mut Context<Self>, heard: Option<Instant>) {
        let now = Instant::now();
        let stepped = catch_unwind(AssertUnwindSafe(|| self.bridge.handle_timeout(now, heard)));
        self.after_step(ctx, stepped.is_ok());
    }
}

async fn end_short(node: &Arc<Node>, close: Close) -> Result<(), WriteError> {
    let Close { row, events, debit } = close;
    let workspace = row.workspace;
    let Some(debit) = debit else { return Err(WriteError::Overdraft) };
    let written = cost_what_is_left(node, Box::new(row), debit, events).await;
    // What the wallet took off for the debit that was refused is not in the ledger.
    node.wallet(workspace).do_send(Reload);
    written
}

/// Where an in-dialog request goes: an address as it stands; a name that the route or Contact
/// holds is the trunk's own.
pub(super) fn address_of(host: &str, port: Option<u16>, trunk: SocketAddr) -> SocketAddr {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port.unwrap_or(5060)),
        Err(_) => trunk,
    }
}

/// A datagram could not be sent: the leg is told in a step of its own.
#[derive(Message)]
#[rtype(result = "()")]
struct Unsendable {
    candidate: usize,
}

impl Handler<Unsendable> for CallActor {
    type Result = ();

    fn handle(&mut self, told: Unsendable, ctx: &mut Self::Context) {
        self.step(ctx, Input::PeerUnsendable { candidate: told.candidate });
    }
}

impl Actor for CallActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(inbox) = self.inbox.take() {
            ctx.add_stream(Channel(inbox.receiver));
        }
        self.after_step(ctx, true);
    }

    fn stopped(&mut self, _ctx: &mut Self::Context) {
        self.end_live();
        for tag in &self.routes {
            self.node.router.remove_leg(tag);
        }
        self.node.router.remove_call(self.bridge.plan().id);
        self.session.do_send(CallOver { tag: self.bridge.plan().caller_tag.clone() });
    }
}

impl StreamHandler<Box<CallInput>> for CallActor {
    fn handle(&mut self, input: Box<CallInput>, ctx: &mut Self::Context) {
        if self.overflowed.swap(false, Ordering::Relaxed) {
            self.step(ctx, Input::HangUp(HangupBy::Gateway));
        }
        let input = match *input {
            CallInput::FromCaller(message) => Input::FromCaller(message),
            CallInput::FromPeer { candidate, message, source } => {
                Input::FromPeer { candidate, message, source }
            }
            CallInput::CallerLost { last_byte } => Input::CallerLost { last_byte },
            CallInput::CallerLeft => Input::CallerLeft,
            CallInput::HangUp(by) => Input::HangUp(by),
            CallInput::Media(MediaEvent::Silent { last_packet, .. }) => {
                Input::MediaSilent { last_packet }
            }
            CallInput::Media(MediaEvent::Gone(_)) => Input::MediaGone,
            CallInput::Media(MediaEvent::Connected | MediaEvent::FirstRtp(_)) => return,
        };
        self.step(ctx, input);
    }

    /// The queue is held by the router and this actor itself, so it ends with the actor alone.
    fn finished(&mut self, _ctx: &mut Self::Context) {}
}
