use rusqlite::{Connection, TransactionBehavior};

/// One script a version; the database's `user_version` counts those that have run.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE gallery (
        one      INTEGER PRIMARY KEY CHECK (one = 1),
        id       TEXT NOT NULL,
        revision INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE policy (
        brand   TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        model   TEXT NOT NULL,
        policy  TEXT NOT NULL,
        revision INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- A deleted reference keeps its row, without content, so that every reader hears of the deletion
    -- by its revision and no key is ever used again.
    CREATE TABLE reference (
        key        INTEGER PRIMARY KEY AUTOINCREMENT,
        id         TEXT NOT NULL UNIQUE,
        brand      TEXT NOT NULL,
        polarity   TEXT NOT NULL CHECK (polarity IN ('authentic', 'fake')),
        product    TEXT,
        source     TEXT,
        notes      TEXT,
        state      TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'deleted')),
        sha256     BLOB NOT NULL,
        perceptual_hash BLOB NOT NULL,
        quality    INTEGER NOT NULL,
        width      INTEGER NOT NULL,
        height     INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        revision   INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX reference_photo ON reference (brand, sha256) WHERE state <> 'deleted';
    CREATE INDEX reference_sha256 ON reference (sha256) WHERE state <> 'deleted';
    CREATE INDEX reference_brand ON reference (brand, key);
    CREATE INDEX reference_revision ON reference (revision);

    CREATE TABLE embedding (
        key    INTEGER NOT NULL REFERENCES reference (key),
        model  TEXT NOT NULL,
        vector BLOB NOT NULL,
        PRIMARY KEY (key, model)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE listing_check (
        id              TEXT PRIMARY KEY,
        idempotency_key TEXT UNIQUE,
        request_sha256  BLOB NOT NULL,
        listing_id      TEXT,
        seller_id       TEXT,
        action          TEXT NOT NULL,
        created_at      TEXT NOT NULL,
        answer          TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- What people found out about a check's match to a brand. `score` is the calibrated probability
    -- that the check gave it, before the brand's own shift; `scoring` names the artefact.
    CREATE TABLE outcome (
        check_id   TEXT NOT NULL REFERENCES listing_check (id),
        brand      TEXT NOT NULL,
        polarity   TEXT NOT NULL CHECK (polarity IN ('authentic', 'fake')),
        photo      BLOB NOT NULL,
        confirmed  INTEGER NOT NULL CHECK (confirmed IN (0, 1)),
        score      REAL NOT NULL,
        scoring    TEXT NOT NULL,
        decided_by TEXT,
        note       TEXT,
        decided_at TEXT NOT NULL,
        revision   INTEGER NOT NULL,
        PRIMARY KEY (brand, check_id, polarity)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX outcome_revision ON outcome (revision);

    -- Thresholds were cosines and are probabilities now; counts of outcomes were the caller's word and
    -- are now counted from the table above. Sellers and actions stay.
    UPDATE policy SET policy = json_remove(policy, '$.thresholds', '$.block'),
        version = version + 1, revision = (SELECT revision + 1 FROM gallery)
        WHERE json_type(policy, '$.block') IS NOT NULL OR json_extract(policy, '$.thresholds') <> '{}';
    UPDATE gallery SET revision = revision + 1;
",
    "
    -- Vectors belong to a photo's bytes, so that the same bytes are never embedded twice by one model.
    CREATE TABLE vector (
        sha256 BLOB NOT NULL,
        model  TEXT NOT NULL,
        vector BLOB NOT NULL,
        UNIQUE (sha256, model)
    ) STRICT;
    INSERT OR IGNORE INTO vector (sha256, model, vector)
        SELECT r.sha256, e.model, e.vector FROM embedding e JOIN reference r ON r.key = e.key;
    DROP TABLE embedding;

    -- `staged` waits for its run's publication; `retired` was taken out and can come back by a rollback.
    CREATE TABLE new_reference (
        key        INTEGER PRIMARY KEY AUTOINCREMENT,
        id         TEXT NOT NULL UNIQUE,
        brand      TEXT NOT NULL,
        polarity   TEXT NOT NULL CHECK (polarity IN ('authentic', 'fake')),
        product    TEXT,
        source     TEXT,
        notes      TEXT,
        rights_basis TEXT,
        state      TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'quarantined', 'staged', 'retired', 'deleted')),
        quarantine_code   TEXT,
        quarantine_detail TEXT,
        mark       TEXT CHECK (mark IN ('generic', 'disputed')),
        near_group INTEGER,
        run        TEXT,
        publication INTEGER,
        sha256     BLOB NOT NULL,
        perceptual_hash BLOB NOT NULL,
        quality    INTEGER NOT NULL,
        width      INTEGER NOT NULL,
        height     INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        revision   INTEGER NOT NULL
    ) STRICT;
    INSERT INTO new_reference (key, id, brand, polarity, product, source, notes, state, sha256, perceptual_hash, quality, width, height, media_type, created_at, updated_at, revision)
        SELECT key, id, brand, polarity, product, source, notes, state, sha256, perceptual_hash, quality, width, height, media_type, created_at, updated_at, revision FROM reference;
    DROP TABLE reference;
    ALTER TABLE new_reference RENAME TO reference;
    -- A photo is one reference of a brand; beside it one may be staged, and retired ones wait for a rollback.
    CREATE UNIQUE INDEX reference_photo ON reference (brand, sha256) WHERE state IN ('active', 'disabled', 'quarantined');
    CREATE UNIQUE INDEX reference_staged ON reference (brand, sha256) WHERE state = 'staged';
    CREATE INDEX reference_group ON reference (near_group) WHERE near_group IS NOT NULL;
    CREATE INDEX reference_sha256 ON reference (sha256) WHERE state <> 'deleted';
    CREATE INDEX reference_brand ON reference (brand, key);
    CREATE INDEX reference_revision ON reference (revision);
    CREATE INDEX reference_run ON reference (run) WHERE state = 'staged';

    -- What changed what is served as a whole: a published reindex, or another model. The newest that is
    -- not undone holds.
    CREATE TABLE publication (
        number       INTEGER PRIMARY KEY AUTOINCREMENT,
        kind         TEXT NOT NULL CHECK (kind IN ('reindex', 'model')),
        run          TEXT UNIQUE,
        brand        TEXT,
        model        TEXT NOT NULL,
        revision     INTEGER NOT NULL,
        published_at TEXT NOT NULL,
        undone_at    TEXT,
        forgotten    INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    -- The row that a publication found, for its undoing; null where it brought the reference in.
    CREATE TABLE publication_effect (
        number INTEGER NOT NULL REFERENCES publication (number),
        key    INTEGER NOT NULL,
        before TEXT,
        PRIMARY KEY (number, key)
    ) STRICT, WITHOUT ROWID;

    -- Unrelated photos that a reference decided about: one row for photos that look alike.
    CREATE TABLE hit (
        key             INTEGER NOT NULL,
        perceptual_hash BLOB NOT NULL,
        listing         TEXT NOT NULL,
        seen_at         INTEGER NOT NULL,
        PRIMARY KEY (key, perceptual_hash)
    ) STRICT, WITHOUT ROWID;

    ALTER TABLE listing_check ADD COLUMN photos_kept INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX listing_check_kept ON listing_check (id) WHERE photos_kept = 1;
",
];

/// Opens for reading and writing with the settings that every connection needs.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Acknowledged means on disk, also when the power goes.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Brings the database to the newest version. `Err(version)` inside when a newer touchstone wrote it.
pub(super) fn migrate(connection: &mut Connection, new_id: &str) -> rusqlite::Result<Result<(), i64>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Some(pending) = usize::try_from(version).ok().and_then(|done| MIGRATIONS.get(done..)) else {
        return Ok(Err(version));
    };
    for script in pending {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    transaction.execute("INSERT OR IGNORE INTO gallery (one, id, revision) VALUES (1, ?1, 0)", [new_id])?;
    transaction.commit()?;
    Ok(Ok(()))
}

/// The newest version, for messages.
pub(super) fn newest() -> usize {
    MIGRATIONS.len()
}
