"""A batch of callers' writes in one PostgreSQL transaction.

The batch goes through a pipeline: statements leave without waiting for the answer to the one before, unless their
answer is asked for. One that is refused, or a caller that takes its work back, undoes the whole batch; it is then
written again one by one, each caller in a savepoint of its own, as SQLite's writer does always.

Of all nodes one transaction writes at a time (an advisory lock, given back by the commit). So numbers become visible
in their order, the audit chain has one end, and what is compared is what is set (docs/adr/0011).

Failures: a connection that is lost before COMMIT was sent: nothing was written, the callers get `JournalUnavailable`.
Lost while COMMIT was under way: the outcome is unknown. The writer connects again, as long as that takes, and reads
whether the batch's own number was committed with it: a yes or no that holds on a standby that was promoted, too. Its
callers wait for that; whoever brings something new meanwhile is refused after `custody_wait_seconds`.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg
from psycopg import errors

from interceptor.journal.group_commit import Job, Outcome, all_failed, enter_commit
from interceptor.journal.port import (
    JournalBroken,
    JournalError,
    JournalReason,
    JournalRuleBroken,
    JournalUnavailable,
)
from interceptor.journal.postgres_connection import FROZEN_SECONDS, WRITER_LOCK, PostgresConnection, translate
from interceptor.journal.sql import RolledBack

CHANNEL = "interceptor_journal"
"""Notified by every commit with the number of the process that made it."""
RETRY_SECONDS = 0.5
_NOTE_BATCH = (
    "INSERT INTO writer_batch (process, batch, at) VALUES (?, ?, clock_timestamp())"
    " ON CONFLICT (process) DO UPDATE SET batch = excluded.batch, at = excluded.at"
)
_FIND_BATCH = "SELECT batch FROM writer_batch WHERE process = ?"
# A process that was frozen (SIGSTOP, a suspended guest) while it wrote: its server process waits for a word that does not
# come. One that is committing waits for the disk or a standby, never for its client, and is left alone.
_END_FROZEN = f"""
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND classid = 0 AND objid = {WRITER_LOCK} AND objsubid = 1 AND granted
    AND wait_event = 'ClientRead' AND state_change < clock_timestamp() - interval '{FROZEN_SECONDS} seconds'
    AND pg_stat_activity.datname = current_database()
