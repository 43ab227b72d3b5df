"""FHIR R4 resources as statements: lines of a Bulk Data export, or the entries of a Bundle.

    Patient                       its identifiers and its resource id are one person
    Condition, Device             conditions           AllergyIntolerance   allergies
    Observation                   eGFR only            Procedure, ImagingStudy, DiagnosticReport   spine MR only

A resource belongs to the patient that it refers to, by the resource id: in which order the files of an export come does
not matter, and nothing has to be kept in memory. What a resource means is read by `fhir_bundle`.

Source: FHIR R4 (4.0.1); FHIR Bulk Data Access 2.0, output files.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from interceptor.context.code import normalise_system
from interceptor.context.code_table import CodeTables, QuestionKind
from interceptor.context.imaging_history import spine_mr_regions
from interceptor.context.patient import (
    Allergy,
    CompletedStudy,
    Condition,
    ConditionStatus,
    Observation,
    PatientEvidence,
)
from interceptor.context.site_profile import SiteProfile
from interceptor.evidence.feed_patient import NOT_A_PERSON
from interceptor.evidence.fhir_bundle import EvidenceBundle, Resource
from interceptor.evidence.import_file import BadRow, CountedLines, ImportFailure, ImportFile, ReadRow
from interceptor.evidence.statement import (
    Authorities,
    Fact,
    FactKind,
    PatientIdentifier,
    Snapshot,
    Standing,
    Statement,
    code_key,
)

RESOURCE_ID_TYPE = "FHIR"
BUNDLE_SIZE_MAX = 512 * 1024 * 1024
"""A Bundle is read as a whole; larger exports come as NDJSON."""
_VOID = frozenset({"entered-in-error", "refuted", "cancelled", "not-done"})
_SCOPE = "import"
_SEXES = {"female": "F", "male": "M", "other": "O", "unknown": "U"}
_KINDS = {
    "Condition": FactKind.CONDITION,
    "Device": FactKind.CONDITION,
    "AllergyIntolerance": FactKind.ALLERGY,
    "Observation": FactKind.OBSERVATION,
    "Procedure": FactKind.STUDY,
    "ImagingStudy": FactKind.STUDY,
    "DiagnosticReport": FactKind.STUDY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirOptions:
    """How resources are read.

    Attributes:
        source: Name of the import; resource ids are unique within it.
        authorities: How assigning authorities are spelled; identifier systems are among them.
        codes, site: Which observations and studies are kept.
        as_of: When the export was made; counts where a resource has no lastUpdated.
        keeps_rows: All is of one time, whatever lastUpdated says (an import of everything).
    """

    source: str
    authorities: Authorities
    codes: CodeTables
    site: SiteProfile
    as_of: datetime
    keeps_rows: bool = False


class BadResource(ValueError):  # noqa: N818 - a row's fault
    """A resource cannot be used; the message is a fixed sentence."""


def read_ndjson(file: ImportFile, options: FhirOptions, *, skip: int = 0) -> Iterator[ReadRow]:
    """Every line of an export, from the line after *skip*."""
    with file.path.open("rb") as opened:
        lines = CountedLines(opened, file.encoding)
        for line in lines:
            if lines.line_number > skip and line.strip():
                yield _read_row(lines.line_number, line, lines.position, options)


def _read_row(line_number: int, line: str, position: int, options: FhirOptions) -> ReadRow:
    try:
        return ReadRow(line_number, read_resource(json.loads(line), options), None, position)
    except BadResource as error:
        what = str(error)
    except (ValueError, RecursionError):
        what = "is not JSON"
    return ReadRow(line_number, None, BadRow(line_number, what), position)


def read_bundle_file(file: ImportFile, options: FhirOptions, *, skip: int = 0) -> Iterator[ReadRow]:
    """Every entry of a Bundle, counted from 1, from the entry after *skip*.

    Raises:
        ImportFailure: It is no Bundle, or too large to be read as a whole.
    """
    if file.size > BUNDLE_SIZE_MAX:
        raise ImportFailure("is too large for a Bundle; export it as NDJSON")
    try:
        document = json.loads(file.path.read_bytes().decode(file.encoding))
    except (ValueError, RecursionError):
        raise ImportFailure("is not JSON") from None
    entries = document.get("entry", []) if isinstance(document, dict) else None
    if not isinstance(document, dict) or document.get("resourceType") != "Bundle" or not isinstance(entries, list):
        raise ImportFailure("is no FHIR Bundle")
    for number, entry in enumerate(entries, start=1):
        if number > skip:
            position = file.size * number // len(entries)
            yield _read_entry(number, entry, position, options)


def _read_entry(number: int, entry: Any, position: int, options: FhirOptions) -> ReadRow:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if resource is None:
        return ReadRow(number, None, BadRow(number, "has no resource"), position)
    try:
        full_url = entry.get("fullUrl")
        return ReadRow(number, read_resource(resource, options, full_url=full_url), None, position)
    except BadResource as error:
        return ReadRow(number, None, BadRow(number, str(error)), position)


def read_resource(resource: Any, options: FhirOptions, *, full_url: Any = "") -> Statement | None:
    """What one resource says; None for one that the registry does not keep.

    Raises:
        BadResource: It is no resource, or belongs to nobody.
    """
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise BadResource("is no FHIR resource")
    kind = resource["resourceType"]
    if kind == "Patient":
        return _patient(resource, options, full_url)
    if kind not in _KINDS:
        return None
    fact = _fact(resource, _KINDS[kind], options)
    if fact is None:
        return None
    return Statement(
        source=options.source,
        said_at=_said_at(resource, options),
        reference=f"{kind}/{string(resource.get('id'))}",
        identifiers=(_subject(resource, options),),
        facts=(fact,),
    )


def _patient(resource: Resource, options: FhirOptions, full_url: Any) -> Statement:
    names = dict.fromkeys([string(resource.get("id")), _last_part(string(full_url))])
    identifiers = [_resource_identifier(name, options) for name in names if name]
    stated = resource.get("identifier")
    for one in stated if isinstance(stated, list) else []:
        identifier = _identifier(one, options) if isinstance(one, dict) else None
        if identifier is not None:
            identifiers.append(identifier)
    if not identifiers:
        raise BadResource("Patient has neither id nor identifier")
    return Statement(
        source=options.source,
        said_at=_said_at(resource, options),
        reference=f"Patient/{string(resource.get('id'))}",
        identifiers=tuple(dict.fromkeys(identifiers)),
        birth_date=string(resource.get("birthDate"))[:10],
        sex=_SEXES.get(string(resource.get("gender")), ""),
    )


def _identifier(stated: Mapping[str, Any], options: FhirOptions) -> PatientIdentifier | None:
    value, authority = string(stated.get("value")), options.authorities.name(string(stated.get("system")))
    kind = stated.get("type")
    codings = kind.get("coding") if isinstance(kind, dict) else None
    types = [string(one.get("code")).upper() for one in codings or [] if isinstance(one, dict)]
    stated_type = next(filter(None, types), "")
    if not value or not authority or stated_type in NOT_A_PERSON or stated.get("use") == "old":
        return None
    return PatientIdentifier(value, authority, stated_type)


def _subject(resource: Resource, options: FhirOptions) -> PatientIdentifier:
    subject = resource.get("subject") or resource.get("patient")
    if isinstance(subject, dict):
        name = _last_part(string(subject.get("reference")))
        if name:
            return _resource_identifier(name, options)
        stated = subject.get("identifier")
        identifier = _identifier(stated, options) if isinstance(stated, dict) else None
        if identifier is not None:
            return identifier
    raise BadResource("refers to no patient")


def _resource_identifier(name: str, options: FhirOptions) -> PatientIdentifier:
    return PatientIdentifier(name, f"FHIR:{options.source}", RESOURCE_ID_TYPE)


def _last_part(reference: str) -> str:
    """The name that all references to a patient end with: "Patient/p1", "https://host/Patient/p1/_history/2" and "urn:uuid:..."."""
    return reference.split("/_history/", 1)[0].rstrip("/").rsplit("/", 1)[-1].removeprefix("urn:uuid:")


def _said_at(resource: Resource, options: FhirOptions) -> datetime:
    meta = resource.get("meta")
    stated = string(meta.get("lastUpdated")) if isinstance(meta, dict) and not options.keeps_rows else ""
    try:
        said_at = datetime.fromisoformat(stated)
    except ValueError:
        return options.as_of
    return min(said_at if said_at.tzinfo is not None else said_at.replace(tzinfo=UTC), options.as_of)


def _fact(resource: Resource, kind: FactKind, options: FhirOptions) -> Fact | None:
    number = string(resource.get("id"))
    if not number:
        raise BadResource("has no id")
    reference = f"{resource['resourceType']}/{number}"
    # A measured value that was taken back is read as if it stood: its day and code say which one it was.
    shown = {**resource, "status": "final"} if kind is FactKind.OBSERVATION else resource
    evidence = EvidenceBundle(patients=(), resources=(("", shown),), failed=False).for_patient(())
    is_void = _is_void(resource)
    if kind is FactKind.OBSERVATION:
        facts = [_observation(one) for one in evidence.observations if _is_rate(one, options)]
    elif kind is FactKind.STUDY:
        facts = [_study(one) for one in evidence.studies if _is_spine(one, options)]
    elif kind is FactKind.ALLERGY:
        facts = [_allergy(one) for one in evidence.allergies]
    else:
        facts = [_condition(one) for one in evidence.conditions]
    if facts:
        fact = _with_key(facts[0], reference)
        return replace(fact, standing=Standing.RETRACTED) if is_void else fact
    if kind in (FactKind.CONDITION, FactKind.ALLERGY) or (kind is FactKind.STUDY and is_void):
        # What says nothing any more (refuted, a resolved allergy) takes back what it said before.
        return Fact(kind=kind, key=f"id:{reference}", scope=_SCOPE, standing=Standing.RETRACTED)
    return None


def _with_key(fact: Fact, reference: str) -> Fact:
    """The fact under its resource's id; measured values under code and day too, for only the newest are kept."""
    if fact.kind is not FactKind.OBSERVATION:
        return replace(fact, key=f"id:{reference}", scope=_SCOPE)
    day = fact.recorded.isoformat() if fact.recorded else ""
    return replace(fact, key=f"{day}|{reference}", scope=f"lab:{code_key(fact.codings, fact.text)}")


