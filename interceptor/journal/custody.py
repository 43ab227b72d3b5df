"""Every order that is in our custody now, in memory beside the journal.

The pipeline asks for each order message whether it touches what is ours (`concerns`), without a disk read. The
pipeline, the desk, the couriers and the timers all change orders through this one object, so that the index,
the journal and the wake-ups never disagree: the journal first, then the index, then the wake-up.

Ours is an order that is parked, held or queued; one that ended without the filler's ever having seen it, for
what still comes about it cannot simply pass; one whose messages wait in the outbox, for nothing may overtake
them; and one that another message is working on right now.

Failures: a journal that refuses leaves the index as it was; the error goes to the caller. What was written and
cannot be read back ends the node (JournalBroken): it would be handled twice. A caller that is cancelled while
its change is written leaves the index behind the journal; `refresh` mends it, and the hold timer does so.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from interceptor.action.lifecycle import OPEN_STATES, LifecycleEvent
from interceptor.context.order_set import set_key
from interceptor.journal.digest import digest_of
from interceptor.journal.nodes import Position
from interceptor.journal.order_index import ENDED_COUNT_MAX, ENDED_STATES, OpenOrder, OrderIndex
from interceptor.journal.passed_order import PassedOrders
from interceptor.journal.port import (
    AlreadyTaken,
    ChangeDone,
    Conflict,
    EntryChange,
    EntryId,
    Intake,
    IntakeDone,
    Journal,
    JournalBroken,
    JournalError,
    JournalReason,
    JournalUnavailable,
    OutboxId,
    OutboxRow,
)
from interceptor.journal.unseen import UnseenOrders
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView

AWAY_SECONDS = 0.5
"""Between two attempts to read from a database that is away."""

Queued = Callable[[str], None]
"""Told a destination's name whenever its outbox gets something."""
Moved = Callable[[OpenOrder | None, OpenOrder | None, LifecycleEvent], None]
"""Told an order before and after each step that took or moved it, once that is durable. Before is None for an order
that was just taken, after for one that is no longer ours."""


