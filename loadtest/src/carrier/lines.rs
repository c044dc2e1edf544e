//! The RTP of all calls in one thread: every 20 ms a line is read empty and sends one packet.
//!
//! No readiness is asked for: a line is looked at when its packet is due anyway, so a call costs its
//! packets and nothing else. The lines are spread over the 20 ms in four phases.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::sdp::Agreed;
use super::voice::{Heard, PACKET_TIME, Voice, tone};

const PHASES: u32 = 4;
/// A thread that is later than this starts its clock anew instead of sending a burst.
const LATE_MAX: Duration = Duration::from_millis(200);
/// Datagrams that one line takes in a round, so that a flood on one does not starve the others.
const ROUND_MAX: usize = 64;
/// Tries to find a free even port whose next one is free too (RFC 3550 section 11).
const PAIR_TRIES: usize = 256;

/// All lines. Its thread ends with the process.
#[derive(Debug)]
pub(super) struct Lines {
    shared: Arc<Shared>,
    bind: IpAddr,
    tone: Arc<[i16]>,
}

#[derive(Debug, Default)]
struct Shared {
    new: Mutex<Vec<Arc<Wire>>>,
    wake: Condvar,
}

#[derive(Debug)]
struct Wire {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    voice: Mutex<Voice>,
    closed: AtomicBool,
}

/// The line of one call; dropped, it is silent and its ports are free again.
#[derive(Debug)]
pub(super) struct Line {
    wire: Arc<Wire>,
    pub(super) port: u16,
}

impl Lines {
    /// `bind` is the address of the lines' sockets, `hertz` the tone that they play.
    pub(super) fn start(bind: IpAddr, hertz: u16) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("carrier-rtp".into()).spawn(move || own.work())?;
        Ok(Self { shared, bind, tone: tone(hertz) })
    }

    /// Opens a line, which speaks from now on.
    pub(super) fn open(&self, agreed: Agreed) -> io::Result<Line> {
        let (rtp, rtcp) = pair(self.bind)?;
        let port = rtp.local_addr()?.port();
        let voice = Mutex::new(Voice::new(agreed, Arc::clone(&self.tone)));
        let wire = Arc::new(Wire { rtp, rtcp, voice, closed: AtomicBool::new(false) });
        lock(&self.shared.new).push(Arc::clone(&wire));
        self.shared.wake.notify_one();
        Ok(Line { wire, port })
    }
}

impl Line {
    pub(super) fn change(&self, agreed: Agreed) {
        lock(&self.wire.voice).change(agreed);
    }

    /// What it has heard and said so far.
    pub(super) fn heard(&self) -> Heard {
        // What came in the last 20 ms waits in the socket.
        self.wire.listen();
        lock(&self.wire.voice).heard()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.wire.closed.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn work(&self) {
        let mut lines: Vec<Vec<Arc<Wire>>> = (0..PHASES).map(|_| Vec::new()).collect();
        let mut due = Instant::now();
        loop {
            for phase in 0..lines.len() {
                self.take_new(&mut lines);
                let now = Instant::now();
                if now.saturating_duration_since(due) > LATE_MAX {
                    due = now;
                }
                std::thread::sleep(due.saturating_duration_since(now));
                due += PACKET_TIME / PHASES;
                lines[phase].retain(|wire| {
                    wire.round();
                    !wire.closed.load(Ordering::Relaxed)
                });
            }
        }
    }

    /// Puts new lines into the phase with the fewest; without any line it waits for one.
    fn take_new(&self, lines: &mut [Vec<Arc<Wire>>]) {
        let mut new = lock(&self.new);
        while new.is_empty() && lines.iter().all(Vec::is_empty) {
            new = self.wake.wait(new).unwrap_or_else(PoisonError::into_inner);
        }
        for wire in new.drain(..) {
            if let Some(phase) = lines.iter_mut().min_by_key(|phase| phase.len()) {
                phase.push(wire);
            }
        }
    }
}

impl Wire {
    fn round(&self) {
        self.listen();
        let spoken = lock(&self.voice).speak();
        if let Some((to, packet)) = spoken {
            // A packet that cannot be sent is lost, as packets are.
            let _ = self.rtp.send_to(&packet, to);
        }
    }

    fn listen(&self) {
        let mut buffer = [0; 2048];
        for _ in 0..ROUND_MAX {
            match self.rtp.recv(&mut buffer) {
                Ok(length) => lock(&self.voice).hear(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of an earlier packet.
                Err(_) => {}
            }
        }
        // Reports are not read, but a port that nobody empties drops and counts errors.
        for _ in 0..ROUND_MAX {
            if self.rtcp.recv(&mut buffer).is_err() {
                break;
            }
        }
    }
}

fn pair(bind: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..PAIR_TRIES {
        let rtp = UdpSocket::bind((bind, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 != 0 {
            continue;
        }
        let Ok(rtcp) = UdpSocket::bind((bind, port + 1)) else { continue };
        rtp.set_nonblocking(true)?;
        rtcp.set_nonblocking(true)?;
        return Ok((rtp, rtcp));
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Nothing that is locked here panics half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
