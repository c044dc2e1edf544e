//! Tables of settings and what comes of them.

use secrecy::ExposeSecret;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn sources(env: &[(&str, &str)], file: Option<&str>) -> Sources {
    let mut env: Vec<(String, Vec<u8>)> =
        env.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    if file.is_some() {
        env.push(("SAUTIKIT_CONFIG".to_owned(), b"gateway.toml".to_vec()));
    }
    Sources::gather(env, None, |_, _| Ok(file.unwrap_or_default().as_bytes().to_vec()))
}

/// The configuration of a key, `env` and `file`.
fn parse(env: &[(&str, &str)], file: &str) -> Result<Config, Problems> {
    let mut all = vec![("SAUTIKIT_SIP_TOKEN_SIGNING_KEY", KEY)];
    all.extend(env);
    Config::parse(&sources(&all, Some(file)))
}

/// The lines of all that is wrong.
fn problems(env: &[(&str, &str)], file: &str) -> Vec<String> {
    match parse(env, file) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn a_key_is_all_that_a_start_needs() {
    let config = Config::parse(&sources(&[("SAUTIKIT_SIP_TOKEN_SIGNING_KEY", KEY)], None)).unwrap();
    assert_eq!(config.http_addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.ws_addr.to_string(), "127.0.0.1:5066");
    assert_eq!(config.sip_udp_addr.to_string(), "127.0.0.1:5060");
    assert_eq!(config.admin_addr.to_string(), "127.0.0.1:9464");
    assert_eq!(config.media.engine, MediaEngine::Embedded);
    assert_eq!(config.media.trunk_ports, 20000..=29999);
    assert_eq!(config.media.browser_port, 19000);
    assert_eq!(config.media.pause, Duration::from_millis(2));
    assert_eq!(config.drain_grace, Duration::from_secs(120));
    assert_eq!(config.sip_domain, "sip.sautikit.local");
    assert_eq!(config.database_url.expose_secret(), "sqlite://./data/sautikit.db?mode=rwc");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.signing_key.expose_secret(), KEY.as_bytes());
    assert!(config.signing_key_next.is_none() && config.allowed_origins == Origins::any());
    assert!(config.warnings[0].contains("[[trunk]]"), "{:?}", config.warnings);
}

#[test]
fn every_setting_that_does_not_fit_is_named_with_its_shape() {
    let wrong = [
        ("SAUTIKIT_HTTP_ADDR", "localhost:8080"),
        ("SAUTIKIT_WS_ADDR", "5066"),
        ("SAUTIKIT_SIP_UDP_ADDR", "127.0.0.1"),
        ("SAUTIKIT_ADMIN_ADDR", "127.0.0.1:99999"),
        ("SAUTIKIT_WS_URL", "https://calls.example.com"),
        ("SAUTIKIT_SIP_PUBLIC_ADDR", "sip.example.com"),
        ("SAUTIKIT_SIP_DOMAIN", "sip example"),
        ("SAUTIKIT_ALLOWED_ORIGINS", "*"),
        ("SAUTIKIT_MEDIA", "rtpengine"),
        ("SAUTIKIT_MEDIA_ADDR", "eth0"),
        ("SAUTIKIT_MEDIA_PUBLIC_ADDR", "0.0.0.0"),
        ("SAUTIKIT_MEDIA_PORTS", "29999-20000"),
        ("SAUTIKIT_MEDIA_BROWSER_PORT", "80"),
        ("SAUTIKIT_MEDIA_PAUSE_MS", "-1"),
        ("SAUTIKIT_DRAIN_GRACE_SECONDS", "two minutes"),
        ("SAUTIKIT_LOG", "a=loud"),
        ("SAUTIKIT_LOG_FORMAT", "xml"),
        ("DATABASE_URL", "postgres://user:secret@db/x"),
    ];
    for (name, value) in wrong {
        let lines = problems(&[(name, value)], "");
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        let setting = settings::ALL.iter().find(|setting| setting.name == name).unwrap();
        for part in [name, setting.shape, setting.cure] {
            assert!(lines[0].contains(part), "{part} is not in {}", lines[0]);
        }
    }
    assert_eq!(problems(&wrong, "").len(), wrong.len(), "all at once");
}

