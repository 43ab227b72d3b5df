"""One message of a feed, from its first byte to its acknowledgment.

    acknowledged by us    frame -> view -> statements -> registry -> durable -> AA or CA
    relayed, with a tap   frame -> destination -> its own acknowledgment -> view -> statements -> registry

Messages of one connection are handled one after the other. A relayed message passes unchanged and is never delayed by
what we make of it; it is read once its receiver has accepted it.

Failures:
    not HL7, truncated, a batch   AR where a control id was seen (relayed: passes unchanged, unless truncated); kept in
                                  quarantine
    our own exception             kept in quarantine, told and counted; then acknowledged: the sender cannot mend it
    journal unavailable           AE: the sender keeps the message. Relayed: what it says is lost, told and counted
    journal broken                no answer; the node stops and recovers, the sender sends again

Source: HL7 v2.5.1 chapter 2.9 (acknowledgment modes).
"""

import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from interceptor.action.acknowledge import answer_count
from interceptor.action.order_response import HoldReply, build_answers
from interceptor.answering import PlacerAnswers, PlacerSide
from interceptor.evidence.feed_message import Unread, read_feed_message, read_order_states
from interceptor.evidence.feed_patient import FeedTables
from interceptor.evidence.registry import Recorded, Registry
from interceptor.evidence.statement import Statement
from interceptor.journal.port import JournalBroken, JournalError
from interceptor.message.acknowledgment import AckCode
from interceptor.message.header import Header, NotHl7, peek_header
from interceptor.message.view import MessageView
from interceptor.telemetry.events import (
    FEED_MESSAGE_LOST,
    FEED_READING_FAILED,
    MESSAGE_LEFT_UNANSWERED,
    MESSAGE_QUARANTINED,
    EventLog,
)
from interceptor.telemetry.label import MessageOutcome, MessageTypeLabel, message_type_label
from interceptor.telemetry.metrics import FeedMetrics, RouteMetrics
from interceptor.telemetry.redaction import describe_error
from interceptor.transport.exchange import Answer, AnswerStatus, Request
from interceptor.wire.frame import Frame, Tolerance

NOTHING_SAID = Recorded(0)
_BATCH_STARTS = (b"FHS", b"BHS")


class FeedResult(StrEnum):
    """What became of what a message says: the label of the feed's metric."""

    RECORDED = "recorded"
    IGNORED = "ignored"
    NO_PATIENT = "no_patient"
    FAILED = "failed"
    LOST = "lost"


class Receiver(Protocol):
    """What a relayed feed needs of the way to its destination."""

    def submit(self, request: Request) -> None:
        """Send *request* in its turn; answers come by its callback."""
        ...

    def withdraw(self, request: Request) -> bool:
        """Take back what has not left; True when it was still here."""
        ...


