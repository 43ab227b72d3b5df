"""Ask every evidence source about an order's patient, side by side, within one budget.

    question -> registry ----+
             -> fhir.one ----+--> one PatientEvidence: all facts, and ok | stale | failed for each source
             -> fhir.two ----+

Called only when the policy asked (EvidenceNeeded): what the message itself says was read before. A source that is
late is given up for this order and goes on behind it: see `fhir_source`.

Failures: none are raised. A source that fails, or raises, is `failed`, counted and told; the others still count.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from interceptor.context.patient import PatientEvidence, SourceAnswer
from interceptor.context.vocabulary import EvidenceSource, LookupStatus
from interceptor.evidence.patient_question import PatientQuestion
from interceptor.evidence.registry import Registry
from interceptor.evidence.statement import Authorities, PatientIdentifier

_STRENGTH = (LookupStatus.FAILED, LookupStatus.STALE, LookupStatus.OK, LookupStatus.NOT_CONFIGURED)
"""The whole is as good as its worst source; sources that are not configured count for nothing."""

REGISTRY_SOURCE = "registry"
"""Name of the registry among the sources."""


class Source(Protocol):
    """One place that knows patients."""

    @property
    def name(self) -> str:
        """A word of the configuration."""
        ...

    @property
    def kind(self) -> EvidenceSource:
        """Registry or FHIR."""
        ...

    async def ask(self, question: PatientQuestion) -> PatientEvidence:
        """What it knows; may be cancelled."""
        ...

    def at_hand(self, question: PatientQuestion) -> PatientEvidence:
        """What it can say at once, when it did not answer in time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupObserver:
    """Who counts: source name, status word and seconds of each answer; and a fault of our own in a source."""

    answered: Callable[[str, LookupStatus, float], None]
    raised: Callable[[str, Exception], None]


class Lookup:
    """All sources of a node."""

    def __init__(self, sources: Sequence[Source], *, observer: LookupObserver, monotonic: Callable[[], float]) -> None:
        """*sources*: at least one."""
        assert sources, "a lookup without sources is none"
        self._sources = tuple(sources)
        self._observer = observer
        self._monotonic = monotonic

    async def ask(self, question: PatientQuestion, *, budget_seconds: float) -> PatientEvidence:
        """What all sources together know, after *budget_seconds* at the latest. May be cancelled."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask_one(source, question, budget_seconds)) for source in self._sources]
        return merge([task.result() for task in tasks])

    async def _ask_one(self, source: Source, question: PatientQuestion, budget_seconds: float) -> PatientEvidence:
        began = self._monotonic()
        try:
            async with asyncio.timeout(budget_seconds):
                evidence = await source.ask(question)
        except TimeoutError:
            evidence = source.at_hand(question)
        except Exception as error:  # noqa: BLE001 - around deciding: a source's fault must not cost the others' answers
            self._observer.raised(source.name, error)
            evidence = failed(source.kind)
        self._observer.answered(source.name, evidence.lookup, self._monotonic() - began)
        return evidence


def failed(kind: EvidenceSource) -> PatientEvidence:
    """The answer of a source that has none."""
    answer = SourceAnswer(source=kind, status=LookupStatus.FAILED)
    return PatientEvidence(lookup=LookupStatus.FAILED, answers=(answer,))


def merge(answers: Sequence[PatientEvidence]) -> PatientEvidence:
    """All facts of all answers, the first source's first; the status is the worst of theirs."""
    statuses = {answer.lookup for answer in answers}
    return PatientEvidence(
        lookup=next((status for status in _STRENGTH if status in statuses), LookupStatus.NOT_CONFIGURED),
        answers=tuple(one for answer in answers for one in answer.answers),
        conditions=tuple(one for answer in answers for one in answer.conditions),
        allergies=tuple(one for answer in answers for one in answer.allergies),
        observations=tuple(one for answer in answers for one in answer.observations),
        studies=tuple(one for answer in answers for one in answer.studies),
        birth_date=next((answer.birth_date for answer in answers if answer.birth_date), None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySource:
    """The node's own registry as a source.

    Attributes:
        observe: Told how each lookup ended, a word of `RegistryResult`.
    """

    registry: Registry
    authorities: Authorities
    now: Callable[[], datetime]
    observe: Callable[[str], None]
    name: str = REGISTRY_SOURCE
    kind: EvidenceSource = field(default=EvidenceSource.REGISTRY, init=False)

    async def ask(self, question: PatientQuestion) -> PatientEvidence:
        """What the registry knows of the patient."""
        answer = await self.registry.lookup(
            registry_identifiers(question, self.authorities),
            birth_date=question.birth_date,
            sex=question.sex,
            as_of=self.now(),
        )
        self.observe(answer.result.value)
        return answer.evidence

    def at_hand(self, question: PatientQuestion) -> PatientEvidence:
        """A registry that is late is down: there is nothing at hand."""
        del question
        return failed(self.kind)


def registry_identifiers(question: PatientQuestion, authorities: Authorities) -> tuple[PatientIdentifier, ...]:
    """The order's identifiers in the registry's spelling."""
    return tuple(
        PatientIdentifier(one.value, name, one.type)
        for one in question.identifiers
        if (name := authorities.name(*one.authorities))
    )


def systems_of(spellings: Mapping[str, str]) -> Mapping[str, str]:
    """A configured map of assigning authorities to FHIR systems, its keys as identifiers are looked up."""
    return {authority.strip().upper(): system.strip() for authority, system in spellings.items()}
