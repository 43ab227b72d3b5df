"""What every part of a node is built from: clock, tasks, journal, log, metrics; and what is said of it at the start.

Only the node and what it is put together from import this; the stages get single values.
"""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from interceptor import __version__
from interceptor.access_audit import AccessAudit
from interceptor.action.lifecycle import LifecycleEvent
from interceptor.config.schema import Config
from interceptor.context.vocabulary import LookupStatus, UrgencyClass
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.evidence.fhir_source import RESULTS
from interceptor.evidence.lookup import REGISTRY_SOURCE
from interceptor.evidence.registry import RegistryResult
from interceptor.evidence.retrospective import Outcome
from interceptor.feed import FeedResult
from interceptor.journal.sql_journal import SqlJournal
from interceptor.lifetime import Tasks
from interceptor.line_security import MISMATCHES, LineSecurity, build_line_security
from interceptor.review.rights import Action
from interceptor.review.tally import LOGIN_RESULTS, PUBLIC
from interceptor.review.webhook_sender import DeliveryResult
from interceptor.synthetic import SyntheticResult
from interceptor.telemetry.events import (
    CONFIG_LOADED,
    NODE_FAILED,
    POLICY_LOADED,
    PRIVILEGES_NOTED,
    ROUTE_UNPROTECTED,
    EventLog,
)
from interceptor.telemetry.health import Health
from interceptor.telemetry.metrics import MetricLabels, Metrics
from interceptor.telemetry.redaction import describe_error
from interceptor.wire.frame import FramingReason, Tolerance

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


def utc_now() -> datetime:
    """The wall clock, aware UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class InForce:
    """What decides from now on: replaced whole by a reload (`routing.py`)."""

    config: Config
    content: ClinicalContent


@dataclass(frozen=True, kw_only=True)
class NodeParts:
    """What every part below is built from.

    Attributes:
        config, content: As they were at the start: listeners, destinations and files keep to them.
        current: As they are now.
    """

    config: Config
    content: ClinicalContent
    current: InForce
    log: EventLog
    health: Health
    metrics: Metrics
    journal: SqlJournal
    tasks: Tasks
    tracer: "Tracer | None" = None
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

        # One that is cancelled before its first step, by a start that fails, would else be left unawaited.
        self.tasks.start(watched(), name=name).add_done_callback(lambda _: coroutine.close())

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something that ends by itself."""
        self.run(coroutine, name="message")


def build_metrics(config: Config, content: ClinicalContent) -> Metrics:
    """Metrics with every label set that the configuration and the policy name."""
    labels = MetricLabels(
        review_actions=(*Action, PUBLIC),
        login_results=LOGIN_RESULTS,
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
        synthetic_results=tuple(SyntheticResult),
        sends_synthetic=config.synthetic.interval_seconds > 0,
        notification_results=tuple(DeliveryResult),
        mismatches=MISMATCHES,
    )
    return Metrics(labels, version=__version__, started_at=utc_now())


def tell_start(config: Config, content: ClinicalContent, log: EventLog) -> None:
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
        if route.tls is None and not route.listen.is_loopback and not route.allowed_addresses:
            log.event(ROUTE_UNPROTECTED, route=name)
    for name, feed in config.feed.items():
        if feed.tls is None and not feed.listen.is_loopback and not feed.allowed_addresses:
            log.event(ROUTE_UNPROTECTED, route=name)
    if os.geteuid() == 0:
        log.event(PRIVILEGES_NOTED, user="root")


def start_line_security(parts: NodeParts) -> LineSecurity:
    """Certificates and peer maps of every line; they are watched, and refusals written, as long as the node lives.

    Raises:
        TlsFileProblem: A certificate, key or list cannot be used.
    """
    audit = AccessAudit(parts.journal, now=utc_now)
    security = build_line_security(parts.config, audit=audit, metrics=parts.metrics.line, log=parts.log)
    security.tell_start()
    parts.run(audit.run(), name="access-audit")
    parts.run(security.watch(now=utc_now), name="certificates")
    return security
