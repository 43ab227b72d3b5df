"""Connections to one filler, each with one message under way.

`submit` takes a message and later calls back with the filler's answer. Messages leave in the order they
were submitted; with one connection they also arrive in it. Nothing here decides, stores or retries a
message: that is the pipeline's (the placer sends again) or the courier's (the outbox) business.

Failures: a refused or lost connection is opened again after a jittered pause that grows to
`reconnect_seconds_max`; a new message cuts the pause short. What waits for a filler that cannot be reached goes on
waiting, up to the time of an answer, or ends at once where it says so (`Request.waits_for_peer`). A message that was sent when the connection
was lost, or whose answer is late, garbled or another message's, is answered with what happened and
`sent = True`: the filler may have it. A late answer dies with its connection (hazard H22).

Source: HL7 v2 chapter 2, sections on original and enhanced acknowledgment mode; RELIABILITY rows 8-17.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from interceptor.message.acknowledgment import AckCode, Acknowledgment, accepts, read_acknowledgment
from interceptor.message.header import peek_header
from interceptor.telemetry.events import (
    ACKNOWLEDGMENT_MISMATCHED,
    ACKNOWLEDGMENT_TIMED_OUT,
    DESTINATION_CONNECTED,
    DESTINATION_LOST,
    EventLog,
)
from interceptor.telemetry.metrics import DestinationMetrics
from interceptor.transport.client import ClientConnection
from interceptor.transport.exchange import Answer, AnswerStatus, Outgoing
from interceptor.transport.options import ConnectionEnd
from interceptor.wire.frame import Frame, FramingError

UNAWAITED_COUNT_MAX = 64
"""Messages per connection that are done and may be answered all the same."""


class Connect(Protocol):
    """Open a connection to the filler; `line` receives its frames and its end."""

    def __call__(self, line: "Line", /) -> Awaitable[ClientConnection]:
        """Raises OSError or TimeoutError when the filler cannot be reached."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationOptions:
    """Limits of one destination; every time in seconds."""

    name: str
    connections_max: int = 1
    ack_timeout_seconds: float = 30.0
    reconnect_seconds_min: float = 0.2
    reconnect_seconds_max: float = 30.0


