"""What one FHIR server knows of one patient: the searches, their pages, and whether the answer is of this patient.

    Patient?identifier=system|value
    Condition?patient=...&category=...   AllergyIntolerance?patient=...   Observation?patient=...&code=...

The patient that comes back must have the identifier, and birth date and sex must not contradict the order's;
every resource after it must name this patient as its subject. Otherwise nothing of the answer is used: evidence of
somebody else is worse than none. Statuses are filtered on our side (`fhir_bundle`): servers differ in theirs.

Failures: one search that fails leaves what the others brought, and the whole counts as failed: what came may
not be all there is.

Source: FHIR R4 (4.0.1) 3.2.1 (search), 3.3 (paging), Patient, Condition, AllergyIntolerance, Observation.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol

from interceptor.context.patient import PatientEvidence
from interceptor.evidence.fhir_bundle import Resource, bundle_of
from interceptor.evidence.fhir_failure import FhirFailure, FhirReason
from interceptor.evidence.fhir_http import Parameters
from interceptor.evidence.patient_question import PatientQuestion

LOINC_SYSTEM = "http://loinc.org"
_SEXES = {"M": "male", "F": "female"}
_SEVERE = frozenset({"error", "fatal"})
_PATIENTS_MAX = 20
"""More matches than this are ambiguous whatever they are."""


class FhirServer(Protocol):
    """What a search needs of the way to the server; both raise FhirFailure."""

    async def search(self, resource_type: str, parameters: Parameters) -> Mapping[str, Any]:
        """The first page of a search."""
        ...

    async def follow(self, link: str) -> Mapping[str, Any]:
        """The page that a next link names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What is asked for.

    Attributes:
        systems: Assigning authority as the feed spells it, in upper case, to the identifier system of the server.
        condition_categories: Kinds of Condition; those of another stated category are left out.
        observation_codes: LOINC codes of the values that are asked for; empty asks for none.
        observation_days: How far back.
        page_size: Asked for with `_count`; servers may send fewer.
        pages_max: Of each search.
        entries_max: Resources of one patient in all.
    """

    systems: Mapping[str, str]
    condition_categories: tuple[str, ...] = ("problem-list-item", "encounter-diagnosis")
    observation_codes: tuple[str, ...] = ()
    observation_days: int = 365
    page_size: int = 100
    pages_max: int = 10
    entries_max: int = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What came back.

    Attributes:
        evidence: Empty for a patient that the server does not know.
        is_known: Whether the server has the patient.
        failure: Why it may not be all; None when it is.
    """

    evidence: PatientEvidence
    is_known: bool
    failure: FhirFailure | None = None


@dataclass(frozen=True, slots=True)
class _Match:
    """The patient at the server: its id, and the identifier that it was found by."""

    patient_id: str
    resource: Resource
    value: str


def mapped_identifiers(question: PatientQuestion, systems: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """System and value of each identifier that the server can be asked for, in the order of the message."""
    found: dict[tuple[str, str], None] = {}
    for identifier in question.identifiers:
        for authority in identifier.authorities:
            system = systems.get(authority.upper())
            if system:
                found[system, identifier.value] = None
    return tuple(found)


async def search_patient(
    server: FhirServer, question: PatientQuestion, *, options: SearchOptions, today: date, seconds_max: float
) -> SearchResult:
    """Ask *server* for everything about the patient that decisions need, in *seconds_max* at most.

    Raises:
        FhirFailure: The patient cannot be named, found for certain, or told from somebody else; or the server failed
            before it said who it is.
    """
    identifiers = mapped_identifiers(question, options.systems)
    if not identifiers:
        raise FhirFailure(FhirReason.NO_IDENTIFIER)
    deadline = asyncio.get_running_loop().time() + seconds_max
    try:
        async with asyncio.timeout_at(deadline):
            match = await _find_patient(server, question, identifiers)
    except TimeoutError:
        raise FhirFailure(FhirReason.TIMED_OUT) from None
    if match is None:
        return SearchResult(evidence=bundle_of(()).for_patient(()), is_known=False)
    searches = _searches(match.patient_id, options, today)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_collect(server, kind, more, match, options, deadline=deadline))
            for kind, more in searches
        ]
    resources: list[Resource] = [match.resource]
    failure: FhirFailure | None = None
    for task in tasks:
        found, failed = task.result()
        resources.extend(found)
        failure = failure or failed
    return SearchResult(evidence=bundle_of(resources).for_patient((match.value,)), is_known=True, failure=failure)


