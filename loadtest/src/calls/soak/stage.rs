//! Where the faults happen: one after another, each at its time, until all is as it was.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::sessions::Hub;
use super::faults::{Fault, Kind};
use super::house::{Gateway, Locked, Stopped};
use super::windows::Window;
use super::{SoakError, SoakSettings};

/// How long after a fault every session must have a socket again.
const BACK_TIMEOUT: Duration = Duration::from_secs(60);
/// A fault that is not over yet ends so much later.
const NOT_OVER: Duration = Duration::from_secs(24 * 3600);

/// See the [module](self).
pub(super) struct Stage {
    /// The first call's time.
    pub(super) start: Instant,
    life: Cell<Life>,
    pid: Cell<Option<u32>>,
    carrier: Option<u32>,
    database: Option<PathBuf>,
    silence: Duration,
    lock: Duration,
    windows: RefCell<Vec<Window>>,
}

/// The gateway that is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) pid: u32,
    /// The how many-th it is.
    pub(super) number: u32,
    pub(super) since: Instant,
}

impl Stage {
    pub(super) fn new(
        settings: &SoakSettings,
        gateway: &Gateway,
        carrier: Option<u32>,
        start: Instant,
    ) -> Self {
        let life = Life { pid: gateway.pid(), number: 1, since: Instant::now() };
        Self {
            start,
            life: Cell::new(life),
            pid: Cell::new(Some(life.pid)),
            carrier,
            database: settings.database.clone(),
            silence: Duration::from_secs_f64(settings.silence),
            lock: Duration::from_secs_f64(settings.lock),
            windows: RefCell::default(),
        }
    }

    pub(super) fn life(&self) -> Life {
        self.life.get()
    }

    /// Of the gateway that is there.
    pub(super) fn pid(&self) -> &Cell<Option<u32>> {
        &self.pid
    }

    pub(super) fn windows(&self) -> Vec<Window> {
        self.windows.borrow().clone()
    }

    /// Does what is planned, and then nothing for ever: it comes back with an error alone.
    pub(super) async fn perform(
        &self,
        faults: &[Fault],
        gateway: &mut Gateway,
        hub: &Hub,
    ) -> Result<(), SoakError> {
        for fault in faults {
            tokio::time::sleep_until((self.start + fault.at).into()).await;
            let Fault { kind, sessions, .. } = fault.clone();
            let from = Instant::now();
            self.windows.borrow_mut().push(Window { kind, from, until: from + NOT_OVER, sessions });
            self.happen(fault, gateway, hub).await?;
            let back = tokio::time::timeout(BACK_TIMEOUT, hub.is_whole()).await;
            back.map_err(|_| SoakError::NotBack(BACK_TIMEOUT.as_secs()))?;
            if let Some(window) = self.windows.borrow_mut().last_mut() {
                window.until = Instant::now();
            }
        }
        std::future::pending().await
    }

    async fn happen(
        &self,
        fault: &Fault,
        gateway: &mut Gateway,
        hub: &Hub,
    ) -> Result<(), SoakError> {
        match fault.kind {
            Kind::Sockets => hub.cut(&fault.sessions),
            Kind::Silence => {
                let carrier = self.carrier.ok_or(SoakError::Missing("a carrier"))?;
                let _stopped = Stopped::stop(carrier)?;
                tokio::time::sleep(self.silence).await;
            }
            Kind::Kill => self.kill(gateway).await?,
            Kind::Lock => {
                let database = self.database.as_deref();
                let database = database.ok_or(SoakError::Missing("--database"))?;
                let _locked = Locked::lock(database).await?;
                tokio::time::sleep(self.lock).await;
            }
        }
        Ok(())
    }

    async fn kill(&self, gateway: &mut Gateway) -> Result<(), SoakError> {
        gateway.kill_and_start().await?;
        let (pid, number) = (gateway.pid(), self.life.get().number + 1);
        self.pid.set(Some(pid));
        self.life.set(Life { pid, number, since: Instant::now() });
        Ok(())
    }
}
