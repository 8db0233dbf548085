use super::audit::{AuditEvent, append};
use super::queue::rank_all;
use crate::storage::{self, Connection, Writing};

/// One script per version; the database's `user_version` is the number of scripts that have run.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
    include_str!("migrations/5.sql"),
    include_str!("migrations/6.sql"),
    include_str!("migrations/7.sql"),
    include_str!("migrations/8.sql"),
    include_str!("migrations/9.sql"),
    include_str!("migrations/10.sql"),
    include_str!("migrations/11.sql"),
    include_str!("migrations/12.sql"),
    include_str!("migrations/13.sql"),
    include_str!("migrations/14.sql"),
    include_str!("migrations/15.sql"),
    include_str!("migrations/16.sql"),
];

/// The version of the first script of PostgreSQL, which makes everything at once.
const POSTGRES_SINCE: usize = 16;

/// PostgreSQL's scripts, from the version [`POSTGRES_SINCE`] on.
const POSTGRES_MIGRATIONS: &[&str] = &[include_str!("migrations/postgres/16.sql")];

const _: () = assert!(
    MIGRATIONS.len() + 1 == POSTGRES_SINCE + POSTGRES_MIGRATIONS.len(),
    "a version has a script for each engine"
);

/// Migrates the database to the newest version. Returns `Ok(Err(version))` when a newer touchstone wrote it.
pub(super) fn migrate(db: &Connection, new_id: &str) -> storage::Result<Result<(), i64>> {
    db.exclusively(|transaction| {
        let version = version(transaction)?;
        if version > newest() {
            return Ok(Err(i64::try_from(version).unwrap_or(i64::MAX)));
        }
        for script in pending(transaction, version) {
            transaction.execute_batch(script)?;
        }
        if !transaction.is_postgres() {
            if version < RANKS_SINCE {
                rank_all(transaction)?;
            }
            if version < CASES_SINCE {
                log_migrated_cases(transaction)?;
            }
        }
        set_version(transaction, newest())?;
        transaction
            .execute("INSERT INTO gallery (one, id, revision) VALUES (1, ?1, 0) ON CONFLICT DO NOTHING", [new_id])?;
        Ok(Ok(()))
    })
}

fn pending(transaction: &Writing<'_>, version: usize) -> &'static [&'static str] {
    let (scripts, done) = if transaction.is_postgres() {
        (POSTGRES_MIGRATIONS, (version + 1).saturating_sub(POSTGRES_SINCE))
    } else {
        (MIGRATIONS, version)
    };
    scripts.get(done..).unwrap_or_default()
}

/// The version of the schema; 0 in an empty database.
fn version(transaction: &Writing<'_>) -> storage::Result<usize> {
    let read = |sql| transaction.query_row(sql, [], |row| row.get::<i64>(0));
    let version = if !transaction.is_postgres() {
        read("SELECT user_version FROM pragma_user_version")?
    } else if read("SELECT count(*) FROM pg_class WHERE oid = to_regclass('schema_version')")? == 0 {
        0
    } else {
        read("SELECT version FROM schema_version")?
    };
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

fn set_version(transaction: &Writing<'_>, version: usize) -> storage::Result<()> {
    transaction.execute_batch(&if transaction.is_postgres() {
        format!("UPDATE schema_version SET version = {version}")
    } else {
        format!("PRAGMA user_version = {version}")
    })
}

/// The version that first ordered cases by a stored rank.
const RANKS_SINCE: usize = 5;

/// The version that first made cases of checks, decided ones where an outcome existed.
const CASES_SINCE: usize = 4;

fn log_migrated_cases(transaction: &Writing<'_>) -> storage::Result<()> {
    let decided: Vec<(String, String)> = transaction
        .prepare_cached("SELECT check_id, decision FROM moderation_case WHERE status = 'decided'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<storage::Result<_>>()?;
    for (check_id, decision) in decided {
        let event = AuditEvent { actor: "touchstone", session: None, action: "migrate", subject: &check_id };
        append(transaction, event, &(), &serde_json::json!({ "case": { "decision": decision } }))?;
    }
    Ok(())
}

/// An empty database in memory with the newest schema.
pub(super) fn fresh() -> storage::Result<Connection> {
    let db = Connection::in_memory()?;
    // If a migration fails here, it also failed when the gallery's schema was made.
    let _ = migrate(&db, "gal_none")?;
    Ok(db)
}

/// The newest version, for messages.
pub(super) fn newest() -> usize {
    MIGRATIONS.len()
}

/// The id of a gallery whose records are still being copied.
pub(super) const UNFINISHED: &str = "unfinished";

/// Whether the database has a gallery.
pub(super) fn exists(db: &Connection) -> storage::Result<bool> {
    let sql = if db.is_postgres() {
        "SELECT count(*) FROM pg_class WHERE oid = to_regclass('gallery')"
    } else {
        "SELECT count(*) FROM sqlite_master WHERE name = 'gallery'"
    };
    db.query_row(sql, [], |row| row.get(0))
}
