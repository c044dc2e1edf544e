//! What surrounds a gateway under test: a carrier behind it and many browsers before it.
//!
//! | part | what |
//! |---|---|
//! | [`carrier`] | a simulated carrier on one UDP port: what it does follows from the called number |
//! | [`calls`] | simulated browsers: sessions and calls at a planned rate, latencies, the gateway's cost, and the proof that it billed right |
//! | [`disk`] | what a small durable write takes here |
//!
//! In the first two a plain value decides (a `Switch`, a `Load`) with `now` as an argument, and a short loop
//! around it owns sockets and clocks.

pub mod calls;
pub mod carrier;
mod clock;
mod deadlines;
pub mod disk;
mod latency;
