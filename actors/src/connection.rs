//! The connection actor: one per WebSocket. It starts when the request head is whole, decides the
//! handshake (the token is verified here), then polls its socket itself.

mod actor;
mod handshake;
mod listener;
mod refused;
mod register;
mod session;

pub(crate) use actor::{CallEnded, CallOver, ConnectionActor, KeysReplaced, Shut, close_suspended};
pub(crate) use listener::accept_sessions;
