//! A call between a peer and a plain RTP end, in virtual time, without a socket.

use sautikit_sip::sdp::{Codec, Direction, TrunkSdp};

use super::*;
use crate::browser::warm_up;
use crate::g711::{Law, energy, tone};
use crate::peer::{Peer, PeerOptions};
use crate::{Silent, rtcp};

mod browser;

const STEP: Duration = Duration::from_millis(5);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What the carrier sends and has heard.
struct Trunk {
    addr: SocketAddr,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    payload_type: u8,
    law: Law,
    sending: bool,
    next: Instant,
    heard: Vec<Vec<u8>>,
    reports: Vec<Vec<u8>>,
}

impl Trunk {
    fn rtcp_addr(&self) -> SocketAddr {
        SocketAddr::new(self.addr.ip(), self.addr.port() + 1)
    }
}

struct Wire {
    now: Instant,
    call: Call,
    peer: Peer,
    peer_addr: SocketAddr,
    local: SocketAddr,
    cert: DtlsCert,
    trunk: Trunk,
    events: Vec<MediaEvent>,
    offer_to_trunk: Bytes,
    /// The browser's last datagrams.
    from_browser: VecDeque<Vec<u8>>,
}

impl Wire {
    fn new() -> Self {
        Self::with(|offer| offer)
    }

    /// A call whose browser's offer was changed on its way.
    fn with(change: impl FnOnce(String) -> String) -> Self {
        let now = Instant::now();
        let peer_addr = addr("192.0.2.7:4000");
        let cert = warm_up(now).unwrap();
        let (peer, offer) = Peer::offer(now, peer_addr, &PeerOptions::default()).unwrap();
        let offer = change(String::from_utf8(offer.to_vec()).unwrap());
        let setup = Setup {
            offer: Offer::read(offer.as_bytes()).unwrap(),
            trunk_addr: addr("198.51.100.1:20000"),
            limits: Limits { both: Duration::from_secs(30), one: Duration::from_secs(60) },
            wall: Duration::from_secs(1_800_000_000),
        };
        let (call, offer_to_trunk) = Call::new(now, setup, &mut Random::new());
        let trunk = Trunk {
            addr: addr("203.0.113.5:40000"),
            ssrc: 0x1111,
            sequence: 65_500,
            timestamp: 7,
            payload_type: 8,
            law: Law::A,
            sending: true,
            next: now,
            heard: Vec::new(),
            reports: Vec::new(),
        };
        let local = addr("198.51.100.1:19000");
        let (events, from_browser) = (Vec::new(), VecDeque::new());
        Self {
            now,
            call,
            peer,
            peer_addr,
            local,
            cert,
            trunk,
            events,
            offer_to_trunk,
            from_browser,
        }
    }

