"""A FHIR source over real sockets to the simulated server, and what a test wants to know of it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from interceptor.context.patient import PatientEvidence
from interceptor.evidence.fhir_breaker import BreakerOptions
from interceptor.evidence.fhir_connect import BackendLogin, FhirClock, FhirSettings, open_source
from interceptor.evidence.fhir_failure import FhirReason
from interceptor.evidence.fhir_http import AnswerLimits
from interceptor.evidence.fhir_search import SearchOptions
from interceptor.evidence.fhir_source import FhirSource, FhirSourceOptions
from interceptor.evidence.patient_question import PatientQuestion, StatedIdentifier
from interceptor.simulate.fhir_record import (
    EGFR_CODE,
    IDENTIFIER_SYSTEM,
    allergy_resource,
    condition_resource,
    egfr_resource,
    patient_resource,
)

TODAY = datetime.now(UTC).date()


def record(number: str = "1001", *, code: str = "C79.51", birth_date: str = "1968-01-01") -> list[dict[str, Any]]:
    """A patient with bone metastases, an allergy and a kidney value."""
    return [
        patient_resource(number, birth_date=birth_date),
        condition_resource(f"c-{number}", number, code=code, text="bone metastases", day=date(2025, 11, 3)),
        allergy_resource(f"a-{number}", number, code="227493005", text="Cashew nuts"),
        egfr_resource(f"o-{number}", number, value=82.0, day=TODAY),
    ]


def question(
    value: str = "1001", *, authority: str = "HOSP", birth_date: str = "1968-01-01", sex: str = "F"
) -> PatientQuestion:
    """Whom an order asks about."""
    return PatientQuestion(identifiers=(StatedIdentifier(value, (authority,), "MR"),), birth_date=birth_date, sex=sex)


def settings(base_url: str, **changes: Any) -> FhirSettings:
    """Settings with short times; *changes* are of FhirSettings."""
    made = FhirSettings(
        name="epic",
        base_url=base_url,
        search=SearchOptions(systems={"HOSP": IDENTIFIER_SYSTEM}, observation_codes=(EGFR_CODE,)),
        limits=AnswerLimits(seconds_max=5.0),
        source=FhirSourceOptions(flight_seconds_max=5.0),
        breaker=BreakerOptions(failures_max=3, pause_seconds=30.0),
    )
    return replace(made, **changes)


@dataclass
class Observed:
    """What a source told of itself."""

    results: Counter[str] = field(default_factory=Counter)
    unasked: Counter[FhirReason] = field(default_factory=Counter)
    breaker: list[tuple[bool, str]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    landed: list[tuple[PatientQuestion, PatientEvidence]] = field(default_factory=list)

    def ended(self, result: str, seconds: float) -> None:
        assert seconds >= 0
        self.results[result] += 1

    def not_asked(self, reason: FhirReason) -> None:
        self.unasked[reason] += 1

    def breaker_changed(self, *, is_open: bool, reason: str) -> None:
        self.breaker.append((is_open, reason))

    def raised(self, error: Exception) -> None:
        self.errors.append(error)


class Clock:
    """A monotonic clock that a test can push on; it goes on by itself too."""

    def __init__(self) -> None:
        self.pushed = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.pushed


@dataclass
class Rig:
    """A source with everything around it."""

    source: FhirSource
    observed: Observed
    clock: Clock

    async def ask(self, **changes: Any) -> PatientEvidence:
        """Ask about the patient 1001, or as *changes* say."""
        return await self.source.ask(question(**changes))


@asynccontextmanager
async def source_of(made: FhirSettings) -> AsyncIterator[Rig]:
    """A source for the length of the block; its flights are cancelled at the end."""
    observed, clock = Observed(), Clock()
    tasks: set[asyncio.Task[None]] = set()
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())

        def spawn(flight: Coroutine[Any, Any, None]) -> None:
            tasks.add(group.create_task(flight))

        source = await stack.enter_async_context(
            open_source(
                made,
                clock=FhirClock(now=lambda: datetime.now(UTC), monotonic=clock),
                spawn=spawn,
                landed=lambda asked, evidence: observed.landed.append((asked, evidence)),
                observer=observed,
            )
        )
        yield Rig(source, observed, clock)
        for task in tasks:
            task.cancel()


def backend_login(token_url: str, private_key: bytes) -> BackendLogin:
    """Who we are to the simulated token endpoint."""
    return BackendLogin(token_url=token_url, client_id="interceptor", private_key=private_key, key_id="key-1")
