//! The sockets of the simulated browsers: opened and registered, read and written, renewed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use sautikit_core::identity::Identity;
use sautikit_net::client::{self, ConnectError, Handshake, TokenPlace};
use sautikit_net::random;
use sautikit_net::ws::{Feed, Incoming, Outbox};
use sautikit_sip::reader::{Framing, Read, read_any};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::alarm::Alarm;
use super::audio::{Audio, Told};
use super::browser::Browser;
use super::load::{Ask, Load, Output};
use super::tally::Tally;
use super::tokens::{Mint, MintError};
use crate::latency::Latency;

/// A token lives 300 s; each session's is renewed once in this time, spread evenly over all.
const RENEW_EVERY: Duration = Duration::from_secs(200);
/// Before that nobody is: a short run measures calls, not renewals.
const RENEW_AFTER: Duration = Duration::from_secs(45);
/// What is left of a token's life for the time that opening took.
const _: () = assert!(RENEW_AFTER.as_secs() + RENEW_EVERY.as_secs() <= 300 - 45);
const REGISTER_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two attempts of a lost session to come back.
const COME_BACK_EVERY: Duration = Duration::from_millis(250);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
const NORMAL_CLOSURE: u16 = 1000;

/// Where and how to connect.
pub(super) struct Gate {
    pub(super) ws: SocketAddr,
    pub(super) domain: String,
    /// Addresses of this machine to connect from, in turn; empty leaves it to the system.
    pub(super) sources: Vec<IpAddr>,
    pub(super) mint: Mint,
    /// Sessions register when they are open.
    pub(super) register: bool,
    /// Sessions a second; without one the next begins when an earlier one is done.
    pub(super) rate: Option<f64>,
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

/// The browsers of a run that begins.
pub(super) fn newcomers(gate: &Gate, count: u32) -> Vec<Browser> {
    // The generator of random bytes gathers entropy for some 40 ms at its first use in a thread,
    // which would count as the first sessions' latency.
    let _ = random::bytes::<1>();
    (0..count).map(|index| Browser::new(&format!("load-{index}"), &gate.domain)).collect()
}

/// Opens a session for each browser, `at_once` at a time; `progress` hears how many are done.
/// Latencies count from `since` where it is given, else from the intended time where the gate has a
/// rate, else from each connection's start.
pub(super) async fn open_all(
    gate: &Gate,
    browsers: Vec<Browser>,
    at_once: usize,
    since: Option<Instant>,
    mut progress: impl FnMut(u64),
) -> Opening {
    let mut opening = Opening::default();
    let start = Instant::now();
    let attempts = browsers.into_iter().zip(0..).map(|(browser, index)| {
        let due = gate.rate.map(|rate| start + Duration::from_secs_f64(f64::from(index) / rate));
        open(gate, index, browser, due, since)
    });
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

async fn open(
    gate: &Gate,
    index: u32,
    mut browser: Browser,
    due: Option<Instant>,
    since: Option<Instant>,
) -> Result<(Opened, Duration), OpenError> {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
    let identity = Identity::parse(browser.user());
    let identity = identity.expect("letters, a dash and digits are an identity");
    let token = gate.mint.token(&identity).await?;
    let began = since.or(due).unwrap_or_else(Instant::now);
    let stream = connect(gate, index).await?;
    let host = gate.ws.to_string();
    let token = Some((TokenPlace::Query, &token));
    let handshake = Handshake { host: &host, path: "/", token, origin: None };
    let (mut feed, outbox) = client::connect(stream, &handshake).await?;
    if !gate.register {
        return Ok((Opened { browser, feed, outbox }, began.elapsed()));
    }
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
    me: Weak<Self>,
    load: RefCell<Load>,
    outboxes: RefCell<Vec<Outbox>>,
    readers: RefCell<Vec<JoinHandle<()>>>,
    audio: Option<Audio>,
    pub(super) alarm: Alarm,
    closing: Cell<bool>,
    losses: Losses,
}

/// Sessions whose sockets are gone, for whoever brings them back.
#[derive(Default)]
struct Losses {
    /// In order, since the last look.
    new: RefCell<VecDeque<usize>>,
    /// How many are without a socket now.
    open: Cell<usize>,
    /// When which was lost, of all.
    all: RefCell<Vec<(Instant, usize)>>,
    changed: Notify,
}

impl Hub {
    /// Reads and writes the sockets from now on, one task each. `load` is of the same sessions.
    pub(super) fn start(
        load: Load,
        sessions: Vec<Wired>,
        audio: Option<Audio>,
        alarm: Alarm,
    ) -> Rc<Self> {
        let (feeds, outboxes): (Vec<_>, Vec<_>) =
            sessions.into_iter().map(|wired| (wired.feed, wired.outbox)).unzip();
        let hub = Rc::new_cyclic(|me| Self {
            me: me.clone(),
            load: RefCell::new(load),
            outboxes: RefCell::new(outboxes),
            readers: RefCell::default(),
            audio,
            alarm,
            closing: Cell::new(false),
            losses: Losses::default(),
        });
        let readers = feeds
            .into_iter()
            .enumerate()
            .map(|(session, feed)| tokio::task::spawn_local(Rc::clone(&hub).pump(session, feed)));
        *hub.readers.borrow_mut() = readers.collect();
        hub.act(|_, _| ());
        hub
    }

    /// Lets the load do something, does what comes of it, and sets the alarm for what is next.
    pub(super) fn act<T>(&self, action: impl FnOnce(&mut Load, Instant) -> T) -> T {
        let mut load = self.load.borrow_mut();
        let result = action(&mut load, Instant::now());
        for output in load.outputs() {
            match output {
                Output::Send { session, bytes } => {
                    if let Some(outbox) = self.outboxes.borrow().get(session) {
                        // A socket that takes no more is closing, which its feed will tell.
                        let _ = outbox.send(bytes);
                    }
                }
                Output::Audio { call, ask } => {
                    if let Some(me) = self.me.upgrade() {
                        tokio::task::spawn_local(me.sound(call, ask));
                    }
                }
            }
        }
        self.alarm.set(load.poll_timeout());
        result
    }

    async fn sound(self: Rc<Self>, call: u64, ask: Ask) {
        let Some(audio) = &self.audio else { return };
        match audio.perform(call, ask).await {
            Told::Offered(offer) => self.act(|load, now| load.offered(now, call, offer)),
            Told::Closed(sound) => self.act(|load, _| load.heard(call, sound)),
            Told::Done => {}
        }
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
            self.lost(session);
        }
    }

    fn lost(&self, session: usize) {
        let now = self.act(|load, now| {
            load.session_lost(now, session);
            now
        });
        self.losses.new.borrow_mut().push_back(session);
        self.losses.open.set(self.losses.open.get() + 1);
        self.losses.all.borrow_mut().push((now, session));
        self.losses.changed.notify_waiters();
    }

    /// Drops the sockets of these sessions without a word, as a network does that goes away.
    pub(super) fn cut(&self, sessions: &[usize]) {
        for session in sessions {
            let running = self.readers.borrow().get(*session).is_some_and(|it| !it.is_finished());
            if running {
                self.readers.borrow()[*session].abort();
                self.lost(*session);
            }
        }
    }

    /// Brings lost sessions back, for ever, each with a fresh token.
    pub(super) async fn bring_back(&self, gate: &Gate) {
        let mut attempts = futures_util::stream::FuturesUnordered::new();
        loop {
            while let Some(session) = self.losses.new.borrow_mut().pop_front() {
                attempts.push(self.attempt(gate, session));
            }
            tokio::select! {
                () = self.losses.changed.notified() => {}
                Some((session, opened)) = attempts.next() => self.back(session, opened),
            }
        }
    }

    /// Tries until the gateway takes it.
    async fn attempt(&self, gate: &Gate, session: usize) -> (usize, Opened) {
        let index = u32::try_from(session).unwrap_or(u32::MAX);
        loop {
            let browser = self.load.borrow().browser(session);
            let browser = browser.expect("only sessions of the load are lost");
            match open(gate, index, browser, None, None).await {
                Ok((opened, _)) => return (session, opened),
                Err(_) => tokio::time::sleep(COME_BACK_EVERY).await,
            }
        }
    }

    fn back(&self, session: usize, opened: Opened) {
        let (browser, wired) = opened.split();
        self.outboxes.borrow_mut()[session] = wired.outbox;
        self.act(|load, _| load.session_back(session, browser));
        if let Some(me) = self.me.upgrade() {
            let reader = tokio::task::spawn_local(me.pump(session, wired.feed));
            self.readers.borrow_mut()[session] = reader;
        }
        self.losses.open.set(self.losses.open.get() - 1);
        self.losses.changed.notify_waiters();
    }

    /// Comes when every session has a socket.
    pub(super) async fn is_whole(&self) {
        while self.losses.open.get() > 0 {
            self.losses.changed.notified().await;
        }
    }

    /// How many sessions have no socket.
    pub(super) fn missing(&self) -> usize {
        self.losses.open.get()
    }

    /// When which sessions were lost.
    pub(super) fn losses(&self) -> Vec<(Instant, usize)> {
        self.losses.all.borrow().clone()
    }

    /// Renews one session after another, for ever.
    pub(super) async fn renew(&self, mint: &Mint) {
        let sessions = self.outboxes.borrow().len();
        let count = u32::try_from(sessions).unwrap_or(u32::MAX).max(1);
        let first = tokio::time::Instant::now() + RENEW_AFTER;
        let mut ticks = tokio::time::interval_at(first, RENEW_EVERY / count);
        for session in (0..sessions).cycle() {
            ticks.tick().await;
            let user = self.load.borrow().user(session).and_then(|it| Identity::parse(it).ok());
            let Some(user) = user else { continue };
            match mint.token(&user).await {
                Ok(token) => self.act(|load, _| load.refresh(session, Some(&token))),
                Err(_) => self.act(|load, _| load.tally.renewals_refused += 1),
            }
        }
    }

    /// Has the sessions register again in turn, so many times a second, for ever.
    pub(super) async fn refresh(&self, rate: f64) {
        let sessions = self.outboxes.borrow().len().max(1);
        let mut due = tokio::time::Instant::now();
        for session in (0..sessions).cycle() {
            due += Duration::from_secs_f64(1.0 / rate);
            tokio::time::sleep_until(due).await;
            self.act(|load, _| load.refresh(session, None));
        }
    }

    /// Drops all sockets at once, as a network does that goes away, and gives the load back with the
    /// browsers that had one.
    pub(super) async fn sever(&self) -> (Vec<Browser>, Tally) {
        self.closing.set(true);
        let readers = self.readers.take();
        readers.iter().for_each(JoinHandle::abort);
        for reader in readers {
            // Aborted, which is no news.
            let _ = reader.await;
        }
        self.act(|load, _| load.part())
    }

    /// Closes all sockets as a page does that is left, and waits a moment for their end.
    pub(super) async fn close(&self) {
        self.closing.set(true);
        for outbox in self.outboxes.borrow().iter() {
            outbox.close(NORMAL_CLOSURE, "");
        }
        let readers = self.readers.take();
        let closed = futures_util::future::join_all(readers);
        // A gateway that is busy answers late, and one that is gone never.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
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