    fn trunk_sdp(&self, codecs: &[Codec<'static>], direction: Direction) -> Bytes {
        let (address, port) = (self.trunk.addr.ip(), self.trunk.addr.port());
        let (session_id, version, ptime_ms) = (1, 1, 20);
        TrunkSdp { session_id, version, address, port, codecs, direction, ptime_ms }.print()
    }

    /// The trunk's answer, as the browser gets it.
    fn answer(&mut self, codecs: &[Codec<'static>]) -> Bytes {
        let sdp = self.trunk_sdp(codecs, Direction::SendRecv);
        self.call.answer(self.now, &sdp, self.local, &self.cert).unwrap()
    }

    fn connect(&mut self, codecs: &[Codec<'static>]) {
        let answer = self.answer(codecs);
        self.peer.accept_answer(self.now, &answer).unwrap();
        self.call.talking(self.now);
        self.run(1_000);
        assert!(self.peer.stats().connected, "{:?}", self.peer.stats());
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.now += STEP;
            if self.trunk.sending && self.trunk.next <= self.now {
                self.trunk.next = self.now + Duration::from_millis(20);
                self.trunk_speaks();
            }
            if self.peer.poll_timeout() <= self.now {
                self.peer.handle_timeout(self.now);
            }
            if self.call.poll_timeout().is_some_and(|at| at <= self.now) {
                self.call.handle_timeout(self.now);
            }
            self.pump();
        }
    }

    fn trunk_speaks(&mut self) {
        thread_local!(static TONES: [Vec<u8>; 2] = [tone(Law::A, 400), tone(Law::Mu, 400)]);
        let trunk = &mut self.trunk;
        trunk.sequence = trunk.sequence.wrapping_add(1);
        trunk.timestamp = trunk.timestamp.wrapping_add(160);
        let payload =
            TONES.with(|[a, mu]| if trunk.law == Law::A { a.clone() } else { mu.clone() });
        let packet = Packet {
            marker: false,
            payload_type: trunk.payload_type,
            sequence: trunk.sequence,
            timestamp: trunk.timestamp,
            ssrc: trunk.ssrc,
            payload: &payload[..160],
        };
        let (source, bytes) = (trunk.addr, packet.to_bytes());
        self.call.handle_trunk_rtp(self.now, source, &bytes);
    }

    /// Carries datagrams until all is quiet. Each end is drained after each datagram, as the
    /// workers do: str0m keeps one received packet at a time.
    fn pump(&mut self) {
        let mut to_call = VecDeque::new();
        loop {
            while let Some(output) = self.peer.poll_output(self.now) {
                assert_eq!(output.to, self.local);
                to_call.push_back(output.bytes);
            }
            if let Some(output) = self.call.poll_output(self.now) {
                self.deliver(output);
            } else if let Some(bytes) = to_call.pop_front() {
                self.from_browser.push_back(bytes.to_vec());
                if self.from_browser.len() > 1_000 {
                    self.from_browser.pop_front();
                }
                self.call.handle_browser(self.now, (self.peer_addr, true), &bytes);
            } else {
                return;
            }
        }
    }

    fn deliver(&mut self, output: Output) {
        match output {
            // What goes to an address that the browser has left is lost.
            Output::Browser(to, bytes) if to == self.peer_addr => {
                self.peer.handle(self.now, self.local, &bytes);
            }
            Output::Browser(..) => {}
            Output::Trunk(to, bytes) => {
                assert_eq!(to, self.trunk.addr);
                self.trunk.heard.push(bytes);
            }
            Output::TrunkRtcp(to, bytes) => {
                assert_eq!(to, self.trunk.rtcp_addr());
                self.trunk.reports.push(bytes);
            }
            Output::Event(event) => self.events.push(event),
        }
    }

    fn heard(&self) -> Vec<Packet<'_>> {
        self.trunk.heard.iter().map(|bytes| Packet::parse(bytes).unwrap()).collect()
    }
}

const A: &[Codec<'static>] = &[Codec::PCMA, Codec::telephone_event(101)];

fn text(sdp: &Bytes) -> &str {
    std::str::from_utf8(sdp).unwrap()
}

#[test]
fn the_trunk_is_offered_g711_and_the_browser_gets_exactly_what_it_chose() {
    let mut wire = Wire::new();
    let offer = Sdp::parse(&wire.offer_to_trunk).unwrap();
    let audio = offer.audio().unwrap();
    assert_eq!(audio.codecs[..2], [Codec::PCMA, Codec::PCMU]);
    assert_eq!(audio.rtp_addr(), Some(addr("198.51.100.1:20000")));

    let answer = wire.answer(&[Codec::PCMU]);
    let sdp = Sdp::parse(&answer).unwrap();
    let audio = sdp.audio().unwrap();
    assert_eq!(audio.formats, ["0"]);
    assert_eq!(audio.rtp_addr(), Some(wire.local));
    assert_eq!(audio.setup, Some("passive"));
    assert!(sdp.ice_lite && audio.rtcp_mux && audio.is_webrtc());
    assert!(text(&answer).contains("a=end-of-candidates\r\n"), "{}", text(&answer));
    assert!(!text(&answer).contains("transport-cc"), "{}", text(&answer));

    let answer = Wire::new().answer(A);
    let sdp = Sdp::parse(&answer).unwrap();
    assert_eq!(sdp.audio().unwrap().formats, ["8", "126"], "events under the browser's number");
}

#[test]
fn audio_passes_both_ways_without_loss() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.run(4_000);
    let peer = wire.peer.stats();
    assert!(peer.packets_received > 190, "{peer:?}");
    assert_eq!((peer.packets_lost, peer.sources, peer.markers), (0, 1, 1));
    assert!(peer.energy_last > 0.01);
    assert_eq!(peer.payload_type, Some(8));

    let heard = wire.heard();
    assert!(heard.len() > 190);
    for pair in heard.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        assert_eq!((pair[1].ssrc, pair[1].payload_type), (pair[0].ssrc, 8));
    }
    assert!(heard[0].marker && energy(Law::A, heard[0].payload) > 0.01);

