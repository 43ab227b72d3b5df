"""An order of our own, every minute on every route: is the way of a message whole, though no placer sends?

    encode_frame -> FrameDecoder -> Passage: header, view, decision, plan -> a filler of our own -> answer

It goes through the code that a placer's message goes through, with the route's own policy and site profile, as far as
the decision and the answer. What would leave a trace is replaced: the filler answers in this file, nothing is held,
recorded or journaled, no source is asked, and its counts are its own, apart from those of the traffic. That the
listener's port answers is shown by the health probe of a load balancer (`health_probe` of the route), not here: a
message over the network that is accepted and goes nowhere would be a way to lose orders.

Failures: none that end the task. A message that is late, not decided or not accepted is counted and told.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from interceptor.action.plan import RouteMode
from interceptor.context.patient import NO_EVIDENCE, PatientEvidence
from interceptor.decision.message_decision import MessageDecision
from interceptor.journal.turn_parts import Inbound, TurnResult
from interceptor.message.acknowledgment import AckCode, build_acknowledgment, read_acknowledgment
from interceptor.message.header import read_header
from interceptor.message.timestamp import format_timestamp
from interceptor.message.view import MessageView
from interceptor.pipeline import CustodyKind, Passage, RouteParts
from interceptor.route import Route
from interceptor.telemetry.events import SYNTHETIC_FAILED, EventLog
from interceptor.telemetry.metrics import MetricLabels, Metrics, SyntheticMetrics
from interceptor.transport.exchange import Answer, AnswerStatus, Outgoing
from interceptor.wire.commit_block import MllpCommitAck
from interceptor.wire.decoder import FrameDecoder
from interceptor.wire.frame import Frame, FrameOptions, encode_frame

GRACE_SECONDS = 5.0
"""How much longer than its budget a decision may take before the message counts as late: the loop may be busy."""


class SyntheticResult(StrEnum):
    """What became of a synthetic message."""

    OK = "ok"
    """Decided and accepted."""
    NOT_DECIDED = "not_decided"
    """It passed without a decision, or was refused."""
    LATE = "late"
    """Not answered within the decision's budget and some seconds."""


def synthetic_order(control_id: str, at: datetime) -> bytes:
    """A spine order of a patient who does not exist, with all that the policy asks for, so that nothing is looked up.

    Args:
        control_id: MSH-10.
        at: Aware time of the message.
    """
    stamp = format_timestamp(at)
    segments = (
        f"MSH|^~\\&|INTERCEPTOR|SYNTHETIC|INTERCEPTOR|SYNTHETIC|{stamp}||ORM^O01|{control_id}|T|2.3.1",
        "PID|1||SYNTHETIC^^^INTERCEPTOR^MR||SYNTHETIC^MESSAGE||19680101|F",
        "PV1|1|O",
        f"ORC|NW|{control_id}^INTERCEPTOR|||||||{stamp}",
        f"OBR|1|{control_id}^INTERCEPTOR||72148^MRI L SPINE WO^C4|||||||||||||||||||||||^^^^^R||||^new onset back pain x 3 wks",
        "DG1|1||C79.51^Secondary malignant neoplasm of bone^I10",
    )
    return "".join(f"{segment}\r" for segment in segments).encode("ascii")


class _OwnFiller:
    """Accepts what is sent to it; nothing leaves the process."""

    is_refused = False

    def __init__(self, parts: RouteParts) -> None:
        self._parts = parts

    def submit(self, request: Outgoing) -> None:
        header = read_header(request.content)
        control_id, at = self._parts.new_control_id(), self._parts.now()
        raw = build_acknowledgment(header, AckCode.APPLICATION_ACCEPT, control_id=control_id, at=at)
        request.on_answer(
            Answer(status=AnswerStatus.ANSWERED, raw=raw, acknowledgment=read_acknowledgment(raw), sent=True)
        )

    def withdraw(self, request: Outgoing) -> bool:
        del request
        return False


