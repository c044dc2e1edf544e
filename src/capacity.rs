//! What the machine carries: the limit of open files is raised as far as it goes, and the node's
//! limits are lowered to what descriptors and port pairs allow.

use sautikit_core::limits::{ADMIN_CONNECTIONS_MAX, Cap, HTTP_CONNECTIONS_MAX};

use crate::config::{Config, MediaEngine};

/// Descriptors for everything that is neither a session nor a call: HTTP, and what is open anyway.
const OTHER_FILES: u64 = (HTTP_CONNECTIONS_MAX + ADMIN_CONNECTIONS_MAX) as u64 + 192;

/// A call in the embedded relay has two sockets towards its carrier.
const FILES_PER_CALL: u64 = 2;

/// A port pair rests after its call while late packets may still come.
const RESTING_SHARE: u64 = 10;

/// Fits `sessions_max` and `calls_max` to the machine.
pub(crate) fn fit(config: &mut Config) {
    let files = raise_files();
    let relayed = config.media.engine == MediaEngine::Embedded;
    let ports = config.media.trunk_ports.clone();
    let pairs = (u64::from(*ports.end()) + 1).saturating_sub(u64::from(*ports.start())) / 2;
    let pairs = pairs - pairs / RESTING_SHARE;
    let (sessions, calls) = carried(files, relayed.then_some(pairs), config);
    lower(config, "sessions_max", sessions, |limits| &mut limits.sessions_max);
    lower(config, "calls_max", calls, |limits| &mut limits.calls_max);
}

fn raise_files() -> u64 {
    let raised = rlimit::increase_nofile_limit(u64::MAX);
    raised.unwrap_or_else(|error| {
        tracing::warn!("the limit of open files cannot be raised: {error}");
        1024
    })
}

/// How many sessions and calls fit. Calls come first out of the descriptors, half at most: a
/// session without room for a call is of no use.
fn carried(files: u64, pairs: Option<u64>, config: &Config) -> (u64, u64) {
    let free = files.saturating_sub(OTHER_FILES).max(2);
    let Some(pairs) = pairs else { return (free, u64::from(u32::MAX)) };
    let wanted = config.limits.calls_max.get().map_or(pairs, u64::from).min(pairs);
    let calls = wanted.min(free / 2 / FILES_PER_CALL);
    (free - calls * FILES_PER_CALL, calls)
}

fn lower(
    config: &mut Config,
    name: &str,
    most: u64,
    limit: impl Fn(&mut sautikit_core::limits::Limits) -> &mut Cap,
) {
    // 0 would be no limit.
    let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
    let given = config.is_limit_given(name);
    let cap = limit(&mut config.limits);
    if cap.get().is_some_and(|set| set <= most) || (cap.get().is_none() && most == u32::MAX) {
        return;
    }
    let was = cap.get().map_or_else(|| "no limit".to_owned(), |set| set.to_string());
    *cap = Cap::new(most);
    if given {
        tracing::warn!("{name} is lowered from {was} to {most}: open files or ports carry no more");
    } else {
        tracing::info!("{name} is {most}: open files or ports carry no more");
    }
}
