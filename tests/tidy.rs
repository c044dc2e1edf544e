//! House rules that a machine can check: who may import whom, which room alone names a crate, words
//! and sizes of source files, and that documents and dashboards speak of what the code has.
//!
//! A rule that somebody has to break is loosened here, in its table and with the reason, so that
//! the exceptions are seen in one place and their number only falls.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sautikit_core::cause::{CloseCode, HandshakeRefusal, Refusal};
use sautikit_sip::respond::protocol_fault;

/// A room, its folder, and the rooms it may import.
const ROOMS: [(&str, &str, &[&str]); 8] = [
    ("sautikit-core", "core", &[]),
    ("sautikit-sip", "sip", &["sautikit-core"]),
    ("sautikit-media", "media", &["sautikit-core", "sautikit-sip"]),
    ("sautikit-net", "net", &["sautikit-core", "sautikit-sip"]),
    ("sautikit-store", "store", &["sautikit-core"]),
    (
        "sautikit-actors",
        "actors",
        &["sautikit-core", "sautikit-media", "sautikit-net", "sautikit-sip", "sautikit-store"],
    ),
    (
        "sautikit-loadtest",
        "loadtest",
        &["sautikit-core", "sautikit-media", "sautikit-net", "sautikit-sip"],
    ),
    (
        "sautikit-gateway",
        "",
        &[
            "sautikit-actors",
            "sautikit-core",
            "sautikit-media",
            "sautikit-net",
            "sautikit-sip",
            "sautikit-store",
        ],
    ),
];

/// A crate, and the places whose source may name it.
const NAMED_BY: [(&str, &[&str]); 26] = [
    ("actix", &["actors/", "src/"]),
    ("aws_lc_rs", &["media/src/dtls", "media/src/ice", "media/src/srtp", "net/", "src/"]),
    ("axum", &["actors/", "src/demo", "src/serve", "src/web"]),
    ("clap", &["src/", "loadtest/"]),
    ("dashmap", &["actors/"]),
    ("dimpl", &["media/src/dtls"]),
    ("hdrhistogram", &["loadtest/"]),
    ("httparse", &["net/"]),
    ("hyper", &["actors/src/http/actor/", "loadtest/", "tests/"]),
    // The HTTP servers' time limits, which axum's own server does not have.
    ("hyper_util", &["actors/src/http/actor/", "loadtest/", "src/demo", "tests/"]),
    ("indicatif", &["loadtest/"]),
    ("is", &["media/src/ice"]),
    ("jsonwebtoken", &["net/"]),
    ("metrics", &["actors/", "loadtest/", "media/", "net/", "src/", "store/"]),
    ("mio", &["media/"]),
    ("rsip", &["sip/src/reader", "sip/src/message", "sip/src/digest"]),
    ("rust_decimal", &["core/", "store/"]),
    ("rustls", &["net/"]),
    ("hickory_resolver", &["net/"]),
    ("sqlx", &["store/"]),
    // Its cryptography everywhere, the rest of it in peers alone.
    ("str0m", &["media/"]),
    ("tokio", &["actors/", "fuzz/", "loadtest/", "media/", "net/", "src/", "store/", "tests/"]),
    ("tokio_tungstenite", &["net/"]),
    ("toml", &["src/", "loadtest/"]),
    ("tower_http", &["actors/"]),
    ("tracing", &["actors/", "loadtest/", "media/", "net/", "src/", "store/"]),
];

/// `core` holds rules and nothing that moves: all it may depend on.
const CORE_DEPENDENCIES: [&str; 5] = ["proptest", "rust_decimal", "serde", "thiserror", "uuid"];

/// Words that product source does not hold, outside tests, and why.
const BANNED: [(&str, &str); 10] = [
    (".unwrap()", "handle it, or say in `expect` why it cannot happen"),
    ("todo!(", "finish it"),
    ("unimplemented!(", "finish it"),
    ("dbg!(", "use tracing"),
    ("#[ignore", "a test runs, or it is not there"),
    ("TODO", "finish it, or file it where work is filed"),
    ("FIXME", "mend it"),
    ("XXX", "mend it"),
    ("HACK", "mend it"),
    ("not implemented", "write the real thing"),
];

/// What the pure rooms do not hold: time and randomness are arguments there.
const IMPURE: [&str; 4] = ["Instant::now", "SystemTime::now", "std::env::", "std::fs::"];

