-- 0003 retrospective: messages that went on because a lookup failed, and what they would have been.
-- Kind: expand (version N-1 does not look at this table).
-- Cost: none, the table is new.
-- Undo: none.
--
-- raw is here only while the message waits: it goes with the answer, and the row too unless a hold was missed.
-- patient is a SHA-256 of the identifiers, so that an answer about a patient finds what waits for it.
CREATE TABLE retrospective (
    retrospective_id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'missed_hold')),
    route TEXT NOT NULL,
    noted_at INTEGER NOT NULL,  -- microseconds since 1970 UTC
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    patient BLOB NOT NULL CHECK (length(patient) = 32),
    raw BLOB,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    found_at INTEGER,
    orders TEXT NOT NULL DEFAULT '[]',
    CHECK ((state = 'waiting') = (raw IS NOT NULL)),
    CHECK ((state = 'missed_hold') = (found_at IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX retrospective_message ON retrospective (route, digest);
CREATE INDEX retrospective_due ON retrospective (next_attempt_at) WHERE state = 'waiting';
CREATE INDEX retrospective_patient ON retrospective (patient) WHERE state = 'waiting';
