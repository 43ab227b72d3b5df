"""The journal in one SQLite file, embedded: the default adapter of `port.Journal`.

One thread writes and groups what arrives together into one commit (`sqlite_writer`), a few threads read.
A method that writes returns when its bytes are on the disk.

Failures: see `sqlite_writer` (a commit that fails), `sqlite_file` (a file or place that is not fit), and
`sqlite_restore` (an older copy put back).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from interceptor.journal import sqlite_restore, sqlite_verify
from interceptor.journal.group_commit import CommitReport, GroupCommit
from interceptor.journal.sql_journal import Adapter, SqlJournal
from interceptor.journal.sqlite_file import FileSettings, OwnerLock, errors_at_start, open_for_writing, prepare_place
from interceptor.journal.sqlite_reader import Readers
from interceptor.journal.sqlite_writer import SqliteCommits, WriterSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteSettings:
    """How the adapter is opened.

    Attributes:
        vfs: Name of another SQLite VFS, for the fault tests.
        allow_network_filesystem: Where locks and fsync cannot be trusted; at the site's own risk.
        reader_count: Threads that read.
        writer: Limits of the writer.
    """

    vfs: str | None = None
    busy_timeout_seconds: float = 0.25
    allow_network_filesystem: bool = False
    reader_count: int = 2
    writer: WriterSettings = field(default_factory=WriterSettings)


def journal_path(data_directory: Path) -> Path:
    """Where a node keeps its journal: in a folder that nothing else uses, so that it can be closed to others."""
    return data_directory / "journal" / "journal.db"


@asynccontextmanager
async def open_sqlite_journal(
    path: Path,
    *,
    settings: SqliteSettings | None = None,
    observe: Callable[[CommitReport], None] | None = None,
) -> AsyncIterator[SqlJournal]:
    """Open, or make, the journal at *path* for the length of the block; on leaving, what was submitted is written.

    *observe* is called in the event loop after each commit.

    Raises:
        JournalCorrupt: The file is damaged: `sqlite_salvage.set_aside` it and open a new one.
        JournalRefused: In use by another process, a newer schema, a network filesystem, a setting that does not hold.
        JournalUnavailable: Full, locked, read-only.
    """
    settings = settings or SqliteSettings()
    file = FileSettings(
        path=path,
        vfs=settings.vfs,
        busy_timeout_seconds=settings.busy_timeout_seconds,
        allow_network_filesystem=settings.allow_network_filesystem,
    )
    locks: list[OwnerLock] = []

    def open_connection() -> apsw.Connection:
        prepare_place(file)
        locks.append(OwnerLock(path))
        connection = open_for_writing(file)
        with errors_at_start(connection):
            sqlite_restore.advance_epoch(connection, path)
        return connection

    commits = SqliteCommits(path=path, settings=settings.writer, open_connection=open_connection)
    writer = GroupCommit(commits, settings.writer.queue, observe=observe)
    readers = Readers(path, vfs=settings.vfs, count=settings.reader_count)
    try:
        await writer.start()
        try:
            adapter = Adapter(
                verify=lambda connection, link: sqlite_verify.verify(connection, expected_link=link),
                back_up=lambda connection, target, at: sqlite_restore.back_up(connection, target, at=at),
            )
            yield SqlJournal(writer, readers, adapter)
        finally:
            await readers.close()
            await writer.stop()
    finally:
        for lock in locks:
            lock.give_back()
