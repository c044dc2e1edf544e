//! What every actor of the process shares.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::{Actor, Addr, ArbiterHandle, AsyncContext};
use sautikit_core::admission::Admission;
use sautikit_core::ids::WorkspaceId;
use sautikit_core::limits::Limits;
use sautikit_core::rate::RateCard;
use sautikit_core::time::UnixMicros;
use sautikit_core::token::Claims;
use sautikit_media::Engine;
use sautikit_net::bearer::{self, BearerError, Token};
use sautikit_net::keys::Keys;
use sautikit_net::origin::Origins;
use sautikit_net::udp;
use sautikit_store::{Directory, Store, Writer};

use crate::edge::Edge;
use crate::router::Router;
use crate::trunk::Trunk;
use crate::wallet::WalletActor;

/// The process as its actors see it.
pub(crate) struct Node {
    pub(crate) domain: Arc<str>,
    /// The public WebSocket address for token answers, where the operator set one.
    pub(crate) ws_url: Option<String>,
    pub(crate) origins: Origins,
    pub(crate) limits: Limits,
    pub(crate) card: RateCard,
    pub(crate) trunks: Vec<Arc<Trunk>>,
    /// Host and port of Via and Contact towards carriers.
    pub(crate) sip_public: SocketAddr,
    pub(crate) keys: RwLock<Arc<Keys>>,
    pub(crate) directory: RwLock<Arc<Directory>>,
    pub(crate) router: Router,
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
    pub(crate) origins: Origins,
    pub(crate) limits: Limits,
    pub(crate) card: RateCard,
    pub(crate) trunks: Vec<Arc<Trunk>>,
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
            origins: parts.origins,
            edge: Arc::new(Edge::new(&parts.limits)),
            admission: Mutex::new(Admission::new(parts.limits.clone())),
            limits: parts.limits,
            card: parts.card,
            trunks: parts.trunks,
            sip_public: parts.sip_public,
            keys: RwLock::new(Arc::new(parts.keys)),
            directory: RwLock::new(Arc::new(parts.directory)),
            router: Router::default(),
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

    /// Signs a token.
    pub(crate) fn mint(&self, claims: &Claims) -> String {
        bearer::mint(claims, &self.keys())
    }

    /// Checks shape and signature; the times are for the caller to judge.
    pub(crate) fn verify(&self, token: &Token) -> Result<Claims, BearerError> {
        let now = wall_now().unix_seconds();
        Ok(bearer::verify(token.expose(), &self.keys(), now)?.claims)
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
            WalletActor::start_in_arbiter(&self.shards[shard], move |ctx| {
                ctx.address();
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
