"""The asyncio Protocol beneath an MLLP connection: bytes to frames, deadlines, backpressure, an orderly end.

A message that comes whole and alone in one read, as nearly all do, costs one call to the decoder and one to the
handler, and can be sent on as the very bytes that came: no task, no stream reader, no timer, no copy of its frame.

Failures:
    The peer stops inside a frame, or never reads: its deadline ends the connection.
    The peer closes its side first: it is sent the answers it is owed, then we close.
    The peer sends what is no frame: the same, and the handler may say one last thing.
    The handler raises: our own mistake; the event loop reports it and drops this connection.
"""

import asyncio
import errno
from collections.abc import Callable
from enum import Enum, auto
from typing import cast

from interceptor.transport.connection import ConnectionHandler, MllpConnection
from interceptor.transport.deadline import Deadline, Deadlines
from interceptor.transport.options import ConnectionEnd, ConnectionOptions, TransportCounters
from interceptor.transport.tls import is_certificate_refusal
from interceptor.transport.watch import IdleWatch, OpenFrameWatch, ReadGate, ToleranceTally, WriteWatch
from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import Frame, FramingError


class _Phase(Enum):
    OPEN = auto()
    FINISHING = auto()
    """No more frames will come; what is owed is still sent."""
    CLOSING = auto()
    """Our side is closed or closing; what comes in is thrown away."""
    ENDED = auto()


