"""The demo: a placer, a node that enforces, and a filler, on free local ports, in a folder of its own.

    placer (hl7.mllp) --> node --> filler (hl7.mllp)        what both see goes into the ledger
    ADT, PPR -----------> node --> FHIR server              who has cancer, where an order does not say it

Everything is real but the peers and the patients: the node reads the configuration file that stands in
the folder, and the commands that the demo prints work on it from another terminal. The demo releases one
held order itself, as a person would with `interceptor held release`.

Failures: a filler that is away or late is part of some scenarios; the placer sends again what was not
answered, as real ones do. Leaving ends the node in order.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, Protocol

from interceptor.config.load import load_config
from interceptor.control.client import request_async
from interceptor.control.protocol import ControlError
from interceptor.node import running_node
from interceptor.simulate.feed import admission, problem
from interceptor.simulate.fhir_record import IDENTIFIER_SYSTEM, record_of
from interceptor.simulate.fhir_server import serving
from interceptor.simulate.filler import DelayChoice, Filler, answer_at_once, filling
from interceptor.simulate.ledger import Ledger, Row, Verdict
from interceptor.simulate.messages import PLACER_NAMESPACE
from interceptor.simulate.placer import Placer, placing
from interceptor.simulate.population import Keeper, Patient
from interceptor.simulate.review import make_reviewer, reviewing
from interceptor.simulate.story import Sent, Story
from interceptor.telemetry.events import EventLog

SENDS_MAX = 3
"""How often the placer sends a message that is not answered."""
RESEND_PAUSE_SECONDS = 1.0
RELEASE_AFTER_SECONDS = 5.0
"""Age of the first held order when the demo releases it: long enough to be seen waiting."""
FILLER_AWAY_AFTER_SECONDS = 6.0
FILLER_AWAY_SECONDS = 8.0
BURST_EVERY = 20
BURST_SIZE = 100
LATE_EVERY = 5
ACTOR = "demo"
SOURCES = ("message", "registry", "fhir")
"""Where a cancer is known from, what the order says itself first: the others matter where it says nothing."""

_CONFIG = """\
# Written by `interceptor demo`. All patients in it are made up.
[node]
name = "demo"
data_directory = "data"

[route.demo]
listen = "127.0.0.1:{route_port}"
destination = "filler"
mode = "enforce"
# A demo holds far more in ten minutes than a hospital should.
holds_max_per_10_min = 10000

[destination.filler]
address = "127.0.0.1:{filler_port}"
ack_timeout_seconds = {ack_timeout_seconds}
reconnect_seconds_max = 1

[feed.diagnoses]
listen = "127.0.0.1:{feed_port}"

[fhir.records]
base_url = "{fhir_url}"
systems = {{ "{authority}" = "{system}" }}

[hold]
set_window_seconds = 6

[metrics]
listen = "127.0.0.1:{metrics_port}"

[review]
listen = "127.0.0.1:{review_port}"
banner = "Demo data. Nobody in it exists."
"""


class Scenario(StrEnum):
    """What goes wrong while the demo runs."""

    NORMAL = "normal"
    FILLER_DOWN = "filler-down"
    BURST = "burst"
    LATE_ACK = "late-ack"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What was asked for.

    Attributes:
        folder: Empty; the configuration file, the journal and the control socket go there.
        rate: Messages per second, outside bursts.
        duration_seconds: None runs until it is stopped.
    """

    folder: Path
    seed: int = 1
    rate: float = 2.0
    duration_seconds: float | None = None
    scenario: Scenario = Scenario.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlace:
    """Where everything is, for the person who watches."""

    config_file: Path
    control_socket: Path
    route_port: int
    filler_port: int
    metrics_port: int
    feed_port: int
    review_port: int
    fhir_url: str
    review_link: str = ""


class DemoObserver(Protocol):
    """Who watches. Called in the event loop; must return at once."""

    def started(self, place: DemoPlace) -> None:
        """Everything runs."""

    def changed(self, row: Row) -> None:
        """A message has a verdict, or another one than before."""

    def said(self, text: str) -> None:
        """Something else happened."""


