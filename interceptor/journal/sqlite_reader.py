"""Reads beside the writer: a few threads, each with a connection of its own that cannot write."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from interceptor.journal.port import JournalCorrupt, JournalReason, JournalUnavailable
from interceptor.journal.sqlite_file import open_for_reading, translate

_T = TypeVar("_T")


class Readers:
    """Threads that read what is committed."""

    def __init__(self, path: Path, *, vfs: str | None, count: int) -> None:
        """Nothing is opened before the first read."""
        self._path = path
        self._vfs = vfs
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._threads = ThreadPoolExecutor(max_workers=count, thread_name_prefix="journal-reader")

    async def read(self, work: Callable[[apsw.Connection], _T]) -> _T:
        """Run *work* on a connection of its own.

        Raises:
            JournalUnavailable: It cannot be read now.
            JournalCorrupt: The file is damaged where it was read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, work)

    async def close(self) -> None:
        """Wait for reads that have begun, then close."""
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.close()

    def _work(self, work: Callable[[apsw.Connection], _T]) -> _T:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = open_for_reading(self._path, vfs=self._vfs)
            self._connections.append(connection)
        try:
            return work(connection)
        except apsw.Error as error:
            failure = translate(error)
            if failure.reason is JournalReason.CORRUPT:
                raise JournalCorrupt(JournalReason.CORRUPT, "found while reading") from error
            raise JournalUnavailable(failure.reason, type(error).__name__) from error
