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
