-- 0001 first: messages, orders in custody, outbox, decisions, quarantine, route modes, the audit chain.
-- Kind: first.
-- Cost: none, the file is new.
-- Undo: none.
--
-- Times are UTC, RFC 3339 with microseconds and Z, so that text order is time order. JSON is canonical
-- (sorted keys, no spaces, ASCII). The words in CHECKs are those of the enums; a test compares them.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A received message that we took custody of. Its bytes never change.
CREATE TABLE message (
    message_id INTEGER PRIMARY KEY AUTOINCREMENT,
    route TEXT NOT NULL,
    listener TEXT NOT NULL,
    sending_application BLOB NOT NULL,
    sending_facility BLOB NOT NULL,
    control_id BLOB NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    received_at TEXT NOT NULL,
    acknowledgment BLOB,
    raw BLOB NOT NULL
) STRICT;
CREATE INDEX message_identity ON message (control_id, sending_facility, sending_application, listener, digest);
CREATE INDEX message_received ON message (received_at);

-- An order in our custody. content NULL: the message's raw bytes. source_id: the message that the content was taken
-- from, whole: what is said of the patient in its other orders counts when the order is decided again.
CREATE TABLE entry (
    entry_id INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id INTEGER NOT NULL REFERENCES message (message_id),
    source_id INTEGER NOT NULL REFERENCES message (message_id),
    route TEXT NOT NULL,
    order_key TEXT NOT NULL,
    set_key TEXT NOT NULL,
    placer_order_number TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('parked', 'held', 'queued', 'delivered', 'withdrawn', 'returned', 'replaced', 'dead')),
    version INTEGER NOT NULL CHECK (version >= 1),
    content BLOB,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    control_id BLOB NOT NULL,
    priority TEXT NOT NULL,
    taken_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    moved_at TEXT NOT NULL,
    moved_by TEXT NOT NULL,
    deadline_at TEXT,
    closed_at TEXT,
    reason TEXT NOT NULL,
    summary TEXT NOT NULL,
    decision TEXT NOT NULL,
    -- Nothing waits without a deadline; what is open is not closed.
    CHECK (state NOT IN ('parked', 'held') OR deadline_at IS NOT NULL),
    CHECK ((state IN ('parked', 'held', 'queued')) = (closed_at IS NULL))
) STRICT;
CREATE INDEX entry_open ON entry (state, deadline_at) WHERE closed_at IS NULL;
CREATE INDEX entry_order ON entry (order_key, entry_id);
CREATE INDEX entry_message ON entry (message_id);
CREATE INDEX entry_source ON entry (source_id);
CREATE INDEX entry_closed ON entry (closed_at) WHERE closed_at IS NOT NULL;

-- What leaves for a destination, in this order. content NULL: the message's raw bytes.
CREATE TABLE outbox (
    outbox_id INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('order', 'message', 'notice')),
    state TEXT NOT NULL CHECK (state IN ('pending', 'claimed', 'inflight', 'acked', 'dead')),
    message_id INTEGER REFERENCES message (message_id),
    entry_id INTEGER REFERENCES entry (entry_id),
    content BLOB,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    original BLOB,
    control_id BLOB NOT NULL,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    possible_duplicate INTEGER NOT NULL DEFAULT 0 CHECK (possible_duplicate IN (0, 1)),
    queued_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    next_attempt_at TEXT,
    last_error TEXT NOT NULL DEFAULT '',
    acknowledgment BLOB,
    discarded_at TEXT,
    discarded_by TEXT,
    CHECK (content IS NOT NULL OR message_id IS NOT NULL),
    CHECK (kind <> 'order' OR entry_id IS NOT NULL),
    CHECK (discarded_at IS NULL OR state = 'dead')
) STRICT;
CREATE INDEX outbox_waiting ON outbox (destination, outbox_id) WHERE state IN ('pending', 'claimed', 'inflight');
CREATE INDEX outbox_dead ON outbox (outbox_id) WHERE state = 'dead';
CREATE INDEX outbox_acked ON outbox (changed_at) WHERE state = 'acked';
CREATE INDEX outbox_entry ON outbox (entry_id) WHERE entry_id IS NOT NULL;
-- A released order cannot be released twice, a stored message cannot be queued twice.
CREATE UNIQUE INDEX outbox_order_once ON outbox (entry_id) WHERE kind = 'order';
CREATE UNIQUE INDEX outbox_message_once ON outbox (message_id, destination, control_id)
    WHERE kind = 'message' AND entry_id IS NULL;
CREATE INDEX outbox_message ON outbox (message_id) WHERE message_id IS NOT NULL;

-- A message about an order that waits: it leaves right behind the order, whenever that leaves.
CREATE TABLE follower (
    follower_id INTEGER PRIMARY KEY AUTOINCREMENT,
    entry_id INTEGER NOT NULL REFERENCES entry (entry_id) ON DELETE CASCADE,
    message_id INTEGER NOT NULL REFERENCES message (message_id),
    content BLOB,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    control_id BLOB NOT NULL
) STRICT;
CREATE INDEX follower_entry ON follower (entry_id);
CREATE INDEX follower_message ON follower (message_id);

