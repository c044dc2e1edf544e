//! One HTTP server: takes connections up to its bound, gives each a time for its request's head,
//! and ends with the last of them or with the time for that.
//!
//! Over the bound the connection that has rested longest makes room: whoever opens many and asks
//! nothing keeps nobody out who asks at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::Listener;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use sautikit_core::limits::HANDSHAKE_TIMEOUT;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

/// From a connection, or from its last answer, to the next head's last byte. So it bounds an idle
/// keep-alive as well: a stranger holds a descriptor of ours no longer than on the WebSocket port.
const HEAD_TIMEOUT: Duration = HANDSHAKE_TIMEOUT;

/// How long the requests under way at the stop may take.
pub(super) const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A listener with what it serves.
pub(super) struct Server {
    listener: TcpListener,
    router: Router,
    connections_max: usize,
}

impl Server {
    /// To be called inside a runtime.
    pub(super) fn new(
        listener: std::net::TcpListener,
        router: Router,
        connections_max: usize,
    ) -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::from_std(listener)?, router, connections_max })
    }

    /// Serves until `stopped` says so, then until the last answer, or for [`LAST_ANSWERS`].
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let Self { mut listener, router, connections_max } = self;
        let mut connections = Connections::default();
        loop {
            tokio::select! {
                // Who has left makes room for who comes.
                biased;
                () = stop(&mut stopped) => break,
                () = connections.one_ends(), if !connections.is_empty() => {}
                (stream, _) = Listener::accept(&mut listener) => {
                    if connections.make_room(connections_max) {
                        let rest = Rest::default();
                        let served = serve(stream, router.clone(), rest.clone(), stopped.clone());
                        connections.add(served, rest);
                    }
                }
            }
        }
        drop(listener);
        let last = async {
            while !connections.is_empty() {
                connections.one_ends().await;
            }
        };
        if tokio::time::timeout(LAST_ANSWERS, last).await.is_err() {
            tracing::info!(connections = connections.len(), "cut off at the stop: HTTP requests");
        }
    }
}

/// Since when a connection waits for its client; `None` while its client waits.
#[derive(Clone)]
pub(in crate::http) struct Rest(Arc<Mutex<Option<Instant>>>);

impl Default for Rest {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now()))))
    }
}

impl Rest {
    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// What the client has still to send, and what comes of it.
    pub(in crate::http) async fn during<T>(&self, arrival: impl Future<Output = T>) -> T {
        self.set(Some(Instant::now()));
        let arrived = arrival.await;
        self.set(None);
        arrived
    }
}

/// The open connections. What is in a set that is dropped ends.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    rests: HashMap<Id, (AbortHandle, Rest)>,
}

impl Connections {
    fn len(&self) -> usize {
        self.rests.len()
    }

    fn is_empty(&self) -> bool {
        self.rests.is_empty()
    }

    fn add(&mut self, served: impl Future<Output = ()> + Send + 'static, rest: Rest) {
        let handle = self.tasks.spawn(served);
        self.rests.insert(handle.id(), (handle, rest));
    }

    async fn one_ends(&mut self) {
        let ended = self.tasks.join_next_with_id().await;
        if let Some(id) = ended.map(|ended| ended.map_or_else(|e: JoinError| e.id(), |(id, ())| id))
        {
            self.rests.remove(&id);
        }
    }

    /// Whether there is room for one more: the one that has rested longest goes, and where all have
    /// a request, the new one does.
    fn make_room(&mut self, most: usize) -> bool {
        if self.len() < most {
            return true;
        }
        metrics::counter!("sautikit_tcp_accept_errors_total", "reason" => "limit").increment(1);
        let resting = self.rests.iter().filter_map(|(id, (_, rest))| Some((*id, rest.since()?)));
        let Some((id, _)) = resting.min_by_key(|(_, since)| *since) else { return false };
        if let Some((handle, _)) = self.rests.remove(&id) {
            handle.abort();
        }
        true
    }
}

/// Serves one connection to its end; after the stop it takes no further request.
async fn serve(stream: TcpStream, router: Router, rest: Rest, mut stopped: watch::Receiver<bool>) {
    // Without `http1_only` the first bytes would be waited for, without a limit, to tell versions
    // apart.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        rest.set(None);
        request.extensions_mut().insert(rest.clone());
        let (answered, rest) = (router.call(request), rest.clone());
        async move {
            let answer = answered.await;
            rest.set(Some(Instant::now()));
            answer
        }
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    // What goes wrong on a connection is its client's affair: there is nobody left to tell.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop(&mut stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A sender that is gone stops as well.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}
