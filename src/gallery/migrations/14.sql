-- Which sellers' listings used a photo, with the newest check of each. Brands' own photos, and photos that show nothing, are
-- left out. `day` counts from 1970-01-01, in UTC.
CREATE TABLE listing_photo (
    sha256    BLOB NOT NULL,
    seller_id TEXT NOT NULL,
    check_id  TEXT NOT NULL,
    day       INTEGER NOT NULL,
    PRIMARY KEY (sha256, seller_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX listing_photo_seller ON listing_photo (seller_id);
CREATE INDEX listing_photo_day ON listing_photo (day);
-- Proposals to close sellers' accounts. `number` orders them in lists; `strikes` counts them when it was proposed. Times are
-- seconds since 1970.
CREATE TABLE closure (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    seller_id   TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('proposed', 'confirmed', 'doubted', 'dismissed', 'withdrawn')),
    strikes     INTEGER NOT NULL,
    proposed_at INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    decided_by  TEXT,
    reason      TEXT
) STRICT;
CREATE INDEX closure_seller ON closure (seller_id, number);
CREATE INDEX closure_state ON closure (state, number);
