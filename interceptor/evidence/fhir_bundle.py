"""From a FHIR R4 Bundle to the evidence of one patient.

    Patient                            birth date; which entries are whose
    Condition, Device                  diagnoses and implants
    AllergyIntolerance                 allergies
    Observation                        measured values
    Procedure, ImagingStudy, DiagnosticReport    completed studies

Refuted and entered-in-error entries are dropped. Provisional, differential and unconfirmed diagnoses are
suspected. A remission, a resolved or an inactive condition is past. Entries of another patient than the one
asked for are dropped where the bundle says whose they are.

Failures: a text that is no Bundle is a `FhirError` with a reason and a place, never with content. An
OperationOutcome of severity error or fatal makes the lookup `failed`: what came may not be all there is.

Source: FHIR R4 (4.0.1), value sets condition-clinical, condition-ver-status, allergyintolerance-verification,
observation-status, event-status, imagingstudy-status, diagnostic-report-status.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from interceptor.context.code import CPT, ICD9CM, ICD10CM, LOINC, SNOMED, normalise_system
from interceptor.context.patient import (
    Allergy,
    Coding,
    CompletedStudy,
    Condition,
    ConditionStatus,
    Observation,
    PatientEvidence,
    SourceAnswer,
)
from interceptor.context.vocabulary import EvidenceSource, LookupStatus

Resource = Mapping[str, Any]

_DROPPED_VERIFICATION = frozenset({"refuted", "entered-in-error"})
_SUSPECTED_VERIFICATION = frozenset({"provisional", "differential", "unconfirmed"})
_PAST_STATUS = frozenset({"remission", "resolved", "inactive"})
_DROPPED_OBSERVATION = frozenset({"entered-in-error", "cancelled", "unknown", "registered"})
_COMPLETED_STATUS = {
    "Procedure": frozenset({"completed"}),
    "ImagingStudy": frozenset({"available"}),
    "DiagnosticReport": frozenset({"final", "amended", "corrected", "appended", "partial", "preliminary"}),
}
_CODING_ORDER = (ICD10CM, ICD9CM, SNOMED, LOINC, CPT)
"""ICD-10-CM speaks first: one concept in several codings is read from the most specific system that we know."""
_SEVERE = frozenset({"error", "fatal"})


class FhirError(ValueError):
    """The document is no Bundle that can be read.

    Attributes:
        reason: A stable word: not_json, not_a_bundle, broken_entry.
        place: Where, e.g. "entry[3].resource"; never content.
    """

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{reason}{f' at {place}' if place else ''}")
        self.reason = reason
        self.place = place


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    names: frozenset[str]
    """What a reference to it may end with: its id and the last part of its fullUrl."""
    identifiers: frozenset[str]
    birth_date: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceBundle:
    """A bundle that has been read, whosever it is.

    Attributes:
        identifiers: Identifier values of its patients, to compare with PID-3.
    """

    patients: tuple[_Patient, ...]
    resources: tuple[tuple[str, Resource], ...]
    failed: bool

    @property
    def identifiers(self) -> frozenset[str]:
        """Identifier values of all patients in it."""
        return frozenset(value for patient in self.patients for value in patient.identifiers)

    def for_patient(self, identifiers: Iterable[str]) -> PatientEvidence:
        """The evidence of the patient with any of these identifiers (PID-3.1).

        A bundle of one patient, or without a Patient, is taken to be about the patient that was asked for. One
        of several patients that has none of the identifiers says nothing about this patient: `failed`.
        """
        patients = self.patients
        if len(patients) > 1:
            wanted = frozenset(identifiers)
            patients = tuple(patient for patient in patients if patient.identifiers & wanted)
            if not patients:
                return PatientEvidence(lookup=LookupStatus.FAILED, answers=_answers(LookupStatus.FAILED))
        mine = [resource for _, resource in self.resources if _belongs_to(resource, patients, self.patients)]
        status = LookupStatus.FAILED if self.failed else LookupStatus.OK
        return PatientEvidence(
            lookup=status,
            answers=_answers(status),
            conditions=tuple(_conditions(mine)),
            allergies=tuple(_allergies(mine)),
            observations=tuple(_observations(mine)),
            studies=tuple(_studies(mine)),
            birth_date=next((patient.birth_date for patient in patients if patient.birth_date), None),
        )


def _answers(status: LookupStatus) -> tuple[SourceAnswer, ...]:
    return (SourceAnswer(source=EvidenceSource.FHIR, status=status),)


def read_bundle(text: str | bytes) -> EvidenceBundle:
    """Read a Bundle of any type, or a single resource.

    Raises:
        FhirError: It is neither.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise FhirError("not_json") from None
    if not isinstance(document, dict) or not isinstance(document.get("resourceType"), str):
        raise FhirError("not_a_bundle")
    resources: list[tuple[str, Resource]] = []
    if document["resourceType"] == "Bundle":
        entries = document.get("entry", [])
        if not isinstance(entries, list):
            raise FhirError("broken_entry", "entry")
        for index, entry in enumerate(entries):
            resource = _entry_resource(entry, f"entry[{index}]")
            if resource is not None:
                resources.append((f"entry[{index}].resource", resource))
    else:
        resources.append(("", document))
    return _of_placed(resources)


