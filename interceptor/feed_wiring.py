"""One feed's parts plugged together, and the registry that feeds, imports and lookups share: see `feed.py`."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from interceptor.config.schema import Config, FeedTable
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.evidence.feed_patient import FeedTables
from interceptor.evidence.registry import Registry
from interceptor.evidence.registry_sql import SqlRegistry
from interceptor.evidence.statement import Authorities, Statement
from interceptor.feed import FeedParts, OrderTap, Receiver
from interceptor.journal.patient_merge import PatientMerge
from interceptor.journal.patient_number import PatientNumber
from interceptor.journal.port import JournalBroken
from interceptor.journal.recorder import QUARANTINE_SIZE_MAX
from interceptor.journal.sql_journal import SqlJournal
from interceptor.message.view import MessageView
from interceptor.telemetry.events import EventLog
from interceptor.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedWiring:
    """What feeds are built from."""

    config: Config
    content: ClinicalContent
    receivers: Mapping[str, Receiver]
    registry: Registry
    journal: SqlJournal
    metrics: Metrics
    log: EventLog
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    give_up: Callable[[JournalBroken], None]
    now: Callable[[], datetime]
    merged: Callable[[Sequence[PatientMerge]], None]
    merges_settled: Callable[[], Awaitable[None]]


def registry_authorities(config: Config) -> Authorities:
    """How assigning authorities are spelled, for feeds, imports and lookups."""
    return Authorities(config.registry.authorities, config.registry.assigning_authority)


def build_registry(config: Config, journal: SqlJournal) -> SqlRegistry:
    """What is known of patients, in the journal's file; its tables are there whether or not it is asked."""
    limits = {
        name: timedelta(hours=feed.stale_after_hours) for name, feed in config.feed.items() if feed.stale_after_hours
    }
    return SqlRegistry(journal.side_tables, stale_after=limits)


def build_feeds(wiring: FeedWiring) -> tuple[FeedParts, ...]:
    """Every configured feed, plugged together."""
    return tuple(_build_feed(name, table, wiring) for name, table in wiring.config.feed.items())


def study_note(route: str, wiring: FeedWiring) -> Callable[[MessageView], None]:
    """What takes note of completed studies on an order route, where there is a registry to keep them."""
    if not wiring.config.has_registry:
        return lambda _view: None
    tables = FeedTables(
        source=route,
        authorities=registry_authorities(wiring.config),
        codes=wiring.content.tables.codes,
        site=wiring.content.tables.site,
    )
    tap = OrderTap(tables, wiring.registry, spawn=wiring.spawn, give_up=wiring.give_up, now=wiring.now, log=wiring.log)
    return tap.note


def _build_feed(name: str, table: FeedTable, wiring: FeedWiring) -> FeedParts:
    tables = wiring.content.tables
    control_ids = _control_ids(name, wiring.now)

    async def quarantine(reason: str, raw: bytes) -> None:
        kept = raw[:QUARANTINE_SIZE_MAX]
        await wiring.journal.record_quarantine(route=name, reason=reason, raw=kept, at=wiring.now())

    return FeedParts(
        name=name,
        receiver=wiring.receivers[table.destination] if table.destination else None,
        tables=FeedTables(
            source=name,
            authorities=registry_authorities(wiring.config).with_default(table.assigning_authority),
            codes=tables.codes,
            site=tables.site,
            is_snapshot=table.snapshot,
        ),
        registry=wiring.registry,
        quarantine=quarantine,
        spawn=wiring.spawn,
        give_up=wiring.give_up,
        now=wiring.now,
        new_control_id=lambda: next(control_ids),
        metrics=wiring.metrics.routes[name],
        feed_metrics=wiring.metrics.feeds[name],
        log=wiring.log,
        heard=lambda statements: wiring.merged(_merges(statements)),
        heard_out=wiring.merges_settled,
    )


def _merges(statements: Sequence[Statement]) -> tuple[PatientMerge, ...]:
    return tuple(
        PatientMerge(
            given_up=PatientNumber(link.given_up.value, link.given_up.authority),
            kept=PatientNumber(link.kept.value, link.kept.authority),
            source=statement.source,
            reference=statement.reference,
        )
        for statement in statements
        for link in statement.links
        if link.is_merge
    )


def _control_ids(name: str, now: Callable[[], datetime]) -> Iterator[str]:
    """Control ids of our own answers, never twice: F, the start in microseconds and a count; 20 characters at most."""
    start = int(now().timestamp() * 1_000_000) + sum(name.encode())
    return (f"F{start + number:X}" for number in count())
