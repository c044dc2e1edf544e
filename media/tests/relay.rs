//! The relay over real loopback sockets: a browser-like peer, the engine, a plain RTP end.

// `allow-unwrap-in-tests` does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sautikit_media::g711::{Law, energy, tone};
use sautikit_media::peer::{Crowd, PeerHandle, PeerOptions, PeerStats};
use sautikit_media::rtp::Packet;
use sautikit_media::{
    Config, Engine, EngineKind, GoneWhy, MediaError, MediaEvent, MediaSession, Side,
};
use sautikit_sip::sdp::{Codec, Direction, Sdp, TrunkSdp};
use tokio::net::UdpSocket;
use tokio::time::{Instant, interval, sleep, timeout};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Everything here is done in a second or two; a machine under load gets more.
const DEADLINE: Duration = Duration::from_secs(30);

/// An engine with trunk ports of its own, so that tests run beside each other.
fn engine(trunk_ports: std::ops::RangeInclusive<u16>) -> Engine {
    let config = Config { browser_port_first: 0, workers: 2, trunk_ports, ..Config::default() };
    Engine::start(config).unwrap()
}

type Log = Arc<Mutex<Vec<MediaEvent>>>;

/// A plain RTP end: sends a tone to where it is told, and counts what comes.
struct End {
    socket: Arc<UdpSocket>,
    heard: Arc<Mutex<Heard>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

#[derive(Clone, Default)]
struct Heard {
    packets: u32,
    lost: i64,
    energy: f64,
    numbers: std::collections::BTreeSet<i64>,
}

impl End {
    async fn new() -> Self {
        let socket = Arc::new(UdpSocket::bind((HOST, 0)).await.unwrap());
        Self { socket, heard: Arc::default(), task: None }
    }

    fn sdp(&self) -> Bytes {
        let port = self.socket.local_addr().unwrap().port();
        let codecs = &[Codec::PCMA, Codec::telephone_event(101)];
        TrunkSdp {
            session_id: 9,
            version: 1,
            address: HOST,
            port,
            codecs,
            direction: Direction::SendRecv,
            ptime_ms: 20,
        }
        .print()
    }

    fn talk_to(&mut self, to: SocketAddr) {
        let (socket, heard) = (self.socket.clone(), self.heard.clone());
        self.task = Some(tokio::spawn(async move {
            let sound = tone(Law::A, 400);
            let mut ticks = interval(Duration::from_millis(20));
            let mut buffer = [0; 2_048];
            let mut count = 0_u16;
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        let packet = Packet {
                            marker: count == 0,
                            payload_type: 8,
                            sequence: count,
                            timestamp: u32::from(count) * 160,
                            ssrc: 77,
                            payload: &sound[..160],
                        };
                        count += 1;
                        socket.send_to(&packet.to_bytes(), to).await.unwrap();
                    }
                    Ok((length, _)) = socket.recv_from(&mut buffer) => {
                        heard.lock().unwrap().packet(&buffer[..length]);
                    }
                }
            }
        }));
    }

    fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }
}

