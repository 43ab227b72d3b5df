"""The listener of a route or feed: admits senders, gives each connection its line of messages, and drains.

Failures: an address that cannot be bound stops the start. A connection beyond the limits or from an address that is
not allowed is refused and counted; others are not disturbed.
"""

import asyncio
import math
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from interceptor.answering import MessagePassage, PlacerSide
from interceptor.config.schema import Config, FeedTable, RouteTable
from interceptor.feed import FeedParts, FeedPassage
from interceptor.line_security import LineGuard
from interceptor.route import Route
from interceptor.telemetry.events import (
    CONNECTION_REFUSED,
    FRAME_REFUSED,
    LISTENER_CLOSED,
    LISTENER_OPENED,
    NODE_DRAINED,
    PLACER_CONNECTED,
    PLACER_DISCONNECTED,
    EventLog,
)
from interceptor.telemetry.health import Health
from interceptor.telemetry.label import ConnectionResult
from interceptor.telemetry.metrics import RouteMetrics
from interceptor.telemetry.probe import probe_answerer
from interceptor.tracing import MakePassage, passages
from interceptor.transport.connection import MllpConnection
from interceptor.transport.options import (
    ConnectionEnd,
    ConnectionOptions,
    ListenerOptions,
    RefusalReason,
    TransportCounters,
)
from interceptor.transport.server import MllpServer, serve
from interceptor.transport.socket_options import find_descriptor_max
from interceptor.wire.commit_block import MllpCommitAck, read_commit_block
from interceptor.wire.frame import Frame, FrameOptions, FramingError, encode_frame

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

Adopted = tuple[socket.socket, ...]
"""Sockets that listen at the address already, of a node that hands over; none binds new ones."""

OWED_SECONDS = 10.0
"""How much longer than its receiver a sender that closed its side may be owed an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineParts:
    """What a connection is handled with.

    Attributes:
        name: Name of the route or feed.
        pipelined_max: Messages that may wait before we stop reading.
        mllp_commit_ack: Both sides speak MLLP Release 2: a commit block that comes is about an answer, no message.
        passage: Makes the way of one message.
    """

    name: str
    pipelined_max: int
    passage: Callable[[Frame, PlacerSide], MessagePassage]
    log: EventLog
    mllp_commit_ack: bool = False
    health_probe: bytes = b""
    """Content of a frame that is answered here: a load balancer's question. Empty: there is none."""
    answer_probe: Callable[[], bytes] = lambda: b""


OPEN_FRAMES_INTERVAL_SECONDS = 1.0