/// Where words go to standard output: the command line, the demo and the load generator.
const PRINTERS: [&str; 7] =
    ["build.rs", "loadtest/", "src/demo", "src/logging", "src/main", "src/serve", "src/operate"];

/// Files that send without waiting to a mailbox, and what bounds the messages. A mailbox has no
/// bound of its own, so each is thought about once.
const DO_SEND: [(&str, &str); 4] = [
    ("actors/src/call/actor.rs", "once a call each: its end, its release, its last word"),
    ("actors/src/connection/actor.rs", "once a session: it is shut"),
    ("actors/src/gateway.rs", "once a session: the drain"),
    ("actors/src/keepers.rs", "once a wallet and new version of the directory: a second apart"),
];

/// Findings that are allowed to stand: (rule, file, how many). It only shrinks.
const RATCHET: [(&str, &str, usize); 0] = [];

const FILE_LINES_MAX: usize = 800;

#[test]
fn rooms_import_only_the_rooms_below_them() {
    let mut wrong = Vec::new();
    for package in packages() {
        let Some((_, _, allowed)) = ROOMS.iter().find(|(name, ..)| *name == package.name) else {
            wrong.push(format!("{} is a room that ROOMS does not know", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            if dependency.starts_with("sautikit-") && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{} must not import {dependency}", package.name));
            }
        }
    }
    none(&wrong);
}

#[test]
fn a_crate_is_a_dependency_only_where_it_may_be_named() {
    let mut wrong = Vec::new();
    for package in packages() {
        let (_, folder, _) = ROOMS.iter().find(|(name, ..)| *name == package.name).unwrap();
        for (name, places) in NAMED_BY {
            let here = places.iter().any(|place| match *folder {
                "" => place.starts_with("src") || place.starts_with("tests"),
                folder => place.starts_with(&format!("{folder}/")),
            });
            if !here && package.dependencies.contains(&name.replace('_', "-")) {
                wrong.push(format!("{} must not depend on {name}", package.name));
            }
        }
        if package.name == "sautikit-core" {
            let known = |name: &&String| !CORE_DEPENDENCIES.contains(&name.as_str());
            let extra: Vec<_> = package.dependencies.iter().filter(known).collect();
            if !extra.is_empty() {
                wrong.push(format!("core must not depend on {extra:?}"));
            }
        }
    }
    none(&wrong);
}

#[test]
fn a_crate_is_named_only_where_the_house_says() {
    let mut wrong = Vec::new();
    for source in rust_sources() {
        for (name, places) in NAMED_BY {
            if names_crate(&source.code(), name) && !source.is_in(places) {
                wrong.push(format!("{} names {name}", source.path));
            }
        }
        let to_sdp_only = |text: &str| text.starts_with("sdp");
        let code = source.code();
        if source.path.starts_with("media/")
            && !code.split("sautikit_sip::").skip(1).all(to_sdp_only)
        {
            wrong.push(format!("{}: media may name sautikit_sip::sdp alone", source.path));
        }
    }
    none(&wrong);
}

#[test]
fn product_source_holds_no_banned_word() {
    let mut found = Findings::default();
    for source in rust_sources().iter().filter(|source| !source.is_test()) {
        let text = source.product();
        for (word, why) in BANNED {
            found.add(word, &source.path, text.matches(word).count(), why);
        }
        if source.is_in(&["core/", "sip/"]) {
            for word in IMPURE {
                let count = text.matches(word).count();
                found.add(word, &source.path, count, "time, files and chance are arguments here");
            }
        }
        if !source.is_in(&PRINTERS) && !source.path.contains("/examples/") {
            let count = text.matches("println!(").count();
            found.add("println!", &source.path, count, "log it with tracing");
        }
        if !DO_SEND.iter().any(|(path, _)| source.path == *path) {
            let count = text.matches("do_send(").count();
            found.add("do_send", &source.path, count, "list it in DO_SEND with what bounds it");
        }
    }
    found.judge();
}

#[test]
fn a_loosened_lint_says_why() {
    let mut found = Findings::default();
    for source in rust_sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        let bare = |at: &usize| {
            let line = lines[*at];
            let loosens = ["[allow(", "[expect("].iter().any(|start| line.contains(start))
                && line.trim_start().starts_with('#');
            // rustfmt spreads a long attribute over lines.
            let end = lines[*at..].iter().position(|line| line.contains(")]")).unwrap_or(0);
            let says = lines[*at..=*at + end].iter().any(|line| line.contains("reason"));
            let above = at.checked_sub(1).map_or("", |above| lines[above]);
            loosens && !says && !line.contains("//") && !above.trim_start().starts_with("//")
        };
        let count = (0..lines.len()).filter(bare).count();
        found.add("a loosened lint", &source.path, count, "write `reason = \"…\"` into it");
    }
    found.judge();
}