class Destination:
    """All connections to one filler, and the messages that wait for one."""

    def __init__(
        self,
        options: DestinationOptions,
        *,
        connect: Connect,
        metrics: DestinationMetrics,
        jitter: Callable[[], float],
        log: EventLog,
    ) -> None:
        """*jitter* returns a number in [0, 1); it spreads reconnects."""
        self.log = log
        self.options = options
        self.metrics = metrics
        self.connect = connect
        self.jitter = jitter
        self._queue: deque[Outgoing] = deque()
        self._queue_timer: asyncio.TimerHandle | None = None
        self._lines = tuple(Line(self, index) for index in range(options.connections_max))
        self._idle: list[Line] = []
        self._connected_count = 0
        self._is_refused = False
        self.changed_at = time.time()
        """Since when it is as `is_up` says, seconds since 1970; for people."""

    @property
    def is_up(self) -> bool:
        """Whether at least one connection to the filler stands."""
        return self._connected_count > 0

    @property
    def is_refused(self) -> bool:
        """Whether the last attempt to connect failed and no connection stands."""
        return self._is_refused and not self.is_up

    @property
    def waiting_count(self) -> int:
        """Messages submitted that no connection has taken yet."""
        return len(self._queue)

    async def run(self) -> None:
        """Keep connections until cancelled. Messages under way are then answered as LOST or UNREACHABLE."""
        try:
            async with asyncio.TaskGroup() as group:
                for line in self._lines:
                    group.create_task(line.run(), name=f"line-{self.options.name}-{line.index}")
        finally:
            if self._queue_timer is not None:
                self._queue_timer.cancel()
            while self._queue:
                self._end_unsent(self._queue.popleft())

    def submit(self, request: Outgoing) -> None:
        """Send *request* on the next free connection; answers come by its callback."""
        if self._idle and not self._queue:
            self._idle.pop().send(request)
            return
        request.queued_at = monotonic()
        self._queue.append(request)
        if self._queue_timer is None:
            self._set_queue_timer(self.options.ack_timeout_seconds)
        self._want_line()

    def submit_next(self, request: Outgoing) -> None:
        """The same, before everything that waits: what we answer for goes before what its placers still answer for.

        The courier sends one at a time and commits in between, so those that wait go on beside it.
        """
        if self._idle or not self._queue:
            self.submit(request)
            return
        # The first in the queue is always the first to be due, see `_expire`; a row that is ended unsent comes again.
        request.queued_at = self._queue[0].queued_at
        self._queue.appendleft(request)

    def withdraw(self, request: Outgoing) -> bool:
        """Take back a request that no connection has taken; True when it was still here. Its callback stays silent."""
        if request not in self._queue:
            return False
        self._queue.remove(request)
        request.is_done = True
        return True

    def cut_off(self, request: Outgoing) -> None:
        """Let nothing of *request* reach the filler any more: withdrawn, or its connection reset. Its callback may be called."""
        if self.withdraw(request):
            return
        for line in self._lines:
            line.cut_off(request)

    def line_connected(self, line: "Line") -> None:
        """Note that *line* stands and can take a message."""
        self._connected_count += 1
        self._is_refused = False
        self.metrics.up.set(1)
        if self._connected_count == 1:
            self.changed_at = time.time()
            self.log.event(DESTINATION_CONNECTED, destination=self.options.name)
        self.line_free(line)

    def line_lost(self, line: "Line") -> None:
        """Note that *line* no longer stands."""
        self._connected_count -= 1
        if line in self._idle:
            self._idle.remove(line)
        if not self.is_up:
            self.metrics.up.set(0)
            self.changed_at = time.time()
            self.log.event(DESTINATION_LOST, destination=self.options.name, reason="lost")

    def line_refused(self) -> None:
        """Note that an attempt to connect failed."""
        if not self._is_refused and not self.is_up:
            self.log.event(DESTINATION_LOST, destination=self.options.name, reason="refused")
        self._is_refused = True
        if not self.is_up:
            self._end_impatient()

    def line_free(self, line: "Line") -> None:
        """Give *line* the next waiting message, or remember that it is idle."""
        while self._queue:
            request = self._queue.popleft()
            if not request.is_done:
                line.send(request)
                return
        self._idle.append(line)

    def _want_line(self) -> None:
        for line in self._lines:
            if line.wake():
                return

    def _end_impatient(self) -> None:
        """End what does not wait for a filler that is away; whoever is told may submit or withdraw others."""
        impatient = [request for request in self._queue if not request.waits_for_peer]
        for request in impatient:
            if request in self._queue:
                self._queue.remove(request)
                self._end_unsent(request)

    def _set_queue_timer(self, seconds: float) -> None:
        self._queue_timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        """End what has waited too long; one timer, for the first in the queue is always the first to be due."""
        self._queue_timer = None
        seconds, now = self.options.ack_timeout_seconds, monotonic()
        # The loop may call a timer early by its clock's resolution.
        while self._queue and now - self._queue[0].queued_at >= seconds - 0.001:
            self._end_unsent(self._queue.popleft())
        if self._queue and self._queue_timer is None:
            self._set_queue_timer(self._queue[0].queued_at + seconds - now)

    def _end_unsent(self, request: Outgoing) -> None:
        if not request.is_done:
            request.is_done = True
            request.on_answer(Answer(status=AnswerStatus.UNREACHABLE, sent=False))


