"""One FHIR server as an evidence source: kept answers, one question per patient at a time, never too many at once.

    ask -> kept and fresh? -> answer                                          (no request)
        -> kept and nearly fresh? -> answer, and a flight behind it           (stale-while-revalidate)
        -> a flight of this patient is on its way? -> wait for that one       (single flight)
        -> breaker, room? -> a new flight -> answer

A flight is one patient's searches. It goes on when the order that asked can wait no longer: what it brings late is
kept, told to `landed`, and there for the next order and for the retrospective check.

Failures: every failure is a reason, counted, and an answer with the status `failed`, or `stale` where an older answer
is kept. Nothing is raised. Failures of the server in a row open the breaker; what is wrong with one patient's record
does not, and is kept for a moment so that it is not asked again with every order.

Source: RFC 5861 (stale-while-revalidate, stale-if-error).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Protocol

from interceptor.context.patient import PatientEvidence, SourceAnswer
from interceptor.context.vocabulary import EvidenceSource, LookupStatus
from interceptor.evidence.fhir_breaker import FhirBreaker
from interceptor.evidence.fhir_failure import FhirFailure, FhirReason
from interceptor.evidence.fhir_search import FhirServer, SearchOptions, SearchResult, mapped_identifiers, search_patient
from interceptor.evidence.patient_question import PatientQuestion

ANSWERED = "ok"
UNKNOWN_PATIENT = "unknown_patient"
RESULTS = (ANSWERED, UNKNOWN_PATIENT, *FhirReason)
"""How a question to the server can end: the closed set of the metric's label."""
OF_THE_RECORD = frozenset(
    {
        FhirReason.WRONG_PATIENT,
        FhirReason.AMBIGUOUS_PATIENT,
        FhirReason.TOO_LARGE,
        FhirReason.TOO_DEEP,
        FhirReason.TOO_MANY_PAGES,
    }
)
"""What is wrong with one patient's record says nothing of the server's health."""

