//! The engine: what the call code calls. Which kind it is, the call code does not know.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::browser::warm_up;
use crate::browser_sdp::Offer;
use crate::call::{Call, Setup};
use crate::ports::Ports;
use crate::random::Random;
use crate::silence::Limits;
use crate::worker::{self, Ask, Command, Lease, Link, Open, Start};
use crate::{EventSink, MediaError, MediaStats, StartError};

/// Which engine relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// In this process.
    Embedded,
    /// SDP handed through unchanged; the ends send to each other.
    Bypass,
}

/// What an engine needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub engine: EngineKind,
    /// Media threads, each with one browsers' port.
    pub workers: usize,
    /// Where sockets are bound.
    pub bind_addr: IpAddr,
    /// What SDP names where it differs from `bind_addr` (1:1 NAT).
    pub public_addr: Option<IpAddr>,
    /// First of one port a worker; 0 = any.
    pub browser_port_first: u16,
    /// Where port pairs of trunk legs are leased from.
    pub trunk_ports: RangeInclusive<u16>,
    /// Rest of a worker after each round: fewer wake-ups, at most this much delay.
    pub pause: Duration,
    /// Both legs silent for this long ends the call; zero = never.
    pub silence_both: Duration,
    /// One leg silent for this long ends the call; zero = never.
    pub silence_one: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: EngineKind::Embedded,
            workers: 1,
            bind_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            public_addr: None,
            browser_port_first: 19_000,
            trunk_ports: 20_000..=29_999,
            pause: Duration::from_millis(2),
            silence_both: Duration::from_secs(30),
            silence_one: Duration::from_secs(60),
        }
    }
}

/// Port pairs that are tried for a call where others on the machine hold some.
const BIND_TRIES: usize = 16;
/// Wanted for the browsers' port, which hundreds of calls share: a stall of 100 ms fits.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A running engine. Cheap to clone; its threads end when the last clone and session are gone.
#[derive(Clone, Debug)]
pub enum Engine {
    Embedded(Embedded),
    Bypass,
}

/// The relay in this process.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Relay>);

#[derive(Debug)]
struct Relay {
    bind_addr: IpAddr,
    public_addr: IpAddr,
    limits: Limits,
    workers: Vec<Arc<Link>>,
    ports: Arc<Mutex<Ports>>,
    pairs: usize,
    random: Mutex<Random>,
    next_id: AtomicU64,
}

impl Engine {
    /// Binds the browsers' ports and starts the threads `media-0`, `media-1`, ….
    pub fn start(config: Config) -> Result<Self, StartError> {
        match config.engine {
            EngineKind::Bypass => Ok(Self::Bypass),
            EngineKind::Embedded => Ok(Self::Embedded(Embedded::start(&config)?)),
        }
    }

    /// Takes a browser's offer: reserves the trunk side's ports and gives the SDP to offer to the
    /// trunk. The sockets are live when this returns.
    pub async fn offer(
        &self,
        browser_offer: &Bytes,
        events: EventSink,
    ) -> Result<(MediaSession, Bytes), MediaError> {
        match self {
            Self::Bypass => Ok((MediaSession(Session::Bypass), browser_offer.clone())),
            Self::Embedded(embedded) => {
                let (permit, sdp) =
                    embedded.0.offer(browser_offer, events).inspect_err(|error| {
                        let why = error.label();
                        metrics::counter!("sautikit_media_refusals_total", "reason" => why)
                            .increment(1);
                    })?;
                Ok((MediaSession(Session::Embedded(permit)), sdp))
            }
        }
    }

    /// How many calls the trunk ports carry at once, without those in quarantine; `None` where the
    /// engine uses none.
    #[must_use]
    pub fn port_pairs(&self) -> Option<usize> {
        match self {
            Self::Embedded(embedded) => Some(embedded.0.pairs),
            Self::Bypass => None,
        }
    }

    /// How many pairs of trunk ports calls have now.
    #[must_use]
    pub fn port_pairs_leased(&self) -> usize {
        match self {
            Self::Embedded(embedded) => {
                embedded.0.ports.lock().unwrap_or_else(PoisonError::into_inner).leased()
            }
            Self::Bypass => 0,
        }
    }
}

