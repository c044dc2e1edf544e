//! SIP without I/O: reader, message, transactions, dialog, leg and the SDP model.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: bytes, `now` and
//! identifiers come in as arguments, so every rule can be tested in virtual time.
//!
//! The way of a message: [`reader::read`] turns bytes into a [`message::Message`] or into the
//! stateless answer that the sender gets, a `Leg` decides what follows, [`message::Builder`]
//! and [`respond`] print what goes out.

pub mod dialog;
pub mod digest;
pub mod leg;
pub mod list;
pub mod message;
pub mod name_addr;
pub mod names;
pub mod reader;
pub mod respond;
pub mod sdp;
pub mod text;
pub mod transaction;
pub mod uri;
pub mod via;