async def run_demo(
    options: DemoOptions,
    observer: DemoObserver,
    ledger: Ledger,
    *,
    log: EventLog,
    now: Callable[[], datetime],
    stop: asyncio.Event,
) -> None:
    """Run until *stop* is set or the duration is over; leaving stops everything in order.

    Cancelling it does the same, without waiting for the answer that the placer waits for.
    """

    def note_received(raw: bytes) -> None:
        row = ledger.record_received(raw)
        if row is not None:
            observer.changed(row)

    started_at = now()
    story = Story(Random(options.seed), started_at=started_at)  # noqa: S311 - plausible traffic, no secret
    records = [
        one
        for patient in story.population
        if patient.keeper is Keeper.FHIR
        for one in record_of(patient, today=started_at.date())
    ]
    async with (
        filling(note_received, choose_delay=_choose_delay(options.scenario)) as filler,
        serving(records) as fhir,
    ):
        place = write_config(options, filler.port, fhir_url=fhir.base_url)
        async with running_node(load_config(place.config_file), log=log), reviewing(place.config_file, log=log):
            address = f"http://127.0.0.1:{place.review_port}"
            link = await make_reviewer(place.control_socket, address=address)
            observer.started(replace(place, review_link=link))
            told_count = await tell_diagnoses(story.population, place.feed_port, at=started_at)
            observer.said(f"the registry was told of {told_count} patients by ADT and PPR")
            patience_seconds = _ack_timeout_seconds(options.scenario) + 3.0
            async with placing("127.0.0.1", place.route_port, ack_timeout_seconds=patience_seconds) as placer:
                traffic = Traffic(placer, ledger, observer, place.control_socket)
                acts = [traffic.run(story, options, now), release_one(traffic.held, place.control_socket, observer)]
                if options.scenario is Scenario.FILLER_DOWN:
                    acts.append(leave_and_return(filler, observer))
                await _play(acts, stop=stop, duration_seconds=options.duration_seconds)


async def _play(
    acts: Sequence[Coroutine[Any, Any, None]], *, stop: asyncio.Event, duration_seconds: float | None
) -> None:
    """Let the acts go on until *stop* or the end of the time; a failing act ends the play with its error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(act) for act in acts]
        try:
            async with asyncio.timeout(duration_seconds):
                await stop.wait()
        except TimeoutError:
            pass  # The duration is over: the usual end.
        finally:
            for task in tasks:
                task.cancel()


async def tell_diagnoses(population: Iterable[Patient], feed_port: int, *, at: datetime) -> int:
    """Send the feed what it knows, admissions and problems in turn; how many patients that was."""
    told_count = 0
    async with placing("127.0.0.1", feed_port) as sender:
        for patient in (one for one in population if one.keeper is Keeper.FEED):
            told_count += 1
            control_id = f"FEED{told_count:06d}"
            text = (
                problem(patient, control_id=control_id, at=at)
                if told_count % 2
                else admission(patient, control_id=control_id, at=at, visit=f"V{patient.number}")
            )
            await sender.send(text.encode("ascii"))
    return told_count


def write_config(options: DemoOptions, filler_port: int, *, fhir_url: str) -> DemoPlace:
    """Write the demo's configuration file into its folder, with ports that are free now."""
    route_port, metrics_port, feed_port, review_port = _find_free_ports(4)
    text = _CONFIG.format(
        route_port=route_port,
        metrics_port=metrics_port,
        filler_port=filler_port,
        feed_port=feed_port,
        review_port=review_port,
        fhir_url=fhir_url,
        authority=PLACER_NAMESPACE,
        system=IDENTIFIER_SYSTEM,
        ack_timeout_seconds=_ack_timeout_seconds(options.scenario),
    )
    config_file = options.folder / "demo.toml"
    config_file.write_text(text, encoding="utf-8")
    return DemoPlace(
        config_file=config_file,
        control_socket=load_config(config_file).control_socket,
        route_port=route_port,
        filler_port=filler_port,
        metrics_port=metrics_port,
        feed_port=feed_port,
        review_port=review_port,
        fhir_url=fhir_url,
    )