class _OwnLine:
    """The placer's side of one synthetic message: keeps the answer, and knows when the message has ended."""

    is_lost = False

    def __init__(self) -> None:
        self.answer = b""
        self.done = asyncio.Event()

    def send(self, content: bytes) -> None:
        self.answer = content

    def send_block(self, block: bytes) -> None:
        raise AssertionError("an answer of our own filler has no block")

    def send_commit(self, commit: MllpCommitAck) -> None:
        """A commit block says nothing about deciding."""

    def ended(self) -> None:
        self.done.set()


async def send_synthetic(parts: RouteParts, metrics: Metrics) -> SyntheticResult:
    """Take one synthetic order through a route; returns what became of it.

    Args:
        parts: The route's own parts.
        metrics: What its counts go to: never the node's.
    """
    decisions: list[MessageDecision] = []
    line = _OwnLine()
    passage = Passage(_framed(parts), line, _parts_without_traces(parts, metrics, decisions.append))
    try:
        async with asyncio.timeout(parts.options.decision_budget_seconds + GRACE_SECONDS):
            passage.begin()
            await line.done.wait()
    except TimeoutError:
        return SyntheticResult.LATE
    answer = read_acknowledgment(line.answer)
    is_accepted = answer is not None and answer.code is AckCode.APPLICATION_ACCEPT
    is_decided = any(decision.orders for decision in decisions)
    return SyntheticResult.OK if is_accepted and is_decided else SyntheticResult.NOT_DECIDED


def _framed(parts: RouteParts) -> Frame:
    """The order as it comes out of a decoder."""
    decoder = FrameDecoder(FrameOptions())
    decoder.receive_data(encode_frame(synthetic_order(parts.new_control_id(), parts.now())))
    frame = decoder.next_frame()
    assert frame is not None, "a whole frame went in"
    return frame


def _parts_without_traces(
    parts: RouteParts, metrics: Metrics, decided: Callable[[MessageDecision], None]
) -> RouteParts:
    def decide(view: MessageView, _evidence: PatientEvidence | None, at: datetime) -> MessageDecision:
        decision = parts.decide(view, NO_EVIDENCE, at)
        decided(decision)
        return decision

    async def no_evidence(_view: MessageView) -> PatientEvidence:
        return NO_EVIDENCE

    async def never_taken(_inbound: Inbound) -> TurnResult:
        raise AssertionError("a synthetic order is never held")

    return replace(
        parts,
        options=replace(parts.options, custody=CustodyKind.RELAY, mllp_commit_ack=False),
        filler=_OwnFiller(parts),
        decide=decide,
        lookup=no_evidence,
        evidence_at_first=NO_EVIDENCE,
        # Annotate decides before it forwards and never holds, whatever the route does with real orders.
        mode=lambda: RouteMode.ANNOTATE,
        no_hold=lambda: None,
        take_turn=never_taken,
        count=lambda _decision: None,
        record=lambda _view, _decision: None,
        quarantine=lambda _reason, _raw: None,
        count_annotation_refused=lambda: None,
        note_patient=lambda _header, _raw: None,
        metrics=metrics.routes[parts.options.name],
    )


async def run_synthetic(
    routes: Mapping[str, Route],
    *,
    interval_seconds: float,
    metrics: Mapping[str, SyntheticMetrics],
    now: Callable[[], datetime],
    log: EventLog,
) -> None:
    """Send one synthetic order through every route each *interval_seconds*, until cancelled."""
    own_metrics = Metrics(MetricLabels(routes=tuple(routes), destinations=()), version="", started_at=now())
    while True:
        for name, route in routes.items():
            try:
                result = await send_synthetic(route.parts, own_metrics)
            except Exception:  # noqa: BLE001 - a fault that only our own message finds must not end the node for real ones
                result = SyntheticResult.NOT_DECIDED
            metrics[name].show(result.value, at=now())
            if result is not SyntheticResult.OK:
                log.event(SYNTHETIC_FAILED, route=name, result=result.value)
        await asyncio.sleep(interval_seconds)
