//! A carrier on a UDP port of its own, in a thread of its own: it plays a script for each number
//! and keeps every datagram it gets.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::PATIENCE;
use super::sip::{Sip, sdp};

/// What happens to an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// 100, 180, 200.
    Answer,
    /// 200 at once, and a late 180 after it.
    AnswerBeforeRinging,
    /// 183 with SDP, and nothing more.
    EarlyMedia,
    /// 180, and nothing more.
    Ring,
    /// 100 and this status.
    Refuse(u16),
    /// Nothing at all.
    Silent,
}

pub(crate) struct Carrier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    socket: UdpSocket,
    state: Mutex<State>,
    changed: Notify,
    over: AtomicBool,
}

struct State {
    script: Script,
    scripts: HashMap<String, Script>,
    heard: Vec<Heard>,
    calls: HashMap<String, Call>,
    sdp: String,
    /// Answers to BYE and CANCEL as well; without them the other side must repeat itself.
    polite: bool,
}

/// A datagram that came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) sip: Sip,
}

/// A call as the carrier sees it.
#[derive(Clone)]
struct Call {
    invite: Sip,
    from: SocketAddr,
    tag: String,
    last: String,
    answered: Option<Instant>,
    cseq: u32,
}

impl Carrier {
    pub(crate) fn start(script: Script) -> Self {
        Self::start_at("127.0.0.1:0", script)
    }

