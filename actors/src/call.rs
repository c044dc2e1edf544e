//! The call actor: a shell around [`bridge::Bridge`]. It takes messages from a bounded queue, lets
//! the value decide, does what comes out, keeps one deadline, and stops when nothing is left.

mod actor;
mod answers;
mod bridge;
mod legs;
mod media;
mod plan;
mod queue;
mod recovery;
mod row;
mod shortfall;

pub(crate) use actor::{CallActor, CallSeat};
pub(crate) use answers::refusal_headers;
pub(crate) use bridge::{Close, Commit};
pub(crate) use plan::{Candidate, Clock, Plan};
pub(crate) use queue::{CallInput, CallQueue, call_queue, offer_to_call};
pub use recovery::RecoverError;
pub(crate) use recovery::{hang_up_stray, recover};

#[cfg(test)]
mod tests;
