//! The binary as its operator meets it: what it prints, and with which code it ends.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A folder of its own for each test, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("sautikit-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        Self(place)
    }

    /// Runs the gateway here, with `env` and nothing else of ours in its environment.
    fn run(&self, env: &[(&str, &str)], args: &[&str]) -> Output {
        self.command(env, args).output().unwrap()
    }

    fn command(&self, env: &[(&str, &str)], args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sautikit-gateway"));
        for (name, _) in std::env::vars() {
            if name.starts_with("SAUTIKIT_") || name.starts_with("DATABASE_URL") {
                command.env_remove(name);
            }
        }
        command.args(args).envs(env.iter().copied()).current_dir(&self.0);
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_dir_all(&self.0);
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

const KEY: (&str, &str) = ("SAUTIKIT_SIP_TOKEN_SIGNING_KEY", "0123456789abcdef0123456789abcdef");

#[test]
fn a_wrong_configuration_is_told_whole_and_ends_with_64() {
    let place = Place::new("wrong");
    std::fs::write(place.0.join("g.toml"), "[limits]\ncalls = 1\n").unwrap();
    let output = place.run(
        &[("SAUTIKIT_HTTP_ADDR", "here"), ("SAUTIKIT_MEDIA", "none")],
        &["config", "check", "--config", "g.toml"],
    );
    assert_eq!(output.status.code(), Some(64));
    let told = lines(&output.stderr);
    assert_eq!(told.len(), 4, "{told:#?}");
    for name in ["SAUTIKIT_HTTP_ADDR", "SAUTIKIT_MEDIA", "SIGNING_KEY is not set", "calls is 1"] {
        assert!(told.iter().any(|line| line.contains(name)), "{name}: {told:#?}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn a_good_configuration_is_said_to_be_good_and_printed_without_its_key() {
    let place = Place::new("good");
    let check = place.run(&[KEY], &["config", "check"]);
    assert_eq!(check.status.code(), Some(0), "{:?}", lines(&check.stderr));
    let print = place.run(&[KEY, ("SAUTIKIT_LOG_FORMAT", "json")], &["config", "print"]);
    assert_eq!(print.status.code(), Some(0));
    let text = String::from_utf8(print.stdout).unwrap();
    assert!(text.contains("SAUTIKIT_LOG_FORMAT=json\n") && text.contains("[limits]"), "{text}");
    assert!(!text.contains(KEY.1), "{text}");
    assert!(std::fs::read_dir(&place.0).unwrap().next().is_none(), "looking makes nothing");
}

#[test]
fn a_workspace_is_made_with_its_database_and_printed_as_json() {
    let place = Place::new("workspace");
    let args = ["workspace", "create", "--name", "Shop", "--number", "+254700000001"];
    let made = place.run(&[], &args);
    assert_eq!(made.status.code(), Some(0), "{:?}", lines(&made.stderr));
    let json: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(json["api_key"].as_str().unwrap().starts_with("sk_live_"), "{json}");
    assert_eq!(json["workspace_id"].as_str().unwrap().len(), 36, "{json}");
    assert_eq!(json["numbers"], serde_json::json!(["+254700000001"]));
    assert!(place.0.join("data/sautikit.db").is_file());

    let again = place.run(&[], &args);
    assert_eq!(again.status.code(), Some(1));
    let told = lines(&again.stderr);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("number exists already"), "{told:#?}");
}

#[test]
fn a_database_that_cannot_be_opened_is_one_line() {
    let place = Place::new("unopenable");
    std::fs::write(place.0.join("file"), "not a folder").unwrap();
    let cases = [("sqlite://file/x.db?mode=rwc", 1), ("postgres://u:hunter2@db/x", 64)];
    for (url, code) in cases {
        let output =
            place.run(&[("DATABASE_URL", url)], &["workspace", "create", "--name", "Shop"]);
        assert_eq!(output.status.code(), Some(code), "{url}");
        let told = lines(&output.stderr);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(!told[0].contains("hunter2"), "{told:#?}");
    }
}

#[test]
fn a_command_that_cannot_be_meant_ends_with_64_and_help_with_0() {
    let place = Place::new("usage");
    for args in [&["call"][..], &["workspace", "create"], &[]] {
        let output = place.run(&[], args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    let help = place.run(&[], &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("workspace"));
}

/// A gateway on ports that nobody has.
const ANYWHERE: [(&str, &str); 7] = [
    KEY,
    ("SAUTIKIT_MEDIA", "bypass"),
    ("SAUTIKIT_HTTP_ADDR", "127.0.0.1:0"),
    ("SAUTIKIT_WS_ADDR", "127.0.0.1:0"),
    ("SAUTIKIT_SIP_UDP_ADDR", "127.0.0.1:0"),
    ("SAUTIKIT_ADMIN_ADDR", "127.0.0.1:0"),
    ("SAUTIKIT_LOG", "sautikit_gateway::serve=info"),
];

#[test]
fn a_taken_port_stops_the_start_with_one_line_that_names_the_setting() {
    let place = Place::new("port");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for setting in ["SAUTIKIT_HTTP_ADDR", "SAUTIKIT_WS_ADDR", "SAUTIKIT_ADMIN_ADDR"] {
        let mut env = ANYWHERE.to_vec();
        env.extend([(setting, address.as_str()), ("SAUTIKIT_LOG", "error")]);
        let output = place.run(&env, &["serve"]);
        assert_eq!(output.status.code(), Some(1));
        let told = lines(&output.stderr);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].contains(setting) && told[0].contains("another process"), "{told:#?}");
    }
}

#[test]
fn a_database_has_one_gateway_and_sigterm_ends_it_with_0() {
    let place = Place::new("two");
    let mut first = place.command(&ANYWHERE, &["serve"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(first.stderr.take().unwrap()).lines().map(Result::unwrap);
    // The end of the log ends the search where the gateway did not start.
    assert!(log.any(|line| line.contains("ready")), "the first gateway starts");

    let second = place.run(&[&ANYWHERE[..], &[("SAUTIKIT_LOG", "error")]].concat(), &["serve"]);
    let made = place.run(&[], &["workspace", "create", "--name", "Beside it"]);
    let pid = first.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(first.wait().unwrap().code(), Some(0));

    assert_eq!(second.status.code(), Some(1));
    let told = lines(&second.stderr);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("already serves") && told[0].contains("DATABASE_URL"), "{told:#?}");
    assert_eq!(made.status.code(), Some(0), "{:?}", lines(&made.stderr));
}
