//! Every environment setting: its name, default, shape and cure. The one list from which the
//! reader, `config print` and the error messages are made.

/// One setting of the environment. Each may also be given as a file, named by `<name>_FILE`.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// The value where none is given; `None` where the setting has no default.
    pub(crate) default: Option<&'static str>,
    /// The rest of "it must be …".
    pub(crate) shape: &'static str,
    /// What to do when it does not fit: a sentence without its full stop.
    pub(crate) cure: &'static str,
    /// Its value is never shown.
    pub(crate) secret: bool,
}

const ADDRESS: &str = "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080";
const IP: &str = "an IP address, such as 203.0.113.7";

const fn plain(
    name: &'static str,
    default: &'static str,
    shape: &'static str,
    cure: &'static str,
) -> Setting {
    Setting { name, default: Some(default), shape, cure, secret: false }
}

const fn optional(name: &'static str, shape: &'static str, cure: &'static str) -> Setting {
    Setting { name, default: None, shape, cure, secret: false }
}

pub(crate) const HTTP_ADDR: Setting = plain(
    "SAUTIKIT_HTTP_ADDR",
    "127.0.0.1:8080",
    ADDRESS,
    "Name the address of one interface, or 0.0.0.0 for all",
);
pub(crate) const WS_ADDR: Setting = plain(
    "SAUTIKIT_WS_ADDR",
    "127.0.0.1:5066",
    ADDRESS,
    "Name the address of one interface, or 0.0.0.0 for all",
);
pub(crate) const SIP_UDP_ADDR: Setting = plain(
    "SAUTIKIT_SIP_UDP_ADDR",
    "127.0.0.1:5060",
    ADDRESS,
    "Name the address that carriers reach, or 0.0.0.0 together with SAUTIKIT_SIP_PUBLIC_ADDR",
);
pub(crate) const ADMIN_ADDR: Setting = plain(
    "SAUTIKIT_ADMIN_ADDR",
    "127.0.0.1:9464",
    ADDRESS,
    "Name an address that only operators reach",
);
pub(crate) const MEDIA: Setting = plain(
    "SAUTIKIT_MEDIA",
    "embedded",
    "embedded or bypass",
    "Set it to embedded, unless both sides of every call bring their own media",
);
pub(crate) const MEDIA_ADDR: Setting = plain(
    "SAUTIKIT_MEDIA_ADDR",
    "127.0.0.1",
    IP,
    "Name the address of the interface that audio goes through",
);
pub(crate) const WS_URL: Setting = optional(
    "SAUTIKIT_WS_URL",
    "a WebSocket address, such as wss://calls.example.com",
    "Set it to what browsers connect to, or clear it",
);
pub(crate) const MEDIA_PUBLIC_ADDR: Setting = optional(
    "SAUTIKIT_MEDIA_PUBLIC_ADDR",
    "the IP address under which the world reaches SAUTIKIT_MEDIA_ADDR",
    "Set it to the public address of a 1:1 NAT, or clear it where there is none",
);
pub(crate) const SIP_PUBLIC_ADDR: Setting = optional(
    "SAUTIKIT_SIP_PUBLIC_ADDR",
    "the IP address, with or without a port, under which carriers reach SAUTIKIT_SIP_UDP_ADDR",
    "Set it to the public address, such as 203.0.113.7 or 203.0.113.7:5060, or clear it",
);
pub(crate) const MEDIA_PORTS: Setting = plain(
    "SAUTIKIT_MEDIA_PORTS",
    "20000-29999",
    "two ports from 1024 to 65535, the lower one first, with at least a pair between them",
    "Write them as 20000-29999: each call takes two ports",
);
pub(crate) const MEDIA_BROWSER_PORT: Setting = plain(
    "SAUTIKIT_MEDIA_BROWSER_PORT",
    "19000",
    "a port from 1024 to 65535, or 0 for any free one",
    "Name the first of one port for each media worker, outside SAUTIKIT_MEDIA_PORTS",
);
pub(crate) const MEDIA_PAUSE_MS: Setting = plain(
    "SAUTIKIT_MEDIA_PAUSE_MS",
    "2",
    "a whole number of milliseconds from 0 to 10",
    "Leave it at 2 unless a measurement says otherwise",
);
pub(crate) const DRAIN_GRACE_SECONDS: Setting = plain(
    "SAUTIKIT_DRAIN_GRACE_SECONDS",
    "120",
    "a whole number of seconds from 0 to 86400",
    "Set it to how long a stop may wait for live calls, below the service manager's own limit",
);
pub(crate) const LOG_FORMAT: Setting =
    plain("SAUTIKIT_LOG_FORMAT", "text", "text or json", "Set it to text or json");