    let stats = wire.call.stats(wire.now);
    assert_eq!(stats.browser.packets_received, peer.packets_sent);
    assert_eq!((stats.browser.packets_lost, stats.trunk.packets_lost), (0, 0));
    assert!(stats.trunk.mos.unwrap() > 4.0 && stats.browser.mos.unwrap() > 4.0);
    for event in [
        MediaEvent::Connected,
        MediaEvent::FirstRtp(Side::Browser),
        MediaEvent::FirstRtp(Side::Trunk),
    ] {
        assert_eq!(wire.events.iter().filter(|seen| **seen == event).count(), 1, "{event:?}");
    }
    assert_eq!(wire.events.len(), 3);
}

#[test]
fn a_strangers_packets_are_dropped_and_counted() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.trunk.sending = false;
    wire.run(100);
    let before = wire.peer.stats().packets_received;
    let forged = Packet {
        marker: false,
        payload_type: 8,
        sequence: 1,
        timestamp: 1,
        ssrc: 9,
        payload: &[1; 160],
    };
    for source in ["203.0.113.5:40001", "203.0.113.6:40000"] {
        wire.call.handle_trunk_rtp(wire.now, addr(source), &forged.to_bytes());
        let report = rtcp::goodbye(1);
        wire.call.handle_trunk_rtcp(wire.now, addr(source), &report);
    }
    wire.run(100);
    assert_eq!(wire.peer.stats().packets_received, before);
    // 40,001 is the trunk's RTCP port: its goodbye is no stranger's.
    assert_eq!(wire.call.stats(wire.now).trunk.strangers, 3);
}

#[test]
fn a_fork_repoints_the_trunk_side_under_the_same_answer() {
    let mut wire = Wire::new();
    let first = wire.answer(A);
    wire.peer.accept_answer(wire.now, &first).unwrap();
    wire.run(1_500);
    wire.trunk.addr = addr("203.0.113.99:5000");
    (wire.trunk.ssrc, wire.trunk.sequence, wire.trunk.timestamp) = (0x2222, 4, 99);
    assert_eq!(wire.answer(A), first);
    wire.run(1_500);
    let peer = wire.peer.stats();
    assert_eq!((peer.packets_lost, peer.sources, peer.markers), (0, 1, 2), "{peer:?}");
    assert!(peer.packets_received > 110, "{peer:?}");
}

