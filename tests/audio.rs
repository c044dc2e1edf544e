//! Audio through the embedded relay: a browser's end of ICE, DTLS and SRTP on one side, plain RTP
//! on the other.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::carrier::{Carrier, Script};
use common::gateway::{Gateway, Setup, Workspace};
use common::ledger;
use common::phone::{Call, Dial, Phone};
use common::sip::{Sip, sdp};
use common::{OURS, THEIRS, until};
use sautikit_media::peer::{Crowd, PeerHandle, PeerOptions};
use sautikit_net::client::ConnectError;
use serde_json::{Value, json};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The carrier's loudspeaker and microphone: what it hears it says.
struct Echo {
    port: u16,
    socket: UdpSocket,
    heard: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(answers: bool) -> Self {
        let socket = UdpSocket::bind((HERE, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (heard, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counts, ends) = (Arc::clone(&heard), Arc::clone(&over));
        let mouth = socket.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !ends.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                // RTP of PCMU or PCMA; RTCP has a port of its own.
                if buffer[0] >> 6 == 2 && matches!(buffer[1] & 0x7f, 0 | 8) {
                    counts.fetch_add(1, Ordering::Relaxed);
                }
                if answers {
                    socket.send_to(&buffer[..length], from).unwrap();
                }
            }
        });
        Self { port, socket: mouth, heard, over, thread: Some(thread) }
    }

    /// Says one packet of PCMA to where an offer wants it.
    fn say(&self, offer: &str, sequence: u16) {
        let port = offer.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next());
        let mut packet = vec![0x80, 8, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        packet.resize(12 + 160, 0xd5);
        self.socket.send_to(&packet, (HERE, port.unwrap().parse().unwrap())).unwrap();
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

fn world(script: Script, echo: &Echo, setup: Setup) -> (Carrier, Gateway, Workspace) {
    let carrier = Carrier::start(script);
    carrier.answer_with(sdp("carrier", echo.port));
    let setup = setup.embedded().trunk("carrier", carrier.address(), &["+254"]);
    let workspace = setup.place.workspace(10_000, &[OURS]);
    (carrier, setup.start(), workspace)
}

/// A browser's end of the audio, and its INVITE on the way.
async fn dial(phone: &mut Phone, crowd: &Crowd, silent: bool) -> (Call, PeerHandle) {
    let options = PeerOptions { silent, ..PeerOptions::default() };
    offer(phone, crowd, options, "sendrecv").await
}

async fn offer(
    phone: &mut Phone,
    crowd: &Crowd,
    options: PeerOptions,
    direction: &str,
) -> (Call, PeerHandle) {
    let (peer, offer) = crowd.offer(HERE, options).await.unwrap();
    let body = String::from_utf8(offer.to_vec()).unwrap();
    assert!(body.contains("a=sendrecv"));
    let body = body.replace("a=sendrecv", &format!("a={direction}"));
    (phone.invite(Dial { body, ..Dial::to(THEIRS) }).await, peer)
}

async fn talk(phone: &mut Phone, crowd: &Crowd, silent: bool) -> (Call, PeerHandle) {
    let (mut call, peer) = dial(phone, crowd, silent).await;
    let answer = phone.outcome(&mut call).await;
    assert_eq!(answer.status(), Some(200), "{answer}");
    peer.accept_answer(answer.body.clone().into()).await.unwrap();
    (call, peer)
}

fn crowd() -> Crowd {
    Crowd::start(Duration::from_millis(2)).unwrap()
}

/// Audio goes out, comes back and is heard.
async fn sounds(peer: &PeerHandle, echo: &Echo) {
    until("audio both ways", async || {
        let stats = peer.stats().await.unwrap();
        let heard = stats.packets_received >= 25 && stats.energy_sum > 0.0;
        (stats.connected && heard && echo.heard() >= 25).then_some(())
    })
    .await;
}

#[tokio::test]
async fn audio_flows_both_ways_and_the_call_is_billed() {
    let (crowd, echo) = (crowd(), Echo::start(true));
    let (carrier, gateway, workspace) = world(Script::EarlyMedia, &echo, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let (mut call, peer) = dial(&mut phone, &crowd, false).await;
    let early = phone.progress(&call, 183).await;
    carrier.respond(carrier.invite_to(THEIRS).await.call_id(), 200);
    let answer = phone.outcome(&mut call).await;
    assert_eq!(answer.status(), Some(200), "{answer}");
    assert_eq!(answer.body, early.body, "a browser takes one answer only");
    for part in ["a=ice-ufrag:", "a=fingerprint:sha-256 ", "a=rtcp-mux", "UDP/TLS/RTP/SAVPF"] {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
    let offer = carrier.invite_to(THEIRS).await.body;
    assert!(offer.contains("m=audio 2") && offer.contains(" RTP/AVP "), "{offer}");
    for part in ["ice", "fingerprint", "candidate", "SAVP", "mDNS", ".local"] {
        assert!(!offer.contains(part), "{part} is the browser's own affair: {offer}");
    }
    peer.accept_answer(answer.body.into()).await.unwrap();
    sounds(&peer, &echo).await;
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!((&row["status"], &row["hangup_by"]), (&json!("completed"), &json!("caller")));
    assert_eq!(row["cost_minor"], json!(5 * row["duration_seconds"].as_i64().unwrap()));
    let mos = row["quality"]["mos"].as_f64();
    assert!(mos.is_some_and(|mos| (3.0..=5.0).contains(&mos)), "{row}");
    assert_eq!(ledger::check(&gateway.place).debits, 1);
    let heard = echo.heard();
    // Ports are given back, and the next call has audio as well.
    carrier.on(THEIRS, Script::Answer);
    let (mut call, peer) = talk(&mut phone, &crowd, false).await;
    sounds(&peer, &echo).await;
    assert!(echo.heard() > heard);
    phone.hang_up(&mut call).await;
}

#[tokio::test]
async fn the_debug_log_holds_no_ice_password() {
    let (crowd, echo) = (crowd(), Echo::start(true));
    let (_carrier, gateway, workspace) = world(Script::Answer, &echo, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let (mut call, peer) = talk(&mut phone, &crowd, false).await;
    sounds(&peer, &echo).await;
    phone.hang_up(&mut call).await;
    for body in [&call.invite.body, &call.answer.as_ref().unwrap().body] {
        let password = body.lines().find_map(|line| line.strip_prefix("a=ice-pwd:")).unwrap();
        gateway.place.keep_out_of_logs(password);
    }
}

#[tokio::test]
async fn a_page_that_closes_its_audio_ends_the_call() {
    let (crowd, echo) = (crowd(), Echo::start(true));
    let (carrier, gateway, workspace) = world(Script::Answer, &echo, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let (call, peer) = talk(&mut phone, &crowd, false).await;
    sounds(&peer, &echo).await;
    let started = Instant::now();
    drop(peer);
    let bye = carrier.request("BYE", carrier.invite_to(THEIRS).await.call_id()).await;
    assert!(bye.at.duration_since(started) < Duration::from_secs(2));
    phone.hung_up(&call).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!((&row["status"], &row["hangup_by"]), (&json!("completed"), &json!("caller")));
    assert_eq!(ledger::check(&gateway.place).debits, 1);
}

#[tokio::test]
async fn silence_on_both_sides_ends_a_call_and_is_not_billed() {
    let (crowd, echo) = (crowd(), Echo::start(false));
    let setup = Setup::new().limit("media_silence_both_seconds", 3);
    let (carrier, gateway, workspace) = world(Script::Answer, &echo, setup);
    let mut phone = Phone::of(&gateway, &workspace).await;
    let (call, peer) = talk(&mut phone, &crowd, false).await;
    until("audio", async || (echo.heard() >= 25).then_some(())).await;
    peer.set_silent(true).await.unwrap();
    let silent = Instant::now();
    phone.hung_up(&call).await;
    let waited = silent.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(6)).contains(&waited), "{waited:?}");
    carrier.request("BYE", carrier.invite_to(THEIRS).await.call_id()).await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(row["hangup_by"], json!("media_timeout"));
    assert!(row["duration_seconds"].as_i64() <= Some(2), "to the last packet: {row}");
    assert_eq!(ledger::check(&gateway.place).debits, 1);
}

#[tokio::test]
async fn a_caller_who_only_listens_pays_for_what_there_was_to_hear() {
    a_caller_listens("sendrecv").await;
}

#[tokio::test]
async fn a_caller_who_says_that_he_only_listens_and_is_not_there_pays_likewise() {
    a_caller_listens("recvonly").await;
}

async fn a_caller_listens(direction: &str) {
    let (crowd, echo) = (crowd(), Echo::start(false));
    let setup =
        Setup::new().limit("media_silence_both_seconds", 2).limit("media_silence_one_seconds", 4);
    let (carrier, gateway, workspace) = world(Script::Answer, &echo, setup);
    let mut phone = Phone::of(&gateway, &workspace).await;
    // The answer is never taken: no ICE, no packet.
    let (mut call, _peer) = offer(&mut phone, &crowd, PeerOptions::default(), direction).await;
    assert_eq!(phone.outcome(&mut call).await.status(), Some(200));
    let invite = carrier.invite_to(THEIRS).await;
    let packets = AtomicU64::new(0);
    until("the end of the call", async || {
        let sequence = packets.fetch_add(1, Ordering::Relaxed);
        echo.say(&invite.body, u16::try_from(sequence).unwrap());
        (carrier.count("BYE", invite.call_id()) > 0).then_some(())
    })
    .await;
    let row = gateway.ended_call(&workspace, &call.id()).await;
    assert_eq!(row["hangup_by"], json!("media_timeout"));
    assert!((4..=5).contains(&row["duration_seconds"].as_i64().unwrap()), "{row}");
    assert_eq!(ledger::check(&gateway.place).debits, 1);
}

#[tokio::test]
async fn an_offer_that_cannot_be_carried_is_refused_in_words_before_anything_is_dialled() {
    let echo = Echo::start(true);
    let (carrier, gateway, workspace) = world(Script::Answer, &echo, Setup::new());
    let mut phone = Phone::of(&gateway, &workspace).await;
    let video = sdp("browser", 50_000).replace("m=audio", "m=video");
    for body in ["v=0\r\n".to_owned(), "noise".to_owned(), sdp("browser", 50_000), video] {
        let answer: Sip = phone.refused(Dial { body: body.clone(), ..Dial::to(THEIRS) }).await;
        let wanted = (488, "calls.media_not_acceptable".to_owned());
        assert_eq!(answer.refusal(), wanted, "{body}");
    }
    assert_eq!(carrier.heard().len(), 0);
    assert_eq!(gateway.wallet(&workspace).await, (10_000, 0));
    assert_eq!(ledger::check(&gateway.place).calls, 0);
}

#[tokio::test]
async fn an_answer_that_cannot_be_carried_ends_both_sides_without_a_charge() {
    let (crowd, echo) = (crowd(), Echo::start(true));
    let (carrier, gateway, workspace) = world(Script::Answer, &echo, Setup::new());
    carrier.answer_with(sdp("carrier", echo.port).replace("m=audio", "m=video"));
    let mut phone = Phone::of(&gateway, &workspace).await;
    let (mut call, _peer) = dial(&mut phone, &crowd, false).await;
    let answer = phone.outcome(&mut call).await;
    assert_eq!(answer.refusal(), (502, "calls.carrier_media".to_owned()));
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    carrier.request("ACK", &peer).await;
    carrier.request("BYE", &peer).await;
    let rows = gateway.ended_calls(&workspace, 1).await;
    assert_eq!((&rows[0]["status"], &rows[0]["answered_at"]), (&json!("failed"), &Value::Null));
    assert_eq!(rows[0]["failure_code"], json!(502));
    assert_eq!(gateway.wallet(&workspace).await, (10_000, 0));
    assert_eq!(ledger::check(&gateway.place).debits, 0);
}

#[tokio::test]
async fn what_open_files_do_not_carry_is_refused_until_a_call_ends() {
    let (crowd, echo) = (crowd(), Echo::start(false));
    // Beside what the API may need, eight: two calls with two sockets each, and four sessions.
    let setup = Setup::new().without_limits().open_files(768 + 8);
    let (carrier, gateway, workspace) = world(Script::Ring, &echo, setup);
    let mut phones = Vec::new();
    for _ in 0..4 {
        phones.push(Phone::of(&gateway, &workspace).await);
    }
    let token = gateway.token(&workspace, Value::Null).await;
    let fifth = Phone::open(&gateway, &token, &workspace.id).await.err().unwrap();
    assert!(matches!(fifth, ConnectError::Refused { status: 503, .. }), "{fifth}");
    let mut ringing = Vec::new();
    for phone in &mut phones[..2] {
        let (call, peer) = dial(phone, &crowd, true).await;
        phone.progress(&call, 180).await;
        ringing.push((call, peer));
    }
    let (mut third, _peer) = dial(&mut phones[2], &crowd, true).await;
    let answer = phones[2].outcome(&mut third).await;
    assert_eq!(answer.refusal(), (503, "gateway.overloaded".to_owned()));
    assert!((2..=10).contains(&answer.retry_after().unwrap()), "{answer}");
    assert_eq!((carrier.calls(), gateway.wallet(&workspace).await), (2, (10_000, 10)));
    let (mut first, _) = ringing.remove(0);
    phones[0].cancel(&first).await;
    assert_eq!(phones[0].outcome(&mut first).await.status(), Some(487));
    until("the place to be free", async || {
        (gateway.metric("sautikit_calls_live", "").await == 1.0).then_some(())
    })
    .await;
    let (again, _peer) = dial(&mut phones[2], &crowd, true).await;
    phones[2].progress(&again, 180).await;
    assert_eq!(carrier.calls(), 3);
}
