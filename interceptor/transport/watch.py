"""Watches over one connection: is its open frame still coming, are its written bytes still going, what was tolerated.

They say what they found; the protocol decides what follows.
"""

import asyncio
from collections.abc import Callable

from interceptor.transport.deadline import Deadline, Deadlines
from interceptor.transport.options import ConnectionOptions
from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import Tolerance

_SILENCE_CONFIRM_SECONDS = 0.05


class OpenFrameWatch:
    """Sets the read and silence deadlines of the frame that has begun and not ended."""

    __slots__ = ("_deadlines", "_decoder", "_is_silence_noticed", "_loop", "_offset", "_options", "_since")

    def __init__(
        self,
        decoder: FrameDecoder,
        deadlines: Deadlines,
        options: ConnectionOptions,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._decoder = decoder
        self._deadlines = deadlines
        self._options = options
        self._loop = loop
        # Names the frame the deadline stands for: a new frame gets a new deadline.
        self._offset: int | None = None
        self._since = 0.0
        self._is_silence_noticed = False

    @property
    def size(self) -> int:
        """Bytes waiting in the open frame; 0 between frames."""
        return self._decoder.open_size

    @property
    def seconds(self) -> float:
        """How long the open frame has been waited for; 0 between frames."""
        return 0.0 if self._offset is None else self._loop.time() - self._since

    def update(self) -> None:
        """Look at the decoder after bytes came."""
        offset = self._decoder.open_offset
        if offset is None:
            if self._offset is not None:
                self.stop()
            return
        if offset != self._offset:
            self._offset = offset
            self._since = self._loop.time()
            if self._options.read_timeout_seconds:
                self._deadlines.set(Deadline.READ, self._options.read_timeout_seconds)
        self._is_silence_noticed = False
        if self._decoder.needs_silence_timer:
            self._deadlines.set(Deadline.SILENCE, max(self._options.silence_seconds - _SILENCE_CONFIRM_SECONDS, 0.0))
        else:
            self._deadlines.clear(Deadline.SILENCE)

    def stop(self) -> None:
        """Forget the frame: it ended, or we do not read by our own choice and its time must not run."""
        self._offset = None
        self._deadlines.clear(Deadline.READ)
        self._deadlines.clear(Deadline.SILENCE)

    def confirm_silence(self) -> bool:
        """Take a passed silence deadline; True when it is certain that the peer was silent.

        uvloop runs timers before it looks at sockets: after a stall of the loop the CR may be here, unread. So
        the first time starts a second, short deadline: between the two the loop has looked.
        """
        if self._is_silence_noticed:
            return True
        self._is_silence_noticed = True
        self._deadlines.set(Deadline.SILENCE, _SILENCE_CONFIRM_SECONDS)
        return False


class IdleWatch:
    """Notices a peer with whom nothing is exchanged, by looking some times in each `timeout_seconds`.

    Looking costs nothing while there is traffic: a byte in or out is one attribute set, not a moved deadline.
    """

    __slots__ = ("_deadlines", "_quiet_count", "_timeout_seconds", "is_active")

    LOOKS = 8
    """Looks in one timeout: the peer is found idle after one to one and an eighth of it."""

    def __init__(self, deadlines: Deadlines, timeout_seconds: float) -> None:
        """*timeout_seconds* of 0 watches nothing."""
        self._deadlines = deadlines
        self._timeout_seconds = timeout_seconds
        self._quiet_count = 0
        self.is_active = True
        """Set by whoever reads or writes."""

    def begin(self) -> None:
        """Look from now on."""
        if self._timeout_seconds:
            self._deadlines.set(Deadline.IDLE, self._timeout_seconds / self.LOOKS)

    def is_idle(self) -> bool:
        """Take a passed idle deadline; True when nothing was exchanged for the whole timeout."""
        self._quiet_count = 0 if self.is_active else self._quiet_count + 1
        self.is_active = False
        if self._quiet_count >= self.LOOKS:
            return True
        self.begin()
        return False


class WriteWatch:
    """Notices a peer that takes no bytes, by looking twice in each `timeout_seconds` while bytes wait for it."""

    __slots__ = (
        "_deadlines",
        "_flushed_at",
        "_flushed_size",
        "_loop",
        "_timeout_seconds",
        "_transport",
        "is_watching",
        "sent_size",
    )

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        deadlines: Deadlines,
        timeout_seconds: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """*timeout_seconds* of 0 watches nothing."""
        self._transport = transport
        self._deadlines = deadlines
        self._timeout_seconds = timeout_seconds
        self._loop = loop
        self._flushed_size = -1
        self._flushed_at = 0.0
        self.sent_size = 0
        """Bytes given to the transport so far; whoever writes adds them, and begins the watch where none is."""
        self.is_watching = not timeout_seconds

    def begin(self) -> None:
        """Look from now on, until nothing waits."""
        self.is_watching = True
        self._deadlines.set(Deadline.WRITE, self._timeout_seconds / 2)

    def is_stalled(self) -> bool:
        """Take a passed write deadline; True when the peer took nothing for the whole timeout."""
        unsent_size = self._transport.get_write_buffer_size()
        if unsent_size == 0:
            self._flushed_size = -1
            self.is_watching = False
            return False
        now = self._loop.time()
        flushed_size = self.sent_size - unsent_size
        if flushed_size != self._flushed_size:
            self._flushed_size = flushed_size
            self._flushed_at = now
        elif now - self._flushed_at >= self._timeout_seconds - 0.001:
            return True
        self.begin()
        return False


class ToleranceTally:
    """Tells how often each tolerance was used since it last told."""

    __slots__ = ("_counts", "_decoder", "_tolerated", "_total")

    def __init__(self, decoder: FrameDecoder, tolerated: Callable[[Tolerance, int], None]) -> None:
        self._decoder = decoder
        self._tolerated = tolerated
        self._counts = decoder.tolerated_counts
        self._total = decoder.tolerated_total

    def tell(self) -> None:
        """Tell what is new; usually nothing, which costs one comparison."""
        if self._decoder.tolerated_total == self._total:
            return
        before, self._counts = self._counts, self._decoder.tolerated_counts
        self._total = self._decoder.tolerated_total
        for tolerance, count in self._counts.items():
            if count > before[tolerance]:
                self._tolerated(tolerance, count - before[tolerance])


class ReadGate:
    """Whether the socket of one connection is read; told only of changes."""

    __slots__ = ("_is_reading", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_reading = True

    def set(self, *, is_wanted: bool) -> None:
        """Read, or do not; nothing once the transport is closing."""
        if is_wanted is self._is_reading or self._transport.is_closing():
            return
        self._is_reading = is_wanted
        if is_wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
