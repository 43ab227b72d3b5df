"""What the owner of an MLLP connection sees: send, pause, close, and whose connection it is.

The owner is a `ConnectionHandler`; it is called on the event loop and must not block or await.
"""

import asyncio
import socket
import struct
from functools import partial
from typing import Any, Protocol

from interceptor.transport.options import ConnectionEnd
from interceptor.transport.watch import OpenFrameWatch
from interceptor.wire.frame import Frame, FramingError, encode_frame


class ConnectionHandler(Protocol):
    """Takes what one connection brings."""

    def frame_received(self, frame: Frame) -> None:
        """Take the next frame, truncated ones included. May send, pause, close or abort at once."""
        ...

    def framing_failed(self, error: FramingError) -> None:
        """Take the end of a stream that cannot be trusted any more; no frame follows.

        An inbound connection stays open for the answers still owed, then closes by itself. Where `error.head`
        holds an MSH-10 one more answer is waited for: send it, or call `close`.
        """
        ...

    def connection_lost(self) -> None:
        """The connection is gone; `connection.end` says why. Called once, last."""
        ...


class ConnectionDriver(Protocol):
    """The protocol side of a connection, as far as its owner drives it."""

    @property
    def end(self) -> ConnectionEnd | None:
        """Why the connection ended or is ending."""
        ...

    def write(self, data: bytes, *, answered: int) -> None:
        """Send *data*, which settles this many owed answers."""
        ...

    def pause_frames(self) -> None:
        """Deliver no more frames."""
        ...

    def resume_frames(self) -> None:
        """Deliver frames again."""
        ...

    def hold_reading(self, *, is_held: bool) -> None:
        """Read no further bytes, or read again."""
        ...

    def close(self) -> None:
        """End in order."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


class MllpConnection:
    """One connection, inbound or outbound.

    Sending on a connection that is closing or gone does nothing: its end reaches the handler anyway, and
    what was not answered is the handler's to settle.
    """

    __slots__ = ("_driver", "_open_frame", "_transport", "peer_address", "send_block", "tls_version")

    def __init__(self, driver: ConnectionDriver, transport: asyncio.Transport, open_frame: OpenFrameWatch) -> None:
        self._driver = driver
        self._open_frame = open_frame
        self._transport = transport
        self.send_block = partial(driver.write, answered=1)
        """`send` for what is framed already: the `block` of a frame that came in. Not looked at again."""
        peer = transport.get_extra_info("peername")
        self.peer_address: str = peer[0] if peer else ""
        """The peer's address without port; empty when it was gone before we could ask."""
        secured = transport.get_extra_info("ssl_object")
        self.tls_version: str | None = None if secured is None else secured.version()
        """The version of TLS that is spoken, e.g. "TLSv1.3"; None on a plain line."""

    @property
    def tls_certificate(self) -> dict[str, Any] | None:
        """The peer's verified certificate as `ssl.SSLSocket.getpeercert` gives it; None without one."""
        return self._transport.get_extra_info("peercert") or None

    @property
    def end(self) -> ConnectionEnd | None:
        """Why the connection ended or is ending; None while it stands."""
        return self._driver.end

    @property
    def descriptor(self) -> int:
        """The number of the connection's file descriptor; -1 when it is gone."""
        connected = self._transport.get_extra_info("socket")
        return -1 if connected is None else int(connected.fileno())

    @property
    def open_size(self) -> int:
        """Bytes waiting in a frame that has begun and not ended."""
        return self._open_frame.size

    @property
    def open_seconds(self) -> float:
        """How long the open frame has been waited for; 0 without one."""
        return self._open_frame.seconds

    def send(self, content: bytes) -> None:
        """Send *content* as one frame; on an inbound connection it settles one owed answer.

        Raises:
            ValueError: The content cannot be framed (`encode_frame`).
        """
        self._driver.write(encode_frame(content), answered=1)

    def send_raw(self, data: bytes) -> None:
        """Send *data* as it is: commit blocks. Settles no owed answer."""
        self._driver.write(data, answered=0)

    def settle(self) -> None:
        """The frame that came last needs no answer: one owed answer less."""
        self._driver.write(b"", answered=1)

    def pause_reading(self) -> None:
        """Deliver no further frame and read no further bytes until `resume_reading`: the pipelining bound."""
        self._driver.pause_frames()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`; frames already here are delivered before this returns."""
        self._driver.resume_frames()

    def hold_reading(self, *, is_held: bool) -> None:
        """Backpressure from the whole node: read nothing further while held. Frames that are here are delivered.

        Independent of `pause_reading`: bytes are read when neither asks for a stop.
        """
        self._driver.hold_reading(is_held=is_held)

    def close(self) -> None:
        """Send what is written, say goodbye, wait a short time for the peer's goodbye. Delivers no further frame."""
        self._driver.close()

    def abort(self) -> None:
        """Drop the connection now; nothing that waits to be sent is sent."""
        self._driver.abort()

    def reset(self) -> None:
        """As `abort`, and what the system has not sent yet is thrown away too: the peer sees a reset."""
        if (target := self._transport.get_extra_info("socket")) is not None:
            # On, 0 seconds: close sends RST and forgets the send buffer (socket(7)).
            target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._driver.abort()