#[test]
fn a_codec_that_changes_after_the_answer_is_converted_both_ways() {
    let mut wire = Wire::new();
    (wire.trunk.law, wire.trunk.payload_type) = (Law::Mu, 0);
    wire.connect(&[Codec::PCMU]);
    wire.run(500);
    assert_eq!(wire.peer.stats().payload_type, Some(0));
    // The 200 says A-law after a 183 with µ-law.
    (wire.trunk.law, wire.trunk.payload_type) = (Law::A, 8);
    wire.answer(&[Codec::PCMA]);
    wire.trunk.heard.clear();
    wire.run(500);
    let peer = wire.peer.stats();
    assert_eq!(peer.payload_type, Some(0));
    let reference = energy(Law::A, &tone(Law::A, 400)[..160]);
    assert!((peer.energy_last - reference).abs() < 0.01, "{} {reference}", peer.energy_last);
    let heard = wire.heard();
    assert!(heard.iter().all(|packet| packet.payload_type == 8));
    let spoken = energy(Law::A, &tone(Law::A, 440)[..160]);
    assert!((energy(Law::A, heard.last().unwrap().payload) - spoken).abs() < 0.02);
}

#[test]
fn digits_pass_both_ways_under_each_sides_payload_type() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.peer.send_digit(1);
    wire.peer.send_digit(11);
    wire.trunk.heard.clear();
    wire.run(600);
    let heard = wire.heard();
    let events: Vec<_> = heard.iter().filter(|packet| packet.payload_type == 101).collect();
    assert_eq!(events.len(), 16);
    assert!(events[..8].iter().all(|packet| packet.payload[0] == 1));
    assert!(events[..8].iter().all(|packet| packet.timestamp == events[0].timestamp));
    assert!(events[8..].iter().all(|packet| packet.payload[0] == 11));

    wire.trunk.sequence += 1;
    let trunk = &wire.trunk;
    let packet = Packet {
        marker: true,
        payload_type: 101,
        sequence: trunk.sequence,
        timestamp: trunk.timestamp,
        ssrc: trunk.ssrc,
        payload: &[5, 0x8a, 3, 0x20],
    };
    wire.call.handle_trunk_rtp(wire.now, trunk.addr, &packet.to_bytes());
    wire.run(50);
    assert_eq!(wire.peer.stats().digits, [5]);
}

#[test]
fn hold_and_resume_are_answered_here_and_audio_comes_back() {
    let mut wire = Wire::new();
    wire.connect(A);
    let hold = wire.peer.reoffer(wire.now, Direction::Inactive, false).unwrap();
    let answer = wire.call.reoffer_from_browser(wire.now, &hold).unwrap();
    assert!(text(&answer).contains("a=inactive\r\n"), "{}", text(&answer));
    wire.peer.accept_answer(wire.now, &answer).unwrap();
    wire.run(200);
    let before = wire.peer.stats();
    let sent = wire.trunk.heard.len();
    // Held for longer than the silence rule allows.
    wire.run(40_000);
    assert_eq!(wire.peer.stats().packets_received, before.packets_received);
    assert_eq!(wire.trunk.heard.len(), sent);
    assert!(!wire.events.iter().any(|event| matches!(event, MediaEvent::Silent { .. })));

    let resume = wire.peer.reoffer(wire.now, Direction::SendRecv, false).unwrap();
    let answer = wire.call.reoffer_from_browser(wire.now, &resume).unwrap();
    assert!(text(&answer).contains("a=sendrecv\r\n"), "{}", text(&answer));
    wire.peer.accept_answer(wire.now, &answer).unwrap();
    wire.run(1_000);
    let after = wire.peer.stats();
    assert!(after.packets_received >= before.packets_received + 45, "{after:?}");
    assert_eq!((after.sources, after.packets_lost), (1, 0), "a hold is no loss");
    assert!(wire.trunk.heard.len() >= sent + 45);
}