class PlacerLine:
    """One placer connection: its messages one after the other, each done before the next begins."""

    def __init__(
        self,
        connection: MllpConnection,
        parts: LineParts,
        *,
        passage: Callable[[Frame, PlacerSide], MessagePassage],
        on_first: "Callable[[PlacerLine], None]",
        on_lost: "Callable[[PlacerLine], None]",
    ) -> None:
        """*passage* makes the way of each message; *on_first* is told of the first message, *on_lost* when the connection is gone."""
        self._connection = connection
        self._parts = parts
        self._passage_of = passage
        self._on_first = on_first
        self._on_lost = on_lost
        self._waiting: deque[Frame | FramingError] = deque()
        self._passage: MessagePassage | None = None
        self._is_pumping = False
        self._is_paused = False
        self.is_lost = False
        """Whether the placer is gone: nothing can be answered any more."""
        self._is_asked = parts.mllp_commit_ack or bool(parts.health_probe)
        self.message_count = 0
        self.send_block = connection.send_block
        """Send an acknowledgment that is framed already."""

    @property
    def peer_address(self) -> str:
        """The placer's address."""
        return self._connection.peer_address

    @property
    def end(self) -> ConnectionEnd | None:
        """Why the connection ended; None while it stands."""
        return self._connection.end

    @property
    def held_size(self) -> int:
        """Bytes of this connection's messages that are in memory: the open frame, those that wait, the one under way."""
        waiting = sum(len(one.content) for one in self._waiting if isinstance(one, Frame))
        return self._connection.open_size + waiting + (self._begun_size if self._passage is not None else 0)

    @property
    def open_size(self) -> int:
        """Bytes waiting in a frame that has begun and not ended."""
        return self._connection.open_size

    def hold_reading(self, *, is_held: bool) -> None:
        """Read no further bytes while held: the whole node has too much in memory."""
        self._connection.hold_reading(is_held=is_held)

    @property
    def is_busy(self) -> bool:
        """Whether messages wait for their end; an orderly close waits for it."""
        return self._passage is not None or bool(self._waiting)

    def frame_received(self, frame: Frame) -> None:
        """Take the next frame; stop reading when too many wait."""
        if self._is_asked and self._answer_for_itself(frame):
            return
        if self.message_count == 0:
            self._on_first(self)
        self.message_count += 1
        if self._passage is None and not self._waiting and not self._is_pumping:
            # It need not wait, and nearly none has to: `_begin` without the call.
            self._begun_size = len(frame.content)
            passage = self._passage = self._passage_of(frame, self)
            passage.begin()
            return
        self._waiting.append(frame)
        if len(self._waiting) >= self._parts.pipelined_max and not self._is_paused:
            self._is_paused = True
            self._connection.pause_reading()
        self._pump()

    def _answer_for_itself(self, frame: Frame) -> bool:
        """Take what is no message: a commit block, or a load balancer's question."""
        parts = self._parts
        if parts.mllp_commit_ack and read_commit_block(frame.content) is not None:
            self._connection.settle()
            return True
        if not parts.health_probe or frame.content != parts.health_probe:
            return False
        # Answered by the loop that carries the orders, and before what waits: it asks whether this loop turns.
        self._connection.send(parts.answer_probe())
        return True

    def framing_failed(self, error: FramingError) -> None:
        """The stream cannot be trusted any more: refuse the message whose head was seen, in its turn; then it closes."""
        parts = self._parts
        peer = self._connection.peer_address
        parts.log.event(FRAME_REFUSED, route=parts.name, peer=peer, reason=error.reason.value, offset=error.offset)
        self._waiting.append(error)
        self._pump()

    def stop_beginning(self) -> None:
        """Finish the message under way and begin no other: what waits was not acknowledged and will be sent again."""
        self._connection.pause_reading()
        self._waiting.clear()

    def connection_lost(self) -> None:
        """The placer is gone; what waits was not acknowledged and will be sent again."""
        self.is_lost = True
        self._waiting.clear()
        self._on_lost(self)
        if self._passage is not None:
            self._passage.withdraw()

    def send(self, content: bytes) -> None:
        """Send an acknowledgment."""
        self._connection.send(content)

    def send_commit(self, commit: MllpCommitAck) -> None:
        """Send a commit block."""
        self._connection.send_raw(encode_frame(commit.value))

    def ended(self) -> None:
        """The message under way has come to its end."""
        self._passage = None
        if self._waiting:
            self._pump()

    def _pump(self) -> None:
        """Begin messages until one has to wait. A loop, not recursion: many may be done at once."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while self._waiting and self._passage is None:
                frame = self._waiting.popleft()
                if self._is_paused and len(self._waiting) < self._parts.pipelined_max:
                    self._is_paused = False
                    self._connection.resume_reading()
                if isinstance(frame, FramingError):
                    refused = self._passage_of(Frame(content=frame.head), _Refusal(self))
                    refused.refuse_head(frame.reason.value)
                    continue
                self._begin(frame)
        finally:
            self._is_pumping = False

    def _begin(self, frame: Frame) -> None:
        self._begun_size = len(frame.content)
        passage = self._passage = self._passage_of(frame, self)
        passage.begin()


class _Refusal:
    """The side of a frame that never became a message: it can be answered, and ends nothing."""

    def __init__(self, line: PlacerLine) -> None:
        self._line = line

    @property
    def is_lost(self) -> bool:
        return self._line.is_lost

    def send(self, content: bytes) -> None:
        self._line.send(content)

    def send_block(self, block: bytes) -> None:
        self._line.send_block(block)

    def send_commit(self, commit: MllpCommitAck) -> None:
        self._line.send_commit(commit)

    def ended(self) -> None:
        """Nothing was under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """The listener of one route or feed, and the lines of its senders."""

    name: str
    server: MllpServer
    lines: "set[PlacerLine]"


