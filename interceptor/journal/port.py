"""What the node needs of a journal: the port and its values.

Every method that writes returns only after its transaction is durable. Times are aware UTC datetimes and
come in as arguments; the journal has no clock.

Cancelling a caller does not take its write back: what was handed over is written, or refused, all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, NewType, Protocol

from interceptor.action.lifecycle import LifecycleEvent, OrderState
from interceptor.journal.decision_record import DecisionRecord
from interceptor.journal.upkeep import Pruned, Retention

EntryId = NewType("EntryId", int)
"""Our own number of an order in custody: positive, never used twice."""
MessageId = NewType("MessageId", int)
OutboxId = NewType("OutboxId", int)
OutgoingKind = Literal["order", "message", "notice"]
"""What an outgoing message is: "order" moves its entry when acknowledged or dead, "message" is anything else of
the placer's, "notice" is ours, to the placer."""


class JournalReason(StrEnum):
    """Why the journal cannot do what it was asked: the closed set for logs and metrics."""

    FULL = "full"
    AWAY = "away"
    LEASE_LOST = "lease_lost"
    LOCKED = "locked"
    READ_ONLY = "read_only"
    QUEUE_FULL = "queue_full"
    CLOSED = "closed"
    CANNOT_OPEN = "cannot_open"
    IN_USE = "in_use"
    IO = "io"
    CORRUPT = "corrupt"
    NEWER_SCHEMA = "newer_schema"
    CHANGED_MIGRATION = "changed_migration"
    NETWORK_FILESYSTEM = "network_filesystem"
    SETTINGS = "settings"


