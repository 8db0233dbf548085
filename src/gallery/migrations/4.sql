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
