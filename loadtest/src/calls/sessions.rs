//! The sockets of the simulated browsers: opened and registered, read and written, renewed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use sautikit_core::identity::Identity;
use sautikit_net::client::{self, ConnectError, Handshake, TokenPlace};
use sautikit_net::random;
use sautikit_net::ws::{Feed, Incoming, Outbox};
use sautikit_sip::reader::{Framing, Read, read_any};
use tokio::net::{TcpSocket, TcpStream};

use super::alarm::Alarm;
use super::browser::Browser;
use super::load::Load;
use super::tally::Latency;
use super::tokens::{Mint, MintError};

/// A token lives 300 s; each session's is renewed once in this time, spread evenly over all.
const RENEW_EVERY: Duration = Duration::from_secs(200);
/// Before that nobody is: a short run measures calls, not renewals.
const RENEW_AFTER: Duration = Duration::from_secs(45);
/// What is left of a token's life for the time that opening took.
const _: () = assert!(RENEW_AFTER.as_secs() + RENEW_EVERY.as_secs() <= 300 - 45);
const REGISTER_TIMEOUT: Duration = Duration::from_secs(20);
const NORMAL_CLOSURE: u16 = 1000;

/// Where and how to connect.
pub(super) struct Gate {
    pub(super) ws: SocketAddr,
    pub(super) domain: String,
    /// Addresses of this machine to connect from, in turn; empty leaves it to the system.
    pub(super) sources: Vec<IpAddr>,
    pub(super) mint: Mint,
}

/// A session that is registered.
pub(super) struct Opened {
    pub(super) browser: Browser,
    feed: Feed<TcpStream>,
    outbox: Outbox,
}

/// What opening many sessions came to.
#[derive(Default)]
pub(super) struct Opening {
    pub(super) opened: Vec<Opened>,
    /// By reason.
    pub(super) failed: BTreeMap<String, u64>,
    /// From the connection's start to the answer of REGISTER.
    pub(super) latency: Latency,
}

#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Mint(#[from] MintError),
    #[error("no connection: {0}")]
    Connect(#[from] io::Error),
    #[error("handshake: {0}")]
    Handshake(#[from] ConnectError),
    #[error("REGISTER was answered {0}")]
    Refused(u16),
    #[error("REGISTER had no answer within 20 s")]
    Silent,
    #[error("the socket closed before REGISTER was answered")]
    Closed,
}

/// Opens `count` sessions, `at_once` at a time; `progress` hears how many are done.
pub(super) async fn open_all(
    gate: &Gate,
    count: u32,
    at_once: usize,
    mut progress: impl FnMut(u64),
) -> Opening {
    let mut opening = Opening::default();
    // The generator of random bytes gathers entropy for some 40 ms at its first use in a thread,
    // which would count as the first sessions' latency.
    let _ = random::bytes::<1>();
    let attempts = (0..count).map(|index| open(gate, index));
    let mut attempts = futures_util::stream::iter(attempts).buffer_unordered(at_once.max(1));
    let mut done = 0;
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok((opened, took)) => {
                opening.latency.record(took);
                opening.opened.push(opened);
            }
            Err(error) => *opening.failed.entry(error.to_string()).or_insert(0) += 1,
        }
        done += 1;
        progress(done);
    }
    opening
}

async fn open(gate: &Gate, index: u32) -> Result<(Opened, Duration), OpenError> {
    let user = format!("load-{index}");
    let identity = Identity::parse(&user).expect("letters, a dash and digits are an identity");
    let token = gate.mint.token(&identity).await?;
    let began = Instant::now();
    let stream = connect(gate, index).await?;
    let host = gate.ws.to_string();
    let token = Some((TokenPlace::Query, &token));
    let handshake = Handshake { host: &host, path: "/", token, origin: None };
    let (mut feed, outbox) = client::connect(stream, &handshake).await?;
    let mut browser = Browser::new(&user, &gate.domain);
    outbox.send(browser.register(None)).map_err(|_| OpenError::Closed)?;
    let registered = tokio::time::timeout(REGISTER_TIMEOUT, answer(&mut feed)).await;
    match registered.map_err(|_| OpenError::Silent)?.ok_or(OpenError::Closed)? {
        200..300 => Ok((Opened { browser, feed, outbox }, began.elapsed())),
        status => Err(OpenError::Refused(status)),
    }
}