@asynccontextmanager
async def listen(
    name: str,
    config: Config,
    routes: Mapping[str, Route],
    *,
    guard: LineGuard,
    metrics: RouteMetrics,
    health: Health,
    log: EventLog,
    tracer: "Tracer | None" = None,
    adopted: Adopted = (),
) -> AsyncIterator[Listener]:
    """Take placers' connections on a route's address for the length of the block.

    Raises:
        OSError: The address cannot be bound.
    """
    table = config.route[name]
    parts = LineParts(
        name=name,
        pipelined_max=table.pipelined_max,
        passage=_passages(name, routes, tracer),
        log=log,
        mllp_commit_ack=table.mllp_commit_ack,
        health_probe=table.health_probe.encode("ascii"),
        answer_probe=probe_answerer(health, metrics.health_probes),
    )
    # What a placer that closed its side is still owed may take as long as the filler may.
    finish_seconds = config.destination[table.destination].ack_timeout_seconds + OWED_SECONDS
    options = _connection_options(table, finish_seconds)
    async with _serve_lines(table, parts, options, guard=guard, metrics=metrics, adopted=adopted) as listener:
        address = f"{table.listen.host}:{listener.server.port}"
        mode = routes[name].parts.mode().value
        log.event(LISTENER_OPENED, route=name, address=address, mode=mode, custody=table.custody)
        try:
            yield listener
        finally:
            # What has left belongs to the record, too.
            routes[name].parts.shadow.finish()


def _passages(name: str, routes: Mapping[str, Route], tracer: "Tracer | None") -> MakePassage:
    """The way of each message through the route as it is then: a reload puts another one there."""
    known = routes[name].parts
    make = passages(known, tracer)

    def passage(frame: Frame, line: PlacerSide) -> MessagePassage:
        nonlocal known, make
        parts = routes[name].parts
        if parts is not known:
            known, make = parts, passages(parts, tracer)
        return make(frame, line)

    return passage


@asynccontextmanager
async def listen_feed(
    name: str, config: Config, feeds: Mapping[str, FeedParts], *, guard: LineGuard, adopted: Adopted = ()
) -> AsyncIterator[Listener]:
    """Take connections of a feed's senders for the length of the block.

    Raises:
        OSError: The address cannot be bound.
    """
    table, parts = config.feed[name], feeds[name]
    lines = LineParts(
        name=name,
        pipelined_max=table.pipelined_max,
        passage=lambda frame, line: FeedPassage(frame, line, feeds[name]),
        log=parts.log,
    )
    receiver_seconds = config.destination[table.destination].ack_timeout_seconds if table.destination else 0.0
    options = _connection_options(table, receiver_seconds + OWED_SECONDS)
    serving = _serve_lines(table, lines, options, guard=guard, metrics=parts.metrics, adopted=adopted)
    async with serving as listener:
        address = f"{table.listen.host}:{listener.server.port}"
        custody = "relay" if table.destination else "store"
        parts.log.event(LISTENER_OPENED, route=name, address=address, mode="feed", custody=custody)
        yield listener


@asynccontextmanager
async def _serve_lines(
    table: RouteTable | FeedTable,
    parts: LineParts,
    options: ConnectionOptions,
    *,
    guard: LineGuard,
    metrics: RouteMetrics,
    adopted: Adopted,
) -> AsyncIterator[Listener]:
    lines: set[PlacerLine] = set()

    def lost(line: PlacerLine) -> None:
        lines.discard(line)
        if parts.health_probe and line.message_count == 0:
            return
        parts.log.event(
            PLACER_DISCONNECTED,
            route=parts.name,
            peer=line.peer_address,
            reason=line.end.value if line.end is not None else "",
            messages=line.message_count,
        )

    def tell(line: PlacerLine) -> None:
        parts.log.event(PLACER_CONNECTED, route=parts.name, peer=line.peer_address, connections=len(lines))

    def accept(connection: MllpConnection) -> PlacerLine | None:
        passage = guard.admit(connection, parts.passage)
        if passage is None:
            return None
        # Where a load balancer asks several times a second, only who sends a message is a placer to tell of.
        is_told_late = bool(parts.health_probe)
        line = PlacerLine(connection, parts, passage=passage, on_first=tell if is_told_late else _ignore, on_lost=lost)
        lines.add(line)
        if not is_told_late:
            tell(line)
        return line

    async with serve(
        table.listen.host,
        table.listen.port,
        connection_made=accept,
        options=options,
        limits=ListenerOptions(
            connections_max=table.connections_max,
            connections_per_address_max=table.connections_per_address_max,
            allowed_networks=tuple(ip_network(network) for network in table.allowed_addresses),
            descriptor_max=find_descriptor_max(),
            adopted=adopted,
        ),
        counters=_counters(parts.name, metrics, parts.log, guard),
        tls=guard.tls,
    ) as server:
        yield Listener(name=parts.name, server=server, lines=lines)