impl Embedded {
    fn start(config: &Config) -> Result<Self, StartError> {
        if config.workers == 0 {
            return Err(StartError::NoWorkers);
        }
        let public_addr = config.public_addr.unwrap_or(config.bind_addr);
        if public_addr.is_unspecified() {
            return Err(StartError::Unspecified(public_addr));
        }
        let ports = Ports::new(&config.trunk_ports);
        let pairs = ports.len();
        if pairs == 0 {
            return Err(StartError::TrunkPorts(config.trunk_ports.clone()));
        }
        let cert = warm_up(Instant::now()).ok_or(StartError::Certificate)?;
        let sockets = bind_browser_ports(config)?;
        let mut workers = Vec::with_capacity(sockets.len());
        for (index, socket) in sockets.into_iter().enumerate() {
            let local = SocketAddr::new(public_addr, socket.local_addr()?.port());
            let (cert, pause) = (cert.clone(), config.pause);
            workers.push(worker::start(Start { index, socket, local, cert, pause })?);
        }
        let limits = Limits { both: config.silence_both, one: config.silence_one };
        Ok(Self(Arc::new(Relay {
            bind_addr: config.bind_addr,
            public_addr,
            limits,
            workers,
            ports: Arc::new(Mutex::new(ports)),
            pairs,
            random: Mutex::new(Random::new()),
            next_id: AtomicU64::new(1),
        })))
    }
}

fn bind_browser_ports(config: &Config) -> Result<Vec<UdpSocket>, StartError> {
    let first = config.browser_port_first;
    let out_of_range = || StartError::BrowserPortRange { first, workers: config.workers };
    (0..config.workers)
        .map(|index| {
            let port = match first {
                0 => 0,
                first => u16::try_from(index)
                    .ok()
                    .and_then(|index| first.checked_add(index))
                    .ok_or_else(out_of_range)?,
            };
            let addr = SocketAddr::new(config.bind_addr, port);
            let socket = bind(addr).map_err(|source| StartError::BrowserPort { addr, source })?;
            // Best effort: the system may allow less.
            let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
            Ok(socket)
        })
        .collect()
}

fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(addr)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Relay {
    fn offer(&self, offer: &[u8], events: EventSink) -> Result<(Permit, Bytes), MediaError> {
        let offer = Offer::read(offer)?;
        let (lease, rtp, rtcp) = self.lease()?;
        let trunk_addr = SocketAddr::new(self.public_addr, lease.rtp);
        // A clock before 1970 is no clock: reports then count from there.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let setup = Setup { offer, trunk_addr, limits: self.limits, wall };
        let (call, sdp) = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            Call::new(Instant::now(), setup, &mut random)
        };
        let by_load = |link: &&Arc<Link>| link.load.load(Ordering::Relaxed);
        let link = self.workers.iter().min_by_key(by_load).ok_or(MediaError::Stopped)?.clone();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let open = Open { call, rtp, rtcp, lease, events };
        link.send(Command::Open(id, Box::new(open)))?;
        worker::enter(&link);
        Ok((Permit { id, link, open: true }, sdp))
    }

    /// Leases a port pair whose sockets can be bound; a pair that another program holds rests.
    fn lease(&self) -> Result<(Lease, UdpSocket, UdpSocket), MediaError> {
        for _ in 0..BIND_TRIES {
            let pick = self.random.lock().unwrap_or_else(PoisonError::into_inner).u64();
            let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
            let rtp = ports.lease(Instant::now(), pick).ok_or(MediaError::NoPorts)?;
            drop(ports);
            let lease = Lease { ports: self.ports.clone(), rtp };
            let bound = bind(SocketAddr::new(self.bind_addr, rtp)).and_then(|first| {
                // The pair's second port exists: see `Ports::new`.
                Ok((first, bind(SocketAddr::new(self.bind_addr, rtp.saturating_add(1)))?))
            });
            match bound {
                Ok((first, second)) => return Ok((lease, first, second)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    tracing::warn!(%error, "media ports cannot be bound");
                    return Err(MediaError::NoPorts);
                }
            }
        }
        Err(MediaError::NoPorts)
    }
}

