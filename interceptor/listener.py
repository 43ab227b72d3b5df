"""A route's listener: admits placers, gives each connection its line of the pipeline, and drains.

Failures: an address that cannot be bound stops the start. A connection beyond the limits or from an address that is
not allowed is refused and counted; others are not disturbed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network

from interceptor.config.schema import Config, RouteTable
from interceptor.pipeline import PlacerLine
from interceptor.route import Route
from interceptor.telemetry.events import LISTENER_CLOSED, LISTENER_OPENED, NODE_DRAINED, EventLog
from interceptor.telemetry.label import ConnectionResult
from interceptor.telemetry.metrics import RouteMetrics
from interceptor.transport.connection import MllpConnection
from interceptor.transport.options import ConnectionOptions, ListenerOptions, RefusalReason, TransportCounters
from interceptor.transport.server import MllpServer, serve
from interceptor.wire.frame import FrameOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One route's listener and the lines of its placers."""

    name: str
    server: MllpServer
    lines: "set[PlacerLine]"


@asynccontextmanager
async def listen(
    name: str, config: Config, route: Route, *, metrics: RouteMetrics, log: EventLog, reuse_port: bool
) -> AsyncIterator[Listener]:
    """Take placers' connections on a route's address for the length of the block.

    Raises:
        OSError: The address cannot be bound.
    """
    table = config.route[name]
    lines: set[PlacerLine] = set()

    def accept(connection: MllpConnection) -> PlacerLine:
        line = PlacerLine(connection, route.parts, on_lost=lines.discard)
        lines.add(line)
        return line

    async with serve(
        table.listen.host,
        table.listen.port,
        connection_made=accept,
        options=_connection_options(table, config),
        limits=ListenerOptions(
            connections_max=table.connections_max,
            connections_per_address_max=table.connections_per_address_max,
            allowed_networks=tuple(ip_network(network) for network in table.allowed_addresses),
            reuse_port=reuse_port,
        ),
        counters=_counters(metrics),
    ) as server:
        address = f"{table.listen.host}:{server.port}"
        mode = route.parts.mode().value
        log.event(LISTENER_OPENED, route=name, address=address, mode=mode, custody=table.custody)
        yield Listener(name=name, server=server, lines=lines)


def _connection_options(table: RouteTable, config: Config) -> ConnectionOptions:
    tolerances = table.tolerances
    return ConnectionOptions(
        frame=FrameOptions(
            missing_final_cr=tolerances.missing_final_cr,
            bytes_between_frames=tolerances.bytes_between_frames,
            start_inside_frame=tolerances.start_inside_frame,
            empty_frame=tolerances.empty_frame,
            doubled_envelope=tolerances.doubled_envelope,
            frame_size_max=table.frame_size_max,
        ),
        idle_timeout_seconds=table.idle_timeout_seconds,
        read_timeout_seconds=table.read_timeout_seconds,
        write_timeout_seconds=table.write_timeout_seconds,
        # What a placer that closed its side is still owed may take as long as the filler may.
        finish_timeout_seconds=config.destination[table.destination].ack_timeout_seconds + 10.0,
    )


def _counters(metrics: RouteMetrics) -> TransportCounters:
    results = {
        RefusalReason.ADDRESS_NOT_ALLOWED: ConnectionResult.REFUSED_ADDRESS,
    }

    def opened() -> None:
        metrics.connections.inc()
        metrics.connections_total.count(ConnectionResult.ACCEPTED)

    return TransportCounters(
        connection_opened=opened,
        connection_refused=lambda reason: metrics.connections_total.count(
            results.get(reason, ConnectionResult.REFUSED_LIMIT)
        ),
        connection_ended=lambda _end: metrics.connections.dec(),
        framing_failed=lambda reason: metrics.framing_errors.count(reason),
        frame_incomplete=lambda: metrics.framing_errors.count("incomplete"),
        tolerated=lambda tolerance, count: metrics.frame_tolerances.count(tolerance, amount=count),
    )


async def drain(listeners: Collection[Listener], *, seconds_max: float, log: EventLog) -> int:
    """Stop accepting and let what is under way end; returns how many connections still had something unanswered.

    What is left unanswered after *seconds_max* was not acknowledged: its placer sends it again.
    """
    began = time.monotonic()
    for listener in listeners:
        listener.server.stop_accepting()
        log.event(LISTENER_CLOSED, route=listener.name)

    def busy() -> int:
        return sum(line.is_busy for listener in listeners for line in listener.lines)

    while busy() and time.monotonic() < began + seconds_max:  # noqa: ASYNC110 - many lines, looked at for a few seconds
        await asyncio.sleep(0.02)
    left = busy()
    log.event(NODE_DRAINED, unanswered=left, waited_seconds=round(time.monotonic() - began, 3))
    return left
