//! A media thread: it owns one browsers' port, the trunk sockets of its calls, and the calls.
//!
//! Each round reads every ready socket until it would block, fires what is due, obeys commands, and
//! rests: system calls and wake-ups are most of a relay's cost, and a pause makes fewer of both.

use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{collections::HashMap, io, thread};

use bytes::Bytes;
use mio::event::Event;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use tokio::sync::oneshot;

use crate::addresses::Addresses;
use crate::browser::DtlsCert;
use crate::call::{Call, Output};
use crate::deadlines::Deadlines;
use crate::ports::Ports;
use crate::rtp::{self, Kind};
use crate::tally::Tally;
use crate::{EventSink, GoneWhy, MediaError, MediaEvent, MediaStats, Side};

const WAKE: Token = Token(0);
const BROWSERS: Token = Token(1);
/// Tokens of a call's two sockets follow from its slot.
const FIRST_CALL: usize = 2;
/// Packets that one socket may bring in a round; the rest wait for the next one.
const READ_MAX: usize = 64;
/// Larger than any datagram of a path with Ethernet's MTU.
const DATAGRAM_MAX: usize = 2_048;
/// Addresses that one browser may prove: one, and more when its network changes.
const ADDRESSES_MAX: usize = 8;
/// Longest sleep while there are calls: figures are told once a second.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// The least time between two looks at what is due for a call.
const TURN: Duration = Duration::from_millis(1);
/// Rest after the system refused to wait for sockets, so that an error does not spin.
const AFTER_POLL_ERROR: Duration = Duration::from_millis(10);

/// A leased port pair; dropping it begins its quarantine.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) ports: Arc<Mutex<Ports>>,
    pub(crate) rtp: u16,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.release(Instant::now(), self.rtp);
    }
}

/// A new call for a worker.
pub(crate) struct Open {
    pub(crate) call: Call,
    pub(crate) rtp: StdSocket,
    pub(crate) rtcp: StdSocket,
    pub(crate) lease: Lease,
    pub(crate) events: EventSink,
}

/// A question that is answered with SDP.
#[derive(Debug)]
pub(crate) enum Ask {
    Answer(Bytes),
    FromBrowser(Bytes),
    FromTrunk(Bytes),
    OfferToTrunk,
}

pub(crate) enum Command {
    Open(u64, Box<Open>),
    Ask(u64, Ask, oneshot::Sender<Result<Bytes, MediaError>>),
    Talking(u64),
    Stats(u64, oneshot::Sender<MediaStats>),
    Close(u64, Option<oneshot::Sender<MediaStats>>),
}

/// The way to a worker. The channel has no bound of its own: each session, of which the port pairs
/// bound the number, asks one thing at a time.
#[derive(Debug)]
pub(crate) struct Link {
    commands: Option<Sender<Command>>,
    waker: Waker,
    /// Open sessions, to find the least busy worker.
    pub(crate) load: AtomicUsize,
}

impl Link {
    pub(crate) fn send(&self, command: Command) -> Result<(), MediaError> {
        let commands = self.commands.as_ref().ok_or(MediaError::Stopped)?;
        commands.send(command).map_err(|_| MediaError::Stopped)?;
        self.waker.wake().map_err(|_| MediaError::Stopped)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The worker ends when it finds the channel closed.
        drop(self.commands.take());
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "media thread not woken to end");
        }
    }
}

/// What a worker is started with.
pub(crate) struct Start {
    pub(crate) index: usize,
    pub(crate) socket: StdSocket,
    /// The socket's address as browsers see it.
    pub(crate) local: SocketAddr,
    pub(crate) cert: DtlsCert,
    pub(crate) pause: Duration,
}

