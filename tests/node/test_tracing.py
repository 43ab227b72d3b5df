"""Spans of messages: one for each stage, nothing of a patient in any, and nothing at all where tracing is off."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from interceptor.config.schema import FhirTable
from interceptor.express import Express
from interceptor.node import Node, running_node
from interceptor.simulate.fhir_record import IDENTIFIER_SYSTEM
from interceptor.simulate.fhir_server import serving
from interceptor.telemetry.trace_export import exporting, tracing_to
from tests.support.canary import assert_clean, assert_reached, planted, unreadable
from tests.support.clinical import shipped_content, shipped_vignettes
from tests.support.fhir import record
from tests.support.mllp_peer import until
from tests.support.node import Events, Filler, filler, node_config, placer_of, reply
from tests.support.orders import CHEST_FILM, order
from tests.support.source_tree import ROOT


@dataclass(frozen=True)
class Traced:
    """A node whose spans are kept in memory."""

    node: Node
    filler: Filler
    kept: InMemorySpanExporter

    async def spans(self, roots: int) -> list[ReadableSpan]:
        """The spans, as soon as so many messages have come to their end."""
        await until(lambda: sum(span.name == "message" for span in self.kept.get_finished_spans()) >= roots)
        return list(self.kept.get_finished_spans())


@asynccontextmanager
async def traced(
    folder: Path, *, sample_ratio: float = 1.0, fhir: bool = False, **changes: Any
) -> AsyncIterator[Traced]:
    kept = InMemorySpanExporter()
    async with filler() as ris, serving(record()) as server:
        config = node_config(folder, filler_port=ris.port, synthetic_interval_seconds=0.0, **changes)
        if fhir:
            table = {"base_url": server.base_url, "systems": {"HOSP": IDENTIFIER_SYSTEM}}
            config = config.model_copy(update={"fhir": {"epic": FhirTable.model_validate(table)}})
        with tracing_to(SimpleSpanProcessor(kept), sample_ratio=sample_ratio, node="n", version="0") as tracer:
            async with running_node(config, log=Events().log, content=shipped_content(), tracer=tracer) as node:
                yield Traced(node, ris, kept)


async def stages(folder: Path, message: bytes, **settings: Any) -> list[str]:
    """Names of the spans of one message, in the order they began."""
    async with traced(folder, **settings) as running, placer_of(running.node) as placer:
        await placer.exchange(message)
        spans = await running.spans(1)
    (root,) = [span for span in spans if span.name == "message"]
    assert root.context is not None
    assert all(
        span.parent is not None and span.parent.span_id == root.context.span_id for span in spans if span is not root
    )
    assert all(span.end_time is not None for span in spans)
    return [span.name for span in sorted(spans, key=lambda span: span.start_time or 0) if span is not root]


FILM = order("F1", procedure=CHEST_FILM, reason="cough")


async def test_an_order_that_passes_by_its_study_is_forwarded_and_acknowledged(tmp_path: Path) -> None:
    assert await stages(tmp_path, FILM) == ["frame", "forward", "acknowledge"]


async def test_an_order_that_is_annotated_is_decided_first(tmp_path: Path) -> None:
    assert await stages(tmp_path, order("P1"), mode="annotate") == ["frame", "decide", "forward", "acknowledge"]


async def test_an_order_that_is_held_goes_to_the_journal(tmp_path: Path) -> None:
    assert await stages(tmp_path, order("P1")) == ["frame", "decide", "journal", "acknowledge"]


async def test_an_order_whose_patient_is_asked_for_is_decided_before_and_after(tmp_path: Path) -> None:
    found = await stages(tmp_path, order("P1", diagnoses=()), fhir=True)
    assert found == ["frame", "decide", "lookup", "decide", "journal", "acknowledge"]


async def test_a_refused_note_is_two_ways_to_the_filler(tmp_path: Path) -> None:
    async with traced(tmp_path, mode="annotate") as running, placer_of(running.node) as placer:
        answers = iter((b"AE", b"AA"))
        running.filler.answer = lambda content: reply(content, next(answers))
        await placer.exchange(order("P1"))
        names = [span.name for span in await running.spans(1)]
    assert names.count("forward") == 2


@pytest.mark.hazard("H14")
async def test_nothing_of_any_patient_is_in_any_span(tmp_path: Path) -> None:
    def deciding_quotes_the_message(*_arguments: object, **_named: object) -> None:
        raise ValueError(planted(FILM).decode())

    async with traced(tmp_path, fhir=True, hold_deadline_hours_max=24.0, holds_max_per_10_min=10_000) as running:
        count = 0
        for number, vignette in enumerate(shipped_vignettes()):
            async with placer_of(running.node) as placer:
                for message in vignette.messages:
                    await placer.send(planted(message, f"{number}N"))
                    count += 1
                    await until(lambda wanted=count: roots(running) >= wanted)  # type: ignore[misc]  # bound now
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("interceptor.route.decide_message", deciding_quotes_the_message)
            async with placer_of(running.node) as placer:
                await placer.exchange(planted(order("P1"), "X"))
        for broken in unreadable():
            async with placer_of(running.node) as placer:
                await placer.send(broken)
                await asyncio.sleep(0.02)
        spans = await running.spans(count + 1)
        shown = "\n".join(span.to_json() for span in spans)
        assert_reached(b"".join(running.filler.received), "number", "order", "name")
    assert_clean(spans=shown)
    assert '"error.type": "ValueError"' in shown
    allowed = {"interceptor.route", "interceptor.message_type", "interceptor.size_bytes", "error.type"}
    assert {name for span in spans for name in span.attributes or {}} <= allowed


def roots(running: Traced) -> int:
    return sum(span.name == "message" for span in running.kept.get_finished_spans())


async def test_a_message_that_is_not_sampled_goes_the_plain_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    plain = Express.passage

    def passage(express: Express, *arguments: Any) -> Any:
        made.append(express)
        return plain(express, *arguments)

    monkeypatch.setattr(Express, "passage", passage)
    async with traced(tmp_path, sample_ratio=0.0) as running, placer_of(running.node) as placer:
        for _ in range(3):
            assert b"MSA|AA" in await placer.exchange(FILM)
        assert running.kept.get_finished_spans() == ()
    assert len(made) == 3
    assert len(set(map(id, made))) == 1, "no parts of their own"


def test_where_it_is_off_the_library_is_not_even_imported() -> None:
    code = "import interceptor.node, interceptor.node_process, sys; print([one for one in sys.modules if 'opentelemetry' in one])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
    with exporting(None, sample_ratio=1.0, node="n", version="0") as tracer:
        assert tracer is None
