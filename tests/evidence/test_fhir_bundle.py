"""A FHIR R4 Bundle as evidence: what counts, what is dropped, and whose it is."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.context.patient import ConditionStatus, PatientEvidence
from interceptor.context.vocabulary import EvidenceSource, LookupStatus
from interceptor.evidence.fhir_bundle import FhirError, read_bundle, with_failed_lookup

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"


def bundle(*resources: dict[str, Any]) -> str:
    return json.dumps(
        {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}
    )


def evidence(*resources: dict[str, Any], identifiers: tuple[str, ...] = ()) -> PatientEvidence:
    return read_bundle(bundle(*resources)).for_patient(identifiers)


def concept(code: str, *, system: str = ICD10, **more: Any) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": f"display of {code}"}], **more}


def condition(**changes: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": "c1", "code": concept("C50.911")} | changes


def status(word: str) -> dict[str, Any]:
    return {"coding": [{"code": word}]}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("active", ConditionStatus.ACTIVE),
        ("recurrence", ConditionStatus.ACTIVE),
        ("relapse", ConditionStatus.ACTIVE),
        ("remission", ConditionStatus.PAST),
        ("resolved", ConditionStatus.PAST),
        ("inactive", ConditionStatus.PAST),
        ("RESOLVED", ConditionStatus.PAST),
        ("of its own", ConditionStatus.ACTIVE),
    ],
)
def test_the_clinical_status_is_active_or_past(word: str, expected: ConditionStatus) -> None:
    (found,) = evidence(condition(clinicalStatus=status(word))).conditions
    assert found.status is expected


def test_without_a_status_an_abatement_makes_it_past() -> None:
    (ended,) = evidence(condition(abatementDateTime="2020-01-01")).conditions
    (open_,) = evidence(condition()).conditions
    (recurred,) = evidence(condition(abatementDateTime="2020", clinicalStatus=status("recurrence"))).conditions
    assert (ended.status, open_.status, recurred.status) == (
        ConditionStatus.PAST,
        ConditionStatus.ACTIVE,
        ConditionStatus.ACTIVE,
    )


@pytest.mark.parametrize("word", ["refuted", "entered-in-error"])
def test_what_was_refuted_is_dropped(word: str) -> None:
    assert evidence(condition(verificationStatus=status(word))).conditions == ()


@pytest.mark.parametrize(
    ("word", "suspected"), [("provisional", True), ("differential", True), ("unconfirmed", True), ("confirmed", False)]
)
def test_a_diagnosis_that_is_not_confirmed_is_suspected(word: str, *, suspected: bool) -> None:
    (found,) = evidence(condition(verificationStatus=status(word))).conditions
    assert found.suspected is suspected


def test_icd_10_speaks_before_snomed_in_one_condition() -> None:
    code = {"coding": [{"system": SNOMED, "code": "254837009"}, {"system": ICD10, "code": "C50.911"}]}
    (found,) = evidence(condition(code=code)).conditions
    assert [coding.system for coding in found.codings] == ["icd10cm", "snomed"]


@pytest.mark.parametrize(
    ("system", "name"),
    [
        (ICD10, "icd10cm"),
        ("urn:oid:2.16.840.1.113883.6.90", "icd10cm"),
        (SNOMED, "snomed"),
        ("http://loinc.org", "loinc"),
    ],
)
def test_systems_are_known_by_their_uris(system: str, name: str) -> None:
    (found,) = evidence(condition(code=concept("1", system=system))).conditions
    assert found.codings[0].system == name


def test_dates_text_and_source_are_kept() -> None:
    (found,) = evidence(
        condition(
            code={"text": "breast cancer, left"}, onsetDateTime="2019-07", recordedDate="2025-11-04T09:00:00-05:00"
        )
    ).conditions
    assert (found.onset, found.recorded) == (date(2019, 7, 1), date(2025, 11, 4))
    assert (found.text, found.codings) == ("breast cancer, left", ())
    assert (found.source, found.reference) == (EvidenceSource.FHIR, "Condition/c1")


def test_an_active_device_is_a_condition_and_a_removed_one_is_none() -> None:
    device = {"resourceType": "Device", "type": concept("14106009", system=SNOMED), "status": "active"}
    assert len(evidence(device).conditions) == 1
    assert evidence(device | {"status": "inactive"}).conditions == ()


def allergy(**changes: Any) -> dict[str, Any]:
    return {"resourceType": "AllergyIntolerance", "code": {"text": "Gadobutrol"}} | changes


def test_an_allergy_keeps_its_words_and_its_reaction() -> None:
    reaction = [{"manifestation": [{"text": "hives"}, concept("39579001", system=SNOMED)]}]
    (found,) = evidence(allergy(reaction=reaction)).allergies
    assert (found.text, found.reaction) == ("Gadobutrol", "hives, display of 39579001")


def test_the_substance_of_a_reaction_names_an_allergy_that_has_no_code() -> None:
    (found,) = evidence(allergy(code=None, reaction=[{"substance": {"text": "Gadavist"}}])).allergies
    assert found.text == "Gadavist"


@pytest.mark.parametrize(
    "changes",
    [{"verificationStatus": status("refuted")}, {"clinicalStatus": status("resolved")}],
)
def test_an_allergy_that_is_no_more_is_dropped(changes: dict[str, Any]) -> None:
    assert evidence(allergy(**changes)).allergies == ()


def observation(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": concept("98979-8", system="http://loinc.org"),
        "effectiveDateTime": "2026-02-20",
        "valueQuantity": {"value": 22, "unit": "mL/min"},
    } | changes


def test_a_value_comes_with_its_unit_and_day() -> None:
    (found,) = evidence(observation()).observations
    assert (found.coding.code, found.value, found.unit, found.observed) == (
        "98979-8",
        22.0,
        "mL/min",
        date(2026, 2, 20),
    )


def test_below_a_limit_is_read_as_below_it() -> None:
    (found,) = evidence(observation(valueQuantity={"value": 30, "comparator": "<"})).observations
    assert found.value is not None
    assert 29.9 < found.value < 30


def test_a_value_that_is_no_number_is_none() -> None:
    (found,) = evidence(observation(valueQuantity={"value": "22"})).observations
    assert found.value is None


def test_the_components_of_a_panel_are_values_of_their_own() -> None:
    part = {"code": concept("33914-3", system="http://loinc.org"), "valueQuantity": {"value": 25}}
    panel = observation(valueQuantity=None, component=[part])
    assert [(one.coding.code, one.value) for one in evidence(panel).observations] == [
        ("98979-8", None),
        ("33914-3", 25.0),
    ]


@pytest.mark.parametrize("word", ["entered-in-error", "cancelled"])
def test_a_withdrawn_value_is_dropped(word: str) -> None:
    assert evidence(observation(status=word)).observations == ()


@pytest.mark.parametrize(
    ("resource", "counts"),
    [
        ({"resourceType": "DiagnosticReport", "status": "final", "effectiveDateTime": "2026-02-20"}, True),
        ({"resourceType": "DiagnosticReport", "status": "registered"}, False),
        ({"resourceType": "Procedure", "status": "completed", "performedPeriod": {"end": "2026-02-20"}}, True),
        ({"resourceType": "Procedure", "status": "not-done"}, False),
        ({"resourceType": "Procedure", "status": "preparation"}, False),
    ],
)
def test_a_study_counts_when_it_was_done(resource: dict[str, Any], *, counts: bool) -> None:
    found = evidence(resource | {"code": concept("72148", system="http://www.ama-assn.org/go/cpt")}).studies
    assert [(one.codings[0].system, one.codings[0].code, one.completed) for one in found] == (
        [("cpt", "72148", date(2026, 2, 20))] if counts else []
    )


def test_an_imaging_study_is_named_by_its_procedure_codes() -> None:
    study = {
        "resourceType": "ImagingStudy",
        "status": "available",
        "started": "2026-02-20T10:00:00Z",
        "procedureCode": [concept("30855-1", system="http://loinc.org")],
        "description": "MR whole spine",
    }
    (found,) = evidence(study).studies
    assert (found.codings[0].code, found.completed) == ("30855-1", date(2026, 2, 20))


def patient(name: str, *values: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": name,
        "identifier": [{"value": value} for value in values],
        "birthDate": "1967-04-04",
    }


def of(name: str) -> dict[str, Any]:
    return condition(subject={"reference": f"Patient/{name}"})


def test_a_bundle_of_one_patient_is_about_the_patient_that_was_asked_for() -> None:
    found = evidence(patient("p1", "77"), of("p1"), identifiers=("another",))
    assert len(found.conditions) == 1
    assert found.birth_date == date(1967, 4, 4)


def test_an_entry_of_somebody_else_is_dropped() -> None:
    assert evidence(patient("p1", "77"), of("p2")).conditions == ()


@pytest.mark.parametrize(
    "reference", ["Patient/p1", "https://host/fhir/Patient/p1", "Patient/p1/_history/3", "urn:uuid:p1"]
)
def test_a_patient_is_known_by_every_form_of_reference(reference: str) -> None:
    assert len(evidence(patient("p1", "77"), condition(subject={"reference": reference})).conditions) == 1


def test_of_several_patients_only_the_one_asked_for_is_read() -> None:
    resources = (patient("p1", "77"), patient("p2", "78"), of("p1"), of("p2"), of("p2"), condition())
    assert len(evidence(*resources, identifiers=("77",)).conditions) == 1
    assert len(evidence(*resources, identifiers=("78",)).conditions) == 2


def test_a_bundle_of_other_patients_says_nothing_about_this_one() -> None:
    found = evidence(patient("p1", "77"), patient("p2", "78"), of("p1"), identifiers=("79",))
    assert (found.lookup, found.conditions) == (LookupStatus.FAILED, ())


def test_an_empty_answer_is_an_answer() -> None:
    assert read_bundle('{"resourceType": "Bundle"}').for_patient(()).lookup is LookupStatus.OK


def test_an_error_of_the_server_makes_the_lookup_failed() -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}
    hint = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning"}]}
    assert evidence(condition(), outcome).lookup is LookupStatus.FAILED
    assert evidence(condition(), hint).lookup is LookupStatus.OK
    assert read_bundle(json.dumps(outcome)).for_patient(()).lookup is LookupStatus.FAILED


def test_a_failed_lookup_keeps_what_it_got() -> None:
    found = with_failed_lookup(evidence(condition()))
    assert found.lookup is LookupStatus.FAILED
    assert len(found.conditions) == 1
    assert {answer.status for answer in found.answers} == {LookupStatus.FAILED}


@pytest.mark.parametrize(
    ("text", "reason", "place"),
    [
        ("{", "not_json", ""),
        ("[]", "not_a_bundle", ""),
        ('{"a": 1}', "not_a_bundle", ""),
        ('{"resourceType": "Bundle", "entry": 3}', "broken_entry", "entry"),
        (
            '{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient"}}, 3]}',
            "broken_entry",
            "entry[1]",
        ),
        ('{"resourceType": "Bundle", "entry": [{"resource": {}}]}', "broken_entry", "entry[0].resource"),
    ],
)
def test_what_is_no_bundle_is_refused_with_reason_and_place(text: str, reason: str, place: str) -> None:
    with pytest.raises(FhirError) as raised:
        read_bundle(text)
    assert (raised.value.reason, raised.value.place) == (reason, place)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
KINDS = [
    "Condition",
    "AllergyIntolerance",
    "Observation",
    "ImagingStudy",
    "DiagnosticReport",
    "Procedure",
    "Patient",
    "Device",
]
KEYS = ["code", "status", "clinicalStatus", "verificationStatus", "reaction", "subject", "component", "procedureCode",
        "valueQuantity", "effectivePeriod", "identifier", "id", "recordedDate", "type", "coding"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), json_values, max_size=5))
def test_no_shape_of_a_resource_breaks_the_reader(kind: str, values: dict[str, Any]) -> None:
    """One resource that is not as the standard says never loses the others."""
    found = evidence(condition(), {"resourceType": kind, **values})
    assert found.conditions or kind == "Patient"
