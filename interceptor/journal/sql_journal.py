"""The journal on a database that speaks our SQL: `port.Journal` over a writer, readers, and what one adapter alone knows.

Every method is a few lines that name a function of the `*_rows` modules and run it in the writer or a reader. A method
that writes returns when what it wrote is durable.

Failures: those of the adapter's writer (`sqlite_writer`, `postgres_writer`) and readers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from interceptor.action.lifecycle import OrderState
from interceptor.journal import entry_rows, intake_rows, outbox_rows, prune_rows, restore_rows
from interceptor.journal.decision_record import DecisionRecord
from interceptor.journal.group_commit import GroupCommit
from interceptor.journal.nodes import Nodes
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
from interceptor.journal.sql import Reads, SqlConnection
from interceptor.journal.stored_form import storable_text
from interceptor.journal.upkeep import Pruned, Retention, VerifyReport

_T = TypeVar("_T")
ROWS_MAX = 100_000
"""The most rows that one read returns, whatever its caller asks for; `open_entries` alone returns all."""


class Fence(Protocol):
    """What several nodes may not do behind each other's back; everything runs in the write's own transaction."""

    def lane(self, connection: SqlConnection, where: str | OutboxId, /) -> None:
        """Raise LeaseLost where this node does not deliver to the destination, or to that of the row."""
        ...

    def intake(self, connection: SqlConnection, intake: Intake, /) -> None:
        """Raise RolledBack with a Conflict where another node took or moved an order that the decision did not know."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What one database alone knows.

    Attributes:
        verify: Check everything that is stored; an audit link that must be there, or None.
        back_up: Copy everything to a file.
        nodes: For several nodes; None where there is one.
        fence: What several nodes may not do; None where there is one.
    """

    verify: Callable[[Any, tuple[int, str] | None], VerifyReport]
    back_up: Callable[[Any, Path, datetime], None]
    nodes: Nodes | None = None
    fence: Fence | None = None


def _record_intake(
    connection: SqlConnection, *, intake: Intake, fence: Fence | None
) -> IntakeDone | AlreadyTaken | Conflict:
    # A conflict leaves as the value of RolledBack, which the types cannot show.
    if fence is not None:
        fence.intake(connection, intake)
    return intake_rows.record_intake(connection, intake)


def _on_lane(
    connection: SqlConnection, *, where: str | OutboxId, work: Callable[[SqlConnection], _T], fence: Fence | None
) -> _T:
    if fence is not None:
        fence.lane(connection, where)
    return work(connection)


class SqlJournal:
    """`port.Journal` in SQL. The methods are described there; `side_tables` is for other parts' tables."""

    def __init__(self, writer: GroupCommit, readers: Reads, adapter: Adapter) -> None:
        """Use `open_sqlite_journal` or `open_postgres_journal`."""
        self._writer = writer
        self._readers = readers
        self._adapter = adapter
        self.nodes = adapter.nodes
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
        work = partial(_record_intake, intake=intake, fence=self._adapter.fence)
        return await self._writer.submit(work, takes_custody=bool(intake.entries or intake.outgoing))

    async def apply_change(self, change: EntryChange, *, at: datetime) -> ChangeDone | Conflict:
        """Move one order."""
        entry_rows.check_change(change)
        work: Callable[[SqlConnection], ChangeDone | Conflict]
        work = partial(entry_rows.apply_change, change=change, at=at)
        return await self._writer.submit(work)

    async def apply_changes(self, changes: Sequence[EntryChange], *, at: datetime) -> tuple[ChangeDone, ...] | Conflict:
        """Move several orders, all or none."""
        for change in changes:
            entry_rows.check_change(change)
        work: Callable[[SqlConnection], tuple[ChangeDone, ...] | Conflict]
        work = partial(entry_rows.apply_changes, changes=changes, at=at)
        return await self._writer.submit(work)

    async def record_decisions(self, records: Sequence[DecisionRecord]) -> None:
        """Store decisions on orders that passed."""
        await self._writer.submit(partial(intake_rows.record_decisions, records=records))

    async def record_quarantine(self, *, route: str, reason: str, raw: bytes, at: datetime) -> None:
        """Keep bytes that are not HL7."""
        await self._writer.submit(
            partial(intake_rows.record_quarantine, route=route, reason=reason, raw=raw, at=at), takes_custody=True
        )

    async def record_audit(
        self, *, at: datetime, actor: str, action: str, entry_id: EntryId | None, detail: Mapping[str, object]
    ) -> None:
        """Append one link to the chain."""
        await self._writer.submit(
            partial(entry_rows.append_audit, at=at, actor=actor, action=action, entry_id=entry_id, detail=detail)
        )

    async def find_answer(self, identity: MessageIdentity, *, since: datetime) -> StoredAnswer | None:
        """Find what we answered to these bytes."""
        return await self._readers.read(partial(intake_rows.find_answer, identity=identity, since=since))

    async def find_control_id_reuse(self, identity: MessageIdentity, *, since: datetime) -> bool:
        """Whether the control id stood for other bytes."""
        return await self._readers.read(partial(intake_rows.find_control_id_reuse, identity=identity, since=since))

    async def entry(self, entry_id: EntryId) -> Entry | None:
        """One order by our number."""
        found = await self._entries(entry_rows.ENTRY_BY_ID, (entry_id,))
        return found[0] if found else None

    async def open_entries(self) -> tuple[Entry, ...]:
        """All orders that are PARKED, HELD or QUEUED, in the order they were taken."""
        return await self._entries(entry_rows.ENTRIES_OPEN, ())

    async def entries(
        self, *, states: Sequence[OrderState], limit: int = 1000, after: EntryId | None = None
    ) -> tuple[Entry, ...]:
        """Orders in these states, the earliest deadline first."""
        names = entry_rows.state_list(states)
        return await self._entries(entry_rows.ENTRIES_IN_STATES, (*names, min(limit, ROWS_MAX), after))

    async def latest_entry_for(self, order_key: str) -> Entry | None:
        """The newest entry of this order."""
        found = await self._entries(entry_rows.ENTRY_LATEST_OF_ORDER, (storable_text(order_key),))
        return found[0] if found else None

    async def has_gone(self, order_key: str) -> bool:
        """Whether the filler has this order, as far as decisions tell."""
        return await self._readers.read(partial(intake_rows.has_gone, order_key=order_key))

    async def followers(self, entry_id: EntryId) -> tuple[Follower, ...]:
        """What waits behind an order."""
        return await self._readers.read(partial(entry_rows.followers, entry_id=entry_id))

    async def recent_digests(self, *, since: datetime) -> tuple[bytes, ...]:
        """Digests of what we took since then."""
        return await self._readers.read(partial(intake_rows.recent_digests, since=since))

    async def claim_next(self, destination: str, *, at: datetime, inflight: bool = False) -> OutboxRow | None:
        """Claim the first due row of the lane."""
        work = partial(outbox_rows.claim_next, destination=destination, at=at, inflight=inflight)
        return await self._lane(destination, work)

    async def record_inflight(self, outbox_id: OutboxId, *, at: datetime) -> None:
        """The bytes are about to leave."""
        await self._lane(outbox_id, partial(outbox_rows.record_inflight, outbox_id=outbox_id, at=at))

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
        return await self._lane(
            outbox_id,
            lambda connection: outbox_rows.record_acked(
                connection, outbox_id, at=at, acknowledgment=acknowledgment, change=change, claim=claim_next
            ),
        )

    async def record_retry(
        self, outbox_id: OutboxId, *, at: datetime, next_attempt_at: datetime, error: str, possible_duplicate: bool
    ) -> None:
        """It goes back to pending."""
        await self._lane(
            outbox_id,
            lambda connection: outbox_rows.record_retry(
                connection,
                outbox_id,
                at=at,
                next_attempt_at=next_attempt_at,
                error=error,
                possible_duplicate=possible_duplicate,
            ),
        )

    async def record_replaced_content(self, outbox_id: OutboxId, *, at: datetime, error: str) -> None:
        """The original goes instead of what the filler refused."""
        work = partial(outbox_rows.record_replaced_content, outbox_id=outbox_id, at=at, error=error)
        await self._lane(outbox_id, work)

    async def record_dead(
        self, outbox_id: OutboxId, *, at: datetime, error: str, acknowledgment: bytes, change: EntryChange | None = None
    ) -> None:
        """The filler refused for good."""
        await self._lane(
            outbox_id,
            lambda connection: outbox_rows.record_dead(
                connection, outbox_id, at=at, error=error, acknowledgment=acknowledgment, change=change
            ),
        )

    async def _lane(self, where: str | OutboxId, work: Callable[[SqlConnection], _T]) -> _T:
        return await self._writer.submit(partial(_on_lane, where=where, work=work, fence=self._adapter.fence))

    async def recover_outbox(self, *, at: datetime) -> int:
        """After a start nothing is claimed or in flight."""
        return await self._writer.submit(partial(outbox_rows.recover, at=at))

    async def dead_letters(self, *, limit: int = 1000) -> tuple[OutboxRow, ...]:
        """Rows that are dead, the oldest first."""
        return await self._readers.read(partial(outbox_rows.dead_letters, limit=min(limit, ROWS_MAX)))

    async def requeue_dead(self, outbox_id: OutboxId, *, at: datetime, actor: str) -> bool:
        """Send a dead row again."""
        return await self._writer.submit(partial(outbox_rows.requeue_dead, outbox_id=outbox_id, at=at, actor=actor))

    async def discard_dead(self, outbox_id: OutboxId, *, at: datetime, actor: str, reason: str) -> bool:
        """Give a dead row up."""
        return await self._writer.submit(
            partial(outbox_rows.discard_dead, outbox_id=outbox_id, at=at, actor=actor, reason=reason)
        )

    async def route_modes(self) -> Mapping[str, str]:
        """Modes that were set at run time."""
        return await self._readers.read(intake_rows.route_modes)

    async def set_route_mode(self, *, route: str, mode: str, actor: str, at: datetime, reason: str) -> None:
        """Make a run-time mode durable."""
        await self._writer.submit(
            partial(intake_rows.set_route_mode, route=route, mode=mode, actor=actor, at=at, reason=reason)
        )

    async def outbox_depth(self) -> Mapping[str, tuple[int, datetime | None]]:
        """Waiting rows and the oldest one's time, by destination."""
        return await self._readers.read(outbox_rows.depth)

    async def undelivered_rows(self) -> tuple[OutboxRow, ...]:
        """Waiting rows of all destinations."""
        return await self._readers.read(outbox_rows.undelivered_rows)

    async def entry_counts(self) -> Mapping[OrderState, int]:
        """Orders by state."""
        return await self._readers.read(entry_rows.entry_counts)

    async def prune(self, *, at: datetime, retention: Retention) -> Pruned:
        """Remove what ended long ago, in small transactions."""
        removed = await prune_rows.prune_all(self._writer, at=at, retention=retention)
        await self.record_audit(at=at, actor="node", action="pruned", entry_id=None, detail=removed)
        return Pruned(**{f"{table}_count": count for table, count in removed.items()})

    async def is_restored(self) -> bool:
        """Whether this is an older copy put back."""
        return await self._readers.read(restore_rows.is_restored)

    async def confirm_restored(self, *, at: datetime, actor: str, delivered_until: datetime | None) -> int:
        """Let a restored journal go on."""
        return await self._writer.submit(
            partial(restore_rows.confirm_restored, at=at, actor=actor, delivered_until=delivered_until)
        )

    async def back_up(self, target: Path, *, at: datetime, actor: str) -> None:
        """Copy the journal as it stands to *target* while it is in use. Audited."""
        await self._readers.read(lambda connection: self._adapter.back_up(connection, target, at))
        await self.record_audit(at=at, actor=actor, action="backed_up", entry_id=None, detail={})

    async def verify(self, *, expected_link: tuple[int, str] | None = None) -> VerifyReport:
        """Check everything that is stored."""
        return await self._readers.read(lambda connection: self._adapter.verify(connection, expected_link))

    async def audit_rows(
        self, *, entry_id: EntryId | None = None, after: int = 0, limit: int = 1000
    ) -> tuple[AuditRow, ...]:
        """Links of the chain behind one, oldest first."""
        rows = entry_rows.audit_rows
        return await self._readers.read(partial(rows, entry_id=entry_id, after=after, limit=min(limit, ROWS_MAX)))

    async def probe(self, *, at: datetime) -> None:
        """Write and commit one row, as a new message would: on a disk that is nearly full it is refused too."""
        await self._writer.submit(partial(restore_rows.note_probe, at=at), takes_custody=True)

    async def _entries(self, query: str, parameters: tuple[object, ...]) -> tuple[Entry, ...]:
        return await self._readers.read(partial(entry_rows.read_entries, query=query, parameters=parameters))
