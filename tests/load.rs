//! The load generator as a program against a whole gateway: its own carrier, audio, and the proof
//! that all books agree, and that it is refused where they do not.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use common::gateway::{Gateway, Place, SIGNING_KEY, Setup, Workspace};
use common::http::Ask;
use common::{OURS, ledger, until};
use serde_json::{Value, json};

/// What the generator said: its exit code, its words, and its report.
struct Run {
    code: Option<i32>,
    said: String,
    report: Value,
}

/// The program beside the gateway's. A build of the whole workspace has made it; where only this
/// test is built, it is made here.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let gateway = PathBuf::from(env!("CARGO_BIN_EXE_sautikit-gateway"));
        let program = gateway.with_file_name("sautikit-loadtest");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let made = program.metadata().and_then(|file| file.modified());
        if made.is_ok_and(|made| made >= last_change(&root.join("loadtest/src"))) {
            return program;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--offline", "--package", "sautikit-loadtest"])
            .current_dir(root)
            .env("CARGO_TARGET_DIR", gateway.parent().unwrap().parent().unwrap())
            .status();
        assert!(built.unwrap().success(), "the load generator does not build");
        program
    })
}

/// When the newest file below a folder was changed.
fn last_change(folder: &Path) -> SystemTime {
    let changed = folder.read_dir().unwrap().map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => last_change(&path),
            false => path.metadata().unwrap().modified().unwrap(),
        }
    });
    changed.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A port that was free a moment ago, for a carrier that starts after its gateway.
fn free_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn start(setup: Setup, carrier: SocketAddr) -> (Gateway, Workspace) {
    let setup = setup.without_limits().trunk("carrier", carrier, &["+254"]);
    let workspace = setup.place.workspace(100_000, &[OURS]);
    (setup.start(), workspace)
}

fn generator(gateway: &Gateway, workspace: &Workspace, line: &str) -> (Command, PathBuf) {
    let report = gateway.place.file(&format!("report-{}.json", common::unique()));
    let mut command = Command::new(program());
    command
        .args(["--ws", &gateway.ws.to_string()])
        .args(["--admin", &format!("http://{}", gateway.admin)])
        .args(["--signing-key-env", "LOAD_KEY", "--workspace", &workspace.id])
        .args(["--api-key-env", "LOAD_API_KEY", "--report"])
        .arg(&report)
        .args(line.split_whitespace())
        .env_remove("SAUTIKIT_API_KEY")
        .env("LOAD_KEY", SIGNING_KEY)
        .env("LOAD_API_KEY", &workspace.key)
        .stdin(Stdio::null());
    (command, report)
}

/// Subcommands come first, so they are given apart from their arguments.
fn with_subcommand(name: &str, command: Command) -> Command {
    let mut whole = Command::new(command.get_program());
    whole.arg(name).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(key, value),
            None => whole.env_remove(key),
        };
    }
    whole
}

fn calls(gateway: &Gateway, workspace: &Workspace, line: &str) -> Run {
    let line = format!("--api http://{} --no-linger {line}", gateway.http);
    run(gateway, workspace, "calls", &line)
}

