//! A whole leg between an owner and a peer who do whatever the bytes say, in virtual time: it says
//! nothing that it must not, its end comes once, and nothing is left of it.

mod peer;
mod watch;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sautikit_sip::leg::{Credentials, Input, Leg, LegConfig, LegState, OutgoingInvite, Transport};
use sautikit_sip::message::{Message, Method, Name, print};
use sautikit_sip::reader::{Framing, Read, read_any};

use crate::script::{Script, later, origin};
use peer::Peer;
use watch::Watch;

/// Events of one run: what takes longer finds nothing that a shorter one does not.
const OPS_MAX: usize = 100;
/// Messages of all floods of one run: more than any list of a leg holds.
const FLOOD_MAX: u16 = 300;
/// A deadline that was handled has passed: how often one moment may be handled until it has.
const ROUNDS_MAX: usize = 4;
/// From the owner's last word to the last timer: a CANCEL or a missing ACK takes 64×T1, and so does
/// the INVITE's end or the BYE after it; T4 and a little more for what is absorbed behind them.
const END_MAX: Duration = Duration::from_secs(2 * 32 + 6);
/// Deadlines on the way there.
const END_STEPS_MAX: usize = 4000;

pub(crate) const OUR_TAG: &str = "gw-tag";
pub(crate) const SDP: [&[u8]; 3] = [b"v=0\r\ns=one\r\n", b"v=0\r\ns=two\r\n", b"v=0\r\ns=six\r\n"];

/// Panics where a leg breaks its word under these events.
pub fn check(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(mut run) = Run::begin(&mut script) else { return };
    for _ in 0..OPS_MAX {
        let Some(op) = script.byte() else { break };
        run.step(op, &mut script);
    }
    run.end();
}

struct Run {
    now: Instant,
    leg: Leg,
    config: LegConfig,
    peer: Peer,
    watch: Watch,
    flood: u16,
    rank: u8,
}

impl Run {
    /// Either side may call. `None` where the peer's INVITE is none that a leg ever sees.
    fn begin(script: &mut Script<'_>) -> Option<Self> {
        let now = origin();
        let transport = script.pick(&[Transport::Udp, Transport::Wss, Transport::Tls]);
        let config = LegConfig {
            local_tag: OUR_TAG.to_owned(),
            call_id: "call-1".to_owned(),
            branch_prefix: "z9hG4bKgw".to_owned(),
            contact: "sip:gw@192.0.2.1:5060".to_owned(),
            via_sent_by: "192.0.2.1:5060".to_owned(),
            transport,
            user_agent: script.pick(&["", "sautikit"]).to_owned(),
            session_expires: script.pick(&[None, Some(90), Some(1800)]),
            credentials: script.pick(&[false, true]).then(|| Credentials {
                user: "gw".to_owned(),
                password: "secret".to_owned(),
                realm: None,
            }),
        };
        let mut peer = Peer::new(transport);
        let mut watch = Watch::new(transport);
        let leg = if script.one_in(2) {
            let invite = received(&peer.invite(script))?;
            if invite.to_tag().is_some() {
                return None;
            }
            watch.receives(&invite);
            Leg::incoming(config.clone(), invite, peer.source(), now)
        } else {
            let sdp = script.pick(&[Some(0), None]);
            let route = script.pick(&[0, 1]);
            let invite = OutgoingInvite {
                request_uri: "sip:+254722000001@carrier.example".to_owned(),
                from_display: script.pick(&[None, Some("A \"B\" \\")]).map(ToOwned::to_owned),
                from_uri: "sip:+254700000001@gw.example".to_owned(),
                to_uri: "sip:+254722000001@carrier.example".to_owned(),
                headers: vec![(Name::Privacy, "none".to_owned())],
                route: vec!["<sip:edge.example;lr>".to_owned(); route],
                sdp: sdp.map(our_sdp),
            };
            Leg::outgoing(config.clone(), invite, now)
        };
        let mut run = Self { now, leg, config, peer, watch, flood: FLOOD_MAX, rank: 0 };
        run.settle();
        Some(run)
    }

    fn step(&mut self, op: u8, script: &mut Script<'_>) {
        match op % 16 {
            0..=2 => self.pass(script),
            3..=6 => {
                let response = self.peer.response(script);
                self.deliver(response);
            }
            7..=9 => {
                let request = self.peer.request(script);
                self.deliver(Some(request));
            }
            10 => {
                let again = self.peer.again(script);
                self.deliver(again);
            }
            11 => {
                let companion = self.peer.companion(script);
                self.deliver(companion);
            }
            12 => self.flood(script),
            13 if script.one_in(8) => {
                let bytes = Bytes::copy_from_slice(script.bytes(200));
                if let Ok(Read::Message(message)) = read_any(&bytes, Framing::WebSocket) {
                    self.take_in(message);
                }
            }
            13 if script.one_in(8) => {
                self.leg.handle(self.now, Input::TransportFailed);
                self.settle();
            }
            _ => self.owner(script),
        }
    }

    /// Many of the same kind, each of them new.
    fn flood(&mut self, script: &mut Script<'_>) {
        let count = u16::from(script.byte().unwrap_or(0)).min(self.flood);
        self.flood -= count;
        let pattern = script.clone();
        let of_responses = script.one_in(2);
        for _ in 0..count {
            let mut same = pattern.clone();
            same.byte();
            let message = if of_responses {
                self.peer.response(&mut same)
            } else {
                Some(self.peer.request(&mut same))
            };
            self.deliver(message);
        }
        script.bytes(6);
    }

