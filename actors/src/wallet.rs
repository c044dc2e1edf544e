//! The wallet actor: one per workspace in use. It decides in order ([`sautikit_core::wallet`]) and
//! submits to the node's one writer; it answers only when the entry is durable, a hold excepted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use sautikit_core::call::{CommitFailed, ExtendAnswer, HoldAnswer};
use sautikit_core::ids::{CallId, WorkspaceId};
use sautikit_core::limits::WALLET_IDLE;
use sautikit_core::money::Minor;
use sautikit_core::wallet::{ExtendOutcome, HoldOutcome, PostOutcome, ReleaseOutcome, Wallet};
use sautikit_store::{Urgency, Write, WriteError, Written};

use crate::call::{Close, Commit};
use crate::census::{Counted, Kind};
use crate::node::Node;

/// How long a caller of this actor waits before it takes the outcome for unknown.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Reserve the first amount of a call.
#[derive(Message)]
#[rtype(result = "HoldAnswer")]
pub(crate) struct Hold {
    pub(crate) call: CallId,
    pub(crate) amount: Minor,
}

/// Reserve more for a call that talks.
#[derive(Message)]
#[rtype(result = "ExtendAnswer")]
pub(crate) struct Extend {
    pub(crate) call: CallId,
    pub(crate) wanted: Minor,
    pub(crate) least: Minor,
}

/// Make an answer durable, growing its hold in the same step.
#[derive(Message)]
#[rtype(result = "Result<Minor, CommitFailed>")]
pub(crate) struct Answer(pub(crate) Box<Commit>);

/// Write the end of a call: its row, its debit, its events; the rest of its hold is let go.
#[derive(Message)]
#[rtype(result = "Result<(), WriteError>")]
pub(crate) struct End(pub(crate) Box<Close>);

/// Let the hold of a call go that was never dialled.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Release(pub(crate) CallId);

/// Read the balance again: another process changed the ledger.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct Reload;

/// Balance and what is held of it, for the API.
#[derive(Message)]
#[rtype(result = "Option<(Minor, Minor)>")]
pub(crate) struct Figures;

pub(crate) struct WalletActor {
    node: Arc<Node>,
    workspace: WorkspaceId,
    /// None until the ledger was read; then the mailbox is open.
    wallet: Option<Wallet>,
    /// Submissions so far: a balance read from the ledger is as of one of them.
    submitted: u64,
    /// Calls whose hold waits for a reading of the ledger; true once they were released meanwhile.
    reading: HashMap<CallId, bool>,
    holds: Counted,
    _counted: Counted,
}

impl WalletActor {
    pub(crate) fn new(node: Arc<Node>, workspace: WorkspaceId) -> Self {
        Self {
            holds: node.census.holds_of_wallet(),
            _counted: node.census.enter(Kind::Wallet),
            node,
            workspace,
            wallet: None,
            submitted: 0,
            reading: HashMap::new(),
        }
    }

    /// The balance as the ledger has it after all that was submitted so far. The writer keeps the
    /// order, so the deltas submitted later are exactly those that it does not reflect.
    fn read_again(&mut self) -> impl Future<Output = (u64, Result<Written, WriteError>)> + use<> {
        let as_of = self.submitted;
        let receipt = self.node.writer.submit(Write::Read(self.workspace), Urgency::Now);
        async move { (as_of, receipt.await) }
    }

    fn take_balance(&mut self, as_of: u64, read: Result<Written, WriteError>) -> bool {
        let Ok(Written::Balance(balance)) = read else {
            tracing::warn!(workspace = %self.workspace, "the balance could not be read: {read:?}");
            return false;
        };
        match &mut self.wallet {
            Some(wallet) => wallet.reload(balance, as_of),
            None => self.wallet = Some(Wallet::new(balance)),
        }
        true
    }

    fn hold(&mut self, call: CallId, amount: Minor) -> HoldAnswer {
        let Some(wallet) = &mut self.wallet else { return HoldAnswer::Unavailable };
        let outcome = wallet.hold(call, amount);
        self.holds.set(wallet.holds_len());
        match outcome {
            HoldOutcome::Created | HoldOutcome::Exists => HoldAnswer::Held(amount),
            HoldOutcome::Insufficient => HoldAnswer::Insufficient,
            refused => {
                tracing::error!(%call, "a hold was refused: {refused:?}");
                HoldAnswer::Unavailable
            }
        }
    }

    fn extend(&mut self, call: CallId, wanted: Minor, least: Minor) -> ExtendAnswer {
        let Some(wallet) = &mut self.wallet else { return ExtendAnswer::Unavailable };
        match wallet.extend(call, wanted, least) {
            ExtendOutcome::Extended { total } => {
                ExtendAnswer::Extended { held: total, left: wallet.available() }
            }
            ExtendOutcome::Insufficient => ExtendAnswer::Insufficient,
            refused => {
                tracing::error!(%call, "a hold did not grow: {refused:?}");
                ExtendAnswer::Unavailable
            }
        }
    }

    fn stop_when_idle(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(WALLET_IDLE, |act, ctx| {
            if act.wallet.as_ref().is_none_or(Wallet::is_idle) {
                act.node.router.forget_wallet(act.workspace, &ctx.address());
                ctx.stop();
            }
        });
    }
}

impl Actor for WalletActor {
    type Context = Context<Self>;

