"""What other sources know about a patient: the answer of the registry or a FHIR server, as values.

The evidence shells build these; extraction reads them. Facts that came in the order message itself are
not here, they are read from the message.

Source: FHIR R4 Condition, AllergyIntolerance, Observation (clinicalStatus and verificationStatus value
sets); HL7 v2 PRB, DG1, AL1, OBX.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from interceptor.context.vocabulary import EvidenceSource, LookupStatus


class ConditionStatus(StrEnum):
    """Clinical status, folded: active covers recurrence and relapse; past covers remission, resolved, inactive."""

    ACTIVE = "active"
    PAST = "past"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """One code. `system` is one of icd10cm, icd9cm, snomed, loinc, cpt, rxnorm, or the source's own word."""

    system: str
    code: str
    display: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One diagnosis or problem.

    Attributes:
        codings: All codings of the condition, ICD-10-CM first where there is one.
        text: The source's own words.
        status: Active or past. Refuted and entered-in-error conditions never get here.
        suspected: True for verificationStatus provisional, differential or unconfirmed.
        onset: Day of onset, where known.
        recorded: Day it was recorded, where known.
        source: Registry or FHIR.
        reference: Message control id or resource id that brought it; for the journal, never for a log.
    """

    codings: tuple[Coding, ...] = ()
    text: str = ""
    status: ConditionStatus = ConditionStatus.ACTIVE
    suspected: bool = False
    onset: date | None = None
    recorded: date | None = None
    source: EvidenceSource
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allergy:
    """One allergy or intolerance; refuted and resolved ones never get here."""

    codings: tuple[Coding, ...] = ()
    text: str = ""
    reaction: str = ""
    recorded: date | None = None
    source: EvidenceSource
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One measured value, e.g. eGFR. `value` in `unit`; None when the source gave no number."""

    coding: Coding
    value: float | None
    unit: str = ""
    observed: date | None = None
    source: EvidenceSource
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedStudy:
    """One imaging study that was completed, with its procedure codes."""

    codings: tuple[Coding, ...] = ()
    text: str = ""
    completed: date | None = None
    source: EvidenceSource
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAnswer:
    """How one source answered: `as_of` is the time of the data, not of the question."""

    source: EvidenceSource
    status: LookupStatus
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientEvidence:
    """All that the configured sources answered within the budget.

    Attributes:
        lookup: `ok` when every configured source answered with fresh data; `failed` when any failed;
            `stale` when any was stale and none failed; `not_configured` when there is no source.
        answers: One for each configured source.
        birth_date: The patient's birth date as the sources know it, for orders without one.
    """

    lookup: LookupStatus = LookupStatus.NOT_CONFIGURED
    answers: tuple[SourceAnswer, ...] = ()
    conditions: tuple[Condition, ...] = ()
    allergies: tuple[Allergy, ...] = ()
    observations: tuple[Observation, ...] = ()
    studies: tuple[CompletedStudy, ...] = ()
    birth_date: date | None = None


NO_EVIDENCE = PatientEvidence()
"""The answer where no source is configured: only the message speaks."""
