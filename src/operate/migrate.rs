//! `migrate`: brings the database to this version, or says whether it is.

use std::process::ExitCode;

use sautikit_store::{SchemaVersion, schema_version};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::{Missing, block_on, fail, on_store, print};
use crate::config::{Config, Sources};

#[derive(Serialize)]
struct Shown {
    database_version: i64,
    newest_version: i64,
    pending: i64,
}

impl From<SchemaVersion> for Shown {
    fn from(version: SchemaVersion) -> Self {
        let SchemaVersion { database, newest } = version;
        let pending = (newest - database).max(0);
        Self { database_version: database, newest_version: newest, pending }
    }
}

/// Every command migrates what it opens; this one does nothing else.
pub(crate) fn migrate(sources: &Sources) -> ExitCode {
    on_store(sources, "migrate", Missing::Make, async |store| {
        Ok(Shown::from(store.schema_version().await?))
    })
}

/// Changes nothing; fails where a migration is pending or the database is of a newer version.
pub(crate) fn check(sources: &Sources) -> ExitCode {
    let url = match Config::database(sources) {
        Ok(url) => url,
        Err(problems) => return crate::refuse(&problems),
    };
    let looked = block_on(async { Ok(schema_version(url.expose_secret()).await?) });
    let version = match looked {
        Ok(version) => version,
        Err(error) => return fail("migrate", &error),
    };
    let shown = print("migrate", &Shown::from(version));
    let SchemaVersion { database, newest } = version;
    if database < newest {
        eprintln!(
            "migrate: migrations are pending; the next start of a gateway or `migrate` runs them"
        );
        return ExitCode::FAILURE;
    }
    if database > newest {
        eprintln!("migrate: the database is of a newer version; start that version");
        return ExitCode::FAILURE;
    }
    shown
}