#[test]
fn the_database_password_is_in_no_message() {
    let lines = problems(&[("DATABASE_URL", "postgres://user:hunter2@db/x")], "");
    assert!(lines[0].contains("PostgreSQL") && !lines[0].contains("hunter2"), "{lines:?}");
}

#[test]
fn a_missing_or_short_key_tells_how_to_make_one_and_never_shows_it() {
    let parse = |env: &[(&str, &str)]| Config::parse(&sources(env, None)).unwrap_err().to_string();
    let missing = parse(&[]);
    assert!(missing.contains("SAUTIKIT_SIP_TOKEN_SIGNING_KEY is not set"), "{missing}");
    assert!(missing.contains("openssl rand"), "{missing}");
    let short = parse(&[("SAUTIKIT_SIP_TOKEN_SIGNING_KEY", "too-short-a-key")]);
    assert!(short.contains("is 15 bytes long") && !short.contains("too-short"), "{short}");
    assert_eq!(short.lines().count(), 1, "{short}");
    let next = problems(&[("SAUTIKIT_SIP_TOKEN_SIGNING_KEY_NEXT", "short")], "");
    assert!(next[0].contains("_NEXT is 5 bytes long"), "{next:?}");
}

#[test]
fn a_key_of_any_bytes_is_taken_as_it_is() {
    let mut env = vec![("SAUTIKIT_SIP_TOKEN_SIGNING_KEY".to_owned(), vec![0xff; 32])];
    env.push(("SAUTIKIT_SIP_TOKEN_SIGNING_KEY_NEXT".to_owned(), vec![0xfe; 33]));
    let sources = Sources::gather(env, None, |_, _| Ok(Vec::new()));
    let config = Config::parse(&sources).unwrap();
    assert_eq!(config.signing_key.expose_secret(), [0xff; 32]);
    assert_eq!(config.signing_key_next.unwrap().expose_secret(), [0xfe; 33]);
}

#[test]
fn the_next_key_is_another_one() {
    let lines = problems(&[("SAUTIKIT_SIP_TOKEN_SIGNING_KEY_NEXT", KEY)], "");
    assert!(lines[0].contains("is the same as"), "{lines:?}");
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("SAUTIKIT_WS_ADDR", "0.0.0.0:8080")], "which SAUTIKIT_HTTP_ADDR takes as well"),
        (&[("SAUTIKIT_SIP_UDP_ADDR", "0.0.0.0:5060")], "SAUTIKIT_SIP_PUBLIC_ADDR is not set"),
        (&[("SAUTIKIT_MEDIA_ADDR", "0.0.0.0")], "SAUTIKIT_MEDIA_PUBLIC_ADDR is not set"),
        (&[("SAUTIKIT_MEDIA_BROWSER_PORT", "20000")], "inside SAUTIKIT_MEDIA_PORTS"),
        (&[("SAUTIKIT_ADMIN_ADDR", "127.0.0.1:5066")], "which SAUTIKIT_WS_ADDR takes as well"),
    ];
    for (env, wanted) in cases {
        let lines = problems(env, "");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(wanted), "{lines:?}");
    }
    let any_port = [("SAUTIKIT_WS_ADDR", "127.0.0.1:0"), ("SAUTIKIT_HTTP_ADDR", "127.0.0.1:0")];
    assert!(parse(&any_port, "").is_ok(), "port 0 is any free one");
    let bypass = [("SAUTIKIT_MEDIA", "bypass"), ("SAUTIKIT_MEDIA_ADDR", "0.0.0.0")];
    assert!(parse(&bypass, "").is_ok(), "without media its addresses do not matter");
}

#[test]
fn a_misspelt_variable_is_a_warning() {
    let config = parse(&[("SAUTIKIT_HTP_ADDR", "x")], "").unwrap();
    assert!(config.warnings[0].contains("SAUTIKIT_HTP_ADDR"), "{:?}", config.warnings);
}

