-- 0005 webhook: what other systems are told of held orders, and how far the audit chain was told.
-- Kind: expand (version N-1 does not look at these tables).
-- Cost: none, the tables are new.
-- Undo: none.
--
-- body is what is sent, byte for byte at every attempt; nothing of a patient is in it. Times are microseconds since 1970 UTC.
CREATE TABLE webhook_cursor (
    name TEXT NOT NULL PRIMARY KEY,
    audit_number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE webhook_delivery (
    delivery_id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempt_count INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    ended_at INTEGER,
    result TEXT NOT NULL DEFAULT '',
    body TEXT NOT NULL,
    CHECK ((state = 'waiting') = (ended_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX webhook_delivery_once ON webhook_delivery (webhook, event_id);
CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX webhook_delivery_ended ON webhook_delivery (ended_at) WHERE ended_at IS NOT NULL;
