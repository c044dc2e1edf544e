//! What the worst messages cost: CPU time of this thread for all that the gateway does by itself with
//! a message of 64 KiB, the least of several rounds. Ends with 1 where one costs more than 5 ms.
//!
//!     cargo run --release --manifest-path fuzz/Cargo.toml --example slowest [FOLDER …]
//!
//! Each file of the folders (seeds, or a corpus that a search has left) is inflated to 64 KiB in
//! several ways, beside the messages that are made here.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use sautikit_core::limits::{DATAGRAM_MAX_BYTES, HANDSHAKE_HEAD_MAX_BYTES, SIP_BODY_MAX_BYTES};
use sautikit_fuzz::handshake;
use sautikit_fuzz::script::origin;
use sautikit_sip::leg::{Credentials, Input, Leg, LegConfig, OutgoingInvite, Transport, Unserved};
use sautikit_sip::message::{Message, Method};
use sautikit_sip::reader::{Framing, Read, read, read_datagram};
use sautikit_sip::sdp::{Direction, Sdp, TrunkSdp};

const LIMIT: Duration = Duration::from_millis(5);
const ROUNDS: usize = 7;
/// The slowest ones, which are printed.
const SHOWN: usize = 15;

fn main() -> ExitCode {
    let mut cases = made();
    for folder in std::env::args_os().skip(1) {
        inflated(Path::new(&folder), &mut cases);
    }
    let mut costs: Vec<(Duration, &str)> =
        cases.iter().map(|case| (case.cost(), case.name.as_str())).collect();
    costs.sort_unstable_by(|one, other| other.cmp(one));
    println!("{:>10}  of {} messages", "µs of CPU", costs.len());
    for (cost, name) in costs.iter().take(SHOWN) {
        println!("{:>10.1}  {name}", cost.as_secs_f64() * 1e6);
    }
    let over = costs.iter().filter(|(cost, _)| *cost > LIMIT).count();
    println!("{over} above {} ms", LIMIT.as_millis());
    if over == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sip,
    Sdp,
    Handshake,
}

struct Case {
    name: String,
    kind: Kind,
    bytes: Bytes,
}

impl Case {
    fn new(name: impl Into<String>, kind: Kind, bytes: impl Into<Vec<u8>>) -> Self {
        let mut bytes = bytes.into();
        bytes.truncate(match kind {
            Kind::Sip => DATAGRAM_MAX_BYTES,
            Kind::Sdp => SIP_BODY_MAX_BYTES,
            Kind::Handshake => HANDSHAKE_HEAD_MAX_BYTES * 4,
        });
        Self { name: name.into(), kind, bytes: bytes.into() }
    }

    fn cost(&self) -> Duration {
        let once = || match self.kind {
            Kind::Sip => sip(&self.bytes),
            Kind::Sdp => sdp(&self.bytes),
            Kind::Handshake => handshake(&self.bytes),
        };
        once();
        (0..ROUNDS).map(|_| once()).min().unwrap_or_default()
    }
}

/// The time that this thread has had of a CPU.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn timed(work: impl FnOnce()) -> Duration {
    let before = cpu();
    work();
    cpu() - before
}

/// Reads it as it comes by datagram or by WebSocket, and lets a leg take it in.
fn sip(bytes: &Bytes) -> Duration {
    let source = ([192, 0, 2, 9], 5060).into();
    let mut read_message = None;
    let by_web_socket = timed(|| drop(black_box(read(bytes, Framing::WebSocket))));
    let by_datagram = timed(|| read_message = black_box(read_datagram(bytes, source)).ok());
    let reading = by_web_socket.max(by_datagram);
    let Some(Read::Message(message)) = read_message else { return reading };
    let new_call = message.method() == Some(&Method::Invite) && message.to_tag().is_none();
    let mut leg = if new_call { None } else { Some(leg_for(&message)) };
    reading
        + timed(|| {
            let offer = message.sdp();
            if let Some(leg) = &mut leg {
                leg.handle(origin(), Input::Message { message, source: Some(source) });
                say_all(leg);
            } else if Unserved::of(&message).is_none() {
                let config = config();
                let mut leg = Leg::incoming(config, message, Some(source), origin());
                leg.trying(origin());
                leg.progress(origin(), 180, None, &[]);
                leg.answer(origin(), Some(Bytes::from_static(b"v=0\r\n")), &[]);
                leg.bye(origin(), None);
                say_all(&mut leg);
            }
            if let Some(offer) = offer {
                answer(&offer);
            }
        })
}

