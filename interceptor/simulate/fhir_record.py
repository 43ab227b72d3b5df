"""Records of patients who do not exist, as FHIR R4 resources: what the simulated server serves.

Each is valid R4 by itself (a test asks fhir.resources). Identifiers are of one invented system.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from interceptor.simulate.population import Patient

IDENTIFIER_SYSTEM = "urn:oid:2.16.840.1.113883.19.5.99"
"""Of HL7's own arc for examples."""
ICD10CM_SYSTEM = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC_SYSTEM = "http://loinc.org"
SNOMED_SYSTEM = "http://snomed.info/sct"
EGFR_CODE = "98979-8"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_GENDERS = {"F": "female", "M": "male"}

Resource = dict[str, Any]


def record_of(patient: Patient, *, today: date) -> list[Resource]:
    """A simulated patient's record: the patient, one diagnosis, one allergy, one kidney value."""
    number = patient.number
    return [
        patient_resource(
            number,
            family=patient.family_name,
            given=patient.given_name,
            birth_date=patient.birth_date.isoformat(),
            gender=_GENDERS.get(patient.sex, "unknown"),
        ),
        condition_resource(f"c-{number}", number, code=patient.diagnosis.code, text=patient.diagnosis.words, day=today),
        allergy_resource(f"a-{number}", number, code="227493005", text="Cashew nuts"),
        egfr_resource(f"o-{number}", number, value=82.0, day=today),
    ]


def patient_resource(
    number: str,
    *,
    system: str = IDENTIFIER_SYSTEM,
    value: str = "",
    family: str = "Testpatient",
    given: str = "Jane",
    birth_date: str = "1968-01-01",
    gender: str = "female",
) -> Resource:
    """A Patient with the logical id "p-NUMBER" and the identifier *value*, the number where none is given."""
    return {
        "resourceType": "Patient",
        "id": patient_id(number),
        "active": True,
        "identifier": [{"system": system, "value": value or number}],
        "name": [{"family": family, "given": [given]}],
        "gender": gender,
        "birthDate": birth_date,
    }


def patient_id(number: str) -> str:
    """The logical id of a patient's resource."""
    return f"p-{number}"


def condition_resource(
    identifier: str,
    number: str,
    *,
    code: str,
    text: str = "",
    clinical: str = "active",
    verification: str = "confirmed",
    category: str = "problem-list-item",
    day: date | None = None,
) -> Resource:
    """A Condition with one ICD-10-CM code."""
    resource: Resource = {
        "resourceType": "Condition",
        "id": identifier,
        "category": [_concept(f"{_TERMINOLOGY}/condition-category", category)],
        "verificationStatus": _concept(f"{_TERMINOLOGY}/condition-ver-status", verification),
        "code": _concept(ICD10CM_SYSTEM, code) | ({"text": text} if text else {}),
        "subject": {"reference": f"Patient/{patient_id(number)}"},
    }
    # con-5: what was entered in error has no clinical status.
    if verification != "entered-in-error":
        resource["clinicalStatus"] = _concept(f"{_TERMINOLOGY}/condition-clinical", clinical)
    if day is not None:
        resource["recordedDate"] = day.isoformat()
    return resource


def allergy_resource(identifier: str, number: str, *, code: str, text: str) -> Resource:
    """An active AllergyIntolerance with one SNOMED CT code."""
    return {
        "resourceType": "AllergyIntolerance",
        "id": identifier,
        "clinicalStatus": _concept(f"{_TERMINOLOGY}/allergyintolerance-clinical", "active"),
        "verificationStatus": _concept(f"{_TERMINOLOGY}/allergyintolerance-verification", "confirmed"),
        "code": _concept(SNOMED_SYSTEM, code) | {"text": text},
        "patient": {"reference": f"Patient/{patient_id(number)}"},
    }


def egfr_resource(identifier: str, number: str, *, value: float, day: date) -> Resource:
    """A final Observation of the glomerular filtration rate."""
    unit = "mL/min/{1.73_m2}"
    return {
        "resourceType": "Observation",
        "id": identifier,
        "status": "final",
        "category": [_concept(f"{_TERMINOLOGY}/observation-category", "laboratory")],
        "code": _concept(LOINC_SYSTEM, EGFR_CODE),
        "subject": {"reference": f"Patient/{patient_id(number)}"},
        "effectiveDateTime": day.isoformat(),
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    }


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def search_bundle(matches: Sequence[Resource], *, base_url: str, total: int, links: Mapping[str, str]) -> Resource:
    """One page of a search, with the links of its neighbours by relation."""
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": total,
        "link": [{"relation": relation, "url": url} for relation, url in links.items()],
    }
    if matches:
        bundle["entry"] = [
            {
                "fullUrl": f"{base_url}/{one['resourceType']}/{one['id']}",
                "resource": one,
                "search": {"mode": "match"},
            }
            for one in matches
        ]
    return bundle


def outcome(code: str, diagnostics: str, *, severity: str = "error") -> Resource:
    """An OperationOutcome with one issue."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": code, "diagnostics": diagnostics}],
    }


def capability_statement(today: date) -> Resource:
    """What the simulated server says that it can do."""
    parameters = {
        "Patient": [("identifier", "token")],
        "Condition": [("patient", "reference"), ("category", "token")],
        "AllergyIntolerance": [("patient", "reference")],
        "Observation": [("patient", "reference"), ("code", "token"), ("date", "date")],
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": today.isoformat(),
        "kind": "instance",
        "software": {"name": "order-interceptor simulator"},
        "implementation": {"description": "Patients who do not exist"},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "resource": [
                    {
                        "type": kind,
                        "interaction": [{"code": "read"}, {"code": "search-type"}],
                        "searchParam": [{"name": name, "type": form} for name, form in names],
                    }
                    for kind, names in parameters.items()
                ],
            }
        ],
    }