class Custody:
    """The orders that we answer for, and the only way to change them."""

    def __init__(self, journal: Journal) -> None:
        """*journal* is open; call `load` before anything else."""
        self.journal = journal
        self.index = OrderIndex()
        self.passed = PassedOrders()
        self.unseen = UnseenOrders()
        self.is_loaded = False
        """Whether we know what is ours. Until then nothing is taken or moved, and orders that pass are noted as unseen."""
        self._turns: dict[str, asyncio.Lock] = {}
        self._turn_counts: Counter[str] = Counter()
        self._unsettled: dict[EntryId, tuple[OpenOrder, Sequence[EntryChange], datetime]] = {}
        self._on_queued: list[Queued] = []
        self._on_moved: list[Moved] = []
        self.position = Position()
        self.catch_up: Callable[[], Awaitable[None]] | None = None
        """With several nodes: returns when what they committed before now is known here. None: there is one node."""

    async def load(self, *, digests_since: datetime) -> None:
        """Read what is ours, all or nothing. *digests_since*: how far back a resend is still known at first sight."""
        index = OrderIndex()
        ended = await self.journal.entries(states=sorted(ENDED_STATES), limit=ENDED_COUNT_MAX)
        for entry in sorted(ended, key=lambda one: one.entry_id):
            if await self._is_newest(entry.order_key, entry.entry_id):
                index.remember(entry)
        for entry in await self.journal.open_entries():
            index.remember(entry)
        for digest in await self.journal.recent_digests(since=digests_since):
            index.add_digest(digest)
        for row in await self.journal.undelivered_rows():
            index.queued.add(row.content, row.kind)
        self.index = index
        self.is_loaded = True

    def listen(self, *, queued: Queued | None = None, moved: Moved | None = None) -> None:
        """Have *queued* and *moved* called from now on; each may be given alone, and again."""
        if queued is not None:
            self._on_queued.append(queued)
        if moved is not None:
            self._on_moved.append(moved)

    # Questions.

    @property
    def is_empty(self) -> bool:
        """Whether nothing is ours, as far as is known, so that no message need be asked about with `concerns`."""
        return self.is_loaded and not self.index and not self._turn_counts

    def concerns(self, raw: bytes, order_keys: Callable[[], Iterable[str]]) -> bool:
        """Whether a message is about an order that is ours, or was taken before.

        *order_keys* reads the keys of its orders; not called while nothing is ours.
        """
        if not self.is_loaded:
            self.unseen.note(raw)
            return False
        if self.is_empty:
            return False
        if any(self.index.knows(key) or key in self._turn_counts for key in order_keys()):
            return True
        return self.index.has_taken(digest_of(raw))

    def knows_open(self, order_keys: Iterable[str]) -> bool:
        """Whether a message about any of these orders would do harm by passing us by: it waits here, or is queued."""
        return any(
            self.index.queued.any_of((key,)) or any(one.state in OPEN_STATES for one in self.index.of_key(key))
            for key in order_keys
        )

    def knows_set(self, set_keys: Iterable[str]) -> bool:
        """Whether an order of any of these sets waits here, or is just about to."""
        return any(key in self._turn_counts or self.index.of_set(key) for key in set_keys if key)

    # Turns and changes.

    @asynccontextmanager
    async def turn(self, keys: Iterable[str]) -> AsyncIterator[None]:
        """Have the turn of these orders and sets: one message about them is worked on at a time.

        From the first moment `concerns` and `knows_set` say yes for them, so that a later message cannot pass by. Turns
        are had in the order they were asked for. Cancelling while waiting gives the place up.

        Raises:
            JournalUnavailable: One of the orders was handed over, and the journal cannot say so yet; or we do not know
                yet what is ours.
            JournalBroken: As `take`.
        """
        self._check_loaded()
        wanted = sorted(set(keys))
        self._turn_counts.update(wanted)
        try:
            async with AsyncExitStack() as stack:
                for key in wanted:
                    await stack.enter_async_context(self._turns.setdefault(key, asyncio.Lock()))
                await self._settle(wanted)
                yield
        finally:
            for key in wanted:
                self._turn_counts[key] -= 1
                if not self._turn_counts[key]:
                    del self._turn_counts[key]
                    self._turns.pop(key, None)

    async def take(self, intake: Intake, *, is_tracked: bool = True) -> IntakeDone | AlreadyTaken | Conflict:
        """Make *intake* durable, then visible. Untracked goes what a lane keeps in order by itself (store).

        Raises:
            JournalUnavailable: Nothing was written.
            JournalBroken: The outcome is unknown, or cannot be shown.
        """
        self._check_loaded()
        done = await self.journal.record_intake(intake)
        if not isinstance(done, IntakeDone):
            return done
        if is_tracked:
            self.index.add_digest(intake.identity.digest)
        for outgoing in intake.outgoing if is_tracked else ():
            self.index.queued.add(outgoing.content, outgoing.kind)
        await self._show(intake.changes, done.entry_ids)
        self._announce({outgoing.destination for outgoing in intake.outgoing} | _destinations(intake.changes))
        return done

    async def move(self, changes: Sequence[EntryChange], *, at: datetime) -> tuple[ChangeDone, ...] | Conflict:
        """Apply *changes*, all or none, then make them visible. Raises as `take`."""
        done = await self.journal.apply_changes(changes, at=at)
        if isinstance(done, Conflict):
            return done
        await self._show(changes, ())
        self._announce(_destinations(changes))
        return done

    def handed_over(self, order: OpenOrder, changes: Sequence[EntryChange], *, at: datetime) -> None:
        """The filler was given *order* while the journal could not be written: *changes* are, before anything else of it.

        Whoever had this order's turn next would else cancel or release what the filler has.
        """
        self._unsettled[order.entry_id] = (order, changes, at)

    def _check_loaded(self) -> None:
        if not self.is_loaded:
            raise JournalUnavailable(JournalReason.AWAY, "what is ours has not been read yet")

    async def _settle(self, keys: Sequence[str]) -> None:
        for order, changes, at in list(self._unsettled.values()):
            if order.order_key in keys or (order.set_key and order.set_key in keys):
                await self.move(changes, at=at)
                self._unsettled.pop(order.entry_id, None)

    async def requeue_dead(self, outbox_id: OutboxId, *, at: datetime, actor: str) -> bool:
        """Send a dead letter again; False when there is none to send."""
        if not await self.journal.requeue_dead(outbox_id, at=at, actor=actor):
            return False
        for row in await self.journal.undelivered_rows():
            if row.outbox_id == outbox_id:
                self.index.queued.add(row.content, row.kind)
                if row.entry_id is not None:
                    await self.refresh(row.entry_id)
                self._announce({row.destination})
        return True

    async def row_ended(self, row: OutboxRow) -> None:
        """The courier has ended *row* (acknowledged or dead): its order has moved, what was behind it is free."""
        if row.entry_id is not None:
            await self.refresh(row.entry_id)
        self.index.queued.drop(row.content, row.kind)

    async def refresh(self, entry_id: EntryId) -> None:
        """Show an order as the journal has it."""
        entry = await self.journal.entry(entry_id)
        assert entry is not None, "an order that was written is not there"
        if entry.state in ENDED_STATES and not await self._is_newest(entry.order_key, entry_id):
            self.index.forget(entry_id)
        else:
            self.index.remember(entry)

    async def _is_newest(self, order_key: str, entry_id: EntryId) -> bool:
        newest = await self.journal.latest_entry_for(order_key)
        return newest is None or newest.entry_id == entry_id

    async def _show(self, changes: Sequence[EntryChange], new_ids: Sequence[EntryId]) -> None:
        # The keys at once, before anything is waited for: from here on nothing about these orders may pass by.
        for change in changes:
            for outgoing in change.outgoing:
                if outgoing.acknowledgment is None:
                    self.index.queued.add(outgoing.content, outgoing.kind)
        steps = [(entry_id, LifecycleEvent.TAKEN) for entry_id in new_ids]
        steps.extend((change.entry_id, change.event) for change in changes)
        try:
            for entry_id, event in steps:
                before = self.index.find(entry_id)
                await self._show_one(entry_id)
                for tell in self._on_moved:
                    tell(before, self.index.find(entry_id), event)
        except JournalError as error:
            # What is durable but cannot be shown would be handled twice: start again from the journal instead.
            raise JournalBroken(error.reason, "the journal was written, and could not be read after it") from error

    async def _show_one(self, entry_id: EntryId) -> None:
        """Show what is durable; a database that went away meanwhile is waited for."""
        while True:
            try:
                await self.refresh(entry_id)
            except JournalUnavailable as error:
                if error.reason is not JournalReason.AWAY:
                    raise
                await asyncio.sleep(AWAY_SECONDS)
            else:
                return

    def _announce(self, destinations: set[str]) -> None:
        for destination in sorted(destinations):
            for wake in self._on_queued:
                wake(destination)


async def free_damaged(custody: Custody, rows: Sequence[OutboxRow]) -> None:
    """These rows are dead because their bytes are damaged: their orders have moved, what was behind them is free.

    Which orders they were about cannot be read from them, so what waits is read anew.
    """
    for row in rows:
        if row.entry_id is not None:
            await custody.refresh(row.entry_id)
    while True:
        seen = custody.index.queued.change_count
        waiting = await custody.journal.undelivered_rows()
        if seen == custody.index.queued.change_count:
            custody.index.queued.replace((row.content, row.kind) for row in waiting)
            return


def set_keys_of(view: MessageView) -> tuple[str, ...]:
    """Keys of the order sets that the orders of a message would belong to."""
    return tuple(dict.fromkeys(set_key(view, group) for group in order_groups(view)))


def _destinations(changes: Sequence[EntryChange]) -> set[str]:
    return {outgoing.destination for change in changes for outgoing in change.outgoing}
