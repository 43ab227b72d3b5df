"""The journal in one SQLite file, embedded: the default adapter of `port.Journal`.

One thread writes and groups what arrives together into one commit (`sqlite_writer`), a few threads read.
A method that writes returns when its bytes are on the disk.

Failures: see `sqlite_writer` (a commit that fails), `sqlite_file` (a file or place that is not fit), and
`sqlite_restore` (an older copy put back).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import apsw

from interceptor.action.lifecycle import OrderState
from interceptor.journal import sqlite_entry, sqlite_intake, sqlite_outbox, sqlite_prune, sqlite_restore, sqlite_verify
from interceptor.journal.decision_record import DecisionRecord
from interceptor.journal.port import (
    AlreadyTaken,
    AuditRow,
    ChangeDone,
    Conflict,
    Entry,
    EntryChange,
    EntryId,
    Follower,
    Intake,
    IntakeDone,
    MessageIdentity,
    OutboxId,
    OutboxRow,
    StoredAnswer,
)
from interceptor.journal.side_tables import SideTables
from interceptor.journal.sqlite_file import FileSettings, OwnerLock, errors_at_start, open_for_writing, prepare_place
from interceptor.journal.sqlite_reader import Readers
from interceptor.journal.sqlite_writer import CommitReport, Writer, WriterSettings
from interceptor.journal.stored_form import storable_text
from interceptor.journal.upkeep import Pruned, Retention, VerifyReport

ROWS_MAX = 100_000
"""The most rows that one read returns, whatever its caller asks for; `open_entries` alone returns all."""


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


def state_limit_after(
    states: Sequence[OrderState], limit: int, after: EntryId | None
) -> tuple[str, int, EntryId | None]:
    """The parameters of `sqlite_entry.ENTRIES_IN_STATES`."""
    return sqlite_entry.state_list(states), min(limit, ROWS_MAX), after


class SqliteJournal:
    """`port.Journal` on one SQLite file. The methods are described there; `side_tables` is for other parts' tables."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        """Use `open_sqlite_journal`."""
        self._writer = writer
        self._readers = readers
        self.side_tables = SideTables(writer, readers)

    @property
    def status(self) -> str:
        """The word "ok", or the reason why the last commit failed or new custody is refused."""
        return self._writer.status

    @property
    def is_broken(self) -> bool:
        """Whether nothing will be written any more: leave, and start again."""
        return self._writer.is_broken

    @property
    def queue_depth(self) -> int:
        """Callers that wait for a commit."""
        return self._writer.queue_depth

    async def record_intake(self, intake: Intake) -> IntakeDone | AlreadyTaken | Conflict:
        """Store a message with all that follows from it."""
        # The conflict leaves the work as the value of RolledBack, which the types cannot show.
        work: Callable[[apsw.Connection], IntakeDone | AlreadyTaken | Conflict]
        work = partial(sqlite_intake.record_intake, intake=intake)
        return await self._writer.submit(work, takes_custody=bool(intake.entries or intake.outgoing))

    async def apply_change(self, change: EntryChange, *, at: datetime) -> ChangeDone | Conflict:
        """Move one order."""
        sqlite_entry.check_change(change)
        work: Callable[[apsw.Connection], ChangeDone | Conflict]
        work = partial(sqlite_entry.apply_change, change=change, at=at)
        return await self._writer.submit(work)

    async def apply_changes(self, changes: Sequence[EntryChange], *, at: datetime) -> tuple[ChangeDone, ...] | Conflict:
        """Move several orders, all or none."""
        for change in changes:
            sqlite_entry.check_change(change)
        work: Callable[[apsw.Connection], tuple[ChangeDone, ...] | Conflict]
        work = partial(sqlite_entry.apply_changes, changes=changes, at=at)
        return await self._writer.submit(work)

    async def record_decisions(self, records: Sequence[DecisionRecord]) -> None:
        """Store decisions on orders that passed."""
        await self._writer.submit(partial(sqlite_intake.record_decisions, records=records))

    async def record_quarantine(self, *, route: str, reason: str, raw: bytes, at: datetime) -> None:
        """Keep bytes that are not HL7."""
        await self._writer.submit(
            partial(sqlite_intake.record_quarantine, route=route, reason=reason, raw=raw, at=at), takes_custody=True
        )

    async def record_audit(
        self, *, at: datetime, actor: str, action: str, entry_id: EntryId | None, detail: Mapping[str, object]
    ) -> None:
        """Append one link to the chain."""
        await self._writer.submit(
            partial(sqlite_entry.append_audit, at=at, actor=actor, action=action, entry_id=entry_id, detail=detail)
        )

    async def find_answer(self, identity: MessageIdentity, *, since: datetime) -> StoredAnswer | None:
        """Find what we answered to these bytes."""
        return await self._readers.read(partial(sqlite_intake.find_answer, identity=identity, since=since))

    async def find_control_id_reuse(self, identity: MessageIdentity, *, since: datetime) -> bool:
        """Whether the control id stood for other bytes."""
        return await self._readers.read(partial(sqlite_intake.find_control_id_reuse, identity=identity, since=since))

    async def entry(self, entry_id: EntryId) -> Entry | None:
        """One order by our number."""
        return next(iter(await self._entries(sqlite_entry.ENTRY_BY_ID, (entry_id,))), None)

    async def open_entries(self) -> tuple[Entry, ...]:
        """All orders that are PARKED, HELD or QUEUED, in the order they were taken."""
        return await self._entries(sqlite_entry.ENTRIES_OPEN, ())

    async def entries(
        self, *, states: Sequence[OrderState], limit: int = 1000, after: EntryId | None = None
    ) -> tuple[Entry, ...]:
        """Orders in these states, the earliest deadline first."""
        return await self._entries(sqlite_entry.ENTRIES_IN_STATES, state_limit_after(states, limit, after))

    async def latest_entry_for(self, order_key: str) -> Entry | None:
        """The newest entry of this order."""
        return next(iter(await self._entries(sqlite_entry.ENTRY_LATEST_OF_ORDER, (storable_text(order_key),))), None)

    async def has_gone(self, order_key: str) -> bool:
        """Whether the filler has this order, as far as decisions tell."""
        return await self._readers.read(partial(sqlite_intake.has_gone, order_key=order_key))

    async def followers(self, entry_id: EntryId) -> tuple[Follower, ...]:
        """What waits behind an order."""
        return await self._readers.read(partial(sqlite_entry.followers, entry_id=entry_id))

    async def recent_digests(self, *, since: datetime) -> tuple[bytes, ...]:
        """Digests of what we took since then."""
        return await self._readers.read(partial(sqlite_intake.recent_digests, since=since))

    async def claim_next(self, destination: str, *, at: datetime, inflight: bool = False) -> OutboxRow | None:
        """Claim the first due row of the lane."""
        return await self._writer.submit(
            partial(sqlite_outbox.claim_next, destination=destination, at=at, inflight=inflight)
        )

    async def record_inflight(self, outbox_id: OutboxId, *, at: datetime) -> None:
        """The bytes are about to leave."""
        await self._writer.submit(partial(sqlite_outbox.record_inflight, outbox_id=outbox_id, at=at))

    async def record_acked(
        self,
        outbox_id: OutboxId,
        *,
        at: datetime,
        acknowledgment: bytes,
        change: EntryChange | None = None,
        claim_next: bool = False,
    ) -> OutboxRow | None:
        """The filler took it."""
        work = partial(
            sqlite_outbox.record_acked,
            outbox_id=outbox_id,
            at=at,
            acknowledgment=acknowledgment,
            change=change,
            claim=claim_next,
        )
        return await self._writer.submit(work)

    async def record_retry(
        self, outbox_id: OutboxId, *, at: datetime, next_attempt_at: datetime, error: str, possible_duplicate: bool
    ) -> None:
        """It goes back to pending."""
        work = partial(
            sqlite_outbox.record_retry,
            outbox_id=outbox_id,
            at=at,
            next_attempt_at=next_attempt_at,
            error=error,
            possible_duplicate=possible_duplicate,
        )
        await self._writer.submit(work)

    async def record_replaced_content(self, outbox_id: OutboxId, *, at: datetime, error: str) -> None:
        """The original goes instead of what the filler refused."""
        await self._writer.submit(
            partial(sqlite_outbox.record_replaced_content, outbox_id=outbox_id, at=at, error=error)
        )

    async def record_dead(
        self,
        outbox_id: OutboxId,
        *,
        at: datetime,
        error: str,
        acknowledgment: bytes,
        change: EntryChange | None = None,
    ) -> None:
        """The filler refused for good."""
        work = partial(
            sqlite_outbox.record_dead,
            outbox_id=outbox_id,
            at=at,
            error=error,
            acknowledgment=acknowledgment,
            change=change,
        )
        await self._writer.submit(work)

    async def recover_outbox(self, *, at: datetime) -> int:
        """After a start nothing is claimed or in flight."""
        return await self._writer.submit(partial(sqlite_outbox.recover, at=at))

    async def dead_letters(self, *, limit: int = 1000) -> tuple[OutboxRow, ...]:
        """Rows that are dead, the oldest first."""
        return await self._readers.read(partial(sqlite_outbox.dead_letters, limit=min(limit, ROWS_MAX)))

    async def requeue_dead(self, outbox_id: OutboxId, *, at: datetime, actor: str) -> bool:
        """Send a dead row again."""
        return await self._writer.submit(partial(sqlite_outbox.requeue_dead, outbox_id=outbox_id, at=at, actor=actor))

    async def discard_dead(self, outbox_id: OutboxId, *, at: datetime, actor: str, reason: str) -> bool:
        """Give a dead row up."""
        return await self._writer.submit(
            partial(sqlite_outbox.discard_dead, outbox_id=outbox_id, at=at, actor=actor, reason=reason)
        )

    async def route_modes(self) -> Mapping[str, str]:
        """Modes that were set at run time."""
        return await self._readers.read(sqlite_intake.route_modes)

    async def set_route_mode(self, *, route: str, mode: str, actor: str, at: datetime, reason: str) -> None:
        """Make a run-time mode durable."""
        await self._writer.submit(
            partial(sqlite_intake.set_route_mode, route=route, mode=mode, actor=actor, at=at, reason=reason)
        )

    async def outbox_depth(self) -> Mapping[str, tuple[int, datetime | None]]:
        """Waiting rows and the oldest one's time, by destination."""
        return await self._readers.read(sqlite_outbox.depth)

    async def undelivered_rows(self) -> tuple[OutboxRow, ...]:
        """Waiting rows of all destinations."""
        return await self._readers.read(sqlite_outbox.undelivered_rows)

    async def entry_counts(self) -> Mapping[OrderState, int]:
        """Orders by state."""
        return await self._readers.read(sqlite_entry.entry_counts)

    async def prune(self, *, at: datetime, retention: Retention) -> Pruned:
        """Remove what ended long ago, in small transactions."""
        removed = await sqlite_prune.prune_all(self._writer, at=at, retention=retention)
        await self.record_audit(at=at, actor="node", action="pruned", entry_id=None, detail=removed)
        return Pruned(**{f"{table}_count": count for table, count in removed.items()})

    async def is_restored(self) -> bool:
        """Whether this is an older copy put back."""
        return await self._readers.read(sqlite_restore.is_restored)

    async def confirm_restored(self, *, at: datetime, actor: str, delivered_until: datetime | None) -> int:
        """Let a restored journal go on."""
        return await self._writer.submit(
            partial(sqlite_restore.confirm_restored, at=at, actor=actor, delivered_until=delivered_until)
        )

    async def back_up(self, target: Path, *, at: datetime, actor: str) -> None:
        """Copy the journal as it stands to *target* while it is in use. Audited. See `sqlite_restore.back_up`."""
        await self._readers.read(partial(sqlite_restore.back_up, target=target, at=at))
        await self.record_audit(at=at, actor=actor, action="backed_up", entry_id=None, detail={})

    async def verify(self, *, expected_link: tuple[int, str] | None = None) -> VerifyReport:
        """Check everything that is stored. See `sqlite_verify.verify`."""
        return await self._readers.read(partial(sqlite_verify.verify, expected_link=expected_link))

    async def audit_rows(
        self, *, entry_id: EntryId | None = None, after: int = 0, limit: int = 1000
    ) -> tuple[AuditRow, ...]:
        """Links of the chain behind one, oldest first."""
        rows = sqlite_entry.audit_rows
        return await self._readers.read(partial(rows, entry_id=entry_id, after=after, limit=min(limit, ROWS_MAX)))

    async def probe(self, *, at: datetime) -> None:
        """Write and commit one row, as a new message would: on a disk that is nearly full it is refused too."""
        await self._writer.submit(partial(sqlite_restore.note_probe, at=at), takes_custody=True)

    async def _entries(self, query: str, values: tuple[object, ...]) -> tuple[Entry, ...]:
        return await self._readers.read(partial(sqlite_entry.read_entries, query=query, parameters=values))


@asynccontextmanager
async def open_sqlite_journal(
    path: Path,
    *,
    settings: SqliteSettings | None = None,
    observe: Callable[[CommitReport], None] | None = None,
) -> AsyncIterator[SqliteJournal]:
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

    writer = Writer(path=path, settings=settings.writer, open_connection=open_connection, observe=observe)
    readers = Readers(path, vfs=settings.vfs, count=settings.reader_count)
    try:
        await writer.start()
        try:
            yield SqliteJournal(writer, readers)
        finally:
            await readers.close()
            await writer.stop()
    finally:
        for lock in locks:
            lock.give_back()