class Line:
    """One connection to the filler: connects when wanted, sends one message at a time, matches its answer."""

    def __init__(self, destination: Destination, index: int) -> None:
        """Line 0 connects at once and stays; the others when messages wait."""
        self.index = index
        self._destination = destination
        self._metrics = destination.metrics
        self._accepted = destination.metrics.acks.child(AckCode.APPLICATION_ACCEPT)
        self._wanted = asyncio.Event()
        self._lost = asyncio.Event()
        self._connection: ClientConnection | None = None
        self._request: Outgoing | None = None
        self._answers_left = 0
        self._sent_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_trusted = False
        self._unawaited: dict[bytes, Outgoing] = {}

    async def run(self) -> None:
        """Connect, stay until lost, pause, connect again; until cancelled."""
        options = self._destination.options
        pause = options.reconnect_seconds_min
        try:
            while True:
                if self.index > 0:
                    await self._wanted.wait()
                self._wanted.clear()
                if await self._connect_once():
                    await self._lost.wait()
                if self._is_trusted:
                    pause = options.reconnect_seconds_min
                await self._pause(pause * (0.5 + self._destination.jitter()))
                pause = min(pause * 2, options.reconnect_seconds_max)
        finally:
            self._drop(AnswerStatus.LOST)

    def wake(self) -> bool:
        """Ask for a connection; True when this line stood idle or paused and now tries."""
        if self._connection is not None or self._wanted.is_set():
            return False
        self._wanted.set()
        return True

    def send(self, request: Outgoing) -> None:
        """Write *request*; its answer, or the end of its wait, comes by its callback."""
        connection = self._connection
        assert connection is not None
        assert self._request is None
        self._request = request
        self._answers_left = request.answer_count
        self._sent_at = monotonic()
        self._metrics.in_flight.value += 1
        if request.block is not None:
            connection.send_block(request.block)
        else:
            connection.send(request.content)
        if request.answer_count == 0:
            # Not at once: a long queue of such messages would end in deep recursion.
            asyncio.get_running_loop().call_soon(self._finish_unanswered, request)
        elif self._timer is None:
            self._set_timer(self._destination.options.ack_timeout_seconds)

    def cut_off(self, request: Outgoing) -> None:
        """Reset the connection if *request* is the one on its way: what the system has not sent yet is thrown away."""
        if self._request is request and self._connection is not None:
            self._connection.reset()
            self._drop(AnswerStatus.LOST)

    def frame_received(self, frame: Frame) -> None:
        """Take what the filler sent: the answer that is waited for, or something else."""
        request = self._request
        control_id = request.control_id if request is not None else None
        if request is None or control_id is None or frame.truncated or not accepts(frame.content, control_id):
            self._receive_other(frame)
            return
        self._accepted.value += 1
        acknowledgment = Acknowledgment(AckCode.APPLICATION_ACCEPT, control_id)
        if request.answer_count != 1:
            self._take_answer(frame, acknowledgment, request)
            return
        # The only answer, as nearly every one is: `_take_answer` without what two answers need.
        self._is_trusted = True
        self._metrics.ack_seconds.observe(monotonic() - self._sent_at)
        self._finish(Answer(AnswerStatus.ANSWERED, frame.content, acknowledgment, True, True, frame.block))  # noqa: FBT003 - by name costs half as much again

    def _receive_other(self, frame: Frame) -> None:
        """`frame_received` for all that is not a plain AA for the message under way."""
        metrics = self._metrics
        acknowledgment = None if frame.truncated else read_acknowledgment(frame.content)
        if acknowledgment is None:
            if not frame.truncated and peek_header(frame.content) is not None:
                # A message of the filler's own (a status, a result) is no answer: keep waiting.
                metrics.unsolicited.inc()
                return
            metrics.unreadable_acks.inc()
            self._drop(AnswerStatus.UNREADABLE)
            return
        if self._give_unawaited(frame.content, acknowledgment):
            return
        request = self._request
        if request is None or request.control_id not in (None, acknowledgment.control_id):
            metrics.ack_mismatches.inc()
            reason = "nothing_in_flight" if request is None else "other_control_id"
            name = self._destination.options.name
            self._destination.log.event(ACKNOWLEDGMENT_MISMATCHED, destination=name, reason=reason)
            self._drop(AnswerStatus.MISMATCHED)
            return
        metrics.acks.count(acknowledgment.code.value)
        self._take_answer(frame, acknowledgment, request)

    def _take_answer(self, frame: Frame, acknowledgment: Acknowledgment, request: Outgoing) -> None:
        """Give the message under way its answer."""
        self._is_trusted = True
        self._metrics.ack_seconds.observe(monotonic() - self._sent_at)
        self._answers_left -= 1
        more = self._answers_left > 0 and acknowledgment.code is AckCode.COMMIT_ACCEPT
        answer = Answer(AnswerStatus.ANSWERED, frame.content, acknowledgment, True, not more, frame.block)  # noqa: FBT003 - by name costs half as much again
        if more:
            request.on_answer(answer)
            return
        if acknowledgment.code is AckCode.COMMIT_ACCEPT:
            # Its application acknowledgment was asked for on error only: it may still come.
            self._remember(request)
        self._finish(answer)

    def _give_unawaited(self, raw: bytes, acknowledgment: Acknowledgment) -> bool:
        """Pass on an answer to a message that asked for none, or for one only on error; False when it is no such answer."""
        awaited = self._request
        if awaited is not None and awaited.control_id == acknowledgment.control_id:
            return False
        request = self._unawaited.pop(acknowledgment.control_id, None)
        if request is None:
            return False
        self._destination.metrics.acks.count(acknowledgment.code.value)
        request.on_answer(Answer(status=AnswerStatus.ANSWERED, raw=raw, acknowledgment=acknowledgment, final=False))
        return True

    def framing_failed(self, error: FramingError) -> None:
        """The filler's bytes are not frames: no answer can be trusted on this connection any more."""
        del error
        self._destination.metrics.unreadable_acks.inc()
        self._drop(AnswerStatus.UNREADABLE)

    def connection_lost(self) -> None:
        """The connection ended. Over TLS, before the first answer: perhaps our certificate is not taken (fault 17)."""
        connection = self._connection
        if connection is None or self._is_trusted or connection.tls_version is None:
            self._drop(AnswerStatus.LOST)
            return
        is_refused = connection.end is ConnectionEnd.CERTIFICATE_REFUSED
        self._drop(AnswerStatus.UNREACHABLE, sent=not is_refused)
        self._destination.line_refused()

    async def _connect_once(self) -> bool:
        self._lost.clear()
        self._is_trusted = False
        try:
            connection = await self._destination.connect(self)
        except (OSError, TimeoutError):
            self._destination.line_refused()
            return False
        if self._lost.is_set():
            # It ended, or spoke out of turn, before we had it in hand: nothing of it may reach the next connection.
            connection.abort()
            return True
        self._connection = connection
        self._destination.line_connected(self)
        return True

    async def _pause(self, seconds: float) -> None:
        """Wait, or less when a message wants this line; never less than the shortest pause."""
        least = min(seconds, self._destination.options.reconnect_seconds_min)
        await asyncio.sleep(least)
        try:
            async with asyncio.timeout(seconds - least):
                await self._wanted.wait()
        except TimeoutError:
            return

    def _check_deadline(self) -> None:
        """One timer per connection, moved only when it fires: most answers come long before."""
        self._timer = None
        if self._request is None:
            return
        options = self._destination.options
        left = self._sent_at + options.ack_timeout_seconds - monotonic()
        # The loop may call a timer early by its clock's resolution.
        if left > 0.001:
            self._set_timer(left)
            return
        self._destination.metrics.ack_timeouts.inc()
        self._destination.log.event(
            ACKNOWLEDGMENT_TIMED_OUT, destination=options.name, waited_seconds=options.ack_timeout_seconds
        )
        self._drop(AnswerStatus.TIMED_OUT)

    def _set_timer(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check_deadline)

    def _finish_unanswered(self, request: Outgoing) -> None:
        if self._request is request:
            self._remember(request)
            self._finish(Answer(status=AnswerStatus.NOT_EXPECTED))

    def _remember(self, request: Outgoing) -> None:
        """An answer to *request* may still come, and would then be no other message's."""
        if not request.control_id:
            return
        self._unawaited.pop(request.control_id, None)
        self._unawaited[request.control_id] = request
        if len(self._unawaited) > UNAWAITED_COUNT_MAX:
            self._unawaited.pop(next(iter(self._unawaited)))

    def _finish(self, answer: Answer) -> None:
        request = self._request
        assert request is not None
        self._request = None
        self._metrics.in_flight.value -= 1
        request.is_done = True
        if self._connection is not None:
            self._destination.line_free(self)
        request.on_answer(answer)

    def _drop(self, status: AnswerStatus, *, sent: bool = True) -> None:
        """End the connection; an answer that is still on its way dies with it."""
        connection, self._connection = self._connection, None
        self._unawaited.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if connection is not None:
            self._destination.line_lost(self)
            connection.abort()
        self._lost.set()
        if self._request is not None:
            self._finish(Answer(status=status, sent=sent))
