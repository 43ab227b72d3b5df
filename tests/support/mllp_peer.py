"""The other side of an MLLP connection, for tests: raw bytes in, raw bytes out, and handlers that remember."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from interceptor.transport.connection import ConnectionHandler, MllpConnection
from interceptor.transport.options import ConnectionOptions, ListenerOptions, TransportCounters
from interceptor.transport.server import MllpServer, serve
from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import Frame, FramingError

WAIT_SECONDS_MAX = 10.0
"""How long a test waits for what must happen; only a broken test waits this long."""


async def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds.

    Raises:
        TimeoutError: It did not.
    """
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110  # The condition is a test's own, with nothing that would set an event.
            await asyncio.sleep(0.001)


class RawPeer:
    """A peer that sends and reads whatever bytes a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = FrameDecoder()

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int, *, source: str = "127.0.0.1", **options: object) -> AsyncIterator["RawPeer"]:
        """Connect to *port* of this machine from *source* for the length of the block."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            port,
            local_addr=(source, 0),
            **options,  # type: ignore[arg-type]  # ssl and the like, straight to asyncio
        )
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            # The other side may have reset the connection; some tests want just that.
            with suppress(OSError):
                await writer.wait_closed()

    def send(self, data: bytes) -> None:
        """Send *data* as it is."""
        self.writer.write(data)

    async def read_content(self) -> bytes:
        """The next frame's content.

        Raises:
            EOFError: The other side closed before it was whole.
        """
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while (frame := self._decoder.next_frame()) is None:
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError
                self._decoder.receive_data(data)
        return frame.content

    async def read_to_end(self) -> bytes:
        """Everything until the other side closes."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return await self.reader.read()

    async def is_dropped(self) -> bool:
        """Wait for the other side's end, orderly or not; True when it sent nothing before."""
        try:
            return await self.read_to_end() == b""
        except ConnectionError:
            return True


@dataclass(slots=True)
class Recorder:
    """A handler that remembers, and does what `on_frame` says with each frame."""

    on_frame: Callable[["Recorder", Frame], None] = lambda recorder, frame: None
    on_error: Callable[["Recorder", FramingError], None] = lambda recorder, error: None
    connection: MllpConnection | None = None
    frames: list[Frame] = field(default_factory=list)
    errors: list[FramingError] = field(default_factory=list)
    lost_count: int = 0

    def frame_received(self, frame: Frame) -> None:
        """Remember, then act."""
        self.frames.append(frame)
        self.on_frame(self, frame)

    def framing_failed(self, error: FramingError) -> None:
        """Remember, then act."""
        self.errors.append(error)
        self.on_error(self, error)

    def connection_lost(self) -> None:
        """Remember."""
        self.lost_count += 1

    def is_lost(self) -> bool:
        """Whether the connection's end was told."""
        return self.lost_count > 0

    @property
    def link(self) -> MllpConnection:
        """The connection, which must have been made."""
        assert self.connection is not None
        return self.connection

    @property
    def contents(self) -> list[bytes]:
        """What came, without envelopes."""
        return [frame.content for frame in self.frames]


def answer(recorder: Recorder, frame: Frame) -> None:
    """Answer a frame with its own content after "ACK "."""
    recorder.link.send(b"ACK " + frame.content)


def ignore(recorder: Recorder, frame: Frame) -> None:
    """Leave a frame unanswered."""


@dataclass(slots=True)
class Listener:
    """A listener under test, its handlers in the order they connected, and what it counted."""

    server: MllpServer
    handlers: list[Recorder]
    counts: Counter[str]

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    async def handler(self, number: int = 1) -> Recorder:
        """The handler of the connection that came as *number*, from 1; waits for it."""
        await until(lambda: len(self.handlers) >= number)
        return self.handlers[number - 1]


def counters_into(counts: Counter[str]) -> TransportCounters:
    """Counters that add to *counts* under "name" or "name:reason"."""

    def add(name: str, count: int = 1) -> None:
        counts[name] += count

    return TransportCounters(
        connection_opened=lambda: add("opened"),
        connection_refused=lambda reason, _peer: add(f"refused:{reason}"),
        connection_ended=lambda end: add(f"ended:{end}"),
        framing_failed=lambda reason: add(f"framing:{reason}"),
        frame_incomplete=lambda: add("incomplete"),
        tolerated=lambda tolerance, count: add(f"tolerated:{tolerance}", count),
    )


@asynccontextmanager
async def listening(
    on_frame: Callable[[Recorder, Frame], None] = answer,
    *,
    on_error: Callable[[Recorder, FramingError], None] = lambda recorder, error: None,
    options: ConnectionOptions | None = None,
    limits: ListenerOptions | None = None,
    **serve_options: object,
) -> AsyncIterator[Listener]:
    """Listen on a free port for the length of the block."""
    handlers: list[Recorder] = []
    counts: Counter[str] = Counter()

    def connection_made(connection: MllpConnection) -> ConnectionHandler:
        handlers.append(Recorder(on_frame, on_error, connection))
        return handlers[-1]

    async with serve(
        "127.0.0.1",
        0,
        connection_made=connection_made,
        options=options or ConnectionOptions(),
        limits=limits or ListenerOptions(),
        counters=counters_into(counts),
        **serve_options,  # type: ignore[arg-type]  # ssl, close_timeout_seconds
    ) as server:
        yield Listener(server, handlers, counts)
