"""A PostgreSQL server to an open connection with exactly the settings that our promises stand on.

Commits are synchronous, the server is a primary that flushes to its disk, and a peer that vanished is noticed in
seconds: keepalives and TCP_USER_TIMEOUT on our side, `idle_in_transaction_session_timeout` on the server's, so that a
node that was frozen inside a transaction does not keep the others waiting. There is never a statement timeout: a
COMMIT that is cut short has an unknown outcome.

Our SQL has the placeholders of SQLite (`journal/sql.py`); here they become those of psycopg.

Failures: a server that is not fit is a `JournalRefused`; one that cannot be reached, or went away, a
`JournalUnavailable` with the reason "away". `translate` is the one place where PostgreSQL's errors become ours.

Source: RELIABILITY 4; PostgreSQL documentation, runtime-config-wal, libpq-connect.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import errors

from interceptor.journal.migration import load_migrations, pending_migrations
from interceptor.journal.port import (
    JournalBroken,
    JournalError,
    JournalReason,
    JournalRefused,
    JournalRuleBroken,
    JournalUnavailable,
)

WRITER_LOCK = 0x0DE1_17E2
"""Advisory lock of whoever writes to the journal: one transaction of all nodes at a time (docs/adr/0011)."""
FROZEN_SECONDS = 2
"""How long a writer may be waited for, and how long one may be silent inside its transaction, before it counts as frozen."""
MIGRATION_LOCK = WRITER_LOCK + 1
_PLACEHOLDER = re.compile(r"'[^']*'|\?(\d+)|\?|(?<!:):([a-z_]\w*)|%")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlace:
    """Where the database is and as whom we go there.

    Attributes:
        host: Name, address or socket folder; several separated by commas: the first that is a primary is taken.
        port: One number, or as many as hosts, separated by commas.
        database: Its name.
        user: The role.
        password: From a file or the environment; "" where the server asks for none.
        sslmode, sslrootcert, sslcert, sslkey: As in libpq; "" keeps libpq's own default.
        connect_timeout_seconds: For one host.
        tcp_user_timeout_seconds: How long what we sent may stay unacknowledged.
        node: Name of this node, shown in pg_stat_activity.
    """

    host: str
    port: str = "5432"
    database: str = "interceptor"
    user: str = "interceptor"
    password: str = field(default="", repr=False)
    sslmode: str = ""
    sslrootcert: str = ""
    sslcert: str = ""
    sslkey: str = ""
    connect_timeout_seconds: int = 3
    tcp_user_timeout_seconds: float = 5.0
    node: str = "interceptor"


class PostgresConnection:
    """A connection of psycopg as `sql.SqlConnection`."""

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        """In autocommit: transactions are begun and ended by statements."""
        self.raw = connection
        self._cursor: psycopg.Cursor[tuple[Any, ...]] | None = None

    def execute(self, statements: str, bindings: Any = None, /) -> "psycopg.Cursor[tuple[Any, ...]]":
        """Run one statement; without bindings, several."""
        if bindings:
            values = (
                {f"p{number}": value for number, value in enumerate(bindings, 1)} if "?1" in statements else bindings
            )
            self._cursor = self.raw.execute(as_psycopg(statements), values)
        else:
            self._cursor = self.raw.execute(statements.encode())
        return self._cursor

    def changes(self) -> int:
        """Rows that the last statement changed."""
        assert self._cursor is not None, "nothing was run"
        if self._cursor.rowcount < 0:
            # In a pipeline the answer has not come yet: asking for a row waits for it, though there is none to come.
            try:
                self._cursor.fetchone()
            except psycopg.ProgrammingError as error:
                if error.sqlstate is not None:
                    raise
        return self._cursor.rowcount


@lru_cache(maxsize=1024)
def as_psycopg(statement: str) -> bytes:
    """*statement* with the placeholders of psycopg."""

    def replace(match: re.Match[str]) -> str:
        text = match[0]
        if text.startswith("'"):
            return text.replace("%", "%%")
        if text == "%":
            return "%%"
        if match[1]:
            return f"%(p{match[1]})s"
        return f"%({match[2]})s" if match[2] else "%s"

    return _PLACEHOLDER.sub(replace, statement).encode()


def connect(place: PostgresPlace, *, read_only: bool = False, role: str = "writer") -> PostgresConnection:
    """Open a connection to the primary.

    Raises:
        JournalUnavailable: There is none that answers.
    """
    settings: dict[str, Any] = {
        "host": place.host,
        "port": place.port,
        "dbname": place.database,
        "user": place.user,
        "application_name": f"interceptor {place.node} {role}",
        "connect_timeout": place.connect_timeout_seconds,
        "target_session_attrs": "read-write",
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": round(place.tcp_user_timeout_seconds * 1000),
    }
    for name in ("password", "sslmode", "sslrootcert", "sslcert", "sslkey"):
        if value := getattr(place, name):
            settings[name] = value
    try:
        connection = psycopg.connect(autocommit=True, **settings)
        _configure(connection, read_only=read_only)
    except psycopg.Error as error:
        raise translate(error) from error
    return PostgresConnection(connection)


def _configure(connection: "psycopg.Connection[tuple[Any, ...]]", *, read_only: bool) -> None:
    # The server's side of a vanished or frozen node: its locks are gone in seconds, not after two hours.
    connection.execute(
        "SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),"
        " set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '5000', false),"
        " set_config('idle_in_transaction_session_timeout', '3000', false), set_config('statement_timeout', '0', false),"
        " set_config('lock_timeout', %s, false), set_config('default_transaction_read_only', %s, false),"
        " set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = 'remote_apply'"
        " THEN 'remote_apply' ELSE 'on' END, false)",
        (f"{FROZEN_SECONDS}s", "on" if read_only else "off"),
    )


def check_server(connection: PostgresConnection) -> tuple[str, ...]:
    """Refuse a server on which an acknowledged order could be lost; returns what is worth a warning.

    Raises:
        JournalRefused: fsync or full_page_writes is off, the encoding is not UTF-8, or this is a standby.
    """
    settings = read_settings(connection)
    for name in ("fsync", "full_page_writes"):
        if settings[name] != "on":
            raise JournalRefused(JournalReason.SETTINGS, f"the server runs with {name}={settings[name]}")
    if settings["server_encoding"] != "UTF8":
        raise JournalRefused(JournalReason.SETTINGS, f"the database is {settings['server_encoding']}, not UTF8")
    if settings["in_recovery"] != "off":
        raise JournalRefused(JournalReason.SETTINGS, "the server is a standby, not a primary")
    if settings["synchronous_commit"] not in ("on", "remote_apply"):
        detail = f"synchronous_commit is {settings['synchronous_commit']} and cannot be set to on"
        raise JournalRefused(JournalReason.SETTINGS, detail)
    return () if settings["synchronous_standby_names"] else ("no_synchronous_standby",)


def read_settings(connection: PostgresConnection) -> Mapping[str, str]:
    """The server's settings that matter to us, by name, and its version."""
    names = (
        "fsync", "full_page_writes", "server_encoding", "synchronous_commit", "synchronous_standby_names",
        "server_version", "data_checksums",
    )  # fmt: skip
    row = connection.execute(
        f"SELECT {', '.join(f'''current_setting('{name}')''' for name in names)},"
        " CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END"
    ).fetchone()
    assert row is not None
    return dict(zip((*names, "in_recovery"), row, strict=True))


