"""Look once a second at what waits, and show it: gauges, health, and whether the journal can still write.

Failures: a journal that cannot write is shown, alarmed and tried again every second; when it can, all is well
again without a restart. A broken one ends the watch with JournalBroken, and with it the node.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from interceptor.action.lifecycle import OrderState
from interceptor.journal.custody import Custody, free_damaged
from interceptor.journal.order_index import OpenOrder
from interceptor.journal.port import JournalReason, JournalUnavailable, OutboxId, OutboxRow
from interceptor.journal.route_mode import HoldGate
from interceptor.journal.upkeep import DAMAGED
from interceptor.telemetry.events import DELIVERY_GIVEN_UP, JOURNAL_UNAVAILABLE, NODE_DEGRADED, NODE_RECOVERED, EventLog
from interceptor.telemetry.health import DegradedReason, Health
from interceptor.telemetry.metrics import Metrics, timestamp_value

INTERVAL_SECONDS = 1.0
PROBE_EVERY = 5
"""Looks between two probes of a journal that works; one that does not is probed at every look."""


class Gauges:
    """What waits in the journal, as metrics and health."""

    def __init__(
        self,
        custody: Custody,
        gates: Mapping[str, HoldGate],
        *,
        metrics: Metrics,
        health: Health,
        now: Callable[[], datetime],
        log: EventLog,
        answer_seconds_max: float | None = None,
    ) -> None:
        """*gates*: by route. *answer_seconds_max*: a journal that is silent for longer counts as one that cannot write."""
        self._custody = custody
        self._gates = gates
        self._metrics = metrics
        self._health = health
        self._now = now
        self._log = log
        self._answer_seconds_max = answer_seconds_max
        self._look_count = 0
        self._told_damaged: set[OutboxId] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def look(self) -> None:
        """Look once."""
        is_in_doubt = any(gate.is_journal_missed for gate in self._gates.values())
        if is_in_doubt or not self._health.journal_writable or self._look_count % PROBE_EVERY == 0:
            await self._probe()
        self._look_count += 1
        self._show_waiting()
        self._metrics.log_lines_dropped.value = float(self._log.dropped_count())
        self._degrade(DegradedReason.REVIEW_AWAY, any(gate.is_review_missed for gate in self._gates.values()))
        self._degrade(DegradedReason.BREAKER_OPEN, any(gate.is_open for gate in self._gates.values()))
        await self._show_outbox()

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(self._answer_seconds_max):
                await self._custody.journal.probe(at=self._now())
        except (JournalUnavailable, TimeoutError) as error:
            reason = error.reason if isinstance(error, JournalUnavailable) else JournalReason.AWAY
            self._metrics.journal.errors.count("unavailable")
            self._log.event(JOURNAL_UNAVAILABLE, reason=reason.value)
            works = False
        else:
            works = True
        self._health.journal_writable = works
        for gate in self._gates.values():
            gate.journal_checked(works=works)
        self._degrade(DegradedReason.JOURNAL_UNAVAILABLE, not works)

    def _show_waiting(self) -> None:
        orders = self._custody.index.orders()
        held: Counter[tuple[str, str]] = Counter()
        parked: Counter[str] = Counter()
        oldest: dict[str, float] = {}
        ratios: dict[str, float] = {}
        for order in orders:
            if order.state is OrderState.HELD:
                held[order.route, order.priority] += 1
                taken_at = order.taken_at.timestamp()
                oldest[order.priority] = min(oldest.get(order.priority, taken_at), taken_at)
                ratios[order.priority] = max(ratios.get(order.priority, 0.0), _wait_ratio(order, self._now()))
            elif order.state is OrderState.PARKED:
                parked[order.route] += 1
        for name, route in self._metrics.routes.items():
            route.held.set_all({priority: count for (where, priority), count in held.items() if where == name})
            route.parked.set(parked[name])
            gate = self._gates.get(name)
            route.breaker_open.set(1 if gate is not None and gate.is_open else 0)
        self._metrics.held_oldest.set_all(oldest, default=math.nan)
        self._metrics.held_wait_ratio.set_all(ratios, default=math.nan)

    async def _show_outbox(self) -> None:
        try:
            async with asyncio.timeout(self._answer_seconds_max):
                depth = await self._custody.journal.outbox_depth()
                letters = await self._custody.journal.dead_letters()
            await self._tell_damaged(letters)
        except (JournalUnavailable, TimeoutError):
            # Shown by the probe; what was seen last stays on the page.
            return
        dead = Counter(row.destination for row in letters)
        for name, destination in self._metrics.destinations.items():
            count, oldest = depth.get(name, (0, None))
            destination.outbox_pending.set(count)
            destination.outbox_oldest.set(timestamp_value(oldest))
            destination.dead_letters.set(dead[name])

    async def _tell_damaged(self, letters: Sequence[OutboxRow]) -> None:
        """Tell once of each row that will never be sent because its bytes are damaged; nothing waits behind it any more."""
        found = [row for row in letters if row.last_error == DAMAGED and row.outbox_id not in self._told_damaged]
        if not found:
            return
        await free_damaged(self._custody, found)
        for row in found:
            self._told_damaged.add(row.outbox_id)
            self._log.event(
                DELIVERY_GIVEN_UP,
                destination=row.destination,
                outbox=row.outbox_id,
                entry=row.entry_id,
                reason=DAMAGED,
                attempts=row.attempt_count,
            )

    def _degrade(self, reason: DegradedReason, is_so: bool) -> None:  # noqa: FBT001 - the one fact it is about
        if is_so and self._health.degrade(reason):
            self._log.event(NODE_DEGRADED, reason=reason.value)
        elif not is_so and self._health.recover(reason):
            self._log.event(NODE_RECOVERED, reason=reason.value)


def _wait_ratio(order: OpenOrder, now: datetime) -> float:
    """The share of its time until the deadline that an order has waited; 0 where it has no deadline."""
    if order.deadline_at is None:
        return 0.0
    granted = (order.deadline_at - order.taken_at).total_seconds()
    return (now - order.taken_at).total_seconds() / granted if granted > 0 else 1.0
