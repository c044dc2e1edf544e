//! The simulated carrier: a process of its own, ended with the demo.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

const PROGRAM: &str = "sautikit-loadtest";

/// Runs a program until standard input ends. The other end of it is the demo's, so that the carrier
/// ends with the demo however that ends: after a `kill -9` nothing else is left to end it. The shell
/// lets go of standard output, which so ends with the program.
const UNTIL_INPUT_ENDS: &str = r#""$0" "$@" & exec >/dev/null; cat; kill $! 2>/dev/null; wait"#;

/// Why there is no carrier.
#[derive(Debug, thiserror::Error)]
pub(super) enum CarrierError {
    #[error("{} is not there; build it with: cargo build --package sautikit-loadtest", .0.display())]
    Missing(PathBuf),
    #[error("the simulated carrier did not start: {0}")]
    Start(std::io::Error),
    #[error("the simulated carrier said nothing of where it listens; try: {PROGRAM} carrier")]
    Silent,
}

/// The running process.
pub(super) struct Carrier {
    child: Child,
    address: SocketAddr,
}

/// Its first line.
#[derive(Deserialize)]
struct Ready {
    ready: SocketAddr,
}

/// What a log may hold of its line for a call: not whose call it was.
#[derive(Deserialize)]
struct Ended {
    status: u16,
    seconds: f64,
    packets: u64,
    lost: u64,
}

impl Carrier {
    /// Starts it beside this program, on a free port.
    pub(super) fn start() -> Result<Self, CarrierError> {
        let own = std::env::current_exe().map_err(CarrierError::Start)?;
        let program = own.with_file_name(PROGRAM);
        if !program.is_file() {
            return Err(CarrierError::Missing(program));
        }
        let mut child = Command::new("sh")
            .args(["-c", UNTIL_INPUT_ENDS])
            .arg(program)
            .args(["carrier", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A Ctrl-C of the terminal reaches the gateway, which ends the carrier last.
            .process_group(0)
            .spawn()
            .map_err(CarrierError::Start)?;
        let Some(output) = child.stdout.take() else { return Err(CarrierError::Silent) };
        let mut lines = BufReader::new(output).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        let Ok(Ready { ready }) = serde_json::from_str(&first) else {
            end(&mut child);
            return Err(CarrierError::Silent);
        };
        // Its call lines are read so that it never waits for a full pipe.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Ok(Ended { status, seconds, packets, lost }) = serde_json::from_str(&line) {
                    tracing::debug!(status, seconds, packets, lost, "the carrier's call ended");
                }
            }
        });
        Ok(Self { child, address: ready })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends its input, and so the carrier, and waits for that.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let _status = child.wait();
}
