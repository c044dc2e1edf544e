//! `config print`: what the gateway would run with, as settings and TOML, secrets hidden.

use std::fmt::Write;

use toml::{Table, Value};

use super::settings::{self, Setting};
use super::{Config, Sources};

/// The settings as lines of an environment file, then the tables as TOML.
pub(crate) fn print(sources: &Sources, config: &Config) -> String {
    let mut text = String::new();
    for setting in settings::ALL {
        let _infallible = writeln!(text, "{}", line(sources, setting));
    }
    let from = sources.file().map_or("the defaults", |file| &file.path);
    let _infallible = write!(text, "\n# {from}\n{}", tables(config));
    text
}

fn line(sources: &Sources, setting: &Setting) -> String {
    let name = setting.name;
    match (sources.bytes(setting), setting.default) {
        (Some(bytes), _) if setting.secret => format!("{name}=<hidden, {} bytes>", bytes.len()),
        (Some(bytes), _) => format!("{name}={}", String::from_utf8_lossy(bytes)),
        (None, Some(default)) => format!("{name}={default}"),
        (None, None) => format!("# {name} is not set"),
    }
}

fn tables(config: &Config) -> String {
    let trunks = config.trunks.iter().map(|trunk| {
        Value::Table(Table::from_iter([
            ("name".to_owned(), Value::from(trunk.name.as_str())),
            ("uri".to_owned(), Value::from(trunk.uri.as_str())),
            ("prefixes".to_owned(), Value::from(trunk.prefixes.clone())),
        ]))
    });
    let rates = config.rates.rows().map(|(prefix, rate)| {
        Value::Table(Table::from_iter([
            ("prefix".to_owned(), Value::from(prefix)),
            ("per_minute_minor".to_owned(), Value::from(rate.per_minute_minor().to_string())),
            ("increment_seconds".to_owned(), Value::from(i64::from(rate.increment_seconds()))),
            ("minimum_minor".to_owned(), Value::from(rate.minimum_minor().get())),
            ("connection_fee_minor".to_owned(), Value::from(rate.connection_fee_minor().get())),
        ]))
    });
    let mut tables = Table::new();
    tables.insert("trunk".to_owned(), Value::Array(trunks.collect()));
    tables.insert("rate".to_owned(), Value::Array(rates.collect()));
    if let Ok(limits) = Value::try_from(&config.limits) {
        tables.insert("limits".to_owned(), limits);
    }
    tables.to_string()
}
