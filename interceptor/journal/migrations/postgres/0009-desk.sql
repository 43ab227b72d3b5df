-- 0009 desk: who looks at a held order, what was put aside, and releases that can still be called back.
-- Kind: expand (version N-1 does not look at these tables; what it releases is gone from them at the next start).
-- Cost: none, the tables are new.
-- Undo: none.
--
-- Apart from entry: looking at an order changes nothing of it, so that nobody's decision fails over it.
CREATE TABLE order_claim (
    entry_id BIGINT NOT NULL PRIMARY KEY REFERENCES entry (entry_id) ON DELETE CASCADE,
    claimed_by TEXT COLLATE "C" NOT NULL,
    claimed_until TEXT COLLATE "C" NOT NULL
);

CREATE TABLE order_snooze (
    entry_id BIGINT NOT NULL PRIMARY KEY REFERENCES entry (entry_id) ON DELETE CASCADE,
    snoozed_by TEXT COLLATE "C" NOT NULL,
    snoozed_until TEXT COLLATE "C" NOT NULL
);

-- digest: of the content that was released. Of another content nobody has said that it may leave.
CREATE TABLE planned_release (
    entry_id BIGINT NOT NULL PRIMARY KEY REFERENCES entry (entry_id) ON DELETE CASCADE,
    order_key TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    actor TEXT COLLATE "C" NOT NULL,
    reason_code TEXT COLLATE "C" NOT NULL,
    comment TEXT COLLATE "C" NOT NULL,
    planned_at TEXT COLLATE "C" NOT NULL,
    due_at TEXT COLLATE "C" NOT NULL
);
