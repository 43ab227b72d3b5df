"""One inbound message, from its first byte to its acknowledgment. READ FIRST.

    frame -> header -> [view -> orders -> facts -> decision -> plan] -> filler or custody -> acknowledgment

What is in brackets happens to order messages only; everything else goes to the filler as it came. Messages
of one placer connection are handled one after the other, in order. Most need none of this file: `express.py`
sends them on as the bytes that came. Here are the orders that are decided before they leave, and whatever is
unusual. A task is started only to wait for something that is not the filler: evidence, the journal, the turn
of an order that is already ours.

Relay custody gives the filler's own acknowledgment back unchanged. The moment an order is held, or a message
touches an order that is ours, the whole message is taken into custody (journal/turn.py): journal first, then
our own acknowledgment. `answering.py` is the one place that answers, and asserts that order.

Failures:
    not HL7                 passes unchanged, the filler judges (`strict_inbound`: AR); kept in quarantine
    truncated               AR where a control id was seen, never forwarded, kept in quarantine
    our own exception       the message passes unchanged; counted, logged without content
    deciding too late       the message passes unchanged; counted
    journal unavailable     a would-be hold goes on annotated; a message about an order of ours gets AE
    journal broken          no answer; the node stops and recovers, the placer sends again
    filler away             no answer until the placer gives up, or AE with `on_filler_down = "nak"`

Source: HL7 v2.5.1 chapter 2.9 (acknowledgment modes).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from time import monotonic, time
from typing import Literal, Protocol

from interceptor.action.acknowledge import answer_count
from interceptor.action.plan import MessagePlan, NoHoldReason, RouteMode, plan_message
from interceptor.answering import PlacerAnswers, PlacerSide
from interceptor.context.extract import EvidenceNeeded
from interceptor.context.patient import PatientEvidence
from interceptor.decision.decision import Disposition
from interceptor.decision.message_decision import MessageDecision
from interceptor.decision.study_verdict import StudyOrder, StudyVerdicts
from interceptor.journal.custody import Custody
from interceptor.journal.order_index import keys_of_content, order_keys_of
from interceptor.journal.port import AlreadyTaken, JournalBroken, JournalError
from interceptor.journal.turn_parts import Inbound, PassOn, Taken, TurnResult
from interceptor.message.acknowledgment import AckCode
from interceptor.message.group import is_order_message
from interceptor.message.header import Header, peek_header
from interceptor.message.view import MessageView
from interceptor.shadow import ShadowDecisions, tell_deciding_failed
from interceptor.telemetry.events import (
    ANNOTATION_REFUSED,
    CONTROL_ID_REUSED,
    DECIDING_TOOK_TOO_LONG,
    HOLD_REFUSED,
    MESSAGE_LEFT_UNANSWERED,
    MESSAGE_QUARANTINED,
    EventLog,
)
from interceptor.telemetry.label import MessageOutcome, MessageTypeLabel, message_type_label
from interceptor.telemetry.metrics import RouteMetrics
from interceptor.transport.exchange import Answer, AnswerStatus, Outgoing, Request
from interceptor.wire.frame import Frame, Tolerance


class Filler(Protocol):
    """What the pipeline needs of the way to the filler."""

    @property
    def is_refused(self) -> bool:
        """Whether the filler cannot be reached now."""
        ...

    def submit(self, request: Outgoing) -> None:
        """Send *request* in its turn; answers come by its callback."""
        ...

    def withdraw(self, request: Outgoing) -> bool:
        """Take back what has not left; True when it was still here."""
        ...


class CustodyKind(StrEnum):
    """Who answers for the messages of a route."""

    RELAY = "relay"
    STORE = "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """What the configuration says of one route."""

    name: str
    destination: str
    custody: CustodyKind = CustodyKind.RELAY
    on_filler_down: Literal["wait", "nak"] = "wait"
    strict_inbound: bool = False
    mllp_commit_ack: bool = False
    pipelined_max: int = 16
    decision_budget_seconds: float = 1.0
    note_length: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteParts:
    """What one route is plugged together from; `node.py` does it.

    Attributes:
        decide: Decide a message's orders as of a time. Raises EvidenceNeeded when a source must be asked first.
        lookup: Ask the evidence sources about a message's patient, within their own budget.
        evidence_at_first: What is known before any source is asked: None when there are sources.
        mode: The route's mode now.
        no_hold: Why nothing may be held now; None when holding is allowed.
        take_turn: Take a message into custody, or say that it may go its way after all.
        count: Count the decisions on a message.
        record: Count the decisions on a message that goes its way, and keep them; never waits.
        studies: Orders that their study decides.
        record_study: Count the decision on such an order; never waits.
        shadow: Decides, in shadow mode, what has left.
        quarantine: Keep bytes that are not HL7; never waits.
        spawn: Run a coroutine that ends by itself, in the node's task group.
        give_up: The journal is broken: stop the node.
        now: Aware UTC time.
        new_control_id: A new MSH-10 of our own.
        count_annotation_refused: The filler refused a message that we annotated.
        note_patient: Take note of a merge of patients; what its message has to wait for, None for nothing.
    """

    options: RouteOptions
    filler: Filler
    custody: Custody
    decide: Callable[[MessageView, PatientEvidence | None, datetime], MessageDecision]
    lookup: Callable[[MessageView], Awaitable[PatientEvidence]]
    evidence_at_first: PatientEvidence | None
    mode: Callable[[], RouteMode]
    no_hold: Callable[[], NoHoldReason | None]
    take_turn: Callable[[Inbound], Awaitable[TurnResult]]
    count: Callable[[MessageDecision], None]
    record: Callable[[MessageView, MessageDecision], None]
    studies: StudyVerdicts
    record_study: Callable[[StudyOrder], None]
    shadow: ShadowDecisions
    quarantine: Callable[[str, bytes], None]
    spawn: Callable[[Coroutine[None, None, None]], None]
    give_up: Callable[[JournalBroken], None]
    now: Callable[[], datetime]
    new_control_id: Callable[[], str]
    count_annotation_refused: Callable[[], None]
    note_patient: Callable[[Header, bytes], Callable[[], Awaitable[None]] | None]
    metrics: RouteMetrics
    log: EventLog


def is_batch(raw: bytes) -> bool:
    """Whether bytes begin with a file or batch header: what answers it is the filler's own business."""
    return raw.startswith((b"FHS", b"BHS"))


