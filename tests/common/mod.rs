//! A whole gateway in its own process, and what stands around it: browsers, a carrier, an operator.
//!
//! | file | what |
//! |---|---|
//! | [`gateway`] | the process: its folder, its configuration, its log, its end |
//! | [`http`] | one HTTP request and its reply |
//! | [`phone`] | a browser's SIP stack on a WebSocket |
//! | [`carrier`] | a carrier on a UDP port that plays a script and keeps what it hears |
//! | [`sip`] | SIP messages as tests read and write them |
//! | [`frames`] | WebSocket frames by hand, for what no client would send |
//! | [`forge`] | tokens of any shape |
//! | [`ledger`] | what must hold of the database after any scenario |
//!
//! Everything waits for what it expects until [`PATIENCE`] is over, and for nothing else.

#![allow(dead_code, reason = "each test file uses another part of this")]
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

pub(crate) mod carrier;
pub(crate) mod forge;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod ledger;
pub(crate) mod phone;
pub(crate) mod sip;

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything that is expected may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// The number that a test's workspace calls from, and one that it calls.
pub(crate) const OURS: &str = "+254700000001";
pub(crate) const THEIRS: &str = "+254722000001";

/// Asks again and again until there is an answer.
pub(crate) async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "in vain waited for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until so long after an instant: for what must not have happened by then.
pub(crate) async fn passed(since: std::time::Instant, seconds: u64) {
    tokio::time::sleep_until((since + Duration::from_secs(seconds)).into()).await;
}

/// Letters and digits that no other call of this returns.
pub(crate) fn unique() -> String {
    sautikit_net::random::hex::<8>()
}