async fn connect(gate: &Gate, index: u32) -> io::Result<TcpStream> {
    let socket = if gate.ws.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let turn = usize::try_from(index).unwrap_or(0) % gate.sources.len().max(1);
    if let Some(source) = gate.sources.get(turn) {
        socket.bind(SocketAddr::new(*source, 0))?;
    }
    let stream = socket.connect(gate.ws).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The status of the first response that comes; `None` where the socket ends before.
async fn answer(feed: &mut Feed<TcpStream>) -> Option<u16> {
    while let Some(incoming) = feed.next().await {
        if let Incoming::Message(bytes) = incoming
            && let Ok(Read::Message(message)) = read_any(&bytes, Framing::WebSocket)
            && let Some(status) = message.status().filter(|status| *status >= 200)
        {
            return Some(status);
        }
    }
    None
}

/// The load and the sockets that it speaks through: all on one thread.
pub(super) struct Hub {
    load: RefCell<Load>,
    outboxes: Vec<Outbox>,
    pub(super) alarm: Alarm,
    closing: Cell<bool>,
}

impl Hub {
    /// Reads and writes the sockets from now on, one task each. `load` is of the same sessions.
    pub(super) fn start(load: Load, sessions: Vec<Wired>, alarm: Alarm) -> Rc<Self> {
        let (feeds, outboxes): (Vec<_>, Vec<_>) =
            sessions.into_iter().map(|wired| (wired.feed, wired.outbox)).unzip();
        let load = RefCell::new(load);
        let hub = Rc::new(Self { load, outboxes, alarm, closing: Cell::new(false) });
        for (session, feed) in feeds.into_iter().enumerate() {
            tokio::task::spawn_local(Rc::clone(&hub).pump(session, feed));
        }
        hub.act(|_, _| ());
        hub
    }

    /// Lets the load do something, sends what comes of it, and sets the alarm for what is next.
    pub(super) fn act<T>(&self, action: impl FnOnce(&mut Load, Instant) -> T) -> T {
        let mut load = self.load.borrow_mut();
        let result = action(&mut load, Instant::now());
        for output in load.outputs() {
            if let Some(outbox) = self.outboxes.get(output.session) {
                // A socket that takes no more is closing, which its feed will tell.
                let _ = outbox.send(output.bytes);
            }
        }
        self.alarm.set(load.poll_timeout());
        result
    }

    async fn pump(self: Rc<Self>, session: usize, mut feed: Feed<TcpStream>) {
        while let Some(incoming) = feed.next().await {
            match incoming {
                Incoming::Message(bytes) => {
                    self.act(|load, now| load.handle_message(now, session, &bytes));
                }
                Incoming::Ping | Incoming::Pong => {}
                Incoming::Closed(_) | Incoming::Failed(_) => break,
            }
        }
        if !self.closing.get() {
            self.act(|load, _| load.session_lost(session));
        }
    }

    /// Renews one session after another, for ever.
    pub(super) async fn renew(&self, mint: &Mint) {
        let count = u32::try_from(self.outboxes.len()).unwrap_or(u32::MAX).max(1);
        let first = tokio::time::Instant::now() + RENEW_AFTER;
        let mut ticks = tokio::time::interval_at(first, RENEW_EVERY / count);
        for session in (0..self.outboxes.len()).cycle() {
            ticks.tick().await;
            let user = self.load.borrow().user(session).and_then(|it| Identity::parse(it).ok());
            let Some(user) = user else { continue };
            match mint.token(&user).await {
                Ok(token) => self.act(|load, _| load.renew(session, &token)),
                Err(_) => self.act(|load, _| load.tally.renewals_refused += 1),
            }
        }
    }

    /// Closes all sockets as a page does that is left, and waits a moment for them.
    pub(super) async fn close(&self) {
        self.closing.set(true);
        for outbox in &self.outboxes {
            outbox.close(NORMAL_CLOSURE, "");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The socket of a session, without its browser.
pub(super) struct Wired {
    feed: Feed<TcpStream>,
    outbox: Outbox,
}

impl Opened {
    pub(super) fn split(self) -> (Browser, Wired) {
        (self.browser, Wired { feed: self.feed, outbox: self.outbox })
    }
}