/// A call's media: a permit. Dropping it ends the relay and gives the ports back (to quarantine).
#[derive(Debug)]
pub struct MediaSession(Session);

#[derive(Debug)]
enum Session {
    Embedded(Permit),
    Bypass,
}

#[derive(Debug)]
struct Permit {
    id: u64,
    link: Arc<Link>,
    open: bool,
}

impl MediaSession {
    /// Takes the trunk's answer (of any 18x or 2xx) and gives the browser's: the same bytes each
    /// time. A later, changed or forked answer re-points the trunk side.
    pub async fn answer(&self, trunk_sdp: &Bytes) -> Result<Bytes, MediaError> {
        match &self.0 {
            Session::Embedded(permit) => permit.ask(Ask::Answer(trunk_sdp.clone())).await,
            Session::Bypass => Ok(trunk_sdp.clone()),
        }
    }

    /// The call is answered: from now on the silence rule counts. Idempotent.
    pub fn talking(&self) {
        if let Session::Embedded(permit) = &self.0 {
            // Without a thread there is no rule to begin; the next question says so.
            let _ = permit.link.send(Command::Talking(permit.id));
        }
    }

    /// Takes a new offer of the browser (hold, resume, ICE restart) and gives the answer. With
    /// `bypass` there is nobody here to answer: [`MediaError::NotRelayed`].
    pub async fn reoffer_from_browser(&self, sdp: &Bytes) -> Result<Bytes, MediaError> {
        self.ask(Ask::FromBrowser(sdp.clone())).await
    }

    /// Takes a new offer of the trunk (hold, resume, new address or codec) and gives the answer.
    /// With `bypass`: [`MediaError::NotRelayed`].
    pub async fn reoffer_from_trunk(&self, sdp: &Bytes) -> Result<Bytes, MediaError> {
        self.ask(Ask::FromTrunk(sdp.clone())).await
    }

    /// Our SDP as an offer to the trunk, for its re-INVITE without one (RFC 3261 section 14.2);
    /// its answer, in the ACK, goes to [`Self::answer`]. With `bypass`:
    /// [`MediaError::NotRelayed`].
    pub async fn offer_to_trunk(&self) -> Result<Bytes, MediaError> {
        self.ask(Ask::OfferToTrunk).await
    }

    /// Figures so far. All zero with `bypass`.
    pub async fn stats(&self) -> Result<MediaStats, MediaError> {
        let Session::Embedded(permit) = &self.0 else { return Ok(MediaStats::default()) };
        let (reply, answer) = oneshot::channel();
        permit.link.send(Command::Stats(permit.id, reply))?;
        answer.await.map_err(|_| MediaError::Ended)
    }

    /// Ends the relay and gives its last figures.
    pub async fn close(self) -> Result<MediaStats, MediaError> {
        let Session::Embedded(mut permit) = self.0 else { return Ok(MediaStats::default()) };
        let (reply, answer) = oneshot::channel();
        permit.close(Some(reply))?;
        answer.await.map_err(|_| MediaError::Ended)
    }

    /// Ends the relay at once, without figures: the same as dropping it.
    pub fn hang_up(self) {}

    async fn ask(&self, ask: Ask) -> Result<Bytes, MediaError> {
        match &self.0 {
            Session::Embedded(permit) => permit.ask(ask).await,
            Session::Bypass => Err(MediaError::NotRelayed),
        }
    }
}

impl Permit {
    async fn ask(&self, ask: Ask) -> Result<Bytes, MediaError> {
        let (reply, answer) = oneshot::channel();
        self.link.send(Command::Ask(self.id, ask, reply))?;
        answer.await.map_err(|_| MediaError::Stopped)?
    }

    fn close(&mut self, reply: Option<oneshot::Sender<MediaStats>>) -> Result<(), MediaError> {
        if std::mem::replace(&mut self.open, false) {
            worker::leave(&self.link);
            self.link.send(Command::Close(self.id, reply))?;
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // A thread that is gone has freed all already.
        let _ = self.close(None);
    }
}
