"""One span for each stage of a message, where tracing is on; where it is off none of this is imported or called.

    message                       first look at the frame to the end of its way: route, type, size
      frame                       header read, way chosen
      decide                      facts, policy, verdict; twice where a source had to be asked in between
      lookup                      the evidence sources, within their budget
      journal                     the turn of a message that is taken into custody, to its durable commit
      forward                     handed to the filler's connection, to its answer
      acknowledge                 the answer written to the placer

A sampled message is given a copy of its route's parts, each of which begins and ends a span around the real one; the
pipeline itself knows nothing of it. A message that is not sampled goes the way that it goes without tracing. What is
decided behind the traffic in shadow mode, and what couriers send later, has no spans.

Nothing of a patient is in a span: attributes are configured names, words of closed sets and sizes, and an exception is
told by its type. Failures: none of our own; what the exporter cannot send is dropped behind the traffic.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from interceptor.answering import MessagePassage, PlacerSide
from interceptor.context.patient import PatientEvidence
from interceptor.decision.message_decision import MessageDecision
from interceptor.express import Express
from interceptor.journal.turn_parts import Inbound, TurnResult
from interceptor.message.header import peek_header
from interceptor.message.view import MessageView
from interceptor.pipeline import Filler, RouteParts
from interceptor.telemetry.label import MessageTypeLabel, message_type_label
from interceptor.transport.exchange import Outgoing
from interceptor.wire.commit_block import MllpCommitAck
from interceptor.wire.frame import Frame

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

MakePassage = Callable[[Frame, PlacerSide], MessagePassage]
STAGES = ("frame", "decide", "lookup", "journal", "forward", "acknowledge")


def passages(parts: RouteParts, tracer: "Tracer | None") -> MakePassage:
    """What makes the way of each message of a route, with spans for those that are sampled where there is a tracer."""
    plain = Express(parts).passage
    if tracer is None:
        return plain

    def make(frame: Frame, line: PlacerSide) -> MessagePassage:
        trace = _MessageTrace(tracer, parts.options.name, frame)
        if not trace.is_sampled:
            return plain(frame, line)
        with trace.stage("frame"):
            return Express(trace.around(parts)).passage(frame, _TracedLine(line, trace))

    return make


class _MessageTrace:
    """The spans of one message."""

    def __init__(self, tracer: "Tracer", route: str, frame: Frame) -> None:
        from opentelemetry.trace import set_span_in_context

        header = peek_header(frame.content)
        label = message_type_label(header.message_type.code) if header is not None else MessageTypeLabel.NOT_HL7
        self._tracer = tracer
        self._root = tracer.start_span(
            "message",
            attributes={
                "interceptor.route": route,
                "interceptor.message_type": label.value,
                "interceptor.size_bytes": len(frame.content),
            },
        )
        self._context = set_span_in_context(self._root)
        self._forward: Span | None = None

    @property
    def is_sampled(self) -> bool:
        return self._root.is_recording()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A span for the length of the block. The library's own would write an exception's text, which may quote a message."""
        span = self._tracer.start_span(name, context=self._context)
        try:
            yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            span.end()

    def forwarded(self) -> None:
        """Handed to the filler's connection; a second time when a refused note was taken out."""
        self.answered()
        self._forward = self._tracer.start_span("forward", context=self._context)

    def answered(self) -> None:
        """The filler answered, or nothing more is expected of it."""
        if self._forward is not None:
            self._forward.end()
            self._forward = None

    def ended(self) -> None:
        self.answered()
        self._root.end()

    def around(self, parts: RouteParts) -> RouteParts:
        """The route's parts, each within its span."""

        def decide(view: MessageView, evidence: PatientEvidence | None, at: datetime) -> MessageDecision:
            with self.stage("decide"):
                return parts.decide(view, evidence, at)

        async def lookup(view: MessageView) -> PatientEvidence:
            with self.stage("lookup"):
                return await parts.lookup(view)

        async def take_turn(inbound: Inbound) -> TurnResult:
            with self.stage("journal"):
                return await parts.take_turn(inbound)

        filler = _TracedFiller(parts.filler, self)
        return replace(parts, decide=decide, lookup=lookup, take_turn=take_turn, filler=filler)


class _TracedFiller:
    """The way to the filler, which begins a span."""

    def __init__(self, filler: Filler, trace: _MessageTrace) -> None:
        self._filler = filler
        self._trace = trace

    @property
    def is_refused(self) -> bool:
        return self._filler.is_refused

    def submit(self, request: Outgoing) -> None:
        self._trace.forwarded()
        self._filler.submit(request)

    def withdraw(self, request: Outgoing) -> bool:
        return self._filler.withdraw(request)


class _TracedLine:
    """The placer's connection, as one message sees it."""

    def __init__(self, line: PlacerSide, trace: _MessageTrace) -> None:
        self._line = line
        self._trace = trace

    @property
    def is_lost(self) -> bool:
        return self._line.is_lost

    def send(self, content: bytes) -> None:
        self._trace.answered()
        with self._trace.stage("acknowledge"):
            self._line.send(content)

    def send_block(self, block: bytes) -> None:
        self._trace.answered()
        with self._trace.stage("acknowledge"):
            self._line.send_block(block)

    def send_commit(self, commit: MllpCommitAck) -> None:
        self._line.send_commit(commit)

    def ended(self) -> None:
        self._trace.ended()
        self._line.ended()
