//! Many peers in one thread, each with a socket of its own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use bytes::Bytes;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use sautikit_sip::sdp::Direction;
use tokio::sync::oneshot;

use super::{Peer, PeerError, PeerOptions, PeerStats};
use crate::deadlines::Deadlines;

const WAKE: Token = Token(0);
const READ_MAX: usize = 64;
const DATAGRAM_MAX: usize = 2_048;

type Job = Box<dyn FnOnce(&mut Peers) + Send>;

/// A thread of peers. Cheap to clone; the thread ends with the last clone and handle.
#[derive(Clone)]
pub struct Crowd(Arc<Link>);

struct Link {
    jobs: Option<Sender<Job>>,
    waker: Waker,
    next: AtomicUsize,
}

/// One peer of a crowd; dropping it closes the peer's connection.
pub struct PeerHandle {
    link: Arc<Link>,
    key: usize,
}

struct Peers {
    registry: Registry,
    peers: HashMap<usize, (Peer, UdpSocket)>,
    deadlines: Deadlines,
    ready: Vec<usize>,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Starts the thread. It rests `pause` after each round, as a worker of the relay does.
    pub fn start(pause: Duration) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let (jobs, receiver) = channel();
        let peers = Peers {
            registry: poll.registry().try_clone()?,
            peers: HashMap::new(),
            deadlines: Deadlines::default(),
            ready: Vec::new(),
            buffer: vec![0; DATAGRAM_MAX],
        };
        thread::Builder::new()
            .name("peers".into())
            .spawn(move || peers.run(poll, &receiver, pause))?;
        Ok(Self(Arc::new(Link { jobs: Some(jobs), waker, next: AtomicUsize::new(1) })))
    }

    /// A new peer on a port of `address`, and its offer.
    pub async fn offer(
        &self,
        address: IpAddr,
        options: PeerOptions,
    ) -> Result<(PeerHandle, Bytes), PeerError> {
        self.join(address, move |now, local| Peer::offer(now, local, &options)).await
    }

    /// A new peer on a port of `address`, and its answer to an offer.
    pub async fn answer(
        &self,
        address: IpAddr,
        options: PeerOptions,
        offer: Bytes,
    ) -> Result<(PeerHandle, Bytes), PeerError> {
        self.join(address, move |now, local| Peer::answer(now, local, &options, &offer)).await
    }

    async fn join(
        &self,
        address: IpAddr,
        make: impl FnOnce(Instant, SocketAddr) -> Result<(Peer, Bytes), PeerError> + Send + 'static,
    ) -> Result<(PeerHandle, Bytes), PeerError> {
        let key = self.0.next.fetch_add(1, Ordering::Relaxed);
        let sdp = self.0.ask(move |peers| peers.join(key, address, make)).await??;
        Ok((PeerHandle { link: self.0.clone(), key }, sdp))
    }
}

impl PeerHandle {
    /// Takes the answer to the last offer.
    pub async fn accept_answer(&self, answer: Bytes) -> Result<(), PeerError> {
        self.with(move |now, peer| peer.accept_answer(now, &answer)).await?
    }

    /// A new offer: see [`Peer::reoffer`].
    pub async fn reoffer(&self, direction: Direction, restart: bool) -> Result<Bytes, PeerError> {
        self.with(move |now, peer| peer.reoffer(now, direction, restart)).await?
    }

    pub async fn send_digit(&self, event: u8) -> Result<(), PeerError> {
        self.with(move |_, peer| peer.send_digit(event)).await
    }

    pub async fn set_silent(&self, silent: bool) -> Result<(), PeerError> {
        self.with(move |_, peer| peer.set_silent(silent)).await
    }

    pub async fn stats(&self) -> Result<PeerStats, PeerError> {
        self.with(|_, peer| peer.stats()).await
    }

    async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(Instant, &mut Peer) -> T + Send + 'static,
    ) -> Result<T, PeerError> {
        let key = self.key;
        self.link.ask(move |peers| peers.step(key, act)).await?.ok_or(PeerError::Ended)
    }
}

