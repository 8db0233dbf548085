-- Only the sum of a key's secret is kept: who reads the database cannot call with it. A key is never deleted, so that
-- what it did can be told.
CREATE TABLE api_key (
    id            TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL,
    scope         TEXT NOT NULL CHECK (scope IN ('platform', 'brand', 'moderator', 'admin')),
    brand         TEXT CHECK ((scope = 'brand') = (brand IS NOT NULL)),
    label         TEXT NOT NULL,
    rate          INTEGER,
    created_by    TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    expires_at    TEXT,
    revoked_at    TEXT
) STRICT, WITHOUT ROWID;

-- The name of the key that photos are encrypted with; null while they are not.
ALTER TABLE gallery ADD COLUMN photo_key TEXT;

-- Photos that were sent: the check that they belong to, or none where somebody looked them up, and when they came.
CREATE TABLE upload (
    sha256   BLOB NOT NULL,
    check_id TEXT NOT NULL DEFAULT '',
    kept_at  INTEGER NOT NULL,
    PRIMARY KEY (sha256, check_id)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO upload (sha256, check_id, kept_at)
    SELECT unhex(json_extract(p.value, '$.sha256')), l.id, unixepoch(l.created_at)
    FROM listing_check l, json_each(l.answer, '$.photos') p
    WHERE l.photos_kept = 1 AND unhex(json_extract(p.value, '$.sha256')) IS NOT NULL;
CREATE INDEX upload_check ON upload (check_id);
CREATE INDEX upload_kept ON upload (kept_at);

-- Entries hold sums of what was before and after, with a salt of their own, so that both can be erased without breaking
-- the chain. Entries that were there keep the form that they have: their sum is over the texts.
ALTER TABLE audit ADD COLUMN salt TEXT;
ALTER TABLE audit ADD COLUMN before_sha256 TEXT;
ALTER TABLE audit ADD COLUMN after_sha256 TEXT;
DROP TRIGGER audit_is_not_changed;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    WHEN NEW.before <> '' OR NEW.after <> '' OR NEW.salt IS NOT NULL OR OLD.before_sha256 IS NULL
      OR NEW.seq IS NOT OLD.seq OR NEW.at IS NOT OLD.at OR NEW.actor IS NOT OLD.actor OR NEW.session IS NOT OLD.session
      OR NEW.action IS NOT OLD.action OR NEW.subject IS NOT OLD.subject OR NEW.prev IS NOT OLD.prev
      OR NEW.prev_of_subject IS NOT OLD.prev_of_subject OR NEW.sha256 IS NOT OLD.sha256
      OR NEW.before_sha256 IS NOT OLD.before_sha256 OR NEW.after_sha256 IS NOT OLD.after_sha256
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE INDEX listing_check_seller ON listing_check (seller_id) WHERE seller_id IS NOT NULL;
CREATE INDEX decided_pair_seller ON decided_pair (seller_id) WHERE seller_id IS NOT NULL;
