"""The shortest way through a route in relay custody, for nearly every message; `pipeline.py` has all others.

1. The frame came whole in one read, MSH is usual (`peek_usual_fields`), MSH-10 is there, one answer is asked for. MSH-9
   carries no order; or an order that is passed by its study alone (`decision/study_verdict.py`), or any in shadow mode,
   and none that is about something in our custody.
2. The very bytes that were received are written to the filler: no copy, no view, no plan, no task, no timer.
3. The answer is matched by MSA-2, as every answer is (`delivery/destination.py`).
4. The very bytes of it are written back by the one function that answers (`answering.py`), with the same assertion.
5. What an order says is decided after it has left (`shadow.py`).
6. Whatever turns out otherwise - a filler that is away, no answer - ends as it does in `pipeline.py`.
"""

from time import monotonic, time

from interceptor.action.plan import RouteMode
from interceptor.answering import PlacerSide, relay_answer
from interceptor.decision.study_verdict import StudyOrder
from interceptor.journal.order_index import keys_of_content
from interceptor.journal.patient_merge import is_merge
from interceptor.message.group import is_order_message
from interceptor.message.header import peek_usual_fields, usual_header
from interceptor.pipeline import CustodyKind, Passage, RouteParts
from interceptor.telemetry.events import MESSAGE_LEFT_UNANSWERED
from interceptor.telemetry.label import MessageOutcome, MessageTypeLabel, message_type_label
from interceptor.telemetry.tally import CounterTally
from interceptor.transport.exchange import Answer, AnswerStatus
from interceptor.wire.frame import Frame

_KINDS_COUNT_MAX = 1024
"""Spellings of MSH-9 remembered: a hospital sends a few dozen."""


class _Kind:
    """What an MSH-9 says: whether such messages can go this way, and what counts them."""

    __slots__ = ("is_express", "is_order", "label", "passed", "unanswered")

    def __init__(
        self,
        label: MessageTypeLabel,
        *,
        is_express: bool,
        is_order: bool,
        passed: CounterTally,
        unanswered: CounterTally,
    ) -> None:
        self.label = label
        self.is_express = is_express
        self.is_order = is_order
        self.passed = passed
        self.unanswered = unanswered


class Express:
    """One route's shortest way."""

    def __init__(self, parts: RouteParts) -> None:
        self.parts = parts
        self.tells_of_absence = parts.options.on_filler_down == "nak"
        self.metrics = parts.metrics
        self._is_open = parts.options.custody is CustodyKind.RELAY and not parts.options.mllp_commit_ack
        self._kinds: dict[bytes, _Kind] = {}

    def passage(self, frame: Frame, line: PlacerSide) -> "ExpressMessage | Passage":
        """The way of one message: this one where it can go it, else the pipeline's."""
        fields = peek_usual_fields(frame.content) if frame.block is not None and self._is_open else None
        if fields is not None and len(fields) > 9 and fields[9] and not any(fields[14:16]):
            kind = self._kinds.get(fields[8]) or self._read_kind(fields)
            if kind.is_express and not (self.tells_of_absence and self.parts.filler.is_refused):
                message = ExpressMessage(self, kind, frame, fields[9], line)
                if not kind.is_order or self._lets_pass(message, fields):
                    return message
        return Passage(frame, line, self.parts)

    def _lets_pass(self, message: "ExpressMessage", fields: list[bytes]) -> bool:
        """Whether an order passes as it is, by its study or by the mode; else it is decided first."""
        parts, content = self.parts, message.content
        if parts.custody.catch_up is not None:
            return False  # With several nodes the journal is asked first whose order this is.
        custody = parts.custody
        is_shadow = parts.mode() is RouteMode.SHADOW
        if is_shadow and custody.is_empty:
            message.header_fields = fields
            return True
        parts.shadow.finish()  # What left before is known before this.
        study = message.study = parts.studies.find(content, fields)
        if study is None and not is_shadow:
            return False
        return not custody.concerns(content, lambda: keys_of_content(content) if study is None else (study.order_key,))

    def _read_kind(self, fields: list[bytes]) -> _Kind:
        header = usual_header(fields)
        label = message_type_label(header.message_type.code)
        kind = _Kind(
            label,
            is_express=not is_merge(header),
            is_order=is_order_message(header),
            passed=self.metrics.messages.child(label, MessageOutcome.PASSED),
            unanswered=self.metrics.messages.child(label, MessageOutcome.UNANSWERED),
        )
        if len(self._kinds) < _KINDS_COUNT_MAX:
            self._kinds[fields[8]] = kind
        return kind


class ExpressMessage:
    """One message on the shortest way, and what the filler's side sees of it (`transport.exchange.Outgoing`)."""

    __slots__ = (
        "_added_seconds",
        "_code",
        "_express",
        "_kind",
        "_line",
        "_received_at",
        "block",
        "content",
        "control_id",
        "header_fields",
        "is_done",
        "queued_at",
        "study",
        "waits_for_peer",
    )

    answer_count = 1

    def __init__(self, express: Express, kind: _Kind, frame: Frame, control_id: bytes, line: PlacerSide, /) -> None:
        """Made for each frame; `begin` sets it going."""
        self._express = express
        self._kind = kind
        self._line = line
        self._received_at = monotonic()
        self._code = ""
        self.content = frame.content
        self.block = frame.block
        self.control_id = control_id
        self.waits_for_peer = not express.tells_of_absence
        self.is_done = False
        self.queued_at = 0.0
        self.study: StudyOrder | None = None
        self.header_fields: list[bytes] | None = None

    def begin(self) -> None:
        """Send the message on; an order is decided behind it."""
        express = self._express
        metrics, parts = express.metrics, express.parts
        metrics.message_bytes.observe(len(self.content))
        metrics.last_message.value = time()
        self._added_seconds = monotonic() - self._received_at
        metrics.added_latency.observe(self._added_seconds)
        parts.filler.submit(self)
        if self.study is not None:
            parts.record_study(self.study)
        elif self._kind.is_order:
            parts.shadow.note(self.content, self.header_fields)

    def withdraw(self) -> None:
        """The placer is gone: what has not left for the filler does not leave."""
        if self._express.parts.filler.withdraw(self):
            self._end(self._kind.unanswered)

    def refuse_head(self, reason: str) -> None:
        """It may not come this way: answer AR."""
        Passage(Frame(self.content), self._line, self._express.parts).refuse_head(reason)

    def on_answer(self, answer: Answer) -> None:
        """Give the filler's answer back; one that is not the last may follow the last, after CA."""
        status = answer.status
        if status is AnswerStatus.ANSWERED:
            if answer.acknowledgment is not None:
                self._code = answer.acknowledgment.code
            relay_answer(self._line, answer, self._express.metrics, received_at=self._received_at)
            if answer.final:
                self._end(self._kind.passed)
            return
        parts = self._express.parts
        if not answer.sent and self._express.tells_of_absence:
            Passage(Frame(self.content), self._line, parts).refuse_unreachable()
            return
        parts.log.event(MESSAGE_LEFT_UNANSWERED, route=parts.options.name, reason=status.value)
        self._end(self._kind.unanswered)

    def _end(self, counter: CounterTally) -> None:
        counter.value += 1
        kind = self._kind
        outcome = MessageOutcome.PASSED if counter is kind.passed else MessageOutcome.UNANSWERED
        self._express.metrics.traffic.note(kind.label, self.control_id, outcome, self._added_seconds, self._code)
        self._line.ended()
