"""What the journal has is ours again: orders in custody, modes that were set, and couriers of a restored copy, paused.

A node that starts while its database is away does not wait for it: no order waits because of our failure. Until the journal
has been read it passes everything unchanged, as in shadow mode, for a kill switch may have been thrown; a route in `store`
custody answers AE. The journal is tried again until it is there. Then what was said meanwhile about an order of ours has
its turn (`journal/unseen.py`), and the node joins the others and delivers (docs/adr/0017).

Failures: a journal that is there and is refused ends the node, as at any start.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from interceptor.action.lifecycle import OrderState
from interceptor.action.plan import RouteMode
from interceptor.bypass import set_aside_overtaken
from interceptor.cluster import Cluster, join
from interceptor.delivery.courier import Courier
from interceptor.journal.custody import Custody
from interceptor.journal.custody_log import custody_log
from interceptor.journal.order_index import keys_of_content
from interceptor.journal.port import JournalError, JournalReason, JournalRefused, JournalUnavailable
from interceptor.journal.route_mode import RouteModes
from interceptor.journal.turn_parts import DUPLICATE_WINDOW, Inbound, Taken
from interceptor.message.header import peek_header
from interceptor.node_parts import NodeParts, utc_now
from interceptor.route import Route
from interceptor.shadow import tell_deciding_failed
from interceptor.telemetry.events import CUSTODY_RECOVERED, JOURNAL_OPENED, JOURNAL_UNAVAILABLE, NODE_DEGRADED
from interceptor.telemetry.health import DegradedReason
from interceptor.telemetry.operation_events import UNSEEN_LOOKED_AT

START_SECONDS_MAX = 15.0
"""How long a start waits for a database that is there and does not answer."""
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What is read from the journal before this node does more than pass messages on."""

    parts: NodeParts
    custody: Custody
    modes: RouteModes
    couriers: Mapping[str, Courier]
    routes: Mapping[str, Route]
    cluster: Cluster

    async def begin(self) -> None:
        """Read it now; where the database is away, go on without it and read it when it is there.

        Raises:
            JournalError: The journal is refused, or is a file that cannot be read.
        """
        parts = self.parts
        try:
            async with asyncio.timeout(START_SECONDS_MAX if parts.journal.nodes is not None else None):
                await self._read()
        except (JournalUnavailable, TimeoutError) as error:
            if parts.journal.nodes is None:
                raise
            reason = error.reason if isinstance(error, JournalUnavailable) else JournalReason.AWAY
            parts.log.event(JOURNAL_UNAVAILABLE, reason=reason.value, where="start")
            parts.health.degrade(DegradedReason.JOURNAL_UNAVAILABLE)
            parts.log.event(NODE_DEGRADED, reason=DegradedReason.JOURNAL_UNAVAILABLE.value)
            self.modes.pass_until_read()
            for route in self.routes.values():
                route.gate.journal_checked(works=False)
            parts.run(self._read_later(), name="recovery")
        else:
            parts.health.journal_writable = True

    async def _read_later(self) -> None:
        """Try until it is read. Cancelling ends it; what had passed by is then forgotten."""
        while not self.custody.is_loaded:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                await self._read()
            except JournalUnavailable:
                continue

    async def _read(self) -> None:
        parts, custody = self.parts, self.custody
        parts.log.event(JOURNAL_OPENED, entries=sum((await parts.journal.entry_counts()).values()))
        parts.health.migrations_applied = True
        await pause_if_restored(parts, self.couriers.values())
        await self.modes.load()
        await load_custody(parts, custody)
        self._look_at_unseen()
        join(self.cluster, parts, custody, couriers=self.couriers, modes=self.modes, routes=self.routes)

    def _look_at_unseen(self) -> None:
        """Give what went past our orders its turn. Tasks that are made now begin before anything that arrives later."""
        parts, unseen = self.parts, self.custody.unseen
        passed = unseen.take()
        ours = [raw for raw in passed if self._route_of(raw) is not None]
        for raw in ours:
            parts.spawn(self._turn(raw))
        if passed:
            parts.log.event(UNSEEN_LOOKED_AT, passed=len(passed), ours=len(ours), forgotten=unseen.forgotten_count)

    def _route_of(self, raw: bytes) -> Route | None:
        """The route whose order a message is about; None where it is about none that is ours."""
        keys = keys_of_content(raw)
        if not self.custody.knows_open(keys):
            return None
        names = [order.route for key in keys for order in self.custody.index.of_key(key)]
        return next((self.routes[name] for name in names if name in self.routes), None)

    async def _turn(self, raw: bytes) -> None:
        """What went past an order of ours has its turn after all; its placer has the filler's answer already."""
        route, header, parts = self._route_of(raw), peek_header(raw), self.parts
        if route is None or header is None:
            return
        while True:
            inbound = Inbound(raw=raw, header=header, evidence=None, received_at=utc_now())
            try:
                result = await route.parts.take_turn(inbound)
            except JournalUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
            except JournalError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it has passed: that is what becomes of it
                tell_deciding_failed(route.parts.options.name, route.parts.metrics, parts.log, error)
                return
            else:
                if isinstance(result, Taken) and result.decision is not None:
                    route.parts.count(result.decision)
                return


def build_custody(parts: NodeParts) -> Custody:
    """Custody that knows nothing yet."""
    custody = Custody(parts.journal)
    custody.listen(moved=custody_log(metrics=parts.metrics, now=utc_now, log=parts.log))
    return custody


async def load_custody(parts: NodeParts, custody: Custody) -> None:
    """Everything that is ours, as the journal has it.

    Raises:
        JournalRefused: An order in custody belongs to a route that is not configured.
    """
    nodes = parts.journal.nodes
    if nodes is None:
        recovered = await parts.journal.recover_outbox(at=utc_now())
        await set_aside_overtaken(parts)
    else:
        # What is in flight may be another node's: whoever takes a destination over looks after it.
        recovered, custody.position = 0, await nodes.position()
    await custody.load(digests_since=utc_now() - DUPLICATE_WINDOW)
    unknown = sorted({order.route for order in custody.index.orders()} - set(parts.config.route))
    if unknown:
        detail = f"orders of route {', '.join(unknown)} are in custody: keep it configured until they have left"
        raise JournalRefused(JournalReason.SETTINGS, detail)
    states = Counter(order.state for order in custody.index.orders())
    parts.log.event(
        CUSTODY_RECOVERED,
        held=states[OrderState.HELD],
        parked=states[OrderState.PARKED],
        queued=states[OrderState.QUEUED],
        possible_duplicates=recovered,
    )


async def pause_if_restored(parts: NodeParts, couriers: Iterable[Courier]) -> None:
    """An older copy of the journal was put back: what it calls undelivered may have been delivered long ago."""
    if not await parts.journal.is_restored():
        return
    parts.health.degrade(DegradedReason.JOURNAL_RESTORED)
    parts.log.event(NODE_DEGRADED, reason=DegradedReason.JOURNAL_RESTORED.value)
    for courier in couriers:
        courier.is_paused = True


def build_modes(parts: NodeParts) -> RouteModes:
    """The mode of every route: what a person set outlives restarts and wins over the configuration, once it is read."""
    return RouteModes(
        parts.journal,
        {name: RouteMode(route.mode) for name, route in parts.config.route.items()},
        shown=lambda name, mode: parts.metrics.routes[name].show_mode(mode.value),
    )
