-- 0008 api-token: programs that may use the API, and what each may do.
-- Kind: expand (version N-1 does not look at this table).
-- Cost: none, the table is new.
-- Undo: none.
--
-- Of a token only its SHA-256 is here.
CREATE TABLE api_token (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    digest BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),
    scopes TEXT COLLATE "C" NOT NULL,  -- JSON array of scope words
    created_at TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL,
    revoked_at TEXT COLLATE "C"
);
