//! A wake-up to the microsecond. The runtime's own timer rounds to milliseconds, which would be
//! measured as the gateway's latency.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// A thread that sleeps until the time that is set; ends with the last handle.
#[derive(Debug)]
pub(super) struct Alarm(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    rings: Notify,
}

#[derive(Debug, Default)]
struct State {
    at: Option<Instant>,
    over: bool,
}

impl Alarm {
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("alarm".into()).spawn(move || own.keep())?;
        Ok(Self(shared))
    }

    /// Rings once at this time, and no more at the one that was set before.
    pub(super) fn set(&self, at: Option<Instant>) {
        let mut state = self.0.lock();
        let sooner = match (at, state.at) {
            (Some(new), Some(old)) => new < old,
            (new, _) => new.is_some(),
        };
        state.at = at;
        drop(state);
        // For a later time the thread need not be disturbed: it looks again when it wakes.
        if sooner {
            self.0.changed.notify_one();
        }
    }

    /// Waits for the next ring. Cancel-safe.
    pub(super) async fn rings(&self) {
        self.0.rings.notified().await;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) {
        let mut state = self.lock();
        while !state.over {
            let now = Instant::now();
            state = match state.at {
                Some(at) if at <= now => {
                    state.at = None;
                    self.rings.notify_one();
                    state
                }
                Some(at) => {
                    let waited = self.changed.wait_timeout(state, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_rings_at_its_time_and_an_earlier_one_overtakes() {
        let alarm = Alarm::start().unwrap();
        let start = Instant::now();
        alarm.set(Some(start + Duration::from_secs(30)));
        alarm.set(Some(start + Duration::from_millis(20)));
        alarm.rings().await;
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(20) && took < Duration::from_secs(5), "{took:?}");
    }

    #[tokio::test]
    async fn a_time_that_was_put_off_does_not_ring() {
        let alarm = Alarm::start().unwrap();
        alarm.set(Some(Instant::now() + Duration::from_millis(20)));
        alarm.set(None);
        let rang = tokio::time::timeout(Duration::from_millis(80), alarm.rings()).await;
        assert!(rang.is_err());
    }
}
