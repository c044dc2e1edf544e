//! Takes TCP connections and hands each to a shard, where its head is read and its actor lives.

use std::net::SocketAddr;
use std::sync::Arc;

use actix::prelude::*;
use sautikit_net::answer::Answer;
use sautikit_net::head::read_head;
use sautikit_net::listen::Listener;
use tokio::net::TcpStream;

use super::actor::ConnectionActor;
use crate::edge::Newcomer;
use crate::node::Node;

/// Accepts until the process ends. Connections go to the shards in turn, so that a wave of them is
/// spread evenly.
pub(crate) async fn accept_sessions(node: Arc<Node>, listener: Listener) {
    let mut turn = 0_usize;
    loop {
        let (stream, peer) = listener.accept().await;
        let Some(newcomer) = node.edge.admit(peer.ip()) else {
            // Over the count of unfinished handshakes: an answer would cost what is to be saved.
            metrics::counter!("sautikit_handshakes_total", "outcome" => "unauthenticated_limit")
                .increment(1);
            continue;
        };
        let Ok(stream) = stream.into_std() else { continue };
        let shard = &node.shards[turn % node.shards.len()];
        turn = turn.wrapping_add(1);
        let node = Arc::clone(&node);
        shard.spawn_fn(move || {
            actix::spawn(greet(node, stream, peer, newcomer));
        });
    }
}

async fn greet(node: Arc<Node>, stream: std::net::TcpStream, peer: SocketAddr, newcomer: Newcomer) {
    let Ok(mut stream) = TcpStream::from_std(stream) else { return };
    match read_head(&mut stream).await {
        Ok(head) => {
            ConnectionActor::new(node, stream, head, peer, newcomer).start();
        }
        Err(error) => {
            metrics::counter!("sautikit_handshakes_total", "outcome" => error.label()).increment(1);
            if let Some(refusal) = error.refusal() {
                node.edge.failed(peer.ip());
                Answer::refusal(refusal).finish(stream).await;
            }
        }
    }
}