def _ignore(_line: PlacerLine) -> None:
    """The line was told of when it was opened."""


def _connection_options(table: RouteTable | FeedTable, finish_seconds: float) -> ConnectionOptions:
    return ConnectionOptions(
        # The table's keys are the decoder's own words, every one of them.
        frame=FrameOptions(**table.tolerances.model_dump(), frame_size_max=table.frame_size_max),
        idle_timeout_seconds=table.idle_timeout_seconds,
        read_timeout_seconds=table.read_timeout_seconds,
        write_timeout_seconds=table.write_timeout_seconds,
        finish_timeout_seconds=finish_seconds,
    )


_REFUSAL_RESULTS = {
    RefusalReason.ADDRESS_NOT_ALLOWED: ConnectionResult.REFUSED_ADDRESS,
    RefusalReason.CERTIFICATE_REFUSED: ConnectionResult.REFUSED_CERTIFICATE,
    RefusalReason.HANDSHAKE_FAILED: ConnectionResult.REFUSED_TLS,
}


def _counters(name: str, metrics: RouteMetrics, log: EventLog, guard: LineGuard) -> TransportCounters:
    def refused(reason: RefusalReason, peer: str) -> None:
        metrics.connections_total.count(_REFUSAL_RESULTS.get(reason, ConnectionResult.REFUSED_LIMIT))
        log.event(CONNECTION_REFUSED, route=name, peer=peer, reason=reason.value)
        guard.refused(reason, peer)

    def opened() -> None:
        metrics.connections.inc()
        metrics.connections_total.count(ConnectionResult.ACCEPTED)

    return TransportCounters(
        connection_opened=opened,
        connection_refused=refused,
        connection_ended=lambda _end: metrics.connections.dec(),
        framing_failed=lambda reason: metrics.framing_errors.count(reason),
        frame_incomplete=lambda: metrics.framing_errors.count("incomplete"),
        tolerated=lambda tolerance, count: metrics.frame_tolerances.count(tolerance, amount=count),
    )


async def watch_open_frames(listeners: Collection[Listener], metrics: Mapping[str, RouteMetrics]) -> None:
    """Show every second how many bytes wait in frames that have not ended, and since when; until cancelled."""
    while True:
        _show_open_frames(listeners, metrics, now=time.time())
        await asyncio.sleep(OPEN_FRAMES_INTERVAL_SECONDS)


def _show_open_frames(listeners: Collection[Listener], metrics: Mapping[str, RouteMetrics], *, now: float) -> None:
    for listener in listeners:
        open_connections = [one for one in listener.server.connections if one.open_size]
        route = metrics[listener.name]
        route.open_frame_bytes.set(sum(one.open_size for one in open_connections))
        oldest = max((one.open_seconds for one in open_connections), default=None)
        route.open_frame_oldest.set(math.nan if oldest is None else now - oldest)


_FIRST_MESSAGE_SECONDS: Final = 0.05
"""From the accept of a connection to its first message in our hands."""


async def drain(listeners: Collection[Listener], *, seconds_max: float, log: EventLog) -> int:
    """Stop accepting and let what is under way end; returns how many connections still had something unanswered.

    What is left unanswered after *seconds_max* was not acknowledged: its placer sends it again.
    """
    began = time.monotonic()
    for listener in listeners:
        listener.server.stop_accepting()
    for listener in listeners:
        await listener.server.taken()
    # Who was let in a moment ago has its first message on the way: it is still answered.
    await asyncio.sleep(_FIRST_MESSAGE_SECONDS)
    for listener in listeners:
        for line in listener.lines:
            # A placer that gets its answers goes on sending: without this a busy route would never be done.
            line.stop_beginning()
        log.event(LISTENER_CLOSED, route=listener.name)

    def busy() -> int:
        return sum(line.is_busy for listener in listeners for line in listener.lines)

    while busy() and time.monotonic() < began + seconds_max:  # noqa: ASYNC110 - many lines, looked at for a few seconds
        await asyncio.sleep(0.02)
    left = busy()
    log.event(NODE_DRAINED, unanswered=left, waited_seconds=round(time.monotonic() - began, 3))
    return left
