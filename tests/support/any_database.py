"""The same tests on both databases: a module that uses the fixture `database` runs once on each.

A journal is named by the path that its SQLite file has; on PostgreSQL each path stands for a database of its own, which
is there again when the same path is opened again.
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interceptor.journal.postgres import open_postgres_journal
from interceptor.journal.postgres_connection import PostgresPlace
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from tests.support.postgres_server import PASSWORD, need_postgres, shared_server

_CHOSEN = ["sqlite"]
_PLACES: dict[Path, PostgresPlace] = {}


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The database that `open_journal` opens a journal in."""
    if request.param == "postgres":
        need_postgres()
    _CHOSEN.append(request.param)
    yield request.param
    _CHOSEN.pop()
    for place in _PLACES.values():
        shared_server().drop(place)
    _PLACES.clear()


@asynccontextmanager
async def open_journal(path: Path, *, settings: SqliteSettings | None = None) -> AsyncIterator[SqlJournal]:
    """The journal at *path*; *settings* are for SQLite."""
    if _CHOSEN[-1] == "sqlite":
        async with open_sqlite_journal(path, settings=settings) as journal:
            yield journal
        return
    async with open_postgres_journal(_place(path)) as journal:
        yield journal


def _place(path: Path) -> PostgresPlace:
    if path not in _PLACES:
        _PLACES[path] = shared_server().database(is_migrated=True)
    return _PLACES[path]


def database_of(path: Path) -> PostgresPlace | None:
    """The database that stands for *path*; None on SQLite."""
    return None if _CHOSEN[-1] == "sqlite" else _place(path)


def address_of(path: Path) -> str:
    """The journal at *path* in one word, for another process: see `open_address`."""
    place = database_of(path)
    return str(path) if place is None else f"postgres:{place.port}:{place.database}"


@asynccontextmanager
async def open_address(address: str, *, settings: SqliteSettings | None = None) -> AsyncIterator[SqlJournal]:
    """In the other process: the journal that `address_of` named."""
    kind, _, rest = address.partition(":")
    if kind != "postgres":
        async with open_sqlite_journal(Path(address), settings=settings) as journal:
            yield journal
        return
    port, _, name = rest.partition(":")
    place = PostgresPlace(host="127.0.0.1", port=port, database=name, password=PASSWORD, node="other")
    async with open_postgres_journal(place) as journal:
        yield journal


def leave_as_killed(path: Path, next_path: Path) -> None:
    """What a killed process leaves behind, at *next_path*: the files as they are, or a database whose clients are gone."""
    place = database_of(path)
    if place is None:
        shutil.copytree(path.parent, next_path.parent)
        return
    with shared_server().connect("postgres") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (place.database,)
        )
    _PLACES[next_path] = _PLACES.pop(path)


def remove_journal(path: Path) -> None:
    """The journal at *path* is needed no more."""
    shutil.rmtree(path.parent, ignore_errors=True)
    if (place := _PLACES.pop(path, None)) is not None:
        shared_server().drop(place)
