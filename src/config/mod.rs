//! The configuration: environment first, then the TOML file. Everything that is wrong is told at
//! once, and nothing is bound before all of it is right.
//!
//! `Sources` is what was given, `Config` what it means. `Config::parse` is pure.

mod file;
pub(crate) mod print;
mod problem;
pub(crate) mod settings;
mod shapes;
mod sources;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use sautikit_core::limits::Limits;
use sautikit_core::rate::RateCard;
use sautikit_net::origin::Origins;
use secrecy::{SecretBox, SecretString};

pub(crate) use file::Trunk;
pub(crate) use problem::Problems;
pub(crate) use sources::Sources;

use problem::quoted;
use settings::Setting;

/// The exit code of a process that refuses its configuration or its command line (`EX_USAGE`).
pub(crate) const EXIT_USAGE: u8 = 64;

/// RFC 8725 asks for a key at least as long as the hash; the upper bound catches a wrong file.
const SIGNING_KEY_BYTES: RangeInclusive<usize> = 32..=4096;

/// A key that signs or verifies tokens: raw bytes, never shown.
pub(crate) type SigningKey = SecretBox<[u8]>;

/// All that the gateway is told, checked.
#[derive(Debug)]
pub(crate) struct Config {
    /// The HTTP API and the embedded pages.
    pub(crate) http_addr: SocketAddr,
    /// SIP over WebSocket.
    pub(crate) ws_addr: SocketAddr,
    /// SIP over UDP, towards carriers.
    pub(crate) sip_udp_addr: SocketAddr,
    /// Metrics and health.
    pub(crate) admin_addr: SocketAddr,
    /// What browsers connect to, where the operator says so.
    pub(crate) ws_url: Option<String>,
    /// How carriers reach us where that is not `sip_udp_addr`; a port only where one was given.
    pub(crate) sip_public_addr: Option<(IpAddr, Option<u16>)>,
    pub(crate) sip_domain: String,
    /// Whose pages may connect: all, where the operator names none.
    pub(crate) allowed_origins: Origins,
    pub(crate) media: Media,
    pub(crate) signing_key: SigningKey,
    pub(crate) signing_key_next: Option<SigningKey>,
    pub(crate) database_url: SecretString,
    pub(crate) drain_grace: Duration,
    pub(crate) log: Log,
    pub(crate) trunks: Vec<Trunk>,
    pub(crate) rates: RateCard,
    pub(crate) limits: Limits,
    limits_given: BTreeSet<String>,
    /// What works but is hardly meant: one line each, to be logged at the start.
    pub(crate) warnings: Vec<String>,
}

/// Where audio goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) engine: MediaEngine,
    pub(crate) addr: IpAddr,
    pub(crate) public_addr: Option<IpAddr>,
    /// The carriers' side.
    pub(crate) trunk_ports: RangeInclusive<u16>,
    /// The first of one port for each worker; 0 takes any free ones.
    pub(crate) browser_port: u16,
    pub(crate) pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaEngine {
    Embedded,
    Bypass,
}

