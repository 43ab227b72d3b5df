"""Several nodes on one PostgreSQL: `nodes.Nodes` and the fence of `sql_journal`.

Leases and signs of life go over a connection of their own, so that a busy writer does not let a lease run out.
Notifications come over another, in a thread that also asks anyway once in a while.

Failures: a connection that is lost is opened anew by whoever needs it next; meanwhile everything here is unavailable.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import psycopg

from interceptor.action.lifecycle import OrderState
from interceptor.journal import outbox_rows
from interceptor.journal.group_commit import GroupCommit
from interceptor.journal.nodes import KnownNode, News, Position
from interceptor.journal.port import (
    Conflict,
    EntryId,
    Intake,
    JournalError,
    JournalReason,
    JournalUnavailable,
    LeaseLost,
    OutboxId,
)
from interceptor.journal.postgres_connection import PostgresConnection, PostgresPlace, connect, translate
from interceptor.journal.postgres_reader import PostgresReaders
from interceptor.journal.postgres_writer import CHANNEL
from interceptor.journal.sql import RolledBack, SqlConnection
from interceptor.journal.stored_form import read_instant, storable_text

_T = TypeVar("_T")
LISTEN_SECONDS = 1.0
"""How long the listening thread waits for a notification before it looks whether it is to end."""
STEPS_MAX = 2000
"""Audit links looked at in one answer; the rest come with the next."""

_POSITION = "SELECT coalesce((SELECT max(number) FROM audit), 0), coalesce((SELECT max(message_id) FROM message), 0)"
_STEPS = "SELECT number, entry_id, action FROM audit WHERE number > ? ORDER BY number LIMIT ?"
_DIGESTS = "SELECT digest FROM message WHERE message_id > ? AND message_id <= ? AND route = ANY(?) ORDER BY message_id"
_WAITING = """
SELECT outbox_id FROM outbox LEFT JOIN message USING (message_id)
WHERE outbox.state IN ('pending', 'claimed', 'inflight') AND outbox.kind <> 'notice'
    AND (outbox.entry_id IS NOT NULL OR message.route = ANY(?))
"""
_CONTENTS = "SELECT outbox_id, content, kind FROM outbox_with_content WHERE outbox_id = ANY(?)"
_TAKE_OVER = """
INSERT INTO lease (destination, process, epoch, expires_at, free_at)
VALUES (:destination, :process, 1, clock_timestamp() + :lease, clock_timestamp() + :free)
ON CONFLICT (destination) DO UPDATE SET process = excluded.process, epoch = lease.epoch + 1,
    expires_at = excluded.expires_at, free_at = excluded.free_at
WHERE lease.process IN ('', excluded.process) OR lease.free_at <= clock_timestamp()
RETURNING epoch
"""
_RENEW = """
UPDATE lease SET expires_at = clock_timestamp() + :lease, free_at = clock_timestamp() + :free
WHERE destination = :destination AND process = :process RETURNING destination
"""
_RELEASE = """
UPDATE lease SET process = '', expires_at = clock_timestamp(), free_at = clock_timestamp()
WHERE process = ? AND destination = ANY(?)
"""
_TAKEN = "SELECT destination FROM lease WHERE free_at > clock_timestamp() AND process NOT IN ('', ?)"
_IS_OURS = "SELECT 1 FROM lease WHERE destination = ? AND process = ?"
_IS_ROW_OURS = "SELECT 1 FROM outbox JOIN lease USING (destination) WHERE outbox_id = ? AND process = ?"
_MOVED_SINCE = """
SELECT entry.entry_id, entry.state, entry.version, entry.changed_by, entry.changed_at
FROM audit JOIN entry ON entry.entry_id = audit.entry_id
WHERE audit.number > ? AND (entry.order_key = ANY(?) OR entry.set_key = ANY(?)) LIMIT 1
"""
_BEAT = """
INSERT INTO node (process, name, seen_at, reviewed_at, detail)
VALUES (:process, :name, clock_timestamp(), clock_timestamp() - CAST(:reviewed AS interval), '{}')
ON CONFLICT (process) DO UPDATE SET seen_at = excluded.seen_at, reviewed_at = excluded.reviewed_at
"""
_KNOWN_NODES = """
SELECT node.process, node.name, extract(epoch FROM clock_timestamp() - node.seen_at)::float8,
    extract(epoch FROM clock_timestamp() - node.reviewed_at)::float8,
    (SELECT coalesce(string_agg(destination, ',' ORDER BY destination), '') FROM lease
     WHERE lease.process = node.process AND lease.expires_at > clock_timestamp())
