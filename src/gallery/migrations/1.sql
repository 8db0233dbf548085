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
