-- Which sellers' listings used a photo, with the newest check of each. Brands' own photos, and photos that show nothing, are
-- left out. A row that is replaced gets a new number, so that the numbers follow time. `day` counts from 1970-01-01, in UTC.
CREATE TABLE listing_photo (
    number    INTEGER PRIMARY KEY,
    sha256    BLOB NOT NULL,
    seller_id TEXT NOT NULL,
    check_id  TEXT NOT NULL,
    day       INTEGER NOT NULL,
    UNIQUE (sha256, seller_id)
) STRICT;
CREATE INDEX listing_photo_seller ON listing_photo (seller_id);
-- Proposals to close sellers' accounts. `number` orders them in lists; `strikes` counts them when it was proposed or last
-- decided, and `basis` lists what they are for, as JSON. Times are seconds since 1970.
CREATE TABLE closure (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    seller_id   TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('proposed', 'confirmed', 'doubted', 'dismissed', 'withdrawn')),
    strikes     INTEGER NOT NULL,
    proposed_at INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    decided_by  TEXT,
    reason      TEXT,
    basis       TEXT NOT NULL
) STRICT;
CREATE INDEX closure_seller ON closure (seller_id, number);
CREATE INDEX closure_state ON closure (state, number);
-- The seller of the listing's check, which may not be the one that the brand names.
ALTER TABLE notice_listing ADD COLUMN checked_seller TEXT;
UPDATE notice_listing SET checked_seller = (SELECT c.seller_id FROM listing_check c WHERE c.id = notice_listing.check_id);
CREATE INDEX notice_listing_checked_seller ON notice_listing (checked_seller) WHERE checked_seller IS NOT NULL;
-- Counts of a seller's checks are read from the index alone.
DROP INDEX listing_check_seller;
CREATE INDEX listing_check_seller ON listing_check (seller_id, action, created_at) WHERE seller_id IS NOT NULL;
