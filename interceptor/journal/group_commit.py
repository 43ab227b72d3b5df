"""Many callers' writes to one thread, one connection and as few commits as possible.

Natural batching: whatever arrived while the last commit was on its way to the disk shares the next one. No
timer, no tuning. The event loop is woken once per batch. What a commit is, the adapter's `Committer` knows.

Failures: a committer that raises has a fault of our own; from then on every caller gets `JournalBroken`.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from interceptor.journal.port import JournalBroken, JournalError, JournalReason, JournalUnavailable
from interceptor.journal.sql import SqlConnection

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Limits of the queue.

    Attributes:
        queue_max: Callers that may wait; more are refused.
        batch_max: Callers that share one commit at most, so that none waits for an endless batch.
        idle_seconds: How long without work counts as idle.
        custody_wait_seconds: How long a job that takes custody may wait before its COMMIT begins; then nothing of it is
            written and its caller goes on without. None: as long as it takes.
    """

    queue_max: int = 10_000
    batch_max: int = 256
    idle_seconds: float = 0.5
    custody_wait_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitReport:
    """One commit: how many callers shared it, and seconds from its BEGIN to the disk's answer."""

    job_count: int
    seconds: float


@dataclass(slots=True, eq=False)
class Job:
    """One caller's work. `takes_custody`: it brings new orders or bytes, and is refused first when room is short."""

    work: Callable[[SqlConnection], Any]
    future: "asyncio.Future[Any]"
    takes_custody: bool
    is_withdrawn: bool = False
    is_committing: bool = False


_COMMIT_BORDER = threading.Lock()


def enter_commit(jobs: Sequence[Job]) -> bool:
    """From here on none of *jobs* can be withdrawn; False when one was already."""
    with _COMMIT_BORDER:
        if any(job.is_withdrawn for job in jobs):
            return False
        for job in jobs:
            job.is_committing = True
        return True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: a value, or the error that its caller gets."""

    future: "asyncio.Future[Any]"
    value: object = None
    error: BaseException | None = None


class Committer(Protocol):
    """One database's side; everything runs in the writer's thread, the properties are read from the event loop."""

    @property
    def status(self) -> str:
        """The word "ok", or the reason why the last commit failed or new custody is refused."""
        ...

    @property
    def is_broken(self) -> bool:
        """Whether nothing will be written any more."""
        ...

    def open(self) -> None:
        """Open the connection, or raise what `GroupCommit.start` raises."""
        ...

    def commit(self, batch: Sequence[Job]) -> list[Outcome]:
        """Write *batch* in one transaction: the outcome of every job, once it is certain."""
        ...

    def break_off(self, error: JournalBroken) -> None:
        """Write nothing any more."""
        ...

    def keep_house(self, *, idle: bool) -> None:
        """Between two batches, or after an idle time."""
        ...

    def close(self) -> None:
        """Close the connection, whatever happens."""
        ...


class GroupCommit:
    """The one thread that writes. Its methods belong to the event loop's thread."""

    def __init__(
        self, committer: Committer, settings: QueueSettings, *, observe: Callable[[CommitReport], None] | None = None
    ) -> None:
        """*observe* is called in the event loop, after each commit."""
        self._committer = committer
        self._settings = settings
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = False
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)

    @property
    def status(self) -> str:
        """The word "ok", or the reason why the last commit failed or new custody is refused."""
        return self._committer.status

    @property
    def is_broken(self) -> bool:
        """Whether nothing will be written any more."""
        return self._committer.is_broken

    @property
    def queue_depth(self) -> int:
        """Callers that wait for a commit."""
        return self._jobs.qsize()

    async def start(self) -> None:
        """Start the thread; returns when the connection is open, or raises what opening raised."""
        self._thread.start()
        await asyncio.wrap_future(self._started)

    async def stop(self) -> None:
        """Finish what was submitted, then close. Nothing can be submitted any more."""
        self._stopping = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def submit(self, work: Callable[[SqlConnection], _T], *, takes_custody: bool = False) -> "asyncio.Future[_T]":
        """Have *work* run in the next batch; the future is done when it is durable.

        The future raises JournalUnavailable, JournalBroken, JournalRuleBroken, or what *work* raised.
        """
        if self._stopping:
            raise JournalUnavailable(JournalReason.CLOSED)
        if self._jobs.qsize() >= self._settings.queue_max:
            raise JournalUnavailable(JournalReason.QUEUE_FULL)
        job = Job(work, self._loop.create_future(), takes_custody)
        if takes_custody and self._settings.custody_wait_seconds is not None:
            end = self._loop.call_later(self._settings.custody_wait_seconds, _withdraw, job)
            job.future.add_done_callback(lambda _: end.cancel())
        self._jobs.put(job)
        return job.future

    def _run(self) -> None:
        try:
            self._committer.open()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits in start()
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        while (batch := self._next_batch()) is not None:
            if batch:
                self._do(batch)
            self._committer.keep_house(idle=not batch)
        self._committer.close()

    def _next_batch(self) -> list[Job] | None:
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

    def _do(self, batch: Sequence[Job]) -> None:
        started = time.perf_counter()
        try:
            outcomes = self._committer.commit(batch)
        except BaseException as error:  # noqa: BLE001 - a writer that dies in silence would leave all callers waiting
            broken = JournalBroken(JournalReason.IO, type(error).__name__)
            self._committer.break_off(broken)
            outcomes = all_failed(batch, broken)
        report = CommitReport(job_count=len(batch), seconds=time.perf_counter() - started)
        try:
            self._loop.call_soon_threadsafe(self._answer, outcomes, report)
        except RuntimeError:
            # The loop is closed: nobody waits any more. What was committed stays committed.
            self._stopping = True

    def _answer(self, outcomes: Sequence[Outcome], report: CommitReport) -> None:
        for outcome in outcomes:
            if outcome.future.done():
                continue  # The caller was cancelled; the work is done all the same.
            if outcome.error is not None:
                outcome.future.set_exception(outcome.error)
            else:
                outcome.future.set_result(outcome.value)
        if self._observe is not None:
            self._observe(report)


def _withdraw(job: Job) -> None:
    """Nothing of *job* is written any more, unless its COMMIT has begun: then its caller has to wait for the outcome."""
    with _COMMIT_BORDER:
        if job.is_committing or job.future.done():
            return
        job.is_withdrawn = True
    job.future.set_exception(JournalUnavailable(JournalReason.AWAY, "the database took too long"))


def all_failed(batch: Sequence[Job], failure: JournalError) -> list[Outcome]:
    """The same error for every caller."""
    return [Outcome(job.future, error=failure) for job in batch]