_KINDS: dict[bytes, tuple[MessageTypeLabel, bool]] = {}
"""What each MSH-9 seen means: a hospital sends a few dozen, and reading one anew costs as much as the rest of MSH."""
_KINDS_COUNT_MAX = 1024


def _kind_of(header: Header | None) -> tuple[MessageTypeLabel, bool]:
    """The label of a message's type, and whether it carries orders."""
    if header is None:
        return MessageTypeLabel.NOT_HL7, False
    # The component separator belongs to the key: with other delimiters the same bytes are another type.
    key = header.raw_field(9) + bytes((header.encoding.component,))
    kind = _KINDS.get(key)
    if kind is None:
        kind = message_type_label(header.message_type.code), is_order_message(header)
        if len(_KINDS) < _KINDS_COUNT_MAX:
            _KINDS[key] = kind
    return kind


class Passage:
    """The way of one message through a route."""

    def __init__(self, frame: Frame, line: PlacerSide, parts: RouteParts) -> None:
        """Made for each frame; `begin` sets it going."""
        self._line, self._parts, self._raw = line, parts, frame.content
        self._header = peek_header(frame.content)
        # What began inside another frame and has no header is the second half of a broken message.
        is_half = self._header is None and Tolerance.START_INSIDE_FRAME in frame.tolerated
        self._is_truncated = frame.truncated or is_half
        self._request: Request | None = None
        self._type, self._is_order = _kind_of(self._header)
        self._outcome, self._received_at, self._added_seconds = MessageOutcome.PASSED, monotonic(), -1.0
        self._answers = PlacerAnswers(
            line,
            metrics=parts.metrics,
            new_control_id=parts.new_control_id,
            now=parts.now,
            received_at=self._received_at,
            # What was cut off by another start block has no end that its sender waits behind.
            owes_commit=parts.options.mllp_commit_ack and bool(frame.content) and not frame.truncated,
        )

    def begin(self) -> None:
        """Set the message on its way. What has to be waited for comes back by callbacks or runs as a task."""
        raw, header = self._raw, self._header
        self._parts.metrics.message_bytes.observe(len(raw))
        self._parts.metrics.last_message.set(time())
        if header is None or self._is_truncated:
            self._begin_unreadable(raw, header)
        elif self._parts.options.custody is CustodyKind.STORE:
            self._parts.spawn(self._take(raw, header, None))
        elif self._is_order:
            _after_others(self._parts, lambda: self._begin_order(raw, header))
        elif (durable := self._parts.note_patient(header, raw)) is not None:
            self._parts.spawn(_when(durable, lambda: self._relay(raw, header)))
        else:
            self._relay(raw, header)

    def withdraw(self) -> None:
        """The placer is gone: what has not left for the filler does not leave; what is being journaled is."""
        if self._request is not None and self._parts.filler.withdraw(self._request):
            self._request = None
            self._done(MessageOutcome.UNANSWERED)

    def refuse_head(self, reason: str) -> None:
        """The frame is refused, only its head is here: answer AR where that names a message."""
        self._refuse(self._header, AckCode.APPLICATION_REJECT, reason)

    def refuse_unreachable(self) -> None:
        """The filler cannot be reached and the placer is to be told: answer AE, so that it keeps the message."""
        self._refuse(self._header, AckCode.APPLICATION_ERROR, "filler_unreachable")

    def _begin_unreadable(self, raw: bytes, header: Header | None) -> None:
        """The filler judges what we cannot read; a frame that broke off is nobody's message."""
        reason = "truncated" if self._is_truncated else "not_hl7"
        _keep_unreadable(self._parts, reason, raw)
        if not self._is_truncated and not self._parts.options.strict_inbound:
            self._relay(raw, header)
        else:
            self._refuse(header, AckCode.APPLICATION_REJECT, reason)

    def _begin_order(self, raw: bytes, header: Header) -> None:
        """Decide at once with what the message says; start a task when something else is needed."""
        parts = self._parts
        try:
            view = MessageView(raw)
            if parts.custody.concerns(raw, lambda: order_keys_of(view)):
                parts.spawn(self._take(raw, header, None))
                return
            if parts.mode() is RouteMode.SHADOW:
                # Forward first: in shadow mode a decision costs the placer nothing.
                self._relay(raw, header)
                parts.shadow.note(raw)
                return
            parts.shadow.finish()
            decision = parts.decide(view, parts.evidence_at_first, parts.now())
            plan = _plan(self._parts, view, decision)
        except EvidenceNeeded:
            parts.spawn(self._decide_late(MessageView(raw), header))
        except Exception as error:  # noqa: BLE001 - promise 3: whatever it is, the message passes
            _deciding_failed(self._parts, error)
            self._relay(raw, header)
        else:
            self._carry_out(view, header, decision, plan)

    def _carry_out(self, view: MessageView, header: Header, decision: MessageDecision, plan: MessagePlan) -> None:
        """Take the message when one of its orders must stay or has siblings that stayed; else send it on."""
        parts = self._parts
        if plan.held or parts.custody.knows_set(order.set_key for order in decision.orders):
            parts.spawn(self._take(view.raw, header, None))
            return
        _note(self._parts, view, decision, plan)
        self._relay_plan(header, plan)

    async def _decide_late(self, view: MessageView, header: Header) -> None:
        """Ask the evidence sources, then decide. Cancelled only when the node stops; nothing was answered then."""
        parts = self._parts
        try:
            async with asyncio.timeout(parts.options.decision_budget_seconds):
                evidence = await parts.lookup(view)
            decision = parts.decide(view, evidence, parts.now())
            plan = _plan(self._parts, view, decision)
        except TimeoutError:
            parts.metrics.decision_errors.count("over_budget")
            parts.log.event(
                DECIDING_TOOK_TOO_LONG, route=parts.options.name, seconds=parts.options.decision_budget_seconds
            )
            self._relay(view.raw, header)
        except Exception as error:  # noqa: BLE001 - promise 3: whatever it is, the message passes
            _deciding_failed(self._parts, error)
            self._relay(view.raw, header)
        else:
            self._carry_out(view, header, decision, plan)

    # Relay: the filler answers.

    def _relay_plan(self, header: Header, plan: MessagePlan) -> None:
        assert plan.forward is not None, "a message of which nothing goes is taken, not relayed"
        if plan.disposition is Disposition.ANNOTATE:
            self._outcome = MessageOutcome.ANNOTATED
        self._relay(plan.forward, header, original=plan.original)

    def _relay(self, content: bytes, header: Header | None, *, original: bytes | None = None) -> None:
        """Send *content* on and give the filler's answer back; a refused note is taken out and sent again, once."""
        parts = self._parts
        if self._line.is_lost:
            self._done(MessageOutcome.UNANSWERED)
            return
        tells_of_absence = parts.options.on_filler_down == "nak"
        if tells_of_absence and parts.filler.is_refused:
            self.refuse_unreachable()
            return

        def answered(answer: Answer) -> None:
            code = answer.acknowledgment.code if answer.acknowledgment else None
            is_refused = answer.final and code is not None and not code.is_accept
            if original is not None and code is not None and is_refused and not self._line.is_lost:
                parts.log.event(
                    ANNOTATION_REFUSED, destination=parts.options.destination, route=parts.options.name, code=code.value
                )
                parts.count_annotation_refused()
                self._outcome = MessageOutcome.PASSED
                self._relay(original, header)
                return
            if not answer.sent and tells_of_absence:
                self._request = None
                self.refuse_unreachable()
                return
            self._answered(answer)

        if is_batch(content):
            header = None
        self._request = Request(
            content=content,
            control_id=header.control_id if header is not None else None,
            on_answer=answered,
            answer_count=answer_count(header) if header is not None else 1,
            waits_for_peer=not tells_of_absence,
        )
        self._added_seconds = monotonic() - self._received_at
        parts.metrics.added_latency.observe(self._added_seconds)
        parts.filler.submit(self._request)

    def _answered(self, answer: Answer) -> None:
        if answer.status is AnswerStatus.ANSWERED:
            self._answers.relay(answer)
        if not answer.final:
            return
        self._request = None
        if answer.status in (AnswerStatus.ANSWERED, AnswerStatus.NOT_EXPECTED):
            self._done(self._outcome)
        else:
            parts = self._parts
            parts.log.event(MESSAGE_LEFT_UNANSWERED, route=parts.options.name, reason=answer.status.value)
            self._done(MessageOutcome.UNANSWERED)

    # Custody: we answer.

    async def _take(self, raw: bytes, header: Header, evidence: PatientEvidence | None) -> None:
        """Take the message into custody, or give it its turn behind an order that is ours.

        Cancelled only when the node stops; a commit under way is not taken back, its resend finds the answer.
        """
        parts = self._parts
        inbound = Inbound(raw=raw, header=header, evidence=evidence, received_at=parts.now())
        try:
            result = await parts.take_turn(inbound)
        except JournalBroken as error:
            parts.give_up(error)
            self._done(MessageOutcome.UNANSWERED)
        except JournalError as error:
            parts.log.event(HOLD_REFUSED, route=parts.options.name, reason=error.reason.value)
            self._go_without_custody(inbound)
        except Exception as error:  # noqa: BLE001 - promise 3: whatever it is, the order does not stay with us
            _deciding_failed(self._parts, error)
            self._go_without_custody(inbound)
        else:
            self._turn_taken(header, result)

    def _turn_taken(self, header: Header, result: TurnResult) -> None:
        match result:
            case PassOn():
                if result.decision is not None:
                    _note(self._parts, result.view, result.decision, result.plan)
                self._relay_plan(header, result.plan)
            case Taken():
                if result.decision is not None:
                    self._parts.count(result.decision)
                if result.done.control_id_reused:
                    self._parts.metrics.control_id_reuses.inc()
                    self._parts.log.event(CONTROL_ID_REUSED, route=self._parts.options.name)
                self._answers.give(result.acknowledgment, proof=result.done)
                self._done(MessageOutcome.TAKEN)
            case AlreadyTaken():
                self._answers.give(result.answer.acknowledgment, proof=result.answer)
                self._done(MessageOutcome.DUPLICATE)

    def _go_without_custody(self, inbound: Inbound) -> None:
        """Nothing was written. What is about an order of ours must not pass it by; all else goes on, annotated."""
        parts = self._parts
        if parts.options.custody is CustodyKind.STORE or parts.custody.knows_open(keys_of_content(inbound.raw)):
            self._refuse(inbound.header, AckCode.APPLICATION_ERROR, "journal_unavailable")
            return
        try:
            view = MessageView(inbound.raw)
            decision = parts.decide(view, inbound.evidence or parts.evidence_at_first, parts.now())
            reason = NoHoldReason.JOURNAL_UNAVAILABLE
            plan = plan_message(
                view, decision.orders, mode=parts.mode(), no_hold=reason, note_length=parts.options.note_length
            )
        except Exception as error:  # noqa: BLE001 - promise 3: whatever it is, the message passes
            _deciding_failed(self._parts, error)
            self._relay(inbound.raw, inbound.header)
        else:
            self._relay_plan(inbound.header, plan)

    def _refuse(self, header: Header | None, code: AckCode, reason: str) -> None:
        """Answer in our own name that the message was not taken; nothing when it cannot be named or asks for none."""
        if self._answers.refuse(header, code, reason):
            self._done(MessageOutcome.REFUSED)
        elif code is AckCode.APPLICATION_REJECT:
            self._done(MessageOutcome.QUARANTINED)
        else:
            self._done(MessageOutcome.UNANSWERED)

    def _done(self, outcome: MessageOutcome) -> None:
        self._answers.end()
        self._parts.metrics.note_end(self._type, self._header, outcome, self._added_seconds, self._answers.code)
        self._line.ended()


