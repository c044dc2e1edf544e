//! The part of the command line that says where sessions connect and who they are.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use http::Uri;
use sautikit_core::ids::WorkspaceId;

use super::api::Http;
use super::process::usage;
use super::report::{Done, Sample};
use super::sessions::Gate;
use super::tokens::{Mint, SourceError, variable};
use super::{CallsError, between};

/// What `calls` and `sessions` have in common. Tokens come from `--token-url` or `--api`, or are
/// signed here with the gateway's own key.
#[derive(Args, Clone, Debug)]
pub struct Connecting {
    /// The gateway's WebSocket address.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5066")]
    pub ws: SocketAddr,
    /// The domain in the browsers' SIP addresses.
    #[arg(long, value_name = "NAME", default_value = "sip.sautikit.local")]
    pub domain: String,

    /// The gateway's HTTP API: `http://127.0.0.1:8080`. `calls` proves the run's bill by it; tokens
    /// are asked for there where nothing else is said.
    #[arg(long, value_name = "URL")]
    pub api: Option<Uri>,
    /// The environment variable that holds the workspace's API key.
    #[arg(long, value_name = "NAME", conflicts_with = "api_key")]
    pub api_key_env: Option<String>,
    /// The workspace's API key itself.
    #[arg(long, value_name = "KEY", env = "SAUTIKIT_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// The gateway's admin address: `http://127.0.0.1:9464`. Gauges that are above their start at
    /// the end fail the run.
    #[arg(long, value_name = "URL")]
    pub admin: Option<Uri>,
    /// Where tokens are asked for: `http://127.0.0.1:8080/v1/sip/token`.
    #[arg(long, value_name = "URL")]
    pub token_url: Option<Uri>,
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
    /// Sessions opened a second, evenly; their latencies count from the intended time. Without it
    /// the next one begins when an earlier one is done.
    #[arg(long, value_name = "C", value_parser = session_rate)]
    pub session_rate: Option<f64>,
    /// Addresses of this machine to connect from, in turn: 127.0.0.2,127.0.0.3. One address has some
    /// 28,000 ports. Audio leaves from the same ones.
    #[arg(long = "source", value_name = "IP", value_delimiter = ',')]
    pub sources: Vec<IpAddr>,

    /// The gateway's process, to measure what it uses.
    #[arg(long, value_name = "PID")]
    pub gateway_pid: Option<u32>,
    /// With --admin, does not wait until the gateway has forgotten the ended calls: their legs answer
    /// for 32 s what a peer may repeat.
    #[arg(long, requires = "admin")]
    pub no_linger: bool,
    /// Seconds that the gateway has at the end until nothing is left; it ends as soon as that is so.
    #[arg(long, value_name = "SECONDS", default_value_t = 45.0, value_parser = settle)]
    pub settle: f64,
    /// Where the report is written as JSON.
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,
}

const SESSION_RATE_MAX: f64 = 100_000.0;
const SETTLE_MAX: f64 = 600.0;

pub(super) fn session_rate(text: &str) -> Result<f64, String> {
    let rate = between(text, SESSION_RATE_MAX)?;
    if rate > 0.0 { Ok(rate) } else { Err("must be above 0".to_owned()) }
}

fn settle(text: &str) -> Result<f64, String> {
    between(text, SETTLE_MAX)
}

impl Connecting {
    pub(super) fn settle(&self) -> Duration {
        Duration::from_secs_f64(self.settle)
    }

    fn api_key(&self) -> Result<Option<String>, SourceError> {
        match &self.api_key_env {
            Some(name) => variable("--api-key-env", name).map(Some),
            None => Ok(self.api_key.clone()),
        }
    }

    /// The HTTP API, where the run is to use it.
    pub(super) fn api(&self) -> Result<Option<Http>, SourceError> {
        let Some(url) = &self.api else { return Ok(None) };
        let key = self.api_key()?.ok_or(SourceError::NoApiKey)?;
        Http::new(url.clone(), Some(&key)).map(Some).map_err(|_| SourceError::ApiKey)
    }

    pub(super) fn admin(&self) -> Result<Option<Http>, SourceError> {
        let http = self.admin.clone().map(|url| Http::new(url, None)).transpose();
        http.map_err(|_| SourceError::ApiKey)
    }

    pub(super) fn gate(&self) -> Result<Gate, SourceError> {
        let mint = match (&self.key_file, &self.signing_key_env, self.workspace) {
            (Some(path), _, Some(workspace)) => Mint::key_file(workspace, path)?,
            (None, Some(name), Some(workspace)) => Mint::key_variable(workspace, name)?,
            _ => self.asking_mint()?,
        };
        let (ws, domain, sources) = (self.ws, self.domain.clone(), self.sources.clone());
        let (register, rate) = (true, self.session_rate);
        Ok(Gate { ws, domain, sources, mint, register, rate })
    }

    fn asking_mint(&self) -> Result<Mint, SourceError> {
        let key = self.api_key()?;
        match (&self.token_url, &self.api, key) {
            (Some(url), _, Some(key)) => Mint::http(url, &key),
            (None, Some(_), _) => {
                let http = self.api()?.ok_or(SourceError::Missing)?;
                Ok(Mint::Http { http: Box::new(http), path: "/v1/sip/token".to_owned() })
            }
            _ => Err(SourceError::Missing),
        }
    }

    pub(super) fn check_process(&self) -> Result<(), CallsError> {
        check_process(self.gateway_pid)
    }

    /// A process that has died since is left out: its calls and sessions tell of it.
    pub(super) fn sample(&self, carrier_pid: Option<u32>) -> Sample {
        Self::sample_of(Done::default(), self.gateway_pid, carrier_pid)
    }

    pub(super) fn sample_of(
        done: Done,
        gateway_pid: Option<u32>,
        carrier_pid: Option<u32>,
    ) -> Sample {
        let of = |pid: Option<u32>| usage(&pid?.to_string()).ok();
        Sample {
            at: Instant::now(),
            done,
            gateway: of(gateway_pid),
            carrier: of(carrier_pid),
            generator: usage("self").ok(),
        }
    }
}

/// Whether what a process uses can be read.
pub(super) fn check_process(pid: Option<u32>) -> Result<(), CallsError> {
    let Some(pid) = pid else { return Ok(()) };
    usage(&pid.to_string()).map_err(|source| CallsError::Process { pid, source })?;
    Ok(())
}
