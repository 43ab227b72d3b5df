"""Many callers' writes to one thread, one connection and as few fsyncs as possible.

Natural batching: whatever arrived while the last commit was on its way to the disk shares the next one. No
timer, no tuning. Each caller's work runs in its own savepoint, so that one that is refused does not take
the others with it. The event loop is woken once per batch.

Failures: a commit that fails with an I/O error has an unknown outcome; from then on every caller gets
`JournalBroken` and nothing more is written, not even the checkpoint of a close. Full, locked or read-only:
nothing was written, the callers get `JournalUnavailable`, and the next batch tries again. On a full disk
the reserve file is removed and the callers that do not bring new custody are tried once more; new custody
is refused until the reserve can be made again.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import apsw

from interceptor.journal.port import (
    JournalBroken,
    JournalError,
    JournalReason,
    JournalRuleBroken,
    JournalUnavailable,
)
from interceptor.journal.reserve import Reserve
from interceptor.journal.sqlite_file import WORLD_ERRORS, translate

_T = TypeVar("_T")


class RolledBack(Exception):  # noqa: N818 - a signal with a value, not an error
    """Raised by a caller's work: undo what it wrote, and return *outcome* to the caller."""

    def __init__(self, outcome: object) -> None:
        super().__init__()
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSettings:
    """Limits of the writer.

    Attributes:
        queue_max: Callers that may wait; more are refused.
        batch_max: Callers that share one commit at most, so that none waits for an endless batch.
        reserve_size: Bytes kept aside for a full disk.
        free_bytes_min: Below this much free space no new custody is taken; 0 for no such limit.
        checkpoint_pages: Pages in the WAL from which an idle writer makes a checkpoint.
        checkpoint_pages_max: Pages from which it makes one between two batches of a busy time. 4,000 pages are 16 MiB.
        idle_seconds: How long without work counts as idle.
        space_check_seconds: How often free space is looked at, and a full disk tried again for new custody.
    """

    queue_max: int = 10_000
    batch_max: int = 256
    reserve_size: int = 1024 * 1024
    free_bytes_min: int = 32 * 1024 * 1024
    checkpoint_pages: int = 500
    checkpoint_pages_max: int = 4000
    idle_seconds: float = 0.5
    space_check_seconds: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitReport:
    """One commit: how many callers shared it, and seconds from its BEGIN to the disk's answer."""

    job_count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[apsw.Connection], Any]
    future: "asyncio.Future[Any]"
    takes_custody: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    future: "asyncio.Future[Any]"
    value: object = None
    error: BaseException | None = None


