-- 0006 nodes: several nodes on one journal: who delivers to a destination, which nodes live, what a writer wrote last.
-- Kind: expand (version N-1 does not look at these tables).
-- Cost: none, the tables are new.
-- Undo: none.
--
-- Times are the database's own clock: the nodes' clocks may differ.

-- The last batch that a process wrote, in the batch's own transaction: a commit whose answer was lost is looked up here.
CREATE TABLE writer_batch (
    process TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    batch BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL
);

-- Who delivers to a destination. epoch counts the holders: a write of an earlier one is refused.
CREATE TABLE lease (
    destination TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    process TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL CHECK (epoch >= 1),
    expires_at TIMESTAMPTZ NOT NULL,
    -- From here on another node may send: nothing that the holder sent can still be on its way.
    free_at TIMESTAMPTZ NOT NULL
);

-- Nodes that gave a sign of life. detail: what a node says of itself, JSON.
CREATE TABLE node (
    process TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    reviewed_at TIMESTAMPTZ,
    detail TEXT COLLATE "C" NOT NULL
);
