-- 0010 audit-export: how far the audit chain was handed to an audit record repository, and by which node.
-- Kind: expand (version N-1 does not look at this table).
-- Cost: none, the table is new.
-- Undo: none.
--
-- Times are microseconds since 1970 UTC. The chain itself is the spool.
CREATE TABLE audit_export (
    sink TEXT NOT NULL PRIMARY KEY,
    audit_number INTEGER NOT NULL,
    holder TEXT NOT NULL,
    held_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
