"""Tell of every order that is taken or moved: log events for the operator, hold ends for the metrics.

Our own numbers, states and reason words only; the order itself is in the journal, where access is controlled.
"""

from collections.abc import Callable
from datetime import datetime

from interceptor.action.lifecycle import WAITING_STATES, LifecycleEvent, OrderState
from interceptor.journal.order_index import OpenOrder
from interceptor.telemetry.events import ORDER_HELD, ORDER_PARKED, ORDER_WITHDRAWN, EventLog
from interceptor.telemetry.metrics import Metrics


def custody_log(
    *, metrics: Metrics, now: Callable[[], datetime], log: EventLog
) -> Callable[[OpenOrder | None, OpenOrder | None, LifecycleEvent], None]:
    """Return what `Custody.listen` takes as *moved*."""

    def tell(before: OpenOrder | None, after: OpenOrder | None, event: LifecycleEvent) -> None:
        was_waiting = before is not None and before.state in WAITING_STATES
        if after is not None and before is None:
            _tell_taken(after)
        if before is None or not was_waiting or (after is not None and after.state in WAITING_STATES):
            return
        metrics.count_hold_end(event.value, held_seconds=max(0.0, (now() - before.taken_at).total_seconds()))
        if after is not None and after.state is OrderState.WITHDRAWN:
            log.event(ORDER_WITHDRAWN, entry=after.entry_id, actor="placer")

    def _tell_taken(order: OpenOrder) -> None:
        seconds = (order.deadline_at - now()).total_seconds() if order.deadline_at is not None else None
        if order.state is OrderState.HELD:
            log.event(
                ORDER_HELD, route=order.route, entry=order.entry_id, priority=order.priority, deadline_seconds=seconds
            )
        elif order.state is OrderState.PARKED:
            log.event(ORDER_PARKED, route=order.route, entry=order.entry_id, window_seconds=seconds)

    return tell