def _searches(patient_id: str, options: SearchOptions, today: date) -> Iterator[tuple[str, Parameters]]:
    count = ("_count", str(options.page_size))
    patient = ("patient", patient_id)
    categories = [("category", ",".join(options.condition_categories))] if options.condition_categories else []
    yield "Condition", [patient, *categories, count]
    yield "AllergyIntolerance", [patient, count]
    if options.observation_codes:
        codes = ",".join(f"{LOINC_SYSTEM}|{code}" for code in options.observation_codes)
        since = today - timedelta(days=options.observation_days)
        yield "Observation", [patient, ("code", codes), ("date", f"ge{since.isoformat()}"), count]


async def _find_patient(
    server: FhirServer, question: PatientQuestion, identifiers: Sequence[tuple[str, str]]
) -> _Match | None:
    """The patient, by the first of the identifiers that the server knows; None when it knows none."""
    for system, value in identifiers:
        # "|", "," and "\" have a meaning in a token: 3.2.1.5.7 escapes them.
        token = f"{_escaped(system)}|{_escaped(value)}"
        parameters = [("identifier", token), ("_count", str(_PATIENTS_MAX))]
        bundle = await server.search("Patient", parameters)
        found, failed = _read_page(bundle, "Patient")
        if failed:
            raise FhirFailure(FhirReason.OPERATION_OUTCOME)
        if any(not _has_identifier(patient, system, value) for patient in found):
            raise FhirFailure(FhirReason.WRONG_PATIENT)
        living = [patient for patient in found if not _is_replaced(patient)]
        if len({_id(patient) for patient in living}) > 1 or _next_link(bundle):
            raise FhirFailure(FhirReason.AMBIGUOUS_PATIENT)
        if living:
            _check_person(living[0], question)
            return _Match(_checked_id(living[0]), living[0], value)
    return None


def _escaped(text: str) -> str:
    for character in "\\|,$":
        text = text.replace(character, "\\" + character)
    return text


def _has_identifier(patient: Resource, system: str, value: str) -> bool:
    return any(one.get("system") == system and one.get("value") == value for one in _dicts(patient.get("identifier")))


def _is_replaced(patient: Resource) -> bool:
    """Whether the record was merged into another one, or entered in error (Patient.active, Patient.link)."""
    return patient.get("active") is False and any(
        link.get("type") == "replaced-by" for link in _dicts(patient.get("link"))
    )


def _id(resource: Resource) -> object:
    return resource.get("id")


def _checked_id(patient: Resource) -> str:
    """The logical id; the server's own, but it goes into an address, so only what FHIR allows in an id."""
    found = patient.get("id")
    if not isinstance(found, str) or not 1 <= len(found) <= 64 or not found.isascii():
        raise FhirFailure(FhirReason.NOT_FHIR)
    if not found.replace("-", "").replace(".", "").isalnum():
        raise FhirFailure(FhirReason.NOT_FHIR)
    return found


def _check_person(patient: Resource, question: PatientQuestion) -> None:
    """Compare what both sides state; what one side leaves out says nothing."""
    birth = patient.get("birthDate")
    if isinstance(birth, str) and birth and question.birth_date:
        size = min(len(birth), len(question.birth_date))
        if birth[:size] != question.birth_date[:size]:
            raise FhirFailure(FhirReason.WRONG_PATIENT)
    stated, gender = _SEXES.get(question.sex), patient.get("gender")
    if stated and gender in _SEXES.values() and gender != stated:
        raise FhirFailure(FhirReason.WRONG_PATIENT)