impl Drop for PeerHandle {
    fn drop(&mut self) {
        let key = self.key;
        // A thread that is gone has closed all already.
        let _ = self.link.send(Box::new(move |peers| peers.leave(key)));
    }
}

impl Link {
    fn send(&self, job: Job) -> Result<(), PeerError> {
        let jobs = self.jobs.as_ref().ok_or(PeerError::Ended)?;
        jobs.send(job).map_err(|_| PeerError::Ended)?;
        self.waker.wake().map_err(|error| PeerError::Socket(error.kind()))
    }

    async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Peers) -> T + Send + 'static,
    ) -> Result<T, PeerError> {
        let (reply, answer) = oneshot::channel();
        // Whoever asked may have given up waiting.
        self.send(Box::new(move |peers| drop(reply.send(act(peers)))))?;
        answer.await.map_err(|_| PeerError::Ended)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // The thread ends when it wakes and finds the channel closed.
        let _ = self.waker.wake();
    }
}

impl Peers {
    fn run(mut self, mut poll: Poll, jobs: &Receiver<Job>, pause: Duration) {
        let mut events = Events::with_capacity(1_024);
        loop {
            let sleep = if self.ready.is_empty() {
                self.deadlines.next().map(|at| at.saturating_duration_since(Instant::now()))
            } else {
                Some(Duration::ZERO)
            };
            if let Err(error) = poll.poll(&mut events, sleep)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return;
            }
            for event in &events {
                let Token(key) = event.token();
                if event.token() != WAKE && !self.ready.contains(&key) {
                    self.ready.push(key);
                }
            }
            let mut ready = std::mem::take(&mut self.ready);
            ready.retain(|key| self.read(*key));
            self.ready = ready;
            let now = Instant::now();
            while let Some((key, _)) = self.deadlines.due(now) {
                self.step(key, |now, peer| peer.handle_timeout(now));
            }
            loop {
                match jobs.try_recv() {
                    Ok(job) => job(&mut self),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if !self.peers.is_empty() && !pause.is_zero() {
                thread::sleep(pause);
            }
        }
    }

    fn join(
        &mut self,
        key: usize,
        address: IpAddr,
        make: impl FnOnce(Instant, SocketAddr) -> Result<(Peer, Bytes), PeerError>,
    ) -> Result<Bytes, PeerError> {
        let failed = |error: io::Error| PeerError::Socket(error.kind());
        let mut socket = UdpSocket::bind(SocketAddr::new(address, 0)).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let (peer, sdp) = make(Instant::now(), local)?;
        self.registry.register(&mut socket, Token(key), Interest::READABLE).map_err(failed)?;
        self.peers.insert(key, (peer, socket));
        self.step(key, |now, peer| peer.handle_timeout(now));
        Ok(sdp)
    }

    fn leave(&mut self, key: usize) {
        self.step(key, |now, peer| peer.close(now));
        self.peers.remove(&key);
        self.deadlines.forget(key);
    }

    fn step<T>(&mut self, key: usize, act: impl FnOnce(Instant, &mut Peer) -> T) -> Option<T> {
        let (peer, socket) = self.peers.get_mut(&key)?;
        let now = Instant::now();
        let result = act(now, peer);
        while let Some(output) = peer.poll_output(now) {
            // A full buffer loses a packet, as a network would.
            let _ = socket.send_to(&output.bytes, output.to);
        }
        self.deadlines.arm(key, 0, Some(peer.poll_timeout()));
        Some(result)
    }

    /// Reads a peer's socket; whether more may be there.
    fn read(&mut self, key: usize) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut more = true;
        for _ in 0..READ_MAX {
            let Some((_, socket)) = self.peers.get(&key) else {
                more = false;
                break;
            };
            match socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    self.step(key, |now, peer| peer.handle(now, source, datagram));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                Err(_) => {}
            }
        }
        self.buffer = buffer;
        more
    }
}