fn sdp(bytes: &Bytes) -> Duration {
    timed(|| answer(bytes))
}

fn answer(offer: &[u8]) {
    let Ok(offer) = Sdp::parse(offer) else { return };
    let codecs = offer.audio().map(|audio| audio.trunk_codecs()).unwrap_or_default();
    let ours = TrunkSdp {
        session_id: 1,
        version: 1,
        address: [192, 0, 2, 1].into(),
        port: 40_000,
        codecs: &codecs,
        direction: Direction::SendRecv,
        ptime_ms: 20,
    };
    black_box((ours.print(), ours.print_answer(&offer)));
}

/// All at once, and a byte at a time.
fn handshake(bytes: &Bytes) -> Duration {
    let pieces = [usize::MAX, 1].map(|piece| timed(|| handshake::read_in_pieces(bytes, piece)));
    pieces.into_iter().max().unwrap_or_default()
}

/// A leg for which the message is meant: in a call, or calling.
fn leg_for(message: &Message) -> Leg {
    if message.is_request() {
        let invite = said(&base("INVITE", ""));
        let mut leg = Leg::incoming(config(), invite, None, origin());
        leg.answer(origin(), None, &[]);
        say_all(&mut leg);
        return leg;
    }
    let invite = OutgoingInvite {
        request_uri: "sip:juma@gw.example".to_owned(),
        from_display: None,
        from_uri: "sip:asha@gw.example".to_owned(),
        to_uri: "sip:juma@gw.example".to_owned(),
        headers: Vec::new(),
        route: Vec::new(),
        sdp: None,
    };
    let mut leg = Leg::outgoing(config(), invite, origin());
    say_all(&mut leg);
    leg
}

fn config() -> LegConfig {
    LegConfig {
        local_tag: "gw-tag".to_owned(),
        call_id: "call-1".to_owned(),
        branch_prefix: "z9hG4bKgw".to_owned(),
        contact: "sip:gw@192.0.2.1".to_owned(),
        via_sent_by: "192.0.2.1".to_owned(),
        transport: Transport::Udp,
        user_agent: String::new(),
        session_expires: Some(1800),
        credentials: Some(Credentials {
            user: "gw".to_owned(),
            password: "secret".to_owned(),
            realm: None,
        }),
    }
}

