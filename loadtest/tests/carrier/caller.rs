//! The carrier's process, and a caller that drives a leg over plain sockets.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_media::g711::{Law, energy, tone};
use sautikit_media::rtp::Packet;
use sautikit_sip::leg::{Event, Hop, Input, Leg, LegConfig, OutgoingInvite, Output, Transport};
use sautikit_sip::reader::{Framing, Read, read};
use sautikit_sip::sdp::{Codec, Direction, Sdp, TrunkSdp};

/// Everything here happens on one machine within moments.
const LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(5);
const EVENTS: u8 = 97;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The running program; killed where a test fails.
pub(crate) struct Carrier {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Carrier {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sautikit-loadtest"))
            .args(["carrier", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut carrier = Self { child, lines, address: "127.0.0.1:1".parse().unwrap() };
        carrier.address = carrier.line()["ready"].as_str().unwrap().parse().unwrap();
        carrier
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// OPTIONS; gives the answer.
    pub(crate) fn ping(&mut self) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = socket.local_addr().unwrap();
        let request = format!(
            "OPTIONS sip:ping@x SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKp;rport\r\n\
             From: <sip:a@x>;tag=1\r\nTo: <sip:x>\r\nCall-ID: p\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.send_to(request.as_bytes(), self.address).unwrap();
        let mut buffer = [0; 2000];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// SIGTERM; gives the exit code, which must come at once.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(STEP);
        }
        None
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Answered,
    Ringing,
    Refused(u16),
    Nothing,
}

#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) packets: u32,
    pub(crate) energy: f64,
}

pub(crate) struct Caller {
    leg: Leg,
    sip: UdpSocket,
    rtp: UdpSocket,
    carrier: SocketAddr,
    law: Law,
    call_id: String,
    events: Vec<Event>,
}

impl Caller {
    /// Sends an INVITE that offers one law and DTMF.
    pub(crate) fn dial(carrier: &Carrier, number: &str, law: Law) -> Self {
        let sip = UdpSocket::bind("127.0.0.1:0").unwrap();
        sip.set_read_timeout(Some(STEP)).unwrap();
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        rtp.set_read_timeout(Some(STEP)).unwrap();
        let own = sip.local_addr().unwrap();
        let tag = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let config = LegConfig {
            local_tag: tag.clone(),
            call_id: tag.clone(),
            branch_prefix: tag.clone(),
            contact: format!("sip:caller@{own}"),
            via_sent_by: own.to_string(),
            transport: Transport::Udp,
            user_agent: String::new(),
            session_expires: None,
            credentials: None,
        };
        let codec = if law == Law::A { Codec::PCMA } else { Codec::PCMU };
        let sdp = TrunkSdp {
            session_id: 1,
            version: 1,
            address: own.ip(),
            port: rtp.local_addr().unwrap().port(),
            codecs: &[codec, Codec::telephone_event(EVENTS)],
            direction: Direction::SendRecv,
            ptime_ms: 20,
        };
        let invite = OutgoingInvite {
            request_uri: format!("sip:{number}@{}", carrier.address),
            from_display: None,
            from_uri: format!("sip:+254700000001@{own}"),
            to_uri: format!("sip:{number}@{}", carrier.address),
            headers: Vec::new(),
            route: Vec::new(),
            sdp: Some(sdp.print()),
        };
        let leg = Leg::outgoing(config, invite, Instant::now());
        let mut caller =
            Self { leg, sip, rtp, carrier: carrier.address, law, call_id: tag, events: Vec::new() };
        caller.drain();
        caller
    }

    pub(crate) fn call_id(&self) -> &str {
        &self.call_id
    }

    pub(crate) fn until_ringing(&mut self) -> u16 {
        self.until(LIMIT, |event| match event {
            Event::Progress { status, .. } => Some(*status),
            _ => None,
        })
        .expect("it rings")
    }

    /// Gives the answer's session description.
    pub(crate) fn until_answered(&mut self) -> Bytes {
        self.until(LIMIT, |event| match event {
            Event::Answered { sdp, .. } => sdp.clone(),
            _ => None,
        })
        .expect("it is answered, with a session description")
    }

