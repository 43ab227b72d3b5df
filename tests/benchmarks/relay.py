"""A TCP relay that looks at nothing: what our relay is compared with.

    python -m tests.benchmarks.relay asyncio|uvloop PORT_OF_FILLER

Prints the port it listens on and relays until killed. The same event loop, Protocols and buffers that ours
uses; no frames, no decisions.
"""

import asyncio
import sys
from typing import cast

import uvloop


class Side(asyncio.Protocol):
    """One side of a relayed connection: what it reads, the other writes."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: asyncio.Transport | None = None
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Write it to the other side, or keep it until there is one."""
        if self.other is None:
            self.early.append(data)
        else:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other side."""
        if self.other is not None:
            self.other.close()

    def pause_writing(self) -> None:
        """Read no more from the other side than this one takes."""
        if self.other is not None:
            self.other.pause_reading()

    def resume_writing(self) -> None:
        """Read from the other side again."""
        if self.other is not None:
            self.other.resume_reading()


async def relay(filler_port: int) -> None:
    """Relay every connection to *filler_port* until cancelled."""
    loop = asyncio.get_running_loop()

    async def join(placer: Side) -> None:
        filler = Side()
        await loop.create_connection(lambda: filler, "127.0.0.1", filler_port)
        filler.other, placer.other = placer.transport, filler.transport
        assert placer.other is not None
        for data in placer.early:
            placer.other.write(data)

    async with asyncio.TaskGroup() as group:

        class Placer(Side):
            """The side that connects to us."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                """Open the other side."""
                super().connection_made(transport)
                group.create_task(join(self))

        server = await loop.create_server(Placer, "127.0.0.1", 0, backlog=1024)
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await server.serve_forever()


def main() -> None:
    """Run on the loop that was asked for."""
    run = uvloop.run if sys.argv[1] == "uvloop" else asyncio.run
    run(relay(int(sys.argv[2])))


if __name__ == "__main__":
    main()