def _is_spine(one: CompletedStudy, options: FhirOptions) -> bool:
    return spine_mr_regions(one, options.codes, options.site) is not None


def _is_void(resource: Resource) -> bool:
    stated = [resource.get("status"), *_codes(resource.get("verificationStatus"))]
    return any(one in _VOID for one in stated)


def string(value: Any) -> str:
    """A JSON text without blanks around it; "" for anything else."""
    return value.strip() if isinstance(value, str) else ""


def _codes(concept: Any) -> list[str]:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    return [string(one.get("code")) for one in codings or [] if isinstance(one, dict)]


def _is_rate(one: Observation, options: FhirOptions) -> bool:
    if normalise_system(one.coding.system) == "loinc":
        return options.codes.laboratory(one.coding.code) == QuestionKind.EGFR
    return options.codes.question_kind(one.coding.display) is QuestionKind.EGFR


def _condition(one: Condition) -> Fact:
    standing = Standing.SUSPECTED if one.suspected else Standing.ACTIVE
    return Fact(
        kind=FactKind.CONDITION,
        key="",
        standing=Standing.PAST if one.status is ConditionStatus.PAST else standing,
        codings=one.codings,
        text=one.text,
        onset=one.onset,
        recorded=one.recorded,
    )


def _allergy(one: Allergy) -> Fact:
    return Fact(
        kind=FactKind.ALLERGY,
        key="",
        codings=one.codings,
        text=one.text,
        detail=one.reaction,
        recorded=one.recorded,
    )


