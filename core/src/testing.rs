//! What several tests need.

use std::time::Instant;

/// The start of a test's time; any instant serves, since only differences count.
#[expect(clippy::disallowed_methods, reason = "std has no other way to make an Instant")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}
