"""What the review pages read of the journal, as values: the same from every adapter.

Patient data stands in most of them; they go to pages and to nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from interceptor.action.lifecycle import OrderState
from interceptor.journal.port import EntryId, OutboxId


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """One order for a list: everything but its bytes.

    Attributes:
        control_id: MSH-10 of the order's own message.
        moved_at, moved_by: When its state changed last, and by whom; a comment changes only `changed_at`.
        reason: Why it stands where it stands: a code, or what a person wrote.
        summary: What `context/order_summary.py` read, with `why` and `policy`.
        decision: The order object of DESIGN 11.
    """

    entry_id: EntryId
    route: str
    order_key: str
    placer_order_number: str
    state: OrderState
    version: int
    control_id: str
    priority: str
    taken_at: datetime
    changed_at: datetime
    changed_by: str
    moved_at: datetime
    moved_by: str
    deadline_at: datetime | None
    closed_at: datetime | None
    reason: str
    summary: Mapping[str, object]
    decision: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """One order with its bytes.

    Attributes:
        content: What leaves when it is released as ordered, without the note.
        received: The whole message that the content was taken from.
        received_at: When that message came.
        acknowledgment: What we answered to it; None when nothing was stored.
        damaged: The content no longer has the digest that was stored with it.
        follower_count: Messages that leave right behind it.
    """

    row: OrderRow
    content: bytes
    received: bytes
    received_at: datetime
    acknowledgment: bytes | None
    damaged: bool
    follower_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What people do with a waiting order that changes nothing of it.

    Attributes:
        claimed_by: Who has it in hand until `claimed_until`; "" for nobody.
        leaves_at: It was released by `released_by` and leaves then, unless that is called back.
    """

    entry_id: EntryId
    claimed_by: str = ""
    claimed_until: datetime | None = None
    snoozed_until: datetime | None = None
    released_by: str = ""
    leaves_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRecord:
    """One message that left, or waits to leave, because of an order; or a dead letter.

    Attributes:
        attempt_count: Sends that were begun.
        acknowledgment: The receiver's last answer.
        order_number: The placer's number of the order it belongs to, "" for none.
    """

    outbox_id: OutboxId
    destination: str
    kind: str
    state: str
    content: bytes
    original: bytes | None
    entry_id: EntryId | None
    attempt_count: int
    possible_duplicate: bool
    queued_at: datetime
    changed_at: datetime
    last_error: str
    acknowledgment: bytes | None
    order_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which links of the audit chain. Empty texts and None ask for all.

    Attributes:
        actor: The whole name, as stored ("user:ann", "node").
        before: Only links with a smaller number: the next page of a list that shows the newest first.
        limit: 1 to 5,000.
    """

    actor: str = ""
    action: str = ""
    entry_id: EntryId | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCheck:
    """How far the audit chain was checked, and the first link that is not what it should be; None when all are."""

    checked_to: int
    last_number: int
    broken_at: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was decided since a time, orders that passed among them, and when the newest decision was made."""

    checked_count: int
    held_count: int
    annotated_count: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOrder:
    """A decision on an order that was not taken into custody: its facts and no bytes."""

    decided_at: datetime
    route: str
    mode: str
    control_id: str
    placer_order_number: str
    disposition: str
    reasons: tuple[str, ...]
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmappedStudy:
    """A study whose code the site profile does not know."""

    code: str
    name: str
    order_count: int
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeRecord:
    """A mode that was set at run time."""

    mode: str
    actor: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the journal stands: it differs as soon as an order moved or a decision was written."""

    audit_number: int
    data_version: int
