"""A SQLite journal into an empty PostgreSQL database, table by table, and the proof that both hold the same.

Rows keep their numbers. A copy that was broken off goes on when it is begun again: what is there already stays. The
database carries a mark until the copy is proven; one that has orders and no mark is somebody's journal and is refused.

Failures: a journal in use, a database that is not empty, or tables that differ at the end are a `JournalRefused`.
"""

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice

import apsw

from interceptor.journal.port import JournalReason, JournalRefused
from interceptor.journal.postgres_connection import PostgresConnection

_MARK = "copying"
_ROWS_PER_TRANSACTION = 1000
_FIRST = ("message", "entry", "evidence_source", "patient_identifier")
"""Tables that others refer to."""


def copy_journal(
    source: apsw.Connection, target: PostgresConnection, *, tell: Callable[[str, int], None]
) -> dict[str, int]:
    """Copy every table; returns rows by table. *tell* hears of each table and its rows when it is done.

    Raises:
        JournalRefused: The database is not empty, or what is in it at the end is not what was copied.
    """
    _claim(target)
    tables = _tables(source)
    counts = {}
    for table in tables:
        columns, keys = _columns(source, table)
        _copy_table(source, target, table, columns)
        _advance_numbers(target, table, columns)
        digest, counts[table] = _digest(source.execute(_select(table, columns, keys)))
        if (digest, counts[table]) != _digest(target.execute(_select(table, columns, keys))):
            raise JournalRefused(JournalReason.SETTINGS, f"the table {table} is not the same on both sides")
        tell(table, counts[table])
    target.execute("DELETE FROM meta WHERE name = ?", (_MARK,))
    return counts


def _claim(target: PostgresConnection) -> None:
    marked = target.execute("SELECT 1 FROM meta WHERE name = ?", (_MARK,)).fetchone() is not None
    used = (
        target.execute("SELECT 1 FROM audit LIMIT 1").fetchone()
        or target.execute("SELECT 1 FROM message LIMIT 1").fetchone()
    )
    if used is not None and not marked:
        raise JournalRefused(JournalReason.IN_USE, "the database has a journal already")
    target.execute("INSERT INTO meta (name, value) VALUES (?, '1') ON CONFLICT (name) DO NOTHING", (_MARK,))


def _tables(source: apsw.Connection) -> list[str]:
    found = source.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT IN ('migration', 'meta')"
    )
    names = {str(name) for (name,) in found}
    return [*(name for name in _FIRST if name in names), *sorted(names - set(_FIRST))]


def _columns(source: apsw.Connection, table: str) -> tuple[list[str], list[str]]:
    """Names of all columns, and of those that make the key, in its order."""
    rows = source.execute(f"PRAGMA table_info({table})").fetchall()
    keys = sorted((int(str(row[5])), str(row[1])) for row in rows if row[5])
    return [str(row[1]) for row in rows], [name for _, name in keys]


def _select(table: str, columns: list[str], keys: list[str]) -> str:
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(keys)}"  # noqa: S608 - names of our own schema


def _copy_table(source: apsw.Connection, target: PostgresConnection, table: str, columns: list[str]) -> None:
    marks = ", ".join("?" for _ in columns)
    insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own schema
    rows: Iterator[tuple[object, ...]] = source.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - as above
    while batch := tuple(islice(rows, _ROWS_PER_TRANSACTION)):
        with target.raw.transaction(), target.raw.pipeline():
            for row in batch:
                target.execute(insert, row)


def _advance_numbers(target: PostgresConnection, table: str, columns: list[str]) -> None:
    """What is inserted next gets a number behind those that were copied."""
    for column in columns:
        found = target.execute(
            "SELECT pg_get_serial_sequence(?, ?) FROM information_schema.columns"
            " WHERE table_name = ? AND column_name = ? AND is_identity = 'YES'",
            (table, column, table, column),
        ).fetchone()
        if found is not None:
            target.execute(
                f"SELECT setval(?, coalesce((SELECT max({column}) FROM {table}), 0) + 1, false)",  # noqa: S608 - as above
                (found[0],),
            )


def _digest(rows: Iterator[tuple[object, ...]]) -> tuple[str, int]:
    digest = hashlib.sha256()
    count = 0
    for row in rows:
        digest.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
        count += 1
    return digest.hexdigest(), count