/// Starts the thread `media-<index>`.
pub(crate) fn start(start: Start) -> io::Result<Arc<Link>> {
    let Start { index, socket, local, cert, pause } = start;
    let poll = Poll::new()?;
    let mut socket = UdpSocket::from_std(socket);
    poll.registry().register(&mut socket, BROWSERS, Interest::READABLE)?;
    let waker = Waker::new(poll.registry(), WAKE)?;
    let (sender, commands) = channel();
    let worker = Worker {
        poll,
        front: Front { socket, local, by_ufrag: HashMap::new(), addresses: Addresses::default() },
        cert,
        pause,
        commands,
        slots: Vec::new(),
        free: Vec::new(),
        by_id: HashMap::new(),
        ready: Vec::new(),
        deadlines: Deadlines::default(),
        tally: Tally::new(index),
        buffer: vec![0; DATAGRAM_MAX],
    };
    thread::Builder::new().name(format!("media-{index}")).spawn(move || worker.run())?;
    Ok(Arc::new(Link { commands: Some(sender), waker, load: AtomicUsize::new(0) }))
}

struct Worker {
    poll: Poll,
    front: Front,
    cert: DtlsCert,
    pause: Duration,
    commands: Receiver<Command>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_id: HashMap<u64, usize>,
    /// Sockets with something left to read: edge-triggered, so nobody will tell again.
    ready: Vec<Token>,
    deadlines: Deadlines,
    tally: Tally,
    buffer: Vec<u8>,
}

/// The browsers' port and who is behind it.
struct Front {
    socket: UdpSocket,
    local: SocketAddr,
    by_ufrag: HashMap<String, usize>,
    /// Those that proved a call's ICE password.
    addresses: Addresses,
}

struct Slot {
    id: u64,
    call: Call,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    events: EventSink,
    ufrag: Option<String>,
    addresses: Vec<SocketAddr>,
    /// After the sockets: the pair's quarantine begins when they are closed.
    _lease: Lease,
}

impl Worker {
    fn run(mut self) {
        let mut events = Events::with_capacity(1_024);
        loop {
            let sleep = self.sleep();
            if let Err(error) = self.poll.poll(&mut events, sleep) {
                if error.kind() != io::ErrorKind::Interrupted {
                    tracing::error!(%error, "media thread cannot wait for its sockets");
                    thread::sleep(AFTER_POLL_ERROR);
                }
                continue;
            }
            // A round's events name a socket once, so only those left from before can repeat.
            let left = self.ready.len();
            for token in events.iter().map(Event::token).filter(|token| *token != WAKE) {
                if !self.ready.iter().take(left).any(|ready| *ready == token) {
                    self.ready.push(token);
                }
            }
            self.read_ready();
            self.fire();
            if !self.obey() {
                return;
            }
            self.tally.round(Instant::now(), self.by_id.len());
            // With packets left over, the pause would only make them late.
            if !self.by_id.is_empty() && self.ready.is_empty() && !self.pause.is_zero() {
                thread::sleep(self.pause);
            }
        }
    }

    fn sleep(&mut self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.deadlines.next().map(|at| at.saturating_duration_since(Instant::now()));
        let most = (!self.by_id.is_empty()).then_some(SLEEP_MAX);
        next.into_iter().chain(most).min()
    }

