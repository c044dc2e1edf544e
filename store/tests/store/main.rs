//! The store on real files: one program, so that it is linked once.

mod common;
mod idempotency;
mod lists;
mod money;
mod opening;
mod outage;
mod random;
mod recovery;
