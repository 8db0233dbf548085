use rusqlite::{Connection, TransactionBehavior};

use super::audit::{AuditEvent, append};
use super::queue::rank_all;
use super::writer::Writing;

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

/// Applies the settings that every connection for reading and writing needs.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Acknowledged means on disk, even after a power failure.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Migrates the database to the newest version. Returns `Ok(Err(version))` when a newer touchstone wrote it.
pub(super) fn migrate(connection: &mut Connection, new_id: &str) -> rusqlite::Result<Result<(), i64>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Some(pending) = usize::try_from(version).ok().and_then(|done| MIGRATIONS.get(done..)) else {
        return Ok(Err(version));
    };
    for script in pending {
        transaction.execute_batch(script)?;
    }
    if version < RANKS_SINCE {
        rank_all(&Writing::within(&transaction))?;
    }
    if version < CASES_SINCE {
        log_migrated_cases(&Writing::within(&transaction))?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    transaction.execute("INSERT OR IGNORE INTO gallery (one, id, revision) VALUES (1, ?1, 0)", [new_id])?;
    transaction.commit()?;
    Ok(Ok(()))
}

/// The version that first ordered cases by a stored rank.
const RANKS_SINCE: i64 = 5;

/// The version that first made cases of checks, decided ones where an outcome existed.
const CASES_SINCE: i64 = 4;

fn log_migrated_cases(transaction: &Writing<'_>) -> rusqlite::Result<()> {
    let decided: Vec<(String, String)> = transaction
        .prepare("SELECT check_id, decision FROM moderation_case WHERE status = 'decided'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (check_id, decision) in decided {
        let event = AuditEvent { actor: "touchstone", session: None, action: "migrate", subject: &check_id };
        append(transaction, event, &(), &serde_json::json!({ "case": { "decision": decision } }))?;
    }
    Ok(())
}

/// The newest version, for messages.
pub(super) fn newest() -> usize {
    MIGRATIONS.len()
}
