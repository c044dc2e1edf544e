//! The running gateway: its threads, sockets and actors, started in order and stopped by the drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Arbiter};
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use sautikit_core::cause::{CloseCode, HangupBy};
use sautikit_media::Engine;
use sautikit_net::keys::{Keys, Reload, SigningKey};
use sautikit_net::listen::{self, BindError};
use sautikit_net::udp;
use sautikit_store::{Store, StoreError, Writer, WriterTask};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant as Tick, sleep_until};

use crate::call::{CallInput, RecoverError, offer_to_call, recover};
use crate::connection::{KeysReplaced, Shut, accept_sessions};
use crate::http::{HttpActor, StopServing};
use crate::keepers::{watch_directory, write_signs_of_life};
use crate::lag::watch_this_loop;
use crate::node::{Node, Parts, Rules};
use crate::trunk::{TrunkActor, read_datagrams};

/// How often a drain looks whether the last call is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the sessions' close frames may take.
const LAST_CLOSES: Duration = Duration::from_secs(2);

/// What the gateway is made of; the configuration's plain values.
pub struct Settings {
    /// The domain of addresses of record and of answers.
    pub domain: String,
    /// The public WebSocket address that token answers carry, where one is set.
    pub ws_url: Option<String>,
    /// What carriers see in Via and Contact, where it differs from the bound address.
    pub sip_public: Option<SocketAddr>,
    /// The keys of SIP tokens.
    pub keys: Keys,
    /// Origins, limits, rates and trunks.
    pub rules: Rules,
    /// Threads for actors; one a core is right.
    pub shards: usize,
}

/// The four sockets, bound before anything runs, so that a taken port stops the start whole.
pub struct Listeners {
    http: listen::Bound,
    admin: listen::Bound,
    ws: listen::Bound,
    sip: udp::Bound,
}

/// Where the gateway listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub ws: SocketAddr,
    pub sip: SocketAddr,
}

impl Listeners {
    /// Binds all of them.
    ///
    /// # Errors
    /// The first that cannot be had; it names the setting to change.
    pub fn bind(addresses: &Addresses) -> Result<Self, BindError> {
        Ok(Self {
            http: listen::Bound::bind(addresses.http, "SAUTIKIT_HTTP_ADDR")?,
            admin: listen::Bound::bind(addresses.admin, "SAUTIKIT_ADMIN_ADDR")?,
            ws: listen::Bound::bind(addresses.ws, "SAUTIKIT_WS_ADDR")?,
            sip: udp::Bound::bind(addresses.sip, "SAUTIKIT_SIP_UDP_ADDR")?,
        })
    }

    /// Where they are bound; a port of 0 has become a real one.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            http: self.http.local_addr()?,
            admin: self.admin.local_addr()?,
            ws: self.ws.local_addr()?,
            sip: self.sip.local_addr()?,
        })
    }
}

