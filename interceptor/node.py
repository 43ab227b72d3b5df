"""The node: the one place that knows which parts are plugged together.

Plain calls that can be read from top to bottom: journal, custody, destinations and couriers, routes and
listeners, timer, desk, status pages. Only this file asks the clock, draws random numbers and starts tasks
that live as long as the node.

Failures: a configuration, address or journal that cannot be used stops the start with what is wrong; a database that is
away does not (`recovery.py`). A damaged journal is set aside, a new one begun, and the loss reported. A broken journal,
or a fault of our own in a part that must live, ends the node; the supervisor starts it again and the journal has everything.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interceptor import __version__
from interceptor.audit_wiring import exported_audit
from interceptor.bypass import keep_alive_noted
from interceptor.cluster import Cluster, build_cluster
from interceptor.commands import build_commands, failure_teller
from interceptor.config.mappings import find_mappings, load_clinical_content
from interceptor.config.schema import Config
from interceptor.control.server import serve_control
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.delivery.courier import Courier
from interceptor.delivery.destination import Destination
from interceptor.delivery.hold_timer import HoldTimer
from interceptor.evidence.lookup import RegistrySource
from interceptor.evidence.registry_sql import SqlRegistry
from interceptor.feed_wiring import build_registry, registry_authorities
from interceptor.handover import STATUS_LISTENER, Sockets
from interceptor.inbound_bound import bound_inbound
from interceptor.journal.custody import Custody
from interceptor.journal.gauge import Gauges
from interceptor.journal.patient_merge import PatientMerges
from interceptor.journal.recorder import Recorder
from interceptor.journal.turn_parts import DATABASE_SECONDS_MAX
from interceptor.journal_keeper import keep_journal, opened_journal
from interceptor.lane import build_couriers, build_destinations, waker
from interceptor.lifetime import running_tasks
from interceptor.line_security import LineGuard, LineSecurity
from interceptor.line_status import line_commands
from interceptor.listener import Listener, drain, listen, listen_feed, watch_open_frames
from interceptor.node_parts import InForce, NodeParts, build_metrics, start_line_security, tell_start, utc_now
from interceptor.recovery import Recovery, build_custody, build_modes
from interceptor.reload import Reloader
from interceptor.review.escalation import Escalation, EscalationParts
from interceptor.review.registry_desk import RegistryDesk
from interceptor.route import Route, end_of_wait
from interceptor.routing import Routing, RoutingParts, would_be_held_now
from interceptor.sources import Evidence, SourceWiring, open_evidence
from interceptor.synthetic import run_synthetic
from interceptor.telemetry.events import (
    EventLog,
)
from interceptor.telemetry.health import Health
from interceptor.telemetry.http import bind_status, serve_status
from interceptor.telemetry.loop_watch import watch_loop
from interceptor.telemetry.metrics import Metrics
from interceptor.telemetry.trace_export import exporting
from interceptor.webhook_wiring import running_webhooks, webhook_commands

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A running node, as its owner sees it.

    Attributes:
        ports: Port of each route's listener, by name.
        metrics_port: Port of /metrics, /livez and /readyz.
        control_socket: Where commands are taken.
        security: Certificates and peer maps of every line; `reload_certificates` reads the files again.
        failed: Set when the node must stop: the journal is broken or a part that must live has died.
        reload: Read the configuration file again (`reload.Reloader.reload`); None without one.
        sockets: The listening sockets, for a node that takes over.
    """

    ports: Mapping[str, int]
    metrics_port: int
    control_socket: Path
    health: Health
    metrics: Metrics
    custody: Custody
    failed: asyncio.Event
    sockets: Callable[[], Sockets]
    security: LineSecurity
    reload: Callable[..., Coroutine[Any, Any, Mapping[str, object]]] | None
    drain: Callable[[], Coroutine[Any, Any, int]]


@asynccontextmanager
async def running_node(
    config: Config,
    *,
    log: EventLog,
    content: ClinicalContent | None = None,
    source: Path | None = None,
    adopted: Sockets | None = None,
    tracer: "Tracer | None" = None,
) -> AsyncIterator[Node]:
    """Run a node for the length of the block.

    Args:
        config: The whole configuration.
        log: Where events go.
        content: Clinical content that is loaded already; None loads what the configuration names.
        source: The configuration file, to be read again by a reload; None takes no reload.
        adopted: Listening sockets that a running node handed over, by "route.NAME", "feed.NAME" or "metrics".
        tracer: Where spans go, instead of where the configuration says.

    Raises:
        TracingError: Spans are configured, and the packages for them are missing.
        MappingsError: The clinical content has problems.
        JournalError: The journal cannot be opened.
        ControlError, OSError: The control socket or a listener cannot be bound.
    """
    content = content or load_content(config)
    health, metrics = Health(), build_metrics(config, content)
    metrics.show_policy(
        policy_id=content.policy.identity.policy_id,
        version=content.policy.identity.version,
        profile=content.policy.identity.profile,
        sha256=content.policy.identity.sha256,
    )
    tell_start(config, content, log)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(opened_journal(config, metrics, health, log))
        tasks = await stack.enter_async_context(running_tasks())
        parts = NodeParts(
            config=config,
            content=content,
            current=InForce(config, content),
            log=log,
            health=health,
            metrics=metrics,
            journal=journal,
            tasks=tasks,
            tracer=tracer or stack.enter_context(_exporting(config)),
        )
        yield await _start(parts, stack, source=source, adopted=adopted or {})


