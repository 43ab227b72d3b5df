"""Decisions in shadow mode: made after the message has left, recorded and counted all the same.

In shadow mode every message passes unchanged whatever is decided, so nobody has to wait for the decision. What has
left is noted here and decided in the same event loop a moment later, some together: a decision right behind another
costs less than one between two messages, as the processor still has at hand what it needs (docs/adr/0010).

Failures: a decision that raises is counted and told by its kind; the message has left already. When more wait than
`WAITING_COUNT_MAX` or `WAITING_SIZE_MAX`, the first that waits is decided at once: the placers are slowed down, nothing
is left out.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from interceptor.context.extract import EvidenceNeeded
from interceptor.context.patient import PatientEvidence
from interceptor.decision.message_decision import MessageDecision
from interceptor.decision.study_verdict import StudyOrder
from interceptor.message.view import MessageView
from interceptor.telemetry.events import DECIDING_FAILED, EventLog
from interceptor.telemetry.metrics import RouteMetrics
from interceptor.telemetry.redaction import describe_error

WAITING_COUNT_MAX = 1024
WAITING_SIZE_MAX = 16 * 1024 * 1024
"""Messages that have left and are not decided, and their bytes."""
GATHER_SECONDS = 0.03
"""From the first that waits until those that wait are decided."""
SLICE_SECONDS = 0.001
"""After so long the loop looks at its sockets again; a spine order takes up to some hundred microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowParts:
    """What a decision in shadow mode needs; see `pipeline.RouteParts`.

    Attributes:
        find_study: Decide by the study alone; None where that does not.
        record_study: Count such a decision.
        failed: Told of our own exception.
    """

    decide: Callable[[MessageView, PatientEvidence | None, datetime], MessageDecision]
    lookup: Callable[[MessageView], Awaitable[PatientEvidence]]
    evidence_at_first: PatientEvidence | None
    record: Callable[[MessageView, MessageDecision], None]
    find_study: Callable[[bytes, list[bytes]], StudyOrder | None]
    record_study: Callable[[StudyOrder], None]
    spawn: Callable[[Coroutine[None, None, None]], None]
    now: Callable[[], datetime]
    failed: Callable[[Exception], None]


def tell_deciding_failed(route: str, metrics: RouteMetrics, log: EventLog, error: Exception) -> None:
    """Tell of our own fault by its kind and place; never by its text, which may quote the message."""
    metrics.decision_errors.count("exception")
    log.event(DECIDING_FAILED, route=route, **describe_error(error))


class ShadowDecisions:
    """Messages of one route that have left and are still to be decided, in the order they left."""

    def __init__(self, parts: ShadowParts) -> None:
        self._parts = parts
        self._waiting: deque[tuple[bytes, list[bytes] | None]] = deque()
        self._waiting_size = 0
        self._is_scheduled = False

    def note(self, raw: bytes, header_fields: list[bytes] | None = None) -> None:
        """Decide this order message soon. *header_fields*: `peek_usual_fields` of it, where it is usual."""
        self._waiting.append((raw, header_fields))
        self._waiting_size += len(raw)
        while len(self._waiting) > WAITING_COUNT_MAX or self._waiting_size > WAITING_SIZE_MAX:
            self._decide_first()
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._decide_some)

    def finish(self) -> None:
        """Decide all that waits, now: another mode begins, or the node ends."""
        while self._waiting:
            self._decide_first()

    def _decide_some(self) -> None:
        waiting = self._waiting
        ends_at = monotonic() + SLICE_SECONDS
        while waiting and monotonic() < ends_at:
            self._decide_first()
        self._is_scheduled = bool(waiting)
        if waiting:
            asyncio.get_running_loop().call_soon(self._decide_some)

    def _decide_first(self) -> None:
        raw, header_fields = self._waiting.popleft()
        self._waiting_size -= len(raw)
        self._decide(raw, header_fields)

    def _decide(self, raw: bytes, header_fields: list[bytes] | None) -> None:
        parts = self._parts
        try:
            study = None if header_fields is None else parts.find_study(raw, header_fields)
            if study is not None:
                parts.record_study(study)
                return
            view = MessageView(raw)
            decision = parts.decide(view, parts.evidence_at_first, parts.now())
            parts.record(view, decision)
        except EvidenceNeeded:
            parts.spawn(self._decide_late(MessageView(raw)))
        except Exception as error:  # noqa: BLE001 - the message has left already
            parts.failed(error)

    async def _decide_late(self, view: MessageView) -> None:
        parts = self._parts
        try:
            evidence = await parts.lookup(view)
            parts.record(view, parts.decide(view, evidence, parts.now()))
        except Exception as error:  # noqa: BLE001 - the message has left already
            parts.failed(error)
