//! Media: a browser's DTLS-SRTP on one side, a carrier's plain RTP on the other.
//!
//! [`Engine`] is all that the call code knows. `embedded` relays in worker threads of this process;
//! `bypass` hands SDP through unchanged. [`peer`] is the browser's end for tests and load generators.
//!
//! ```text
//! engine ── commands ──▶ worker (thread, sockets) ──▶ call (plain value: browser's leg, trunk's leg, rebase)
//! ```

mod addresses;
mod browser;
mod browser_sdp;
mod call;
mod deadlines;
mod dtls;
mod engine;
mod error;
mod event;
pub mod g711;
mod ice;
pub mod peer;
mod ports;
mod random;
mod rebase;
mod reception;
mod reports;
mod rtcp;
pub mod rtp;
mod silence;
mod srtp;
mod tally;
mod trunk;
mod trunk_sdp;
mod worker;

pub use engine::{Config, Engine, EngineKind, MediaSession};
pub use error::{MediaError, StartError};
pub use event::{EventSink, GoneWhy, LegStats, MediaEvent, MediaStats, Side, Silent};
