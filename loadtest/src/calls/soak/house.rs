//! The gateway of a run that is killed and started again, and the lock that is held on its database.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::api::Http;
use super::SoakError;

/// How long a gateway may take until it is ready, and until it has ended.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const END_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// `PROGRAM serve` with the environment of this process. It is killed when this is dropped.
pub(super) struct Gateway {
    program: PathBuf,
    folder: PathBuf,
    admin: Http,
    child: Child,
}

impl Gateway {
    /// Starts it, and waits until it takes calls.
    pub(super) async fn start(
        program: &Path,
        folder: &Path,
        admin: Http,
    ) -> Result<Self, SoakError> {
        let child = spawn(program, folder).map_err(SoakError::Gateway)?;
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let mut gateway = Self { program, folder, admin, child };
        gateway.is_ready().await?;
        Ok(gateway)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As a power cut would, and then on again.
    pub(super) async fn kill_and_start(&mut self) -> Result<(), SoakError> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(SoakError::Gateway)?;
        self.child = spawn(&self.program, &self.folder).map_err(SoakError::Gateway)?;
        self.is_ready().await
    }

    async fn is_ready(&mut self) -> Result<(), SoakError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while self.admin.get("/readyz").await.is_err() {
            let exit = self.child.try_wait().map_err(SoakError::Gateway)?;
            if let Some(status) = exit {
                return Err(SoakError::Ended(status.to_string(), self.folder.clone()));
            }
            if Instant::now() >= deadline {
                return Err(SoakError::NotReady(READY_TIMEOUT.as_secs()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Whether its books agree, as it says itself: its last line, and whether that is a yes.
    pub(super) fn reconcile(&self) -> Result<(bool, String), SoakError> {
        let mut command = Command::new(&self.program);
        let output = command.arg("reconcile").stdin(Stdio::null()).output();
        let output = output.map_err(SoakError::Gateway)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().last().unwrap_or_default().to_owned();
        Ok((output.status.success(), last))
    }

    /// Ends it in order.
    pub(super) async fn end(mut self) -> Result<(), SoakError> {
        signal(self.pid(), "-TERM").map_err(SoakError::Gateway)?;
        let deadline = Instant::now() + END_TIMEOUT;
        while self.child.try_wait().map_err(SoakError::Gateway)?.is_none() {
            if Instant::now() >= deadline {
                return Err(SoakError::GoesOn(END_TIMEOUT.as_secs()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended = self.child.wait();
        let _gone_already = std::fs::remove_file(self.folder.join(PID_FILE));
    }
}

/// For whoever has to end it where the generator could not.
const PID_FILE: &str = "gateway.pid";

fn spawn(program: &Path, folder: &Path) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(folder.join("gateway.log"))?;
    let mut command = Command::new(program);
    command.arg("serve").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // A Ctrl-C of the terminal reaches the generator, which ends its calls first.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn()?;
    writeln!(File::create(folder.join(PID_FILE))?, "{}", child.id())?;
    Ok(child)
}

pub(super) fn signal(pid: u32, name: &str) -> io::Result<()> {
    let status = Command::new("kill").args([name, &pid.to_string()]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("the process is gone")) }
}

/// A carrier that hears nothing until this is dropped.
pub(super) struct Stopped(u32);

impl Stopped {
    pub(super) fn stop(pid: u32) -> Result<Self, SoakError> {
        signal(pid, "-STOP").map_err(SoakError::Carrier)?;
        Ok(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // One that is gone is told of by its records.
        let _gone = signal(self.0, "-CONT");
    }
}

/// Another process that holds the database's write lock until this is dropped.
pub(super) struct Locked(Child);

impl Locked {
    pub(super) async fn lock(database: &Path) -> Result<Self, SoakError> {
        let mut command = Command::new("sqlite3");
        command.arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().map_err(SoakError::Lock)?;
        let mut locked = Self(child);
        let (Some(input), Some(output)) = (&mut locked.0.stdin, locked.0.stdout.take()) else {
            return Err(SoakError::Lock(io::Error::other("it has no pipes")));
        };
        let asked = writeln!(input, ".bail on\n.timeout 10000\nBEGIN IMMEDIATE;\n.print locked");
        asked.map_err(SoakError::Lock)?;
        let mut line = String::new();
        let read = tokio::task::spawn_blocking(move || {
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let line = read.await.map_err(io::Error::other).and_then(|line| line);
        match line.map_err(SoakError::Lock)?.trim() {
            "locked" => Ok(locked),
            _ => Err(SoakError::Lock(io::Error::other("sqlite3 did not get the lock"))),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended = self.0.wait();
    }
}