#[test]
fn an_ice_restart_gets_new_credentials_and_audio_goes_on() {
    let mut wire = Wire::new();
    wire.connect(A);
    let before = wire.call.ufrag().unwrap().to_owned();
    let offer = wire.peer.reoffer(wire.now, Direction::SendRecv, true).unwrap();
    let answer = wire.call.reoffer_from_browser(wire.now, &offer).unwrap();
    let ufrag = wire.call.ufrag().unwrap().to_owned();
    assert_ne!(ufrag, before);
    assert_eq!(Sdp::parse(&answer).unwrap().audio().unwrap().ice_ufrag, Some(ufrag.as_str()));
    wire.peer.accept_answer(wire.now, &answer).unwrap();
    // The browser is on another network now.
    wire.peer_addr = addr("192.0.2.200:999");
    let received = wire.peer.stats().packets_received;
    wire.run(3_000);
    let peer = wire.peer.stats();
    assert!(peer.connected && !peer.closed);
    assert!(peer.packets_received > received + 100, "{peer:?}");
}

#[test]
fn an_ssrc_that_nothing_announced_is_heard() {
    let unannounced = |offer: String| {
        let lines = offer
            .lines()
            .filter(|line| !line.starts_with("a=ssrc") && !line.starts_with("a=extmap:"));
        lines.map(|line| format!("{line}\r\n")).collect()
    };
    let mut wire = Wire::with(unannounced);
    wire.connect(A);
    wire.run(500);
    assert!(wire.trunk.heard.len() > 20, "{}", wire.trunk.heard.len());
}

#[test]
fn other_media_is_refused_in_its_place() {
    let with_video = |offer: String| {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\n\
                     a=rtpmap:96 VP8/90000\r\n";
        let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
                    a=mid:d\r\na=sctp-port:5000\r\n";
        let at = offer.find("m=audio").unwrap();
        format!("{}{video}{}{data}", &offer[..at], &offer[at..])
    };
    let mut wire = Wire::with(with_video);
    let answer = wire.answer(A);
    let sdp = Sdp::parse(&answer).unwrap();
    let kinds: Vec<_> = sdp.media.iter().map(|media| (media.kind, media.port)).collect();
    assert_eq!(kinds, [("video", 0), ("audio", 19_000), ("application", 0)]);
    assert_eq!(sdp.bundle, sdp.media[1].mid);
}

#[test]
fn the_trunks_reoffer_is_answered_here() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.trunk.addr = addr("203.0.113.44:7000");
    let hold = wire.trunk_sdp(&[Codec::PCMU, Codec::PCMA], Direction::SendOnly);
    let answer = wire.call.reoffer_from_trunk(wire.now, &hold).unwrap();
    let sdp = Sdp::parse(&answer).unwrap();
    let audio = sdp.audio().unwrap();
    assert_eq!(audio.codecs, [Codec::PCMA], "the browser's codec where it is offered");
    assert_eq!(audio.direction, Direction::RecvOnly);
    wire.trunk.heard.clear();
    wire.run(500);
    assert!(wire.trunk.heard.is_empty(), "the trunk wants to hear nothing");

    let resume = wire.trunk_sdp(&[Codec::PCMU], Direction::SendRecv);
    let answer = wire.call.reoffer_from_trunk(wire.now, &resume).unwrap();
    assert_eq!(Sdp::parse(&answer).unwrap().audio().unwrap().codecs, [Codec::PCMU]);
    wire.run(500);
    assert!(wire.heard().iter().all(|packet| packet.payload_type == 0));
    assert!(wire.trunk.heard.len() > 20);

    let nothing = wire.trunk_sdp(&[Codec::telephone_event(101)], Direction::SendRecv);
    let refused = wire.call.reoffer_from_trunk(wire.now, &nothing).unwrap_err();
    assert_eq!(refused.sip_status(), 488);
}

#[test]
fn silence_is_told_once_with_the_last_packets_time() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.trunk.sending = false;
    let last = wire.now;
    wire.run(70_000);
    let silent: Vec<_> = wire
        .events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Silent { who, last_packet, .. } => Some((*who, *last_packet)),
            _ => None,
        })
        .collect();
    let [(who, at)] = silent[..] else { panic!("{silent:?}") };
    assert_eq!(who, Silent::One(Side::Trunk));
    assert!(at <= last && last - at < Duration::from_millis(50));
}

