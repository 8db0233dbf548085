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