FROM node WHERE node.seen_at > clock_timestamp() - interval '1 day' ORDER BY node.name, node.seen_at DESC
"""


class PostgresFence:
    """`sql_journal.Fence` of one process."""

    def __init__(self, process: str) -> None:
        self._process = process

    def lane(self, connection: SqlConnection, where: str | OutboxId, /) -> None:
        """Raise LeaseLost where another process delivers. The writer's lock keeps it so until the commit."""
        statement = _IS_OURS if isinstance(where, str) else _IS_ROW_OURS
        if connection.execute(statement, (where, self._process)).fetchone() is None:
            raise LeaseLost(JournalReason.LEASE_LOST)

    def intake(self, connection: SqlConnection, intake: Intake, /) -> None:
        """Raise RolledBack where an order of the same key or set was taken or moved after the decision."""
        if not intake.entries or not intake.seen:
            return
        keys = [storable_text(new.order_key) for new in intake.entries if new.order_key]
        sets = [storable_text(new.set_key) for new in intake.entries if new.set_key]
        row = connection.execute(_MOVED_SINCE, (intake.seen, keys, sets)).fetchone()
        if row is not None:
            entry_id, state, version, actor, at = row
            raise RolledBack(
                Conflict(
                    entry_id=EntryId(entry_id),
                    state=OrderState(state),
                    version=version,
                    actor=actor,
                    at=read_instant(at),
                )
            )