class MllpProtocol(asyncio.Protocol):
    """One MLLP connection on asyncio or uvloop."""

    def __init__(
        self,
        *,
        options: ConnectionOptions,
        counters: TransportCounters,
        is_inbound: bool,
        opened: Callable[[MllpConnection], ConnectionHandler | None],
        lost: Callable[[MllpConnection], None] | None = None,
    ) -> None:
        """*opened* gives the handler of a new connection, None to refuse it; *lost* is told of those not refused."""
        self._options, self._counters = options, counters
        self._is_inbound = is_inbound
        self._opened, self._lost = opened, lost
        self._decoder = FrameDecoder(options.frame)
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self._loop, self._deadline_passed)
        self._phase = _Phase.OPEN
        self._handler: ConnectionHandler | None = None
        self._is_blank = True
        self._is_delivering = self._is_paused = self._is_held = False
        self._is_write_blocked = False
        self._has_peer_closed = False
        self._open_frame = OpenFrameWatch(self._decoder, self._deadlines, options, self._loop)
        self._idle = IdleWatch(self._deadlines, options.idle_timeout_seconds)
        # Frames delivered and not answered yet; only an inbound connection owes answers.
        self._owed_count = 0
        self._tolerances = ToleranceTally(self._decoder, counters.tolerated)
        self.end: ConnectionEnd | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the owner for a handler; without one the connection is dropped."""
        self._transport = cast("asyncio.Transport", transport)
        self._reading = ReadGate(self._transport)
        self._written = WriteWatch(self._transport, self._deadlines, self._options.write_timeout_seconds, self._loop)
        self._connection = MllpConnection(self, self._transport, self._open_frame)
        self._handler = self._opened(self._connection)
        if self._handler is None:
            self._phase = _Phase.CLOSING
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=self._options.write_buffer_size_max)
        self._counters.connection_opened()
        self._idle.begin()

    def data_received(self, data: bytes) -> None:
        """Deliver the frames that *data* completes."""
        self._is_blank = False
        if self._phase is not _Phase.OPEN:
            return
        self._idle.is_active = True
        frame = None if self._is_paused or self._is_delivering else self._decoder.take_whole(data)
        if frame is None:
            self._decoder.receive_data(data)
            self._deliver()
            return
        assert self._handler is not None
        self._owed_count += self._is_inbound
        self._handler.frame_received(frame)

    def eof_received(self) -> bool:
        """The peer will send no more: deliver what is complete, finish answering. True keeps our side open."""
        self._has_peer_closed = True
        if self._phase is _Phase.CLOSING or not self._is_inbound:
            return False
        if self._phase is _Phase.OPEN:
            self._finish_after_peer()
        # TLS has no half-close in asyncio: it closes both sides whatever we say here, and complains of True.
        return self._transport.can_write_eof() and not self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the handler, once."""
        self._deadlines.cancel()
        self._phase = _Phase.ENDED
        handler, self._handler = self._handler, None
        if handler is None:
            return
        if self.end is None:
            self.end = ConnectionEnd.PEER_CLOSED if exc is None else _end_of(exc)
        if self._is_blank and self._is_inbound and self.end in {ConnectionEnd.PEER_CLOSED, ConnectionEnd.PEER_RESET}:
            self.end = ConnectionEnd.BLANK
        if self._decoder.open_offset is not None:
            self._counters.frame_incomplete()
        self._counters.connection_ended(self.end)
        if self._lost is not None:
            self._lost(self._connection)
        handler.connection_lost()

    def pause_writing(self) -> None:
        """The peer does not read: take no more from it than it takes from us."""
        self._is_write_blocked = True
        self._set_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._is_write_blocked = False
        self._set_reading()

    def write(self, data: bytes, *, answered: int) -> None:
        """Send *data*; nothing once our side is closed."""
        if self._phase is _Phase.CLOSING or self._phase is _Phase.ENDED:
            return
        self._transport.write(data)
        self._written.sent_size += len(data)
        if not self._written.is_watching:
            self._written.begin()
        self._idle.is_active = True
        if self._owed_count:
            self._owed_count -= answered
        if self._phase is _Phase.FINISHING and not self._owed_count:
            self.close()

    def pause_frames(self) -> None:
        """Deliver no more frames and stop reading."""
        self._is_paused = True
        self._set_reading()

    def resume_frames(self) -> None:
        """Deliver what is here, then read again."""
        if not self._is_paused:
            return
        self._is_paused = False
        if self._has_peer_closed and self._phase is _Phase.OPEN:
            self._finish_after_peer()
        else:
            self._deliver()
        self._set_reading()

    def hold_reading(self, *, is_held: bool) -> None:
        """Read no further bytes, or read again; what is here is delivered all the same. Its frame's time stands still."""
        self._is_held = is_held
        self._set_reading()

    def close(self) -> None:
        """End in order: flush, half-close, wait for the peer's close for `linger_seconds`."""
        if self._phase is _Phase.CLOSING or self._phase is _Phase.ENDED:
            return
        self._phase = _Phase.CLOSING
        self.end = self.end or ConnectionEnd.CLOSED
        for deadline in (Deadline.IDLE, Deadline.READ, Deadline.SILENCE, Deadline.FINISH):
            self._deadlines.clear(deadline)
        if self._has_peer_closed or not self._transport.can_write_eof():
            self._transport.close()
            return
        # Closing a socket that holds unread bytes sends a reset, and a reset can overtake our last answer.
        self._transport.write_eof()
        self._deadlines.set(Deadline.LINGER, self._options.linger_seconds)
        self._set_reading()

    def abort(self) -> None:
        """End at once."""
        if self._phase is _Phase.ENDED:
            return
        self._phase = _Phase.CLOSING
        self.end = self.end or ConnectionEnd.ABORTED
        self._transport.abort()

    def _deliver(self) -> None:
        """Hand frames to the handler until it pauses, closes, or there are none."""
        if self._is_delivering:
            # The handler resumed from within its own call: the loop below is still running and goes on.
            return
        handler = self._handler
        assert handler is not None
        self._is_delivering = True
        try:
            while not self._is_paused and self._phase is _Phase.OPEN:
                frame = self._take_frame(handler)
                if frame is None:
                    break
                if self._is_inbound and not frame.truncated:
                    self._owed_count += 1
                handler.frame_received(frame)
        finally:
            self._is_delivering = False
        self._watch_frame()
        self._tolerances.tell()

    def _watch_frame(self) -> None:
        """The open frame's time runs while we read: by our own choice not to, it stands still."""
        if self._phase is _Phase.OPEN:
            watch = self._open_frame.stop if self._is_paused or self._is_held else self._open_frame.update
            watch()

    def _take_frame(self, handler: ConnectionHandler) -> Frame | None:
        """The next frame, or None when there is none now, or none ever more."""
        try:
            return self._decoder.next_frame()
        except FramingError as error:
            self._counters.framing_failed(error.reason)
            if self._is_inbound and error.head:
                self._owed_count += 1
            self._finish(ConnectionEnd.FRAMING_ERROR)
            handler.framing_failed(error)
            return None

    def _finish_after_peer(self) -> None:
        """The peer closed its side: an FS without CR is the end of its last frame; deliver and finish."""
        self._deliver()
        self._decoder.receive_silence()
        self._deliver()
        if self._phase is _Phase.OPEN and not self._is_paused:
            self._finish(ConnectionEnd.PEER_CLOSED)

    def _finish(self, end: ConnectionEnd) -> None:
        """Take no more frames; close when everything owed is sent, or at the finish deadline."""
        self._phase = _Phase.FINISHING
        self.end = end
        for deadline in (Deadline.IDLE, Deadline.READ, Deadline.SILENCE):
            self._deadlines.clear(deadline)
        self._deadlines.set(Deadline.FINISH, self._options.finish_timeout_seconds)
        if not self._owed_count:
            self.close()

    def _set_reading(self) -> None:
        """Read exactly when nobody asked us not to; while closing always, to throw away and see the end."""
        self._watch_frame()
        if not self._has_peer_closed:
            is_blocked = self._is_paused or self._is_held or (self._is_write_blocked and self._is_inbound)
            self._reading.set(is_wanted=not is_blocked or self._phase is _Phase.CLOSING)

    def _deadline_passed(self, deadline: Deadline) -> None:
        match deadline:
            case Deadline.SILENCE:
                if self._open_frame.confirm_silence():
                    self._decoder.receive_silence()
                    self._deliver()
            case Deadline.READ:
                self._finish(ConnectionEnd.READ_TIMEOUT)
            case Deadline.WRITE:
                if self._written.is_stalled():
                    self.end = ConnectionEnd.WRITE_TIMEOUT
                    self.abort()
            case Deadline.IDLE:
                self._idle.is_active |= self._owed_count > 0
                if self._idle.is_idle():
                    self.end = ConnectionEnd.IDLE_TIMEOUT
                    self.close()
            case Deadline.FINISH:
                self.end = ConnectionEnd.FINISH_TIMEOUT if self._has_peer_closed else self.end
                self.close()
            case Deadline.LINGER:
                if self._transport.get_write_buffer_size():
                    # Still sending: the write deadline watches over that.
                    self._deadlines.set(Deadline.LINGER, self._options.linger_seconds)
                else:
                    self._transport.abort()


def _end_of(error: Exception) -> ConnectionEnd:
    """Name the network's error."""
    if is_certificate_refusal(error):
        return ConnectionEnd.CERTIFICATE_REFUSED
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return ConnectionEnd.PEER_RESET
    if isinstance(error, OSError) and error.errno in {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return ConnectionEnd.TIMED_OUT
    return ConnectionEnd.FAILED