    fn read_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|token| match *token {
            BROWSERS => self.read_browsers(),
            Token(token) => self.read_trunk((token - FIRST_CALL) / 2, token % 2 == 1),
        });
        self.ready = ready;
    }

    /// Reads the browsers' port; whether more may be there.
    fn read_browsers(&mut self) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut more = true;
        for _ in 0..READ_MAX {
            match self.front.socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    self.tally.read(Side::Browser);
                    match self.front.find(Instant::now(), source, datagram) {
                        Some((index, proven)) => {
                            self.step(index, |slot, now| {
                                slot.call.handle_browser(now, (source, proven), datagram);
                            });
                        }
                        None => self.tally.unmatched(),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                // Any other error is of one datagram; the next may be well.
                Err(_) => {}
            }
        }
        self.buffer = buffer;
        more
    }

    /// Reads one of a call's own sockets; whether more may be there.
    fn read_trunk(&mut self, index: usize, rtcp: bool) -> bool {
        if !matches!(self.slots.get(index), Some(Some(_))) {
            return false;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut more = true;
        for _ in 0..READ_MAX {
            let Some(Some(slot)) = self.slots.get(index) else {
                more = false;
                break;
            };
            let socket = if rtcp { &slot.rtcp } else { &slot.rtp };
            match socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    self.tally.read(Side::Trunk);
                    self.step(index, |slot, now| {
                        if rtcp {
                            slot.call.handle_trunk_rtcp(now, source, datagram);
                        } else {
                            slot.call.handle_trunk_rtp(now, source, datagram);
                        }
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                // Any other error is of one datagram; the next may be well.
                Err(_) => {}
            }
        }
        self.buffer = buffer;
        more
    }

    fn fire(&mut self) {
        let now = Instant::now();
        while let Some((index, id)) = self.deadlines.due(now) {
            if self.slot(index).is_some_and(|slot| slot.id == id) {
                self.step(index, |slot, now| slot.call.handle_timeout(now));
            }
        }
    }

    /// Does something to a call and then what follows from it. A panic (of a library, say, over a
    /// packet that nobody foresaw) ends that call alone.
    fn step<T>(&mut self, index: usize, act: impl FnOnce(&mut Slot, Instant) -> T) -> Option<T> {
        let Self { slots, front, deadlines, tally, .. } = self;
        let slot = slots.get_mut(index)?.as_mut()?;
        let now = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| {
            let result = act(slot, now);
            let is_settled = slot.call.is_settled();
            front.drain(index, slot, now, tally);
            if !is_settled {
                // Never for now: whatever a call says, the others have their turn between two of its.
                let at = slot.call.poll_timeout().map(|at| at.max(now + TURN));
                deadlines.arm(index, slot.id, at);
            }
            result
        }));
        match done {
            Ok(result) => Some(result),
            Err(_) => {
                metrics::counter!("sautikit_media_panics_total").increment(1);
                tracing::error!("a call's media failed and was ended");
                let id = slot.id;
                if let Some(mut slot) = self.remove(id) {
                    let gone = MediaEvent::Gone(GoneWhy::Failed);
                    // The sink itself may be what failed.
                    let _ = catch_unwind(AssertUnwindSafe(|| (slot.events)(gone)));
                }
                None
            }
        }
    }

    /// Obeys all commands that came; false when nobody is left to send any.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Open(id, open)) => self.open(id, *open),
                Ok(Command::Ask(id, ask, reply)) => {
                    let result = self.ask(id, &ask);
                    if let Err(error) = &result {
                        let label = error.label();
                        metrics::counter!("sautikit_media_refusals_total", "reason" => label)
                            .increment(1);
                    }
                    // Whoever asked may have given up waiting.
                    let _ = reply.send(result);
                }
                Ok(Command::Talking(id)) => {
                    if let Some(&index) = self.by_id.get(&id) {
                        self.step(index, |slot, now| slot.call.talking(now));
                    }
                }
                Ok(Command::Stats(id, reply)) => {
                    if let Some(slot) = self.by_id.get(&id).and_then(|&index| self.slot(index)) {
                        let _ = reply.send(slot.call.stats(Instant::now()));
                    }
                }
                Ok(Command::Close(id, reply)) => self.close(id, reply),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn open(&mut self, id: u64, open: Open) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let Open { call, rtp, rtcp, lease, events } = open;
        let mut slot = Slot {
            id,
            call,
            rtp: UdpSocket::from_std(rtp),
            rtcp: UdpSocket::from_std(rtcp),
            events,
            ufrag: None,
            addresses: Vec::new(),
            _lease: lease,
        };
        let token = FIRST_CALL + index * 2;
        let registry = self.poll.registry();
        let registered = registry
            .register(&mut slot.rtp, Token(token), Interest::READABLE)
            .and_then(|()| registry.register(&mut slot.rtcp, Token(token + 1), Interest::READABLE));
        if let Err(error) = registered {
            tracing::error!(%error, "a call's sockets cannot be watched");
            (slot.events)(MediaEvent::Gone(GoneWhy::Failed));
            self.free.push(index);
            return;
        }
        self.slots[index] = Some(slot);
        self.by_id.insert(id, index);
    }

    fn ask(&mut self, id: u64, ask: &Ask) -> Result<Bytes, MediaError> {
        let &index = self.by_id.get(&id).ok_or(MediaError::Ended)?;
        let (local, cert) = (self.front.local, self.cert.clone());
        let result = self.step(index, |slot, now| match ask {
            Ask::Answer(sdp) => slot.call.answer(now, sdp, local, &cert),
            Ask::FromBrowser(sdp) => slot.call.reoffer_from_browser(now, sdp),
            Ask::FromTrunk(sdp) => slot.call.reoffer_from_trunk(now, sdp),
            Ask::OfferToTrunk => Ok(slot.call.offer_to_trunk()),
        });
        if let Some(Some(slot)) = self.slots.get_mut(index) {
            self.front.name(index, slot);
        }
        result.ok_or(MediaError::Ended)?
    }

    fn close(&mut self, id: u64, reply: Option<oneshot::Sender<MediaStats>>) {
        let Some(&index) = self.by_id.get(&id) else { return };
        let stats = self.step(index, |slot, now| {
            let stats = slot.call.stats(now);
            slot.call.close(now);
            stats
        });
        self.remove(id);
        if let (Some(reply), Some(stats)) = (reply, stats) {
            let _ = reply.send(stats);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Slot> {
        let index = self.by_id.remove(&id)?;
        let slot = self.slots.get_mut(index)?.take()?;
        self.deadlines.forget(index);
        self.front.forget(index, &slot);
        self.free.push(index);
        Some(slot)
    }

    fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)?.as_ref()
    }
}