    pub(crate) fn start_at(address: &str, script: Script) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let state = State {
            script,
            scripts: HashMap::new(),
            heard: Vec::new(),
            calls: HashMap::new(),
            sdp: sdp("carrier", 40_000),
            polite: true,
        };
        let shared = Arc::new(Shared {
            socket,
            state: Mutex::new(state),
            changed: Notify::new(),
            over: AtomicBool::new(false),
        });
        let runs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || runs.run());
        Self { shared, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.socket.local_addr().unwrap()
    }

    /// What happens to calls to this number.
    pub(crate) fn on(&self, number: &str, script: Script) {
        self.shared.state.lock().unwrap().scripts.insert(number.to_owned(), script);
    }

    /// What calls are answered with from now on.
    pub(crate) fn answer_with(&self, sdp: String) {
        self.shared.state.lock().unwrap().sdp = sdp;
    }

    /// From now on BYE and CANCEL are heard and not answered.
    pub(crate) fn stop_answering(&self) {
        self.shared.state.lock().unwrap().polite = false;
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.state.lock().unwrap().heard.clone()
    }

    /// How many calls have reached the carrier.
    pub(crate) fn calls(&self) -> usize {
        self.shared.state.lock().unwrap().calls.len()
    }

    /// How many datagrams with a request of this method came for a call.
    pub(crate) fn count(&self, method: &str, call_id: &str) -> usize {
        self.heard().iter().filter(|heard| heard.sip.asks(method, call_id)).count()
    }

    /// Waits until `find` finds something in what was heard.
    pub(crate) async fn wait<T>(&self, what: &str, find: impl Fn(&[Heard]) -> Option<T>) -> T {
        let search = async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = find(&self.shared.state.lock().unwrap().heard) {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| {
            panic!("the carrier waits for {what}; it heard {:#?}", self.heard())
        })
    }

    /// The first INVITE to this number.
    pub(crate) async fn invite_to(&self, number: &str) -> Sip {
        let user = format!("sip:{number}@");
        self.wait(&format!("an INVITE to {number}"), |heard| {
            let mut all = heard.iter().map(|heard| &heard.sip);
            all.find(|sip| sip.method() == "INVITE" && sip.uri().starts_with(&user)).cloned()
        })
        .await
    }

    /// The request of this method in a call.
    pub(crate) async fn request(&self, method: &str, call_id: &str) -> Heard {
        self.requests(method, call_id, 1).await.remove(0)
    }

    /// The first `count` requests of this method in a call, repeated ones counted.
    pub(crate) async fn requests(&self, method: &str, call_id: &str, count: usize) -> Vec<Heard> {
        self.wait(&format!("{count} {method} of {call_id}"), |heard| {
            let fits = heard.iter().filter(|heard| heard.sip.asks(method, call_id));
            let found: Vec<_> = fits.take(count).cloned().collect();
            (found.len() == count).then_some(found)
        })
        .await
    }

    /// Sends any bytes from the carrier's own port.
    pub(crate) fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.shared.socket.send_to(bytes, to).unwrap();
    }

    /// Sends the last response of a call once more.
    pub(crate) fn repeat(&self, call_id: &str) {
        let call = self.call(call_id);
        self.send(call.last.as_bytes(), call.from);
    }

    /// Any response to the INVITE of a call, from now on the one that is repeated.
    pub(crate) fn respond(&self, call_id: &str, status: u16) {
        let mut state = self.shared.state.lock().unwrap();
        let State { calls, sdp, .. } = &mut *state;
        self.shared.respond(calls.get_mut(call_id).unwrap(), status, sdp);
    }

    /// Hangs up: gives the BYE that was sent.
    pub(crate) fn bye(&self, call_id: &str) -> String {
        let mut state = self.shared.state.lock().unwrap();
        let call = state.calls.get_mut(call_id).unwrap();
        call.cseq += 1;
        let bye = self.shared.bye(call);
        let to = call.from;
        drop(state);
        self.send(bye.as_bytes(), to);
        bye
    }

    /// A re-INVITE that leaves the offer to the gateway.
    pub(crate) fn want_offer(&self, call_id: &str) {
        let mut state = self.shared.state.lock().unwrap();
        let call = state.calls.get_mut(call_id).unwrap();
        call.cseq += 1;
        let contact = format!("Contact: <sip:{}>\r\n", self.address());
        let invite = self.shared.bye(call).replace("BYE ", "INVITE ").replace(" BYE", " INVITE");
        let invite = invite.replace("Content-Length", &format!("{contact}Content-Length"));
        let to = call.from;
        drop(state);
        self.send(invite.as_bytes(), to);
    }

    /// The ACK of it, which brings our answer.
    pub(crate) fn answer_in_ack(&self, call_id: &str, sdp: &str) {
        let call = self.call(call_id);
        let ack = self.shared.bye(&call).replace("BYE ", "ACK ").replace(" BYE", " ACK");
        let body =
            format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
        let ack = ack.replace("Content-Length: 0\r\n\r\n", &body);
        self.send(ack.as_bytes(), call.from);
    }

    /// The BYE that a stranger would send who knows all of the dialog.
    pub(crate) fn forged_bye(&self, call_id: &str) -> String {
        self.shared.bye(&self.call(call_id))
    }

    fn call(&self, call_id: &str) -> Call {
        self.shared.state.lock().unwrap().calls.get(call_id).expect("a call of this id").clone()
    }

    /// The response to a request of the carrier's own.
    pub(crate) async fn answer_to(&self, method: &str, call_id: &str) -> Sip {
        self.wait(&format!("an answer to {method} of {call_id}"), |heard| {
            let mut all = heard.iter().map(|heard| &heard.sip);
            all.find(|sip| sip.answers(method, call_id)).cloned()
        })
        .await
    }

    /// How long a call was answered, from the 200 to the end as the carrier saw it.
    pub(crate) fn talked(&self, call_id: &str, ended: Instant) -> Duration {
        ended.duration_since(self.call(call_id).answered.expect("it was answered"))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the carrier broke");
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut buffer = vec![0; 65_536];
        while !self.over.load(Ordering::Relaxed) {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { continue };
            let sip = Sip::parse(&buffer[..length]);
            let mut state = self.state.lock().unwrap();
            let at = Instant::now();
            state.heard.push(Heard { at, from, sip: sip.clone() });
            self.react(&mut state, &sip, from);
            drop(state);
            self.changed.notify_waiters();
        }
    }

    fn react(&self, state: &mut State, sip: &Sip, from: SocketAddr) {
        let polite = state.polite;
        match sip.method() {
            "INVITE" if sip.tag("to").is_none() => self.invited(state, sip, from),
            "CANCEL" if polite => {
                self.send(&sip.response(200, None, "", ""), from);
                if let Some(call) = state.calls.get_mut(sip.call_id())
                    && call.answered.is_none()
                {
                    self.respond(call, 487, "");
                }
            }
            "INVITE" if polite => {
                self.send(&sip.response(200, None, &self.described(), &state.sdp), from);
            }
            "BYE" | "OPTIONS" if polite => self.send(&sip.response(200, None, "", ""), from),
            _ => {}
        }
    }

    fn invited(&self, state: &mut State, sip: &Sip, from: SocketAddr) {
        if let Some(call) = state.calls.get(sip.call_id()) {
            if !call.last.is_empty() {
                self.send(&call.last, from);
            }
            return;
        }
        let number = sip.uri().trim_start_matches("sip:").split('@').next().unwrap();
        let script = state.scripts.get(number).copied().unwrap_or(state.script);
        let mut call = Call {
            invite: sip.clone(),
            from,
            tag: super::unique(),
            last: String::new(),
            answered: None,
            cseq: 0,
        };
        let statuses: &[u16] = match script {
            Script::Answer => &[100, 180, 200],
            Script::AnswerBeforeRinging => &[200, 180],
            Script::EarlyMedia => &[183],
            Script::Ring => &[180],
            Script::Refuse(status) => &[100, status],
            Script::Silent => &[],
        };
        for status in statuses {
            self.respond(&mut call, *status, &state.sdp);
        }
        state.calls.insert(sip.call_id().to_owned(), call);
    }

    fn respond(&self, call: &mut Call, status: u16, sdp: &str) {
        let (more, body) = match status {
            183 | 200..300 => (self.described(), sdp),
            _ => (String::new(), ""),
        };
        let tag = (status > 100).then_some(call.tag.as_str());
        let text = call.invite.response(status, tag, &more, body);
        self.send(&text, call.from);
        if (200..300).contains(&status) {
            call.answered = Some(Instant::now());
        }
        if call.last.is_empty() || status >= 180 {
            call.last = text;
        }
    }

    /// The header lines beside an SDP.
    fn described(&self) -> String {
        let here = self.socket.local_addr().unwrap();
        format!("Contact: <sip:carrier@{here}>\r\nContent-Type: application/sdp\r\n")
    }

    fn bye(&self, call: &Call) -> String {
        let here = self.socket.local_addr().unwrap();
        format!(
            "BYE {} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
             From: {};tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} BYE\r\nContent-Length: 0\r\n\r\n",
            call.invite.uri_in("contact"),
            super::unique(),
            call.invite.must("to"),
            call.tag,
            call.invite.must("from"),
            call.invite.call_id(),
            call.cseq
        )
    }

    fn send(&self, text: &str, to: SocketAddr) {
        self.socket.send_to(text.as_bytes(), to).unwrap();
    }
}
