//! The TOML file: `[[trunk]]`, `[[rate]]` and `[limits]`. Each key is tried alone, over a row that
//! is good without it, so that everything that is wrong is told and not the first mistake of a row.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sautikit_core::limits::Limits;
use sautikit_core::rate::{CardError, RateCard, RateRow};
use sautikit_sip::uri::{Scheme, Uri};
use serde::Deserialize;
use toml::{Table, Value};

use super::problem::{Problems, quoted};
use super::sources::ConfigFile;

const SIP_PORT: u16 = 5060;
const TRUNK_NAME_CHARS_MAX: usize = 64;
const NUMBER_DIGITS_MAX: usize = 15;

/// A carrier: a static UDP peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trunk {
    /// `[A-Za-z0-9._-]{1,64}`, unique: the name in call rows, metrics and logs.
    pub(crate) name: String,
    /// As written: `sip:127.0.0.1:5080;transport=udp`.
    pub(crate) uri: String,
    /// Where it is.
    pub(crate) peer: SocketAddr,
    /// What it takes: `+254`, or `+` for every number.
    pub(crate) prefixes: Vec<String>,
}

/// What the file says, or the defaults where there is none.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) trunks: Vec<Trunk>,
    pub(super) rates: RateCard,
    pub(super) limits: Limits,
    /// Keys of `[limits]` that the operator wrote.
    pub(super) limits_given: BTreeSet<String>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            trunks: Vec::new(),
            rates: RateCard::standard(),
            limits: Limits::default(),
            limits_given: BTreeSet::new(),
        }
    }
}

/// Reads the whole file and adds everything that is wrong in it to `problems`; the tables are fit
/// for use only where nothing was added.
pub(super) fn parse(file: &ConfigFile, problems: &mut Problems) -> Tables {
    let mut tables = Tables::default();
    let mut keys: Table = match file.text.parse() {
        Ok(keys) => keys,
        Err(error) => {
            syntax(file, &error, problems);
            return tables;
        }
    };
    let path = &file.path;
    for (place, row) in rows(path, "trunk", keys.remove("trunk"), problems) {
        tables.trunks.extend(Kind::of_trunks().read(&place, row, trunk, problems));
    }
    let cards = rows(path, "rate", keys.remove("rate"), problems);
    if !cards.is_empty() {
        tables.rates = rates(path, cards, problems);
    }
    match keys.remove("limits") {
        None => {}
        Some(Value::Table(row)) => {
            tables.limits_given = row.keys().cloned().collect();
            let read = |row: Table| row.try_into::<Limits>().map_err(message);
            let limits = Kind::of_limits().read(&format!("{path}, [limits]"), row, read, problems);
            tables.limits = limits.unwrap_or_default();
        }
        Some(value) => problems.add(
            format!("{path}, limits"),
            format!("is {}", shown(&value)),
            "a table",
            "Write it as [limits] with one key to a line",
        ),
    }
    for key in keys.keys() {
        let shape = "one of [[trunk]], [[rate]] and [limits]";
        problems.add(format!("{path}, {key}"), "is not known", shape, SPELLING);
    }
    unique_names(path, &tables.trunks, problems);
    tables
}

fn syntax(file: &ConfigFile, error: &toml::de::Error, problems: &mut Problems) {
    let start = error.span().map_or(0, |span| span.start);
    let line = file.text.get(..start).unwrap_or_default().matches('\n').count() + 1;
    problems.add(
        format!("{}, line {line}", file.path),
        format!("cannot be read ({})", error.message().replace('\n', " ")),
        "TOML",
        "Compare it with the example in docs/operations.md",
    );
}

