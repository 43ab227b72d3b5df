-- 0007 account: people's accounts, one-time login links, sessions.
-- Kind: expand (version N-1 does not look at these tables).
-- Cost: none, the tables are new.
-- Undo: none.
--
-- Secrets are not here: of passwords the argon2id hash, of links and sessions the SHA-256. The TOTP secret is, for a
-- code cannot be checked without it.
CREATE TABLE account (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    display_name TEXT COLLATE "C" NOT NULL,
    roles TEXT COLLATE "C" NOT NULL,  -- JSON array of role words
    password_hash TEXT COLLATE "C" NOT NULL DEFAULT '',
    totp_secret TEXT COLLATE "C" NOT NULL DEFAULT '',
    totp_used BIGINT NOT NULL DEFAULT 0,
    is_break_glass BIGINT NOT NULL DEFAULT 0 CHECK (is_break_glass IN (0, 1)),
    created_at TEXT COLLATE "C" NOT NULL,
    changed_at TEXT COLLATE "C" NOT NULL,
    disabled_at TEXT COLLATE "C"
);

CREATE TABLE login_link (
    digest BYTEA NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    account TEXT COLLATE "C" NOT NULL REFERENCES account (name),
    expires_at TEXT COLLATE "C" NOT NULL,
    used_at TEXT COLLATE "C"
);

-- account is no foreign key: people of an identity provider have no account here.
CREATE TABLE session (
    digest BYTEA NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    account TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    roles TEXT COLLATE "C" NOT NULL,  -- JSON array of role words
    method TEXT COLLATE "C" NOT NULL CHECK (method IN ('password', 'link', 'oidc')),
    created_at TEXT COLLATE "C" NOT NULL,
    seen_at TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL,
    ended_at TEXT COLLATE "C",
    glass_reason TEXT COLLATE "C" NOT NULL DEFAULT '',
    glass_until TEXT COLLATE "C",
    CHECK ((glass_reason = '') = (glass_until IS NULL))
);
CREATE INDEX session_account ON session (account) WHERE ended_at IS NULL;
CREATE INDEX session_expires ON session (expires_at);
