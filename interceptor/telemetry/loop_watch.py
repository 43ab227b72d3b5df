"""Notice when the node's event loop stands still.

Failures: none. Cancelling ends the watch; the health page then says that the loop no longer ticks.
"""

import asyncio
from typing import Protocol

from interceptor.telemetry.events import LOOP_STALLED, EventLog
from interceptor.telemetry.health import Health

_STALLED_SECONDS = 1.0
"""A lag from which on the operator is told: every message waited that long."""


class Observe(Protocol):
    """A histogram child, as far as the watch needs it."""

    def observe(self, amount: float) -> None:
        """Count one observation."""
        ...


async def watch_loop(*, health: Health, lag: Observe, log: EventLog, interval_seconds: float = 0.1) -> None:
    """Tick for ever: note the tick for the health page and measure how late each one came."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval_seconds
        health.record_loop_tick()
        await asyncio.sleep(interval_seconds)
        lag_seconds = max(0.0, loop.time() - due)
        lag.observe(lag_seconds)
        if lag_seconds >= _STALLED_SECONDS:
            log.event(LOOP_STALLED, lag_seconds=round(lag_seconds, 3))
