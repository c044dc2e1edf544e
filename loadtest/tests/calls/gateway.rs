//! As much of a gateway as sessions and calls need: handshake, REGISTER, and a leg for each call.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use sautikit_core::cause::HandshakeRefusal;
use sautikit_core::token::judge;
use sautikit_net::answer::{Answer, switching_protocols};
use sautikit_net::bearer;
use sautikit_net::head::{Head, read_head};
use sautikit_net::keys::{Keys, SigningKey};
use sautikit_net::listen::Bound;
use sautikit_net::ws::{self, Incoming, Outbox};
use sautikit_sip::leg::{Input, Leg, LegConfig, Output, Transport};
use sautikit_sip::message::{Message, Method};
use sautikit_sip::reader::{Framing, Read, read};
use sautikit_sip::respond::respond;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

pub(crate) const WORKSPACE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// It lives in a thread, as long as the test's process.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What has come to it so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: usize,
    /// Where sockets came from.
    pub(crate) sources: BTreeSet<IpAddr>,
}

impl Gateway {
    /// `status` is what calls are answered with.
    pub(crate) fn start(key: &str, status: u16) -> Self {
        let key = SigningKey::from_value(&key.as_bytes().to_vec().into()).unwrap();
        let keys = Keys::new(key, None);
        let (ready, address) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let own = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let serve = async move {
                let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), "ADDR").unwrap();
                let listener = bound.listener().unwrap();
                ready.send(bound.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, source) = listener.accept().await;
                    own.lock().unwrap().sources.insert(source.ip());
                    tokio::task::spawn_local(session(
                        stream,
                        keys.clone(),
                        status,
                        Arc::clone(&own),
                    ));
                }
            };
            runtime.block_on(LocalSet::new().run_until(serve));
        });
        Self { address: address.recv().unwrap(), seen }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

fn is_welcome(head: &Head, keys: &Keys) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let token = head.token();
    let verified = token.and_then(|token| bearer::verify(token.expose(), keys, now).ok());
    verified.is_some_and(|verified| {
        let claims = verified.claims;
        claims.workspace.to_string() == WORKSPACE
            && judge(&claims, now).is_ok()
            && claims.identity.is_some()
    })
}

async fn session(mut stream: TcpStream, keys: Keys, status: u16, seen: Arc<Mutex<Seen>>) {
    let Ok(mut head) = read_head(&mut stream).await else { return };
    if !is_welcome(&head, &keys) {
        return Answer::refusal(HandshakeRefusal::TokenInvalid).finish(stream).await;
    }
    let Ok(switching) = switching_protocols(&head) else { return };
    let (mut feed, outbox) = ws::accept(stream, switching, head.take_leftover());
    let mut calls = HashMap::new();
    while let Some(incoming) = feed.next().await {
        if let Incoming::Message(bytes) = incoming
            && let Ok(Read::Message(message)) = read(&bytes, Framing::WebSocket)
        {
            take(message, status, &mut calls, &outbox);
            let begun = seen.lock().unwrap().calls.max(calls.len());
            seen.lock().unwrap().calls = begun;
        }
    }
}

fn take(message: Message, status: u16, calls: &mut HashMap<String, Leg>, outbox: &Outbox) {
    let now = Instant::now();
    if message.method() == Some(&Method::Register) {
        assert!(message.contact().is_some());
        outbox.send(respond(&message, 200, "", None, &[], None)).unwrap();
        return;
    }
    let call_id = message.call_id().to_owned();
    if let Some(leg) = calls.get_mut(&call_id) {
        leg.handle(now, Input::Message { message, source: None });
        drain(leg, outbox);
        return;
    }
    assert_eq!(message.method(), Some(&Method::Invite));
    let offer = message.sdp().expect("an offer");
    let mut leg = Leg::incoming(config(&call_id), message, None, now);
    if status == 200 {
        leg.progress(now, 180, None, &[]);
        leg.answer(now, Some(Bytes::from(offer.to_vec())), &[]);
    } else {
        leg.reject(now, status, "", &[]);
    }
    drain(&mut leg, outbox);
    calls.insert(call_id, leg);
}

fn drain(leg: &mut Leg, outbox: &Outbox) {
    while let Some(output) = leg.poll_output() {
        if let Output::Send { bytes, .. } = output {
            outbox.send(bytes).unwrap();
        }
    }
}

fn config(call_id: &str) -> LegConfig {
    LegConfig {
        local_tag: format!("g-{call_id}"),
        call_id: String::new(),
        branch_prefix: call_id.to_owned(),
        contact: "sip:gateway@sip.example;transport=ws".to_owned(),
        via_sent_by: "sip.example".to_owned(),
        transport: Transport::Ws,
        user_agent: String::new(),
        session_expires: None,
        credentials: None,
    }
}
