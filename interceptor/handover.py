"""A running node hands its listeners to a fresh one: the sockets themselves, so that no connection is refused.

    fresh node                                    running node
       connects to handover.sock  ------------->
       <----- names and addresses, with the listening sockets (SCM_RIGHTS)
       checks that it can start
       "go" ----------------------------------->  drains, gives the journal back, ends
       <----- end of the connection: the running node is gone
       opens the journal, then serves

From "go" until the fresh node serves, new connections wait in the sockets' own queues: both processes hold the same
ones. The journal has one writer at any moment: the connection ends when the running node has given everything back
(journal, control socket, ports), however it ended.

Failures: without a running node there is nothing to take over and the fresh one starts as usual. A fresh node that ends
before its "go" changes nothing. A running node that does not end in time makes the fresh one give up.

See docs/adr/0007-handover-passes-the-sockets.md.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interceptor.control.server import bind_private_socket, read_inode_number, unlink_if_ours
from interceptor.lifetime import running_tasks
from interceptor.telemetry.events import EventLog
from interceptor.telemetry.operation_events import HANDOVER_ASKED

Sockets = Mapping[str, tuple[socket.socket, ...]]
"""Bound listening sockets by the name of their listener, e.g. "route.main"."""
STATUS_LISTENER: Final = "metrics"
"""The listener of /metrics and health: a scrape that comes between two nodes waits, as a placer does."""

_GO: Final = b"go\n"
_SOCKETS_COUNT_MAX: Final = 200
_HEAD_SIZE_MAX: Final = 65536
_OFFER_SECONDS: Final = 10.0


class HandoverError(OSError):
    """The running node could not be taken over."""


def handover_socket(control_socket: Path) -> Path:
    """Where a node offers its listeners: beside its control socket."""
    return control_socket.with_name("handover.sock")


@asynccontextmanager
async def offered(
    path: Path, sockets: Callable[[], Sockets], *, asked: asyncio.Event, log: EventLog
) -> AsyncIterator[None]:
    """Offer the listeners on *path* for the length of the block; set *asked* when a fresh node says "go".

    Leaving the block tells the fresh node to go on: put around everything that it must not find in use.

    Raises:
        ControlError, OSError: The socket cannot be made.
    """
    listener = bind_private_socket(path)
    listener.settimeout(0.0)
    listener.listen(4)
    inode_number = read_inode_number(path)
    connections: list[socket.socket] = []

    async def serve() -> None:
        """One fresh node after the other. Cancelling ends it; connections stay open: their end means our end."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.settimeout(0.0)
            connections.append(connection)
            with suppress(OSError, TimeoutError):
                listeners = sockets()
                _send_offer(connection, listeners)
                async with asyncio.timeout(_OFFER_SECONDS):
                    answer = await loop.sock_recv(connection, len(_GO))
                if answer == _GO:
                    log.event(HANDOVER_ASKED, listeners=sorted(listeners))
                    asked.set()

    async with running_tasks() as tasks:
        tasks.start(serve(), name="handover")
        try:
            yield
        finally:
            unlink_if_ours(path, inode_number)
            tasks.cancel()
            listener.close()
            for connection in connections:
                connection.close()


def _send_offer(connection: socket.socket, listeners: Sockets) -> None:
    names = [[name, len(bound)] for name, bound in listeners.items()]
    descriptors = [one.fileno() for bound in listeners.values() for one in bound]
    socket.send_fds(connection, [json.dumps(names).encode("ascii") + b"\n"], descriptors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a running node offers. Close it, or take its sockets."""

    connection: socket.socket
    sockets: Sockets

    async def take(self, *, seconds_max: float) -> None:
        """Say "go" and return when the running node is gone.

        Raises:
            HandoverError: It did not end in time.
        """
        loop = asyncio.get_running_loop()
        with closing(self.connection):
            try:
                async with asyncio.timeout(seconds_max):
                    await loop.sock_sendall(self.connection, _GO)
                    await loop.sock_recv(self.connection, 1)
            except ConnectionError:
                return  # It is gone: that is what we wait for.
            except TimeoutError:
                raise HandoverError(f"the running node did not end within {seconds_max:.0f} s") from None

    def close(self) -> None:
        """Leave the running node as it is."""
        self.connection.close()
        for bound in self.sockets.values():
            for one in bound:
                one.close()


def ask_for_listeners(path: Path) -> Offer | None:
    """Ask the node at *path* for its listeners; None when there is none.

    Raises:
        HandoverError: There is one, and it does not answer as it should.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.settimeout(_OFFER_SECONDS)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, _HEAD_SIZE_MAX, _SOCKETS_COUNT_MAX)
        received = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        names: list[tuple[str, int]] = json.loads(head)
    except (OSError, ValueError) as error:
        connection.close()
        raise HandoverError(f"the running node does not offer its listeners: {type(error).__name__}") from error
    connection.settimeout(0.0)
    left = iter(received)
    return Offer(
        connection=connection, sockets={name: tuple(next(left) for _ in range(count)) for name, count in names}
    )


def fitting(sockets: Sockets, listeners: Mapping[str, tuple[str, int]]) -> dict[str, tuple[socket.socket, ...]]:
    """Those *sockets* that a listener of this name and address wants; the others are closed. Port 0 takes any port.

    *listeners* has host and port as they are configured, by name.
    """
    found: dict[str, tuple[socket.socket, ...]] = {}
    for name, bound in sockets.items():
        wanted = listeners.get(name)
        if wanted is not None and bound and _is_at(bound, wanted):
            found[name] = bound
        else:
            _close_all(bound)
    return found


def _is_at(bound: Sequence[socket.socket], wanted: tuple[str, int]) -> bool:
    """Whether the sockets are bound to what resolving the wanted address gives now."""
    host, port = wanted
    resolved = {
        (family, address[0])
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    }
    have = {(one.family, one.getsockname()[0]) for one in bound}
    return have == resolved and all(port in (0, one.getsockname()[1]) for one in bound)


def _close_all(bound: Sequence[socket.socket]) -> None:
    for one in bound:
        one.close()