"""  # noqa: S608 - our own numbers
_BEGIN = f"BEGIN; SELECT pg_advisory_xact_lock({WRITER_LOCK})"
_FORGET_PROCESSES = "DELETE FROM writer_batch WHERE at < clock_timestamp() - interval '7 days'"


class PostgresCommits:
    """`group_commit.Committer` on PostgreSQL."""

    def __init__(
        self,
        *,
        open_connection: Callable[[], PostgresConnection],
        reconnect: Callable[[], PostgresConnection],
        process: str,
        may_start_away: bool = False,
    ) -> None:
        """*open_connection* checks and migrates, *reconnect* checks alone; *process* is a name that no other process has.

        *may_start_away*: `open` does not mind that there is no server; it is tried again as a lost one is.
        """
        self._open_connection = open_connection
        self._reconnect = reconnect
        self._process = process
        self._may_start_away = may_start_away
        self.was_open = False
        """Whether the server was there once, and has our tables since."""
        self._connection: PostgresConnection | None = None
        self._failure: JournalError | None = None
        self._broken: JournalBroken | None = None
        self._batch = 0
        self._tried_at = float("-inf")
        self.is_stopping = False

    @property
    def status(self) -> str:
        """The word "ok", or the reason why the last commit failed."""
        failure = self._broken or self._failure
        return "ok" if failure is None else str(failure.reason)

    @property
    def is_broken(self) -> bool:
        """Whether nothing will be written any more."""
        return self._broken is not None

    def open(self) -> None:
        """Connect, check the server, bring the schema up to date."""
        try:
            self._connection = self._connect()
        except psycopg.Error as error:
            raise translate(error) from error
        except JournalUnavailable as error:
            if not self._may_start_away:
                raise
            self._failure = error

    def break_off(self, error: JournalBroken) -> None:
        """Write nothing any more."""
        self._broken = error

    def commit(self, batch: Sequence[Job]) -> list[Outcome]:
        """See `Committer.commit`."""
        if self._broken is not None:
            return all_failed(batch, self._broken)
        jobs = [job for job in batch if not job.is_withdrawn]
        while jobs:
            connection = self._connected()
            if connection is None:
                return all_failed(jobs, self._failure or JournalUnavailable(JournalReason.AWAY))
            outcomes = self._write(connection, jobs)
            if outcomes is not None:
                return outcomes
            # Somebody withdrew while the others were being written: without them, then.
            jobs = [job for job in jobs if not job.is_withdrawn]
        return []

    def keep_house(self, *, idle: bool) -> None:
        """A lost connection is opened again without anybody's asking."""
        if idle and self._broken is None:
            self._connected()

    def close(self) -> None:
        """Close the connection, whatever happens."""
        self._disconnect()

    def _connected(self) -> PostgresConnection | None:
        if self._connection is not None and not self._connection.raw.closed:
            return self._connection
        now = time.monotonic()
        if now - self._tried_at < RETRY_SECONDS:
            return None
        self._tried_at = now
        try:
            self._connection = self._connect()
        except JournalError as error:
            self._failure = error
            return None
        except psycopg.Error as error:
            self._note(translate(error))
            return None
        self._failure = None
        return self._connection

    def _connect(self) -> PostgresConnection:
        if self.was_open:
            return self._reconnect()
        connection = self._open_connection()
        connection.execute(_FORGET_PROCESSES)
        self.was_open = True
        return connection

    def _write(self, connection: PostgresConnection, jobs: Sequence[Job]) -> list[Outcome] | None:
        """The outcomes; None when a job was withdrawn before COMMIT and nothing was written."""
        self._batch += 1
        try:
            outcomes = self._try_pipelined(connection, jobs) or self._run_one_by_one(connection, jobs)
            if not enter_commit(jobs):
                connection.execute("ROLLBACK")
                return None
        except psycopg.Error as error:
            self._roll_back(connection)
            return all_failed(jobs, self._note(translate(error)))
        try:
            connection.execute("COMMIT")
        except psycopg.Error as error:
            if not connection.raw.closed:
                # The server is there and says no: that is an answer.
                return all_failed(jobs, self._note(translate(error)))
            return self._after_lost_commit(jobs, outcomes, error)
        self._failure = None
        return outcomes

    def _try_pipelined(self, connection: PostgresConnection, jobs: Sequence[Job]) -> list[Outcome] | None:
        """The outcomes, not yet committed; None when one was refused and everything is undone."""
        try:
            self._begin(connection)
            with connection.raw.pipeline() as pipeline:
                self._note_batch(connection)
                outcomes = [Outcome(job.future, job.work(connection)) for job in jobs]
                pipeline.sync()
        except Exception:  # whose work it was, the second run finds out
            if connection.raw.closed:
                raise
            connection.execute("ROLLBACK")
            return None
        return outcomes

    def _run_one_by_one(self, connection: PostgresConnection, jobs: Sequence[Job]) -> list[Outcome]:
        self._begin(connection)
        self._note_batch(connection)
        return [_run_in_savepoint(connection, job) for job in jobs]

    def _begin(self, connection: PostgresConnection) -> None:
        """Begin as the one that writes; a frozen process that has the lock is ended."""
        while True:
            try:
                connection.execute(_BEGIN)
            except errors.LockNotAvailable:
                connection.execute("ROLLBACK")
                connection.execute(_END_FROZEN)
            else:
                return

    def _note_batch(self, connection: PostgresConnection) -> None:
        connection.execute(_NOTE_BATCH, (self._process, self._batch))
        connection.execute("SELECT pg_notify(?, ?)", (CHANNEL, self._process))

    def _after_lost_commit(self, jobs: Sequence[Job], outcomes: list[Outcome], error: psycopg.Error) -> list[Outcome]:
        """Whether the batch was committed; asked until there is an answer."""
        self._failure = JournalUnavailable(JournalReason.AWAY, "the outcome of a commit is being looked up")
        while not self.is_stopping:
            self._disconnect()
            connection = self._connected()
            if connection is None:
                time.sleep(RETRY_SECONDS / 5)
                continue
            try:
                # The lock first: a server process that is still busy with our COMMIT has it.
                self._begin(connection)
                row = connection.execute(_FIND_BATCH, (self._process,)).fetchone()
                connection.execute("COMMIT")
            except psycopg.Error as second:
                self._note(translate(second))
                continue
            if row is not None and row[0] == self._batch:
                return outcomes
            return all_failed(jobs, JournalUnavailable(JournalReason.AWAY, type(error).__name__))
        self._broken = JournalBroken(JournalReason.AWAY, "stopped while the outcome of a commit was unknown")
        return all_failed(jobs, self._broken)

    def _note(self, failure: JournalError | JournalRuleBroken) -> JournalError:
        if isinstance(failure, JournalRuleBroken):
            # A fault of our own that is no caller's: nothing was written, the next batch may do better.
            failure = JournalUnavailable(JournalReason.IO, str(failure))
        if isinstance(failure, JournalBroken):
            self._broken = failure
        self._failure = failure
        return failure

    def _roll_back(self, connection: PostgresConnection) -> None:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.raw.close()
            self._connection = None


def _run_in_savepoint(connection: PostgresConnection, job: Job) -> Outcome:
    connection.execute("SAVEPOINT job")
    try:
        outcome = Outcome(job.future, job.work(connection))
    except RolledBack as signal:
        outcome = Outcome(job.future, signal.outcome)
    except psycopg.Error as error:
        failure = translate(error)
        if connection.raw.closed or not isinstance(failure, JournalRuleBroken):
            raise
        outcome = Outcome(job.future, error=failure)
    except Exception as error:  # noqa: BLE001 - handed to the caller whose work it is
        outcome = Outcome(job.future, error=error)
    else:
        connection.execute("RELEASE job")
        return outcome
    connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
    return outcome
