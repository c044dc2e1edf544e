//! The HTTP actor: owns the two servers, which run on the runtime of store and DNS, and ends them.

mod server;

use std::sync::Arc;

use actix::prelude::*;
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use sautikit_core::limits::{ADMIN_CONNECTIONS_MAX, HTTP_CONNECTIONS_MAX};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{admin_routes, routes};
use crate::node::Node;
pub(super) use server::Rest;
use server::Server;

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
        let admin_routes = admin_routes(Arc::clone(node), metrics);
        let _entered = runtime.enter();
        let public = Server::new(api, public, HTTP_CONNECTIONS_MAX)?;
        let admin = Server::new(admin, admin_routes, ADMIN_CONNECTIONS_MAX)?;
        let servers =
            [public, admin].map(|server| runtime.spawn(server.run(stopped.clone()))).into();
        Ok(Self { stop, servers })
    }
}

impl Actor for HttpActor {
    type Context = Context<Self>;
}

/// End both servers; answers when open requests are done, or were given time enough.
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
