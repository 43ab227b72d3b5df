-- 0002 registry: what feeds and imports say of patients, for the evidence of orders.
-- Kind: expand (version N-1 does not look at these tables).
-- Cost: none, the tables are new.
-- Undo: none.
--
-- Facts stay with the identifier that they were said of; links say which identifiers are one person. A merge moves
-- nothing. Every column is a register that keeps the latest, earliest or largest of what was said, so that the order
-- in which messages arrive does not matter. Instants are microseconds since 1970 UTC, days are ISO texts.

-- Who says something: one row for each feed and each import source.
CREATE TABLE evidence_source (
    source_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    last_said_at INTEGER NOT NULL,
    -- An import of everything that the source knows: what it said before and not again is gone.
    complete_at INTEGER
) STRICT;

-- One identifier of a patient (PID-3). type "" where none was stated.
CREATE TABLE patient_identifier (
    identifier_id INTEGER PRIMARY KEY,
    value TEXT NOT NULL,
    authority TEXT NOT NULL,
    type TEXT NOT NULL,
    birth_date TEXT NOT NULL DEFAULT '',
    birth_said_at INTEGER NOT NULL DEFAULT 0,
    sex TEXT NOT NULL DEFAULT '',
    sex_said_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (value, authority, type)
) STRICT;

-- Two identifiers (first < second) that were said to be one person: they are while linked_at is later than unlinked_at,
-- since linked_from. A merge gives one of the two up.
CREATE TABLE patient_link (
    first_id INTEGER NOT NULL,
    second_id INTEGER NOT NULL CHECK (first_id < second_id),
    linked_from INTEGER,
    linked_at INTEGER,
    unlinked_at INTEGER,
    first_given_up_at INTEGER,
    second_given_up_at INTEGER,
    PRIMARY KEY (first_id, second_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX patient_link_second ON patient_link (second_id, first_id);

-- What one source said of one patient. All facts of an identifier lie together: a lookup reads a page or two.
CREATE TABLE patient_fact (
    identifier_id INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('condition', 'allergy', 'observation', 'study')),
    source_id INTEGER NOT NULL,
    scope TEXT NOT NULL,
    fact_key TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('active', 'suspected', 'past', 'retracted')),
    system TEXT NOT NULL,
    code TEXT NOT NULL,
    more_codings TEXT NOT NULL,
    text TEXT NOT NULL,
    -- Reaction of an allergy, unit of an observation.
    detail TEXT NOT NULL,
    value REAL,
    onset TEXT NOT NULL,
    recorded TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    reference TEXT NOT NULL,
    said_at INTEGER NOT NULL,
    first_said_at INTEGER NOT NULL,
    PRIMARY KEY (identifier_id, kind, source_id, scope, fact_key)
) STRICT, WITHOUT ROWID;

-- A list that replaced the one before: what was said earlier in this scope, and not again, is gone.
CREATE TABLE patient_snapshot (
    identifier_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    source_id INTEGER NOT NULL,
    scope TEXT NOT NULL,
    said_at INTEGER NOT NULL,
    PRIMARY KEY (identifier_id, kind, source_id, scope)
) STRICT, WITHOUT ROWID;

-- How far an import that was broken off had come.
CREATE TABLE registry_import (
    source_id INTEGER NOT NULL,
    digest TEXT NOT NULL,
    line_number INTEGER NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (source_id, digest)
) STRICT, WITHOUT ROWID;