def _exporting(config: Config) -> "AbstractContextManager[Tracer | None]":
    table = config.tracing
    return exporting(table.endpoint, sample_ratio=table.sample_ratio, node=config.node.name, version=__version__)


def load_content(config: Config) -> ClinicalContent:
    """Load the clinical content that [node] names.

    Raises:
        MappingsError: Every problem at once.
    """
    node = config.node
    mappings = node.mappings or find_mappings()
    return load_clinical_content(mappings=mappings, policy=node.policy, profile=node.profile, site=node.site)


async def _start(parts: NodeParts, stack: AsyncExitStack, *, source: Path | None, adopted: Sockets) -> Node:
    """Put the parts together, from the journal outwards; the listeners open last."""
    config, health = parts.config, parts.health
    health.config_loaded = True
    custody = build_custody(parts)
    at = config.metrics.listen
    status = adopted.get(STATUS_LISTENER) or bind_status(at.host, at.port)
    metrics_port = stack.enter_context(serve_status(status, metrics=parts.metrics, health=health))
    parts.metrics.watch_storage(config.node.data_directory)
    security = start_line_security(parts)
    metrics = parts.metrics.destinations
    destinations = build_destinations(config.destination, tls=security.clients, metrics=metrics, log=parts.log)
    cluster = build_cluster(parts)
    couriers = build_couriers(
        custody, destinations, config.destination, now=utc_now, log=parts.log, may_send=cluster.may_send
    )
    custody.listen(queued=lambda name: couriers[name].wake())
    plugged = await _plug(parts, stack, custody, destinations, security=security)
    routing = Routing(plugged)
    routes = routing.routes
    await Recovery(
        parts=parts, custody=custody, modes=plugged.modes, couriers=couriers, routes=routes, cluster=cluster
    ).begin()
    reloader = _build_reloader(source, parts, routing, security) if source is not None else None
    wake = waker(couriers.values())
    handlers = {
        **build_commands(
            parts, custody, routes, plugged.modes, destinations=destinations, wake=wake, nodes=cluster.status
        ),
        **line_commands(parts, routes, plugged.modes, destinations, couriers, nodes=cluster.status),
        **RegistryDesk(plugged.registry, now=utc_now).handlers(),
        **plugged.evidence.handlers(),
        **webhook_commands(parts),
        **({"reload": reloader.command} if reloader is not None else {}),
    }
    await stack.enter_async_context(serve_control(config.control_socket, handlers, on_failure=failure_teller(parts)))
    for name, destination in destinations.items():
        parts.run(destination.run(), name=f"destination-{name}")
        parts.run(couriers[name].run(), name=f"courier-{name}")
    await _run_watches(parts, custody, routes, couriers)
    await _open_outlets(parts, stack, security)
    _run_records(parts, plugged)
    listeners = await _open_listeners(parts, stack, routing, guards=security.guards, adopted=adopted)
    health.bound = True
    return Node(
        ports={name: listener.server.port for name, listener in listeners.items()},
        metrics_port=metrics_port,
        control_socket=config.control_socket,
        health=health,
        metrics=parts.metrics,
        custody=custody,
        failed=parts.failed,
        sockets=lambda: {STATUS_LISTENER: status, **_listening(config, listeners)},
        security=security,
        reload=reloader.reload if reloader is not None else None,
        drain=lambda: _drain(parts, listeners.values(), couriers.values(), cluster),
    )


async def _plug(
    parts: NodeParts,
    stack: AsyncExitStack,
    custody: Custody,
    destinations: Mapping[str, Destination],
    *,
    security: LineSecurity,
) -> RoutingParts:
    """What routes and feeds are plugged to, besides custody and destinations."""
    registry = build_registry(parts.config, parts.journal)
    return RoutingParts(
        node=parts,
        custody=custody,
        destinations=destinations,
        modes=build_modes(parts),
        recorder=Recorder(parts.journal, now=utc_now, count_dropped=parts.metrics.records_dropped.inc),
        registry=registry,
        evidence=await stack.enter_async_context(_open_evidence(parts, registry, security)),
        merges=PatientMerges(custody, spell=registry_authorities(parts.config).name, now=utc_now, log=parts.log),
    )