#[test]
fn comfort_noise_is_life_and_leaves_no_gap() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.trunk.payload_type = 13;
    wire.run(500);
    let before = wire.peer.stats().packets_received;
    let age = wire.call.stats(wire.now).trunk.last_packet_age.unwrap();
    assert!(age <= Duration::from_millis(20));
    wire.trunk.payload_type = 8;
    wire.run(500);
    let peer = wire.peer.stats();
    assert!(peer.packets_received > before + 20);
    assert_eq!((peer.packets_lost, peer.payload_type), (0, Some(8)));
}

#[test]
fn chromiums_offers_are_answered() {
    macro_rules! offer {
        ($name:literal) => {
            include_str!(concat!("../../../sip/tests/data/", $name))
        };
    }
    for offer in [
        offer!("chromium-offer.sdp"),
        offer!("chromium-offer-sipjs.sdp"),
        offer!("chromium-offer-mdns.sdp"),
        offer!("chromium-offer-loopback-only.sdp"),
    ] {
        let mut wire = Wire::with(|_| offer.to_owned());
        let answer = wire.answer(A);
        let sdp = Sdp::parse(&answer).unwrap();
        let audio = sdp.audio().unwrap();
        assert_eq!((audio.formats.join(" "), audio.mid), ("8 126".into(), Some("0")));
    }
}

#[test]
fn garbage_from_either_side_changes_nothing() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.run(200);
    let good = wire.trunk.reports.first().cloned().unwrap_or_else(|| rtcp::goodbye(3));
    let rtp = wire.trunk.heard[0].clone();
    // Checks, a handshake, sealed packets and reports.
    wire.run(6_000);
    let of_browser: Vec<_> = wire.from_browser.drain(..).collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    for round in 0..20_000_usize {
        let mut bytes = match round % 3 {
            0 => good.clone(),
            1 => rtp.clone(),
            _ => of_browser[round % of_browser.len()].clone(),
        };
        let [at, value, at2, value2, cut, first, ..] = random();
        let length = bytes.len();
        bytes[usize::from(at) % length] ^= value;
        bytes[usize::from(at2) % 12] = value2;
        if round % 4 == 0 {
            bytes.truncate(usize::from(cut) % length);
        }
        // What passes as the trunk's own RTP is heard: here only the parsers are asked.
        let _ = Packet::parse(&bytes);
        wire.call.handle_trunk_rtcp(wire.now, wire.trunk.rtcp_addr(), &bytes);
        if let Some(byte) = bytes.first_mut()
            && round % 5 == 0
        {
            *byte = first;
        }
        wire.call.handle_browser(wire.now, (wire.peer_addr, true), &bytes);
        wire.pump();
    }
    let before = wire.peer.stats().packets_received;
    let heard = wire.trunk.heard.len();
    wire.run(500);
    let peer = wire.peer.stats();
    assert!(peer.connected && peer.packets_received > before + 20, "{peer:?}");
    assert!(wire.trunk.heard.len() > heard + 20);
    assert!(!wire.events.iter().any(|event| matches!(event, MediaEvent::Gone(_))));
}

#[test]
fn reports_of_the_trunk_are_life_and_tell_loss_and_round_trip() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.run(6_000);
    let report = wire.trunk.reports.first().expect("a report within 6 s").clone();
    assert_eq!(report[1], 200, "a sender report");
    let ours = rtp::ssrc(&wire.trunk.heard[0]).unwrap();
    let told = rtcp::read(&report, 0).unwrap();
    let (ssrc, ntp) = told.sender.unwrap();
    assert_eq!(ssrc, ours);
    // The trunk answers at once; the network took what passed since the report.
    let last = rtcp::LastReport { ssrc, ntp, at: wire.now };
    let block = crate::reception::Block { ssrc, fraction: 64, lost: 1, highest: 1, jitter: 0 };
    let answer = rtcp::report(wire.now, wire.trunk.ssrc, None, Some(block), Some(last));
    wire.trunk.sending = false;
    wire.run(100);
    wire.call.handle_trunk_rtcp(wire.now, wire.trunk.rtcp_addr(), &answer);
    let stats = wire.call.stats(wire.now).trunk;
    assert_eq!(stats.last_packet_age, Some(Duration::ZERO));
    assert_eq!(stats.reported_loss, Some(0.25));
    assert!(stats.rtt_ms.is_some());
}

