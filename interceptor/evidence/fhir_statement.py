"""A FHIR server's whole answer about a patient, as a statement for the registry: late answers are there for later orders.

What an answer does not have any more is gone: conditions and allergies are all that the server has (a snapshot).
Measured values are of a window of days, so older ones stay.

Failures: none. An answer of a patient who cannot be named in the registry is no statement.
"""

from collections.abc import Iterator
from datetime import datetime

from interceptor.context.patient import Allergy, Condition, ConditionStatus, Observation, PatientEvidence
from interceptor.evidence.patient_question import PatientQuestion
from interceptor.evidence.statement import (
    KEY_SIZE_MAX,
    TEXT_SIZE_MAX,
    Authorities,
    Fact,
    FactKind,
    PatientIdentifier,
    Snapshot,
    Standing,
    Statement,
    code_key,
)


def answer_statement(
    question: PatientQuestion, evidence: PatientEvidence, *, source: str, said_at: datetime, authorities: Authorities
) -> Statement | None:
    """What *source* said at that time of the patient of *question*; None when the registry has no name for the patient.

    Only the order's first identifier carries it: that the others are the same person was not asked.
    """
    named = ((one, authorities.name(*one.authorities)) for one in question.identifiers)
    found = next(((one, authority) for one, authority in named if authority), None)
    if found is None:
        return None
    identifier, authority = found
    return Statement(
        source=source,
        said_at=said_at,
        identifiers=(PatientIdentifier(identifier.value, authority, identifier.type),),
        birth_date=evidence.birth_date.isoformat() if evidence.birth_date else "",
        facts=tuple(_facts(evidence)),
        snapshots=(Snapshot(kind=FactKind.CONDITION, scope=""), Snapshot(kind=FactKind.ALLERGY, scope="")),
    )


def _facts(evidence: PatientEvidence) -> Iterator[Fact]:
    yield from map(_condition, evidence.conditions)
    yield from map(_allergy, evidence.allergies)
    yield from map(_observation, evidence.observations)


def _condition(one: Condition) -> Fact:
    standing = Standing.SUSPECTED if one.suspected else Standing.ACTIVE
    return Fact(
        kind=FactKind.CONDITION,
        key=_key(one.reference, code_key(one.codings, one.text)),
        standing=Standing.PAST if one.status is ConditionStatus.PAST else standing,
        codings=one.codings,
        text=one.text[:TEXT_SIZE_MAX],
        onset=one.onset,
        recorded=one.recorded,
    )


def _allergy(one: Allergy) -> Fact:
    return Fact(
        kind=FactKind.ALLERGY,
        key=_key(one.reference, code_key(one.codings, one.text)),
        codings=one.codings,
        text=one.text[:TEXT_SIZE_MAX],
        detail=one.reaction[:TEXT_SIZE_MAX],
        recorded=one.recorded,
    )


def _observation(one: Observation) -> Fact:
    return Fact(
        kind=FactKind.OBSERVATION,
        key=_key(one.reference, code_key((one.coding,), "")),
        codings=(one.coding,),
        detail=one.unit[:TEXT_SIZE_MAX],
        value=one.value,
        recorded=one.observed,
    )


def _key(reference: str, otherwise: str) -> str:
    return f"id:{reference}"[:KEY_SIZE_MAX] if reference else otherwise
