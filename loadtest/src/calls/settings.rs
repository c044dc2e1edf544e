//! The command line of `calls`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use sautikit_core::e164::E164;

use super::between;
use super::called::Called;
use super::connecting::Connecting;
use super::load::Plan;
use super::proof::Terms;
use super::schedule::{Ramp, Schedule};

/// What the command line says.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    #[command(flatten)]
    pub connecting: Connecting,

    /// Calls a second; 0 only keeps the sessions.
    #[arg(long, value_name = "C", default_value_t = 1.0, value_parser = rate)]
    pub rate: f64,
    /// Seconds in which the rate rises from 0 to --rate in a straight line.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub ramp: f64,
    /// The ramp rises in this many even steps instead, the first of them at once.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub ramp_steps: u32,
    /// Seconds from the answer to the browser's BYE.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub hold: f64,
    /// Seconds in which calls begin, the ramp among them (10 and the ramp where --calls does not say
    /// it either); with --rate 0 how long the sessions are kept.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<f64>,
    /// How many calls are made at the most.
    #[arg(long, value_name = "N")]
    pub calls: Option<u64>,
    /// The called number; each x counts up, so that every call has a number of its own and its
    /// records at the generator, the gateway and the carrier are matched by it. Endings that the
    /// simulated carrier does not answer are only reached where they are written out.
    #[arg(long, value_name = "NUMBER", default_value = "+254722xxxxxx")]
    pub to: Called,
    /// A caller number; given more than once, the sessions take them in turn. Without it the gateway
    /// takes the workspace's default.
    #[arg(long, value_name = "E164")]
    pub from: Vec<E164>,
    /// A status that calls may be refused with without failing the run.
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(300..=699))]
    pub expect: Vec<u16>,
    /// Each call has audio: full ICE and DTLS-SRTP at the browser's end, a tone both ways, packets
    /// and losses counted at both. Needs a gateway that relays (SAUTIKIT_MEDIA=embedded). Calls
    /// without audio have failed.
    #[arg(long)]
    pub media: bool,

    /// Where the run's own carrier listens: a process that this one starts and ends. The gateway's
    /// trunk must point there.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5080", conflicts_with = "carrier")]
    pub carrier_listen: SocketAddr,
    /// How long a call rings at the run's own carrier.
    #[arg(long, value_name = "MS", default_value_t = 0, conflicts_with = "carrier")]
    pub answer_after_ms: u64,
    /// No carrier of its own: one runs here, started with `sautikit-loadtest carrier --listen ADDR`.
    #[arg(long, value_name = "ADDR")]
    pub carrier: Option<SocketAddr>,
    /// The file that the standard output of the carrier elsewhere is appended to. What is written
    /// there during the run is matched with the calls by their called numbers.
    #[arg(long, value_name = "PATH", requires = "carrier")]
    pub carrier_records: Option<PathBuf>,
    /// The process of a carrier elsewhere, to measure what it uses. (With it alone none is started.)
    #[arg(long, value_name = "PID")]
    pub carrier_pid: Option<u32>,

    /// The minimum charge of the gateway's rate, in minor units, which no answer tells.
    #[arg(long, value_name = "MINOR", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub rate_minimum: i64,
    /// Its connection fee, likewise.
    #[arg(long, value_name = "MINOR", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub rate_fee: i64,
}

const DURATION_DEFAULT: Duration = Duration::from_secs(10);
const RATE_MAX: f64 = 100_000.0;
pub(super) const SECONDS_MAX: f64 = 7.0 * 24.0 * 3600.0;

fn rate(text: &str) -> Result<f64, String> {
    between(text, RATE_MAX)
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    between(text, SECONDS_MAX)
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
        let ramp = Ramp { duration: Duration::from_secs_f64(self.ramp), steps: self.ramp_steps };
        let duration = self.duration.map(Duration::from_secs_f64);
        let default = self.calls.is_none().then_some(DURATION_DEFAULT + ramp.duration);
        Schedule::new(self.rate, ramp, duration.or(default), self.calls)
    }

    /// Where a carrier of the run's own listens, if it has one.
    pub(super) fn own_carrier(&self) -> Option<SocketAddr> {
        let elsewhere = self.carrier.is_some() || self.carrier_pid.is_some();
        (!elsewhere && self.schedule().total() > 0).then_some(self.carrier_listen)
    }

    /// What it is started with.
    pub(super) fn carrier_args(&self) -> Vec<String> {
        let mut args = vec!["--answer-after-ms".to_owned(), self.answer_after_ms.to_string()];
        if !self.media {
            args.push("--sip-only".to_owned());
        }
        args
    }

    pub(super) const fn terms(&self) -> Terms {
        Terms { minimum: self.rate_minimum, fee: self.rate_fee }
    }

    pub(super) fn plan(&self, start: Instant) -> Plan {
        Plan {
            start,
            schedule: self.schedule(),
            hold: self.hold(),
            called: self.to.clone(),
            callers: self.from.iter().map(|number| number.as_str().to_owned()).collect(),
            expected: self.expect.clone(),
            audio: self.media,
        }
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
        let ramp = parse("x --rate 10 --ramp 20 --source 127.0.0.2,127.0.0.3").unwrap();
        assert_eq!((ramp.schedule().total(), ramp.connecting.sources.len()), (200, 2));
    }

    #[test]
    fn a_run_has_a_carrier_of_its_own_unless_there_is_one_elsewhere() {
        let own =
            |line: &str| parse(line).unwrap().own_carrier().map(|address| address.to_string());
        assert_eq!(own("x"), Some("127.0.0.1:5080".to_owned()));
        assert_eq!(own("x --carrier-listen 127.0.0.1:0"), Some("127.0.0.1:0".to_owned()));
        for line in ["x --rate 0", "x --carrier 127.0.0.1:5080", "x --carrier-pid 7"] {
            assert_eq!(own(line), None, "{line}");
        }
        assert_eq!(parse("x --media").unwrap().carrier_args(), ["--answer-after-ms", "0"]);
        assert_eq!(parse("x").unwrap().carrier_args()[2], "--sip-only");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "x --rate -1",
            "x --rate NaN",
            "x --sessions 0",
            "x --session-rate 0",
            "x --to 12",
            "x --expect 200",
            "x --hold inf",
            "x --key-file k",
            "x --carrier-records f",
            "x --carrier 127.0.0.1:5080 --carrier-listen 127.0.0.1:5081",
            "x --source 127.0.0.2;127.0.0.3",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_run_without_a_source_of_tokens_says_what_to_give() {
        let error = |line: &str| parse(line).unwrap().connecting.gate().err().unwrap().to_string();
        let said = error("x");
        assert!(said.contains("--token-url") && said.contains("--workspace"), "{said}");
        let said = error("x --api http://127.0.0.1:1");
        assert!(said.contains("--api-key-env"), "{said}");
        let said = error("x --api http://127.0.0.1:1 --api-key-env SURELY_NOT_SET");
        assert!(said.contains("--api-key-env: SURELY_NOT_SET"), "{said}");
    }

    #[tokio::test]
    async fn a_key_file_signs_tokens_of_the_sessions_own_identity() {
        let path = std::env::temp_dir().join(format!("loadtest-key-{}", std::process::id()));
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let workspace = "01890a5d-ac96-774b-bcce-b302099a8057";
        let line = format!("x --key-file {} --workspace {workspace}", path.display());
        let gate = parse(&line).unwrap().connecting.gate().unwrap();
        let token = gate.mint.token(&"load-1".parse().unwrap()).await.unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(token.expose().split('.').count(), 3);
    }
}