#[test]
fn files_end_before_they_need_a_map() {
    let mut wrong = Vec::new();
    for path in files(&["rs", "ts", "sql", "sh", "py"]) {
        let lines = read(&path).lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{path} has {lines} lines: which noun wants a file of its own?"));
        }
    }
    none(&wrong);
}

#[test]
fn every_setting_is_documented() {
    let settings = read("src/config/settings.rs");
    let documents = format!("{}\n{}", read("README.md"), read("docs/operations.md"));
    let mut names = quoted_words(&settings, "SAUTIKIT_");
    names.insert("DATABASE_URL".to_owned());
    let limits = read("core/src/limits.rs");
    let fields = limits.lines().filter_map(|line| {
        let field = line.trim().strip_prefix("pub ")?.strip_suffix(": Cap,")?;
        Some(field.to_owned())
    });
    names.extend(fields);
    assert!(names.len() > 20, "the settings were not found: {names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !documents.contains(*name)).collect();
    assert!(missing.is_empty(), "neither README.md nor docs/operations.md tells of {missing:?}");
}

#[test]
fn every_refusal_code_stands_in_the_api_reference() {
    // A sentence may break its line between a status and its code.
    let reference = read("docs/api.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let of_calls = Refusal::ALL.iter().map(|refusal| (refusal.sip_status(), refusal.code()));
    let of_handshakes = HandshakeRefusal::ALL.iter().map(|it| (it.status(), it.code()));
    let of_sip = (400..700).filter_map(|status| Some((status, protocol_fault(status)?.0)));
    let codes: BTreeSet<_> = of_calls.chain(of_handshakes).chain(of_sip).collect();
    let mut wrong = Vec::new();
    for (status, code) in codes {
        // As a row of a table, or in a sentence.
        let told = [format!("| {status} | `{code}` |"), format!(" {status} `{code}`")];
        if !told.iter().any(|told| reference.contains(told)) {
            wrong.push(format!("docs/api.md: nothing tells of {status} `{code}`"));
        }
    }
    for code in CloseCode::ALL.map(CloseCode::code) {
        if !reference.contains(&format!("`{code}`")) {
            wrong.push(format!("docs/api.md: nothing tells of the close code `{code}`"));
        }
    }
    none(&wrong);
}

#[test]
fn the_sdk_has_words_for_every_refusal_code() {
    let known = read("sdk/src/gateway/codes.ts");
    let of_calls = Refusal::ALL.iter().map(|refusal| refusal.code());
    let codes = of_calls.chain(HandshakeRefusal::ALL.iter().map(|it| it.code()));
    // `request.` is one rule there; silence has an ending of its own, in `ending.ts`.
    let wrong: BTreeSet<_> = codes
        .filter(|code| !code.starts_with("request.") && *code != "calls.no_answer")
        .filter(|code| !known.contains(&format!("['{code}', ")))
        .map(|code| format!("sdk/src/gateway/codes.ts: nothing about {code}"))
        .collect();
    none(&wrong.into_iter().collect::<Vec<_>>());
}

#[test]
fn every_metric_of_dashboards_and_handbook_is_one_that_the_code_exports() {
    let mut exported = BTreeSet::new();
    for source in rust_sources().iter().filter(|source| !source.is_test()) {
        exported.extend(quoted_words(source.product(), "sautikit_"));
    }
    // Log filters name rooms, which share the prefix.
    exported.extend(ROOMS.iter().map(|(name, ..)| name.replace('-', "_")));
    let mut wrong = Vec::new();
    let speaks_of_metrics =
        |path: &&String| path.starts_with("grafana/") || *path == "docs/operations.md";
    for path in files(&["json", "md", "yml"]).iter().filter(speaks_of_metrics) {
        for word in words(&read(path)) {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .unwrap_or(word);
            let known = exported.contains(word) || exported.contains(base);
            if word.starts_with("sautikit_") && !known {
                wrong.push(format!("{path}: the code exports no {word}"));
            }
        }
    }
    wrong.sort_unstable();
    wrong.dedup();
    none(&wrong);
}

#[test]
fn every_metric_stands_in_the_handbook_with_its_labels() {
    let handbook = read("docs/operations.md");
    let mut wrong = BTreeSet::new();
    let mut labels_of = BTreeMap::new();
    for source in rust_sources().iter().filter(|source| !source.is_test()) {
        if source.is_in(&["loadtest/"]) {
            continue;
        }
        for (name, labels) in metrics_of(source.product()) {
            if *labels_of.entry(name.clone()).or_insert_with(|| labels.clone()) != labels {
                wrong.insert(format!("{}: {name} has other labels elsewhere", source.path));
            }
            let row = handbook.lines().find(|line| {
                let first = line.split('|').nth(1).unwrap_or_default();
                line.starts_with("| `sautikit_") && words(first).any(|word| word == name)
            });
            let Some(row) = row else {
                wrong.insert(format!("docs/operations.md: no row tells of {name}"));
                continue;
            };
            let told = row.split('|').nth(2).unwrap_or_default();
            for label in labels.iter().filter(|label| !words(told).any(|word| word == *label)) {
                wrong.insert(format!("docs/operations.md: {name} has a label {label}"));
            }
        }
    }
    none(&wrong.into_iter().collect::<Vec<_>>());
}

/// The metrics that a text counts, each with the labels that are written beside it.
fn metrics_of(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for kind in ["counter!(", "gauge!(", "histogram!("] {
        for rest in text.split(kind).skip(1) {
            let inside = rest.split(')').next().unwrap_or_default();
            let mut parts = inside.split('"').skip(1);
            let Some(name) = parts.next() else { continue };
            let labels: Vec<&str> = inside.split("=>").collect();
            let labels = labels[..labels.len() - 1].iter().filter_map(|before| {
                Some(before.trim_end().strip_suffix('"')?.rsplit('"').next()?.to_owned())
            });
            found.push((name.to_owned(), labels.collect()));
        }
    }
    found
}

#[test]
fn every_metric_bears_the_house_name() {
    let mut wrong = Vec::new();
    for source in rust_sources() {
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            for rest in source.text.split(kind).skip(1) {
                let name = rest.trim_start().strip_prefix('"').and_then(|n| n.split('"').next());
                if name.is_some_and(|name| !name.starts_with("sautikit_")) {
                    wrong.push(format!("{} counts {:?}", source.path, name.unwrap_or_default()));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let machine = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Use", "rs/"),
        concat!("../", "shared"),
        concat!("/tmp/", "bash"),
    ];
    let mut wrong = Vec::new();
    for path in files(&[]) {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for place in machine {
            if text.contains(place) {
                wrong.push(format!("{path} names {place}"));
            }
        }
    }
    none(&wrong);
}

#[test]
fn what_is_fuzzed_is_what_is_shipped() {
    let versions = |path: &str| {
        let lock: toml::Table = read(path).parse().expect("a lock file is TOML");
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for package in lock["package"].as_array().unwrap() {
            let text = |key: &str| package[key].as_str().unwrap().to_owned();
            versions.entry(text("name")).or_default().insert(text("version"));
        }
        versions
    };
    let shipped = versions("Cargo.lock");
    let mut wrong = Vec::new();
    for (name, fuzzed) in versions("fuzz/Cargo.lock") {
        let others = shipped.get(&name).filter(|shipped| !fuzzed.is_subset(shipped));
        if let Some(shipped) = others {
            wrong.push(format!("{name}: fuzz/Cargo.lock has {fuzzed:?}, Cargo.lock {shipped:?}"));
        }
    }
    none(&wrong);
}

#[test]
fn deny_toml_bans_what_this_test_bans() {
    let deny = read("deny.toml");
    let parsed: toml::Table = deny.parse().expect("deny.toml is TOML");
    let bans = parsed["bans"]["deny"].as_array().unwrap();
    for (name, places) in NAMED_BY {
        let of_one_room = places.iter().all(|place| place.starts_with(&places[0][..3]));
        if !of_one_room || name == "rustls" || name == "hickory_resolver" {
            continue;
        }
        let name = name.replace('_', "-");
        let listed = bans.iter().any(|ban| ban["crate"].as_str() == Some(&name));
        assert!(listed, "deny.toml does not say who may depend on {name}");
    }
}

// ---------------------------------------------------------------------------------------------
// What the rules look at.

struct Package {
    name: String,
    dependencies: BTreeSet<String>,
}

/// The workspace's packages with their direct dependencies of every kind.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| Package {
        name: text(&package["name"]),
        dependencies: package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|dependency| text(&dependency["name"]))
            .collect(),
    });
    packages.collect()
}