async def _at_once() -> None:
    """Nothing is to be waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedParts:
    """What one feed is plugged together from; `node.py` does it.

    Attributes:
        name: Name of the feed: the source of what it says.
        receiver: Where messages go on to; None where we acknowledge them.
        tables: What messages are read by.
        registry: Where statements go.
        quarantine: Keep bytes that could not be read; durable when it returns.
        spawn: Run a coroutine that ends by itself, in the node's task group.
        give_up: The journal is broken: stop the node.
        now: Aware UTC time.
        new_control_id: A new MSH-10 of our own.
        metrics, feed_metrics: Of the listener, and of what messages say.
        heard: Take note of what a message says; never waits.
        heard_out: Return when what was noted is durable.
    """

    name: str
    receiver: Receiver | None
    tables: FeedTables
    registry: Registry
    quarantine: Callable[[str, bytes], Awaitable[None]]
    spawn: Callable[[Coroutine[None, None, None]], None]
    give_up: Callable[[JournalBroken], None]
    now: Callable[[], datetime]
    new_control_id: Callable[[], str]
    metrics: RouteMetrics
    feed_metrics: FeedMetrics
    log: EventLog
    heard: Callable[[tuple[Statement, ...]], None] = lambda _statements: None
    heard_out: Callable[[], Awaitable[None]] = _at_once


class OrderTap:
    """What order messages of a route tell of completed studies; the route calls `note` and waits for nothing."""

    def __init__(
        self,
        tables: FeedTables,
        registry: Registry,
        *,
        spawn: Callable[[Coroutine[None, None, None]], None],
        give_up: Callable[[JournalBroken], None],
        now: Callable[[], datetime],
        log: EventLog,
    ) -> None:
        """*tables*: its source is the name that the studies are shown with."""
        self._tables = tables
        self._registry = registry
        self._spawn = spawn
        self._give_up = give_up
        self._now = now
        self._log = log

    def note(self, view: MessageView) -> None:
        """Record in the background what the message says of a completed study; nearly every order says nothing.

        Never raises: whatever is wrong here, the order goes its way.
        """
        try:
            statements = read_order_states(view, self._tables, received_at=self._now())
        except Exception as error:  # noqa: BLE001 - promise 3: no fault of ours stops an order
            self._log.event(FEED_READING_FAILED, feed=self._tables.source, **describe_error(error))
            return
        if statements:
            self._spawn(self._record(statements))

    async def _record(self, statements: tuple[Statement, ...]) -> None:
        try:
            await self._registry.record(statements, source=self._tables.source)
        except JournalBroken as error:
            self._give_up(error)
        except JournalError as error:
            self._log.event(FEED_MESSAGE_LOST, feed=self._tables.source, reason=error.reason.value)
        except Exception as error:  # noqa: BLE001 - the order has gone its way; the node must not end for its study
            self._log.event(FEED_READING_FAILED, feed=self._tables.source, **describe_error(error))


class FeedPassage:
    """The way of one message of a feed."""

    def __init__(self, frame: Frame, line: PlacerSide, parts: FeedParts) -> None:
        """Made for each frame; `begin` sets it going."""
        self._line = line
        self._parts = parts
        self._raw = frame.content
        self._header = peek_header(frame.content)
        is_half = self._header is None and Tolerance.START_INSIDE_FRAME in frame.tolerated
        self._is_truncated = frame.truncated or is_half
        self._type = message_type_label(self._header.message_type.code) if self._header else MessageTypeLabel.NOT_HL7
        self._request: Request | None = None
        self._answers = PlacerAnswers(
            line,
            metrics=parts.metrics,
            new_control_id=parts.new_control_id,
            now=parts.now,
            received_at=time.monotonic(),
        )

    def begin(self) -> None:
        """Set the message on its way."""
        metrics = self._parts.metrics
        metrics.message_bytes.observe(len(self._raw))
        metrics.last_message.set(time.time())
        header = self._header
        if self._is_truncated:
            self._parts.spawn(self._refuse_unreadable("truncated"))
        elif self._parts.receiver is not None:
            self._relay(self._parts.receiver)
        elif header is None or self._raw.startswith(_BATCH_STARTS):
            self._parts.spawn(self._refuse_unreadable("not_hl7"))
        else:
            self._parts.spawn(self._take(header))

    def withdraw(self) -> None:
        """The sender is gone: what has not left does not leave; what is being recorded is."""
        receiver = self._parts.receiver
        if self._request is not None and receiver is not None and receiver.withdraw(self._request):
            self._request = None
            self._done(MessageOutcome.UNANSWERED)

    def refuse_head(self, reason: str) -> None:
        """The frame is refused, only its head is here: answer AR where that names a message."""
        self._refuse(AckCode.APPLICATION_REJECT, reason)

    # Acknowledged by us.

    async def _take(self, header: Header) -> None:
        """Record what the message says, then acknowledge it. Cancelled only when the node stops: nothing was answered."""
        parts = self._parts
        try:
            proof = await self._record()
        except NotHl7:
            await self._refuse_unreadable("not_hl7")
        except JournalBroken as error:
            parts.give_up(error)
            self._done(MessageOutcome.UNANSWERED)
        except JournalError:
            self._refuse(AckCode.APPLICATION_ERROR, "journal_unavailable")
        else:
            answers = build_answers(
                header,
                reply=HoldReply.ACKNOWLEDGMENT,
                told={},
                new_control_id=parts.new_control_id,
                at=parts.now(),
            )
            self._answers.give(answers, proof=proof)
            self._done(MessageOutcome.TAKEN)

    async def _record(self) -> Recorded:
        """Make durable what the message says.

        Raises:
            NotHl7: It cannot be read at all.
            JournalError: It is not durable.
        """
        parts = self._parts
        try:
            statements = read_feed_message(MessageView(self._raw), parts.tables, received_at=parts.now())
            if isinstance(statements, Unread):
                parts.feed_metrics.messages.count(FeedResult(statements.value))
                return NOTHING_SAID
            parts.heard(statements)
            recorded = await parts.registry.record(statements, source=parts.name)
            await parts.heard_out()
        except (NotHl7, JournalError):
            raise
        except Exception as error:  # noqa: BLE001 - a message that we cannot read must not stop the feed behind it
            parts.feed_metrics.messages.count(FeedResult.FAILED)
            parts.log.event(FEED_READING_FAILED, feed=parts.name, **describe_error(error))
            await parts.quarantine("feed_reading_failed", self._raw)
            return NOTHING_SAID
        self._recorded(statements)
        return recorded

    def _recorded(self, statements: tuple[Statement, ...]) -> None:
        metrics = self._parts.feed_metrics
        metrics.messages.count(FeedResult.RECORDED)
        metrics.show_said(max(statement.said_at for statement in statements))

    # Relayed: the receiver answers.

    def _relay(self, receiver: Receiver) -> None:
        header = self._header
        is_plain = header is not None and not self._raw.startswith(_BATCH_STARTS)
        self._request = Request(
            content=self._raw,
            control_id=header.control_id if header is not None and is_plain else None,
            on_answer=self._answered,
            answer_count=answer_count(header) if header is not None and is_plain else 1,
        )
        receiver.submit(self._request)

    def _answered(self, answer: Answer) -> None:
        parts = self._parts
        acknowledgment = answer.acknowledgment
        if answer.status is AnswerStatus.ANSWERED:
            self._answers.relay(answer)
        if not answer.final:
            return
        self._request = None
        if answer.status not in (AnswerStatus.ANSWERED, AnswerStatus.NOT_EXPECTED):
            parts.log.event(MESSAGE_LEFT_UNANSWERED, route=parts.name, reason=answer.status.value)
            self._done(MessageOutcome.UNANSWERED)
            return
        if acknowledgment is None or acknowledgment.code.is_accept:
            # Reading begins before the next message of the connection does, so that what they say stays in order.
            parts.spawn(self._tap())
        self._done(MessageOutcome.PASSED)

    async def _tap(self) -> None:
        """Record what a message says that its receiver has taken. Nobody waits for it."""
        parts = self._parts
        try:
            await self._record()
        except NotHl7:
            parts.feed_metrics.messages.count(FeedResult.IGNORED)
        except JournalBroken as error:
            parts.give_up(error)
        except JournalError as error:
            parts.feed_metrics.messages.count(FeedResult.LOST)
            parts.log.event(FEED_MESSAGE_LOST, feed=parts.name, reason=error.reason.value)

    # Refusals.

    async def _refuse_unreadable(self, reason: str) -> None:
        """Nobody's message: keep it for an analyst, answer AR where it can be named."""
        parts = self._parts
        parts.metrics.quarantined.count(reason)
        parts.log.event(MESSAGE_QUARANTINED, route=parts.name, reason=reason, size=len(self._raw))
        try:
            await parts.quarantine(reason, self._raw)
        except JournalBroken as error:
            parts.give_up(error)
        except JournalError:
            self._refuse(AckCode.APPLICATION_ERROR, "journal_unavailable")
            return
        self._refuse(AckCode.APPLICATION_REJECT, reason)

    def _refuse(self, code: AckCode, reason: str) -> None:
        if self._answers.refuse(self._header, code, reason):
            self._done(MessageOutcome.REFUSED)
        elif code is AckCode.APPLICATION_REJECT:
            self._done(MessageOutcome.QUARANTINED)
        else:
            self._done(MessageOutcome.UNANSWERED)

    def _done(self, outcome: MessageOutcome) -> None:
        self._parts.metrics.messages.count(self._type, outcome)
        self._line.ended()