/// What is there before any actor is.
pub struct Base {
    /// Bound sockets.
    pub listeners: Listeners,
    /// The open database.
    pub store: Store,
    /// Its one writer, and the task of it that is to run.
    pub writer: (Writer, WriterTask),
    /// The running media engine.
    pub media: Engine,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// The multi-thread runtime of store, HTTP and DNS; it outlives every actor.
    pub runtime: Handle,
    /// More public HTTP routes.
    pub extra: Option<Router>,
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the directory could not be read: {0}")]
    Directory(#[from] StoreError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error("a socket could not be used: {0}")]
    Socket(#[from] std::io::Error),
    #[error("an actor thread ended before it began")]
    Shard,
}

/// The running gateway.
pub struct Gateway {
    node: Arc<Node>,
    http: Addr<HttpActor>,
    addresses: Addresses,
    // Held so that the actors' threads live as long as the process.
    _shards: Vec<Arbiter>,
}

impl Gateway {
    /// Starts it all: actor threads, trunk socket, recovery of a dead process's calls, sessions,
    /// HTTP. To be called on the actix system's thread.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running that the process's exit does not end.
    pub async fn start(settings: Settings, base: Base) -> Result<Self, StartError> {
        let Base { listeners, store, writer, media, metrics, runtime, extra } = base;
        let addresses = listeners.addresses()?;
        let shards: Vec<Arbiter> = (0..settings.shards.max(1)).map(|_| Arbiter::new()).collect();
        for shard in &shards {
            shard.spawn(watch_this_loop());
        }
        // Where wallets submit and wait: on another thread each commit would be two wake-ups more.
        let (writer, committing) = writer;
        shards[0].spawn(committing.run());
        let (udp, start_reading) = open_trunk_socket(&shards[0], listeners.sip).await?;
        let node = Arc::new(Node::new(Parts {
            domain: settings.domain.into(),
            ws_url: settings.ws_url,
            rules: settings.rules,
            sip_public: settings.sip_public.unwrap_or(addresses.sip),
            keys: settings.keys,
            directory: store.directory().await?,
            store,
            writer,
            media,
            udp,
            shards: shards.iter().map(Arbiter::handle).collect(),
        }));
        // The end of the kept sender ends the reading task unstarted.
        start_reading.send(Arc::clone(&node)).map_err(|_| StartError::Shard)?;
        recover(&node).await?;
        runtime.spawn(write_signs_of_life(Arc::clone(&node)));
        runtime.spawn(watch_directory(Arc::clone(&node)));
        let http = HttpActor::serve(
            &runtime,
            &node,
            listeners.http.into_std(),
            listeners.admin.into_std(),
            metrics,
            extra,
        )?
        .start();
        actix::spawn(accept_sessions(Arc::clone(&node), listeners.ws.listener()?));
        Ok(Self { node, http, addresses, _shards: shards })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Puts what was read again in force, without dropping a session: rules for what starts from
    /// now on, and the signing keys. An active key that was never loaded before is an emergency:
    /// sessions of a removed key are closed with 4401.
    pub fn reload(&self, active: SigningKey, next: Option<SigningKey>, rules: Rules) -> Reload {
        let rules = self.node.set_rules(rules);
        TrunkActor::start_all(&self.node, &rules);
        let reload = self.node.set_keys(active, next);
        if reload == Reload::Emergency {
            self.node.router.for_each_session(|session| session.address.do_send(KeysReplaced));
        }
        reload
    }

    /// From now on nothing new is taken; sessions without a call are closed (4503).
    pub fn begin_drain(&self) {
        self.node.drain();
        let shut = Shut { code: CloseCode::Draining, reason: "draining", wait_for_calls: true };
        self.node.router.for_each_session(|session| session.address.do_send(shut));
    }

    /// Waits until no call is left, or the time is up; gives how many are left.
    pub async fn wait_for_calls(&self, grace: Duration) -> usize {
        let until = Instant::now() + grace;
        loop {
            let left = self.node.router.calls_live();
            if left == 0 || Instant::now() >= until {
                return left;
            }
            sleep_until(Tick::from_std(Instant::now() + LOOK_EVERY)).await;
        }
    }

    /// Hangs up what is left on both sides.
    pub fn end_calls(&self) {
        self.node.router.for_each_call(|_, call| {
            offer_to_call(&call.queue, CallInput::HangUp(HangupBy::Shutdown));
        });
    }

    /// Lets the sessions' close frames out and commits what is queued.
    pub async fn stop(&self) {
        let until = Instant::now() + LAST_CLOSES;
        while self.node.router.sessions() > 0 && Instant::now() < until {
            sleep_until(Tick::from_std(Instant::now() + LOOK_EVERY)).await;
        }
        self.node.writer.shut_down().await;
    }

    /// Ends the HTTP servers; requests that are under way have two seconds.
    pub async fn stop_serving(&self) {
        let _ = self.http.send(StopServing).await;
    }
}

type NodeSender = oneshot::Sender<Arc<Node>>;

/// Opens the trunk socket on the first shard, where its one reader lives: half of the calls then
/// need no other thread to hear their carrier. The reader starts when it is given the node.
async fn open_trunk_socket(
    shard: &Arbiter,
    bound: udp::Bound,
) -> Result<(udp::Sender, NodeSender), StartError> {
    let (opened, open) = oneshot::channel();
    let (start, started) = oneshot::channel::<Arc<Node>>();
    shard.spawn_fn(move || {
        actix::spawn(async move {
            let receiver = match bound.split() {
                Ok((receiver, sender)) => {
                    let _ = opened.send(Ok(sender));
                    receiver
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            let Ok(node) = started.await else { return };
            TrunkActor::start_all(&node, &node.rules());
            read_datagrams(node, receiver).await;
        });
    });
    Ok((open.await.map_err(|_| StartError::Shard)??, start))
}