def bundle_of(resources: Iterable[Resource]) -> EvidenceBundle:
    """The same of resources that were read already; each has a `resourceType` that is text."""
    return _of_placed([("", resource) for resource in resources])


def _of_placed(resources: Sequence[tuple[str, Resource]]) -> EvidenceBundle:
    return EvidenceBundle(
        patients=tuple(_read_patient(resource) for _, resource in resources if resource["resourceType"] == "Patient"),
        resources=tuple(resources),
        failed=any(_is_failure(resource) for _, resource in resources),
    )


def _entry_resource(entry: Any, place: str) -> Resource | None:
    if not isinstance(entry, dict):
        raise FhirError("broken_entry", place)
    resource = entry.get("resource")
    if resource is None:
        return None
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise FhirError("broken_entry", f"{place}.resource")
    full_url = entry.get("fullUrl")
    return {**resource, "_fullUrl": full_url} if isinstance(full_url, str) else resource


def _is_failure(resource: Resource) -> bool:
    return resource["resourceType"] == "OperationOutcome" and any(
        issue.get("severity") in _SEVERE for issue in _dicts(resource.get("issue"))
    )


def _read_patient(resource: Resource) -> _Patient:
    identifiers = frozenset(_string(one.get("value")) for one in _dicts(resource.get("identifier"))) - {""}
    full_url = _string(resource.get("_fullUrl"))
    return _Patient(
        names=frozenset({_string(resource.get("id")), full_url.rsplit("/", 1)[-1].removeprefix("urn:uuid:")}) - {""},
        identifiers=identifiers,
        birth_date=_read_date(resource.get("birthDate")),
    )


def _belongs_to(resource: Resource, patients: Sequence[_Patient], everybody: Sequence[_Patient]) -> bool:
    """Whether an entry is of one of these patients; one that says nothing belongs to the only patient there is."""
    subject = resource.get("subject") or resource.get("patient")
    reference = _string(subject.get("reference")) if isinstance(subject, dict) else ""
    if not reference:
        return len(everybody) <= 1
    if not any(one.names for one in everybody):
        return True
    # "Patient/p1", "https://host/fhir/Patient/p1/_history/2" and "urn:uuid:..." all end with the patient's name.
    name = reference.split("/_history/", 1)[0].rstrip("/").rsplit("/", 1)[-1].removeprefix("urn:uuid:")
    return any(name in patient.names for patient in patients)


def _of_type(resources: Iterable[Resource], *names: str) -> Iterator[Resource]:
    return (resource for resource in resources if resource["resourceType"] in names)


def _conditions(resources: Sequence[Resource]) -> Iterator[Condition]:
    for resource in _of_type(resources, "Condition"):
        verification = _status_code(resource.get("verificationStatus"))
        if verification in _DROPPED_VERIFICATION:
            continue
        clinical = _status_code(resource.get("clinicalStatus"))
        abated = any(key.startswith("abatement") and resource[key] not in (None, False) for key in resource)
        past = clinical in _PAST_STATUS or (not clinical and abated)
        yield Condition(
            codings=_codings(resource.get("code")),
            text=_concept_text(resource.get("code")),
            status=ConditionStatus.PAST if past else ConditionStatus.ACTIVE,
            suspected=verification in _SUSPECTED_VERIFICATION,
            onset=_read_date(resource.get("onsetDateTime")) or _period_date(resource.get("onsetPeriod")),
            recorded=_read_date(resource.get("recordedDate")),
            source=EvidenceSource.FHIR,
            reference=_reference(resource),
        )
    for resource in _of_type(resources, "Device"):
        if _string(resource.get("status")) not in {"inactive", "entered-in-error"}:
            yield Condition(
                codings=_codings(resource.get("type")),
                text=_concept_text(resource.get("type")),
                source=EvidenceSource.FHIR,
                reference=_reference(resource),
            )


def _allergies(resources: Sequence[Resource]) -> Iterator[Allergy]:
    for resource in _of_type(resources, "AllergyIntolerance"):
        if _status_code(resource.get("verificationStatus")) in _DROPPED_VERIFICATION:
            continue
        if _status_code(resource.get("clinicalStatus")) in _PAST_STATUS:
            continue
        reactions = _dicts(resource.get("reaction"))
        substances = [coding for reaction in reactions for coding in _codings(reaction.get("substance"))]
        named = [_concept_text(reaction.get("substance")) for reaction in reactions]
        manifestations = [
            _concept_text(manifestation)
            for reaction in reactions
            for manifestation in _dicts(reaction.get("manifestation"))
        ]
        yield Allergy(
            codings=(*_codings(resource.get("code")), *substances),
            text=_concept_text(resource.get("code")) or next(filter(None, named), ""),
            reaction=", ".join(filter(None, manifestations)),
            recorded=_read_date(resource.get("recordedDate")) or _read_date(resource.get("onsetDateTime")),
            source=EvidenceSource.FHIR,
            reference=_reference(resource),
        )


