"""The same tests on both databases: a module that uses the fixture `database` runs once on each.

A journal is named by the path that its SQLite file has; on PostgreSQL each path stands for a database of its own, which
is there again when the same path is opened again.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interceptor.journal.postgres import open_postgres_journal
from interceptor.journal.postgres_connection import PostgresPlace
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from tests.support.postgres_server import need_postgres, shared_server

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
    if path not in _PLACES:
        _PLACES[path] = shared_server().database(is_migrated=True)
    async with open_postgres_journal(_PLACES[path]) as journal:
        yield journal
