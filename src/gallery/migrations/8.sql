-- Whether a quarantine's detail may speak of another brand's reference. Its brand then gets a neutral text. What a
-- moderator writes may, and so do contradictions of another brand's reference.
ALTER TABLE reference ADD COLUMN quarantine_private INTEGER NOT NULL DEFAULT 0 CHECK (quarantine_private IN (0, 1));
UPDATE reference SET quarantine_private = 1
    WHERE quarantine_code = 'moderator' OR quarantine_detail LIKE '%another brand''s%';

-- Callers choose idempotency keys, so they are each API key's own. Which API key sent an earlier one is not known: '' stands
-- for any, for the same request only. The column `idempotency_key` of `listing_check` stays empty from here on.
CREATE TABLE idempotency (
    api_key  TEXT NOT NULL,
    key      TEXT NOT NULL,
    check_id TEXT NOT NULL REFERENCES listing_check (id) ON DELETE CASCADE,
    PRIMARY KEY (api_key, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_check ON idempotency (check_id);
INSERT INTO idempotency (api_key, key, check_id)
    SELECT '', idempotency_key, id FROM listing_check WHERE idempotency_key IS NOT NULL;
UPDATE listing_check SET idempotency_key = NULL WHERE idempotency_key IS NOT NULL;
