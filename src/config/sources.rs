//! What a configuration is parsed from: the environment, the files it names, and the TOML text.
//! Gathering reads files through a function, so all of it is tested without a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::problem::{Problems, quoted};
use super::settings::{self, Setting};

/// Bounds on what is read: a configuration is small, and a wrong path may be a device.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
const VALUE_BYTES_MAX: u64 = 64 * 1024;

/// The TOML file: where it is (for messages) and what it says.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Environment and file, gathered. Values are bytes, since a key may be any.
#[derive(Default)]
pub(crate) struct Sources {
    values: BTreeMap<&'static str, Vec<u8>>,
    failed: BTreeSet<&'static str>,
    file: Option<ConfigFile>,
    problems: Problems,
    unknown: Vec<String>,
}

impl Sources {
    /// Those of this process; `flag` is `--config` and wins over `SAUTIKIT_CONFIG`.
    pub(crate) fn of_process(flag: Option<&Path>) -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_vec())));
        Self::gather(env, flag, read_file)
    }

    /// Takes what belongs to the gateway out of `env`, and reads the files that it names.
    /// A variable set to nothing counts as not set, as compose files write it.
    pub(crate) fn gather(
        env: impl IntoIterator<Item = (String, Vec<u8>)>,
        flag: Option<&Path>,
        read: impl Fn(&Path, u64) -> io::Result<Vec<u8>>,
    ) -> Self {
        let mut sources = Self::default();
        let mut given: BTreeMap<String, Vec<u8>> =
            env.into_iter().filter(|(name, value)| is_ours(name) && !value.is_empty()).collect();
        for setting in settings::ALL {
            sources.settle(setting, &mut given, &read);
        }
        sources.unknown = given.into_keys().collect();
        let path = match flag {
            Some(path) => Some(path.to_string_lossy().into_owned()),
            None => sources.text(&settings::CONFIG),
        };
        if let Some(path) = path {
            sources.read_config(path, flag.is_some(), &read);
        }
        sources
    }

    /// Gives `setting` a value where the environment gave none: the demo's own defaults.
    pub(crate) fn set_default(&mut self, setting: &'static Setting, value: impl Into<Vec<u8>>) {
        self.values.entry(setting.name).or_insert_with(|| value.into());
    }

    /// The TOML text to use where no file was named: the demo's trunk.
    pub(crate) fn set_default_file(&mut self, path: &str, text: String) {
        self.file.get_or_insert(ConfigFile { path: path.to_owned(), text });
    }

    pub(crate) fn bytes(&self, setting: &Setting) -> Option<&[u8]> {
        self.values.get(setting.name).map(Vec::as_slice)
    }

    /// The value as text, bytes that are no UTF-8 replaced: no shape accepts the replacement.
    pub(super) fn text(&self, setting: &Setting) -> Option<String> {
        self.bytes(setting).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub(super) fn file(&self) -> Option<&ConfigFile> {
        self.file.as_ref()
    }

    /// Whether the setting was given, but could not be gathered: `problems` tells.
    pub(super) fn has_failed(&self, setting: &Setting) -> bool {
        self.failed.contains(setting.name)
    }

    /// What could not be gathered.
    pub(super) fn problems(&self) -> &Problems {
        &self.problems
    }

    /// `SAUTIKIT_` variables that no setting is called by: most likely misspelt.
    pub(super) fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Finds `setting` in the environment or in the file that `<name>_FILE` names.
    fn settle(
        &mut self,
        setting: &'static Setting,
        given: &mut BTreeMap<String, Vec<u8>>,
        read: &impl Fn(&Path, u64) -> io::Result<Vec<u8>>,
    ) {
        let name_of_file = format!("{}_FILE", setting.name);
        match (given.remove(setting.name), given.remove(&name_of_file)) {
            (None, None) => {}
            (Some(value), None) => {
                self.values.insert(setting.name, value);
            }
            (None, Some(path)) => {
                let path = String::from_utf8_lossy(&path).into_owned();
                match read(Path::new(&path), VALUE_BYTES_MAX) {
                    Ok(bytes) => {
                        // As an empty variable: a file is how a setting is cleared while running.
                        let value = Some(without_last_newline(bytes)).filter(|it| !it.is_empty());
                        self.values.extend(value.map(|value| (setting.name, value)));
                    }
                    // The next key comes and goes with its file.
                    Err(error)
                        if setting.name == settings::SIGNING_KEY_NEXT.name
                            && error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        let found = unreadable(&path, &error);
                        self.fail(setting, name_of_file, found, setting.cure);
                    }
                }
            }
            (Some(_), Some(_)) => {
                let found = format!("and {name_of_file} are both set");
                self.fail(setting, setting.name.to_owned(), found, "Clear one of the two");
            }
        }
    }

    fn fail(&mut self, setting: &'static Setting, name: String, found: String, cure: &str) {
        self.failed.insert(setting.name);
        self.problems.add(name, found, setting.shape, cure);
    }

    fn read_config(
        &mut self,
        path: String,
        from_flag: bool,
        read: &impl Fn(&Path, u64) -> io::Result<Vec<u8>>,
    ) {
        let name = if from_flag { "--config" } else { settings::CONFIG.name };
        let found = match read(Path::new(&path), CONFIG_BYTES_MAX).map(String::from_utf8) {
            Ok(Ok(text)) => {
                self.file = Some(ConfigFile { path, text });
                return;
            }
            Ok(Err(_)) => format!("names {}, which is no UTF-8 text", quoted(&path)),
            Err(error) => unreadable(&path, &error),
        };
        self.problems.add(name, found, settings::CONFIG.shape, settings::CONFIG.cure);
    }
}