/// How the process speaks to its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    /// A filter that `tracing_subscriber` has accepted.
    pub(crate) filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// The configuration, or everything that is wrong with it.
    pub(crate) fn parse(sources: &Sources) -> Result<Self, Problems> {
        let mut reader = Reader { sources, problems: sources.problems().clone() };
        let tables = match sources.file() {
            Some(file) => file::parse(file, &mut reader.problems),
            None => file::Tables::default(),
        };
        let (signing_key, signing_key_next) = reader.signing_keys();
        let config = Self {
            http_addr: reader.value(&settings::HTTP_ADDR, shapes::socket_addr),
            ws_addr: reader.value(&settings::WS_ADDR, shapes::socket_addr),
            sip_udp_addr: reader.value(&settings::SIP_UDP_ADDR, shapes::socket_addr),
            admin_addr: reader.value(&settings::ADMIN_ADDR, shapes::socket_addr),
            ws_url: reader.optional(&settings::WS_URL, shapes::ws_url),
            sip_public_addr: reader.optional(&settings::SIP_PUBLIC_ADDR, shapes::public_addr),
            sip_domain: reader.value(&settings::SIP_DOMAIN, shapes::host_name),
            allowed_origins: reader
                .optional(&settings::ALLOWED_ORIGINS, shapes::origins)
                .unwrap_or_else(Origins::any),
            media: reader.media(),
            signing_key,
            signing_key_next,
            database_url: reader.database_url(),
            drain_grace: reader.value(&settings::DRAIN_GRACE_SECONDS, |text| {
                shapes::whole(text, 0..=86_400).map(Duration::from_secs)
            }),
            log: reader.log(),
            trunks: tables.trunks,
            rates: tables.rates,
            limits: tables.limits,
            limits_given: tables.limits_given,
            warnings: Vec::new(),
        };
        config.judge_together(&mut reader.problems);
        if !reader.problems.is_empty() {
            return Err(reader.problems);
        }
        let warnings = config.oddities(sources);
        Ok(Self { warnings, ..config })
    }

    /// What the commands beside a gateway need: the database, and no signing key.
    pub(crate) fn database(sources: &Sources) -> Result<SecretString, Problems> {
        let mut reader = Reader { sources, problems: Problems::default() };
        let url = reader.database_url();
        if sources.has_failed(&settings::DATABASE_URL) {
            return Err(sources.problems().clone());
        }
        if reader.problems.is_empty() { Ok(url) } else { Err(reader.problems) }
    }

    /// Whether the operator wrote this key of `[limits]`.
    pub(crate) fn is_limit_given(&self, key: &str) -> bool {
        self.limits_given.contains(key)
    }

    /// Whether some number of `prefix` has a rate.
    fn is_rated(&self, prefix: &str) -> bool {
        self.rates.rows().any(|(rated, _)| rated.starts_with(prefix) || prefix.starts_with(rated))
    }

    /// Checks what no setting shows alone.
    fn judge_together(&self, problems: &mut Problems) {
        let listeners = [
            (&settings::HTTP_ADDR, self.http_addr),
            (&settings::WS_ADDR, self.ws_addr),
            (&settings::ADMIN_ADDR, self.admin_addr),
        ];
        for (index, (setting, addr)) in listeners.iter().enumerate() {
            for (other, taken) in &listeners[..index] {
                if collide(*addr, *taken) {
                    let found = format!("is {addr}, which {} takes as well", other.name);
                    problems.add(setting.name, found, "an address of its own", "Change the port");
                }
            }
        }
        if self.sip_udp_addr.ip().is_unspecified() && self.sip_public_addr.is_none() {
            problems.add(
                settings::SIP_PUBLIC_ADDR.name,
                format!("is not set while SAUTIKIT_SIP_UDP_ADDR is {}", self.sip_udp_addr),
                settings::SIP_PUBLIC_ADDR.shape,
                "Set it: carriers are told to answer there",
            );
        }
        let media = &self.media;
        if media.engine == MediaEngine::Embedded {
            media.judge(problems);
        }
    }

    /// What works but is hardly meant.
    fn oddities(&self, sources: &Sources) -> Vec<String> {
        let mut oddities: Vec<String> = sources
            .unknown()
            .iter()
            .map(|name| format!("{name} is set, but no setting has this name: is it misspelt?"))
            .collect();
        if self.trunks.is_empty() {
            oddities.push(
                "there is no [[trunk]]: every call to a number is refused with calls.no_route"
                    .to_owned(),
            );
        }
        for trunk in &self.trunks {
            for prefix in trunk.prefixes.iter().filter(|prefix| !self.is_rated(prefix)) {
                oddities.push(format!(
                    "{prefix} of trunk {} has no [[rate]]: calls to it are refused with \
                     calls.no_rate",
                    trunk.name
                ));
            }
        }
        oddities
    }
}

impl Media {
    fn judge(&self, problems: &mut Problems) {
        if self.addr.is_unspecified() && self.public_addr.is_none() {
            problems.add(
                settings::MEDIA_PUBLIC_ADDR.name,
                format!("is not set while SAUTIKIT_MEDIA_ADDR is {}", self.addr),
                settings::MEDIA_PUBLIC_ADDR.shape,
                "Set it, or name one interface's address in SAUTIKIT_MEDIA_ADDR",
            );
        }
        if self.trunk_ports.contains(&self.browser_port) {
            problems.add(
                settings::MEDIA_BROWSER_PORT.name,
                format!("is {}, inside SAUTIKIT_MEDIA_PORTS", self.browser_port),
                settings::MEDIA_BROWSER_PORT.shape,
                settings::MEDIA_BROWSER_PORT.cure,
            );
        }
    }
}

