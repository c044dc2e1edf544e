//! The migrations, embedded. Forward only: a released file never changes, a change is a new file.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Version, name and text of every migration, in order.
const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "ledger and calls", include_str!("../../migrations/sqlite/0001_ledger_and_calls.sql"))];

/// What brings a database of any earlier version to this one.
pub(crate) fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        let kind = MigrationType::Simple;
        Migration::new(version, name.into(), kind, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// The version that [`migrator`] ends at.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_count_up_from_one() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|(version, ..)| *version).collect();
        assert_eq!(versions, (1..=newest()).collect::<Vec<_>>());
    }
}
