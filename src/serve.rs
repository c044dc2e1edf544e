//! `serve`: from a whole configuration to a running gateway, and back to nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use sautikit_actors::{Addresses, Base, Gateway, Listeners, Rules, Settings, StartError, Trunk};
use sautikit_core::time::UnixMicros;
use sautikit_media::{Engine, EngineKind};
use sautikit_net::keys::{KeyError, Keys, SigningKey};
use sautikit_net::listen::BindError;
use sautikit_store::{OpenError, Role, Store, Writer, WriterTask};
use secrecy::{ExposeSecret, SecretSlice};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::capacity;
use crate::config::{Config, LogFormat, MediaEngine, Sources};
use crate::drain;

/// Threads of the runtime for database, HTTP and DNS; calls and media have their own.
const RUNTIME_THREADS: usize = 2;

/// Why a gateway did not start. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Media(#[from] sautikit_media::StartError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the last commits were not taken; the next start closes what was left of their calls")]
    NotCommitted,
    #[error("metrics cannot be kept: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("the signing key is of no use: {0}")]
    Key(#[from] KeyError),
    #[error("the system refused a runtime, a signal or a socket: {0}")]
    System(#[from] std::io::Error),
}

/// What a caller of [`run`] adds to a plain gateway.
pub(crate) trait Extras {
    /// Where everything listens is known and nothing runs yet: more HTTP routes, and the public
    /// WebSocket address where the configuration names none.
    fn routes(&mut self, addresses: &Addresses) -> (Option<Router>, Option<String>);
    /// The gateway takes calls.
    fn started(&mut self, addresses: &Addresses);
    /// The configuration as it stands now, for a SIGHUP.
    fn sources(&self) -> Sources;
    /// How a Ctrl-C ends it: the operator's drain, or at once.
    fn ends_at_once(&self) -> bool;
}

/// Nothing more than a gateway.
struct Plain {
    /// The command line's `--config`.
    flag: Option<PathBuf>,
}

impl Extras for Plain {
    fn routes(&mut self, _addresses: &Addresses) -> (Option<Router>, Option<String>) {
        (None, None)
    }

    fn started(&mut self, addresses: &Addresses) {
        tracing::info!(
            http = %addresses.http,
            ws = %addresses.ws,
            sip = %addresses.sip,
            admin = %addresses.admin,
            "ready"
        );
    }

    fn sources(&self) -> Sources {
        Sources::of_process(self.flag.as_deref())
    }

    fn ends_at_once(&self) -> bool {
        false
    }
}

/// The command.
pub(crate) fn serve(flag: Option<PathBuf>) -> ExitCode {
    match Config::parse(&Sources::of_process(flag.as_deref())) {
        Ok(config) => {
            let format = config.log.format;
            finish(run(config, &mut Plain { flag }), format)
        }
        Err(problems) => crate::refuse(&problems),
    }
}

/// One line for the operator, or one of JSON for whoever reads the log, and the exit code.
pub(crate) fn finish(ended: Result<(), ServeError>, format: LogFormat) -> ExitCode {
    let Err(error) = ended else { return ExitCode::SUCCESS };
    match format {
        LogFormat::Text => eprintln!("sautikit-gateway: {error}"),
        LogFormat::Json => eprintln!("{}", fatal_line(&error)),
    }
    ExitCode::FAILURE
}

/// As a line of the log, whatever the log's filter lets through.
fn fatal_line(error: &ServeError) -> serde_json::Value {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = UnixMicros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX));
    serde_json::json!({
        "timestamp": now.to_rfc3339(), "level": "ERROR", "message": error.to_string(),
        "target": "sautikit_gateway::serve",
    })
}

/// Runs a gateway until SIGTERM or Ctrl-C.
pub(crate) fn run(mut config: Config, extras: &mut impl Extras) -> Result<(), ServeError> {
    crate::logging::start(&config.log);
    let metrics = crate::measures::start()?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let listeners = Listeners::bind(&Addresses {
        http: config.http_addr,
        admin: config.admin_addr,
        ws: config.ws_addr,
        sip: config.sip_udp_addr,
    })?;
    capacity::fit(&mut config);
    // Before the database: a port that is taken leaves no file behind.
    let media = Engine::start(media_config(&config))?;
    let runtime = runtime()?;
    // The store's tasks live on the runtime that outlives every actor.
    let (store, writer) = runtime.block_on(async {
        let store = sautikit_store::open(config.database_url.expose_secret(), Role::Serve).await?;
        let writer = store.open_writer().await?;
        Ok::<_, OpenError>((store, writer))
    })?;
    let opened = Opened { listeners, media, metrics, store, writer, runtime: &runtime };
    let ended = actix::System::new().block_on(live(config, opened, extras));
    // What still waits for a socket or the disk is not waited for: all that matters is committed.
    runtime.shutdown_background();
    ended
}