fn run(gateway: &Gateway, workspace: &Workspace, subcommand: &str, line: &str) -> Run {
    let (command, report) = generator(gateway, workspace, line);
    let output = with_subcommand(subcommand, command).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let bytes = std::fs::read(report).unwrap_or_default();
    Run {
        code: output.status.code(),
        said: String::from_utf8_lossy(&said).into_owned(),
        report: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

fn differences(run: &Run) -> Vec<&str> {
    let list = run.report["proof"]["differences"].as_array();
    let list = list.unwrap_or_else(|| panic!("{}", run.said));
    list.iter().map(|it| it["difference"].as_str().unwrap()).collect()
}

/// A carrier that this test starts, with its records in a file.
struct Elsewhere(Child);

impl Elsewhere {
    fn start(listen: SocketAddr, records: &PathBuf) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(records).unwrap();
        let child = Command::new(program())
            .args(["carrier", "--sip-only", "--listen", &listen.to_string()])
            .stdin(Stdio::null())
            .stdout(file)
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_proven_to_be_billed_once_and_right() {
    let carrier = free_port();
    let (gateway, workspace) = start(Setup::new(), carrier);
    let line = format!(
        "--carrier-listen {carrier} --sessions 5 --rate 20 --ramp 1 --calls 20 --hold 1 \
         --source 127.0.0.2,127.0.0.3"
    );
    let run = calls(&gateway, &workspace, &line);
    assert_eq!(run.code, Some(0), "{}", run.said);
    let proof = &run.report["proof"];
    assert_eq!((&proof["ok"], &proof["differences_count"]), (&json!(true), &json!(0)));
    for side in ["browsers", "gateway", "carrier"] {
        assert_eq!(proof[side]["answered"], json!(20), "{side}: {proof}");
    }
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.calls, sums.debits, sums.open_holds), (20, 20, 0));
    for sum in ["debited", "cost", "spent"] {
        assert_eq!(proof[sum], json!(sums.debited), "{proof}");
    }
    assert_eq!(proof["gauges"].as_array().map(Vec::len), Some(7));
    assert!(run.said.contains("the books agree"), "{}", run.said);
    let towards = &run.report["calls"]["invite_to_carrier_ms"];
    assert_eq!(towards["count"], json!(20));
    let ringing = run.report["calls"]["invite_to_ringing_ms"]["max"].as_f64().unwrap();
    let there = towards["p50"].as_f64().unwrap();
    assert!(0.0 < there && there < ringing + 1.0, "{there} ms there, {ringing} and back");
    // The carrier went with the run.
    assert!(UdpSocket::bind(carrier).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_calls_are_proven_to_be_free() {
    let carrier = free_port();
    let (gateway, workspace) = start(Setup::new(), carrier);
    let line = format!("--carrier-listen {carrier} --rate 20 --calls 3 --to +254722xxxx03");
    let run = calls(&gateway, &workspace, &format!("{line} --expect 486"));
    assert_eq!(run.code, Some(0), "{}", run.said);
    assert_eq!(run.report["calls"]["refused_as_expected"], json!(3));
    assert_eq!(run.report["proof"]["spent"], json!(0));
    assert_eq!(ledger::check(&gateway.place).debits, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_with_audio_are_heard_at_both_ends() {
    let carrier = free_port();
    let (gateway, workspace) = start(Setup::new().embedded(), carrier);
    let line = format!("--carrier-listen {carrier} --media --rate 10 --calls 2 --hold 2");
    let run = calls(&gateway, &workspace, &line);
    assert_eq!(run.code, Some(0), "{}", run.said);
    let audio = &run.report["audio"];
    assert_eq!((&audio["calls"], &audio["without"]), (&json!(2), &json!({})));
    for way in ["to_carrier", "to_browser"] {
        let received = audio[way]["received"].as_u64().unwrap();
        assert!((100..=220).contains(&received), "{way}: {audio}");
        assert_eq!(audio[way]["lost"], json!(0), "{way}: {audio}");
    }
    assert_eq!(audio["connected_ms"]["count"], json!(2));
    // The gateway's own count is published once a second.
    let relayed = run.report["window"]["packets"].as_u64().unwrap();
    assert!((200..=880).contains(&relayed), "{}", run.said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_without_audio_have_failed() {
    let carrier = free_port();
    let (gateway, workspace) = start(Setup::new().embedded(), carrier);
    // Answers as one that speaks, and does not.
    let records = gateway.place.file("records.jsonl");
    let _carrier = Elsewhere::start(carrier, &records);
    let line = format!("--carrier {carrier} --media --rate 10 --calls 1 --hold 1");
    let run = calls(&gateway, &workspace, &line);
    assert_eq!(run.code, Some(1), "{}", run.said);
    assert_eq!(run.report["calls"]["failed"], json!({ "no audio at the browser": 1 }));
    assert_eq!(run.report["proof"]["ok"], json!(true), "billed all the same: {}", run.said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_debit_and_a_call_that_only_the_carrier_counted_fail_the_proof() {
    let carrier = free_port();
    let (gateway, workspace) = start(Setup::new(), carrier);
    let records = gateway.place.file("records.jsonl");
    let _carrier = Elsewhere::start(carrier, &records);
    let line = format!(
        "--api http://{} --no-linger --carrier {carrier} --carrier-records {} --rate 10 --calls 2 --hold 1.5",
        gateway.http,
        records.display()
    );
    let (command, report) = generator(&gateway, &workspace, &line);
    let mut child = with_subcommand("calls", command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("a call that talks", async || {
        let path = "/v1/calls?status=answered";
        let calls = gateway.api(&workspace, Ask::get(path)).await.json();
        calls["data"].as_array().is_some_and(|calls| !calls.is_empty()).then_some(())
    })
    .await;
    gateway.place.credit(&workspace, 7);
    let line = json!({
        "call_id": "x", "from": "+254700000001", "to": "+254722999999", "sautikit_call_id": null,
        "status": 200, "seconds": 3.0, "packets": 0, "lost": 0, "sent": 0, "audio_energy": 0.0,
        "digits": "", "ended_by": "caller"
    });
    let mut file = OpenOptions::new().append(true).open(&records).unwrap();
    writeln!(file, "{line}").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let output = child.wait_with_output().unwrap();
    let run = Run {
        code: Some(1),
        said: String::from_utf8_lossy(&output.stdout).into_owned(),
        report: serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap(),
    };
    let found = differences(&run);
    assert_eq!(found, ["foreign_entry", "sum_differs", "only_at_carrier"], "{}", run.said);
    for line in ["an entry of 7", "only_at_carrier: +254722999999", "DO NOT agree"] {
        assert!(run.said.contains(line), "{line}: {}", run.said);
    }
    assert_eq!(run.report["calls"]["completed"], json!(2), "the calls themselves were good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_dropped_at_once_come_back() {
    let (gateway, workspace) = start(Setup::new(), free_port());
    let line = "--sessions 40 --duration 1 --reconnect-at 0.5 --session-rate 200";
    let run = run(&gateway, &workspace, "sessions", line);
    assert_eq!(run.code, Some(0), "{}", run.said);
    assert_eq!(run.report["sessions"]["opened"], json!(40));
    let reconnect = &run.report["reconnect"];
    assert_eq!((&reconnect["dropped"], &reconnect["back"]), (&json!(40), &json!(40)));
    assert_eq!(reconnect["back_ms"]["count"], json!(40));
    assert_eq!(run.report["proof"]["ok"], json!(true), "none is left: {}", run.said);
    assert_eq!(run.report["calls"], Value::Null);
}

/// A port that no connection is given by chance, since a gateway comes back to it.
fn lasting_port() -> SocketAddr {
    let is_free = |port: &u16| {
        let address = ("127.0.0.1", *port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    let from = u16::from_str_radix(&common::unique()[..4], 16).unwrap() % 9_000;
    let port = (10_000 + from..20_000).find(is_free).unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A soak that goes on beside the test, with a gateway of its own.
struct Soak {
    child: Option<Child>,
    place: Arc<Place>,
}

impl Soak {
    fn start(line: &str) -> Self {
        let [http, ws, sip, admin, carrier] = [(); 5].map(|()| lasting_port().to_string());
        let setup = Setup::new()
            .without_limits()
            .trunk("carrier", carrier.parse().unwrap(), &["+254"])
            .env("SAUTIKIT_HTTP_ADDR", &http)
            .env("SAUTIKIT_WS_ADDR", &ws)
            .env("SAUTIKIT_SIP_UDP_ADDR", &sip)
            .env("SAUTIKIT_ADMIN_ADDR", &admin);
        let workspace = setup.place.workspace(100_000, &[OURS]);
        let mut command = Command::new(program());
        for (name, value) in setup.command().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let (api, admin) = (format!("http://{http}"), format!("http://{admin}"));
        let child = command
            .args(["soak", "--no-linger", "--ws", &ws, "--api", &api, "--admin", &admin])
            .args(["--api-key-env", "LOAD_API_KEY", "--carrier-listen", &carrier])
            .args(["--gateway", env!("CARGO_BIN_EXE_sautikit-gateway"), "--folder"])
            .arg(setup.place.file("soak"))
            .args(line.split_whitespace())
            .env_remove("SAUTIKIT_API_KEY")
            .env("LOAD_API_KEY", &workspace.key)
            .env("SAUTIKIT_CONFIG", setup.place.file("gateway.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self { child: Some(child.unwrap()), place: Arc::clone(&setup.place) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.file("soak").join(name)
    }

    fn end(&mut self) -> Run {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let bytes = std::fs::read(self.file("report.json")).unwrap_or_default();
        Run {
            code: output.status.code(),
            said: String::from_utf8_lossy(&said).into_owned(),
            report: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }
}

impl Drop for Soak {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended_already = child.kill();
            let _ended = child.wait();
        }
        if let Ok(pid) = std::fs::read_to_string(self.file("gateway.pid")) {
            let _ended_already = Command::new("kill").args(["-9", pid.trim()]).status();
        }
    }
}

#[test]
fn a_gateway_that_is_killed_and_a_carrier_that_falls_silent_cost_nobody_a_debit() {
    let line = "--sessions 20 --rate 12 --hold 2 --duration 18 --every 6 --fault kill,silence \
                --silence 1.5 --seed 1";
    let mut soak = Soak::start(line);
    let run = soak.end();
    assert_eq!(run.code, Some(0), "{}", run.said);
    let report = &run.report;
    let faults = report["faults"].as_array().unwrap();
    let mut kinds: Vec<_> = faults.iter().map(|it| it["fault"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["kill", "silence"]);
    assert!(faults.iter().all(|it| it["calls"].as_u64() > Some(10)), "{}", run.said);
    assert_eq!(report["failed_outside"], json!({}));
    assert_eq!((&report["sessions"]["lost"], &report["sessions_missing"]), (&json!(20), &json!(0)));
    assert_eq!((&report["reconciled"], &report["proof"]["ok"]), (&json!(true), &json!(true)));
    let sums = ledger::check(&soak.place);
    assert_eq!((sums.answered, sums.open_holds), (sums.debits, 0));
    assert_eq!(report["proof"]["debited"], json!(sums.debited));
    assert!(sums.debits > 100, "{}", run.said);
    let unpaid = &report["proof"]["unpaid"];
    assert!(unpaid["seconds"].as_f64() <= unpaid["allowed_seconds"].as_f64(), "{unpaid}");
    let table = std::fs::read_to_string(soak.file("soak.csv")).unwrap();
    assert!(
        table.lines().count() > 10 && table.starts_with("seconds,life,age_seconds,"),
        "{table}"
    );
    let log = std::fs::read_to_string(soak.file("gateway.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
    assert!(!soak.file("gateway.pid").exists(), "the gateway went with the run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_are_refreshed_at_their_rate_or_never_made() {
    let (gateway, workspace) = start(Setup::new(), free_port());
    let refreshed =
        run(&gateway, &workspace, "sessions", "--sessions 10 --duration 3 --refresh 100");
    assert_eq!(refreshed.code, Some(0), "{}", refreshed.said);
    let registers = refreshed.report["window"]["registers"].as_u64().unwrap();
    assert!((200..=310).contains(&registers), "{}", refreshed.said);
    let heard = || gateway.metric("sautikit_sip_messages_total", "direction=\"in\"");
    let before = heard().await;
    assert!(before >= 210.0, "{before} in the gateway's own count");
    let bare = run(&gateway, &workspace, "sessions", "--sessions 10 --duration 0.1 --no-register");
    assert_eq!((bare.code, &bare.report["sessions"]["opened"]), (Some(0), &json!(10)));
    assert!((heard().await - before).abs() < 0.5, "it registered: {}", bare.said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_finds_a_bill_that_somebody_changed() {
    let line = "--sessions 2 --rate 4 --hold 1 --duration 3 --seed 1";
    let mut soak = Soak::start(line);
    until("a call that was billed", async || {
        let ended = soak.place.database().exists().then(|| {
            soak.place.sql("SELECT 1 FROM calls WHERE ended_at IS NOT NULL AND cost_minor > 0")
        });
        ended.filter(|ended| !ended.is_empty())
    })
    .await;
    soak.place.sql(
        "UPDATE calls SET cost_minor = cost_minor - 1 WHERE id = \
         (SELECT id FROM calls WHERE ended_at IS NOT NULL AND cost_minor > 0 LIMIT 1)",
    );
    let run = soak.end();
    assert_eq!(run.code, Some(1), "{}", run.said);
    assert_eq!(differences(&run), ["debit_differs", "cost_differs", "sum_differs"], "{}", run.said);
    assert_eq!((&run.report["ok"], &run.report["reconciled"]), (&json!(false), &json!(false)));
    assert_eq!(run.report["failed_outside"], json!({}), "the calls themselves were good");
}
