//! Sockets and credentials at the gateway's edge.
//!
//! | file | what |
//! |---|---|
//! | [`listen`] | TCP listener: bind with a clear error, accept without spinning |
//! | [`head`] | the head of a WebSocket handshake, read and judged before any upgrade |
//! | [`answer`] | what is written back instead of (or as) an upgrade |
//! | [`origin`] | the allow-list of page origins |
//! | [`ws`] | the WebSocket that one actor polls: [`ws::Feed`] reads and writes, [`ws::Outbox`] queues |
//! | [`client`] | the other side of the handshake, for load tests and tests |
//! | [`udp`] | one UDP socket: one reader, many senders |
//! | [`bearer`], [`keys`] | SIP tokens: mint, verify; signing keys and their rotation |
//! | [`api_key`] | API keys: made, hashed, compared |
//! | [`random`] | random bytes for ids and secrets |
//!
//! Nothing here decides who may call whom: it turns bytes into types and types into bytes.

pub mod answer;
pub mod api_key;
mod base64url;
pub mod bearer;
pub mod client;
pub mod head;
pub mod keys;
pub mod listen;
pub mod origin;
pub mod random;
pub mod udp;
pub mod ws;
