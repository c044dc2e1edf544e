//! Ctrl-C: the first one ends the run in order, the second one at once.

use std::cell::Cell;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Whether the run is to end early.
#[derive(Debug, Default)]
pub(super) struct Stop {
    wanted: Cell<bool>,
    changed: Notify,
}

impl Stop {
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.get()
    }

    /// Comes when the run is to end, now or later. Cancel-safe.
    pub(super) async fn wanted(&self) {
        while !self.is_wanted() {
            self.changed.notified().await;
        }
    }

    /// Passes the first Ctrl-C or SIGTERM on, and comes with the second.
    pub(super) async fn watch(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        for _ in 0..2 {
            if self.is_wanted() {
                eprintln!("once more ends it at once");
            }
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            self.wanted.set(true);
            self.changed.notify_one();
        }
        Ok(())
    }
}