async def _collect(
    server: FhirServer,
    kind: str,
    parameters: Parameters,
    match: _Match,
    options: SearchOptions,
    *,
    deadline: float,
) -> tuple[list[Resource], FhirFailure | None]:
    """All pages of one search; with a failure, what came before it.

    Resources of somebody else are never among them: one is enough to trust nothing of the search.
    """
    collected: list[Resource] = []
    try:
        async with asyncio.timeout_at(deadline):
            async for page in _pages(server, kind, parameters, options):
                found, failed = _read_page(page, kind)
                if any(not _is_of(resource, match.patient_id) for resource in found):
                    return [], FhirFailure(FhirReason.WRONG_PATIENT)
                collected.extend(resource for resource in found if _is_asked_for(resource, options))
                if failed:
                    return collected, FhirFailure(FhirReason.OPERATION_OUTCOME)
                if len(collected) > options.entries_max:
                    return collected, FhirFailure(FhirReason.TOO_MANY_PAGES)
    except TimeoutError:
        return collected, FhirFailure(FhirReason.TIMED_OUT)
    except FhirFailure as failure:
        return collected, failure
    return collected, None


async def _pages(
    server: FhirServer, kind: str, parameters: Parameters, options: SearchOptions
) -> AsyncIterator[Mapping[str, Any]]:
    """The pages of one search, in order; raises FhirFailure for a circle or too many."""
    page = await server.search(kind, parameters)
    seen: set[str] = set()
    while True:
        yield page
        link = _next_link(page)
        if link is None:
            return
        if link in seen or len(seen) + 1 >= options.pages_max:
            raise FhirFailure(FhirReason.TOO_MANY_PAGES)
        seen.add(link)
        page = await server.follow(link)


def _read_page(page: Mapping[str, Any], kind: str) -> tuple[list[Resource], bool]:
    """The resources of this kind on a page, and whether the server says that something failed.

    Raises:
        FhirFailure: It is an OperationOutcome, or no Bundle.
    """
    if page.get("resourceType") == "OperationOutcome":
        raise FhirFailure(FhirReason.OPERATION_OUTCOME)
    entries = page.get("entry", [])
    if page.get("resourceType") != "Bundle" or not isinstance(entries, list):
        raise FhirFailure(FhirReason.NOT_FHIR)
    found: list[Resource] = []
    failed = False
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            raise FhirFailure(FhirReason.NOT_FHIR)
        if resource.get("resourceType") == kind:
            found.append(resource)
        elif resource.get("resourceType") == "OperationOutcome":
            failed |= any(issue.get("severity") in _SEVERE for issue in _dicts(resource.get("issue")))
    return found, failed


def _is_of(resource: Resource, patient_id: str) -> bool:
    """Whether the resource names this patient; one that names nobody is not trusted either."""
    subject = resource.get("subject") or resource.get("patient")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    if not isinstance(reference, str):
        return False
    parts = reference.split("/_history/", 1)[0].split("/")
    return parts[-2:] == ["Patient", patient_id]


def _is_asked_for(resource: Resource, options: SearchOptions) -> bool:
    """Whether a Condition's category, where it has one, is among those asked for; servers may ignore the parameter."""
    if resource.get("resourceType") != "Condition":
        return True
    stated = {
        coding.get("code") for category in _dicts(resource.get("category")) for coding in _dicts(category.get("coding"))
    } - {None}
    return not stated or not stated.isdisjoint(options.condition_categories)


def _next_link(page: Mapping[str, Any]) -> str | None:
    links = (one.get("url") for one in _dicts(page.get("link")) if one.get("relation") == "next")
    return next((link for link in links if isinstance(link, str) and link), None)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
