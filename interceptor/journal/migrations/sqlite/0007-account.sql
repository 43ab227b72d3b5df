-- 0007 account: people's accounts, one-time login links, sessions.
-- Kind: expand (version N-1 does not look at these tables).
-- Cost: none, the tables are new.
-- Undo: none.
--
-- Secrets are not here: of passwords the argon2id hash, of links and sessions the SHA-256. The TOTP secret is, for a
-- code cannot be checked without it; the file is its owner's alone (0600).
CREATE TABLE account (
    name TEXT NOT NULL PRIMARY KEY,
    display_name TEXT NOT NULL,
    roles TEXT NOT NULL,  -- JSON array of role words
    password_hash TEXT NOT NULL DEFAULT '',
    totp_secret TEXT NOT NULL DEFAULT '',
    totp_used INTEGER NOT NULL DEFAULT 0,
    is_break_glass INTEGER NOT NULL DEFAULT 0 CHECK (is_break_glass IN (0, 1)),
    created_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    disabled_at TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE login_link (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    account TEXT NOT NULL REFERENCES account (name),
    expires_at TEXT NOT NULL,
    used_at TEXT
) STRICT, WITHOUT ROWID;

-- account is no foreign key: people of an identity provider have no account here.
CREATE TABLE session (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    account TEXT NOT NULL,
    display_name TEXT NOT NULL,
    roles TEXT NOT NULL,  -- JSON array of role words
    method TEXT NOT NULL CHECK (method IN ('password', 'link', 'oidc')),
    created_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    ended_at TEXT,
    glass_reason TEXT NOT NULL DEFAULT '',
    glass_until TEXT,
    CHECK ((glass_reason = '') = (glass_until IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX session_account ON session (account) WHERE ended_at IS NULL;
CREATE INDEX session_expires ON session (expires_at);
