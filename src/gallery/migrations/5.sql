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
