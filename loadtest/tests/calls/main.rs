//! The load generator as a program, against a small gateway of the test's own: real WebSockets, real
//! tokens, and every call answered.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod gateway;

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use gateway::{Gateway, WORKSPACE};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn generator(gateway: &Gateway, subcommand: &str, report: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sautikit-loadtest"));
    command
        .args([subcommand, "--ws", &gateway.address.to_string()])
        .args(["--signing-key-env", "LOADTEST_KEY", "--workspace", WORKSPACE, "--report"])
        .arg(report)
        .env("LOADTEST_KEY", KEY)
        .stdin(Stdio::null());
    command
}

fn report_of(gateway: &Gateway) -> PathBuf {
    let name = format!("{}-{}.json", std::process::id(), gateway.address.port());
    std::env::temp_dir().join(name)
}

fn read(report: &Path) -> serde_json::Value {
    let json = std::fs::read(report).map(|bytes| serde_json::from_slice(&bytes).unwrap());
    let _ = std::fs::remove_file(report);
    json.unwrap_or_default()
}

/// This gateway answers calls itself: with the pid of a carrier elsewhere none is started.
fn run(gateway: &Gateway, args: &[&str]) -> (Output, serde_json::Value) {
    let pid = std::process::id().to_string();
    let report = report_of(gateway);
    let output = generator(gateway, "calls", &report)
        .args(["--gateway-pid", &pid, "--carrier-pid", &pid])
        .args(args)
        .output()
        .unwrap();
    (output, read(&report))
}

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "in vain waited for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn calls_are_made_at_their_rate_and_reported() {
    let gateway = Gateway::start(KEY, 200);
    let args = [
        "--sessions",
        "8",
        "--rate",
        "40",
        "--calls",
        "60",
        "--hold",
        "0.3",
        "--from",
        "+254700000001",
    ];
    let (output, report) = run(&gateway, &args);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("60 attempted, 60 answered, 60 completed"), "{said}");
    assert_eq!(report["ok"], true);
    assert_eq!(report["sessions"]["opened"], 8);
    assert_eq!(report["calls"]["completed"], 60);
    for latency in ["invite_to_ringing_ms", "invite_to_answer_ms", "bye_to_ok_ms"] {
        assert_eq!(report["calls"][latency]["count"], 60, "{latency}");
    }
    assert!(report["calls"]["talked_seconds"].as_f64().unwrap() > 60.0 * 0.29);
    assert!(report["window"]["gateway"]["cpu_us_per_call"].as_f64().is_some());
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_first_session() {
    let gateway = Gateway::start(KEY, 200);
    let nowhere = std::env::temp_dir().join("sautikit-no-such-folder").join("report.json");
    let output = generator(&gateway, "calls", &nowhere).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--report: No such file") && !said.contains("sessions"), "{said}");
}

#[test]
fn refused_calls_end_the_run_with_a_failure_and_their_status() {
    let gateway = Gateway::start(KEY, 486);
    let args = ["--sessions", "2", "--rate", "20", "--calls", "4"];
    let (output, report) = run(&gateway, &args);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(report["calls"]["failed"]["486"], 4);
    let (output, report) = run(&gateway, &[&args[..], &["--expect", "486"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(report["calls"]["refused_as_expected"], 4);
}

#[test]
fn an_idle_run_tells_the_memory_of_a_session() {
    let gateway = Gateway::start(KEY, 200);
    let (output, report) = run(&gateway, &["--sessions", "50", "--rate", "0", "--duration", "0.5"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("KiB a session") && !said.contains("calls:"), "{said}");
    assert!(report["memory"]["kib_per_session"].as_f64().is_some());
}

#[test]
fn sessions_that_are_refused_say_why() {
    let gateway = Gateway::start("another key of at least 32 bytes!", 200);
    let (output, _) = run(&gateway, &["--sessions", "3"]);
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    assert!(said.contains("3 × handshake: refused with 401"), "{said}");
}

/// Starts calls that would go on for long, and waits until some are under way.
fn busy(gateway: &Gateway, carrier: SocketAddr, report: &Path) -> Child {
    let child = generator(gateway, "calls", report)
        .args(["--carrier-listen", &carrier.to_string()])
        .args(["--rate", "20", "--calls", "1000", "--hold", "60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("calls", || gateway.seen().calls >= 3);
    assert!(UdpSocket::bind(carrier).is_err(), "its carrier listens");
    child
}

#[test]
fn an_interrupt_hangs_up_reports_and_ends_the_runs_own_carrier() {
    let (gateway, carrier) = (Gateway::start(KEY, 200), free_port());
    let report = report_of(&gateway);
    let child = busy(&gateway, carrier, &report);
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    let (said, report) = (said(&output), read(&report));
    // Nothing reached the carrier from a gateway that answers calls itself, which is told.
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("not_at_carrier: +254722"), "{said}");
    assert_eq!(report["calls"]["failed"], serde_json::json!({}), "{said}");
    let calls = report["calls"]["attempted"].as_u64().unwrap();
    assert!((3..1000).contains(&calls), "{said}");
    assert!(UdpSocket::bind(carrier).is_ok(), "the carrier is gone");
}

#[test]
fn a_generator_that_is_killed_leaves_no_carrier_behind() {
    let (gateway, carrier) = (Gateway::start(KEY, 200), free_port());
    let mut child = busy(&gateway, carrier, &report_of(&gateway));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the carrier's end", || UdpSocket::bind(carrier).is_ok());
}

#[test]
fn a_carrier_that_cannot_be_is_told_before_any_session_is_opened() {
    let gateway = Gateway::start(KEY, 200);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let report = report_of(&gateway);
    let refused = |args: &[&str]| {
        let output = generator(&gateway, "calls", &report).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        said(&output)
    };
    let told = refused(&["--carrier-listen", &address]);
    assert!(told.contains(&format!("--carrier {address}")), "{told}");
    let told = refused(&["--carrier", &address]);
    assert!(told.contains("nobody answers"), "{told}");
    let free = free_port().to_string();
    let told = refused(&["--carrier-listen", &free, "--calls", "2", "--to", "+254722000001"]);
    assert!(told.contains("1 numbers for 2 calls"), "{told}");
    assert!(gateway.seen().sources.is_empty(), "nobody connected");
}

#[test]
fn sessions_come_from_every_address_in_turn_and_are_held_and_renewed() {
    let gateway = Gateway::start(KEY, 200);
    let report = report_of(&gateway);
    let output = generator(&gateway, "sessions", &report)
        .args(["--sessions", "9", "--source", "127.0.0.2,127.0.0.3,127.0.0.4"])
        .args(["--session-rate", "50", "--duration", "0.6", "--reconnect-at", "0.3"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let sources = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|it| it.parse().unwrap());
    assert_eq!(gateway.seen().sources, sources.into());
    let report = read(&report);
    // Nine at 50 a second: the last one begins after 160 ms.
    assert!(report["sessions"]["opening_seconds"].as_f64().unwrap() >= 0.16);
    assert_eq!(report["reconnect"]["back"], 9);
    assert!(said(&output).contains("9 dropped at once, 9 back"), "{}", said(&output));
}