def _open_evidence(
    parts: NodeParts, registry: SqlRegistry, security: LineSecurity
) -> AbstractAsyncContextManager[Evidence]:
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
        credentials=security.credentials,
        metrics=parts.metrics,
        health=parts.health,
        log=parts.log,
        give_up=parts.give_up,
        now=utc_now,
        others=(source,) if has_registry else (),
        registry=registry if has_registry else None,
    )
    return open_evidence(wiring, tables=parts.journal.side_tables, decide=partial(would_be_held_now, parts.current))


def _run_records(parts: NodeParts, plugged: RoutingParts) -> None:
    """What is written behind the traffic: decisions, merges, orders to decide again, and the journal's upkeep."""
    parts.run(plugged.recorder.run(), name="recorder")
    parts.run(plugged.merges.run(), name="patient-merges")
    parts.run(plugged.evidence.retrospective.run(), name="retrospective")
    parts.run(keep_journal(parts.journal), name="journal-keeper")
    parts.run(keep_alive_noted(parts.config.node.data_directory), name="alive")


async def _run_watches(
    parts: NodeParts, custody: Custody, routes: Mapping[str, Route], couriers: Mapping[str, Courier]
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
    escalation = EscalationParts(
        orders=lambda: custody.index.orders(), tables=parts.journal.side_tables, now=utc_now, log=parts.log
    )
    parts.run(Escalation(escalation).run(), name="escalation")
    parts.run(watch_loop(health=parts.health, lag=parts.metrics.event_loop_lag, log=parts.log), name="loop-watch")
    if interval_seconds := parts.config.synthetic.interval_seconds:
        synthetic = run_synthetic(
            routes, interval_seconds=interval_seconds, metrics=parts.metrics.synthetic, now=utc_now, log=parts.log
        )
        parts.run(synthetic, name="synthetic")
    gates = {name: route.gate for name, route in routes.items()}
    gauges = Gauges(
        custody,
        gates,
        metrics=parts.metrics,
        health=parts.health,
        now=utc_now,
        log=parts.log,
        answer_seconds_max=DATABASE_SECONDS_MAX if parts.config.database.hosts else None,
    )
    await gauges.look()
    parts.run(gauges.run(), name="gauges")


def _build_reloader(path: Path, parts: NodeParts, routing: Routing, security: LineSecurity) -> Reloader:
    return Reloader(path, parts, routing, load_content=load_content, reload_certificates=security.reload_certificates)


async def _open_outlets(parts: NodeParts, stack: AsyncExitStack, security: LineSecurity) -> None:
    """What tells other systems of orders and acts; nothing waits for it."""
    await stack.enter_async_context(running_webhooks(parts))
    await stack.enter_async_context(exported_audit(parts, security.credentials))


async def _open_listeners(
    parts: NodeParts,
    stack: AsyncExitStack,
    routing: Routing,
    *,
    guards: Mapping[str, LineGuard],
    adopted: Sockets,
) -> dict[str, Listener]:
    """Every route's and every feed's listener, in the order of the configuration."""
    opened: dict[str, Listener] = {}
    for name in routing.routes:
        listener = listen(
            name,
            parts.config,
            routing.routes,
            guard=guards[name],
            metrics=parts.metrics.routes[name],
            health=parts.health,
            log=parts.log,
            tracer=parts.tracer,
            adopted=adopted.get(f"route.{name}", ()),
        )
        opened[name] = await stack.enter_async_context(listener)
    for name in routing.feeds:
        taken = adopted.get(f"feed.{name}", ())
        listening = listen_feed(name, parts.config, routing.feeds, guard=guards[name], adopted=taken)
        opened[name] = await stack.enter_async_context(listening)
    parts.run(watch_open_frames(opened.values(), parts.metrics.routes), name="open-frames")
    parts.run(bound_inbound(parts, opened.values()).run(), name="inbound-bound")
    return opened


def _listening(config: Config, listeners: Mapping[str, Listener]) -> Sockets:
    kinds = {name: "route" if name in config.route else "feed" for name in listeners}
    return {f"{kinds[name]}.{name}": listener.server.sockets for name, listener in listeners.items()}


async def _drain(
    parts: NodeParts, listeners: Collection[Listener], couriers: Iterable[Courier], cluster: Cluster
) -> int:
    """Finish what placers wait for, then what is on its way to a filler; within `drain_seconds` in all."""
    parts.health.draining = True
    seconds = parts.config.node.drain_seconds
    began = time.monotonic()
    left = await drain(listeners, seconds_max=seconds, log=parts.log)
    with suppress(TimeoutError):
        async with asyncio.timeout(began + seconds - time.monotonic()):
            for courier in couriers:
                await courier.finish()
            await cluster.close()
    return left
