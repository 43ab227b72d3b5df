"""Carry one destination's outbox to its filler, strictly in order, one message at a time.

    pending -> claimed -> inflight -> acked | dead

A row becomes `inflight` durably before its bytes leave. After a crash a claimed row was not sent; an
in-flight one may have been received and goes again with the same bytes and control id, marked as a
possible duplicate. Cancelling `run` leaves the row as it stands; the next start sends it.

Failures:
    filler away                 tried for ever, the pause grows to `retry_seconds_max`; nothing is given up
    no answer, or a wrong one   the same bytes again; after `disconnects_max` times in a row a dead letter
    CA, and then nothing        delivered: with CA the filler has it in safe storage, and a resend would be a second order
    AE or CE                    again after a pause, `refusals_max` times, then a dead letter
    AR or CR                    a dead letter at once
    our note refused            the original once, without it, and an alarm
    journal broken              ends with JournalBroken; the node stops
    another node delivers       what is under way is cut off with a reset; that node sends it again, marked
    journal unavailable         waits and tries the journal again; the bytes are not sent twice for it

A dead letter does not stop the lane: a person is told, the messages behind it go on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from interceptor.action.acknowledge import answer_count
from interceptor.delivery.destination import Destination
from interceptor.journal.custody import Custody
from interceptor.journal.port import JournalReason, JournalUnavailable, LeaseLost, OutboxRow, OutgoingMessage
from interceptor.message.acknowledgment import AckCode
from interceptor.message.header import peek_header
from interceptor.telemetry.events import ANNOTATION_REFUSED, DELIVERY_GIVEN_UP, DELIVERY_RETRIED, EventLog
from interceptor.transport.exchange import Answer, AnswerStatus, Request

_Written = TypeVar("_Written")
REJECTED = frozenset({AckCode.APPLICATION_REJECT, AckCode.COMMIT_REJECT})


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierOptions:
    """When to try again and when to give up; times in seconds."""

    retry_seconds_min: float = 1.0
    retry_seconds_max: float = 30.0
    refusals_max: int = 3
    disconnects_max: int = 10
    poll_seconds: float = 1.0


class Courier:
    """The one sender of one destination's outbox."""

    def __init__(
        self,
        destination: Destination,
        custody: Custody,
        *,
        options: CourierOptions,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        log: EventLog,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        """*now* returns aware UTC; *jitter* a number in [0, 1); *may_send*: whether this node delivers here now."""
        self._destination = destination
        self._custody = custody
        self._journal = custody.journal
        self._options = options
        self._now = now
        self._jitter = jitter
        self._log = log
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._refusal_count = 0
        self._disconnect_count = 0
        self._counted_row: int | None = None
        self._may_send = may_send
        self._under_way: tuple[Request, asyncio.Future[Answer]] | None = None
        self._loss_count = 0
        self.is_paused = False

    @property
    def name(self) -> str:
        """The destination's name."""
        return self._destination.options.name

    def wake(self) -> None:
        """Say that the outbox has something new."""
        self._wake.set()

    def lease_changed(self) -> None:
        """This node delivers here from now on, or no more: then what is under way is cut off, and is another node's."""
        self._wake.set()
        if self._may_send():
            return
        self._loss_count += 1
        if self._under_way is not None:
            request, answered = self._under_way
            self._destination.cut_off(request)
            if not answered.done():
                answered.set_exception(LeaseLost(JournalReason.LEASE_LOST))

    async def run(self) -> None:
        """Deliver until cancelled."""
        row: OutboxRow | None = None
        while True:
            self._wake.clear()
            self._idle.clear()
            try:
                row = row or await self._claim()
                if row is not None:
                    row = await self._deliver(row)
                    continue
            except LeaseLost:
                row = None
            self._idle.set()
            await self._sleep(self._options.poll_seconds)

    async def finish(self) -> None:
        """Take no more from the outbox; return when nothing is under way. What was cut off would be sent twice."""
        self.is_paused = True
        await self._idle.wait()

    async def hand_over(self, message: OutgoingMessage) -> OutgoingMessage | None:
        """Send *message* past the outbox, once, while the journal cannot be written.

        Returns it as it is to be recorded: acknowledged, or a possible duplicate that is sent again when the journal is
        back. None: nothing left, for the lane is paused or the filler cannot be reached.
        """
        if self.is_paused or self._destination.is_refused or not self._may_send():
            return None
        answer = await self._exchange(message.content, message.control_id)
        code = answer.acknowledgment.code if answer.acknowledgment is not None else None
        if code is not None and not code.is_accept and message.original is not None:
            self._log.event(ANNOTATION_REFUSED, destination=self.name, code=code.value)
            self._destination.metrics.annotations_refused.inc()
            return await self.hand_over(replace(message, content=message.original, original=None))
        if answer.status is AnswerStatus.NOT_EXPECTED or (code is not None and code.is_accept):
            return replace(message, acknowledgment=answer.raw or b"")
        return replace(message, possible_duplicate=True) if answer.sent else None

    async def _claim(self) -> OutboxRow | None:
        """The next due row, in flight; None while there is none, the lane is paused, or the filler is away."""
        if self.is_paused or self._destination.is_refused or not self._may_send():
            return None
        try:
            return await self._journal.claim_next(self.name, at=self._now(), inflight=True)
        except JournalUnavailable:
            return None

    async def _deliver(self, row: OutboxRow) -> OutboxRow | None:
        """Send *row* and record what became of it; returns the next row when it is in flight already."""
        if row.outbox_id != self._counted_row:
            self._counted_row, self._refusal_count, self._disconnect_count = row.outbox_id, 0, 0
        answer = await self._exchange(row.content, row.control_id)
        match answer.status:
            case AnswerStatus.NOT_EXPECTED:
                return await self._acked(row, b"")
            case AnswerStatus.ANSWERED:
                return await self._answered(row, answer)
            case _:
                await self._unanswered(row, answer)
                return None

    async def _exchange(self, content: bytes, control_id: bytes) -> Answer:
        """Send once and wait for the last answer. The destination bounds the wait."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        stored: Answer | None = None

        def take(answer: Answer) -> None:
            nonlocal stored
            if answered.done():
                return
            if not answer.final:
                stored = answer
            elif answer.status is not AnswerStatus.ANSWERED and stored is not None:
                answered.set_result(stored)
            else:
                answered.set_result(answer)

        header = peek_header(content)
        request = Request(
            content=content,
            control_id=control_id,
            on_answer=take,
            answer_count=1 if header is None else answer_count(header),
        )
        if not self._may_send():
            # The claim took its time, or the process slept: the row is in flight, and another node's.
            raise LeaseLost(JournalReason.LEASE_LOST)
        self._under_way = (request, answered)
        self._destination.submit_next(request)
        try:
            return await answered
        finally:
            self._under_way = None
            self._destination.withdraw(request)

    async def _answered(self, row: OutboxRow, answer: Answer) -> OutboxRow | None:
        assert answer.acknowledgment is not None
        assert answer.raw is not None
        code = answer.acknowledgment.code
        if code.is_accept:
            return await self._acked(row, answer.raw)
        if row.original is not None:
            self._log.event(ANNOTATION_REFUSED, destination=self.name, code=code.value)
            self._destination.metrics.annotations_refused.inc()
            await self._until_journaled(
                lambda: self._journal.record_replaced_content(row.outbox_id, at=self._now(), error=code.value)
            )
            return None
        self._refusal_count += 1
        if code in REJECTED or self._refusal_count >= self._options.refusals_max:
            await self._dead(row, "refused", answer.raw)
        else:
            await self._retry(row, code.value, possible_duplicate=row.possible_duplicate)
        return None

    async def _unanswered(self, row: OutboxRow, answer: Answer) -> None:
        # A filler that does not take our certificate is as far away as one that does not listen: no fault of the message.
        if answer.sent and answer.status is not AnswerStatus.UNREACHABLE:
            self._disconnect_count += 1
        if self._disconnect_count >= self._options.disconnects_max:
            await self._dead(row, "attempts_spent", b"")
            return
        await self._retry(row, answer.status.value, possible_duplicate=row.possible_duplicate or answer.sent)

    async def _retry(self, row: OutboxRow, error: str, *, possible_duplicate: bool) -> None:
        self._destination.metrics.retries.inc()
        if error != AnswerStatus.UNREACHABLE:
            attempts = self._refusal_count + self._disconnect_count
            self._log.event(
                DELIVERY_RETRIED, destination=self.name, entry=row.entry_id, attempts=attempts, reason=error
            )
        exponent = min(self._refusal_count + self._disconnect_count, 10)
        pause = min(self._options.retry_seconds_min * 2**exponent, self._options.retry_seconds_max)
        pause *= 0.5 + self._jitter()
        # A filler that cannot be reached has its own pause in Destination; the row itself is due at once.
        due = self._now() + timedelta(seconds=0 if error == AnswerStatus.UNREACHABLE else pause)
        await self._until_journaled(
            lambda: self._journal.record_retry(
                row.outbox_id, at=self._now(), next_attempt_at=due, error=error, possible_duplicate=possible_duplicate
            )
        )
        if error != AnswerStatus.UNREACHABLE:
            self._idle.set()
            await asyncio.sleep(pause)

    async def _acked(self, row: OutboxRow, acknowledgment: bytes) -> OutboxRow | None:
        claim_next = not self.is_paused and not self._destination.is_refused
        next_row = await self._until_journaled(
            lambda: self._journal.record_acked(
                row.outbox_id, at=self._now(), acknowledgment=acknowledgment, claim_next=claim_next
            )
        )
        await self._until_journaled(lambda: self._custody.row_ended(row))
        return next_row

    async def _dead(self, row: OutboxRow, error: str, acknowledgment: bytes) -> None:
        attempts = self._refusal_count + self._disconnect_count
        self._log.event(DELIVERY_GIVEN_UP, destination=self.name, entry=row.entry_id, reason=error, attempts=attempts)
        self._destination.metrics.dead_letters_total.count(error)
        await self._until_journaled(
            lambda: self._journal.record_dead(row.outbox_id, at=self._now(), error=error, acknowledgment=acknowledgment)
        )
        await self._until_journaled(lambda: self._custody.row_ended(row))

    async def _until_journaled(self, write: Callable[[], Awaitable[_Written]]) -> _Written:
        """Write, and again while the journal is unavailable: what was answered must not be sent again for that."""
        losses = self._loss_count
        while True:
            try:
                return await write()
            except JournalUnavailable:
                await asyncio.sleep(self._options.poll_seconds)
            if losses != self._loss_count and not self._may_send():
                raise LeaseLost(JournalReason.LEASE_LOST)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