_Key = tuple[tuple[tuple[str, str], ...], str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirSourceOptions:
    """How the server is treated; seconds and counts.

    Attributes:
        flight_seconds_max: All searches of one patient.
        flights_max: Patients asked for at one time.
        waiting_max: Patients that may wait for their turn; more are not asked for.
        fresh_seconds: So long a kept answer is as good as a new one.
        revalidate_seconds: So long it is still given at once, while a new one is fetched behind it.
        stale_seconds: So long it is given, as stale, when no new one can be had in time.
        negative_seconds: So long it is remembered that a patient is unknown, ambiguous or another one.
        kept_max: Patients whose answers are kept.
    """

    flight_seconds_max: float = 10.0
    flights_max: int = 8
    waiting_max: int = 200
    fresh_seconds: float = 300.0
    revalidate_seconds: float = 900.0
    stale_seconds: float = 86_400.0
    negative_seconds: float = 60.0
    kept_max: int = 2000


class FhirObserver(Protocol):
    """Who counts and tells; none of its methods waits or raises."""

    def ended(self, result: str, seconds: float) -> None:
        """A question to the server ended with a word of `RESULTS`, after so many seconds."""
        ...

    def not_asked(self, reason: FhirReason) -> None:
        """A question was not put to the server."""
        ...

    def breaker_changed(self, *, is_open: bool, reason: str) -> None:
        """The server is left alone from now on, or asked again."""
        ...

    def raised(self, error: Exception) -> None:
        """A fault of our own."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, or with `failure` what is wrong with the record; `until` is when it is worth nothing."""

    evidence: PatientEvidence
    kept_at: float
    is_negative: bool


@dataclass(slots=True)
class _Flight:
    """One patient's searches on their way; `evidence` is there when `landed` is set."""

    landed: asyncio.Event = field(default_factory=asyncio.Event)
    evidence: PatientEvidence | None = None


class FhirSource:
    """One FHIR server."""

    kind = EvidenceSource.FHIR

    def __init__(
        self,
        name: str,
        server: FhirServer,
        *,
        search: SearchOptions,
        options: FhirSourceOptions,
        breaker: FhirBreaker,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        landed: Callable[[PatientQuestion, PatientEvidence], None],
        observer: FhirObserver,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        """*spawn* runs a flight to its end; *landed* is told of every whole answer."""
        self.name = name
        self._server = server
        self._search = search
        self._options = options
        self._breaker = breaker
        self._spawn = spawn
        self._landed = landed
        self._observer = observer
        self._now = now
        self._monotonic = monotonic
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._flights: dict[_Key, _Flight] = {}
        self._slots = asyncio.Semaphore(options.flights_max)

    @property
    def is_resting(self) -> bool:
        """Whether the server would not be asked now."""
        return self._breaker.seconds_closed_for(self._monotonic()) > 0

    async def ask(self, question: PatientQuestion) -> PatientEvidence:
        """What the server knows of the patient. May be cancelled; the flight goes on."""
        identifiers = mapped_identifiers(question, self._search.systems)
        if not identifiers:
            self._observer.not_asked(FhirReason.NO_IDENTIFIER)
            return self._failed()
        key = (identifiers, question.birth_date, question.sex)
        kept, age = self._find_kept(key)
        if kept is not None and kept.is_negative and age <= self._options.negative_seconds:
            return kept.evidence
        if kept is not None and not kept.is_negative and age <= self._options.revalidate_seconds:
            if age > self._options.fresh_seconds:
                self._flight(key, question)
            return kept.evidence
        flight = self._flight(key, question)
        if flight is None:
            return self.at_hand(question)
        await flight.landed.wait()
        assert flight.evidence is not None, "a flight lands with an answer"
        return (
            self.at_hand(question)
            if flight.evidence.lookup is LookupStatus.FAILED and not _has_facts(flight.evidence)
            else flight.evidence
        )

    def at_hand(self, question: PatientQuestion) -> PatientEvidence:
        """What can be said without waiting: an older answer as `stale`, else `failed`."""
        key = (mapped_identifiers(question, self._search.systems), question.birth_date, question.sex)
        kept, age = self._find_kept(key)
        if kept is None or kept.is_negative or age > self._options.stale_seconds:
            return self._failed()
        return with_status(kept.evidence, LookupStatus.STALE)

    def _failed(self) -> PatientEvidence:
        answer = SourceAnswer(source=self.kind, status=LookupStatus.FAILED)
        return PatientEvidence(lookup=LookupStatus.FAILED, answers=(answer,))

    def _find_kept(self, key: _Key) -> tuple[_Kept | None, float]:
        """The kept answer and its age in seconds."""
        kept = self._kept.get(key)
        if kept is None:
            return None, 0.0
        self._kept.move_to_end(key)
        return kept, self._monotonic() - kept.kept_at

    def _keep(self, key: _Key, evidence: PatientEvidence, *, is_negative: bool) -> None:
        self._kept[key] = _Kept(evidence, self._monotonic(), is_negative)
        self._kept.move_to_end(key)
        while len(self._kept) > self._options.kept_max:
            self._kept.popitem(last=False)

    def _flight(self, key: _Key, question: PatientQuestion) -> _Flight | None:
        """The patient's flight, begun now where there is none; None when the server may not be asked."""
        flight = self._flights.get(key)
        if flight is not None:
            return flight
        if len(self._flights) >= self._options.flights_max + self._options.waiting_max:
            self._observer.not_asked(FhirReason.BUSY)
            return None
        if not self._breaker.admit(self._monotonic()):
            self._observer.not_asked(FhirReason.BREAKER_OPEN)
            return None
        flight = self._flights[key] = _Flight()
        self._spawn(self._fly(key, question, flight))
        return flight

    async def _fly(self, key: _Key, question: PatientQuestion, flight: _Flight) -> None:
        """Ask the server. Cancelled only when the node stops: nobody waits for the answer then."""
        is_told = False
        try:
            async with self._slots:
                began = self._monotonic()
                evidence, result = await self._search_once(key, question)
            self._observer.ended(result, self._monotonic() - began)
            is_told = True
            flight.evidence = evidence
        finally:
            if not is_told:
                self._breaker.abandoned()
                flight.evidence = self._failed()
            del self._flights[key]
            flight.landed.set()
        if evidence.lookup is LookupStatus.OK:
            self._landed(question, evidence)

    async def _search_once(self, key: _Key, question: PatientQuestion) -> tuple[PatientEvidence, str]:
        """One patient's searches, and what they say of the server's health."""
        try:
            found = await search_patient(
                self._server,
                question,
                options=self._search,
                today=self._today(),
                seconds_max=self._options.flight_seconds_max,
            )
        except FhirFailure as failure:
            self._judge(failure)
            if failure.reason in OF_THE_RECORD:
                self._keep(key, self._failed(), is_negative=True)
            return self._failed(), failure.reason.value
        except Exception as error:  # noqa: BLE001 - the boundary to the server: whatever came, no order waits for it
            self._observer.raised(error)
            self._judge(FhirFailure(FhirReason.INTERNAL))
            return self._failed(), FhirReason.INTERNAL.value
        return self._accept(key, found)

    def _accept(self, key: _Key, found: SearchResult) -> tuple[PatientEvidence, str]:
        if found.failure is not None:
            self._judge(found.failure)
            evidence = self._answered(found.evidence, LookupStatus.FAILED)
            if found.failure.reason in OF_THE_RECORD:
                self._keep(key, evidence, is_negative=True)
            return evidence, found.failure.reason.value
        if self._breaker.succeeded():
            self._observer.breaker_changed(is_open=False, reason="")
        evidence = self._answered(found.evidence, LookupStatus.OK)
        self._keep(key, evidence, is_negative=not found.is_known)
        return evidence, ANSWERED if found.is_known else UNKNOWN_PATIENT

    def _answered(self, evidence: PatientEvidence, status: LookupStatus) -> PatientEvidence:
        answer = SourceAnswer(source=self.kind, status=status, as_of=self._now())
        return replace(evidence, lookup=status, answers=(answer,))

    def _judge(self, failure: FhirFailure) -> None:
        if failure.reason in OF_THE_RECORD:
            if self._breaker.succeeded():
                self._observer.breaker_changed(is_open=False, reason="")
            return
        if self._breaker.failed(self._monotonic(), pause_seconds=failure.pause_seconds):
            self._observer.breaker_changed(is_open=True, reason=failure.reason.value)

    def _today(self) -> date:
        return self._now().date()


def with_status(evidence: PatientEvidence, status: LookupStatus) -> PatientEvidence:
    """The same evidence, all its answers with this status."""
    answers = tuple(replace(answer, status=status) for answer in evidence.answers)
    return replace(evidence, lookup=status, answers=answers)


def _has_facts(evidence: PatientEvidence) -> bool:
    return bool(evidence.conditions or evidence.allergies or evidence.observations or evidence.studies)
