//! The gateway's actors: thin shells around plain values.
//!
//! | actor | one per | file |
//! |---|---|---|
//! | `ConnectionActor` | WebSocket | `connection/` |
//! | `CallActor` | call | `call/` |
//! | `WalletActor` | workspace in use | `wallet.rs` |
//! | `TrunkActor` | trunk | `trunk.rs` |
//! | `HttpActor` | process | `http/` |
//!
//! What decides is a value without I/O (`call/bridge.rs`, `connection/session.rs` and the rooms
//! core and sip); what does I/O is a short loop around it. [`gateway`] starts and stops them.

mod admit;
mod call;
mod census;
mod connection;
mod edge;
mod gateway;
mod gauges;
mod http;
mod keepers;
mod lag;
mod node;
mod router;
mod streams;
mod trunk;
mod wallet;

pub use call::RecoverError;
pub use gateway::{Addresses, Base, Gateway, Listeners, Settings, StartError};
pub use node::Rules;
pub use trunk::Trunk;
