-- Requests to the marketplace to take listings down. `number` orders them in lists. A case may name no brand.
CREATE TABLE notice (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    brand      TEXT,
    source     TEXT NOT NULL CHECK (source IN ('moderation', 'brand')),
    created_at INTEGER NOT NULL,
    filed_by   TEXT NOT NULL
) STRICT;
CREATE INDEX notice_brand ON notice (brand, number);

-- `place` is the listing's position in its notice, from 0. An erased listing's id is a control character and its place.
-- `decided_by` is the moderator whose decision the request rests on.
CREATE TABLE notice_listing (
    notice       TEXT NOT NULL REFERENCES notice (id),
    listing_id   TEXT NOT NULL,
    place        INTEGER NOT NULL,
    seller_id    TEXT,
    check_id     TEXT,
    ground       TEXT NOT NULL CHECK (ground IN ('counterfeit', 'photo-misuse', 'trademark')),
    reference_id TEXT,
    evidence     TEXT,
    state        TEXT NOT NULL CHECK (state IN ('waiting', 'rejected', 'requested', 'acknowledged', 'removed', 'refused', 'countered', 'restored', 'withdrawn')),
    reason       TEXT,
    decided_by   TEXT,
    reviewed     INTEGER NOT NULL DEFAULT 0,
    restore_asked INTEGER NOT NULL DEFAULT 0,
    deadline_at  INTEGER,
    reminded_at  INTEGER,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (notice, listing_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX notice_listing_listing ON notice_listing (listing_id);
CREATE INDEX notice_listing_check ON notice_listing (check_id) WHERE check_id IS NOT NULL;
CREATE INDEX notice_listing_seller ON notice_listing (seller_id) WHERE seller_id IS NOT NULL;
CREATE INDEX notice_listing_state ON notice_listing (state, notice);
CREATE INDEX notice_listing_due ON notice_listing (deadline_at) WHERE state IN ('requested', 'acknowledged') AND reminded_at IS NULL;

-- Whose notices go to the marketplace at once, and when bad figures last ended that.
CREATE TABLE brand_lane (
    brand   TEXT PRIMARY KEY,
    fast    INTEGER NOT NULL,
    left_at INTEGER
) STRICT, WITHOUT ROWID;

-- A brand names a listing; its newest check says which case it is about.
CREATE INDEX IF NOT EXISTS listing_check_listing ON listing_check (listing_id) WHERE listing_id IS NOT NULL;
