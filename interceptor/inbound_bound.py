"""The bound on what all inbound connections hold in memory together: above it the node stops reading, and drops nothing.

Each connection is bounded by its own limits; many of them with large messages together are not. While more bytes are in
memory than `inbound_bytes_max`, sockets of the connections that hold much are not read. TCP tells their senders to
wait. Messages that are here go their way; the largest open frame goes on being read, for frames that are all half read
would never leave. Connections with little in memory are not touched: their messages go on as if nothing were.

Failures: none. A sender that stalls meanwhile is ended by the deadline of its frame, as ever.
"""

import asyncio
import time
from collections.abc import Collection, Iterator

from interceptor.listener import Listener, PlacerLine
from interceptor.node_parts import NodeParts
from interceptor.telemetry.events import EventLog
from interceptor.telemetry.line_events import MEMORY_FREED, MEMORY_SHORT
from interceptor.telemetry.metrics import LineMetrics

LOOK_SECONDS = 0.1
NEAR_LOOK_SECONDS = 0.01
"""How often it is looked when a quarter of the bound is in memory: a network brings 16 MiB in a few hundredths of a second."""
_NEAR_SHARE = 0.25
LIGHT_SIZE_MAX = 64 * 1024
"""A connection that holds no more than this is never kept waiting by others."""
_FREED_SHARE = 0.75
"""Reading goes on below this share of the bound, so that it does not change with every message."""


def bound_inbound(parts: NodeParts, listeners: Collection[Listener]) -> "InboundBound":
    """The bound of a node, as configured; its `run` must run."""
    bytes_max = parts.config.node.inbound_bytes_max
    return InboundBound(listeners, bytes_max=bytes_max, metrics=parts.metrics.line, log=parts.log)


class InboundBound:
    """Watches what all connections of a node hold."""

    def __init__(self, listeners: Collection[Listener], *, bytes_max: int, metrics: LineMetrics, log: EventLog) -> None:
        """*bytes_max*: of all inbound messages in memory at one time."""
        self._listeners = listeners
        self._bytes_max = bytes_max
        self._metrics = metrics
        self._log = log
        self._held: set[PlacerLine] = set()
        self._short_since: float | None = None

    async def run(self) -> None:
        """Look several times a second, more often when it gets near, until cancelled."""
        while True:
            is_near = self.look() > self._bytes_max * _NEAR_SHARE
            await asyncio.sleep(NEAR_LOOK_SECONDS if is_near else LOOK_SECONDS)

    def look(self) -> int:
        """Hold or release connections by what is in memory now; returns how many bytes that is."""
        sizes = {line: line.held_size for line in self._lines()}
        total = sum(sizes.values())
        self._metrics.inbound_held_bytes.set(total)
        is_short = self._short_since is not None
        if total > self._bytes_max or (is_short and total > self._bytes_max * _FREED_SHARE):
            self._hold(sizes)
            if not is_short:
                self._short_since = time.monotonic()
                self._metrics.memory_paused.set(1)
                self._log.event(MEMORY_SHORT, held_bytes=total, limit_bytes=self._bytes_max)
        elif is_short:
            self._release(tuple(self._held))
            self._log.event(
                MEMORY_FREED, held_bytes=total, seconds=round(time.monotonic() - (self._short_since or 0.0), 1)
            )
            self._short_since = None
            self._metrics.memory_paused.set(0)
        return total

    def _lines(self) -> Iterator[PlacerLine]:
        for listener in self._listeners:
            yield from listener.lines

    def _hold(self, sizes: dict[PlacerLine, int]) -> None:
        heavy = {line for line, size in sizes.items() if size > LIGHT_SIZE_MAX}
        reading = max(heavy, key=lambda line: line.open_size, default=None)
        if reading is not None and reading.open_size:
            heavy.discard(reading)
        self._release(tuple(self._held - heavy))
        for line in heavy - self._held:
            line.hold_reading(is_held=True)
        self._held = heavy

    def _release(self, lines: Collection[PlacerLine]) -> None:
        for line in lines:
            self._held.discard(line)
            if not line.is_lost:
                line.hold_reading(is_held=False)
