//! What must hold for any bytes and for any order of events, each as one function of bytes. A
//! program of `targets/` hands it to libFuzzer, which searches for bytes that break it.
//!
//! | function | what it holds to its word |
//! |---|---|
//! | [`reader::check`] | SIP: bytes to a message, or to the stateless answer |
//! | [`sdp::check`] | session descriptions: reading, and what is written to trunks |
//! | [`handshake::check`] | the head of a WebSocket handshake, in whatever pieces it comes |
//! | [`transaction::check`] | the four machines of RFC 3261 section 17, in virtual time |
//! | [`leg::check`] | a whole leg, its owner and its peer, in virtual time |
//!
//! `seeds/` holds what a search begins with: for the reader messages of our own after each section
//! of RFC 4475, whose verdicts `sip/tests/reader/seeds.rs` holds.

pub mod handshake;
pub mod leg;
pub mod reader;
pub mod script;
pub mod sdp;
pub mod transaction;

// Of net its head alone, by path: net as a crate brings aws-lc, a minute of C that is built anew for
// every set of flags.
#[path = "../../net/src/head.rs"]
pub mod head;
#[path = "../../net/src/bearer/token.rs"]
mod token;

/// Where `head` looks for the token.
pub mod bearer {
    pub use crate::token::Token;
}
