//! Who is where: look-ups across shards. Nothing here is held across an await, and nothing walks
//! over all sessions for one call.

use actix::Addr;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use sautikit_core::call::SignOfLife;
use sautikit_core::ids::{CallId, SessionId, WorkspaceId};
use std::sync::Arc;

use crate::call::CallQueue;
use crate::connection::ConnectionActor;
use crate::trunk::Trunk;
use crate::wallet::WalletActor;

/// Where the leg of a trunk is: found by our tag, checked by our Call-ID.
#[derive(Clone)]
pub(crate) struct TrunkLeg {
    pub(crate) call_id: Arc<str>,
    pub(crate) candidate: usize,
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) queue: CallQueue,
}

/// A call under way.
pub(crate) struct LiveCall {
    pub(crate) workspace: WorkspaceId,
    pub(crate) queue: CallQueue,
    /// While the call talks.
    pub(crate) sign: Option<SignOfLife>,
}

/// An open session.
pub(crate) struct LiveSession {
    pub(crate) workspace: WorkspaceId,
    pub(crate) user: Arc<str>,
    pub(crate) address: Addr<ConnectionActor>,
}

/// The tables. See the module's page.
#[derive(Default)]
pub(crate) struct Router {
    legs: DashMap<Arc<str>, TrunkLeg>,
    calls: DashMap<CallId, LiveCall>,
    sessions: DashMap<SessionId, LiveSession>,
    users: DashMap<(WorkspaceId, Arc<str>), usize>,
    sessions_of: DashMap<WorkspaceId, u32>,
    wallets: DashMap<WorkspaceId, Addr<WalletActor>>,
}

impl Router {
    /// Whether a leg has this tag, whatever its Call-ID.
    pub(crate) fn has_leg(&self, tag: &str) -> bool {
        self.legs.contains_key(tag)
    }

    pub(crate) fn add_leg(&self, tag: Arc<str>, leg: TrunkLeg) {
        self.legs.insert(tag, leg);
    }

    pub(crate) fn remove_leg(&self, tag: &str) {
        self.legs.remove(tag);
    }

    /// The leg with this tag and this Call-ID; another Call-ID with a known tag is nobody's.
    pub(crate) fn leg(&self, tag: &str, call_id: &str) -> Option<TrunkLeg> {
        let leg = self.legs.get(tag)?;
        (*leg.call_id == *call_id).then(|| leg.clone())
    }

    pub(crate) fn add_call(&self, id: CallId, workspace: WorkspaceId, queue: CallQueue) {
        self.calls.insert(id, LiveCall { workspace, queue, sign: None });
    }

    pub(crate) fn remove_call(&self, id: CallId) {
        self.calls.remove(&id);
    }

    /// The queue of a live call of this workspace.
    pub(crate) fn call(&self, workspace: WorkspaceId, id: CallId) -> Option<CallQueue> {
        let call = self.calls.get(&id)?;
        (call.workspace == workspace).then(|| call.queue.clone())
    }

    /// `None` once it is over: it gives no more signs of life while its end waits for a commit.
    pub(crate) fn talks(&self, id: CallId, sign: Option<SignOfLife>) {
        if let Some(mut call) = self.calls.get_mut(&id) {
            call.sign = sign;
        }
    }

    pub(crate) fn calls_live(&self) -> usize {
        self.calls.len()
    }

    /// Every live call, for the sign of life and the drain: once in seconds, not once a call.
    pub(crate) fn for_each_call(&self, mut visit: impl FnMut(CallId, &LiveCall)) {
        for entry in &self.calls {
            visit(*entry.key(), entry.value());
        }
    }

    pub(crate) fn add_session(&self, id: SessionId, session: LiveSession) {
        let workspace = session.workspace;
        *self.sessions_of.entry(workspace).or_insert(0) += 1;
        *self.users.entry((workspace, Arc::clone(&session.user))).or_insert(0) += 1;
        self.sessions.insert(id, session);
    }

    /// How many sessions the workspace has.
    pub(crate) fn sessions_of(&self, workspace: WorkspaceId) -> u32 {
        self.sessions_of.get(&workspace).map_or(0, |count| *count)
    }

    pub(crate) fn remove_session(&self, id: SessionId) {
        let Some((_, session)) = self.sessions.remove(&id) else { return };
        if let Entry::Occupied(mut entry) = self.sessions_of.entry(session.workspace) {
            *entry.get_mut() = entry.get().saturating_sub(1);
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        if let Entry::Occupied(mut entry) = self.users.entry((session.workspace, session.user)) {
            *entry.get_mut() = entry.get().saturating_sub(1);
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many sessions of the workspace are connected as this user.
    pub(crate) fn connected(&self, workspace: WorkspaceId, user: &Arc<str>) -> usize {
        self.users.get(&(workspace, user.clone())).map_or(0, |count| *count)
    }

    /// Every session, for drain and key changes.
    pub(crate) fn for_each_session(&self, mut visit: impl FnMut(&LiveSession)) {
        for entry in &self.sessions {
            visit(entry.value());
        }
    }

    /// The workspace's wallet; `start` makes it where there is none.
    pub(crate) fn wallet(
        &self,
        workspace: WorkspaceId,
        start: impl FnOnce() -> Addr<WalletActor>,
    ) -> Addr<WalletActor> {
        if let Some(wallet) = self.wallets.get(&workspace).filter(|wallet| wallet.connected()) {
            return wallet.clone();
        }
        match self.wallets.entry(workspace) {
            Entry::Occupied(entry) if entry.get().connected() => entry.get().clone(),
            Entry::Occupied(mut entry) => {
                entry.insert(start());
                entry.get().clone()
            }
            Entry::Vacant(entry) => entry.insert(start()).clone(),
        }
    }

    /// The workspace's wallet where it is in use.
    pub(crate) fn wallet_in_use(&self, workspace: WorkspaceId) -> Option<Addr<WalletActor>> {
        self.wallets.get(&workspace).map(|wallet| wallet.clone())
    }

    pub(crate) fn forget_wallet(&self, workspace: WorkspaceId, address: &Addr<WalletActor>) {
        self.wallets.remove_if(&workspace, |_, known| known == address);
    }

    pub(crate) fn for_each_wallet(&self, mut visit: impl FnMut(&Addr<WalletActor>)) {
        for entry in &self.wallets {
            visit(entry.value());
        }
    }
}
