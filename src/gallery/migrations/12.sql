-- Receivers of events. `types` is a JSON array, null for all. `cursor` is the position in the audit log up to which
-- events have deliveries. `disabled` says why nothing is sent. Times are seconds since 1970.
CREATE TABLE webhook (
    id         TEXT PRIMARY KEY,
    url        TEXT NOT NULL,
    secret     BLOB NOT NULL,
    types      TEXT,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    cursor     INTEGER NOT NULL,
    disabled   TEXT
) STRICT, WITHOUT ROWID;

-- One event for one receiver. The event itself stays in the audit log, where a seller's data can be erased. `next_at`
-- is the time of the next attempt; during an attempt it is the time after which the attempt counts as lost.
CREATE TABLE webhook_delivery (
    id         TEXT PRIMARY KEY,
    webhook    TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    type       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER NOT NULL DEFAULT 0,
    status     INTEGER,
    error      TEXT,
    updated_at INTEGER NOT NULL,
    UNIQUE (webhook, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_delivery_state ON webhook_delivery (state, webhook, seq);

-- An act on a check's outcomes asks which brands have one.
CREATE INDEX outcome_check ON outcome (check_id);