    fn pass(&mut self, script: &mut Script<'_>) {
        self.now = later(script, self.now, self.leg.poll_timeout());
        self.fire();
    }

    fn fire(&mut self) {
        let mut rounds = 0;
        loop {
            self.leg.handle_timeout(self.now);
            self.settle();
            if self.leg.poll_timeout().is_none_or(|at| at > self.now) {
                break;
            }
            rounds += 1;
            assert!(rounds <= ROUNDS_MAX, "a deadline that stays: {:?}", self.leg);
        }
    }

    fn deliver(&mut self, message: Option<Message>) {
        // A leg sees what the reader lets through, as the reader understood it.
        if let Some(message) = message.and_then(|message| received(&message)) {
            self.peer.said(&message);
            self.take_in(message);
        }
    }

    fn take_in(&mut self, message: Message) {
        self.watch.receives(&message);
        let source: Option<SocketAddr> = self.peer.source();
        self.leg.handle(self.now, Input::Message { message, source });
        self.settle();
    }

    /// The owner wants something: sensible or not, a verb never breaks the leg.
    fn owner(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        let sdp = script.pick(&[Some(1), None, Some(2)]).map(our_sdp);
        let key = self.watch.some_request(script.below(256));
        let reason = script.pick(&[None, Some("Q.850;cause=16"), Some("a\r\nEvil: 1\0")]);
        let names = [None, Some("Reason"), Some("X: y\r\nEvil")];
        let extra: Vec<(Name, String)> = script
            .pick(&names)
            .map(|name| (Name::parse(name), reason.unwrap_or("x").to_owned()))
            .into_iter()
            .collect();
        match script.below(14) {
            0 => self.leg.trying(now),
            1 => self.leg.progress(now, script.pick(&[180, 183, 0, 999]), sdp, &extra),
            2 | 3 => self.leg.answer(now, sdp, &extra),
            4 => {
                self.watch.rejects(self.leg.state());
                self.leg.reject(now, script.pick(&[486, 603, 0, 999]), "", &extra);
            }
            5 => {
                self.watch.rejects(self.leg.state());
                self.leg.bye(now, reason);
            }
            6 => self.leg.cancel(now, reason),
            7 => self.leg.acknowledge(now, sdp),
            8 => self.leg.reoffer(now, our_sdp(script.below(3))),
            9 | 10 => {
                if let Some(key) = key {
                    self.leg.accept(now, key, sdp, &extra);
                }
            }
            11 => {
                let status = script.pick(&[488, 603, 200, 0, 999]);
                if let Some(key) = key {
                    self.leg.refuse(now, key, status, reason.unwrap_or(""), &extra);
                }
            }
            _ => {
                let method = script.pick(&[0, 1, 2]);
                let method = [Method::Info, Method::Options, Method::Refer][method].clone();
                let body = sdp.map(|bytes| ("application/dtmf-relay", bytes));
                if let Some(key) = self.leg.request(now, method, body, &extra) {
                    self.watch.asks(key);
                }
            }
        }
        self.settle();
    }

    /// Takes out what the leg says and holds it to its word.
    fn settle(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.leg.poll_output() {
            outputs += 1;
            if let Some(sent) = self.watch.output(self.now, outputs, &output) {
                self.peer.hears(sent);
            }
        }
        let rank = match self.leg.state() {
            LegState::Ringing | LegState::Calling => 0,
            LegState::Talking => 1,
            LegState::Leaving => 2,
            LegState::Over => 3,
        };
        assert!(rank >= self.rank, "back to {:?}", self.leg.state());
        self.rank = rank;
        assert!(self.watch.is_ended() == (rank == 3), "over without its word, or the other way");
    }

    /// The owner hangs up, the peer is silent: everything ends by itself.
    fn end(mut self) {
        let recovered = self.leg.dialog_for_recovery();
        self.watch.rejects(self.leg.state());
        self.leg.bye(self.now, None);
        self.settle();
        self.runs_out();
        assert!(self.watch.is_ended() && self.watch.all_asked_are_answered());
        if let Some(stored) = recovered {
            self.leg = Leg::resume_bye(self.config.clone(), &stored, 100, None, self.now);
            self.watch = Watch::new(self.config.transport);
            self.rank = 0;
            self.settle();
            self.runs_out();
            assert!(self.watch.is_ended());
        }
    }

    fn runs_out(&mut self) {
        let began = self.now;
        let mut steps = 0;
        while let Some(at) = self.leg.poll_timeout() {
            steps += 1;
            assert!(steps <= END_STEPS_MAX, "no end in sight: {:?}", self.leg);
            self.now = at.max(self.now);
            self.fire();
        }
        assert!(self.now - began <= END_MAX, "took {:?}", self.now - began);
        assert!(self.leg.is_idle(), "left over: {:?}", self.leg);
    }
}

fn our_sdp(which: usize) -> Bytes {
    Bytes::from_static(SDP[which % SDP.len()])
}

fn received(message: &Message) -> Option<Message> {
    match read_any(&print(message), Framing::WebSocket) {
        Ok(Read::Message(message)) => Some(message),
        _ => None,
    }
}