#[test]
fn a_closed_page_is_told_and_a_closed_call_says_goodbye() {
    let mut wire = Wire::new();
    wire.connect(A);
    wire.peer.close(wire.now);
    wire.run(50);
    let gone = MediaEvent::Gone(GoneWhy::BrowserClosed);
    assert_eq!(wire.events.iter().filter(|event| **event == gone).count(), 1);

    let mut wire = Wire::new();
    wire.connect(A);
    wire.call.close(wire.now);
    wire.trunk.sending = false;
    wire.run(50);
    assert!(wire.peer.stats().closed);
    assert_eq!(
        wire.trunk.reports.last(),
        Some(&rtcp::goodbye(rtp::ssrc(&wire.trunk.heard[0]).unwrap()))
    );
}

#[test]
fn a_wrong_fingerprint_ends_the_browsers_leg() {
    let forged = |offer: String| {
        let at = offer.find("a=fingerprint:sha-256 ").unwrap() + 22;
        let flipped = if &offer[at..=at] == "0" { "1" } else { "0" };
        format!("{}{flipped}{}", &offer[..at], &offer[at + 1..])
    };
    let mut wire = Wire::with(forged);
    let answer = wire.answer(A);
    wire.peer.accept_answer(wire.now, &answer).unwrap();
    wire.run(3_000);
    assert!(wire.events.contains(&MediaEvent::Gone(GoneWhy::DtlsFailed)), "{:?}", wire.events);
    assert!(wire.trunk.heard.is_empty());
}

#[test]
fn offers_and_answers_that_cannot_be_used_are_refused() {
    let now = Instant::now();
    let (_, offer) = Peer::offer(now, addr("192.0.2.7:4000"), &PeerOptions::default()).unwrap();
    let offer = text(&offer).to_owned();
    let status = |sdp: &str| Offer::read(sdp.as_bytes()).unwrap_err().sip_status();
    assert_eq!(status("nonsense"), 400);
    for (from, to) in [
        ("a=fingerprint:", "a=x-fingerprint:"),
        ("a=ice-ufrag:", "a=x-ufrag:"),
        ("a=rtcp-mux", "a=x"),
        ("m=audio 9 ", "m=audio 0 "),
        ("m=audio 9 ", "m=text 9 "),
        ("PCM", "XCM"),
        ("SAVPF", "AVPF"),
        ("fingerprint:sha-256 ", "fingerprint:sha-224 "),
        ("a=mid:", "a=mid:a,b"),
    ] {
        let changed = offer.replace(from, to);
        let changed = if from == "PCM" { changed.replace(" 0 8 ", " ") } else { changed };
        assert_ne!(changed, offer, "{from}");
        if from != "PCM" {
            assert_eq!(status(&changed), 488, "{from}");
        }
    }
    let mut wire = Wire::new();
    let opus =
        Codec { payload_type: 111, name: "opus", clock_rate_hz: 48_000, channels: 2, fmtp: None };
    for codecs in [&[opus][..], &[Codec::telephone_event(101)]] {
        let sdp = wire.trunk_sdp(codecs, Direction::SendRecv);
        let refused = wire.call.answer(now, &sdp, wire.local, &wire.cert).unwrap_err();
        assert_eq!(refused.sip_status(), 488);
    }
    assert_eq!(wire.call.reoffer_from_trunk(now, b"v=0").unwrap_err(), MediaError::NotAnswered);
}
