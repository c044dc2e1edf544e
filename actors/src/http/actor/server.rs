//! One HTTP server: takes connections up to its bound, gives each a time for its request's head,
//! and ends with the last of them or with the time for that.

use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use sautikit_core::limits::HANDSHAKE_TIMEOUT;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

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
        // A set that is dropped ends what is in it.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                // Who has left makes room for who comes.
                biased;
                () = stop(&mut stopped) => break,
                Some(_) = connections.join_next() => {}
                (stream, _) = Listener::accept(&mut listener) => {
                    if connections.len() < connections_max {
                        connections.spawn(serve(stream, router.clone(), stopped.clone()));
                    } else {
                        metrics::counter!("sautikit_tcp_accept_errors_total", "reason" => "limit")
                            .increment(1);
                    }
                }
            }
        }
        drop(listener);
        let last = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ANSWERS, last).await.is_err() {
            tracing::info!(connections = connections.len(), "cut off at the stop: HTTP requests");
        }
    }
}

/// Serves one connection to its end; after the stop it takes no further request.
async fn serve(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    // Without `http1_only` the first bytes would be waited for, without a limit, to tell versions
    // apart.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let service = TowerToHyperService::new(router);
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
