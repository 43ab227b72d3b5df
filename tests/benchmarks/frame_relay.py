"""A relay of MLLP frames on our own transport, and nothing else: what the transport's share of a node's cost is.

    python -m tests.benchmarks.frame_relay PORT_OF_FILLER

Prints the port it listens on and relays until killed.
"""

import asyncio
import sys

import uvloop

from interceptor.transport.client import connect
from interceptor.transport.connection import MllpConnection
from interceptor.transport.options import ConnectionOptions, ListenerOptions
from interceptor.transport.server import serve
from interceptor.wire.frame import Frame, FramingError


class Side:
    """One side of a relayed connection: what it receives, the other sends."""

    def __init__(self, connection: MllpConnection | None) -> None:
        self.connection = connection
        self.other: MllpConnection | None = None
        self.early: list[Frame] = []

    def frame_received(self, frame: Frame) -> None:
        """Send it on the other side, or keep it until there is one."""
        if self.other is None:
            self.early.append(frame)
        else:
            _send(self.other, frame)

    def framing_failed(self, error: FramingError) -> None:
        """The load generator sends no bad frames."""

    def connection_lost(self) -> None:
        """Close the other side."""
        if self.other is not None:
            self.other.close()


def _send(connection: MllpConnection, frame: Frame) -> None:
    if frame.block is not None:
        connection.send_block(frame.block)
    else:
        connection.send(frame.content)


async def relay(filler_port: int) -> None:
    """Relay every connection to *filler_port* until cancelled."""
    options = ConnectionOptions()
    limits = ListenerOptions(connections_max=1000, connections_per_address_max=1000)

    async def join(placer: Side) -> None:
        filler = Side(None)
        filler.other = placer.connection
        placer.other = await connect("127.0.0.1", filler_port, handler=filler, options=options)
        for frame in placer.early:
            _send(placer.other, frame)

    async with asyncio.TaskGroup() as group:

        def connection_made(connection: MllpConnection) -> Side:
            placer = Side(connection)
            group.create_task(join(placer))
            return placer

        async with serve("127.0.0.1", 0, connection_made=connection_made, options=options, limits=limits) as server:
            sys.stdout.write(f"{server.port}\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(relay(int(sys.argv[1])))