impl Heard {
    fn packet(&mut self, datagram: &[u8]) {
        let packet = Packet::parse(datagram).unwrap();
        self.packets += 1;
        // RFC 3550 section A.3: lost is what is missing between the lowest and the highest number;
        // a packet that UDP delivered late or twice is not lost.
        let last = self.numbers.last().copied().unwrap_or(i64::from(packet.sequence));
        let low = u16::try_from(last.rem_euclid(65_536)).unwrap();
        let step = packet.sequence.wrapping_sub(low).cast_signed();
        self.numbers.insert(last + i64::from(step));
        let span =
            self.numbers.last().zip(self.numbers.first()).map_or(0, |(high, low)| high - low + 1);
        self.lost = span - self.numbers.len() as i64;
        self.energy = energy(Law::A, packet.payload);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

struct TestCall {
    session: MediaSession,
    peer: PeerHandle,
    end: End,
    /// Where the trunk sends to.
    relay: SocketAddr,
    events: Log,
}

impl TestCall {
    async fn start(engine: &Engine, crowd: &Crowd) -> Self {
        let events = Log::default();
        let log = events.clone();
        let (peer, offer) = crowd.offer(HOST, PeerOptions::default()).await.unwrap();
        let sink = Box::new(move |event| log.lock().unwrap().push(event));
        let (session, to_trunk) = engine.offer(&offer, sink).await.unwrap();
        let relay = Sdp::parse(&to_trunk).unwrap().audio().unwrap().rtp_addr().unwrap();
        let mut end = End::new().await;
        let answer = session.answer(&end.sdp()).await.unwrap();
        peer.accept_answer(answer).await.unwrap();
        session.talking();
        end.talk_to(relay);
        Self { session, peer, end, relay, events }
    }

    async fn peer_until(&self, done: impl Fn(&PeerStats) -> bool) -> PeerStats {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let stats = self.peer.stats().await.unwrap();
            if done(&stats) {
                return stats;
            }
            assert!(Instant::now() < deadline, "{stats:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end_until(&self, done: impl Fn(&Heard) -> bool) -> Heard {
        let wait = async {
            loop {
                let heard = self.end.heard();
                if done(&heard) {
                    return heard;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, wait).await.expect("the trunk hears enough")
    }

    async fn event(&self, wanted: MediaEvent) {
        let wait = async {
            while !self.events.lock().unwrap().contains(&wanted) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
    }
}

fn crowd() -> Crowd {
    Crowd::start(Duration::from_millis(1)).unwrap()
}

#[tokio::test]
async fn a_tone_passes_both_ways_without_loss() {
    let call = TestCall::start(&engine(31_000..=31_019), &crowd()).await;
    let peer = call.peer_until(|stats| stats.packets_received >= 200).await;
    let heard = call.end_until(|heard| heard.packets >= 200).await;
    assert_eq!((peer.packets_lost, heard.lost), (0, 0));
    assert!(peer.energy_last > 0.01 && heard.energy > 0.01);
    assert_eq!(peer.sources, 1);
    for event in [
        MediaEvent::Connected,
        MediaEvent::FirstRtp(Side::Browser),
        MediaEvent::FirstRtp(Side::Trunk),
    ] {
        call.event(event).await;
    }
    let stats = call.session.close().await.unwrap();
    assert!(stats.browser.packets_received >= 200 && stats.trunk.packets_received >= 200);
    assert_eq!((stats.browser.packets_lost, stats.trunk.packets_lost), (0, 0));
}

#[tokio::test]
async fn a_stranger_is_not_heard() {
    let call = TestCall::start(&engine(31_020..=31_039), &crowd()).await;
    call.peer_until(|stats| stats.packets_received >= 5).await;
    let stranger = UdpSocket::bind((HOST, 0)).await.unwrap();
    let packet = Packet {
        marker: false,
        payload_type: 8,
        sequence: 9,
        timestamp: 9,
        ssrc: 1,
        payload: &[9; 160],
    };
    for _ in 0..50 {
        stranger.send_to(&packet.to_bytes(), call.relay).await.unwrap();
    }
    let deadline = Instant::now() + DEADLINE;
    let stats = loop {
        let stats = call.session.stats().await.unwrap();
        if stats.trunk.strangers == 50 {
            break stats;
        }
        assert!(Instant::now() < deadline, "{stats:?}");
        sleep(Duration::from_millis(5)).await;
    };
    let before = call.peer.stats().await.unwrap().packets_received;
    let peer = call.peer_until(|stats| stats.packets_received >= before + 20).await;
    assert_eq!((peer.packets_lost, peer.sources), (0, 1));
    assert_eq!(stats.trunk.packets_lost, 0);
}

#[tokio::test]
async fn hold_resume_and_ice_restart_keep_the_call() {
    let call = TestCall::start(&engine(31_040..=31_059), &crowd()).await;
    call.peer_until(|stats| stats.packets_received >= 20).await;
    for (direction, restart) in
        [(Direction::Inactive, false), (Direction::SendRecv, false), (Direction::SendRecv, true)]
    {
        let offer = call.peer.reoffer(direction, restart).await.unwrap();
        let answer = call.session.reoffer_from_browser(&offer).await.unwrap();
        let held = direction == Direction::Inactive;
        assert_eq!(std::str::from_utf8(&answer).unwrap().contains("a=inactive"), held);
        call.peer.accept_answer(answer).await.unwrap();
        if !held {
            let before = call.peer.stats().await.unwrap().packets_received;
            let heard = call.end.heard().packets;
            call.peer_until(|stats| stats.packets_received >= before + 20).await;
            call.end_until(|end| end.packets >= heard + 20).await;
        }
    }
}

#[tokio::test]
async fn digits_reach_the_trunk_and_a_closed_page_is_told() {
    let call = TestCall::start(&engine(31_060..=31_079), &crowd()).await;
    call.peer_until(|stats| stats.packets_received >= 5).await;
    call.peer.send_digit(4).await.unwrap();
    let sent = call.peer.stats().await.unwrap().packets_sent;
    call.peer_until(|stats| stats.packets_sent >= sent + 10).await;
    let TestCall { peer, session, events, .. } = call;
    drop(peer);
    let gone = MediaEvent::Gone(GoneWhy::BrowserClosed);
    let wait = async {
        while !events.lock().unwrap().contains(&gone) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("the closed page is told");
    session.hang_up();
}

#[tokio::test]
async fn dropping_a_session_frees_its_sockets_and_rests_its_ports() {
    let engine = engine(31_080..=31_081);
    assert_eq!(engine.port_pairs(), Some(1));
    let crowd = crowd();
    let call = TestCall::start(&engine, &crowd).await;
    let (_peer, offer) = crowd.offer(HOST, PeerOptions::default()).await.unwrap();
    let refused = engine.offer(&offer, Box::new(|_| {})).await.unwrap_err();
    assert_eq!((refused.clone(), refused.sip_status()), (MediaError::NoPorts, 503));

    let relay = call.relay;
    drop(call.session);
    let wait = async {
        while std::net::UdpSocket::bind(relay).is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("the sockets are closed");
    let refused = engine.offer(&offer, Box::new(|_| {})).await.unwrap_err();
    assert_eq!(refused, MediaError::NoPorts, "the pair rests");
}

#[tokio::test]
async fn a_port_that_another_program_holds_is_passed_over() {
    let _taken = std::net::UdpSocket::bind((HOST, 31_090)).unwrap();
    let engine = engine(31_090..=31_093);
    let (_peer, offer) = crowd().offer(HOST, PeerOptions::default()).await.unwrap();
    let (_session, sdp) = engine.offer(&offer, Box::new(|_| {})).await.unwrap();
    let port = Sdp::parse(&sdp).unwrap().audio().unwrap().port;
    assert_eq!(port, 31_092);
}

#[tokio::test]
async fn fifty_sessions_at_once_lose_nothing() {
    let engine = engine(31_100..=31_299);
    let crowd = crowd();
    let mut calls = Vec::new();
    for _ in 0..50 {
        calls.push(TestCall::start(&engine, &crowd).await);
    }
    for call in &calls {
        let peer = call.peer_until(|stats| stats.packets_received >= 100).await;
        let heard = call.end_until(|heard| heard.packets >= 100).await;
        assert_eq!((peer.packets_lost, heard.lost), (0, 0));
        assert!(peer.energy_last > 0.01 && heard.energy > 0.01);
    }
}

#[tokio::test]
async fn bypass_hands_sdp_through() {
    let engine = Engine::start(Config { engine: EngineKind::Bypass, ..Config::default() }).unwrap();
    let (offer, answer) = (Bytes::from_static(b"offer"), Bytes::from_static(b"answer"));
    let (session, to_trunk) = engine.offer(&offer, Box::new(|_| {})).await.unwrap();
    assert_eq!(to_trunk, offer);
    assert_eq!(session.answer(&answer).await.unwrap(), answer);
    assert_eq!(session.reoffer_from_trunk(&offer).await, Err(MediaError::NotRelayed));
    session.talking();
    assert_eq!(session.close().await.unwrap().trunk.packets_received, 0);
}

#[test]
fn a_configuration_that_cannot_work_stops_the_start() {
    let any = Config { browser_port_first: 0, ..Config::default() };
    let unspecified = Config { bind_addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..any.clone() };
    for (config, setting) in [
        (Config { workers: 0, ..any.clone() }, "worker"),
        (Config { trunk_ports: 20_001..=20_002, ..any.clone() }, "SAUTIKIT_MEDIA_PORTS"),
        (Config { browser_port_first: 65_535, workers: 2, ..any.clone() }, "BROWSER_PORT"),
        (unspecified, "SAUTIKIT_MEDIA_PUBLIC_ADDR"),
        (Config { bind_addr: "192.0.2.1".parse().unwrap(), ..any }, "SAUTIKIT_MEDIA_ADDR"),
    ] {
        let error = Engine::start(config).unwrap_err().to_string();
        assert!(error.contains(setting), "{error}");
    }
}

#[tokio::test]
async fn a_page_that_closes_stops_nobody_elses_audio() {
    let engine = {
        let (browser_port_first, trunk_ports) = (0, 23_000..=23_019);
        let config = Config { browser_port_first, trunk_ports, ..Config::default() };
        Engine::start(config).unwrap()
    };
    let crowd = Crowd::start(Duration::from_millis(1)).unwrap();
    let other = TestCall::start(&engine, &crowd).await;
    let closer = TestCall::start(&engine, &crowd).await;
    other.peer_until(|stats| stats.packets_received > 20).await;
    closer.peer_until(|stats| stats.packets_received > 20).await;
    // The page goes, and nobody has ended its session when its next report is due, 5 s later at most.
    let TestCall { session, peer, end: _end, .. } = closer;
    drop(peer);
    other.peer_until(|stats| stats.packets_received > 400).await;
    drop(session);
    other.peer_until(|stats| stats.packets_received > 450).await;
}
