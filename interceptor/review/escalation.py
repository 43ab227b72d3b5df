"""Tell of orders that nobody decides: half and three quarters of the way to the deadline, in the order's history.

The last step, at the deadline itself, is the release (`delivery/hold_timer.py`). A link of the history is what open pages,
webhooks and the exported audit trail see; it changes nothing of the order, so that no form of a reviewer becomes stale by it.

Failures: a journal that is unavailable is tried again with the next look. Of several nodes on one journal each looks; the link
is written once.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from interceptor.action.lifecycle import OrderState
from interceptor.journal import escalation_rows
from interceptor.journal.order_index import OpenOrder
from interceptor.journal.port import EntryId, JournalUnavailable
from interceptor.review.access_desk import Tables
from interceptor.telemetry.events import ORDER_WAITS_LONG, EventLog

INTERVAL_SECONDS = 5.0
STEPS = (50, 75)
"""Percent of the time between custody and deadline, at which it is told that nobody has decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationParts:
    """What the watch is plugged to; *now* is aware UTC."""

    orders: Callable[[], Iterable[OpenOrder]]
    tables: Tables
    now: Callable[[], datetime]
    log: EventLog


class Escalation:
    """Watches how much of its time each held order has used."""

    def __init__(self, parts: EscalationParts) -> None:
        """`run` watches."""
        self._parts = parts
        self._told: dict[tuple[EntryId, datetime], int] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            with suppress(JournalUnavailable):
                await self.look()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def look(self) -> None:
        """Tell of every held order that has come to a step since the last look."""
        held = [one for one in self._parts.orders() if one.state is OrderState.HELD and one.deadline_at is not None]
        known = {(one.entry_id, one.deadline_at) for one in held}
        self._told = {key: step for key, step in self._told.items() if key in known}
        at = self._parts.now()
        for order in held:
            assert order.deadline_at is not None, "chosen so"
            step = step_of(order.taken_at, order.deadline_at, at)
            key = (order.entry_id, order.deadline_at)
            if step > self._told.get(key, 0):
                await self._tell(order, step, at)
                self._told[key] = step

    async def _tell(self, order: OpenOrder, step: int, at: datetime) -> None:
        assert order.deadline_at is not None, "chosen so"
        deadline = order.deadline_at.isoformat()
        detail = {"percent": step, "deadline": deadline}
        told = await self._parts.tables.write_audited(
            partial(escalation_rows.told_percents, entry_id=order.entry_id, deadline=deadline),
            at=at,
            actor="timer",
            action=escalation_rows.ACTION,
            describe=lambda had: None if step in had else detail,
            entry_id=order.entry_id,
        )
        if step not in told:
            self._parts.log.event(ORDER_WAITS_LONG, entry=order.entry_id, percent=step)


def step_of(taken_at: datetime, deadline_at: datetime, at: datetime) -> int:
    """The last step that was reached: 0, or one of `STEPS`."""
    whole = (deadline_at - taken_at).total_seconds()
    used = 100.0 * (at - taken_at).total_seconds() / whole if whole > 0 else 100.0
    return max((step for step in STEPS if used >= step), default=0)