pub(crate) const LOG: Setting = plain(
    "SAUTIKIT_LOG",
    "info",
    "a log filter: a level, or a comma list of target=level",
    "Set it to info, or to something like info,sautikit_sip=debug",
);
pub(crate) const ALLOWED_ORIGINS: Setting = optional(
    "SAUTIKIT_ALLOWED_ORIGINS",
    "a comma list of web origins without a path, such as https://app.example.com",
    "List every origin whose pages may call, or clear it to allow all",
);
pub(crate) const SIP_DOMAIN: Setting = plain(
    "SAUTIKIT_SIP_DOMAIN",
    "sip.sautikit.local",
    "a host name of letters, digits, dots and hyphens",
    "Set it to the domain of your addresses of record",
);
pub(crate) const SIGNING_KEY: Setting = Setting {
    name: "SAUTIKIT_SIP_TOKEN_SIGNING_KEY",
    default: None,
    shape: "a secret of 32 to 4096 bytes",
    cure: "Make one with: openssl rand -base64 48 > signing.key; then set SAUTIKIT_SIP_TOKEN_SIGNING_KEY_FILE=signing.key",
    secret: true,
};
pub(crate) const SIGNING_KEY_NEXT: Setting = Setting {
    name: "SAUTIKIT_SIP_TOKEN_SIGNING_KEY_NEXT",
    default: None,
    shape: "a secret of 32 to 4096 bytes, other than SAUTIKIT_SIP_TOKEN_SIGNING_KEY",
    cure: "Make one with: openssl rand -base64 48 > next.key; then set SAUTIKIT_SIP_TOKEN_SIGNING_KEY_NEXT_FILE=next.key, or clear it",
    secret: true,
};
pub(crate) const DATABASE_URL: Setting = Setting {
    name: "DATABASE_URL",
    default: Some(sautikit_store::DEFAULT_URL),
    shape: "an SQLite address, such as sqlite://./data/sautikit.db?mode=rwc",
    cure: "Set it to a path that this user may write, or clear it for ./data/sautikit.db",
    secret: false,
};
pub(crate) const CONFIG: Setting = optional(
    "SAUTIKIT_CONFIG",
    "the path of a TOML file of at most 1 MiB",
    "Set it, or --config, to the file with [[trunk]], [[rate]] and [limits], or clear it",
);

/// All of them, in the order in which `config print` and the handbook show them.
pub(crate) const ALL: [&Setting; 21] = [
    &HTTP_ADDR,
    &WS_ADDR,
    &SIP_UDP_ADDR,
    &ADMIN_ADDR,
    &WS_URL,
    &SIP_PUBLIC_ADDR,
    &SIP_DOMAIN,
    &ALLOWED_ORIGINS,
    &MEDIA,
    &MEDIA_ADDR,
    &MEDIA_PUBLIC_ADDR,
    &MEDIA_PORTS,
    &MEDIA_BROWSER_PORT,
    &MEDIA_PAUSE_MS,
    &SIGNING_KEY,
    &SIGNING_KEY_NEXT,
    &DATABASE_URL,
    &DRAIN_GRACE_SECONDS,
    &LOG,
    &LOG_FORMAT,
    &CONFIG,
];
