"""A batch of callers' writes in one SQLite transaction.

Each caller's work runs in its own savepoint, so that one that is refused does not take the others with it.

Failures: a commit that fails with an I/O error has an unknown outcome; from then on every caller gets
`JournalBroken` and nothing more is written, not even the checkpoint of a close. Full, locked or read-only:
nothing was written, the callers get `JournalUnavailable`, and the next batch tries again. On a full disk
the reserve file is removed and the callers that do not bring new custody are tried once more; new custody
is refused until the reserve can be made again.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from interceptor.journal.group_commit import Job, Outcome, QueueSettings, all_failed
from interceptor.journal.port import (
    JournalBroken,
    JournalError,
    JournalReason,
    JournalRuleBroken,
    JournalUnavailable,
)
from interceptor.journal.reserve import Reserve
from interceptor.journal.sql import RolledBack
from interceptor.journal.sqlite_file import WORLD_ERRORS, translate


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

    @property
    def queue(self) -> QueueSettings:
        """The limits of the queue before it."""
        return QueueSettings(queue_max=self.queue_max, batch_max=self.batch_max, idle_seconds=self.idle_seconds)


class SqliteCommits:
    """`group_commit.Committer` on one SQLite file."""

    def __init__(self, *, path: Path, settings: WriterSettings, open_connection: Callable[[], apsw.Connection]) -> None:
        """*open_connection* runs in the writer's thread."""
        self._path = path
        self._settings = settings
        self._open_connection = open_connection
        self._connection: apsw.Connection | None = None
        self._failure: JournalError | None = None
        self._broken: JournalBroken | None = None
        self._reserve = Reserve(path, size=settings.reserve_size, free_bytes_min=settings.free_bytes_min)
        self._no_room = False
        self._room_checked_at = 0.0
        self._wal_pages = 0
        self._wal_pages_done = 0
        self._inode = 0

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

    def open(self) -> None:
        """Open the file."""
        connection = self._connection = self._open_connection()
        connection.set_wal_hook(self._note_wal_size)
        self._inode = self._path.stat().st_ino
        self._no_room = not self._reserve.make()

    def break_off(self, error: JournalBroken) -> None:
        """Write nothing any more."""
        self._broken = error

    def commit(self, batch: Sequence[Job]) -> list[Outcome]:
        """See `Committer.commit`."""
        connection = self._connection
        assert connection is not None, "open comes first"
        if self._broken is not None:
            return all_failed(batch, self._broken)
        refused: list[Outcome] = []
        if not self._has_room():
            newcomers = [job for job in batch if job.takes_custody]
            refused = all_failed(newcomers, JournalUnavailable(JournalReason.FULL))
            batch = [job for job in batch if not job.takes_custody]
        try:
            return refused + self._commit(connection, batch)
        except apsw.Error as error:
            failure = self._after_failure(connection, error)
        if failure.reason is not JournalReason.FULL:
            return refused + all_failed(batch, failure)
        self._reserve.give_up()
        self._no_room = True
        newcomers = [job for job in batch if job.takes_custody]
        others = [job for job in batch if not job.takes_custody]
        refused += all_failed(newcomers, failure)
        try:
            return refused + self._commit(connection, others)
        except apsw.Error as error:
            return refused + all_failed(others, self._after_failure(connection, error))

    def _commit(self, connection: apsw.Connection, batch: Sequence[Job]) -> list[Outcome]:
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

    def keep_house(self, *, idle: bool) -> None:
        """Make a checkpoint when it is due; look whether the file is still ours."""
        connection = self._connection
        limit = self._settings.checkpoint_pages if idle else self._settings.checkpoint_pages_max
        due = self._wal_pages - self._wal_pages_done >= limit
        if self._broken is not None or connection is None or not (idle or due):
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

    def close(self) -> None:
        """Make a checkpoint and close, unless the file cannot be trusted."""
        connection = self._connection
        assert connection is not None, "open comes first"
        if self._broken is not None:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        try:
            connection.close()
        except apsw.Error as error:
            self._failure = translate(error)


def _run_in_savepoint(connection: apsw.Connection, job: Job) -> Outcome:
    connection.execute("SAVEPOINT job")
    try:
        outcome = Outcome(job.future, job.work(connection))
    except RolledBack as signal:
        outcome = Outcome(job.future, signal.outcome)
    except WORLD_ERRORS:
        raise
    except apsw.ConstraintError as error:
        # SQLite names the table, column or trigger here, never a value.
        outcome = Outcome(job.future, error=JournalRuleBroken(str(error)))
    except Exception as error:  # noqa: BLE001 - handed to the caller whose work it is
        outcome = Outcome(job.future, error=error)
    else:
        connection.execute("RELEASE job")
        return outcome
    connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
    return outcome
