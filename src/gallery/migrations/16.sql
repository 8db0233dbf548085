-- Keys of members of alliances: nothing but the exchange of signals.
ALTER TABLE api_key RENAME TO api_key_15;
CREATE TABLE api_key (
    id            TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL,
    scope         TEXT NOT NULL CHECK (scope IN ('platform', 'brand', 'moderator', 'admin', 'alliance')),
    brand         TEXT CHECK ((scope = 'brand') = (brand IS NOT NULL)),
    label         TEXT NOT NULL,
    rate          INTEGER,
    created_by    TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    expires_at    TEXT,
    revoked_at    TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO api_key SELECT id, secret_sha256, scope, brand, label, rate, created_by, created_at, expires_at, revoked_at FROM api_key_15;
DROP TABLE api_key_15;

-- The key that signs this touchstone's packs of signals, and its name in alliances.
CREATE TABLE identity (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    name   TEXT NOT NULL,
    secret BLOB NOT NULL
) STRICT;

-- All times below are seconds since 1970. `log_seq` and `log_sum` are the last line of the own log of signals. `followed` is the
-- gallery's revision up to which references were looked at for it, under the model `model`.
CREATE TABLE alliance (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    terms       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    left_at     INTEGER,
    log_seq     INTEGER NOT NULL DEFAULT 0,
    log_sum     BLOB NOT NULL,
    followed    INTEGER NOT NULL DEFAULT -1,
    followed_at INTEGER NOT NULL DEFAULT 0,
    model       TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- Other members. `token` is the key that this touchstone shows them, `key_id` the key that they show here. `taken_*` is the last
-- line of their log that was taken, `given_*` the last line of the own log that they have acknowledged.
CREATE TABLE alliance_member (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    alliance   TEXT NOT NULL REFERENCES alliance (id),
    id         TEXT,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('shares', 'receives', 'both')),
    state      TEXT NOT NULL CHECK (state IN ('invited', 'active', 'expelled')),
    public_key BLOB,
    url        TEXT,
    token      TEXT,
    key_id     TEXT,
    joined_at  INTEGER,
    taken_seq  INTEGER NOT NULL DEFAULT 0,
    taken_sum  BLOB NOT NULL,
    taken_at   INTEGER,
    fault_code TEXT,
    fault      TEXT,
    given_seq  INTEGER NOT NULL DEFAULT 0,
    given_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX alliance_member_id ON alliance_member (alliance, id) WHERE id IS NOT NULL;
CREATE UNIQUE INDEX alliance_member_key ON alliance_member (key_id) WHERE key_id IS NOT NULL;

-- Which references of a brand are shared.
CREATE TABLE alliance_sharing (
    alliance   TEXT NOT NULL REFERENCES alliance (id),
    brand      TEXT NOT NULL,
    polarity   TEXT NOT NULL CHECK (polarity IN ('authentic', 'fake')),
    delay_days INTEGER NOT NULL,
    PRIMARY KEY (alliance, brand, polarity)
) STRICT, WITHOUT ROWID;

-- The own log: what was shared and withdrawn, in order. `current` is true for the newest line of a reference.
CREATE TABLE alliance_log (
    alliance  TEXT NOT NULL REFERENCES alliance (id),
    seq       INTEGER NOT NULL,
    key       INTEGER NOT NULL,
    signal    TEXT NOT NULL,
    withdrawn INTEGER NOT NULL,
    current   INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    sum       BLOB NOT NULL,
    model     TEXT NOT NULL,
    PRIMARY KEY (alliance, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX alliance_log_current ON alliance_log (alliance, key) WHERE current = 1;

-- What members said about signals that they got from here.
CREATE TABLE alliance_feedback (
    member     INTEGER NOT NULL REFERENCES alliance_member (number),
    signal     TEXT NOT NULL,
    confirmed  INTEGER NOT NULL,
    overturned INTEGER NOT NULL,
    PRIMARY KEY (member, signal)
) STRICT, WITHOUT ROWID;

-- Signals of members. `content` is the signal as JSON; the other columns are read without it. `released_at` is when somebody lifted
-- its quarantine.
CREATE TABLE signal (
    key        INTEGER PRIMARY KEY AUTOINCREMENT,
    member     INTEGER NOT NULL REFERENCES alliance_member (number),
    id         TEXT NOT NULL,
    brand      TEXT NOT NULL,
    polarity   TEXT NOT NULL CHECK (polarity IN ('authentic', 'fake')),
    state      TEXT NOT NULL CHECK (state IN ('active', 'quarantined', 'withdrawn')),
    why        TEXT,
    taken_at   INTEGER NOT NULL,
    released_at INTEGER,
    revision   INTEGER NOT NULL,
    content    TEXT NOT NULL,
    UNIQUE (member, id)
) STRICT;
CREATE INDEX signal_revision ON signal (revision);

-- Photos whose verdict rests on a signal. How the case was decided, if the moderator looked at this photo, says how the signal
-- fared. `place` is the photo's number in the check, from 0. `denied` is 1 if a moderator has said "not a match" about it while
-- the case stayed open for other photos.
CREATE TABLE signal_case (
    signal   INTEGER NOT NULL REFERENCES signal (key) ON DELETE CASCADE,
    photo    BLOB NOT NULL,
    check_id TEXT NOT NULL REFERENCES listing_check (id) ON DELETE CASCADE,
    member   INTEGER NOT NULL REFERENCES alliance_member (number),
    place    INTEGER NOT NULL,
    denied   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (signal, photo, check_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX signal_case_check ON signal_case (check_id);
CREATE INDEX signal_case_member ON signal_case (member);

-- PDQ hashes of references' photos, by the photo's SHA-256: derived, and computed again when missing.
CREATE TABLE pdq (
    sha256  BLOB PRIMARY KEY,
    hash    BLOB NOT NULL,
    quality INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