class Traffic:
    """What the placer does: messages at a steady rate, sent again when they stay unanswered."""

    def __init__(self, placer: Placer, ledger: Ledger, observer: DemoObserver, control_socket: Path) -> None:
        self._placer = placer
        self._ledger = ledger
        self._observer = observer
        self._control_socket = control_socket
        self.held = asyncio.Event()
        """Set when an order was held."""

    async def run(self, story: Story, options: DemoOptions, now: Callable[[], datetime]) -> None:
        """Send for ever. Cancelling it leaves the last message without a verdict."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            count = len(self._ledger.rows)
            if options.scenario is Scenario.BURST and count and count % (BURST_EVERY + BURST_SIZE) == BURST_EVERY:
                self._observer.said(f"a burst of {BURST_SIZE} messages")
            await self._send(story.next_message(now()))
            if not _is_in_burst(options.scenario, len(self._ledger.rows)):
                # Behind time, after a filler that was away, the next one leaves at once and the backlog is forgotten.
                due = max(due + 1 / options.rate, clock())
                await asyncio.sleep(due - clock())

    async def _send(self, sent: Sent) -> None:
        row = self._ledger.record_sent(sent)
        answer: bytes | None = None
        for attempt in range(1, SENDS_MAX + 1):
            answer = await self._placer.send(sent.raw)
            if answer is not None:
                break
            if attempt < SENDS_MAX:
                await asyncio.sleep(RESEND_PAUSE_SECONDS)
        self._ledger.record_answer(row, answer)
        if row.verdict is Verdict.HELD:
            row.reasons, row.cancer_source = await self._find_reasons(sent)
            self.held.set()
        self._observer.changed(row)

    async def _find_reasons(self, sent: Sent) -> tuple[tuple[str, ...], str]:
        """Why the node holds an order and where it knew the cancer from, asked as the worklist asks."""
        orders = await _list_held(self._control_socket)
        found = next((order for order in orders if order["placer_order_number"] in sent.order_numbers), None)
        if found is None:
            return (), ""
        shown: dict[str, Any] = await request_async(self._control_socket, "held_show", entry=found["entry"])
        evidence = shown["decision"]["evidence"]
        sources = {str(one["source"]) for one in evidence if one["fact"] == "oncology"}
        return tuple(found["reasons"]), next((name for name in SOURCES if name in sources), "")


async def release_one(held: asyncio.Event, control_socket: Path, observer: DemoObserver) -> None:
    """Wait for a held order, let it be seen, release it as a person would. The next one, when that one has gone."""
    orders: list[dict[str, Any]] = []
    while not orders:
        await held.wait()
        held.clear()
        await asyncio.sleep(RELEASE_AFTER_SECONDS)
        orders = await _list_held(control_socket)
    entry = orders[0]["entry"]
    try:
        await request_async(control_socket, "held_release", entry=entry, actor=ACTOR, reason="seen in the demo")
    except ControlError as error:
        observer.said(f"order {entry} could not be released: {error.message}")
        return
    observer.said(f"order {entry} was released, as `interceptor held release {entry}` would")


async def _list_held(control_socket: Path) -> list[dict[str, Any]]:
    answer: dict[str, Any] = await request_async(control_socket, "held_list", states=["parked", "held"])
    return list(answer["orders"])


async def leave_and_return(filler: Filler, observer: DemoObserver) -> None:
    """The filler goes away for a while, again and again."""
    while True:
        await asyncio.sleep(FILLER_AWAY_AFTER_SECONDS)
        filler.go_away()
        observer.said("the filler has gone away: the placer sees what it would see without us")
        await asyncio.sleep(FILLER_AWAY_SECONDS)
        await filler.come()
        observer.said("the filler is back")


def _choose_delay(scenario: Scenario) -> DelayChoice:
    if scenario is not Scenario.LATE_ACK:
        return answer_at_once
    late_seconds = _ack_timeout_seconds(scenario) + 1.0
    return lambda number: late_seconds if number % LATE_EVERY == 0 else 0.0


def _ack_timeout_seconds(scenario: Scenario) -> float:
    return 1.0 if scenario is Scenario.LATE_ACK else 5.0


def _is_in_burst(scenario: Scenario, count: int) -> bool:
    return scenario is Scenario.BURST and count % (BURST_EVERY + BURST_SIZE) >= BURST_EVERY


def _find_free_ports(count: int) -> list[int]:
    """Ports that are free now. Another program may take one before the node does; then the start fails and says so."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
