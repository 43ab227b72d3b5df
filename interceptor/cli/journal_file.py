"""The journal as it is stored, a file or a database, for commands that do not need a running node."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from interceptor.cli.node_connection import read_config
from interceptor.cli.terminal import refuse

if TYPE_CHECKING:
    from interceptor.config.schema import Config
    from interceptor.journal.sql import SqlConnection
    from interceptor.journal.sql_journal import SqlJournal
    from interceptor.journal.upkeep import VerifyReport

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoredJournal:
    """An open journal, for reading. `file` is None for a database."""

    where: str
    file: Path | None
    connection: "SqlConnection"

    def verify(self, link: tuple[int, str] | None) -> "VerifyReport":
        """Check everything that is stored."""
        if self.file is not None:
            import apsw

            from interceptor.journal import sqlite_verify

            assert isinstance(self.connection, apsw.Connection)
            return sqlite_verify.verify(self.connection, expected_link=link)
        from interceptor.journal.postgres import verify
        from interceptor.journal.postgres_connection import PostgresConnection

        assert isinstance(self.connection, PostgresConnection)
        return verify(self.connection, link)


def place_name(config: "Config") -> str:
    """Where the journal is, for people."""
    from interceptor.journal.sqlite import journal_path

    if config.database.hosts:
        return f"{config.database.name} on {', '.join(config.database.hosts)}"
    return str(journal_path(config.node.data_directory))


@contextmanager
def opened_stored_journal(config: "Config | None", file: Path | None = None) -> Iterator[StoredJournal | None]:
    """The journal in *file*, or that of *config*; None when it was never made. Refuses one that cannot be read."""
    from interceptor.journal.port import JournalError
    from interceptor.journal.sqlite import journal_path
    from interceptor.journal.sqlite_file import open_for_reading

    if file is None and config is not None and config.database.hosts:
        with _opened_database(config) as stored:
            yield stored
        return
    assert file is not None or config is not None
    path = file if file is not None else journal_path(config.node.data_directory)  # type: ignore[union-attr]  # one is given
    if not path.exists():
        yield None
        return
    try:
        connection = open_for_reading(path)
    except JournalError as error:
        refuse(f"{path}: {error}")
    with closing(connection):
        yield StoredJournal(str(path), path, connection)


@contextmanager
def _opened_database(config: "Config") -> Iterator[StoredJournal | None]:
    from interceptor.config.secret import SecretError
    from interceptor.journal.port import JournalError
    from interceptor.journal.postgres_connection import connect
    from interceptor.journal_database import postgres_place

    try:
        connection = connect(postgres_place(config, os.environ), read_only=True, role="command")
    except (JournalError, SecretError) as error:
        refuse(f"{place_name(config)} cannot be read ({error}).")
    with closing(connection.raw):
        # The first node that starts makes the tables; until then there is no journal.
        is_made = connection.execute("SELECT to_regclass('migration') IS NOT NULL").fetchone() == (True,)
        yield StoredJournal(place_name(config), None, connection) if is_made else None


@contextmanager
def opened_journal_file(config: Path | None) -> "Iterator[SqlConnection | None]":
    """The journal of a node that does not run, for reading; None when it was never made."""
    with opened_stored_journal(read_config(config)) as stored:
        yield stored.connection if stored is not None else None


def opening(config: "Config") -> "AbstractAsyncContextManager[SqlJournal]":
    """The journal of *config*, for writing."""
    from interceptor.journal.sqlite import journal_path, open_sqlite_journal

    if config.database.hosts:
        from interceptor.journal_database import opened_database

        return opened_database(config)
    return open_sqlite_journal(journal_path(config.node.data_directory))


def change_journal(config: "Config", work: "Callable[[SqlJournal], Awaitable[_T]]") -> _T:
    """Do *work* on the journal while no node runs on it; refused where one has the file open."""
    from interceptor.journal.port import JournalError

    async def open_and_work() -> _T:
        async with opening(config) as journal:
            return await work(journal)

    try:
        return asyncio.run(open_and_work())
    except JournalError as error:
        refuse(f"{place_name(config)} cannot be changed ({error}).")
