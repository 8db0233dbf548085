-- Checked photos that are not in a segment of the memory yet. `day` counts from 1970-01-01, in UTC.
CREATE TABLE remembered (
    seq        INTEGER PRIMARY KEY,
    day        INTEGER NOT NULL,
    model      TEXT NOT NULL,
    vocabulary TEXT NOT NULL,
    seller_id  TEXT,
    record     BLOB NOT NULL
) STRICT;
-- The files of the memory. Only the first `bytes` of a file count: what follows was not committed. A file that replaces
-- another one takes its `place` in the order of a day's files.
CREATE TABLE memory_segment (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    place      INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    model      TEXT NOT NULL,
    vocabulary TEXT NOT NULL,
    photos     INTEGER NOT NULL,
    bytes      INTEGER NOT NULL
) STRICT;
-- References for which the memory is searched, and how far the search is. `pass` 1 covers the whole memory; pass 2
-- covers checks that ran while the reference was added; pass 3 is a search on command, down to `since`. The segments down to `after_day` and `after_place`
-- are done.
CREATE TABLE lookback (
    key      INTEGER PRIMARY KEY,
    pass     INTEGER NOT NULL DEFAULT 1,
    due_at   INTEGER NOT NULL,
    since    INTEGER NOT NULL DEFAULT 0,
    after_day   INTEGER,
    after_place INTEGER,
    photos   INTEGER NOT NULL DEFAULT 0,
    found    INTEGER NOT NULL DEFAULT 0,
    asked_at INTEGER NOT NULL,
    done_at  INTEGER
) STRICT;
CREATE INDEX lookback_due ON lookback (due_at) WHERE done_at IS NULL;
-- What a lookback found: the photo's answer as it would be with the new reference.
CREATE TABLE finding (
    check_id TEXT NOT NULL,
    photo    INTEGER NOT NULL,
    key      INTEGER NOT NULL,
    found_at INTEGER NOT NULL,
    answer   TEXT NOT NULL,
    PRIMARY KEY (check_id, photo, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX finding_key ON finding (key);
-- Waiting cases with the same question stand as one row in the queue and are decided together.
ALTER TABLE moderation_case ADD COLUMN question TEXT;
UPDATE moderation_case SET question = photo || ':' || reference WHERE photo IS NOT NULL AND reference IS NOT NULL;
CREATE INDEX moderation_case_question ON moderation_case (question, rank) WHERE status = 'open';
-- References up to this revision have been asked about.
ALTER TABLE gallery ADD COLUMN lookback_revision INTEGER NOT NULL DEFAULT 0;
UPDATE gallery SET lookback_revision = revision;
