"""Every order that is in our custody now, in memory beside the journal.

The pipeline asks for each order message whether it touches what is ours (`concerns`), without a disk read. The
pipeline, the desk, the couriers and the timers all change orders through this one object, so that the index,
the journal and the wake-ups never disagree: the journal first, then the index, then the wake-up.

Ours is an order that is parked, held or queued; one that ended without the filler's ever having seen it, for
what still comes about it cannot simply pass; one whose messages wait in the outbox, for nothing may overtake
them; and one that another message is working on right now.

Failures: a journal that refuses leaves the index as it was; the error goes to the caller.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from interceptor.action.lifecycle import OPEN_STATES, UNSEEN_ENDS, WAITING_STATES, OrderState
from interceptor.context.order_set import set_key
from interceptor.decision.message_decision import order_key
from interceptor.journal.port import (
    AlreadyTaken,
    ChangeDone,
    Conflict,
    Entry,
    EntryChange,
    EntryId,
    Intake,
    IntakeDone,
    Journal,
    JournalBroken,
    JournalError,
    OutboxId,
    OutboxRow,
)
from interceptor.message.group import order_groups
from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView

INDEXED_STATES = OPEN_STATES | UNSEEN_ENDS | {OrderState.DEAD}
ENDED_COUNT_MAX = 100_000
"""Ended orders kept in the index; the oldest are forgotten (their placers have, too)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """What the index knows of one order; the rest is in the journal."""

    entry_id: EntryId
    route: str
    order_key: str
    set_key: str
    state: OrderState
    version: int
    priority: str
    taken_at: datetime
    deadline_at: datetime | None


