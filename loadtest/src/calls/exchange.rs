//! The carrier of a run: a process of our own, or somebody's elsewhere; and what it wrote of the
//! calls.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sautikit_net::random;
use tokio::net::UdpSocket;

use super::called::Called;
use crate::carrier::Record;

/// How long a carrier may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long each of a few OPTIONS may be without an answer.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
const PINGS: usize = 4;

/// Why there is no carrier.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("the carrier could not be started: {0}")]
    Start(io::Error),
    #[error(
        "the carrier could not be started on {0}: see above. Where one runs there already, say so: \
         --carrier {0}"
    )]
    Refused(SocketAddr),
    #[error(
        "--carrier: nobody answers at {0}; start one with: sautikit-loadtest carrier --listen {0}"
    )]
    Silent(SocketAddr),
    #[error("--carrier: {0}")]
    Ping(io::Error),
    #[error("--carrier-records: {0}")]
    Records(io::Error),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) enum Exchange {
    Own(Own),
    /// What is appended to a file, where there is one.
    Elsewhere(Option<Follow>),
}

/// A carrier that is our child: it ends with us, however that happens.
#[derive(Debug)]
pub(super) struct Own {
    child: Child,
    records: Arc<Mutex<Vec<Record>>>,
    reader: Option<JoinHandle<()>>,
}

/// The records of a carrier elsewhere: what its standard output is written to.
#[derive(Debug)]
pub(super) struct Follow {
    path: PathBuf,
    /// Where this run begins.
    from: u64,
}

impl Exchange {
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Own(own) => Some(own.child.id()),
            Self::Elsewhere(_) => None,
        }
    }

    /// Waits until all `answered` calls are on record, but not past `deadline`, ends a carrier of our
    /// own, and gives the records of numbers that this run calls.
    pub(super) async fn finish(
        self,
        called: &Called,
        answered: &HashSet<&str>,
        deadline: Instant,
    ) -> Result<Option<Vec<Record>>, ExchangeError> {
        match self {
            Self::Own(mut own) => {
                while !are_there(answered, &own.records()) && Instant::now() < deadline {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                own.end();
                Ok(Some(std::mem::take(&mut *own.records())))
            }
            Self::Elsewhere(None) => Ok(None),
            Self::Elsewhere(Some(follow)) => loop {
                let mut records = follow.read().map_err(ExchangeError::Records)?;
                // A carrier may serve others too.
                records.retain(|record| called.is_one(&record.to));
                if are_there(answered, &records) || Instant::now() >= deadline {
                    return Ok(Some(records));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            },
        }
    }
}

fn are_there(answered: &HashSet<&str>, records: &[Record]) -> bool {
    let known = records.iter().filter(|record| record.status == 200).map(|it| &*it.to);
    let known: HashSet<&str> = known.collect();
    answered.is_subset(&known)
}

impl Own {
    /// Starts it, and waits until it listens.
    pub(super) fn start(listen: SocketAddr, args: &[String]) -> Result<Self, ExchangeError> {
        let program = std::env::current_exe().map_err(ExchangeError::Start)?;
        let mut command = Command::new(program);
        command.args(["carrier", "--until-input-ends", "--listen", &listen.to_string()]);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A Ctrl-C of the terminal reaches the generator, which ends its calls first.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(ExchangeError::Start)?;
        let output = child.stdout.take();
        let mut own = Self { child, records: Arc::default(), reader: None };
        let mut lines = BufReader::new(output.ok_or(ExchangeError::Refused(listen))?);
        let mut ready = String::new();
        lines.read_line(&mut ready).map_err(ExchangeError::Start)?;
        if !ready.contains("\"ready\"") {
            return Err(ExchangeError::Refused(listen));
        }
        let records = Arc::clone(&own.records);
        own.reader = Some(std::thread::spawn(move || keep(lines, &records)));
        Ok(own)
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its input ends, at which it ends; one that does not is killed.
    fn end(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + END_TIMEOUT;
        while self.exit().is_none() {
            if Instant::now() >= deadline {
                let _gone_already = self.child.kill();
                let _status = self.child.wait();
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        // Its output has ended with it.
        let _panicked = self.reader.take().map(JoinHandle::join);
    }

    fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.end();
    }
}

fn keep(lines: BufReader<ChildStdout>, records: &Mutex<Vec<Record>>) {
    for line in lines.lines().map_while(Result::ok) {
        if let Ok(record) = serde_json::from_str(&line) {
            records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        }
    }
}

impl Follow {
    /// What is in the file now belongs to earlier runs.
    pub(super) fn start(path: PathBuf) -> Result<Self, ExchangeError> {
        let from = std::fs::metadata(&path).map_err(ExchangeError::Records)?.len();
        Ok(Self { path, from })
    }

    fn read(&self) -> io::Result<Vec<Record>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A last line that is not whole yet does not read as one.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

/// Asks a carrier by OPTIONS whether it is there.
pub(super) async fn ping(carrier: SocketAddr) -> Result<(), ExchangeError> {
    let any = if carrier.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.map_err(ExchangeError::Ping)?;
    socket.connect(carrier).await.map_err(ExchangeError::Ping)?;
    let own = socket.local_addr().map_err(ExchangeError::Ping)?;
    for _ in 0..PINGS {
        let id = random::hex::<8>();
        let request = format!(
            "OPTIONS sip:ping@{carrier} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{id};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:load@{own}>;tag={id}\r\nTo: <sip:ping@{carrier}>\r\n\
             Call-ID: {id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        // A refusal by ICMP comes with the next call; the time limit tells the same.
        let _ = socket.send(request.as_bytes()).await;
        let mut buffer = [0; 2048];
        let answer = tokio::time::timeout(PING_TIMEOUT, socket.recv(&mut buffer)).await;
        if let Ok(Ok(length)) = answer
            && buffer.get(..length).is_some_and(|bytes| bytes.starts_with(b"SIP/2.0 "))
        {
            return Ok(());
        }
    }
    Err(ExchangeError::Silent(carrier))
}
