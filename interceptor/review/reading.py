"""What the pages need of the journal: two ports, read only. Their adapters stand with the journal's.

Failures: a journal that cannot be read is a `JournalUnavailable`; a damaged one is a `JournalCorrupt`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from interceptor.action.lifecycle import OrderState
from interceptor.journal.port import AuditRow, EntryId
from interceptor.journal.review_record import (
    AuditQuery,
    ChainCheck,
    Checked,
    Claim,
    Mark,
    ModeRecord,
    OrderRecord,
    OrderRow,
    PassedOrder,
    SentRecord,
    UnmappedStudy,
)


class OrderReader(Protocol):
    """Orders and what left because of them. Every method reads what is committed now; none writes."""

    async def mark(self) -> Mark:
        """Where the journal stands: cheap enough to be asked twice a second."""
        ...

    async def waiting_orders(self) -> tuple[OrderRow, ...]:
        """All orders that are parked or held, the earliest deadline first."""
        ...

    async def claims(self) -> tuple[Claim, ...]:
        """Who has which open order in hand; leases that have ended may be among them."""
        ...

    async def orders_in(self, states: Sequence[OrderState], *, since: datetime, limit: int) -> tuple[OrderRow, ...]:
        """Orders in these states that got there since then, the newest first."""
        ...

    async def orders_of(self, entry_ids: Sequence[EntryId]) -> tuple[OrderRow, ...]:
        """These orders, as far as they exist."""
        ...

    async def changed_since(self, audit_number: int, *, limit: int) -> tuple[EntryId, ...]:
        """Orders that have a link in the audit chain behind this one, each once, at most *limit*."""
        ...

    async def order(self, entry_id: EntryId) -> OrderRecord | None:
        """One order with its bytes."""
        ...

    async def sent_for(self, entry_id: EntryId) -> tuple[SentRecord, ...]:
        """Everything that left or waits to leave because of an order, in the order it was queued."""
        ...

    async def find_orders(self, text: str, *, limit: int) -> tuple[OrderRow, ...]:
        """Orders of ours with this accession, patient identifier, placer order number, control id or number of ours."""
        ...

    async def find_passed(self, text: str, *, limit: int) -> tuple[PassedOrder, ...]:
        """Decisions on orders with this placer order number or control id that went their way."""
        ...

    async def orders_of_patient(self, patient_id: str, authority: str, *, limit: int) -> tuple[OrderRow, ...]:
        """Orders of ours for one patient identifier, the newest first."""
        ...


class RecordReader(Protocol):
    """The audit chain, decisions, dead letters and modes. Every method reads what is committed now; none writes."""

    async def histories(self, entry_ids: Sequence[EntryId]) -> Mapping[EntryId, tuple[AuditRow, ...]]:
        """The links of several orders, for a page of a list."""
        ...

    async def history(self, entry_id: EntryId) -> tuple[AuditRow, ...]:
        """What happened to an order, the oldest first."""
        ...

    async def audit(self, query: AuditQuery) -> tuple[AuditRow, ...]:
        """Links of the audit chain, the newest first."""
        ...

    async def audit_words(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Actors and actions of the newest links, for the search form."""
        ...

    async def check_chain(self, known: ChainCheck, *, limit: int) -> ChainCheck:
        """Go on checking the audit chain behind *known*, at most *limit* links."""
        ...

    async def checked(self, *, since: datetime) -> Checked:
        """What was decided since then."""
        ...

    async def dead_letters(self, *, limit: int) -> tuple[SentRecord, ...]:
        """Messages that a receiver refused for good and nobody gave up yet, the oldest first."""
        ...

    async def unmapped_studies(self, *, limit: int) -> tuple[UnmappedStudy, ...]:
        """Studies that the site profile does not know, the most frequent first."""
        ...

    async def route_modes(self) -> Mapping[str, ModeRecord]:
        """Modes that were set at run time, by route."""
        ...