struct Source {
    /// From the root, with slashes.
    path: String,
    text: String,
    /// Some file declares its module under `#[cfg(test)]`.
    in_tests: bool,
}

impl Source {
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// A file of tests alone.
    fn is_test(&self) -> bool {
        self.in_tests || self.path.split('/').any(|part| part == "tests")
    }

    /// The modules that this file declares for tests alone, as paths without `.rs`.
    fn test_modules(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or_default();
        let folder = match file.trim_end_matches(".rs") {
            "lib" | "main" | "mod" => folder.to_owned(),
            module => format!("{folder}/{module}"),
        };
        let declared = self.text.split("#[cfg(test)]").skip(1).filter_map(|rest| {
            let line = rest.trim_start().lines().next()?;
            let name = line.strip_suffix(';')?.rsplit_once("mod ")?.1;
            Some(format!("{folder}/{name}"))
        });
        declared.collect()
    }

    /// The text before its tests; a module of tests that is declared at the top stays in.
    fn product(&self) -> &str {
        let tests = self.text.match_indices("#[cfg(test)]\n").find(|(at, attribute)| {
            let next = self.text[at + attribute.len()..].lines().next().unwrap_or_default();
            next.contains("mod ") && next.ends_with('{')
        });
        &self.text[..tests.map_or(self.text.len(), |(at, _)| at)]
    }