class PostgresNodes:
    """`nodes.Nodes`. Use `postgres.open_postgres_journal`."""

    def __init__(self, place: PostgresPlace, writer: GroupCommit, readers: PostgresReaders, *, process: str) -> None:
        self._place = place
        self._writer = writer
        self._readers = readers
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._own: PostgresConnection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-lease")
        self._listening: threading.Thread | None = None
        self._is_closing = False

    async def position(self) -> Position:
        """The newest of everything."""
        return await self._readers.read(_read_position)

    async def news(self, since: Position, *, routes: Sequence[str], known: frozenset[OutboxId]) -> News:
        """What happened since then."""
        return await self._readers.read(partial(_read_news, since=since, routes=list(routes), known=known))

    async def take_over(self, destination: str, *, lease_seconds: float, wait_seconds: float) -> int | None:
        """Become the one that delivers."""
        taken = await self._with_own(lambda one: [row[0] for row in one.execute(_TAKEN, (self._process,))])
        if destination in taken:
            return None
        values = self._lease_values(destination, lease_seconds, wait_seconds)

        def take(connection: SqlConnection) -> int | None:
            if not connection.execute(_TAKE_OVER, values).fetchall():
                return None
            return outbox_rows.recover_destination(connection, destination)

        return await self._writer.submit(take)

    async def renew(self, destinations: Mapping[str, float], *, lease_seconds: float) -> frozenset[str]:
        """Go on delivering."""

        def renew(connection: PostgresConnection) -> frozenset[str]:
            kept = set()
            for name, wait_seconds in destinations.items():
                values = self._lease_values(name, lease_seconds, wait_seconds)
                kept |= {row[0] for row in connection.execute(_RENEW, values)}
            return frozenset(kept)

        return await self._with_own(renew)

    def _lease_values(self, destination: str, lease_seconds: float, wait_seconds: float) -> dict[str, object]:
        lease = timedelta(seconds=lease_seconds)
        return {
            "destination": destination,
            "process": self._process,
            "lease": lease,
            "free": lease + timedelta(seconds=wait_seconds),
        }

    async def release(self, destinations: Sequence[str]) -> None:
        """Stop delivering."""

        def release(connection: PostgresConnection) -> None:
            connection.execute(_RELEASE, (self._process, list(destinations)))

        await self._with_own(release)

    async def beat(self, name: str, *, reviewed_seconds: float | None) -> tuple[KnownNode, ...]:
        """Give a sign of life."""
        reviewed = None if reviewed_seconds is None else timedelta(seconds=reviewed_seconds)

        def beat(connection: PostgresConnection) -> tuple[KnownNode, ...]:
            connection.execute(_BEAT, {"process": self._process, "name": name, "reviewed": reviewed})
            return tuple(
                KnownNode(
                    name=other,
                    seen_seconds=seen,
                    reviewed_seconds=reviewed_seconds,
                    delivers=tuple(filter(None, delivers.split(","))),
                    is_self=process == self._process,
                )
                for process, other, seen, reviewed_seconds, delivers in connection.execute(_KNOWN_NODES)
            )

        return await self._with_own(beat)

    def listen(self, heard: Callable[[], None]) -> None:
        """Have *heard* called in the event loop."""
        self._listening = threading.Thread(target=self._listen, args=(heard,), name="journal-listen", daemon=True)
        self._listening.start()

    async def close(self) -> None:
        """End the threads."""
        self._is_closing = True
        await asyncio.to_thread(self._thread.shutdown)
        if self._listening is not None:
            await asyncio.to_thread(self._listening.join, LISTEN_SECONDS * 5)
        if self._own is not None:
            self._own.raw.close()

    async def _with_own(self, work: Callable[[PostgresConnection], _T]) -> _T:
        try:
            return await self._loop.run_in_executor(self._thread, self._work, work)
        except RuntimeError as error:
            raise JournalUnavailable(JournalReason.CLOSED) from error

    def _work(self, work: Callable[[PostgresConnection], _T]) -> _T:
        if self._own is None or self._own.raw.closed:
            self._own = connect(self._place, role="lease")
        try:
            return work(self._own)
        except psycopg.Error as error:
            raise translate(error) from error

    def _listen(self, heard: Callable[[], None]) -> None:
        while not self._is_closing:
            try:
                with connect(self._place, role="listener").raw as connection:
                    self._hear(connection, heard)
            except (psycopg.Error, JournalError):
                time.sleep(LISTEN_SECONDS / 2)

    def _hear(self, connection: "psycopg.Connection[tuple[Any, ...]]", heard: Callable[[], None]) -> None:
        connection.execute(f"LISTEN {CHANNEL}".encode())
        self._tell(heard)
        while not self._is_closing:
            notices = connection.notifies(timeout=LISTEN_SECONDS, stop_after=1)
            if any(notice.payload != self._process for notice in notices):
                self._tell(heard)

    def _tell(self, heard: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # The loop is closed.
            self._loop.call_soon_threadsafe(heard)


def _read_position(connection: SqlConnection) -> Position:
    number, message_id = connection.execute(_POSITION).fetchone()
    return Position(number, message_id)


def _read_news(connection: SqlConnection, *, since: Position, routes: list[str], known: frozenset[OutboxId]) -> News:
    newest = _read_position(connection)
    steps = connection.execute(_STEPS, (since.audit_number, STEPS_MAX)).fetchall() if newest != since else []
    digests: list[bytes] = []
    if newest.message_id > since.message_id:
        found = connection.execute(_DIGESTS, (since.message_id, newest.message_id, routes))
        digests = [digest for (digest,) in found]
    numbers = [OutboxId(number) for (number,) in connection.execute(_WAITING, (routes,))]
    new = [number for number in numbers if number not in known]
    contents: dict[OutboxId, tuple[bytes, str]] = {}
    if new:
        contents = {number: (content, kind) for number, content, kind in connection.execute(_CONTENTS, (new,))}
    return News(
        position=Position(
            steps[-1][0] if steps else max(since.audit_number, 0), max(newest.message_id, since.message_id)
        ),
        entry_ids=tuple(dict.fromkeys(EntryId(entry_id) for _, entry_id, _ in steps if entry_id is not None)),
        has_new_modes=any(action == "mode_set" for _, _, action in steps),
        digests=tuple(digests),
        waiting={number: contents.get(number) for number in numbers if number in known or number in contents},
    )
