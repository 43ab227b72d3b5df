"""Accounts, login links and sessions as SQL. Everything here runs inside the caller's transaction.

Which of these acts is an audit link, and with what detail, is `review/access_desk.py`'s to say; it writes the link in
the same transaction through `SideTables.write_audited`.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from interceptor.journal.account import Account, StoredSession
from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import (
    canonical_json,
    instant_text,
    optional_instant_text,
    read_instant,
    read_optional_instant,
    storable_text,
)

_SELECT_ACCOUNT = """
SELECT name, display_name, roles, password_hash, totp_secret, totp_used, is_break_glass, created_at, changed_at, disabled_at
FROM account WHERE name = ?
"""
_SELECT_ACCOUNTS = """
SELECT name, display_name, roles, password_hash, totp_secret, totp_used, is_break_glass, created_at, changed_at, disabled_at
FROM account ORDER BY name
"""
_INSERT_ACCOUNT = """
INSERT INTO account (name, display_name, roles, password_hash, totp_secret, totp_used, is_break_glass, created_at, changed_at, disabled_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO NOTHING
"""
_UPDATE_ACCOUNT = """
UPDATE account SET display_name = ?, roles = ?, password_hash = ?, totp_secret = ?, totp_used = ?, is_break_glass = ?,
    changed_at = ?, disabled_at = ? WHERE name = ?
"""
_TAKE_TOTP_STEP = "UPDATE account SET totp_used = ? WHERE name = ? AND totp_used < ?"
_INSERT_LINK = "INSERT INTO login_link (digest, account, expires_at) VALUES (?, ?, ?)"
_USE_LINK = """
UPDATE login_link SET used_at = :at WHERE digest = :digest AND used_at IS NULL AND expires_at > :at
RETURNING account
"""
_DROP_LINKS = "DELETE FROM login_link WHERE account = ? OR expires_at < ?"
_INSERT_SESSION = """
INSERT INTO session (digest, account, display_name, roles, method, created_at, seen_at, expires_at, glass_reason, glass_until)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SELECT_SESSION = """
SELECT digest, account, display_name, roles, method, created_at, seen_at, expires_at, glass_reason, glass_until
FROM session WHERE digest = ? AND ended_at IS NULL
"""
_TOUCH_SESSION = "UPDATE session SET seen_at = ? WHERE digest = ? AND ended_at IS NULL AND seen_at < ?"
_END_SESSION = "UPDATE session SET ended_at = ? WHERE digest = ? AND ended_at IS NULL RETURNING account"
_END_SESSIONS = "UPDATE session SET ended_at = ? WHERE account = ? AND ended_at IS NULL"
_BREAK_GLASS = (
    "UPDATE session SET glass_reason = ?, glass_until = ? WHERE digest = ? AND ended_at IS NULL RETURNING account"
)
_DROP_SESSIONS = "DELETE FROM session WHERE expires_at < ?"


def find_account(connection: SqlConnection, name: str) -> Account | None:
    """One account by its name."""
    row = connection.execute(_SELECT_ACCOUNT, (name,)).fetchone()
    return None if row is None else _read_account(row)


def list_accounts(connection: SqlConnection) -> tuple[Account, ...]:
    """All accounts, by name."""
    return tuple(_read_account(row) for row in connection.execute(_SELECT_ACCOUNTS))


def insert_account(connection: SqlConnection, account: Account) -> bool:
    """Make an account; False when the name is taken."""
    connection.execute(
        _INSERT_ACCOUNT,
        (
            account.name,
            storable_text(account.display_name),
            canonical_json(list(account.roles)),
            account.password_hash,
            account.totp_secret,
            account.totp_used,
            int(account.is_break_glass),
            instant_text(account.created_at),
            instant_text(account.changed_at),
            optional_instant_text(account.disabled_at),
        ),
    )
    return connection.changes() == 1


def update_account(connection: SqlConnection, account: Account) -> None:
    """Store everything of an account but its name and the time it was made."""
    connection.execute(
        _UPDATE_ACCOUNT,
        (
            storable_text(account.display_name),
            canonical_json(list(account.roles)),
            account.password_hash,
            account.totp_secret,
            account.totp_used,
            int(account.is_break_glass),
            instant_text(account.changed_at),
            optional_instant_text(account.disabled_at),
            account.name,
        ),
    )


def take_totp_step(connection: SqlConnection, name: str, step: int) -> bool:
    """Use up the code of a time step; False when it, or a later one, was used before."""
    connection.execute(_TAKE_TOTP_STEP, (step, name, step))
    return connection.changes() == 1


def insert_link(connection: SqlConnection, *, digest: bytes, account: str, at: datetime, expires_at: datetime) -> None:
    """Make a login link; earlier ones of the account, and old ones of anybody, are gone."""
    connection.execute(_DROP_LINKS, (account, instant_text(at)))
    connection.execute(_INSERT_LINK, (digest, account, instant_text(expires_at)))


def use_link(connection: SqlConnection, *, digest: bytes, at: datetime) -> str | None:
    """Use a login link up; the account's name, or None when the link is unknown, old or used."""
    rows = connection.execute(_USE_LINK, {"digest": digest, "at": instant_text(at)}).fetchall()
    return str(rows[0][0]) if rows else None


def insert_session(connection: SqlConnection, session: StoredSession) -> None:
    """Begin a session; those that ran out long ago are gone."""
    connection.execute(_DROP_SESSIONS, (instant_text(session.created_at),))
    connection.execute(
        _INSERT_SESSION,
        (
            session.digest,
            session.account,
            storable_text(session.display_name),
            canonical_json(list(session.roles)),
            session.method,
            instant_text(session.created_at),
            instant_text(session.seen_at),
            instant_text(session.expires_at),
            session.glass_reason,
            optional_instant_text(session.glass_until),
        ),
    )


def find_session(connection: SqlConnection, digest: bytes) -> StoredSession | None:
    """One session that was not ended; its limits are the caller's to compare."""
    row = connection.execute(_SELECT_SESSION, (digest,)).fetchone()
    return None if row is None else _read_session(row)


def touch_sessions(connection: SqlConnection, seen: Sequence[tuple[bytes, datetime]]) -> int:
    """Note when sessions were last used; returns how many that changed."""
    count = 0
    for digest, at in seen:
        connection.execute(_TOUCH_SESSION, (instant_text(at), digest, instant_text(at)))
        count += connection.changes()
    return count


def end_session(connection: SqlConnection, *, digest: bytes, at: datetime) -> str | None:
    """End a session; its account's name, or None when there is none to end."""
    rows = connection.execute(_END_SESSION, (instant_text(at), digest)).fetchall()
    return str(rows[0][0]) if rows else None


def end_sessions_of(connection: SqlConnection, *, account: str, at: datetime) -> int:
    """End all sessions of an account; returns how many those were."""
    connection.execute(_END_SESSIONS, (instant_text(at), account))
    return connection.changes()


def break_glass(connection: SqlConnection, *, digest: bytes, reason: str, until: datetime) -> str | None:
    """Note a broken glass in a session; its account's name, or None when there is no such session."""
    rows = connection.execute(_BREAK_GLASS, (storable_text(reason), instant_text(until), digest)).fetchall()
    return str(rows[0][0]) if rows else None


def _read_account(row: Sequence[Any]) -> Account:
    name, display_name, roles, password_hash, totp_secret, totp_used, is_break_glass, created, changed, disabled = row
    return Account(
        name=name,
        display_name=display_name,
        roles=tuple(json.loads(roles)),
        password_hash=password_hash,
        totp_secret=totp_secret,
        totp_used=totp_used,
        is_break_glass=bool(is_break_glass),
        created_at=read_instant(created),
        changed_at=read_instant(changed),
        disabled_at=read_optional_instant(disabled),
    )


def _read_session(row: Sequence[Any]) -> StoredSession:
    digest, account, display_name, roles, method, created, seen, expires, glass_reason, glass_until = row
    return StoredSession(
        digest=digest,
        account=account,
        display_name=display_name,
        roles=tuple(json.loads(roles)),
        method=method,
        created_at=read_instant(created),
        seen_at=read_instant(seen),
        expires_at=read_instant(expires),
        glass_reason=glass_reason,
        glass_until=read_optional_instant(glass_until),
    )
