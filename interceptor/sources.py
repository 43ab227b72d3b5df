"""Evidence sources plugged together: from the configuration to one question that routes can ask.

With `route.py` and `node.py` one of the places that know which part meets which: secrets are read here, sources get
their metrics and events here, late answers find the retrospective check here.

Failures: a secret, key or certificate that cannot be used stops the start with the key that names it.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Any

from interceptor.config.schema import Config, FhirTable
from interceptor.config.secret import read_secret
from interceptor.context.code_table import CodeTables
from interceptor.context.patient import PatientEvidence
from interceptor.context.vocabulary import LookupStatus
from interceptor.control.protocol import ControlError
from interceptor.evidence.fhir_breaker import BreakerOptions
from interceptor.evidence.fhir_connect import (
    BackendLogin,
    FhirClock,
    FhirSettings,
    FhirSetupError,
    TlsFiles,
    open_source,
)
from interceptor.evidence.fhir_failure import FhirReason
from interceptor.evidence.fhir_http import AnswerLimits
from interceptor.evidence.fhir_search import SearchOptions
from interceptor.evidence.fhir_source import OF_THE_RECORD, FhirSourceOptions
from interceptor.evidence.fhir_statement import answer_statement
from interceptor.evidence.lookup import Lookup, LookupObserver, Source, systems_of
from interceptor.evidence.patient_question import PatientQuestion
from interceptor.evidence.registry import Registry
from interceptor.evidence.retrospective import Retrospective, RetrospectiveParts, Tables
from interceptor.evidence.retrospective_rows import MissedHold
from interceptor.evidence.statement import Authorities
from interceptor.journal.port import JournalUnavailable
from interceptor.lifetime import running_tasks
from interceptor.message.view import MessageView
from interceptor.telemetry.events import (
    MISSED_HOLD_FOUND,
    NODE_DEGRADED,
    NODE_RECOVERED,
    RETROSPECTIVE_FAILED,
    SOURCE_ANSWER_REFUSED,
    SOURCE_FAILED,
    SOURCE_LOST,
    SOURCE_RETURNED,
    EventLog,
)
from interceptor.telemetry.health import DegradedReason, Health
from interceptor.telemetry.metrics import Metrics, SourceMetrics
from interceptor.telemetry.redaction import describe_error
from interceptor.transport.tls import Credential

MISSED_COUNT_MAX = 1000
"""Missed holds in one answer: more than anybody reads at once, and a bound on what one command costs."""
_REFUSED = frozenset({FhirReason.WRONG_PATIENT, FhirReason.AMBIGUOUS_PATIENT, FhirReason.OFF_ORIGIN} | OF_THE_RECORD)
_NOBODY_ANSWERS = PatientEvidence(lookup=LookupStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceWiring:
    """What sources are built from.

    Attributes:
        credentials: The certificates of each server, by its table: "fhir.NAME"; files are read where it is missing.
        give_up: A fault of our own ended a part that must live.
        others: Sources beside FHIR: the registry, where there is one.
        registry: Where whole answers of FHIR servers are kept for later orders; None where nobody asks it.
    """

    config: Config
    codes: CodeTables
    metrics: Metrics
    health: Health
    log: EventLog
    give_up: Callable[[BaseException], None]
    now: Callable[[], datetime]
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    others: Sequence[Source] = ()
    registry: Registry | None = None


class Sources:
    """All sources of a node, and who wants to know what they bring."""

    def __init__(self, wiring: SourceWiring) -> None:
        """Use `open_sources`."""
        self._wiring = wiring
        self._lookup: Lookup | None = None
        self._resting: set[str] = set()
        self._retrospective: Retrospective | None = None
        registry = wiring.config.registry
        self._authorities = Authorities(registry.authorities, registry.assigning_authority)

    @property
    def is_configured(self) -> bool:
        """Whether there is any source."""
        return self._lookup is not None

    async def ask(self, question: PatientQuestion, budget_seconds: float) -> PatientEvidence:
        """What all sources know of a patient; only where `is_configured`."""
        assert self._lookup is not None, "there is no source to ask"
        return await self._lookup.ask(question, budget_seconds=budget_seconds)

    def tell(self, retrospective: Retrospective) -> None:
        """Tell *retrospective* of late answers and of sources that return."""
        self._retrospective = retrospective

    def plug(self, sources: Sequence[Source]) -> None:
        """Ask these from now on."""
        metrics, log = self._wiring.metrics.sources, self._wiring.log

        def answered(name: str, status: LookupStatus, seconds: float) -> None:
            if (one := metrics.get(name)) is not None:
                one.lookups.count(status.value)
                one.lookup_seconds.observe(seconds)

        def raised(name: str, error: Exception) -> None:
            log.event(SOURCE_FAILED, source=name, **describe_error(error))

        observer = LookupObserver(answered=answered, raised=raised)
        self._lookup = Lookup(sources, observer=observer, monotonic=time.monotonic) if sources else None

    async def landed(self, name: str, question: PatientQuestion, evidence: PatientEvidence) -> None:
        """A source brought a whole answer, in time or late: keep it, and look who waits for it."""
        wiring = self._wiring
        statement = answer_statement(
            question, evidence, source=f"fhir.{name}", said_at=wiring.now(), authorities=self._authorities
        )
        if wiring.registry is not None and statement is not None:
            # On a full disk what a server can be asked again gives way to orders.
            with suppress(JournalUnavailable):
                await wiring.registry.record((statement,), source=statement.source)
        if self._retrospective is not None:
            self._retrospective.answer_landed(question)

    def rests(self, name: str, *, is_resting: bool) -> None:
        """A source is left alone from now on, or answers again; the node is degraded while any is left alone."""
        health, log, was_resting = self._wiring.health, self._wiring.log, bool(self._resting)
        self._resting = self._resting | {name} if is_resting else self._resting - {name}
        reason = DegradedReason.LOOKUP_FAILS
        if self._resting and not was_resting and health.degrade(reason):
            log.event(NODE_DEGRADED, reason=reason.value)
        if was_resting and not self._resting and health.recover(reason):
            log.event(NODE_RECOVERED, reason=reason.value)
        if not is_resting and self._retrospective is not None:
            self._retrospective.source_returned()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observer:
    """Counts and tells what one FHIR server does."""

    name: str
    metrics: SourceMetrics
    log: EventLog
    sources: Sources

    def ended(self, result: str, seconds: float) -> None:
        self.metrics.answers.count(result)
        self.metrics.seconds.observe(seconds)
        if result in _REFUSED:
            self.log.event(SOURCE_ANSWER_REFUSED, source=self.name, reason=result)

    def not_asked(self, reason: FhirReason) -> None:
        self.metrics.answers.count(reason.value)

    def breaker_changed(self, *, is_open: bool, reason: str) -> None:
        self.metrics.breaker_open.set(1 if is_open else 0)
        if is_open:
            self.log.event(SOURCE_LOST, source=self.name, reason=reason)
        else:
            self.log.event(SOURCE_RETURNED, source=self.name)
        self.sources.rests(self.name, is_resting=is_open)

    def raised(self, error: Exception) -> None:
        self.log.event(SOURCE_FAILED, source=self.name, **describe_error(error))


@asynccontextmanager
async def open_sources(wiring: SourceWiring) -> AsyncIterator[Sources]:
    """All sources of the configuration, for the length of the block.

    Raises:
        FhirSetupError, SecretError: A secret, key or certificate cannot be used.
    """
    sources = Sources(wiring)
    async with running_tasks() as tasks, AsyncExitStack() as stack:

        def spawn(flight: Coroutine[Any, Any, None]) -> None:
            tasks.start(_watched(flight, wiring.give_up), name="flight")

        opened: list[Source] = [*wiring.others]
        for name, table in wiring.config.fhir.items():
            source = open_source(
                fhir_settings(name, table, egfr_codes=wiring.codes.filtration_rate_codes(), environment=os.environ),
                clock=FhirClock(now=wiring.now, monotonic=time.monotonic),
                tls=_context_of(wiring.credentials.get(f"fhir.{name}")),
                spawn=spawn,
                landed=partial(_land, spawn, sources, name),
                observer=_Observer(name=name, metrics=wiring.metrics.sources[name], log=wiring.log, sources=sources),
            )
            opened.append(await stack.enter_async_context(source))
        sources.plug(opened)
        try:
            yield sources
        finally:
            # Flights end before the connections that they use are closed.
            tasks.cancel()
            await asyncio.sleep(0)


def _context_of(credential: Credential | None) -> Callable[[], SSLContext] | None:
    return None if credential is None else lambda: credential.context


def _land(
    spawn: Callable[[Coroutine[Any, Any, None]], None],
    sources: Sources,
    name: str,
    question: PatientQuestion,
    evidence: PatientEvidence,
) -> None:
    spawn(sources.landed(name, question, evidence))


async def _watched(flight: Coroutine[Any, Any, None], give_up: Callable[[BaseException], None]) -> None:
    try:
        await flight
    except Exception as error:  # noqa: BLE001 - whatever ends a flight but its own failures is a fault of ours
        give_up(error)


def fhir_settings(
    name: str, table: FhirTable, *, egfr_codes: tuple[str, ...], environment: Mapping[str, str]
) -> FhirSettings:
    """One [fhir.NAME] as values, its secrets read.

    Raises:
        SecretError: A secret cannot be read.
    """
    return FhirSettings(
        name=name,
        base_url=table.base_url,
        login=_login(name, table, environment),
        search=SearchOptions(
            systems=systems_of(table.systems),
            condition_categories=table.condition_categories,
            observation_codes=egfr_codes,
            page_size=table.page_size,
            pages_max=table.pages_max,
        ),
        search_method=table.search_method,
        tls=TlsFiles(
            ca_file=_text(table.ca_file), certificate_file=_text(table.certificate_file), key_file=_text(table.key_file)
        ),
        limits=AnswerLimits(
            size_max=table.answer_size_max,
            seconds_max=table.timeout_seconds,
            connect_seconds_max=table.connect_timeout_seconds,
        ),
        source=FhirSourceOptions(
            flight_seconds_max=table.timeout_seconds,
            flights_max=table.patients_max,
            fresh_seconds=table.fresh_seconds,
            revalidate_seconds=table.revalidate_seconds,
            stale_seconds=table.stale_seconds,
            negative_seconds=table.negative_seconds,
        ),
        breaker=BreakerOptions(
            failures_max=table.breaker_failures,
            pause_seconds=table.breaker_pause_seconds,
            pause_seconds_max=table.breaker_pause_seconds_max,
        ),
    )


def _login(name: str, table: FhirTable, environment: Mapping[str, str]) -> str | BackendLogin | None:
    token = read_secret(
        f"fhir.{name}.bearer_token",
        file=table.bearer_token_file,
        variable=table.bearer_token_env,
        environment=environment,
    )
    if token is not None:
        # A token with anything else in it would end the header and begin another.
        if not token.isascii() or not token.isprintable() or " " in token:
            message = f"fhir.{name}.bearer_token: is no token: it has spaces or control characters"
            raise FhirSetupError(message)
        return token
    key = read_secret(
        f"fhir.{name}.private_key",
        file=table.private_key_file,
        variable=table.private_key_env,
        environment=environment,
    )
    if key is None or table.client_id is None or table.token_url is None:
        return None
    return BackendLogin(
        token_url=table.token_url,
        client_id=table.client_id,
        private_key=key.encode(),
        key_id=table.key_id,
        scope=table.scope,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a node has of evidence.

    Attributes:
        retrospective: Runs as long as the node.
    """

    sources: Sources
    retrospective: Retrospective

    @property
    def ask(self) -> Callable[[PatientQuestion, float], Awaitable[PatientEvidence]] | None:
        """Ask all sources within so many seconds; None where none is configured."""
        return self.sources.ask if self.sources.is_configured else None

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[Mapping[str, object]]]]:
        """The command that lists missed holds."""
        return {"held_retrospective": self._list_missed}

    async def _list_missed(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        del arguments
        try:
            found = await self.retrospective.missed(limit=MISSED_COUNT_MAX)
        except JournalUnavailable as error:
            raise ControlError("journal_unavailable", f"nothing can be read: the journal is {error.reason}") from error
        return {"missed": [missed_json(one) for one in found]}


@asynccontextmanager
async def open_evidence(
    wiring: SourceWiring,
    *,
    tables: Tables,
    decide: Callable[[MessageView, PatientEvidence, datetime], Sequence[Mapping[str, Any]]],
) -> AsyncIterator[Evidence]:
    """All sources, and the check of what went on without them; *tables* and *decide* as in `RetrospectiveParts`.

    Raises:
        FhirSetupError, SecretError: A secret, key or certificate cannot be used.
    """
    async with open_sources(wiring) as sources:
        retrospective = _build_retrospective(wiring, sources, tables=tables, decide=decide)
        sources.tell(retrospective)
        yield Evidence(sources=sources, retrospective=retrospective)


def _build_retrospective(
    wiring: SourceWiring,
    sources: Sources,
    *,
    tables: Tables,
    decide: Callable[[MessageView, PatientEvidence, datetime], Sequence[Mapping[str, Any]]],
) -> Retrospective:
    metrics, log = wiring.metrics, wiring.log
    patience = max((table.timeout_seconds for table in wiring.config.fhir.values()), default=5.0)

    async def ask(question: PatientQuestion) -> PatientEvidence:
        # What was noted before the last source was taken out of the configuration waits until it expires.
        return await sources.ask(question, patience) if sources.is_configured else _NOBODY_ANSWERS

    parts = RetrospectiveParts(
        tables=tables,
        ask=ask,
        decide=decide,
        found=lambda route, number, reason: log.event(MISSED_HOLD_FOUND, route=route, number=number, reason=reason),
        ended=lambda outcome, count: metrics.retrospective_messages.count(outcome.value, amount=count),
        raised=lambda number, error: log.event(RETROSPECTIVE_FAILED, number=number, **describe_error(error)),
        show_waiting=metrics.retrospective_waiting.set,
        now=wiring.now,
        unavailable=JournalUnavailable,
        default_authority=wiring.config.registry.assigning_authority,
        kept_for=timedelta(hours=wiring.config.hold.decide_again_hours_max),
    )
    return Retrospective(parts)


def missed_json(one: MissedHold) -> dict[str, object]:
    """A missed hold for reviewers. Patient data: for them only."""
    return {
        "number": one.number,
        "route": one.route,
        "noted_at": one.noted_at.isoformat(),
        "found_at": one.found_at.isoformat(),
        "orders": [dict(order) for order in one.orders],
    }