CREATE VIEW entry_with_content AS
SELECT entry.entry_id, entry.message_id, entry.route, entry.order_key, entry.set_key, entry.placer_order_number, entry.state,
    entry.version, ifnull(entry.content, message.raw) AS content, entry.digest, entry.control_id, entry.priority,
    entry.taken_at, entry.changed_at, entry.changed_by, entry.deadline_at, entry.closed_at, entry.reason, entry.summary,
    entry.decision, source.raw AS source
FROM entry JOIN message USING (message_id) JOIN message AS source ON source.message_id = entry.source_id;

CREATE VIEW outbox_with_content AS
SELECT outbox.outbox_id, outbox.destination, outbox.kind, outbox.state, ifnull(outbox.content, message.raw) AS content,
    outbox.digest, outbox.original, outbox.control_id, outbox.entry_id, outbox.attempt_count, outbox.possible_duplicate,
    outbox.queued_at, outbox.next_attempt_at, outbox.last_error, outbox.discarded_at
FROM outbox LEFT JOIN message USING (message_id);


CREATE TABLE decision (
    decision_id INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id INTEGER,
    decided_at TEXT NOT NULL,
    route TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('shadow', 'annotate', 'enforce')),
    control_id TEXT NOT NULL,
    order_key TEXT NOT NULL,
    placer_order_number TEXT NOT NULL,
    disposition TEXT NOT NULL CHECK (disposition IN ('pass', 'annotate', 'hold')),
    reasons TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    policy_profile TEXT NOT NULL,
    policy_sha256 TEXT NOT NULL,
    facts TEXT NOT NULL,
    decide_again INTEGER NOT NULL CHECK (decide_again IN (0, 1)),
    unmapped_code TEXT NOT NULL,
    unmapped_name TEXT NOT NULL
) STRICT;
CREATE INDEX decision_decided ON decision (decided_at);
CREATE INDEX decision_again ON decision (decided_at) WHERE decide_again = 1;
CREATE INDEX decision_unmapped ON decision (unmapped_code) WHERE unmapped_code <> '';

CREATE TABLE quarantine (
    quarantine_id INTEGER PRIMARY KEY AUTOINCREMENT,
    route TEXT NOT NULL,
    reason TEXT NOT NULL,
    received_at TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    raw BLOB NOT NULL
) STRICT;

CREATE TABLE route_mode (
    route TEXT NOT NULL PRIMARY KEY,
    mode TEXT NOT NULL CHECK (mode IN ('shadow', 'annotate', 'enforce')),
    actor TEXT NOT NULL,
    at TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- entry_id is no foreign key: the chain outlives the orders.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    entry_id INTEGER,
    detail TEXT NOT NULL,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64)
) STRICT;
CREATE INDEX audit_entry ON audit (entry_id) WHERE entry_id IS NOT NULL;

CREATE TRIGGER message_raw_never_changes
BEFORE UPDATE OF message_id, control_id, digest, raw ON message
BEGIN
    SELECT RAISE(ABORT, 'the bytes of a message never change');
END;

-- The foreign keys say the same; this holds for a connection that forgot to switch them on.
CREATE TRIGGER message_undelivered_is_never_deleted
BEFORE DELETE ON message
WHEN EXISTS (SELECT 1 FROM outbox WHERE message_id = OLD.message_id AND state <> 'acked' AND discarded_at IS NULL)
    OR EXISTS (SELECT 1 FROM entry WHERE message_id = OLD.message_id AND closed_at IS NULL)
    OR EXISTS (SELECT 1 FROM entry WHERE source_id = OLD.message_id AND closed_at IS NULL)
    OR EXISTS (SELECT 1 FROM follower WHERE message_id = OLD.message_id)
BEGIN
    SELECT RAISE(ABORT, 'an undelivered message is never deleted');
END;

CREATE TRIGGER entry_content_changes_only_while_waiting
BEFORE UPDATE OF content, digest ON entry
WHEN (NEW.content IS NOT OLD.content OR NEW.digest IS NOT OLD.digest)
    AND (OLD.state NOT IN ('parked', 'held') OR NEW.version <> OLD.version + 1)
BEGIN
    SELECT RAISE(ABORT, 'the content of an order changes only while it waits, and with its version');
END;

CREATE TRIGGER entry_open_is_never_deleted
BEFORE DELETE ON entry
WHEN OLD.closed_at IS NULL
BEGIN
    SELECT RAISE(ABORT, 'an open order is never deleted');
END;

-- The only change: the original in place of what we added to, after the filler refused our addition.
CREATE TRIGGER outbox_content_never_changes
BEFORE UPDATE OF content, digest, control_id ON outbox
WHEN (NEW.content IS NOT OLD.content OR NEW.digest IS NOT OLD.digest OR NEW.control_id IS NOT OLD.control_id)
    AND (OLD.original IS NULL OR NEW.content IS NOT OLD.original OR OLD.state = 'acked')
BEGIN
    SELECT RAISE(ABORT, 'the bytes of an outgoing message never change');
END;

CREATE TRIGGER outbox_undelivered_is_never_deleted
BEFORE DELETE ON outbox
WHEN OLD.state <> 'acked' AND OLD.discarded_at IS NULL
BEGIN
    SELECT RAISE(ABORT, 'an undelivered message is never deleted');
END;

CREATE TRIGGER audit_never_changes
BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit chain is only appended to');
END;

CREATE TRIGGER audit_is_never_deleted
BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit chain is only appended to');
END;