fn said(head: &str) -> Message {
    match read(&Bytes::from(format!("{head}\r\n")), Framing::WebSocket) {
        Ok(Read::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn say_all(leg: &mut Leg) {
    while black_box(leg.poll_output()).is_some() {}
}

/// What a request of the call begins with.
fn base(method: &str, tag: &str) -> String {
    format!(
        "{method} sip:juma@gw.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{method}\r\n\
         From: <sip:asha@example>;tag=peer\r\nTo: <sip:juma@gw.example>{tag}\r\nCall-ID: call-1\r\n\
         CSeq: {} {method}\r\nContact: <sip:asha@192.0.2.9>\r\n",
        if tag.is_empty() { 1 } else { 2 }
    )
}

/// The same of a response to the INVITE of [`leg_for`].
fn base_of_response(status: u16) -> String {
    format!(
        "SIP/2.0 {status} OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKgw.1\r\n\
         From: <sip:asha@gw.example>;tag=gw-tag\r\nTo: <sip:juma@gw.example>;tag=peer\r\n\
         Call-ID: call-1\r\nCSeq: 1 INVITE\r\nContact: <sip:juma@192.0.2.9>\r\n"
    )
}

/// Messages that are made to be slow.
fn made() -> Vec<Case> {
    let mut cases = Vec::new();
    let starts = [
        ("INVITE", base("INVITE", "")),
        ("re-INVITE", base("INVITE", ";tag=gw-tag")),
        ("INFO", base("INFO", ";tag=gw-tag")),
        ("REGISTER", base("REGISTER", "")),
        ("183", base_of_response(183)),
        ("200", base_of_response(200)),
        ("401", base_of_response(401)),
    ];
    for (of, start) in &starts {
        for (what, rest) in fillings() {
            let bytes = [start.as_bytes(), &rest, b"\r\n"].concat();
            cases.push(Case::new(format!("{of}: {what}"), Kind::Sip, bytes));
        }
        let body = "a".repeat(SIP_BODY_MAX_BYTES);
        let text = format!("{start}Content-Type: application/sdp\r\n\r\nv=0\r\n{body}");
        cases.push(Case::new(format!("{of}: a body of one line"), Kind::Sip, text));
    }
    let whole: [(&str, Vec<u8>); 6] = [
        ("line breaks alone", repeat("\r\n", 65_000)),
        ("line breaks, then noise", [repeat("\r\n", 60_000), repeat("x", 5_000)].concat()),
        ("zeros", vec![0; 65_000]),
        ("a start line without end", repeat("INVITE ", 65_000)),
        ("a reason in Latin-1", [b"SIP/2.0 200 ".to_vec(), vec![0xe9; 65_000]].concat()),
        ("a URI of escapes", [b"INVITE sip:".to_vec(), repeat("%41", 8_000)].concat()),
    ];
    for (what, bytes) in whole {
        cases.push(Case::new(what, Kind::Sip, bytes));
    }
    for (what, text) in descriptions() {
        cases.push(Case::new(format!("SDP: {what}"), Kind::Sdp, text));
    }
    for (what, text) in handshakes() {
        cases.push(Case::new(format!("handshake: {what}"), Kind::Handshake, text));
    }
    cases
}

/// Header lines to 64 KiB: a few huge ones (a line may have 8 KiB), or as many as there may be.
fn fillings() -> Vec<(String, Vec<u8>)> {
    let lists = [
        ("Contact", "<sip:a@b;c;d;e>,"),
        ("Contact", "\"\\\"\\\\\" <sip:a@b>;q=\"\\\"\","),
        ("Contact", "<sip:a@b>,"),
        ("Record-Route", "<sip:a;lr>,"),
        ("Record-Route", ","),
        ("Route", "<sip:a;lr>,"),
        ("Via", "SIP/2.0/UDP a;b=c,"),
        ("Via", "SIP / 2.0 / UDP a : 5060 ;b = \"c\" ,"),
        ("Via", ","),
        ("Require", "a,"),
        ("Supported", "timer,"),
        ("Allow", "UPDATE,"),
        ("Session-Expires", "90;a=b;"),
        ("WWW-Authenticate", "Digest realm=\"a\",nonce=\"b\","),
        ("Proxy-Authenticate", "Digest realm=\"\\\"\", a,"),
        ("Authorization", "Digest a=\"b\","),
        ("Subject", "\"\\\"<,;"),
        ("Subject", "\"\\\u{1}"),
        ("Subject", "\r\n "),
        ("Subject", "x\r\n\ty"),
        ("Subject", "\u{65e5}"),
        ("From", "<"),
        ("Reason", ";a=b"),
        ("Content-Type", ";a=b"),
        ("X", ":"),
    ];
    let mut all = Vec::new();
    for (name, unit) in lists {
        for line_length in [8_000, 600, 60_000] {
            let line = [name.as_bytes(), b": ", &repeat(unit, line_length), b"\r\n"].concat();
            let what = format!("{name} of {unit:?} in lines of {line_length}");
            all.push((what, repeat_bytes(&line, 64_000)));
        }
    }
    for unit in
        ["a:\r\n", "a: b\r\n", "X-\r\n", "\r\n", "\n", ":", " : \r\n", "v: SIP/2.0/UDP a\r\n"]
    {
        all.push((format!("{unit:?} again and again"), repeat(unit, 64_000)));
    }
    for name in
        ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "RSeq", "Min-SE"]
    {
        for unit in ["1", " ", "\"", ";a=b", "<", "%41"] {
            let line = [name.as_bytes(), b": ", &repeat(unit, 8_000), b"\r\n"].concat();
            all.push((format!("{name} of {unit:?}"), repeat_bytes(&line, 64_000)));
        }
    }
    all
}

fn descriptions() -> Vec<(String, Vec<u8>)> {
    let start = "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
    let section = "m=audio 9 UDP/TLS/RTP/SAVPF 0 8 101\r\n";
    let many = |unit: &str| [start.as_bytes(), section.as_bytes(), &repeat(unit, 32_000)].concat();
    let formats: String = (64..128).map(|pt| format!(" {pt}")).collect();
    let maps: String =
        (64..128).map(|pt| format!("a=rtpmap:{pt} x/8000\r\na=fmtp:{pt} y\r\n")).collect();
    let crowded = format!("m=audio 9 RTP/AVP{formats}\r\n{maps}");
    let mut all: Vec<(String, Vec<u8>)> = [
        "m=audio 9 RTP/AVP 0\r\n",
        "a=rtpmap:96 x/8000\r\n",
        "a=fmtp:96 x\r\n",
        "a=\r\n",
        "a=mid:0\r\n",
        "c=IN IP4 192.0.2.1/127\r\n",
        "\r\n",
        "x",
        "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n",
        "a=group:BUNDLE 0 1 2 3\r\n",
        "o=a b c d e f\r\n",
    ]
    .map(|unit| (format!("{unit:?} again and again"), many(unit)))
    .into();
    all.push(("full sections".to_owned(), [start.as_bytes(), &repeat(&crowded, 32_000)].concat()));
    let wide = format!("{start}m=audio 9 RTP/AVP {}\r\n", "0 ".repeat(16_000));
    all.push(("a section of 16,000 formats".to_owned(), wide.into()));
    all
}

fn handshakes() -> Vec<(String, Vec<u8>)> {
    let start = "GET /?token=x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut all: Vec<(String, Vec<u8>)> = [
        "a:b\r\n",
        "\n",
        "\r",
        "a",
        "Sec-WebSocket-Protocol: ,sip,token.x\r\n",
        "Connection: ,,,,,,,,,,,,,,,,,,,\r\n",
        "Authorization: Bearer \r\n",
        " \t",
    ]
    .map(|unit| {
        let bytes = [start.as_bytes(), &repeat(unit, 60_000)].concat();
        (format!("{unit:?} again and again"), bytes)
    })
    .into();
    let commas = format!("{start}Upgrade: {}\r\n\r\n", ",".repeat(16_000));
    let escapes = format!("GET /?token={} HTTP/1.1\r\n\r\n", "%41".repeat(5_000));
    let pairs = format!("GET /?{}token=x HTTP/1.1\r\n\r\n", "a&".repeat(8_000));
    all.push(("commas".to_owned(), commas.into()));
    all.push(("a token of escapes".to_owned(), escapes.into()));
    all.push(("a query of pairs".to_owned(), pairs.into()));
    all
}

/// Every file three times: repeated as it is, with each of its lines repeated, with each of its
/// lines made long.
fn inflated(folder: &Path, cases: &mut Vec<Case>) {
    for path in files(folder) {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let in_folder = |name: &str| path.iter().any(|part| part == name);
        let kind = match () {
            () if in_folder("leg") || in_folder("transaction") => continue,
            () if in_folder("sdp") => Kind::Sdp,
            () if in_folder("handshake") => Kind::Handshake,
            () => Kind::Sip,
        };
        let name = path.display().to_string();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let share = 64_000 / lines.len().max(1);
        let mut repeated = Vec::new();
        let mut longer = Vec::new();
        for line in &lines {
            repeated.extend(repeat_bytes(line, share.max(line.len())));
            let text = line.strip_suffix(b"\r\n").unwrap_or(line);
            let tail = &text[text.len() / 2..];
            longer.extend_from_slice(text);
            longer.extend(repeat_bytes(tail, share.min(8_000).saturating_sub(text.len())));
            longer.extend_from_slice(&line[text.len()..]);
        }
        cases.push(Case::new(format!("{name}, repeated"), kind, repeat_bytes(&bytes, 64_000)));
        cases.push(Case::new(format!("{name}, each line repeated"), kind, repeated));
        cases.push(Case::new(format!("{name}, each line longer"), kind, longer));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn repeat(unit: &str, length: usize) -> Vec<u8> {
    repeat_bytes(unit.as_bytes(), length)
}

/// As often as it fits whole, and once at the least.
fn repeat_bytes(unit: &[u8], length: usize) -> Vec<u8> {
    unit.repeat((length / unit.len().max(1)).max(1))
}
