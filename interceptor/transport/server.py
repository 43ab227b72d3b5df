"""Listen for MLLP connections: admit, count, hand over, and go away in order.

Failures:
    The port is taken, or the address is not ours: OSError from `serve`; the node does not start.
    Too many connections, or from a peer that is not allowed: refused, counted, nothing else is disturbed.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv6Address, ip_address
from ssl import SSLContext

from interceptor.lifetime import Tasks, running_tasks
from interceptor.transport.accept import Acceptor, address_of
from interceptor.transport.connection import ConnectionHandler, MllpConnection
from interceptor.transport.handshake import TlsAcceptor
from interceptor.transport.options import ConnectionOptions, ListenerOptions, RefusalReason, TransportCounters
from interceptor.transport.protocol import MllpProtocol
from interceptor.transport.socket_options import set_liveness


class MllpServer:
    """One listener and its connections. Made by `serve`."""

    def __init__(
        self,
        *,
        connection_made: Callable[[MllpConnection], ConnectionHandler | None],
        options: ConnectionOptions,
        limits: ListenerOptions,
        counters: TransportCounters,
    ) -> None:
        """*connection_made* gives the handler of each admitted connection; None where its certificate is not taken."""
        self._connection_made = connection_made
        self._options = options
        self._limits = limits
        self._counters = counters
        self._connections: dict[MllpConnection, str] = {}
        self._counts_by_address: dict[str, int] = {}
        self._handshakes_by_address: dict[str, int] = {}
        self._sockets: list[socket.socket] = []
        self._acceptors: list[Acceptor] = []
        self._is_accepting = True
        self._taking_count = 0
        self._taken = asyncio.Event()
        self._taken.set()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.port = 0
        """The port that is listened on, as the system gave it."""

    @property
    def connections(self) -> tuple[MllpConnection, ...]:
        """The connections that stand now, oldest first."""
        return tuple(self._connections)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets, to be handed to another process; none from `stop_accepting` on."""
        return tuple(self._sockets) if self._is_accepting else ()

    @property
    def is_accepting(self) -> bool:
        """False from `stop_accepting` on."""
        return self._is_accepting

    async def listen(self, host: str, port: int, *, tasks: Tasks, tls: Callable[[], SSLContext] | None) -> None:
        """Bind every address of *host*; port 0 lets the system choose one for all of them.

        *tls* gives the context of each handshake, which runs in *tasks*.
        """
        for listening in await _bind(host, port, self._limits, self._options):
            self._sockets.append(listening)
            self.port = listening.getsockname()[1]
            listening.settimeout(0.0)
            listening.listen(self._limits.backlog)
            begin = partial(self._begin, tasks) if tls is None else TlsAcceptor(self, context=tls, tasks=tasks).begin
            self._acceptors.append(Acceptor(listening, begin))
            self._acceptors[-1].start()

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections that stand are not touched."""
        self._is_accepting = False
        for acceptor in self._acceptors:
            acceptor.stop()
        self._acceptors.clear()

    async def close(self, *, timeout_seconds: float) -> None:
        """Stop accepting, close every connection in order, abort those that still stand after the timeout.

        Cancelling it leaves connections closing; a second call finishes.
        """
        self.stop_accepting()
        for connection in self.connections:
            connection.close()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._emptied.wait()
        except TimeoutError:
            for connection in self.connections:
                connection.abort()
            await self._emptied.wait()

    def handshake_begun(self, address: str, descriptor: int) -> RefusalReason | None:
        """Count a TLS handshake under way, which counts as a connection; a reason refuses it."""
        reason = self._find_refusal(address, descriptor)
        if reason is None:
            self._handshakes_by_address[address] = self._handshakes_by_address.get(address, 0) + 1
        return reason

    def handshake_ended(self, address: str) -> None:
        """A TLS handshake is over."""
        _count_down(self._handshakes_by_address, address)

    def refused(self, reason: RefusalReason, address: str) -> None:
        """Tell of a connection that was turned away."""
        self._counters.connection_refused(reason, address)

    def handshaken(self, ended: Callable[[], None]) -> MllpProtocol:
        """The protocol of a connection whose handshake is under way; it calls *ended* when that is done."""

        def opened(connection: MllpConnection) -> ConnectionHandler | None:
            ended()
            return self._admit(connection)

        return self._build_protocol(opened)

    def _begin(self, tasks: Tasks, accepted: socket.socket) -> None:
        """A connection in plain text. One that is refused costs no transport: ten thousand of them must cost little."""
        address = address_of(accepted)
        reason = self._find_refusal(address, accepted.fileno())
        if reason is None:
            self._taking_count += 1
            self._taken.clear()
            tasks.start(self._take(accepted), name="accepted")
            return
        accepted.close()
        self.refused(reason, address)

    async def _take(self, accepted: socket.socket) -> None:
        def opened(connection: MllpConnection) -> ConnectionHandler | None:
            return self._admit(connection, is_taken=True)

        try:
            await asyncio.get_running_loop().connect_accepted_socket(partial(self._build_protocol, opened), accepted)
        except OSError:
            # It was gone before it began.
            accepted.close()
        finally:
            self._taking_count -= 1
            if not self._taking_count:
                self._taken.set()

    async def taken(self) -> None:
        """Return when each accepted connection has its protocol, which takes a turn or two of the loop.

        A loop that is interrupted in between leaves the descriptor with two owners.
        """
        await self._taken.wait()

    def _build_protocol(
        self, opened: Callable[[MllpConnection], ConnectionHandler | None] | None = None
    ) -> MllpProtocol:
        return MllpProtocol(
            options=self._options,
            counters=self._counters,
            is_inbound=True,
            opened=opened or self._admit,
            lost=self._forget,
        )

    def _admit(self, connection: MllpConnection, *, is_taken: bool = False) -> ConnectionHandler | None:
        """*is_taken*: it was let in before `stop_accepting`, if that has been since."""
        reason = self._find_refusal(connection.peer_address, connection.descriptor, is_taken=is_taken)
        address = connection.peer_address
        handler = None if reason is not None else self._connection_made(connection)
        if handler is None:
            self.refused(reason or RefusalReason.CERTIFICATE_REFUSED, address)
            return None
        self._connections[connection] = address
        self._counts_by_address[address] = self._counts_by_address.get(address, 0) + 1
        self._emptied.clear()
        return handler

    def _find_refusal(self, address: str, descriptor: int, *, is_taken: bool = False) -> RefusalReason | None:
        limits = self._limits
        if not self._is_accepting and not is_taken:
            return RefusalReason.NOT_ACCEPTING
        if limits.allowed_networks and not self._is_allowed(address):
            return RefusalReason.ADDRESS_NOT_ALLOWED
        handshakes = self._handshakes_by_address
        if len(self._connections) + (sum(handshakes.values()) if handshakes else 0) >= limits.connections_max:
            return RefusalReason.CONNECTIONS_MAX
        if self._counts_by_address.get(address, 0) + handshakes.get(address, 0) >= limits.connections_per_address_max:
            return RefusalReason.CONNECTIONS_PER_ADDRESS_MAX
        if limits.descriptor_max and descriptor > limits.descriptor_max:
            return RefusalReason.DESCRIPTORS_SHORT
        return None

    def _is_allowed(self, address: str) -> bool:
        try:
            # An IPv6 address may carry a zone ("fe80::1%eth0"), which no network of the configuration has.
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._limits.allowed_networks)

    def _forget(self, connection: MllpConnection) -> None:
        address = self._connections.pop(connection)
        _count_down(self._counts_by_address, address)
        if not self._connections:
            self._emptied.set()


def _count_down(counts: dict[str, int], address: str) -> None:
    left = counts[address] - 1
    if left:
        counts[address] = left
    else:
        del counts[address]


@asynccontextmanager
async def serve(
    host: str,
    port: int,
    *,
    connection_made: Callable[[MllpConnection], ConnectionHandler | None],
    options: ConnectionOptions,
    limits: ListenerOptions,
    counters: TransportCounters | None = None,
    tls: Callable[[], SSLContext] | None = None,
    close_timeout_seconds: float = 5.0,
) -> AsyncIterator[MllpServer]:
    """Listen on *host* and *port* for the length of the block.

    On leaving, connections are closed in order and aborted after `close_timeout_seconds`. To drain first, call
    `stop_accepting` and let the handlers finish inside the block. *tls* gives the context of each handshake: what it
    gives may change while the listener stands. Without it the line is plain text.

    Raises:
        OSError: The address cannot be bound.
    """
    server = MllpServer(
        connection_made=connection_made, options=options, limits=limits, counters=counters or TransportCounters()
    )
    async with running_tasks() as tasks:
        try:
            await server.listen(host, port, tasks=tasks, tls=tls)
            yield server
        finally:
            server.stop_accepting()
            await server.taken()
            tasks.cancel()
            await server.close(timeout_seconds=close_timeout_seconds)


async def _bind(host: str, port: int, limits: ListenerOptions, options: ConnectionOptions) -> list[socket.socket]:
    """One bound socket for each address of *host*, with the options that accepted sockets inherit (Linux)."""
    if limits.adopted:
        return list(limits.adopted)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )
    bound: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            # proto is named: asyncio sets TCP_NODELAY only on sockets that say they are TCP.
            listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            bound.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            set_liveness(listening, options)
            chosen = port or (bound[0].getsockname()[1] if len(bound) > 1 else 0)
            listening.bind((address[0], chosen, *address[2:]))
    except OSError:
        for listening in bound:
            listening.close()
        raise
    return bound