impl Front {
    /// Whose a datagram is, and whether its address is proven: an ICE check names our ufrag, all else comes
    /// from an address that has proved itself by one.
    fn find(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) -> Option<(usize, bool)> {
        if rtp::kind(datagram) == Kind::Stun {
            let ufrag = std::str::from_utf8(rtp::stun_ufrag(datagram)?).ok()?;
            let index = *self.by_ufrag.get(ufrag)?;
            return Some((index, self.addresses.owner(source) == Some(index)));
        }
        self.addresses.heard(now, source).map(|index| (index, true))
    }

    /// Does all that a call wants done.
    fn drain(&mut self, index: usize, slot: &mut Slot, now: Instant, tally: &mut Tally) {
        while let Some(output) = slot.call.poll_output(now) {
            let (side, sent) = match output {
                Output::Browser(to, bytes) => {
                    self.learn(now, index, slot, (to, &bytes));
                    (Side::Browser, self.socket.send_to(&bytes, to))
                }
                Output::Trunk(to, bytes) => (Side::Trunk, slot.rtp.send_to(&bytes, to)),
                Output::TrunkRtcp(to, bytes) => (Side::Trunk, slot.rtcp.send_to(&bytes, to)),
                Output::Event(event) => {
                    (slot.events)(event);
                    continue;
                }
            };
            tally.sent(side, sent.is_ok());
        }
    }

    /// A successful answer to an ICE check proves its address: the check knew our password.
    fn learn(
        &mut self,
        now: Instant,
        index: usize,
        slot: &mut Slot,
        (to, bytes): (SocketAddr, &[u8]),
    ) {
        if !bytes.starts_with(&[1, 1]) || !self.addresses.give(now, to, index) {
            return;
        }
        if slot.addresses.contains(&to) {
            return;
        }
        if slot.addresses.len() == ADDRESSES_MAX {
            let oldest = slot.addresses.remove(0);
            self.addresses.take(oldest, index);
        }
        slot.addresses.push(to);
    }

    /// Finds a call by its ufrag, which its first answer and each ICE restart set.
    fn name(&mut self, index: usize, slot: &mut Slot) {
        let ufrag = slot.call.ufrag();
        if ufrag == slot.ufrag.as_deref() {
            return;
        }
        let ufrag = ufrag.map(str::to_owned);
        if let Some(old) = slot.ufrag.take() {
            self.by_ufrag.remove(&old);
        }
        if let Some(new) = &ufrag {
            self.by_ufrag.insert(new.clone(), index);
        }
        slot.ufrag = ufrag;
    }

    fn forget(&mut self, index: usize, slot: &Slot) {
        if let Some(ufrag) = &slot.ufrag {
            self.by_ufrag.remove(ufrag);
        }
        for address in &slot.addresses {
            self.addresses.take(*address, index);
        }
    }
}

/// Counts a session of a worker for as long as it lives.
pub(crate) fn enter(link: &Link) {
    link.load.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn leave(link: &Link) {
    link.load.fetch_sub(1, Ordering::Relaxed);
}