def _observations(resources: Sequence[Resource]) -> Iterator[Observation]:
    for resource in _of_type(resources, "Observation"):
        if _string(resource.get("status")) in _DROPPED_OBSERVATION:
            continue
        observed = _read_date(resource.get("effectiveDateTime")) or _period_date(resource.get("effectivePeriod"))
        for part in (resource, *_dicts(resource.get("component"))):
            codings = _codings(part.get("code"))
            if codings:
                value, unit = _quantity(part)
                loinc = next((coding for coding in codings if coding.system == LOINC), codings[0])
                yield Observation(
                    coding=loinc,
                    value=value,
                    unit=unit,
                    observed=observed,
                    source=EvidenceSource.FHIR,
                    reference=_reference(resource),
                )


def _studies(resources: Sequence[Resource]) -> Iterator[CompletedStudy]:
    for resource in _of_type(resources, *_COMPLETED_STATUS):
        kind = resource["resourceType"]
        if _string(resource.get("status")) not in _COMPLETED_STATUS[kind]:
            continue
        concepts = resource.get("procedureCode") if kind == "ImagingStudy" else resource.get("code")
        parts = _dicts(concepts) if isinstance(concepts, list) else [concepts]
        when = ("started",) if kind == "ImagingStudy" else ("performedDateTime", "effectiveDateTime", "issued")
        periods = (resource.get("performedPeriod"), resource.get("effectivePeriod"))
        days = [_read_date(resource.get(key)) for key in when] + [_period_date(period) for period in periods]
        yield CompletedStudy(
            codings=tuple(coding for part in parts for coding in _codings(part)),
            text=next(filter(None, map(_concept_text, parts)), "") or _string(resource.get("description")),
            completed=next(filter(None, days), None),
            source=EvidenceSource.FHIR,
            reference=_reference(resource),
        )


def _quantity(part: Resource) -> tuple[float | None, str]:
    """Value and unit; "<30" is read as just below 30, so that a limit is met by what lies beyond it."""
    quantity = part.get("valueQuantity")
    if isinstance(quantity, dict):
        value = quantity.get("value")
        unit = _string(quantity.get("unit")) or _string(quantity.get("code"))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value)
            return (math.nextafter(number, -math.inf) if quantity.get("comparator") == "<" else number), unit
        return None, unit
    integer = part.get("valueInteger")
    return (float(integer), "") if isinstance(integer, int) and not isinstance(integer, bool) else (None, "")


def _codings(concept: Any) -> tuple[Coding, ...]:
    """All codings of a CodeableConcept, ICD-10-CM first; a code without a system keeps "" as its system."""
    if not isinstance(concept, dict):
        return ()
    found = [
        Coding(
            system=normalise_system(_string(one.get("system"))),
            code=_string(one.get("code")),
            display=_string(one.get("display")),
        )
        for one in _dicts(concept.get("coding"))
        if _string(one.get("code"))
    ]
    ranks = {system: rank for rank, system in enumerate(_CODING_ORDER)}
    return tuple(sorted(found, key=lambda coding: ranks.get(coding.system, len(ranks))))


def _concept_text(concept: Any) -> str:
    if not isinstance(concept, dict):
        return ""
    displays = (_string(one.get("display")) for one in _dicts(concept.get("coding")))
    return _string(concept.get("text")) or next(filter(None, displays), "")


def _status_code(status: Any) -> str:
    """The code of a status, which R4 writes as a concept and older servers as a word."""
    if isinstance(status, str):
        return status.strip().lower()
    if not isinstance(status, dict):
        return ""
    codes = (_string(one.get("code")) for one in _dicts(status.get("coding")))
    return (next(filter(None, codes), "") or _string(status.get("text"))).lower()


def _reference(resource: Resource) -> str:
    identifier = _string(resource.get("id"))
    return f"{resource['resourceType']}/{identifier}" if identifier else ""


def _period_date(period: Any) -> date | None:
    if not isinstance(period, dict):
        return None
    return _read_date(period.get("end")) or _read_date(period.get("start"))


def _read_date(value: Any) -> date | None:
    """The day of a FHIR date, dateTime or instant; a year or month is its first day. None for anything else."""
    text = _string(value)
    for size, form in ((10, "%Y-%m-%d"), (7, "%Y-%m"), (4, "%Y")):
        if len(text) >= size:
            try:
                return datetime.strptime(text[:size], form).date()  # noqa: DTZ007 - a day has no zone
            except ValueError:
                continue
    return None


def _string(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; [] when there is no list. One bad item does not lose the others."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def with_failed_lookup(evidence: PatientEvidence) -> PatientEvidence:
    """The same evidence from a source that did not answer in full."""
    return replace(
        evidence,
        lookup=LookupStatus.FAILED,
        answers=tuple(replace(answer, status=LookupStatus.FAILED) for answer in evidence.answers),
    )