def migrate(connection: PostgresConnection) -> None:
    """Bring the schema up to this program's; of several nodes that start at once, one does it.

    Raises:
        JournalRefused: The schema belongs to a newer program, or a migration that ran was changed.
    """
    connection.execute("SET lock_timeout = 0; SELECT pg_advisory_lock(" + str(MIGRATION_LOCK) + ")")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL)"
        )
        applied: dict[int, str] = dict(connection.execute("SELECT number, sha256 FROM migration").fetchall())
        for migration in pending_migrations(load_migrations("postgres"), applied):
            with connection.raw.transaction():
                connection.execute(migration.sql)
                connection.execute(
                    "INSERT INTO migration (number, name, sha256) VALUES (?, ?, ?)",
                    (migration.number, migration.name, migration.sha256),
                )
    finally:
        connection.execute("SELECT pg_advisory_unlock(?)", (MIGRATION_LOCK,))
        connection.execute(f"SET lock_timeout = '{FROZEN_SECONDS}s'")


def translate(error: psycopg.Error) -> JournalError | JournalRuleBroken:
    """PostgreSQL's error as ours. What is ours to mend is a `JournalRuleBroken`; nothing here quotes a value."""
    match error:
        case errors.IntegrityError() | errors.IntegrityConstraintViolation():
            name = error.diag.constraint_name or error.diag.message_primary or ""
            return JournalRuleBroken(f"{error.diag.table_name or ''} {name}".strip())
        case errors.DiskFull():
            return JournalUnavailable(JournalReason.FULL)
        case errors.ReadOnlySqlTransaction():
            return JournalUnavailable(JournalReason.READ_ONLY)
        case errors.LockNotAvailable() | errors.DeadlockDetected() | errors.SerializationFailure():
            return JournalUnavailable(JournalReason.LOCKED)
        case errors.DataCorrupted() | errors.IndexCorrupted():
            return JournalBroken(JournalReason.CORRUPT)
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return JournalUnavailable(JournalReason.AWAY, type(error).__name__)
        case _:
            return JournalRuleBroken(f"{type(error).__name__} {error.sqlstate or ''}".strip())
