-- 0010 audit-export: how far the audit chain was handed to an audit record repository, and by which node.
-- Kind: expand (version N-1 does not look at this table).
-- Cost: none, the table is new.
-- Undo: none.
--
-- Times are microseconds since 1970 UTC. The chain itself is the spool.
CREATE TABLE audit_export (
    sink TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    audit_number BIGINT NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    held_until BIGINT NOT NULL
);
