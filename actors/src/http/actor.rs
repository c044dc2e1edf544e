//! The HTTP actor: owns the two servers, which run on the runtime of store and DNS, and ends them.

use std::sync::Arc;

use actix::prelude::*;
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{admin_routes, routes};
use crate::node::Node;

pub(crate) struct HttpActor {
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

impl HttpActor {
    /// Serves the API and the admin address on the given runtime; `extra` is merged into the
    /// public routes (the demo's page).
    pub(crate) fn serve(
        runtime: &Handle,
        node: &Arc<Node>,
        api: std::net::TcpListener,
        admin: std::net::TcpListener,
        metrics: PrometheusHandle,
        extra: Option<Router>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let public = match extra {
            Some(extra) => routes(Arc::clone(node)).merge(extra),
            None => routes(Arc::clone(node)),
        };
        let _entered = runtime.enter();
        let servers = vec![
            spawn(runtime, TcpListener::from_std(api)?, public, stopped.clone()),
            spawn(
                runtime,
                TcpListener::from_std(admin)?,
                admin_routes(Arc::clone(node), metrics),
                stopped,
            ),
        ];
        Ok(Self { stop, servers })
    }
}

fn spawn(
    runtime: &Handle,
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    runtime.spawn(async move {
        let stop = async move {
            // A sender that is gone stops as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!("an HTTP server ended: {error}");
        }
    })
}

impl Actor for HttpActor {
    type Context = Context<Self>;
}

/// End both servers; answers when open requests are done.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopServing;

impl Handler<StopServing> for HttpActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopServing, ctx: &mut Self::Context) -> Self::Result {
        let _ = self.stop.send(true);
        let servers = std::mem::take(&mut self.servers);
        ctx.stop();
        Box::pin(async move {
            for server in servers {
                let _ = server.await;
            }
        })
    }
}
