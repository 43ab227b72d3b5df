"""Reads beside the writer: a few threads, each with a connection of its own that cannot write.

Failures: a connection that was lost is opened anew by the next read; the read that noticed it is a `JournalUnavailable`
after one try more, for the server may only have been restarted.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import psycopg

from interceptor.journal.port import JournalReason, JournalUnavailable
from interceptor.journal.postgres_connection import PostgresConnection, PostgresPlace, connect, translate

_T = TypeVar("_T")


class PostgresReaders:
    """Threads that read what is committed."""

    def __init__(self, place: PostgresPlace, *, count: int, has_tables: Callable[[], bool] = lambda: True) -> None:
        """Nothing is opened before the first read. *has_tables*: False while there may be none to read yet."""
        self._place = place
        self._has_tables = has_tables
        self._local = threading.local()
        self._connections: set[PostgresConnection] = set()
        self._threads = ThreadPoolExecutor(max_workers=count, thread_name_prefix="journal-reader")

    async def read(self, work: Callable[[PostgresConnection], _T]) -> _T:
        """Run *work* on a connection of its own.

        Raises:
            JournalUnavailable: It cannot be read now.
        """
        if not self._has_tables():
            raise JournalUnavailable(JournalReason.AWAY)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, work)
        except RuntimeError as error:
            raise JournalUnavailable(JournalReason.CLOSED) from error

    async def close(self) -> None:
        """Wait for reads that have begun, then close."""
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.raw.close()

    def _work(self, work: Callable[[PostgresConnection], _T]) -> _T:
        connection: PostgresConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                return work(connection)
            except psycopg.Error as error:
                if not connection.raw.closed:
                    raise translate(error) from error
                self._drop(connection)
        connection = self._local.connection = connect(self._place, read_only=True, role="reader")
        self._connections.add(connection)
        try:
            return work(connection)
        except psycopg.Error as error:
            if connection.raw.closed:
                self._drop(connection)
            raise translate(error) from error

    def _drop(self, connection: PostgresConnection) -> None:
        self._local.connection = None
        self._connections.discard(connection)
        with suppress(psycopg.Error):
            connection.raw.close()
