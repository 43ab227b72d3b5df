"""A bad network between two peers: bytes split, late, cut off in the middle of a frame, reset, or gone for good.

Everything is drawn from a seed, so that a run can be had again. A black hole is a real one: a socket filter that lets
nothing through, so that not even TCP answers. No privileges needed.
"""

import asyncio
import ctypes
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

SO_ATTACH_FILTER = 26
SO_DETACH_FILTER = 27
_RETURN_NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
"""The BPF program "accept no byte of any packet"."""

Ending = Literal["close", "reset", "half_close", "stall"]


def drop_packets(target: socket.socket) -> None:
    """From now on nothing that is sent to this socket arrives, and its system acknowledges nothing."""
    program = struct.pack("HL", 1, ctypes.addressof(_RETURN_NOTHING))
    target.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST."""
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad it is.

    Attributes:
        piece_size_max: Bytes that go on together at most; 0 leaves them as they come.
        delay_seconds_max: Longest pause before each piece.
        ending_share: Share of connections that are going to end before their peers want it.
        endings: How, one of them drawn for each.
        ending_size_max: Bytes after which it ends at the latest, anywhere inside a frame.
    """

    piece_size_max: int = 0
    delay_seconds_max: float = 0.0
    ending_share: float = 0.0
    endings: tuple[Ending, ...] = ("close", "reset", "half_close", "stall")
    ending_size_max: int = 4000


CLEAR = Weather()


@dataclass(eq=False)
class Link:
    """One connection through the proxy: *client* opened it, *server* is what it was meant for."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    ending: Ending | None = None
    size_left: int = 0
    is_stalled: bool = False

    def close(self) -> None:
        for writer in (self.client, self.server):
            writer.close()


@dataclass(eq=False)
class ChaosProxy:
    """Listens on `port`, passes on to *target*. `weather` may be changed at any time; it holds for new connections.

    Attributes:
        endings: How connections were ended by the proxy.
    """

    target: Callable[[], int]
    rng: random.Random
    weather: Weather = CLEAR
    port: int = 0
    links: list[Link] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for its life."""
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target())
        except OSError:
            reset(writer)
            return
        link = Link(writer, far_writer)
        if self.rng.random() < self.weather.ending_share:
            link.ending = self.rng.choice(self.weather.endings)
            link.size_left = self.rng.randrange(1, self.weather.ending_size_max)
        self.links.append(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, far_writer, link))
                group.create_task(self._pass(far_reader, writer, link))
        finally:
            link.close()
            self.links.remove(link)

    def black_hole(self) -> None:
        """Whoever is connected now is alone from this moment, and nothing tells them."""
        for link in self.links:
            link.is_stalled = True
            drop_packets(link.client.get_extra_info("socket"))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        """Pass on one direction until either side ends."""
        weather = self.weather
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                while data:
                    size = self.rng.randrange(1, weather.piece_size_max + 1) if weather.piece_size_max else len(data)
                    piece, data = data[:size], data[size:]
                    if weather.delay_seconds_max:
                        await asyncio.sleep(self.rng.random() * weather.delay_seconds_max)
                    if not self._send(piece, writer, link):
                        return
                await writer.drain()
            if not link.is_stalled and writer.can_write_eof():
                writer.write_eof()

    def _send(self, piece: bytes, writer: asyncio.StreamWriter, link: Link) -> bool:
        """Pass a piece on, or what is left of it before the end; False when this direction has ended."""
        if link.is_stalled:
            return True  # Read, and lost.
        if link.ending is None or len(piece) < link.size_left:
            link.size_left -= len(piece)
            writer.write(piece)
            return True
        writer.write(piece[: link.size_left])
        self.endings[link.ending] += 1
        match link.ending:
            case "stall":
                link.is_stalled = True
                return True
            case "half_close":
                writer.write_eof()
                link.is_stalled = True
            case "reset":
                reset(link.client)
                reset(link.server)
            case "close":
                link.close()
        return False


@asynccontextmanager
async def chaos_proxy(
    target: Callable[[], int], *, seed: int = 0, weather: Weather = CLEAR
) -> AsyncIterator[ChaosProxy]:
    """A proxy on a free port for the length of the block; *target* gives the port behind it."""
    made = ChaosProxy(target, random.Random(seed), weather)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for link in tuple(made.links):
            reset(link.client)
            reset(link.server)
        async with asyncio.timeout(10):
            while made.links:  # noqa: ASYNC110 - their own tasks take them off the list
                await asyncio.sleep(0.01)
