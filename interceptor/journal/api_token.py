"""Programs that may use the API, as the journal keeps them, and the SQL of their table.

Each function is one piece of work in the journal's writer or readers (`side_tables.py`). Of a token only the SHA-256 is kept.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import canonical_json, instant_text, read_instant, read_optional_instant

_COLUMNS = "SELECT name, scopes, created_at, created_by, expires_at, revoked_at FROM api_token"
_INSERT = """
INSERT INTO api_token (name, digest, scopes, created_at, created_by, expires_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """One token. `name` is never used twice; `scopes` are words of `review.rights.Scope`."""

    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Whether it may be used now."""
        return self.revoked_at is None and now < self.expires_at


def insert(connection: SqlConnection, token: ApiToken, *, digest: bytes) -> bool:
    """Store a token; False when there is, or was, one of this name."""
    connection.execute(
        _INSERT,
        (
            token.name,
            digest,
            canonical_json(list(token.scopes)),
            instant_text(token.created_at),
            token.created_by,
            instant_text(token.expires_at),
        ),
    )
    return bool(connection.changes() == 1)


def revoke(connection: SqlConnection, name: str, *, at: datetime) -> bool:
    """End a token; False when there is none to end."""
    connection.execute(
        "UPDATE api_token SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (instant_text(at), name)
    )
    return bool(connection.changes() == 1)


def find(connection: SqlConnection, digest: bytes) -> ApiToken | None:
    """The token with this SHA-256, good or not."""
    for row in connection.execute(f"{_COLUMNS} WHERE digest = ?", (digest,)):
        return _read(row)
    return None


def all_tokens(connection: SqlConnection) -> tuple[ApiToken, ...]:
    """All tokens, ended ones too, by name."""
    return tuple(_read(row) for row in connection.execute(f"{_COLUMNS} ORDER BY name", ()))


def _read(row: Any) -> ApiToken:
    name, scopes, created_at, created_by, expires_at, revoked_at = row
    return ApiToken(
        name=name,
        scopes=tuple(json.loads(scopes)),
        created_at=read_instant(created_at),
        created_by=created_by,
        expires_at=read_instant(expires_at),
        revoked_at=read_optional_instant(revoked_at),
    )