class JournalError(Exception):
    """Something with the journal's storage; `reason` is of the closed set. Never carries message content."""

    def __init__(self, reason: JournalReason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason


class JournalUnavailable(JournalError):  # noqa: N818 - the state's name, as in the failure table
    """Nothing was written: full, locked, read-only. The caller may go on without."""


class JournalBroken(JournalError):  # noqa: N818 - the state's name, as in the failure table
    """A commit failed and its outcome is unknown. Nothing more is written until the process restarts."""


class JournalCorrupt(JournalError):  # noqa: N818 - the state's name, as in the failure table
    """The file is damaged. Keep it aside, start a new one, report what can still be read."""


class JournalRefused(JournalError):  # noqa: N818 - a state, as its siblings
    """The journal will not be opened: in use by another process, a newer schema, a network filesystem, settings."""


class LeaseLost(JournalError):  # noqa: N818 - a state, as its siblings
    """Another node delivers here now, or may: nothing was written, and the row is its to send."""


class JournalRuleBroken(AssertionError):  # noqa: N818 - named as in the docs
    """The schema refused a write that the program should never have tried: our own mistake."""


class OutboxState(StrEnum):
    """Where one outgoing message stands. Only the courier of its destination moves it."""

    PENDING = "pending"
    CLAIMED = "claimed"
    INFLIGHT = "inflight"
    ACKED = "acked"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageIdentity:
    """What makes a received message the same as an earlier one, with `digest` (SHA-256 of all its bytes).

    Raw header fields exactly as received; `control_id` may be empty.
    """

    listener: str
    sending_application: bytes
    sending_facility: bytes
    control_id: bytes
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """What we answered to a message in our custody; `acknowledgment` is None when nothing was to be answered."""

    message_id: MessageId
    received_at: datetime
    acknowledgment: bytes | None
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """One message for a destination.

    Attributes:
        destination: Name from the configuration.
        content: The bytes to send.
        original: The bytes without our additions, sent once when the filler refuses `content`; None when equal.
        control_id: MSH-10 of `content`, to match the acknowledgment.
        kind: See `OutgoingKind`. There is one "order" per entry, queued with the step to QUEUED: a second one is refused.
        entry_index: For an intake: index into `Intake.entries` of the order that this belongs to; None for none.
        entry_id: For a change: the order that this belongs to.
        possible_duplicate: Sent already, and nobody knows whether it arrived.
        acknowledgment: Sent already, and taken by the filler: stored as acknowledged, never sent again.
    """

    destination: str
    content: bytes
    control_id: bytes
    original: bytes | None = None
    kind: OutgoingKind = "order"
    entry_index: int | None = None
    entry_id: EntryId | None = None
    possible_duplicate: bool = False
    acknowledgment: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """An order that we take into custody.

    Attributes:
        order_key: Key for sequencing: placer order number with its namespace.
        set_key: Key of the order set, "" where the order can have no siblings.
        state: PARKED, HELD or QUEUED.
        content: The order as its own message, unannotated: what the filler gets when it is released as ordered.
        deadline_at: When it must leave at the latest; None for QUEUED only.
        summary: Small JSON for the worklist (patient, procedure, priority, why held). Patient data; never logged.
        decision: Decision as JSON (DESIGN 11, an order object), with policy.
    """

    order_key: str
    set_key: str
    placer_order_number: str
    state: OrderState
    content: bytes
    control_id: bytes
    deadline_at: datetime | None
    priority: str
    summary: Mapping[str, object] = field(default_factory=dict)
    decision: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Follower:
    """A message about an order that waits: it leaves right behind the order, if that ever leaves."""

    content: bytes
    control_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryChange:
    """One step of the lifecycle of one order, applied only when state and version are as expected.

    The journal asks the lifecycle table: an event that does not lead from `expected_state` to `state` is an
    `IllegalTransition`.

    Attributes:
        expected_version: Version that the decider saw; every applied change adds one. None: any version, only the
            state counts (what the filler or a timer did is so, whoever wrote a comment meanwhile).
        event: The event of the lifecycle table.
        state: The new state, which may equal the old one (noted events).
        actor: "placer", "timer", "filler", "node", or "user:NAME".
        reason: Coded reason or short text; "" keeps the old one.
        content, control_id, decision, summary, deadline_at, set_key, priority: New values; None keeps the old ones.
            Content changes only while the order waits.
        detail: More for the audit row; JSON.
        follower: Kept with the order; only in a change that is part of an `Intake`. Who releases the order queues
            its `followers` behind it in the same change.
        outgoing: Queued in the same transaction.
    """

    entry_id: EntryId
    expected_version: int | None
    expected_state: OrderState
    event: LifecycleEvent
    state: OrderState
    actor: str
    reason: str = ""
    content: bytes | None = None
    control_id: bytes | None = None
    decision: Mapping[str, object] | None = None
    summary: Mapping[str, object] | None = None
    deadline_at: datetime | None = None
    set_key: str | None = None
    priority: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)
    follower: Follower | None = None
    outgoing: tuple[OutgoingMessage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Everything that one received message changes, in one transaction.

    `acknowledgment` is stored with the message so that a resend gets the same answer. With `duplicates_since`
    the same bytes from the same sender, received since then, are found in the same transaction: two
    connections that bring one message at once cannot both have it taken. `seen` is the newest audit link that was known
    when the new entries were decided: with several nodes it is a `Conflict` when another took or moved an order of
    the same key or set since.
    """

    route: str
    identity: MessageIdentity
    received_at: datetime
    raw: bytes
    acknowledgment: bytes | None
    entries: tuple[NewEntry, ...] = ()
    outgoing: tuple[OutgoingMessage, ...] = ()
    changes: tuple[EntryChange, ...] = ()
    decisions: tuple[DecisionRecord, ...] = ()
    duplicates_since: datetime | None = None
    seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeDone:
    """The intake is durable.

    `control_id_reused`: the same sender used the same control id for other bytes since `duplicates_since`.
    """

    message_id: MessageId
    entry_ids: tuple[EntryId, ...]
    control_id_reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyTaken:
    """Nothing was written: these bytes are in our custody already. Only where `duplicates_since` was given."""

    answer: StoredAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Nothing was written: the order has moved on. Tells who moved it, when, and where it stands now."""

    entry_id: EntryId
    state: OrderState
    version: int
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDone:
    """The change is durable; `version` is the new version."""

    entry_id: EntryId
    state: OrderState
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One order in custody, or once in custody, as stored.

    `changed_by` and `changed_at` tell of the last change of any kind. `damaged`: `content` no longer has the digest
    that was stored with it; it must not be sent. `source`: the whole message that `content` was taken from; what its
    other orders say of the patient counts when this one is decided again.
    """

    entry_id: EntryId
    message_id: MessageId
    route: str
    order_key: str
    set_key: str
    placer_order_number: str
    state: OrderState
    version: int
    content: bytes
    control_id: bytes
    priority: str
    taken_at: datetime
    changed_at: datetime
    changed_by: str
    deadline_at: datetime | None
    closed_at: datetime | None
    reason: str
    summary: Mapping[str, object]
    decision: Mapping[str, object]
    source: bytes
    damaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One outgoing message as its courier sees it. `attempt_count` counts sends that were begun."""

    outbox_id: OutboxId
    destination: str
    kind: OutgoingKind
    state: OutboxState
    content: bytes
    original: bytes | None
    control_id: bytes
    entry_id: EntryId | None
    attempt_count: int
    possible_duplicate: bool
    queued_at: datetime
    next_attempt_at: datetime | None
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One link of the audit chain: `sha256` covers the row's values and the previous link's `sha256`."""

    number: int
    at: datetime
    actor: str
    action: str
    entry_id: EntryId | None
    detail: Mapping[str, object]
    sha256: str


class Journal(Protocol):
    """What must not be forgotten. All writes go through one writer; concurrent callers share a commit."""

    async def record_intake(self, intake: Intake) -> IntakeDone | AlreadyTaken | Conflict:
        """Store a message that we take custody of, with all that follows from it, in one transaction.

        Raises:
            JournalUnavailable: Nothing was written. On a disk that is full or nearly so, raised for intakes
                before anything else is refused: orders that we have must still be able to leave.
            JournalBroken: The outcome is unknown.
        """

    async def apply_change(self, change: EntryChange, *, at: datetime) -> ChangeDone | Conflict:
        """Move one order, with its outbox rows and audit row, when state and version are as expected."""

    async def apply_changes(self, changes: Sequence[EntryChange], *, at: datetime) -> tuple[ChangeDone, ...] | Conflict:
        """Move several orders in one transaction: all or none."""

    async def record_decisions(self, records: Sequence[DecisionRecord]) -> None:
        """Store decisions on orders that passed through."""

    async def record_quarantine(self, *, route: str, reason: str, raw: bytes, at: datetime) -> None:
        """Keep bytes that are not HL7, for an analyst."""

    async def record_audit(
        self, *, at: datetime, actor: str, action: str, entry_id: EntryId | None, detail: Mapping[str, object]
    ) -> None:
        """Append one link to the audit chain."""

    async def find_answer(self, identity: MessageIdentity, *, since: datetime) -> StoredAnswer | None:
        """Find what we answered to these very bytes, received since then; None when not in our custody."""

    async def find_control_id_reuse(self, identity: MessageIdentity, *, since: datetime) -> bool:
        """Whether the same sender used the same control id for other bytes since then."""

    async def entry(self, entry_id: EntryId) -> Entry | None:
        """One order by our number."""

    async def open_entries(self) -> tuple[Entry, ...]:
        """All orders that are PARKED, HELD or QUEUED, in the order they were taken."""

    async def entries(
        self, *, states: Sequence[OrderState], limit: int = 1000, after: EntryId | None = None
    ) -> tuple[Entry, ...]:
        """Orders in these states, the earliest deadline first; *after* goes on behind that order, whatever became of it."""

    async def latest_entry_for(self, order_key: str) -> Entry | None:
        """The newest entry of this order, open or ended."""

    async def has_gone(self, order_key: str) -> bool:
        """Whether the last decided message about this order went to the filler, and was no cancel (CA, DC)."""

    async def followers(self, entry_id: EntryId) -> tuple[Follower, ...]:
        """What waits behind an order, in the order it came. A new one changes the order's version."""

    async def recent_digests(self, *, since: datetime) -> tuple[bytes, ...]:
        """SHA-256 of the messages that we took since then."""

    async def claim_next(self, destination: str, *, at: datetime, inflight: bool = False) -> OutboxRow | None:
        """Claim the oldest pending row of this destination that is due at this time, in queue order; None when there is none.

        A row that is not yet due, claimed or in flight blocks those behind it (strict order per destination). With
        *inflight* the claim and `record_inflight` are one commit, for a courier that is connected. A row whose
        bytes are damaged is never returned: it becomes dead with the error "damaged".
        """

    async def record_inflight(self, outbox_id: OutboxId, *, at: datetime) -> None:
        """The bytes are about to leave: after a crash they may have been received."""

    async def record_acked(
        self,
        outbox_id: OutboxId,
        *,
        at: datetime,
        acknowledgment: bytes,
        change: EntryChange | None = None,
        claim_next: bool = False,
    ) -> OutboxRow | None:
        """The filler took it; the order's own change is applied in the same transaction.

        An "order" row always moves its entry to DELIVERED; *change* only adds to that (reason, detail, notices in
        `outgoing`), and its `expected_version` is not compared. With *claim_next* the next due row of the destination
        is claimed and put in flight by the same commit, and returned: one commit per message delivered.
        """

    async def record_retry(
        self, outbox_id: OutboxId, *, at: datetime, next_attempt_at: datetime, error: str, possible_duplicate: bool
    ) -> None:
        """It goes back to pending."""

    async def record_replaced_content(self, outbox_id: OutboxId, *, at: datetime, error: str) -> None:
        """The filler refused our addition: `original` becomes the content and the row is pending again."""

    async def record_dead(
        self,
        outbox_id: OutboxId,
        *,
        at: datetime,
        error: str,
        acknowledgment: bytes,
        change: EntryChange | None = None,
    ) -> None:
        """The filler refused for good; a person must act. An "order" row moves its entry to DEAD, as in `record_acked`."""

    async def recover_outbox(self, *, at: datetime) -> int:
        """After a start: claimed rows become pending, in-flight rows pending and possible duplicates. Returns how many were in flight."""

    async def dead_letters(self, *, limit: int = 1000) -> tuple[OutboxRow, ...]:
        """Rows that are dead, the oldest first."""

    async def requeue_dead(self, outbox_id: OutboxId, *, at: datetime, actor: str) -> bool:
        """Send a dead row again as a possible duplicate; False when it is not dead, or its order was cancelled. Audited."""

    async def discard_dead(self, outbox_id: OutboxId, *, at: datetime, actor: str, reason: str) -> bool:
        """Give a dead row up; False when it is not dead. Audited, never deleted."""

    async def route_modes(self) -> Mapping[str, str]:
        """Modes that were set at run time, by route."""

    async def set_route_mode(self, *, route: str, mode: str, actor: str, at: datetime, reason: str) -> None:
        """Make a run-time mode durable. Audited."""

    async def outbox_depth(self) -> Mapping[str, tuple[int, datetime | None]]:
        """Pending rows and the oldest one's time, by destination."""

    async def undelivered_rows(self) -> tuple[OutboxRow, ...]:
        """All rows that are pending, claimed or in flight, in the order they were queued."""

    async def entry_counts(self) -> Mapping[OrderState, int]:
        """How many orders stand in each state, every state named."""

    async def prune(self, *, at: datetime, retention: Retention) -> Pruned:
        """Remove what ended longer ago than *retention* says, a few hundred rows per transaction. Audited."""

    async def is_restored(self) -> bool:
        """Whether this is an older copy, put back in place of a journal that went on.

        What it calls undelivered may have been delivered: nothing may be sent before `confirm_restored`.
        """

    async def confirm_restored(self, *, at: datetime, actor: str, delivered_until: datetime | None) -> int:
        """Let a restored journal go on. Audited.

        Waiting rows that were queued up to *delivered_until* become dead letters with the error "restored", to be
        sent again or given up one by one; all later ones are possible duplicates. Returns how many became dead.
        """

    async def audit_rows(
        self, *, entry_id: EntryId | None = None, after: int = 0, limit: int = 1000
    ) -> tuple[AuditRow, ...]:
        """Links of the chain with a higher number than *after*, oldest first."""

    async def probe(self, *, at: datetime) -> None:
        """Write and commit one row as a new message would, to learn whether the journal can.

        Raises:
            JournalUnavailable, JournalBroken: It cannot.
        """
