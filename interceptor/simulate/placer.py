"""A placer that sends one message at a time over python-hl7's `hl7.mllp`, as many EHR interfaces do.

Failures: an answer that does not come in time, or a lost connection, gives None and drops the connection;
the next message opens a new one. What to do about it (send again, give up) is the caller's decision.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hl7.mllp import HL7StreamReader, HL7StreamWriter, InvalidBlockError, open_hl7_connection

MESSAGE_SIZE_MAX = 16 * 1024 * 1024
"""hl7.mllp's own default of 64 KiB makes the peer hang on a larger message."""
ENCODING = "latin-1"
"""Gives back every byte; hl7.mllp's own default is ascii, which fails on the first umlaut."""


class Placer:
    """One simulated placer. Not for concurrent use: an answer belongs to the message before it."""

    def __init__(self, host: str, port: int, *, ack_timeout_seconds: float) -> None:
        self._host = host
        self._port = port
        self._ack_timeout_seconds = ack_timeout_seconds
        self._connection: tuple[HL7StreamReader, HL7StreamWriter] | None = None

    async def send(self, raw: bytes) -> bytes | None:
        """Send one message; give back its acknowledgment, or None when there was none in time.

        Cancelling it leaves open whether the message was received; the connection is then not used again.
        """
        try:
            async with asyncio.timeout(self._ack_timeout_seconds):
                if self._connection is None:
                    self._connection = await open_hl7_connection(
                        self._host, self._port, limit=MESSAGE_SIZE_MAX, encoding=ENCODING
                    )
                reader, writer = self._connection
                writer.writeblock(raw)
                await writer.drain()
                answer: bytes = await reader.readblock()
                return answer
        except (OSError, TimeoutError, EOFError, InvalidBlockError, ValueError):
            self.disconnect()
            return None
        except asyncio.CancelledError:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        """Drop the connection, if there is one."""
        if self._connection is not None:
            self._connection[1].transport.abort()
            self._connection = None


@asynccontextmanager
async def placing(host: str, port: int, *, ack_timeout_seconds: float = 10.0) -> AsyncIterator[Placer]:
    """A placer for the length of the block; it connects with its first message."""
    placer = Placer(host, port, ack_timeout_seconds=ack_timeout_seconds)
    try:
        yield placer
    finally:
        placer.disconnect()