    /// The text without lines that are comments.
    fn code(&self) -> String {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn rust_sources() -> Vec<Source> {
    let mut sources: Vec<Source> = files(&["rs"])
        .into_iter()
        .filter(|path| path != "tests/tidy.rs")
        .map(|path| Source { text: read(&path), path, in_tests: false })
        .collect();
    let modules: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        source.in_tests = modules.iter().any(|module| {
            source
                .path
                .strip_prefix(module)
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
    }
    sources
}

/// Whether the code names the crate in a path or a `use`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let starts_a_path = !before.ends_with(|c: char| c.is_alphanumeric() || "_:.\"".contains(c));
        let is_used = before.ends_with("use ") && after.starts_with(';');
        starts_a_path && (after.starts_with("::") || is_used)
    })
}

/// Counts per rule and file, held against the ratchet.
#[derive(Default)]
struct Findings(BTreeMap<(String, String), (usize, String)>);

impl Findings {
    fn add(&mut self, rule: &str, path: &str, count: usize, cure: &str) {
        if count > 0 {
            self.0.insert((rule.to_owned(), path.to_owned()), (count, cure.to_owned()));
        }
    }

    fn judge(&self) {
        let mut wrong = Vec::new();
        for ((rule, path), (count, cure)) in &self.0 {
            let allowed = RATCHET
                .iter()
                .find(|(of, at, _)| of == rule && at == path)
                .map_or(0, |(.., allowed)| *allowed);
            if *count > allowed {
                wrong.push(format!("{path}: {rule} ({count}, allowed {allowed}): {cure}"));
            }
        }
        none(&wrong);
    }
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The whole string literals of `text` that start with `prefix`.
fn quoted_words(text: &str, prefix: &str) -> BTreeSet<String> {
    let whole = |word: &&str| {
        word.starts_with(prefix) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    text.split('"').filter(whole).map(str::to_owned).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The repository's files with one of the endings (all where none is named), as paths from the
/// root, without what is built or fetched.
fn files(endings: &[&str]) -> Vec<String> {
    const SKIPPED: [&str; 8] =
        [".git", "artifacts", "corpus", "data", "dist", "node_modules", "target", "test-results"];
    fn walk(folder: &Path, endings: &[&str], found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                walk(&path, endings, found);
            } else if endings.is_empty()
                || path.extension().is_some_and(|end| endings.iter().any(|wanted| end == *wanted))
            {
                let path = path.strip_prefix(root()).unwrap();
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), endings, &mut found);
    found.sort_unstable();
    found
}