/// The rows of an array of tables, each with its place, numbered from one as a reader counts them.
fn rows(
    path: &str,
    key: &str,
    value: Option<Value>,
    problems: &mut Problems,
) -> Vec<(String, Table)> {
    let mut rows = Vec::new();
    let items = match value {
        None => return rows,
        Some(Value::Array(items)) => items,
        Some(other) => vec![other],
    };
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Value::Table(row) => rows.push((format!("{path}, [[{key}]] {}", index + 1), row)),
            other => problems.add(
                format!("{path}, {key}"),
                format!("is {}", shown(&other)),
                "an array of tables",
                format!("Write each as [[{key}]] with one key to a line"),
            ),
        }
    }
    rows
}

const SPELLING: &str = "Correct its spelling or remove it";

/// A key of a row: its name, the rest of "it must be …", and the cure.
type Key = (&'static str, &'static str, &'static str);

/// A kind of row: its keys, and the least row that is good.
struct Kind {
    keys: &'static [Key],
    least: Table,
}

impl Kind {
    fn of_trunks() -> Self {
        const KEYS: &[Key] = &[
            (
                "name",
                "1 to 64 letters, digits, dots, hyphens and underscores, in quotes",
                "Give the carrier a short name for logs and call records",
            ),
            (
                "uri",
                "a SIP URI with an IP address and UDP, in quotes",
                "Write it as \"sip:203.0.113.9:5060;transport=udp\"",
            ),
            (
                "prefixes",
                "a list of number prefixes with their plus",
                "Write it as [\"+254\"], or [\"+\"] for every number",
            ),
        ];
        let least = Table::from_iter([
            ("name".to_owned(), Value::from("a")),
            ("uri".to_owned(), Value::from("sip:127.0.0.1")),
            ("prefixes".to_owned(), Value::from(vec!["+"])),
        ]);
        Self { keys: KEYS, least }
    }

    fn of_rates() -> Self {
        const AMOUNT: &str = "a whole number of minor units, 0 or more";
        const KEYS: &[Key] = &[
            ("prefix", "a number prefix with its plus, in quotes", "Write it as \"+254\""),
            (
                "per_minute_minor",
                "minor units a minute, 0 or more: a whole number, or a decimal in quotes",
                "Write KES 3.00 as 300, and half a cent more as \"300.5\"",
            ),
            (
                "increment_seconds",
                "a whole number of seconds from 1 to 3600",
                "Write 1 to bill by the second, or 60 by the minute",
            ),
            ("minimum_minor", AMOUNT, "Write KES 1.00 as 100"),
            ("connection_fee_minor", AMOUNT, "Write KES 1.00 as 100"),
        ];
        let least = Table::from_iter([
            ("prefix".to_owned(), Value::from("+1")),
            ("per_minute_minor".to_owned(), Value::from(0)),
        ]);
        Self { keys: KEYS, least }
    }

    /// Every limit has the same shape, and none is required.
    fn of_limits() -> Self {
        Self { keys: &[], least: Table::new() }
    }

    /// Reads `row`, or says all that is wrong with it.
    fn read<T>(
        &self,
        place: &str,
        row: Table,
        read: impl Fn(Table) -> Result<T, String>,
        problems: &mut Problems,
    ) -> Option<T> {
        let mut wrong = false;
        for (key, value) in &row {
            let mut alone = self.least.clone();
            alone.insert(key.clone(), value.clone());
            if let Err(error) = read(alone) {
                wrong = true;
                let (shape, cure) = self.about(key);
                let found = format!("is {} ({error})", shown(value));
                problems.add(format!("{place}, {key}"), found, shape, cure);
            }
        }
        for key in self.least.keys().filter(|key| !row.contains_key(*key)) {
            wrong = true;
            let (shape, cure) = self.about(key);
            problems.add(format!("{place}, {key}"), "is missing", shape, cure);
        }
        if wrong { None } else { read(row).ok() }
    }

    fn about(&self, key: &str) -> (String, &'static str) {
        if let Some((_, shape, cure)) = self.keys.iter().find(|(name, ..)| *name == key) {
            return ((*shape).to_owned(), cure);
        }
        if self.keys.is_empty() {
            let shape = "one of the limits, with a whole number, 0 (none) or more";
            return (shape.to_owned(), "See the table of limits in docs/operations.md");
        }
        let names: Vec<&str> = self.keys.iter().map(|(name, ..)| *name).collect();
        (format!("one of {}", names.join(", ")), SPELLING)
    }
}

/// A value as an error shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn message(error: toml::de::Error) -> String {
    error.message().replace('\n', " ")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrunkRow {
    name: String,
    uri: String,
    prefixes: Vec<String>,
}

fn trunk(row: Table) -> Result<Trunk, String> {
    let TrunkRow { name, uri, prefixes } = row.try_into().map_err(message)?;
    if !is_name(&name) {
        return Err("no name".to_owned());
    }
    if prefixes.is_empty() || !prefixes.iter().all(|prefix| is_prefix(prefix)) {
        return Err("no prefixes".to_owned());
    }
    let peer = peer(&uri)?;
    Ok(Trunk { name, uri, peer, prefixes })
}

fn is_name(name: &str) -> bool {
    (1..=TRUNK_NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// `+`, or `+` and up to 15 digits of which the first is not 0.
fn is_prefix(prefix: &str) -> bool {
    let Some(digits) = prefix.strip_prefix('+') else { return false };
    digits.len() <= NUMBER_DIGITS_MAX
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn peer(uri: &str) -> Result<SocketAddr, &'static str> {
    let uri = Uri::parse(uri).map_err(|_| "no URI")?;
    if uri.scheme != Scheme::Sip {
        return Err("another scheme than sip");
    }
    if uri.param("transport").is_some_and(|transport| !transport.eq_ignore_ascii_case("udp")) {
        return Err("another transport than udp");
    }
    let ip = uri.ip().filter(|ip| !ip.is_unspecified()).ok_or("no IP address")?;
    Ok(SocketAddr::new(ip, uri.port.unwrap_or(SIP_PORT)))
}

fn unique_names(path: &str, trunks: &[Trunk], problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for trunk in trunks {
        if !seen.insert(trunk.name.to_ascii_lowercase()) {
            problems.add(
                format!("{path}, [[trunk]] name"),
                format!("is {} twice", quoted(&trunk.name)),
                "different for every trunk",
                "Rename one of the two",
            );
        }
    }
}

/// The prefix of a row, where it is one.
fn own_prefix(row: &Table) -> Option<Value> {
    let prefix = row.get("prefix")?;
    let mut alone = Kind::of_rates().least;
    alone.insert("prefix".to_owned(), prefix.clone());
    rate(alone, true).is_ok().then(|| prefix.clone())
}

/// A card of one row judges all that a row alone can have wrong. Unless `named`, its prefix is not
/// the file's, and no error may speak of it.
fn rate(row: Table, named: bool) -> Result<RateRow, String> {
    let row: RateRow = row.try_into().map_err(message)?;
    match RateCard::from_rows(std::slice::from_ref(&row)) {
        Ok(_) => Ok(row),
        Err(CardError::Rate { error, .. }) if !named => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn rates(path: &str, cards: Vec<(String, Table)>, problems: &mut Problems) -> RateCard {
    let rows: Vec<RateRow> = cards
        .into_iter()
        .filter_map(|(place, row)| {
            let mut kind = Kind::of_rates();
            // The row's own prefix, so that what is wrong beside it is told by its name.
            let named = own_prefix(&row).map(|prefix| kind.least.insert("prefix".into(), prefix));
            let read = |row| rate(row, named.is_some());
            kind.read(&place, row, read, problems)
        })
        .collect();
    RateCard::from_rows(&rows).unwrap_or_else(|error| {
        problems.add(
            format!("{path}, [[rate]]"),
            format!("cannot be used ({error})"),
            "one row for each prefix, 100000 at most",
            "Remove the rows that are too many",
        );
        RateCard::standard()
    })
}