class Writer:
    """The one thread that writes. Its methods belong to the event loop's thread."""

    def __init__(
        self,
        *,
        path: Path,
        settings: WriterSettings,
        open_connection: Callable[[], apsw.Connection],
        observe: Callable[[CommitReport], None] | None = None,
    ) -> None:
        """*open_connection* runs in the writer's thread; *observe* in the event loop, after each commit."""
        self._path = path
        self._settings = settings
        self._open_connection = open_connection
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._stopping = False
        self._failure: JournalError | None = None
        self._broken: JournalBroken | None = None
        self._reserve = Reserve(path, size=settings.reserve_size, free_bytes_min=settings.free_bytes_min)
        self._no_room = False
        self._room_checked_at = 0.0
        self._wal_pages = 0
        self._wal_pages_done = 0
        self._inode = 0
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)

    @property
    def status(self) -> str:
        """The word "ok", or the reason why the last commit failed or new custody is refused."""
        failure = self._broken or self._failure
        if failure is not None:
            return str(failure.reason)
        return str(JournalReason.FULL) if self._no_room else "ok"

    @property
    def is_broken(self) -> bool:
        """Whether nothing will be written any more."""
        return self._broken is not None

    @property
    def queue_depth(self) -> int:
        """Callers that wait for a commit."""
        return self._jobs.qsize()

    async def start(self) -> None:
        """Start the thread; returns when the connection is open, or raises what opening raised."""
        self._thread.start()
        await asyncio.wrap_future(self._started)

    async def stop(self) -> None:
        """Finish what was submitted, make a checkpoint, close. Nothing can be submitted any more."""
        self._stopping = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def submit(self, work: Callable[[apsw.Connection], _T], *, takes_custody: bool = False) -> "asyncio.Future[_T]":
        """Have *work* run in the next batch; the future is done when it is durable.

        The future raises JournalUnavailable, JournalBroken, JournalRuleBroken, or what *work* raised.
        """
        if self._stopping:
            raise JournalUnavailable(JournalReason.CLOSED)
        if self._jobs.qsize() >= self._settings.queue_max:
            raise JournalUnavailable(JournalReason.QUEUE_FULL)
        future: asyncio.Future[_T] = self._loop.create_future()
        self._jobs.put(_Job(work, future, takes_custody))
        return future

    def _run(self) -> None:
        try:
            connection = self._open_connection()
            connection.set_wal_hook(self._note_wal_size)
            self._inode = self._path.stat().st_ino
            self._no_room = not self._reserve.make()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits in start()
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        while (batch := self._next_batch()) is not None:
            if batch:
                self._do(connection, batch)
            self._keep_house(connection, idle=not batch)
        self._close(connection)

    def _next_batch(self) -> list[_Job] | None:
        """The next jobs; an empty list after an idle time with work for the idle; None at the end."""
        try:
            job = self._jobs.get(timeout=self._settings.idle_seconds)
        except queue.Empty:
            return []
        batch = []
        while job is not None:
            batch.append(job)
            if len(batch) >= self._settings.batch_max:
                return batch
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._jobs.put(None)
            return batch
        return None

    def _do(self, connection: apsw.Connection, batch: Sequence[_Job]) -> None:
        started = time.perf_counter()
        try:
            outcomes = self._commit_or_refuse(connection, batch)
        except BaseException as error:  # noqa: BLE001 - a writer that dies in silence would leave all callers waiting
            self._broken = JournalBroken(JournalReason.IO, type(error).__name__)
            outcomes = [_Outcome(job.future, error=self._broken) for job in batch]
        report = CommitReport(job_count=len(batch), seconds=time.perf_counter() - started)
        try:
            self._loop.call_soon_threadsafe(self._answer, outcomes, report)
        except RuntimeError:
            # The loop is closed: nobody waits any more. What was committed stays committed.
            self._stopping = True

    def _commit_or_refuse(self, connection: apsw.Connection, batch: Sequence[_Job]) -> list[_Outcome]:
        if self._broken is not None:
            return _all_failed(batch, self._broken)
        refused: list[_Outcome] = []
        if not self._has_room():
            newcomers = [job for job in batch if job.takes_custody]
            refused = _all_failed(newcomers, JournalUnavailable(JournalReason.FULL))
            batch = [job for job in batch if not job.takes_custody]
        try:
            return refused + self._commit(connection, batch)
        except apsw.Error as error:
            failure = self._after_failure(connection, error)
        if failure.reason is not JournalReason.FULL:
            return refused + _all_failed(batch, failure)
        self._reserve.give_up()
        self._no_room = True
        newcomers = [job for job in batch if job.takes_custody]
        others = [job for job in batch if not job.takes_custody]
        refused += _all_failed(newcomers, failure)
        try:
            return refused + self._commit(connection, others)
        except apsw.Error as error:
            return refused + _all_failed(others, self._after_failure(connection, error))

    def _commit(self, connection: apsw.Connection, batch: Sequence[_Job]) -> list[_Outcome]:
        if not batch:
            return []
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_run_in_savepoint(connection, job) for job in batch]
        connection.execute("COMMIT")
        self._failure = None
        return outcomes

    def _after_failure(self, connection: apsw.Connection, error: apsw.Error) -> JournalError:
        failure = self._failure = translate(error)
        if isinstance(failure, JournalBroken):
            self._broken = failure
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error as second:
            self._broken = JournalBroken(JournalReason.IO, type(second).__name__)
        return self._broken or failure

    def _has_room(self) -> bool:
        """Whether new custody may be taken; looks at the disk once in a while only."""
        now = time.monotonic()
        if now - self._room_checked_at >= self._settings.space_check_seconds:
            self._room_checked_at = now
            self._no_room = self._reserve.is_low() or (self._no_room and not self._reserve.make())
        return not self._no_room

    def _note_wal_size(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._wal_pages = pages
        if pages < self._wal_pages_done:
            self._wal_pages_done = 0  # The WAL began anew.
        return apsw.SQLITE_OK

    def _keep_house(self, connection: apsw.Connection, *, idle: bool) -> None:
        limit = self._settings.checkpoint_pages if idle else self._settings.checkpoint_pages_max
        due = self._wal_pages - self._wal_pages_done >= limit
        if self._broken is not None or not (idle or due):
            return
        try:
            if self._path.stat().st_ino != self._inode:
                self._broken = JournalBroken(JournalReason.IO, "the file was moved or replaced")
                return
            if idle and self._no_room:
                self._has_room()
            if due:
                self._wal_pages_done = self._wal_pages
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except OSError:
            self._broken = JournalBroken(JournalReason.IO, "the file is gone")
        except apsw.Error as error:
            failure = translate(error)
            # After a failed fsync the kernel may have dropped what it could not write: never try that again.
            if isinstance(failure, JournalBroken):
                self._broken = failure

    def _close(self, connection: apsw.Connection) -> None:
        if self._broken is not None:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        try:
            connection.close()
        except apsw.Error as error:
            self._failure = translate(error)

    def _answer(self, outcomes: Sequence[_Outcome], report: CommitReport) -> None:
        for outcome in outcomes:
            if outcome.future.done():
                continue  # The caller was cancelled; the work is done all the same.
            if outcome.error is not None:
                outcome.future.set_exception(outcome.error)
            else:
                outcome.future.set_result(outcome.value)
        if self._observe is not None:
            self._observe(report)


def _all_failed(batch: Sequence[_Job], failure: JournalError) -> list[_Outcome]:
    return [_Outcome(job.future, error=failure) for job in batch]


def _run_in_savepoint(connection: apsw.Connection, job: _Job) -> _Outcome:
    connection.execute("SAVEPOINT job")
    try:
        outcome = _Outcome(job.future, job.work(connection))
    except RolledBack as signal:
        outcome = _Outcome(job.future, signal.outcome)
    except WORLD_ERRORS:
        raise
    except apsw.ConstraintError as error:
        # SQLite names the table, column or trigger here, never a value.
        outcome = _Outcome(job.future, error=JournalRuleBroken(str(error)))
    except Exception as error:  # noqa: BLE001 - handed to the caller whose work it is
        outcome = _Outcome(job.future, error=error)
    else:
        connection.execute("RELEASE job")
        return outcome
    connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
    return outcome
