"""The node: the one place that knows which parts are plugged together.

Plain calls that can be read from top to bottom: journal, custody, destinations and couriers, routes and
listeners, timer, desk, status pages. Only this file asks the clock, draws random numbers and starts tasks
that live as long as the node.

Failures: a configuration, address or journal that cannot be used stops the start with what is wrong. A damaged
journal is set aside, a new one begun, and the loss reported. A broken journal, or a fault of our own in a
part that must live, ends the node; the supervisor starts it again and the journal has everything.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from interceptor import __version__
from interceptor.action.breaker import HoldBreaker
from interceptor.action.lifecycle import LifecycleEvent, OrderState
from interceptor.action.plan import RouteMode
from interceptor.config.mappings import find_mappings, load_clinical_content
from interceptor.config.schema import Config, RouteTable
from interceptor.context.vocabulary import LookupStatus, UrgencyClass
from interceptor.control.server import serve_control
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.delivery.courier import Courier
from interceptor.delivery.destination import Destination
from interceptor.delivery.hold_timer import HoldTimer
from interceptor.evidence.fhir_source import RESULTS
from interceptor.evidence.lookup import REGISTRY_SOURCE, RegistrySource
from interceptor.evidence.registry import RegistryResult
from interceptor.evidence.registry_sqlite import SqliteRegistry
from interceptor.evidence.retrospective import Outcome
from interceptor.feed import FeedResult
from interceptor.feed_wiring import FeedWiring, build_feeds, build_registry, registry_authorities, study_note
from interceptor.journal.custody import Custody
from interceptor.journal.custody_log import custody_log
from interceptor.journal.gauge import Gauges
from interceptor.journal.patient_merge import PatientMerges
from interceptor.journal.port import JournalReason, JournalRefused
from interceptor.journal.recorder import Recorder
from interceptor.journal.route_mode import HoldGate, RouteModes
from interceptor.journal.sqlite import SqliteJournal
from interceptor.journal.turn_parts import DUPLICATE_WINDOW
from interceptor.journal_keeper import keep_journal, opened_journal, pruner
from interceptor.lane import build_courier, build_destinations, waker
from interceptor.lifetime import Tasks, running_tasks
from interceptor.listener import Listener, drain, listen, listen_feed, watch_open_frames
from interceptor.review.desk import Desk, DeskParts
from interceptor.review.registry_desk import RegistryDesk
from interceptor.review.route_desk import RouteDesk
from interceptor.route import Route, RouteWiring, build_route, end_of_wait, mode_changer, would_be_held
from interceptor.sources import Evidence, SourceWiring, open_evidence
from interceptor.telemetry.events import (
    CONFIG_LOADED,
    CONTROL_FAILED,
    CUSTODY_RECOVERED,
    NODE_DEGRADED,
    NODE_FAILED,
    POLICY_LOADED,
    PRIVILEGES_NOTED,
    ROUTE_UNPROTECTED,
    EventLog,
)
from interceptor.telemetry.health import DegradedReason, Health
from interceptor.telemetry.http import serve_status
from interceptor.telemetry.loop_watch import watch_loop
from interceptor.telemetry.metrics import MetricLabels, Metrics
from interceptor.telemetry.redaction import describe_error
from interceptor.wire.frame import FramingReason, Tolerance


def utc_now() -> datetime:
    """The wall clock, aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A running node, as its owner sees it.

    Attributes:
        ports: Port of each route's listener, by name.
        metrics_port: Port of /metrics, /livez and /readyz.
        control_socket: Where commands are taken.
        failed: Set when the node must stop: the journal is broken or a part that must live has died.
    """

    ports: Mapping[str, int]
    metrics_port: int
    control_socket: Path
    health: Health
    metrics: Metrics
    custody: Custody
    failed: asyncio.Event
    drain: Callable[[], Coroutine[Any, Any, int]]


@asynccontextmanager
async def running_node(
    config: Config, *, log: EventLog, content: ClinicalContent | None = None, reuse_port: bool = False
) -> AsyncIterator[Node]:
    """Run a node for the length of the block.

    Args:
        config: The whole configuration.
        log: Where events go.
        content: Clinical content that is loaded already; None loads what the configuration names.
        reuse_port: Let a second node listen on the same ports, for an upgrade without refusals.

    Raises:
        MappingsError: The clinical content has problems.
        JournalError: The journal cannot be opened.
        ControlError, OSError: The control socket or a listener cannot be bound.
    """
    content = content or load_content(config)
    health, metrics = Health(), _build_metrics(config, content)
    metrics.show_policy(
        policy_id=content.policy.identity.policy_id,
        version=content.policy.identity.version,
        profile=content.policy.identity.profile,
        sha256=content.policy.identity.sha256,
    )
    _tell_start(config, content, log)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(opened_journal(config.node.data_directory, metrics, health, log))
        tasks = await stack.enter_async_context(running_tasks())
        parts = _Parts(
            config=config, content=content, log=log, health=health, metrics=metrics, journal=journal, tasks=tasks
        )
        yield await _start(parts, stack, reuse_port=reuse_port)


def _tell_start(config: Config, content: ClinicalContent, log: EventLog) -> None:
    """Say by what this node decides, and what about it is not as it should be."""
    identity = content.policy.identity
    log.event(CONFIG_LOADED, routes=list(config.route), destinations=list(config.destination))
    log.event(
        POLICY_LOADED,
        policy=identity.policy_id,
        version=identity.version,
        profile=identity.profile,
        sha256=identity.sha256,
    )
    for name, route in config.route.items():
        if not route.listen.is_loopback and not route.allowed_addresses:
            log.event(ROUTE_UNPROTECTED, route=name)
    for name, feed in config.feed.items():
        if not feed.listen.is_loopback and not feed.allowed_addresses:
            log.event(ROUTE_UNPROTECTED, route=name)
    if os.geteuid() == 0:
        log.event(PRIVILEGES_NOTED, user="root")


def load_content(config: Config) -> ClinicalContent:
    """Load the clinical content that [node] names.

    Raises:
        MappingsError: Every problem at once.
    """
    node = config.node
    mappings = node.mappings or find_mappings()
    return load_clinical_content(mappings=mappings, policy=node.policy, profile=node.profile, site=node.site)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What every part below is built from."""

    config: Config
    content: ClinicalContent
    log: EventLog
    health: Health
    metrics: Metrics
    journal: SqliteJournal
    tasks: Tasks
    failed: asyncio.Event = field(default_factory=asyncio.Event)

    def give_up(self, error: BaseException) -> None:
        """A part that must live has ended: say so once, and stop."""
        if not self.failed.is_set():
            self.log.event(NODE_FAILED, **describe_error(error))
            self.failed.set()

    def run(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run a part that must live as long as the node."""

        async def watched() -> None:
            try:
                await coroutine
            except Exception as error:  # noqa: BLE001 - whatever ends a part that must live ends the node
                self.give_up(error)

        self.tasks.start(watched(), name=name)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something that ends by itself."""
        self.run(coroutine, name="message")


def _build_metrics(config: Config, content: ClinicalContent) -> Metrics:
    labels = MetricLabels(
        routes=(*config.route, *config.feed),
        destinations=tuple(config.destination),
        framing_reasons=(*FramingReason, "incomplete"),
        tolerances=tuple(Tolerance),
        quarantine_reasons=("not_hl7", "truncated"),
        reasons=tuple(content.policy.reasons),
        priorities=tuple(UrgencyClass),
        hold_ends=tuple(LifecycleEvent),
        sources=(*((REGISTRY_SOURCE,) if config.has_registry else ()), *config.fhir),
        lookup_statuses=tuple(LookupStatus),
        source_results=RESULTS,
        retrospective_results=tuple(Outcome),
        feeds=tuple(config.feed),
        feed_results=tuple(FeedResult),
        registry_results=tuple(RegistryResult),
    )
    return Metrics(labels, version=__version__, started_at=utc_now())


async def _start(parts: _Parts, stack: AsyncExitStack, *, reuse_port: bool) -> Node:
    """Put the parts together, from the journal outwards; the listeners open last."""
    config, health = parts.config, parts.health
    health.migrations_applied = health.config_loaded = health.journal_writable = True
    custody = await _load_custody(parts)
    metrics_port = stack.enter_context(
        serve_status(config.metrics.listen.host, config.metrics.listen.port, metrics=parts.metrics, health=health)
    )
    parts.metrics.watch_storage(config.node.data_directory)
    destinations = build_destinations(config.destination, metrics=parts.metrics.destinations, log=parts.log)
    couriers = {
        name: build_courier(custody, destination, config.destination[name], now=utc_now, log=parts.log)
        for name, destination in destinations.items()
    }
    custody.listen(queued=lambda name: couriers[name].wake())
    await _pause_if_restored(parts, couriers.values())
    modes = await _load_modes(parts)
    recorder = Recorder(parts.journal, now=utc_now, count_dropped=parts.metrics.records_dropped.inc)
    registry = build_registry(config, parts.journal)
    evidence = await stack.enter_async_context(_open_evidence(parts, registry))
    merges = PatientMerges(custody, spell=registry_authorities(config).name, now=utc_now, log=parts.log)
    feeds = _feed_wiring(parts, registry, destinations, merges)
    routes = _build_routes(parts, custody, destinations, modes, recorder, evidence=evidence, merges=merges, feeds=feeds)
    gates = {name: route.gate for name, route in routes.items()}
    desk = _build_desk(parts, custody, routes, wake=waker(couriers.values()))
    route_desk = RouteDesk(modes, gates, status=_status(parts, custody, destinations), now=utc_now, log=parts.log)
    registry_desk = RegistryDesk(registry, now=utc_now)
    handlers = {
        **desk.handlers(),
        **route_desk.handlers(),
        **registry_desk.handlers(),
        **evidence.handlers(),
        "journal_prune": pruner(parts.journal),
    }
    await stack.enter_async_context(serve_control(config.control_socket, handlers, on_failure=_tell_failure(parts)))
    for name, destination in destinations.items():
        parts.run(destination.run(), name=f"destination-{name}")
        parts.run(couriers[name].run(), name=f"courier-{name}")
    await _run_watches(parts, custody, routes, couriers)
    parts.run(recorder.run(), name="recorder")
    parts.run(merges.run(), name="patient-merges")
    parts.run(evidence.retrospective.run(), name="retrospective")
    parts.run(keep_journal(parts.journal), name="journal-keeper")
    listeners = await _open_listeners(parts, stack, routes, reuse_port=reuse_port)
    for feed in build_feeds(feeds):
        listeners[feed.name] = await stack.enter_async_context(listen_feed(config, feed, reuse_port=reuse_port))
    health.bound = True
    parts.run(watch_open_frames(listeners.values(), parts.metrics.routes), name="open-frames")
    return Node(
        ports={name: listener.server.port for name, listener in listeners.items()},
        metrics_port=metrics_port,
        control_socket=config.control_socket,
        health=health,
        metrics=parts.metrics,
        custody=custody,
        failed=parts.failed,
        drain=lambda: _drain(parts, listeners.values(), couriers.values()),
    )


async def _load_custody(parts: _Parts) -> Custody:
    """Everything that is ours, as the journal has it."""
    custody = Custody(parts.journal)
    custody.listen(moved=custody_log(metrics=parts.metrics, now=utc_now, log=parts.log))
    recovered = await parts.journal.recover_outbox(at=utc_now())
    await custody.load(digests_since=utc_now() - DUPLICATE_WINDOW)
    unknown = sorted({order.route for order in custody.index.orders()} - set(parts.config.route))
    if unknown:
        detail = f"orders of route {', '.join(unknown)} are in custody: keep it configured until they have left"
        raise JournalRefused(JournalReason.SETTINGS, detail)
    states = Counter(order.state for order in custody.index.orders())
    parts.log.event(
        CUSTODY_RECOVERED,
        held=states[OrderState.HELD],
        parked=states[OrderState.PARKED],
        queued=states[OrderState.QUEUED],
        possible_duplicates=recovered,
    )
    return custody


async def _pause_if_restored(parts: _Parts, couriers: Iterable[Courier]) -> None:
    """An older copy of the journal was put back: what it calls undelivered may have been delivered long ago."""
    if not await parts.journal.is_restored():
        return
    parts.health.degrade(DegradedReason.JOURNAL_RESTORED)
    parts.log.event(NODE_DEGRADED, reason=DegradedReason.JOURNAL_RESTORED.value)
    for courier in couriers:
        courier.is_paused = True


async def _load_modes(parts: _Parts) -> RouteModes:
    modes = RouteModes(
        parts.journal,
        {name: RouteMode(route.mode) for name, route in parts.config.route.items()},
        shown=lambda name, mode: parts.metrics.routes[name].show_mode(mode.value),
    )
    await modes.load()
    return modes


def _build_routes(
    parts: _Parts,
    custody: Custody,
    destinations: Mapping[str, Destination],
    modes: RouteModes,
    recorder: Recorder,
    *,
    evidence: Evidence,
    merges: PatientMerges,
    feeds: FeedWiring,
) -> dict[str, Route]:
    change_mode = mode_changer(modes, spawn=parts.spawn, now=utc_now, log=parts.log)

    def build(name: str, table: RouteTable) -> Route:
        gate = HoldGate(
            breaker=HoldBreaker(holds_max=table.holds_max_per_10_min),
            heartbeat_seconds_max=parts.config.hold.review_heartbeat_seconds,
            monotonic=time.monotonic,
            is_enforcing=lambda: modes.mode(name) is RouteMode.ENFORCE,
        )
        wiring = RouteWiring(
            name=name,
            table=table,
            config=parts.config,
            content=parts.content,
            custody=custody,
            destination=destinations[table.destination],
            modes=modes,
            gate=gate,
            merges=merges,
            recorder=recorder,
            metrics=parts.metrics,
            log=parts.log,
            spawn=parts.spawn,
            give_up=parts.give_up,
            change_mode=change_mode,
            now=utc_now,
            ask=evidence.ask,
            undecided=evidence.retrospective.note,
            note_study=study_note(name, feeds),
        )
        return build_route(wiring)

    return {name: build(name, table) for name, table in parts.config.route.items()}


def _build_desk(parts: _Parts, custody: Custody, routes: Mapping[str, Route], *, wake: Callable[[], None]) -> Desk:
    return Desk(
        DeskParts(
            custody=custody,
            release_parts=lambda name: routes[name].turn.release,
            now=utc_now,
            wake=wake,
            log=parts.log,
        )
    )


def _open_evidence(parts: _Parts, registry: SqliteRegistry) -> AbstractAsyncContextManager[Evidence]:
    """The registry and FHIR servers, as far as they are configured, and the check of what went on without them."""
    has_registry = parts.config.has_registry
    source = RegistrySource(
        registry=registry,
        authorities=registry_authorities(parts.config),
        now=utc_now,
        observe=parts.metrics.registry_lookups.count,
    )
    wiring = SourceWiring(
        config=parts.config,
        codes=parts.content.tables.codes,
        metrics=parts.metrics,
        health=parts.health,
        log=parts.log,
        give_up=parts.give_up,
        now=utc_now,
        others=(source,) if has_registry else (),
        registry=registry if has_registry else None,
    )
    return open_evidence(wiring, tables=parts.journal.side_tables, decide=partial(would_be_held, parts.content))


async def _run_watches(
    parts: _Parts, custody: Custody, routes: Mapping[str, Route], couriers: Mapping[str, Courier]
) -> None:
    """The hold timer, the loop watch and the gauges; what waits is shown once before the listeners open."""
    timer = HoldTimer(
        custody,
        build_change=end_of_wait(routes),
        now=utc_now,
        monotonic=time.monotonic,
        log=parts.log,
        hand_over=lambda message: couriers[message.destination].hand_over(message),
    )
    parts.run(timer.run(), name="hold-timer")
    parts.run(watch_loop(health=parts.health, lag=parts.metrics.event_loop_lag, log=parts.log), name="loop-watch")
    gates = {name: route.gate for name, route in routes.items()}
    gauges = Gauges(custody, gates, metrics=parts.metrics, health=parts.health, now=utc_now, log=parts.log)
    await gauges.look()
    parts.run(gauges.run(), name="gauges")


async def _open_listeners(
    parts: _Parts, stack: AsyncExitStack, routes: Mapping[str, Route], *, reuse_port: bool
) -> dict[str, Listener]:
    opened: dict[str, Listener] = {}
    for name, route in routes.items():
        metrics = parts.metrics.routes[name]
        listener = listen(name, parts.config, route, metrics=metrics, log=parts.log, reuse_port=reuse_port)
        opened[name] = await stack.enter_async_context(listener)
    return opened


def _feed_wiring(
    parts: _Parts, registry: SqliteRegistry, destinations: Mapping[str, Destination], merges: PatientMerges
) -> FeedWiring:
    return FeedWiring(
        config=parts.config,
        content=parts.content,
        receivers=destinations,
        registry=registry,
        journal=parts.journal,
        metrics=parts.metrics,
        log=parts.log,
        spawn=parts.spawn,
        give_up=parts.give_up,
        now=utc_now,
        merged=merges.note,
    )


def _tell_failure(parts: _Parts) -> Callable[[str, Exception], None]:
    def tell(command: str, error: Exception) -> None:
        parts.log.event(CONTROL_FAILED, command=command, **describe_error(error))

    return tell


def _status(
    parts: _Parts, custody: Custody, destinations: Mapping[str, Destination]
) -> Callable[[], Mapping[str, object]]:
    def status() -> Mapping[str, object]:
        states = Counter(order.state.value for order in custody.index.orders())
        return {
            "node": parts.config.node.name,
            "version": __version__,
            "pid": os.getpid(),
            "ready": parts.health.readiness().ok,
            "degraded": sorted(parts.health.degraded),
            "orders": dict(states),
            "destinations": {
                name: {"up": one.is_up, "waiting": one.waiting_count} for name, one in destinations.items()
            },
        }

    return status


async def _drain(parts: _Parts, listeners: Collection[Listener], couriers: Iterable[Courier]) -> int:
    """Finish what placers wait for, then what is on its way to a filler; within `drain_seconds` in all."""
    parts.health.draining = True
    seconds = parts.config.node.drain_seconds
    began = time.monotonic()
    left = await drain(listeners, seconds_max=seconds, log=parts.log)
    with suppress(TimeoutError):
        async with asyncio.timeout(began + seconds - time.monotonic()):
            for courier in couriers:
                await courier.finish()
    return left