    pub(crate) fn is_hung_up_within(&mut self, limit: Duration) -> bool {
        let bye = |event: &Event| matches!(event, Event::Bye { .. }).then_some(());
        self.until(limit, bye).is_some()
    }

    /// What has become of the call after a while.
    pub(crate) fn outcome(&mut self, wait: Duration) -> Outcome {
        let last = self.until(wait, |event| match event {
            Event::Answered { .. } => Some(Outcome::Answered),
            Event::Refused { status, .. } => Some(Outcome::Refused(*status)),
            _ => None,
        });
        let rang = || self.events.iter().any(|event| matches!(event, Event::Progress { .. }));
        last.unwrap_or_else(|| if rang() { Outcome::Ringing } else { Outcome::Nothing })
    }

    /// Talks for a while: a tone and one digit, and listens.
    pub(crate) fn talk(&mut self, answer: &Bytes, wait: Duration) -> Heard {
        let sdp = Sdp::parse(answer).unwrap();
        let audio = sdp.audio().unwrap();
        assert_eq!(audio.first_voice().unwrap().payload_type, self.law.payload_type());
        assert_eq!(audio.telephone_event(8000).unwrap().payload_type, EVENTS);
        let to = audio.rtp_addr().unwrap();
        let sound = tone(self.law, 440);
        let mut heard = Heard::default();
        let start = Instant::now();
        let mut sent = 0_u16;
        while start.elapsed() < wait {
            if start.elapsed() >= Duration::from_millis(20) * u32::from(sent) {
                let is_event = (40..44).contains(&sent);
                let (payload_type, payload) = if is_event {
                    (EVENTS, &[5, 10, 1, 64][..])
                } else {
                    (self.law.payload_type(), &sound[..160])
                };
                let timestamp = if is_event { 40 * 160 } else { u32::from(sent) * 160 };
                let packet = Packet {
                    marker: false,
                    payload_type,
                    sequence: sent,
                    timestamp,
                    ssrc: 9,
                    payload,
                };
                self.rtp.send_to(&packet.to_bytes(), to).unwrap();
                sent += 1;
            }
            let mut buffer = [0; 2000];
            if let Ok((length, source)) = self.rtp.recv_from(&mut buffer) {
                assert_eq!(source, to, "the carrier sends from the port that it listens on");
                let packet = Packet::parse(&buffer[..length]).unwrap();
                heard.packets += 1;
                heard.energy += energy(self.law, packet.payload) / 50.0;
            }
        }
        heard
    }

    /// BYE or CANCEL, until the leg is over; a carrier that says nothing is left alone.
    pub(crate) fn hang_up(&mut self) {
        self.leg.bye(Instant::now(), None);
        self.drain();
        let heard_nothing = self.events.is_empty();
        if !heard_nothing {
            self.until(LIMIT, |event| {
                let over =
                    matches!(event, Event::Ended | Event::Bye { .. } | Event::Refused { .. });
                over.then_some(())
            });
        }
    }

    /// Looks at all events so far, and at those that come in time.
    fn until<T>(&mut self, limit: Duration, wanted: impl Fn(&Event) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        loop {
            if let Some(found) = self.events.iter().find_map(&wanted) {
                return Some(found);
            }
            if Instant::now() >= end {
                return None;
            }
            let mut buffer = [0; 65_535];
            if let Ok((length, source)) = self.sip.recv_from(&mut buffer) {
                let bytes = Bytes::copy_from_slice(&buffer[..length]);
                let Ok(Read::Message(message)) = read(&bytes, Framing::Datagram) else {
                    panic!("unreadable: {bytes:?}");
                };
                self.leg.handle(Instant::now(), Input::Message { message, source: Some(source) });
            }
            self.leg.handle_timeout(Instant::now());
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.leg.poll_output() {
            match output {
                Output::Send { bytes, hop } => {
                    let to = match hop {
                        Hop::Addr(address) => address,
                        Hop::Flow => self.carrier,
                        Hop::Uri { host, port, .. } => {
                            SocketAddr::new(host.parse().unwrap(), port.unwrap_or(5060))
                        }
                    };
                    self.sip.send_to(&bytes, to).unwrap();
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}