/// Whether one listener would take the other's port.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    same_ip && one.port() == other.port() && one.port() != 0
}

/// Takes settings out of the sources and collects what does not fit. Where a value is refused, a
/// stand-in takes its place: the configuration is then not handed out.
struct Reader<'a> {
    sources: &'a Sources,
    problems: Problems,
}

impl<'a> Reader<'a> {
    fn value<T>(&mut self, setting: &Setting, read: impl Fn(&str) -> Option<T>) -> T {
        self.optional(setting, &read)
            .or_else(|| setting.default.and_then(&read))
            .expect("a setting read as a value has a default of its own shape")
    }

    fn optional<T>(&mut self, setting: &Setting, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.sources.text(setting)?;
        let value = read(&text);
        if value.is_none() {
            let found = format!("is {}", quoted(&text));
            self.problems.add(setting.name, found, setting.shape, setting.cure);
        }
        value
    }

    fn media(&mut self) -> Media {
        Media {
            engine: self.value(&settings::MEDIA, |text| match text.trim() {
                "embedded" => Some(MediaEngine::Embedded),
                "bypass" => Some(MediaEngine::Bypass),
                _ => None,
            }),
            addr: self.value(&settings::MEDIA_ADDR, shapes::ip),
            public_addr: self.optional(&settings::MEDIA_PUBLIC_ADDR, shapes::public_ip),
            trunk_ports: self.value(&settings::MEDIA_PORTS, shapes::ports),
            browser_port: self.value(&settings::MEDIA_BROWSER_PORT, shapes::port_or_any),
            pause: self.value(&settings::MEDIA_PAUSE_MS, |text| {
                shapes::whole(text, 0..=10).map(Duration::from_millis)
            }),
        }
    }

    fn log(&mut self) -> Log {
        Log {
            format: self.value(&settings::LOG_FORMAT, |text| match text.trim() {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            }),
            filter: self.value(&settings::LOG, |text| {
                crate::logging::is_filter(text).then(|| text.to_owned())
            }),
        }
    }

    fn signing_keys(&mut self) -> (SigningKey, Option<SigningKey>) {
        let active = self.signing_key(&settings::SIGNING_KEY);
        if active.is_none() && !self.sources.has_failed(&settings::SIGNING_KEY) {
            let setting = &settings::SIGNING_KEY;
            self.problems.add(setting.name, "is not set", setting.shape, setting.cure);
        }
        let next = self.signing_key(&settings::SIGNING_KEY_NEXT);
        if active.is_some() && active == next {
            let setting = &settings::SIGNING_KEY_NEXT;
            let found = "is the same as SAUTIKIT_SIP_TOKEN_SIGNING_KEY";
            self.problems.add(setting.name, found, setting.shape, setting.cure);
        }
        let secret = |key: &[u8]| SecretBox::new(Box::from(key));
        (secret(active.unwrap_or_default()), next.map(secret))
    }

    fn signing_key(&mut self, setting: &Setting) -> Option<&'a [u8]> {
        let key = self.sources.bytes(setting)?;
        if !SIGNING_KEY_BYTES.contains(&key.len()) {
            let found = format!("is {} bytes long", key.len());
            self.problems.add(setting.name, found, setting.shape, setting.cure);
        }
        Some(key)
    }

    fn database_url(&mut self) -> SecretString {
        let setting = &settings::DATABASE_URL;
        let text = self.sources.text(setting);
        let url = text.as_deref().or(setting.default).unwrap_or_default().trim();
        if !url.starts_with("sqlite:") {
            // The value stays out of the message: it may hold a password.
            let scheme = url.split(':').next().filter(|scheme| url.len() > scheme.len());
            let found = match scheme {
                Some("postgres" | "postgresql") => {
                    "names PostgreSQL, which this version does not serve"
                }
                Some(_) => "names a database of a kind that is not served",
                None => "is no address of a database",
            };
            self.problems.add(setting.name, found, setting.shape, setting.cure);
        }
        SecretString::from(url)
    }
}

#[cfg(test)]
mod tests;