def _after_others(parts: RouteParts, begin: Callable[[], None]) -> None:
    """Begin at once; with several nodes, when what the others have acknowledged until now is known."""
    catch_up = parts.custody.catch_up
    if catch_up is None:
        begin()
        return

    async def begin_then() -> None:
        await catch_up()
        begin()

    parts.spawn(begin_then())


async def _when(durable: Callable[[], Awaitable[None]], then: Callable[[], None]) -> None:
    """Go on when what a message says of an order of ours is durable. Cancelled only when the node stops."""
    await durable()
    then()


def _keep_unreadable(parts: RouteParts, reason: str, raw: bytes) -> None:
    """Keep for an analyst what is no message."""
    parts.quarantine(reason, raw)
    parts.metrics.quarantined.count(reason)
    parts.log.event(MESSAGE_QUARANTINED, route=parts.options.name, reason=reason, size=len(raw))


def _plan(parts: RouteParts, view: MessageView, decision: MessageDecision) -> MessagePlan:
    return plan_message(
        view, decision.orders, mode=parts.mode(), no_hold=parts.no_hold(), note_length=parts.options.note_length
    )


def _note(parts: RouteParts, view: MessageView, decision: MessageDecision, plan: MessagePlan) -> None:
    """Keep and count the decisions on a message that goes its way."""
    if plan.not_held is not None and parts.mode() is RouteMode.ENFORCE:
        parts.log.event(HOLD_REFUSED, route=parts.options.name, reason=plan.not_held.value)
    parts.record(view, decision)


def _deciding_failed(parts: RouteParts, error: Exception) -> None:
    tell_deciding_failed(parts.options.name, parts.metrics, parts.log, error)