#[test]
fn the_file_gives_trunks_rates_and_limits() {
    let config = parse(
        &[],
        r#"
        [[trunk]]
        name = "carrier"
        uri = "sip:127.0.0.1:5080;transport=udp"
        prefixes = ["+254", "+"]
        [[trunk]]
        name = "other"
        uri = "sip:192.0.2.1"
        prefixes = ["+1"]

        [[rate]]
        prefix = "+254"
        per_minute_minor = 600
        increment_seconds = 60
        [[rate]]
        prefix = "+1"
        per_minute_minor = "12.5"
        connection_fee_minor = 7

        [limits]
        calls_max = 5
        sessions_per_workspace = 0
        "#,
    )
    .unwrap();
    assert_eq!(config.trunks[0].peer.to_string(), "127.0.0.1:5080");
    assert_eq!(config.trunks[0].prefixes, ["+254", "+"]);
    assert_eq!(config.trunks[1].peer.to_string(), "192.0.2.1:5060");
    let number = "+254722000001".parse().unwrap();
    let (prefix, rate) = config.rates.longest_with_prefix(&number).unwrap();
    assert_eq!((prefix, rate.increment_seconds()), ("+254", 60));
    assert_eq!(rate.cost(90).unwrap().get(), 1200);
    assert_eq!(config.limits.calls_max.get(), Some(5));
    assert_eq!(config.limits.sessions_per_workspace.get(), None);
    assert_eq!(config.limits.calls_per_workspace.get(), Some(100));
    assert!(config.is_limit_given("calls_max") && !config.is_limit_given("sessions_max"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn a_prefix_that_no_rate_touches_is_a_warning() {
    let warnings = |prefix: &str| {
        let trunk = "[[trunk]]\nname = \"a\"\nuri = \"sip:127.0.0.1\"\n";
        parse(&[], &format!("{trunk}prefixes = [\"{prefix}\"]\n")).unwrap().warnings
    };
    for prefix in ["+", "+25", "+254", "+254722"] {
        assert!(warnings(prefix).is_empty(), "{prefix}");
    }
    let found = warnings("+1");
    assert!(found[0].contains("+1 of trunk a has no [[rate]]"), "{found:?}");
}

#[test]
fn every_mistake_of_the_file_is_told_with_its_place() {
    let trunk = "[[trunk]]\nname = \"a\"\nuri = \"sip:127.0.0.1\"\nprefixes = [\"+\"]\n";
    let rate = "[[rate]]\nprefix = \"+1\"\nper_minute_minor = 3\n";
    let cases: Vec<(String, &[&str])> = vec![
        ("[[trunk]\n".into(), &["gateway.toml, line 1 cannot be read"]),
        ("trunk = 1\n".into(), &["gateway.toml, trunk is 1"]),
        ("[[trunk]]\n".into(), &["1, name is missing", "prefixes is missing", "uri is missing"]),
        (format!("{trunk}weight = 1\n"), &["[[trunk]] 1, weight is 1 (unknown field"]),
        (format!("{trunk}{trunk}"), &["[[trunk]] name is \"a\" twice"]),
        (trunk.replace("\"a\"", "\"a b\""), &["name is \"a b\" (no name); it must be 1 to 64"]),
        (trunk.replace("127.0.0.1", "sip.example.com"), &["(no IP address); it must be a SIP URI"]),
        (trunk.replace("127.0.0.1", "1.2.3.4;transport=tls"), &["(another transport than udp)"]),
        (trunk.replace("sip:", "tel:"), &["(another scheme than sip)"]),
        (trunk.replace("127.0.0.1", "1.2.3.4:0"), &["(no URI)"]),
        (trunk.replace("[\"+\"]", "[\"254\"]"), &["prefixes is a list (no prefixes)"]),
        (trunk.replace("[\"+\"]", "[]"), &["prefixes is a list (no prefixes)"]),
        (format!("{rate}increment = 1\n"), &["[[rate]] 1, increment is 1 (unknown field"]),
        (format!("{rate}increment_seconds = 0\n"), &["[[rate]] 1, increment_seconds is 0 (rate"]),
        (
            format!("{rate}minimum_minor = -1\nconnection_fee_minor = -2\n"),
            &["connection_fee_minor is -2", "minimum_minor is -1"],
        ),
        (
            rate.replace("+1", "+254").replace("= 3", "= -3"),
            &["[[rate]] 1, per_minute_minor is -3 (rate of prefix \"+254\": per_minute_minor must"],
        ),
        (
            format!("{}minimum_minor = -1\n", rate.replace("+1", "abc")),
            &["minimum_minor is -1 (minimum_minor must not", "prefix is \"abc\" (prefix \"abc\""],
        ),
        (format!("{rate}{rate}"), &["[[rate]] cannot be used (prefix \"+1\" is given twice)"]),
        (rate.replace("= 3", "= 3.5"), &["per_minute_minor is 3.5"]),
        (rate.replace("= 3", "= \"dear\""), &["per_minute_minor is \"dear\""]),
        ("limits = 5\n".into(), &["gateway.toml, limits is 5"]),
        (
            "[limits]\ncalls_max = -1\nsesions_max = 5\n".into(),
            &["[limits], calls_max is -1", "[limits], sesions_max is 5 (unknown field"],
        ),
        ("[limit]\n".into(), &["gateway.toml, limit is not known; it must be one of [[trunk]]"]),
    ];
    for (file, wanted) in cases {
        let lines = problems(&[], &file);
        assert_eq!(lines.len(), wanted.len(), "{file}: {lines:#?}");
        for (line, wanted) in lines.iter().zip(wanted) {
            assert!(line.contains(wanted), "{file}: {wanted} is not in {line}");
        }
    }
}

#[test]
fn environment_and_file_are_judged_in_one_go() {
    let lines = problems(&[("SAUTIKIT_MEDIA", "x")], "[[trunk]]\nname = 1\n[limits]\ny = 1\n");
    assert_eq!(lines.len(), 5, "{lines:#?}");
}

#[test]
fn the_database_alone_needs_no_key() {
    let url = |env: &[(&str, &str)]| Config::database(&sources(env, None));
    assert_eq!(url(&[("DATABASE_URL", "sqlite://x.db")]).unwrap().expose_secret(), "sqlite://x.db");
    assert!(url(&[]).unwrap().expose_secret().starts_with("sqlite://./data/"));
    assert!(url(&[("DATABASE_URL", "data/x.db")]).unwrap_err().to_string().contains("is no addr"));
}

#[test]
fn every_default_fits_its_own_setting() {
    for setting in settings::ALL {
        let Some(default) = setting.default else { continue };
        assert!(problems(&[(setting.name, default)], "").is_empty(), "{}", setting.name);
    }
}

#[test]
fn what_is_printed_hides_secrets_and_reads_back_as_the_same() {
    let env = [("SAUTIKIT_SIP_TOKEN_SIGNING_KEY", KEY), ("SAUTIKIT_MEDIA", "bypass")];
    let text = "[[trunk]]\nname = \"a\"\nuri = \"sip:127.0.0.1\"\nprefixes = [\"+\"]\n[limits]\ncalls_max = 7\n";
    let sources = sources(&env, Some(text));
    let printed = print::print(&sources, &Config::parse(&sources).unwrap());
    assert!(!printed.contains(KEY), "{printed}");
    assert!(printed.contains("SAUTIKIT_SIP_TOKEN_SIGNING_KEY=<hidden, 32 bytes>"), "{printed}");
    assert!(printed.contains("SAUTIKIT_MEDIA=bypass\n"), "{printed}");
    let (_, tables) = printed.split_once("# gateway.toml\n").unwrap();
    let again = parse(&[], tables).unwrap();
    assert_eq!(again.trunks.len(), 1);
    assert_eq!(again.limits.calls_max.get(), Some(7));
    let number = "+254722000001".parse().unwrap();
    assert_eq!(again.rates.longest(&number).unwrap().cost(60).unwrap().get(), 300);
}
