"""Watch the deadlines of waiting orders: a parked one becomes held, a held one leaves unreviewed.

The timer is the promise that no order waits for ever. It looks at every waiting order once a second. Age is
the greater of wall clock and monotonic clock since the order was first seen here, so that a clock set back
holds nothing longer; one set forward releases early, which is the safe side.

Failures: an order that somebody else moved meanwhile is looked at again in a second. A journal that is
unavailable is tried again in a second; what is overdue stays overdue and counted. Cancelling stops the watch.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from interceptor.action.lifecycle import LifecycleEvent, OrderState
from interceptor.journal.custody import Custody, OpenOrder
from interceptor.journal.port import Entry, EntryChange, EntryId, JournalUnavailable
from interceptor.telemetry.events import ORDER_MOVED, ORDER_RELEASED_UNREVIEWED, EventLog

INTERVAL_SECONDS = 0.5


class HoldTimer:
    """The clock of everything that waits."""

    def __init__(
        self,
        custody: Custody,
        *,
        build_change: Callable[[Entry, datetime], Awaitable[EntryChange]],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        log: EventLog,
    ) -> None:
        """*build_change* says what the end of an order's wait does to it; *now* is aware UTC."""
        self._custody = custody
        self._build_change = build_change
        self._now = now
        self._monotonic = monotonic
        self._log = log
        self._due_at: dict[tuple[EntryId, datetime], float] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def look(self) -> None:
        """End the wait of every order whose deadline has passed."""
        waiting = [order for order in self._custody.orders() if order.deadline_at is not None]
        known = {(order.entry_id, order.deadline_at) for order in waiting}
        self._due_at = {key: due for key, due in self._due_at.items() if key in known}
        for order in waiting:
            if order.state is not OrderState.QUEUED and self._is_due(order):
                try:
                    await self._end_wait(order)
                except JournalUnavailable:
                    return

    def _is_due(self, order: OpenOrder) -> bool:
        assert order.deadline_at is not None
        remaining = (order.deadline_at - self._now()).total_seconds()
        monotonic = self._monotonic()
        due = self._due_at.setdefault((order.entry_id, order.deadline_at), monotonic + remaining)
        return remaining <= 0 or monotonic >= due

    async def _end_wait(self, order: OpenOrder) -> None:
        async with self._custody.turn((order.order_key,)):
            entry = await self._custody.journal.entry(order.entry_id)
            if entry is None or entry.version != order.version:
                return
            at = self._now()
            change = await self._build_change(entry, at)
            done = await self._custody.move([change], at=at)
        if not isinstance(done, tuple):
            return
        waited = round((at - entry.taken_at).total_seconds(), 3)
        if change.event is LifecycleEvent.DEADLINE_PASSED:
            self._log.event(ORDER_RELEASED_UNREVIEWED, entry=entry.entry_id, waiting_seconds=waited)
        else:
            self._log.event(
                ORDER_MOVED,
                entry=entry.entry_id,
                step=change.event.value,
                state=change.state.value,
                was=entry.state.value,
                actor=change.actor,
                waiting_seconds=waited,
            )
