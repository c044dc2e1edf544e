//! The rules of the gateway as plain values: what may call, what it costs, what the wallet allows.
//!
//! Nothing here does I/O, reads a clock or draws a random number: `now`, entropy and what was read
//! come in as arguments, so each rule is tested in virtual time and runs the same everywhere.

pub mod admission;
pub mod bucket;
pub mod call;
pub mod cause;
pub mod destination;
pub mod e164;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod money;
pub mod pii;
pub mod rate;
#[cfg(test)]
mod testing;
pub mod time;
pub mod token;
pub mod wallet;