fn runtime() -> Result<Runtime, std::io::Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("store-http")
        .enable_all()
        .build()
}

/// What is open before any actor is.
struct Opened<'a> {
    listeners: Listeners,
    media: Engine,
    metrics: PrometheusHandle,
    store: Store,
    writer: (Writer, WriterTask),
    runtime: &'a Runtime,
}

async fn live(
    config: Config,
    opened: Opened<'_>,
    extras: &mut impl Extras,
) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let Opened { listeners, media, metrics, store, writer, runtime } = opened;
    let addresses = listeners.addresses()?;
    let (routes, ws_url) = extras.routes(&addresses);
    let grace = config.drain_grace;
    let mut settings = settings(config, addresses.sip.port())?;
    settings.ws_url = settings.ws_url.or(ws_url);
    let base = Base {
        listeners,
        store: store.clone(),
        writer,
        media,
        metrics,
        runtime: runtime.handle().clone(),
        extra: routes,
    };
    let gateway = Gateway::start(settings, base).await?;
    extras.started(&addresses);
    let at_once = loop {
        tokio::select! {
            _ = terminate.recv() => break false,
            _ = interrupt.recv() => break extras.ends_at_once(),
            _ = hang_up.recv() => reload(&gateway, &|| extras.sources()),
        }
    };
    let grace = if at_once { std::time::Duration::ZERO } else { grace };
    let committed = drain::drain(&gateway, grace, &mut interrupt).await;
    store.close().await;
    if committed { Ok(()) } else { Err(ServeError::NotCommitted) }
}

fn media_config(config: &Config) -> sautikit_media::Config {
    let media = &config.media;
    let limits = &config.limits;
    sautikit_media::Config {
        engine: match media.engine {
            MediaEngine::Embedded => EngineKind::Embedded,
            MediaEngine::Bypass => EngineKind::Bypass,
        },
        workers: 1,
        bind_addr: media.addr,
        public_addr: media.public_addr,
        browser_port_first: media.browser_port,
        trunk_ports: media.trunk_ports.clone(),
        pause: media.pause,
        silence_both: limits.media_silence_both_seconds.seconds().unwrap_or_default(),
        silence_one: limits.media_silence_one_seconds.seconds().unwrap_or_default(),
    }
}

/// The signing keys as they are configured.
fn keys(config: &Config) -> Result<(SigningKey, Option<SigningKey>), KeyError> {
    let key = |secret: &crate::config::SigningKey| {
        SigningKey::from_value(&SecretSlice::from(secret.expose_secret().to_vec()))
    };
    let next = config.signing_key_next.as_ref().map(key).transpose()?;
    Ok((key(&config.signing_key)?, next))
}

/// What may change while the gateway runs.
fn rules(config: &Config) -> Rules {
    let trunks =
        config.trunks.iter().zip(0..).map(|(trunk, order)| {
            Trunk::new(&trunk.name, trunk.peer, trunk.prefixes.clone(), order)
        });
    let origins = config.allowed_origins.clone();
    Rules::new(origins, config.limits.clone(), config.rates.clone(), trunks.collect())
}

/// SIGHUP: reads the configuration again. One that is wrong changes nothing.
fn reload(gateway: &Gateway, again: &dyn Fn() -> Sources) {
    let mut config = match Config::parse(&again()) {
        Ok(config) => config,
        Err(problems) => {
            for problem in problems.iter() {
                tracing::error!("the configuration stays as it was: {problem}");
            }
            return;
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    capacity::fit(&mut config);
    match keys(&config) {
        Ok((active, next)) => {
            let reloaded = gateway.reload(active, next, rules(&config));
            tracing::info!(keys = ?reloaded, "the configuration was read again");
        }
        Err(error) => tracing::error!("the configuration stays as it was: {error}"),
    }
}

fn settings(config: Config, sip_port: u16) -> Result<Settings, ServeError> {
    let (active, next) = keys(&config)?;
    let rules = rules(&config);
    Ok(Settings {
        domain: config.sip_domain,
        ws_url: config.ws_url,
        sip_public: config
            .sip_public_addr
            .map(|(ip, port)| SocketAddr::new(ip, port.unwrap_or(sip_port))),
        keys: Keys::new(active, next),
        rules,
        shards: shards(),
    })
}

/// One arbiter a core, but one core for the writer and the media workers.
fn shards() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}
