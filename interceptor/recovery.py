"""What the journal has is ours again: orders in custody, modes that were set, and couriers of a restored copy, paused."""

from collections import Counter
from collections.abc import Iterable

from interceptor.action.lifecycle import OrderState
from interceptor.action.plan import RouteMode
from interceptor.bypass import set_aside_overtaken
from interceptor.delivery.courier import Courier
from interceptor.journal.custody import Custody
from interceptor.journal.custody_log import custody_log
from interceptor.journal.port import JournalReason, JournalRefused
from interceptor.journal.route_mode import RouteModes
from interceptor.journal.turn_parts import DUPLICATE_WINDOW
from interceptor.node_parts import NodeParts, utc_now
from interceptor.telemetry.events import CUSTODY_RECOVERED, NODE_DEGRADED
from interceptor.telemetry.health import DegradedReason


async def load_custody(parts: NodeParts) -> Custody:
    """Everything that is ours, as the journal has it."""
    custody = Custody(parts.journal)
    custody.listen(moved=custody_log(metrics=parts.metrics, now=utc_now, log=parts.log))
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
    return custody


async def pause_if_restored(parts: NodeParts, couriers: Iterable[Courier]) -> None:
    """An older copy of the journal was put back: what it calls undelivered may have been delivered long ago."""
    if not await parts.journal.is_restored():
        return
    parts.health.degrade(DegradedReason.JOURNAL_RESTORED)
    parts.log.event(NODE_DEGRADED, reason=DegradedReason.JOURNAL_RESTORED.value)
    for courier in couriers:
        courier.is_paused = True


async def load_modes(parts: NodeParts) -> RouteModes:
    """The mode of every route: what a person set outlives restarts and wins over the configuration."""
    modes = RouteModes(
        parts.journal,
        {name: RouteMode(route.mode) for name, route in parts.config.route.items()},
        shown=lambda name, mode: parts.metrics.routes[name].show_mode(mode.value),
    )
    await modes.load()
    return modes
