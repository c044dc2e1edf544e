//! What every actor of the process shares.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::{Actor, Addr, ArbiterHandle};
use sautikit_core::admission::Admission;
use sautikit_core::ids::WorkspaceId;
use sautikit_core::limits::Limits;
use sautikit_core::rate::RateCard;
use sautikit_core::time::UnixMicros;
use sautikit_core::token::Claims;
use sautikit_media::Engine;
use sautikit_net::bearer::{self, BearerError, Token, Verified};
use sautikit_net::keys::{Keys, Reload, SigningKey};
use sautikit_net::origin::Origins;
use sautikit_net::udp;
use sautikit_store::{Directory, Store, Writer};

use crate::census::Census;
use crate::edge::Edge;
use crate::router::Router;
use crate::trunk::Trunk;
use crate::wallet::WalletActor;

/// What an operator may change while the gateway runs.
pub struct Rules {
    /// Pages that may connect.
    pub origins: Origins,
    /// Limits of node, workspaces and sessions.
    pub limits: Limits,
    /// What calls cost.
    pub card: RateCard,
    /// Carriers.
    pub trunks: Vec<Arc<Trunk>>,
    /// Trunks of former rules on which calls still live.
    retired: Vec<Arc<Trunk>>,
}

impl Rules {
    /// Rules as they are configured.
    pub fn new(origins: Origins, limits: Limits, card: RateCard, trunks: Vec<Trunk>) -> Self {
        let trunks = trunks.into_iter().map(Arc::new).collect();
        Self { origins, limits, card, trunks, retired: Vec::new() }
    }

    /// Those that take calls, and those that only end them.
    pub(crate) fn every_trunk(&self) -> impl Iterator<Item = &Arc<Trunk>> {
        self.trunks.iter().chain(&self.retired)
    }
}

/// The process as its actors see it.
pub(crate) struct Node {
    pub(crate) domain: Arc<str>,
    /// The public WebSocket address for token answers, where the operator set one.
    pub(crate) ws_url: Option<String>,
    rules: RwLock<Arc<Rules>>,
    /// Host and port of Via and Contact towards carriers.
    pub(crate) sip_public: SocketAddr,
    keys: RwLock<Arc<Keys>>,
    pub(crate) directory: RwLock<Arc<Directory>>,
    pub(crate) router: Router,
    pub(crate) census: Census,
    pub(crate) edge: Arc<Edge>,
    admission: Mutex<Admission>,
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) media: Engine,
    pub(crate) udp: udp::Sender,
    pub(crate) shards: Vec<ArbiterHandle>,
    draining: AtomicBool,
    started: (Instant, UnixMicros),
}

/// What [`Node::new`] is made from; see the fields of [`Node`].
pub(crate) struct Parts {
    pub(crate) domain: Arc<str>,
    pub(crate) ws_url: Option<String>,
    pub(crate) rules: Rules,
    pub(crate) sip_public: SocketAddr,
    pub(crate) keys: Keys,
    pub(crate) directory: Directory,
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) media: Engine,
    pub(crate) udp: udp::Sender,
    pub(crate) shards: Vec<ArbiterHandle>,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            domain: parts.domain,
            ws_url: parts.ws_url,
            edge: Arc::new(Edge::new(&parts.rules.limits)),
            admission: Mutex::new(Admission::new(parts.rules.limits.clone())),
            rules: RwLock::new(Arc::new(parts.rules)),
            sip_public: parts.sip_public,
            keys: RwLock::new(Arc::new(parts.keys)),
            directory: RwLock::new(Arc::new(parts.directory)),
            router: Router::default(),
            census: Census::default(),
            store: parts.store,
            writer: parts.writer,
            media: parts.media,
            udp: parts.udp,
            shards: parts.shards,
            draining: AtomicBool::new(false),
            started: (Instant::now(), wall_now()),
        }
    }

    /// The keys in force.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts new rules in force for what starts from now on. A trunk that did not change stays the
    /// same one, so the legs on it still count.
    pub(crate) fn set_rules(&self, mut rules: Rules) -> Arc<Rules> {
        let former = self.rules();
        for trunk in &mut rules.trunks {
            if let Some(same) = former.trunks.iter().find(|known| known.is_like(trunk)) {
                *trunk = Arc::clone(same);
            }
        }
        let gone = former.every_trunk().filter(|known| {
            known.live() > 0 && !rules.trunks.iter().any(|kept| Arc::ptr_eq(kept, known))
        });
        rules.retired = gone.cloned().collect();
        self.admission().set_limits(rules.limits.clone());
        let rules = Arc::new(rules);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&rules);
        rules
    }

    /// Takes the signing keys as they were read again.
    pub(crate) fn set_keys(&self, active: SigningKey, next: Option<SigningKey>) -> Reload {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let (loaded, reload) = keys.reload(active, next, wall_now().unix_seconds());
        *keys = Arc::new(loaded);
        reload
    }

    /// Signs a token.
    pub(crate) fn mint(&self, claims: &Claims) -> String {
        bearer::mint(claims, &self.keys())
    }

    /// Checks shape and signature; the times are for the caller to judge.
    pub(crate) fn verify(&self, token: &Token) -> Result<Verified, BearerError> {
        let verified = bearer::verify(token.expose(), &self.keys(), wall_now().unix_seconds())?;
        let claims = &verified.claims;
        if claims.max_calls.is_some() || claims.max_cost_minor.is_some() {
            // Whoever signed them relies on them.
            return Err(BearerError::Claims("max_calls and max_cost_minor are not kept here"));
        }
        Ok(verified)
    }

    /// The counters of calls.
    pub(crate) fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Workspaces, numbers and API keys as last read.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_directory(&self, directory: Directory) {
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.0.elapsed()
    }

    /// The workspace's wallet actor, on the shard that its id falls to.
    pub(crate) fn wallet(self: &Arc<Self>, workspace: WorkspaceId) -> Addr<WalletActor> {
        self.router.wallet(workspace, || {
            let shard = shard_of(workspace, self.shards.len());
            let node = Arc::clone(self);
            WalletActor::start_in_arbiter(&self.shards[shard], move |_| {
                WalletActor::new(node, workspace)
            })
        })
    }
}

fn shard_of(workspace: WorkspaceId, shards: usize) -> usize {
    // The random part of a UUIDv7 spreads evenly.
    let last = workspace.as_uuid().as_bytes()[15];
    usize::from(last) % shards.max(1)
}

/// The wall clock, for timestamps and token times alone: durations are monotonic.
pub(crate) fn wall_now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
