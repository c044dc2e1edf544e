//! The command line of `calls`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::Uri;
use sautikit_core::e164::E164;
use sautikit_core::ids::WorkspaceId;

use super::called::Called;
use super::schedule::Schedule;
use super::sessions::Gate;
use super::tokens::{Mint, SourceError};

/// What the command line says. Tokens come from `--token-url`, or are signed here with the
/// gateway's own key.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The gateway's WebSocket address.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5066")]
    pub ws: SocketAddr,
    /// The domain in the browsers' SIP addresses.
    #[arg(long, value_name = "NAME", default_value = "sip.sautikit.local")]
    pub domain: String,

    /// Where tokens are asked for: http://127.0.0.1:8080/v1/sip/token
    #[arg(long, value_name = "URL", requires = "api_key")]
    pub token_url: Option<Uri>,
    /// The workspace's API key, for --token-url.
    #[arg(long, value_name = "KEY", env = "SAUTIKIT_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// The environment variable that holds the gateway's signing key.
    #[arg(long, value_name = "NAME", requires = "workspace", conflicts_with = "token_url")]
    pub signing_key_env: Option<String>,
    /// The file that holds the gateway's signing key.
    #[arg(long, value_name = "PATH", requires = "workspace", conflicts_with_all = ["token_url", "signing_key_env"])]
    pub key_file: Option<PathBuf>,
    /// The workspace of tokens that are signed here.
    #[arg(long, value_name = "UUID")]
    pub workspace: Option<WorkspaceId>,

    /// How many sessions are opened, registered and kept.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sessions: u32,
    /// How many of them are being opened at once.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub connecting: usize,
    /// Addresses of this machine to connect from, in turn.
    #[arg(long = "source", value_name = "IP")]
    pub sources: Vec<IpAddr>,

    /// Calls a second; 0 only keeps the sessions.
    #[arg(long, value_name = "C", default_value_t = 1.0, value_parser = rate)]
    pub rate: f64,
    /// Seconds from the answer to the browser's BYE.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub hold: f64,
    /// Seconds in which calls begin (10 where --calls does not say it either); with --rate 0 how long
    /// the sessions are kept.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<f64>,
    /// How many calls are made at the most.
    #[arg(long, value_name = "N")]
    pub calls: Option<u64>,
    /// The called number; each x counts up: +254722xxxx01. Endings that the simulated carrier does
    /// not answer are only reached where they are written out.
    #[arg(long, value_name = "NUMBER", default_value = "+254722xxxx01")]
    pub to: Called,
    /// A caller number; given more than once, the sessions take them in turn. Without it the gateway
    /// takes the workspace's default.
    #[arg(long, value_name = "E164")]
    pub from: Vec<E164>,
    /// A status that calls may be refused with without failing the run.
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(300..=699))]
    pub expect: Vec<u16>,

    /// The gateway's process, to measure what it uses.
    #[arg(long, value_name = "PID")]
    pub gateway_pid: Option<u32>,
    /// The carrier's process, likewise.
    #[arg(long, value_name = "PID")]
    pub carrier_pid: Option<u32>,
    /// Where the report is written as JSON.
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,
}

const DURATION_DEFAULT: Duration = Duration::from_secs(10);
const RATE_MAX: f64 = 100_000.0;
const SECONDS_MAX: f64 = 7.0 * 24.0 * 3600.0;

fn rate(text: &str) -> Result<f64, String> {
    between(text, RATE_MAX)
}

fn seconds(text: &str) -> Result<f64, String> {
    between(text, SECONDS_MAX)
}

fn between(text: &str, most: f64) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if (0.0..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("is not within 0 and {most}"))
    }
}

impl Settings {
    pub(super) fn hold(&self) -> Duration {
        Duration::from_secs_f64(self.hold)
    }

    /// How long an idle run lasts.
    pub(super) fn duration(&self) -> Duration {
        self.duration.map_or(DURATION_DEFAULT, Duration::from_secs_f64)
    }

    pub(super) fn schedule(&self) -> Schedule {
        let duration = self.duration.map(Duration::from_secs_f64);
        let default = self.calls.is_none().then_some(DURATION_DEFAULT);
        Schedule::new(self.rate, duration.or(default), self.calls)
    }

    pub(super) fn gate(&self) -> Result<Gate, SourceError> {
        let mint = match (&self.token_url, &self.api_key, self.workspace) {
            (Some(url), Some(api_key), _) => Mint::http(url.clone(), api_key)?,
            (_, _, Some(workspace)) => match (&self.key_file, &self.signing_key_env) {
                (Some(path), _) => Mint::key_file(workspace, path)?,
                (None, Some(name)) => Mint::key_variable(workspace, name)?,
                (None, None) => return Err(SourceError::Missing),
            },
            _ => return Err(SourceError::Missing),
        };
        let (ws, domain, sources) = (self.ws, self.domain.clone(), self.sources.clone());
        Ok(Gate { ws, domain, sources, mint })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn parse(line: &str) -> Result<Settings, clap::Error> {
        Line::try_parse_from(line.split_whitespace()).map(|line| line.settings)
    }

    #[test]
    fn the_runs_that_are_measured_can_be_written() {
        let idle = parse("x --sessions 5000 --rate 0 --duration 20 --gateway-pid 7").unwrap();
        assert_eq!((idle.schedule().total(), idle.duration()), (0, Duration::from_secs(20)));
        let busy = parse("x --sessions 2000 --rate 200 --hold 5 --duration 30").unwrap();
        assert_eq!((busy.schedule().total(), busy.hold()), (6000, Duration::from_secs(5)));
        let few = parse("x --rate 10 --calls 3 --to +2547220000xx").unwrap();
        assert_eq!(few.schedule().total(), 3);
        assert_eq!(parse("x --rate 10").unwrap().schedule().total(), 100);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "x --rate -1",
            "x --rate NaN",
            "x --sessions 0",
            "x --to 12",
            "x --expect 200",
            "x --hold inf",
            "x --key-file k",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_run_without_a_source_of_tokens_says_what_to_give() {
        let error = parse("x").unwrap().gate().err().unwrap().to_string();
        assert!(error.contains("--token-url") && error.contains("--workspace"), "{error}");
    }

    #[tokio::test]
    async fn a_key_file_signs_tokens_of_the_sessions_own_identity() {
        let path = std::env::temp_dir().join(format!("loadtest-key-{}", std::process::id()));
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let workspace = "01890a5d-ac96-774b-bcce-b302099a8057";
        let line = format!("x --key-file {} --workspace {workspace}", path.display());
        let gate = parse(&line).unwrap().gate().unwrap();
        let token = gate.mint.token(&"load-1".parse().unwrap()).await.unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(token.expose().split('.').count(), 3);
    }
}
