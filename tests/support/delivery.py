"""A destination, and a courier with a real journal, plugged to a filler's port as the node does it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interceptor.context.vocabulary import UrgencyClass
from interceptor.delivery.connector import connector
from interceptor.delivery.courier import Courier, CourierOptions
from interceptor.delivery.destination import Destination, DestinationOptions
from interceptor.journal.custody import Custody
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import open_sqlite_journal
from interceptor.telemetry.events import EventLog
from interceptor.telemetry.metrics import MetricLabels, Metrics
from interceptor.transport.exchange import Answer, Request
from interceptor.transport.options import ConnectionOptions
from interceptor.wire.frame import FrameOptions
from tests.support.mllp_peer import WAIT_SECONDS_MAX
from tests.support.node import Events

PROMPT: dict[str, Any] = {"reconnect_seconds_min": 0.01, "reconnect_seconds_max": 0.02}
"""Reconnect at once: a test has no patience."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_metrics() -> Metrics:
    """Metrics of a node with one route and one destination, "ris"."""
    labels = MetricLabels(routes=("main",), destinations=("ris",), priorities=tuple(UrgencyClass))
    return Metrics(labels, version="0", started_at=utc_now())


def metric(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of one series on the metrics page."""
    wanted = "".join(f'{key}="{value}",' for key, value in ({"destination": "ris"} | labels).items()).rstrip(",")
    for line in metrics.render().decode().splitlines():
        if line.startswith(f"{name}{{{wanted}}} "):
            return float(line.rsplit(" ", 1)[1])
    raise KeyError(name)


@dataclass(eq=False)
class Sent:
    """A request, and the answers that came for it."""

    request: Request
    answers: list[Answer] = field(default_factory=list)
    is_final: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def last(self) -> Answer:
        return self.answers[-1]

    async def final(self) -> Answer:
        """The final answer."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await self.is_final.wait()
        return next(answer for answer in reversed(self.answers) if answer.final)


@dataclass(eq=False)
class Way:
    """A running destination."""

    destination: Destination
    metrics: Metrics
    task: "asyncio.Task[None]"

    def send(
        self, content: bytes, control_id: bytes | None, *, answer_count: int = 1, waits_for_peer: bool = True
    ) -> Sent:
        """Submit a message."""
        answers: list[Answer] = []
        is_final = asyncio.Event()

        def take(answer: Answer) -> None:
            assert not (answer.final and is_final.is_set()), "a second final answer"
            answers.append(answer)
            if answer.final:
                is_final.set()

        request = Request(
            content=content,
            control_id=control_id,
            on_answer=take,
            answer_count=answer_count,
            waits_for_peer=waits_for_peer,
        )
        self.destination.submit(request)
        return Sent(request, answers, is_final)

    async def stop(self) -> None:
        """End the destination as the node does."""
        self.task.cancel()
        await asyncio.wait([self.task])


@asynccontextmanager
async def way_to(port: int, *, frame_size_max: int = 16 * 1024 * 1024, **options: Any) -> AsyncIterator[Way]:
    """A destination "ris" at *port*, running for the length of the block."""
    metrics = new_metrics()
    known = DestinationOptions(name="ris", **({"ack_timeout_seconds": WAIT_SECONDS_MAX} | PROMPT | options))
    destination = Destination(
        known,
        connect=connector(
            "127.0.0.1",
            port,
            options=ConnectionOptions(frame=FrameOptions(frame_size_max=frame_size_max)),
            connect_timeout_seconds=1.0,
            metrics=metrics.destinations["ris"],
        ),
        metrics=metrics.destinations["ris"],
        jitter=lambda: 0.5,
        log=Events().log,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(destination.run())
        try:
            yield Way(destination, metrics, task)
        finally:
            task.cancel()


class SeenEvents:
    """Log events that a test can look at; an unknown event or field fails the test."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.log = EventLog(self._write, strict=True)

    def _write(self, _level: str, name: str, fields: Any, /) -> None:
        self.seen.append((name, dict(fields)))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.seen]

    def of(self, name: str) -> list[dict[str, Any]]:
        return [fields for seen, fields in self.seen if seen == name]


@dataclass(eq=False)
class Lane:
    """A courier at work."""

    journal: SqlJournal
    custody: Custody
    courier: Courier
    way: Way
    events: SeenEvents


@asynccontextmanager
async def lane_to(
    port: int, folder: Path, *, courier: CourierOptions | None = None, is_paused: bool = False, **options: Any
) -> AsyncIterator[Lane]:
    """A courier of destination "ris" with the journal in *folder*: recovers, loads and runs as the node does."""
    events = SeenEvents()
    async with (
        open_sqlite_journal(folder / "journal" / "journal.db") as journal,
        way_to(port, **options) as way,
        asyncio.TaskGroup() as group,
    ):
        custody = Custody(journal)
        await journal.recover_outbox(at=utc_now())
        await custody.load(digests_since=datetime(2026, 1, 1, tzinfo=UTC))
        carrier = Courier(
            way.destination,
            custody,
            options=courier or CourierOptions(retry_seconds_min=0.001, retry_seconds_max=0.002, poll_seconds=0.01),
            now=utc_now,
            jitter=lambda: 0.5,
            log=events.log,
        )
        carrier.is_paused = is_paused
        custody.listen(queued=lambda _name: carrier.wake())
        task = group.create_task(carrier.run())
        try:
            yield Lane(journal, custody, carrier, way, events)
        finally:
            task.cancel()
