"""Syslog over TLS, as a client: the framing, and a connection that knows what the other side's TCP has.

Syslog has no acknowledgment. What counts as handed over is what the receiver's TCP has confirmed on a connection that
still stood then: a receiver that dies with bytes it has not read loses those, and RFC 5425 has no remedy.

Failures: every way of not reaching the repository is an OSError or a TimeoutError.

Source: RFC 5424 (message), RFC 5425 (TLS, framing by length), IHE ITI-20 (PRI, MSGID).
"""

import asyncio
import fcntl
import ssl
import struct
import sys
import termios
from datetime import UTC, datetime
from typing import Self

from interceptor.atna.message import AuditSource

PRIORITY = 85
"""Facility 10 (security), severity 5 (notice): what ITI-20 asks for."""
MESSAGE_ID = "IHE+RFC-3881"
_WAIT_SECONDS = 0.02


def build_syslog_message(xml: bytes, source: AuditSource, at: datetime) -> bytes:
    """One syslog message with its length in front; the text behind the header is marked as UTF-8."""
    time = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    host, name = _header_word(source.host, 255), _header_word(source.node, 48)
    header = f"<{PRIORITY}>1 {time} {host} {name} {source.process} {MESSAGE_ID} - "
    message = header.encode("ascii") + b"\xef\xbb\xbf" + xml
    return b"%d %s" % (len(message), message)


def _header_word(text: str, size_max: int) -> str:
    """Printable ASCII without spaces, "-" for nothing."""
    return "".join(character for character in text if "!" <= character <= "~")[:size_max] or "-"


class SyslogConnection:
    """One connection to the repository."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(
        cls, host: str, port: int, *, context: ssl.SSLContext, server_name: str | None, seconds_max: float
    ) -> Self:
        """Connect and shake hands.

        Raises:
            OSError, TimeoutError: The repository cannot be reached, or its certificate is not what we expect.
        """
        async with asyncio.timeout(seconds_max):
            reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=server_name or host)
        return cls(reader, writer)

    async def hand_over(self, data: bytes, *, seconds_max: float) -> None:
        """Send *data* and wait until the other side's TCP has it.

        Raises:
            OSError, TimeoutError: Not all of it is there; some of it may be.
        """
        async with asyncio.timeout(seconds_max):
            self._writer.write(data)
            await self._writer.drain()
            while self._unconfirmed_size():
                self._assert_open()
                await asyncio.sleep(_WAIT_SECONDS)
        self._assert_open()

    def close(self) -> None:
        """Drop the connection; safe at any time."""
        self._writer.close()

    def _assert_open(self) -> None:
        # A syslog receiver never speaks: the end of its side is all that can come.
        if self._reader.at_eof() or self._writer.is_closing():
            raise ConnectionResetError("the repository closed the connection")

    def _unconfirmed_size(self) -> int:
        """Bytes in our buffers, or sent and not confirmed by the other side's TCP."""
        waiting = self._writer.transport.get_write_buffer_size()
        connected = self._writer.get_extra_info("socket")
        if waiting or connected is None or not sys.platform.startswith("linux"):
            return waiting
        try:
            (size,) = struct.unpack("i", fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
        except (OSError, ValueError):
            # The socket is gone: the check of the connection says so.
            return 0
        return int(size)
