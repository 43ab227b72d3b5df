"""The journal on PostgreSQL, for several nodes: the other adapter of `port.Journal`.

One thread writes and groups what arrives together into one commit (`postgres_writer`), a few threads read. A method
that writes returns when the server has flushed it, and its synchronous standby, where there is one.

Failures: see `postgres_writer` (a commit whose outcome is unknown) and `postgres_connection` (a server that is not fit).
"""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg

from interceptor.journal.group_commit import CommitReport, GroupCommit, QueueSettings
from interceptor.journal.port import JournalReason, JournalUnavailable
from interceptor.journal.postgres_connection import PostgresConnection, PostgresPlace, check_server, connect, migrate
from interceptor.journal.postgres_nodes import PostgresFence, PostgresNodes
from interceptor.journal.postgres_reader import PostgresReaders
from interceptor.journal.postgres_writer import PostgresCommits
from interceptor.journal.sql_journal import Adapter, SqlJournal
from interceptor.journal.upkeep import VerifyReport
from interceptor.journal.verify_rows import check_rows

CUSTODY_WAIT_SECONDS = 3.0
"""How long a message waits for the database before it goes on without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSettings:
    """How the adapter is opened.

    Attributes:
        reader_count: Threads that read.
        queue: Limits of the writer's queue.
        is_fenced: Whether only the holder of a destination's lease takes messages from its outbox.
        may_start_away: Whether the journal opens while there is no server: everything is refused until there is one.
    """

    reader_count: int = 2
    is_fenced: bool = False
    may_start_away: bool = False
    queue: QueueSettings = field(default_factory=lambda: QueueSettings(custody_wait_seconds=CUSTODY_WAIT_SECONDS))


@asynccontextmanager
async def open_postgres_journal(
    place: PostgresPlace,
    *,
    settings: PostgresSettings | None = None,
    observe: Callable[[CommitReport], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> AsyncIterator[SqlJournal]:
    """Open the journal at *place* for the length of the block; on leaving, what was submitted is written.

    *observe* is called in the event loop after each commit; *warn* in another thread with what is not as it should be.

    Raises:
        JournalRefused: The server or the schema is not one that we write to.
        JournalUnavailable: There is no server, and *settings* do not allow for that.
    """
    settings = settings or PostgresSettings()

    def checked() -> PostgresConnection:
        connection = connect(place)
        for warning in check_server(connection):
            if warn is not None:
                warn(warning)
        return connection

    def opened() -> PostgresConnection:
        connection = checked()
        migrate(connection)
        return connection

    process = f"{place.node} {secrets.token_hex(8)}"
    commits = PostgresCommits(
        open_connection=opened, reconnect=checked, process=process, may_start_away=settings.may_start_away
    )
    writer = GroupCommit(commits, settings.queue, observe=observe)
    readers = PostgresReaders(place, count=settings.reader_count, has_tables=lambda: commits.was_open)
    await writer.start()
    nodes = PostgresNodes(place, writer, readers, process=process)
    fence = PostgresFence(process) if settings.is_fenced else None
    try:
        yield SqlJournal(writer, readers, Adapter(verify=verify, back_up=_back_up, nodes=nodes, fence=fence))
    finally:
        await nodes.close()
        commits.is_stopping = True
        await readers.close()
        await writer.stop()


def verify(connection: PostgresConnection, expected_link: tuple[int, str] | None) -> VerifyReport:
    """Check everything that is stored, as it stands at one moment; *expected_link* as in `verify_rows.check_rows`."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        return check_rows(connection, expected_link=expected_link, before=(), errors=psycopg.Error)
    finally:
        connection.execute("ROLLBACK")


def _back_up(_connection: PostgresConnection, _target: Path, _at: datetime) -> None:
    raise JournalUnavailable(JournalReason.CANNOT_OPEN, "a PostgreSQL journal is backed up with PostgreSQL's own tools")