class Custody:
    """The orders that we answer for, and the only way to change them."""

    def __init__(self, journal: Journal) -> None:
        """*journal* is open; call `load` before anything else."""
        self.journal = journal
        self._orders: dict[EntryId, OpenOrder] = {}
        self._by_key: dict[str, set[EntryId]] = {}
        self._by_set: dict[str, set[EntryId]] = {}
        self._digests: set[bytes] = set()
        self._queued_keys: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Lock] = {}
        self._turn_counts: Counter[str] = Counter()
        self._on_queued: list[Callable[[str], None]] = []
        self._on_changed: list[Callable[[], None]] = []

    async def load(self, *, digests_since: datetime) -> None:
        """Read what is ours. *digests_since*: how far back a resend is still known at first sight."""
        states = sorted(INDEXED_STATES)
        for entry in await self.journal.entries(states=states, limit=ENDED_COUNT_MAX):
            self._remember(entry)
        self._digests = set(await self.journal.recent_digests(since=digests_since))
        for row in await self.journal.undelivered_rows():
            self._count_keys(row.content, row.kind)

    def on_queued(self, wake: Callable[[str], None]) -> None:
        """Call *wake* with the destination's name whenever the outbox gets something for it."""
        self._on_queued.append(wake)

    def on_changed(self, notify: Callable[[], None]) -> None:
        """Call *notify* whenever an order was taken or moved."""
        self._on_changed.append(notify)

    # Questions.

    def concerns(self, view: MessageView) -> bool:
        """Whether a message is about an order that is ours, or was taken before."""
        if not (self._by_key or self._queued_keys or self._turn_counts or self._digests):
            return False
        return self.knows(order_keys_of(view)) or sha256(view.raw).digest() in self._digests

    def knows(self, order_keys: Iterable[str]) -> bool:
        """Whether any of these orders is ours."""
        return any(key in self._by_key or key in self._queued_keys or key in self._turn_counts for key in order_keys)

    def knows_open(self, order_keys: Iterable[str]) -> bool:
        """Whether a message about any of these orders would do harm by passing us by: it waits here, or is queued."""
        return any(self.is_queued((key,)) or any(self._is_open(one) for one in self.of_key(key)) for key in order_keys)

    def knows_set(self, set_keys: Iterable[str]) -> bool:
        """Whether an order of any of these sets waits here."""
        return any(self.of_set(key) for key in set_keys if key)

    def has_taken(self, digest: bytes) -> bool:
        """Whether these very bytes (SHA-256) were taken before."""
        return digest in self._digests

    def is_queued(self, order_keys: Iterable[str]) -> bool:
        """Whether messages about any of these orders wait in the outbox."""
        return any(key in self._queued_keys for key in order_keys)

    def find(self, entry_id: EntryId) -> OpenOrder | None:
        """One order of ours."""
        return self._orders.get(entry_id)

    def orders(self) -> tuple[OpenOrder, ...]:
        """All orders that are PARKED, HELD or QUEUED, the earliest first."""
        return tuple(
            self._orders[entry_id] for entry_id in sorted(self._orders) if self._is_open(self._orders[entry_id])
        )

    def of_key(self, order_key: str) -> tuple[OpenOrder, ...]:
        """Orders of ours under this key, the earliest first."""
        return tuple(self._orders[entry_id] for entry_id in sorted(self._by_key.get(order_key, ())))

    def of_set(self, set_key: str) -> tuple[OpenOrder, ...]:
        """Orders of this set that wait here, the earliest first."""
        found = (self._orders[entry_id] for entry_id in sorted(self._by_set.get(set_key, ())))
        return tuple(order for order in found if order.state in WAITING_STATES)

    def _is_open(self, order: OpenOrder) -> bool:
        return order.state in OPEN_STATES

    # Turns and changes.

    @asynccontextmanager
    async def turn(self, order_keys: Iterable[str]) -> AsyncIterator[None]:
        """Have the turn of these orders: one message about an order is worked on at a time.

        From the first moment `knows` says yes for them, so that a later message cannot pass by. Turns are had in
        the order they were asked for. Cancelling while waiting gives the place up.
        """
        keys = sorted(set(order_keys))
        self._turn_counts.update(keys)
        try:
            async with AsyncExitStack() as stack:
                for key in keys:
                    await stack.enter_async_context(self._turns.setdefault(key, asyncio.Lock()))
                yield
        finally:
            for key in keys:
                self._turn_counts[key] -= 1
                if not self._turn_counts[key]:
                    del self._turn_counts[key]
                    self._turns.pop(key, None)

    async def take(self, intake: Intake, *, is_tracked: bool = True) -> IntakeDone | AlreadyTaken | Conflict:
        """Make *intake* durable, then visible. Untracked goes what a lane keeps in order by itself (store)."""
        done = await self.journal.record_intake(intake)
        if not isinstance(done, IntakeDone):
            return done
        if is_tracked:
            self._digests.add(intake.identity.digest)
        for outgoing in intake.outgoing if is_tracked else ():
            self._count_keys(outgoing.content, outgoing.kind)
        await self._show_or_give_up(intake.changes, done.entry_ids)
        self._announce({outgoing.destination for outgoing in intake.outgoing} | _destinations(intake.changes))
        return done

    async def move(self, changes: Sequence[EntryChange], *, at: datetime) -> tuple[ChangeDone, ...] | Conflict:
        """Apply *changes*, all or none, then make them visible."""
        done = await self.journal.apply_changes(changes, at=at)
        if isinstance(done, Conflict):
            return done
        await self._show_or_give_up(changes, ())
        self._announce(_destinations(changes))
        return done

    async def requeue_dead(self, outbox_id: OutboxId, *, at: datetime, actor: str) -> bool:
        """Send a dead letter again; False when there is none to send."""
        if not await self.journal.requeue_dead(outbox_id, at=at, actor=actor):
            return False
        for row in await self.journal.undelivered_rows():
            if row.outbox_id == outbox_id:
                self._count_keys(row.content, row.kind)
                if row.entry_id is not None:
                    await self._reload(row.entry_id)
                self._announce({row.destination})
        return True

    async def row_ended(self, row: OutboxRow) -> None:
        """The courier has ended *row* (acknowledged or dead): what was behind it is free, and its order has moved."""
        for key in keys_of_content(row.content) if row.kind != "notice" else ():
            self._queued_keys[key] -= 1
            if self._queued_keys[key] <= 0:
                del self._queued_keys[key]
        if row.entry_id is not None:
            await self._reload(row.entry_id)
        self._announce(set())

    async def _show_or_give_up(self, changes: Sequence[EntryChange], new_ids: Sequence[EntryId]) -> None:
        """What is durable but cannot be shown would be handled twice: start again from the journal instead."""
        try:
            await self._show(changes, new_ids)
        except JournalError as error:
            raise JournalBroken(error.reason, "the journal was written, and could not be read after it") from error

    async def _show(self, changes: Sequence[EntryChange], new_ids: Sequence[EntryId]) -> None:
        for change in changes:
            for outgoing in change.outgoing:
                self._count_keys(outgoing.content, outgoing.kind)
        for entry_id in (*new_ids, *(change.entry_id for change in changes)):
            await self._reload(entry_id)

    async def _reload(self, entry_id: EntryId) -> None:
        entry = await self.journal.entry(entry_id)
        assert entry is not None, "an order that was just written is not there"
        self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        self._forget(entry.entry_id)
        if entry.state not in INDEXED_STATES or not entry.order_key:
            return
        order = OpenOrder(
            entry_id=entry.entry_id,
            route=entry.route,
            order_key=entry.order_key,
            set_key=entry.set_key,
            state=entry.state,
            version=entry.version,
            priority=entry.priority,
            taken_at=entry.taken_at,
            deadline_at=entry.deadline_at,
        )
        self._orders[entry.entry_id] = order
        self._by_key.setdefault(order.order_key, set()).add(order.entry_id)
        if order.set_key:
            self._by_set.setdefault(order.set_key, set()).add(order.entry_id)

    def _forget(self, entry_id: EntryId) -> None:
        order = self._orders.pop(entry_id, None)
        if order is not None:
            _discard(self._by_key, order.order_key, entry_id)
            _discard(self._by_set, order.set_key, entry_id)

    def _count_keys(self, content: bytes, kind: str) -> None:
        if kind != "notice":
            self._queued_keys.update(keys_of_content(content))

    def _announce(self, destinations: set[str]) -> None:
        for destination in sorted(destinations):
            for wake in self._on_queued:
                wake(destination)
        for notify in self._on_changed:
            notify()


def order_keys_of(view: MessageView) -> tuple[str, ...]:
    """Keys of the orders of a message; none for one without orders. An order without a number has no key."""
    return tuple(dict.fromkeys(key for group in order_groups(view) if (key := order_key(view, group))))


def set_keys_of(view: MessageView) -> tuple[str, ...]:
    """Keys of the order sets that the orders of a message would belong to."""
    return tuple(dict.fromkeys(set_key(view, group) for group in order_groups(view)))


def keys_of_content(content: bytes) -> tuple[str, ...]:
    """`order_keys_of` for bytes that may be anything."""
    try:
        return order_keys_of(MessageView(content))
    except NotHl7:
        return ()


def _discard(index: dict[str, set[EntryId]], key: str, entry_id: EntryId) -> None:
    ids = index.get(key)
    if ids is not None:
        ids.discard(entry_id)
        if not ids:
            del index[key]


def _destinations(changes: Sequence[EntryChange]) -> set[str]:
    return {outgoing.destination for change in changes for outgoing in change.outgoing}
