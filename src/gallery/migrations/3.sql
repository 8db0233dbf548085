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