def _observation(one: Observation) -> Fact:
    return Fact(
        kind=FactKind.OBSERVATION,
        key="",
        codings=(one.coding,),
        value=one.value,
        detail=one.unit,
        recorded=one.observed,
    )


def _study(one: CompletedStudy) -> Fact:
    return Fact(kind=FactKind.STUDY, key="", codings=one.codings, text=one.text, recorded=one.completed)


def evidence_statement(
    evidence: PatientEvidence, *, source: str, identifiers: tuple[PatientIdentifier, ...], said_at: datetime
) -> Statement:
    """What another source answered about a patient, as a statement: so that a late answer serves the next order.

    The answer is all that the source knows: conditions and allergies of an earlier answer that it lacks are gone. Facts
    without a reference are left out, for they have no key.
    """
    facts = [
        *((one.reference, _condition(one)) for one in evidence.conditions),
        *((one.reference, _allergy(one)) for one in evidence.allergies),
        *((one.reference, _observation(one)) for one in evidence.observations),
        *((one.reference, _study(one)) for one in evidence.studies),
    ]
    return Statement(
        source=source,
        said_at=said_at,
        reference=source,
        identifiers=identifiers,
        birth_date=evidence.birth_date.isoformat() if evidence.birth_date else "",
        facts=tuple(_with_key(fact, reference) for reference, fact in facts if reference),
        snapshots=tuple(Snapshot(kind=kind, scope=_SCOPE) for kind in (FactKind.CONDITION, FactKind.ALLERGY)),
    )
