"""A filler that accepts every HL7 message, over python-hl7's `hl7.mllp`.

Acknowledgments are built by python-hl7: AA for what it can parse, AR for what it cannot. It can be told to
go away and come back, and to answer late.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import hl7
from hl7.mllp import HL7StreamReader, HL7StreamWriter, InvalidBlockError, start_hl7_server

from interceptor.simulate.placer import ENCODING, MESSAGE_SIZE_MAX

ReceivedCallback = Callable[[bytes], None]
"""Told the bytes of each message, before it is acknowledged."""
DelayChoice = Callable[[int], float]
"""From the number of the message (counted from 1) to the seconds that its acknowledgment waits."""


class Filler:
    """One simulated filler.

    Attributes:
        received_count: Messages received, resends included.
    """

    def __init__(self, group: asyncio.TaskGroup, on_received: ReceivedCallback, choose_delay: DelayChoice) -> None:
        self._group = group
        self._on_received = on_received
        self._choose_delay = choose_delay
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], HL7StreamWriter] = {}
        self.received_count = 0
        self.port = 0

    async def come(self) -> None:
        """Listen; on a free port the first time, on the same one after having gone away."""
        self._server = await start_hl7_server(
            self._connected, "127.0.0.1", self.port, limit=MESSAGE_SIZE_MAX, encoding=ENCODING
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def go_away(self) -> None:
        """Stop listening and drop every connection, as a filler that crashed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task, writer in self._connections.items():
            writer.transport.abort()
            task.cancel()

    def _connected(self, reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        # A plain callback that keeps its task: hl7.mllp starts a coroutine callback as a task that nothing refers
        # to, and the garbage collector ends some of them (65 of 1,479 messages stayed unanswered).
        task = self._group.create_task(self._serve(reader, writer), name="filler connection")
        self._connections[task] = writer
        task.add_done_callback(lambda done: self._connections.pop(done))

    async def _serve(self, reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        """Answer one connection until its end; cancelling drops it, with its message perhaps unanswered."""
        try:
            while True:
                raw: bytes = await reader.readblock()
                self.received_count += 1
                self._on_received(raw)
                await asyncio.sleep(self._choose_delay(self.received_count))
                writer.writeblock(acknowledge(raw))
                await writer.drain()
        except (OSError, EOFError, InvalidBlockError, ValueError):
            pass  # The peer has gone, or does not speak MLLP: this connection is over either way.
        finally:
            writer.transport.abort()


def acknowledge(raw: bytes) -> bytes:
    """The filler's acknowledgment as python-hl7 builds it: AA, or AR for what it cannot parse."""
    try:
        answer = str(hl7.parse(raw.decode(ENCODING)).create_ack("AA", application="SIMRIS", facility="DEMO"))
    except (hl7.HL7Exception, LookupError, ValueError):
        answer = "MSH|^~\\&|SIMRIS|DEMO|||||ACK|0|T|2.3.1\rMSA|AR|\r"
    return answer.encode(ENCODING)


def answer_at_once(_number: int) -> float:
    """The delay of a filler in good health."""
    return 0.0


@asynccontextmanager
async def filling(
    on_received: ReceivedCallback, *, choose_delay: DelayChoice = answer_at_once
) -> AsyncIterator[Filler]:
    """A filler on a free local port for the length of the block."""
    async with asyncio.TaskGroup() as group:
        filler = Filler(group, on_received, choose_delay)
        await filler.come()
        try:
            yield filler
        finally:
            filler.go_away()
