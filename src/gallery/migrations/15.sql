-- Stored photos of checks are judged again when another model serves. One row for each change of the model; `after_check` is the
-- last check that is done, the newest first. `since`, `asked_at`, `due_at` and `done_at` are seconds since 1970.
CREATE TABLE model_lookback (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    model       TEXT NOT NULL,
    since       INTEGER NOT NULL,
    asked_at    INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    after_check TEXT,
    photos      INTEGER NOT NULL DEFAULT 0,
    found       INTEGER NOT NULL DEFAULT 0,
    done_at     INTEGER
) STRICT;
