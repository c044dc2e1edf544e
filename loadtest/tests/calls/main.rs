//! The load generator as a program, against a small gateway of the test's own: real WebSockets, real
//! tokens, and every call answered.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod gateway;

use std::process::{Command, Output};

use gateway::{Gateway, WORKSPACE};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn run(gateway: &Gateway, args: &[&str]) -> (Output, serde_json::Value) {
    let report = std::env::temp_dir().join(format!(
        "{}-{}.json",
        std::process::id(),
        gateway.address.port()
    ));
    let pid = std::process::id().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_sautikit-loadtest"))
        // This gateway answers calls itself: with the pid of a carrier elsewhere none is started.
        .args(["calls", "--ws", &gateway.address.to_string()])
        .args(["--gateway-pid", &pid, "--carrier-pid", &pid])
        .args(["--signing-key-env", "LOADTEST_KEY", "--workspace", WORKSPACE, "--report"])
        .arg(&report)
        .args(args)
        .env("LOADTEST_KEY", KEY)
        .output()
        .unwrap();
    let json = std::fs::read(&report).map(|bytes| serde_json::from_slice(&bytes).unwrap());
    let _ = std::fs::remove_file(report);
    (output, json.unwrap_or_default())
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