fn is_ours(name: &str) -> bool {
    name.starts_with("SAUTIKIT_") || name == "DATABASE_URL" || name == "DATABASE_URL_FILE"
}

fn unreadable(path: &str, error: &io::Error) -> String {
    format!("names {}, which cannot be read ({error})", quoted(path))
}

fn without_last_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    bytes
}

/// The whole file, refused where it is longer than `max` bytes.
fn read_file(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
        return Err(io::Error::other(format!("longer than {max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(env: &[(&str, &str)], files: &[(&str, &str)], flag: Option<&str>) -> Sources {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Sources::gather(env, flag.map(Path::new), |path, _| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            let (_, text) = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            Ok(text.as_bytes().to_vec())
        })
    }

    #[test]
    fn a_file_gives_the_value_without_its_last_newline() {
        let sources =
            gather(&[("SAUTIKIT_SIP_TOKEN_SIGNING_KEY_FILE", "k")], &[("k", " a key \n\n")], None);
        assert_eq!(sources.bytes(&settings::SIGNING_KEY), Some(b" a key \n".as_slice()));
        assert!(sources.problems().is_empty());
    }

    #[test]
    fn a_file_and_a_value_together_are_a_problem() {
        let sources = gather(
            &[("SAUTIKIT_WS_URL", "ws://a"), ("SAUTIKIT_WS_URL_FILE", "u")],
            &[("u", "ws://b")],
            None,
        );
        let text = sources.problems().to_string();
        assert!(text.contains("SAUTIKIT_WS_URL and SAUTIKIT_WS_URL_FILE are both set"), "{text}");
        assert!(sources.has_failed(&settings::WS_URL));
    }

    #[test]
    fn a_missing_file_is_named_with_its_variable() {
        let sources = gather(&[("DATABASE_URL_FILE", "/nowhere")], &[], None);
        let text = sources.problems().to_string();
        assert!(
            text.contains("DATABASE_URL_FILE names \"/nowhere\", which cannot be read"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_file_clears_its_setting_and_the_next_key_goes_with_its_file() {
        let env =
            [("SAUTIKIT_SIP_TOKEN_SIGNING_KEY_NEXT_FILE", "n"), ("SAUTIKIT_WS_URL_FILE", "u")];
        for files in [[("n", ""), ("u", "\n")].as_slice(), &[("u", "")]] {
            let sources = gather(&env, files, None);
            assert_eq!(sources.bytes(&settings::SIGNING_KEY_NEXT), None);
            assert_eq!(sources.bytes(&settings::WS_URL), None);
            assert!(sources.problems().is_empty(), "{}", sources.problems());
        }
        let key = [("SAUTIKIT_SIP_TOKEN_SIGNING_KEY_FILE", "k")];
        assert!(!gather(&key, &[], None).problems().is_empty(), "the active key must be there");
    }

    #[test]
    fn the_flag_wins_over_the_variable() {
        let env = [("SAUTIKIT_CONFIG", "a.toml")];
        let files = [("a.toml", "from a"), ("b.toml", "from b")];
        let text = |flag| gather(&env, &files, flag).file().map(|file| file.text.clone());
        assert_eq!(text(None).as_deref(), Some("from a"));
        assert_eq!(text(Some("b.toml")).as_deref(), Some("from b"));
        assert!(gather(&env, &files, Some("c.toml")).problems().to_string().contains("--config"));
    }

    #[test]
    fn a_variable_set_to_nothing_counts_as_not_set() {
        let sources = gather(&[("SAUTIKIT_HTTP_ADDR", "")], &[], None);
        assert_eq!(sources.bytes(&settings::HTTP_ADDR), None);
    }

    #[test]
    fn misspelt_names_are_remembered_and_foreign_ones_are_not() {
        let sources = gather(&[("SAUTIKIT_HTP_ADDR", "x"), ("HOME", "y")], &[], None);
        assert_eq!(sources.unknown(), ["SAUTIKIT_HTP_ADDR"]);
    }

    #[test]
    fn a_default_never_replaces_what_was_given() {
        let mut sources = gather(&[("SAUTIKIT_MEDIA_ADDR", "10.0.0.1")], &[], None);
        sources.set_default(&settings::MEDIA_ADDR, "10.0.0.2");
        sources.set_default(&settings::WS_URL, "ws://here");
        assert_eq!(sources.text(&settings::MEDIA_ADDR).as_deref(), Some("10.0.0.1"));
        assert_eq!(sources.text(&settings::WS_URL).as_deref(), Some("ws://here"));
    }
}