    /// Nobody is heard before the balance is known.
    fn started(&mut self, ctx: &mut Self::Context) {
        let read = self.read_again().into_actor(self).map(|(as_of, read), act, ctx| {
            if !act.take_balance(as_of, read) {
                act.node.router.forget_wallet(act.workspace, &ctx.address());
                ctx.stop();
            }
        });
        ctx.wait(read);
        self.stop_when_idle(ctx);
    }
}

impl Handler<Hold> for WalletActor {
    type Result = ResponseActFuture<Self, HoldAnswer>;

    fn handle(&mut self, ask: Hold, _ctx: &mut Self::Context) -> Self::Result {
        let answer = self.hold(ask.call, ask.amount);
        if answer != HoldAnswer::Insufficient {
            return Box::pin(fut::ready(answer));
        }
        // A top-up may have come from elsewhere: the ledger is asked before a caller is refused.
        self.reading.insert(ask.call, false);
        let read = self.read_again().into_actor(self);
        Box::pin(read.map(move |(as_of, read), act, _ctx| {
            let released = act.reading.remove(&ask.call).unwrap_or(false);
            let read = act.take_balance(as_of, read);
            if released {
                HoldAnswer::Insufficient
            } else if read {
                act.hold(ask.call, ask.amount)
            } else {
                HoldAnswer::Unavailable
            }
        }))
    }
}

impl Handler<Extend> for WalletActor {
    type Result = ResponseActFuture<Self, ExtendAnswer>;

    fn handle(&mut self, ask: Extend, _ctx: &mut Self::Context) -> Self::Result {
        let answer = self.extend(ask.call, ask.wanted, ask.least);
        if answer != ExtendAnswer::Insufficient {
            return Box::pin(fut::ready(answer));
        }
        let read = self.read_again().into_actor(self);
        Box::pin(read.map(move |(as_of, read), act, _ctx| {
            if act.take_balance(as_of, read) {
                act.extend(ask.call, ask.wanted, ask.least)
            } else {
                ExtendAnswer::Unavailable
            }
        }))
    }
}

impl Handler<Answer> for WalletActor {
    type Result = ResponseFuture<Result<Minor, CommitFailed>>;

    fn handle(&mut self, Answer(commit): Answer, _ctx: &mut Self::Context) -> Self::Result {
        let Commit { mut row, events, dialog, wanted, least } = *commit;
        let call = row.id;
        // What cannot grow now is asked for again by the call itself: the first hold stands.
        let _ = self.extend(call, wanted, least);
        let answered = self.wallet.as_mut().and_then(|wallet| {
            wallet.answer(call);
            wallet.hold_of(call)
        });
        let Some(held) = answered else {
            return Box::pin(std::future::ready(Err(CommitFailed::Unavailable)));
        };
        row.held = held;
        let write = Write::Answer { call: Box::new(row), dialog, events };
        self.submitted += 1;
        let receipt = self.node.writer.submit(write, Urgency::Now);
        Box::pin(async move {
            match receipt.await {
                Ok(_) => Ok(held),
                Err(error) => {
                    tracing::error!(%call, "the answer could not be committed: {error}");
                    Err(CommitFailed::Unavailable)
                }
            }
        })
    }
}

impl Handler<End> for WalletActor {
    type Result = ResponseFuture<Result<(), WriteError>>;

    fn handle(&mut self, End(close): End, _ctx: &mut Self::Context) -> Self::Result {
        let Close { row, events, debit } = *close;
        self.submitted += 1;
        if let Some(wallet) = &mut self.wallet {
            match &debit {
                Some(debit) => {
                    let posted = wallet.post(row.id, debit.amount, self.submitted);
                    if !matches!(posted, PostOutcome::Posted { .. }) {
                        tracing::error!(call = %row.id, "a debit fits no hold: {posted:?}");
                        metrics::counter!("sautikit_unbilled_answered_calls").increment(1);
                    }
                }
                // An answer that the caller never heard of was committed and is taken back.
                None => {
                    if wallet.release(row.id) == ReleaseOutcome::Answered {
                        wallet.post(row.id, Minor::ZERO, self.submitted);
                    }
                }
            }
            self.holds.set(wallet.holds_len());
        }
        let write = Write::Close { call: Box::new(row), debit, events };
        let receipt = self.node.writer.submit(write, Urgency::Soon);
        Box::pin(async move { receipt.await.map(|_| ()) })
    }
}

impl Handler<Release> for WalletActor {
    type Result = ();

    fn handle(&mut self, Release(call): Release, _ctx: &mut Self::Context) {
        if let Some(released) = self.reading.get_mut(&call) {
            *released = true;
        }
        if let Some(wallet) = &mut self.wallet {
            wallet.release(call);
            self.holds.set(wallet.holds_len());
        }
    }
}

impl Handler<Reload> for WalletActor {
    type Result = ();

    fn handle(&mut self, _: Reload, ctx: &mut Self::Context) {
        let read = self.read_again().into_actor(self);
        ctx.spawn(read.map(|(as_of, read), act, _ctx| {
            act.take_balance(as_of, read);
        }));
    }
}

impl Handler<Figures> for WalletActor {
    type Result = Option<(Minor, Minor)>;

    fn handle(&mut self, _: Figures, _ctx: &mut Self::Context) -> Self::Result {
        self.wallet.as_ref().map(|wallet| (wallet.balance(), wallet.held()))
    }
}
