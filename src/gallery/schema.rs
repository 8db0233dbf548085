use rusqlite::{Connection, TransactionBehavior};

use super::audit::{Deed, append};
use super::queue::rank_all;
use super::writer::Writing;

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
    "
    -- A check that was not allowed: a person decides. Brand, polarity and reference are those of the match that
    -- tells most; `probability` is that of the match, or 0.5 where there is none.
    CREATE TABLE moderation_case (
        check_id    TEXT PRIMARY KEY REFERENCES listing_check (id),
        listing_id  TEXT,
        seller_id   TEXT,
        created_at  TEXT NOT NULL,
        verdict     TEXT NOT NULL,
        action      TEXT NOT NULL,
        brand       TEXT,
        polarity    TEXT,
        reference   TEXT,
        probability REAL NOT NULL,
        status      TEXT NOT NULL CHECK (status IN ('open', 'decided', 'appealed')),
        claimed_by    TEXT,
        claimed_until INTEGER NOT NULL DEFAULT 0,
        decision    TEXT CHECK (decision IN ('fake', 'authorised', 'no_match')),
        decided_by  TEXT,
        decided_at  TEXT,
        note        TEXT,
        precedent   TEXT,
        appeal      TEXT,
        appealed_at TEXT,
        first_decided_by TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX moderation_case_waiting ON moderation_case (probability) WHERE status <> 'decided';
    CREATE INDEX moderation_case_seller ON moderation_case (seller_id, created_at);
    CREATE INDEX moderation_case_created ON moderation_case (created_at);
    CREATE INDEX listing_check_created ON listing_check (created_at);
    INSERT INTO moderation_case (check_id, listing_id, seller_id, created_at, verdict, action, brand, polarity, reference, probability, status)
        SELECT id, listing_id, seller_id, created_at, coalesce(json_extract(answer, '$.verdict'), 'undecidable'), action,
               json_extract(lead, '$.brand'), json_extract(lead, '$.polarity'), json_extract(lead, '$.reference_id'),
               coalesce(json_extract(lead, '$.probability'), 0.5), 'open'
        FROM (SELECT *, (SELECT m.value FROM json_each(answer, '$.photos') p, json_each(p.value, '$.matches') m
                         ORDER BY coalesce(json_extract(m.value, '$.probability'), 0) DESC LIMIT 1) AS lead
              FROM listing_check WHERE action <> 'allow');
    UPDATE moderation_case SET status = 'decided', decision = iif(o.confirmed, 'fake', 'authorised'),
        decided_by = coalesce(o.decided_by, 'platform'), decided_at = o.decided_at
        FROM outcome o WHERE o.check_id = moderation_case.check_id AND o.polarity = 'fake';

    -- What a person said of a photo and a reference. Photos are the same group when their perceptual hashes are near.
    CREATE TABLE decided_pair (
        key             INTEGER NOT NULL,
        check_id        TEXT NOT NULL,
        photo           BLOB NOT NULL,
        perceptual_hash BLOB NOT NULL,
        seller_id       TEXT,
        decision        TEXT NOT NULL CHECK (decision IN ('fake', 'authorised', 'no_match')),
        decided_at      TEXT NOT NULL,
        PRIMARY KEY (key, check_id, photo)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX decided_pair_check ON decided_pair (check_id);
    CREATE INDEX moderation_case_precedent ON moderation_case (precedent) WHERE precedent IS NOT NULL;

    -- An outcome that was undone; the row stays, so that every reader hears of it by its revision.
    ALTER TABLE outcome ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;

    -- Each entry holds the sum of the one before it, and of the one before it about the same subject.
    CREATE TABLE audit (
        seq     INTEGER PRIMARY KEY AUTOINCREMENT,
        at      TEXT NOT NULL,
        actor   TEXT NOT NULL,
        session TEXT,
        action  TEXT NOT NULL,
        subject TEXT NOT NULL,
        before  TEXT NOT NULL,
        after   TEXT NOT NULL,
        prev    TEXT NOT NULL,
        prev_of_subject TEXT NOT NULL,
        sha256  TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_subject ON audit (subject, seq);
    CREATE INDEX audit_session ON audit (session, seq);
    CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

    CREATE TABLE account (
        name       TEXT PRIMARY KEY,
        role       TEXT NOT NULL CHECK (role IN ('moderator', 'admin')),
        password   TEXT NOT NULL,
        disabled   INTEGER NOT NULL DEFAULT 0,
        created_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Only the sum of a session's token is kept: who reads the database cannot sign in with it.
    CREATE TABLE session (
        token_sha256 BLOB PRIMARY KEY,
        id           TEXT NOT NULL,
        account      TEXT NOT NULL REFERENCES account (name),
        csrf         TEXT NOT NULL,
        expires_at   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- A brand's photo in a listing whose goods nobody speaks of is a decision of its own. A case holds the sum of the
    -- photo that decides, so that lists need not read whole answers.
    CREATE TABLE moderation_case_5 (
        check_id    TEXT PRIMARY KEY REFERENCES listing_check (id),
        listing_id  TEXT,
        seller_id   TEXT,
        created_at  TEXT NOT NULL,
        verdict     TEXT NOT NULL,
        action      TEXT NOT NULL,
        brand       TEXT,
        polarity    TEXT,
        reference   TEXT,
        probability REAL NOT NULL,
        photo       TEXT,
        status      TEXT NOT NULL CHECK (status IN ('open', 'decided', 'appealed')),
        claimed_by    TEXT,
        claimed_until INTEGER NOT NULL DEFAULT 0,
        decision    TEXT CHECK (decision IN ('fake', 'photo_misuse', 'authorised', 'no_match')),
        decided_by  TEXT,
        decided_at  TEXT,
        note        TEXT,
        precedent   TEXT,
        appeal      TEXT,
        appealed_at TEXT,
        first_decided_by TEXT,
        decided_photo     INTEGER,
        decided_reference TEXT,
        rank        REAL NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    INSERT INTO moderation_case_5
        SELECT c.check_id, c.listing_id, c.seller_id, c.created_at, c.verdict, c.action, brand, polarity, reference, probability,
               (SELECT json_extract(p.value, '$.sha256') FROM json_each(answer, '$.photos') p
                ORDER BY json_extract(p.value, '$.verdict') IS json_extract(answer, '$.verdict')
                     AND json_extract(p.value, '$.action') IS json_extract(answer, '$.action') DESC, p.key LIMIT 1),
               status, claimed_by, claimed_until, decision, decided_by, decided_at, note, precedent, appeal, appealed_at, first_decided_by, NULL, NULL, 0
        FROM moderation_case c JOIN listing_check l ON l.id = c.check_id;
    DROP TABLE moderation_case;
    ALTER TABLE moderation_case_5 RENAME TO moderation_case;
    CREATE INDEX moderation_case_waiting ON moderation_case (rank) WHERE status <> 'decided';
    CREATE INDEX moderation_case_decided ON moderation_case (decided_at) WHERE status = 'decided';
    CREATE INDEX moderation_case_seller ON moderation_case (seller_id, created_at);
    CREATE INDEX moderation_case_created ON moderation_case (created_at);
    CREATE INDEX moderation_case_listing ON moderation_case (listing_id) WHERE listing_id IS NOT NULL;

    -- Photos are the same to a decision when they have the same look, or, where none was kept, the same bytes.
    CREATE TABLE decided_pair_5 (
        key        INTEGER NOT NULL,
        check_id   TEXT NOT NULL,
        photo      BLOB NOT NULL,
        look       BLOB,
        seller_id  TEXT,
        decision   TEXT NOT NULL CHECK (decision IN ('fake', 'authorised', 'no_match')),
        decided_at TEXT NOT NULL,
        PRIMARY KEY (key, check_id, photo)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO decided_pair_5 SELECT key, check_id, photo, NULL, seller_id, decision, decided_at FROM decided_pair;
    DROP TABLE decided_pair;
    ALTER TABLE decided_pair_5 RENAME TO decided_pair;
    CREATE INDEX decided_pair_check ON decided_pair (check_id);

    -- What people's decisions make of a reference is told apart from what it shows.
    ALTER TABLE reference ADD COLUMN mark_5 TEXT CHECK (mark_5 IN ('generic', 'overturned', 'disputed'));
    UPDATE reference SET mark_5 = mark;
    ALTER TABLE reference DROP COLUMN mark;
    ALTER TABLE reference RENAME COLUMN mark_5 TO mark;

    -- A follower names whose word it follows: that one does not hear its appeal.
    UPDATE moderation_case SET first_decided_by = (SELECT p.decided_by FROM moderation_case p WHERE p.check_id = moderation_case.precedent)
        WHERE precedent IS NOT NULL AND first_decided_by IS NULL;
    CREATE INDEX moderation_case_precedent ON moderation_case (precedent) WHERE precedent IS NOT NULL;
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

/// The version that ordered cases by a rank that is kept.
const RANKS_SINCE: i64 = 5;

/// The version that made cases of checks, decided ones where there was an outcome.
const CASES_SINCE: i64 = 4;

fn log_migrated_cases(transaction: &Writing<'_>) -> rusqlite::Result<()> {
    let decided: Vec<(String, String)> = transaction
        .prepare("SELECT check_id, decision FROM moderation_case WHERE status = 'decided'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (check_id, decision) in decided {
        let deed = Deed { actor: "touchstone", session: None, action: "migrate", subject: &check_id };
        append(transaction, deed, &(), &serde_json::json!({ "case": { "decision": decision } }))?;
    }
    Ok(())
}

/// The newest version, for messages.
pub(super) fn newest() -> usize {
    MIGRATIONS.len()
}
