"""The simulated FHIR server: its resources are valid R4, its searches are what the standard says."""

import warnings
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import httpx2
import pytest

from interceptor.simulate.fhir_record import capability_statement, condition_resource, outcome, record_of
from interceptor.simulate.fhir_server import SimulatedFhirServer, serving
from interceptor.simulate.population import build_population
from tests.support.fhir import TODAY, record

with warnings.catch_warnings():
    # The library's own models shadow names of pydantic's; nothing of ours.
    warnings.simplefilter("ignore")
    from fhir.resources.R4B import get_fhir_model_class


def validate(resource: dict[str, Any]) -> None:
    """Raise when a resource is not valid."""
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)


async def get(server: SimulatedFhirServer, path: str) -> tuple[int, dict[str, Any]]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        response = await client.get(f"{server.base_url}/{path}")
    return response.status_code, response.json()


def test_every_resource_of_the_whole_population_is_valid() -> None:
    population = build_population(Random(1), today=date(2026, 3, 2))
    for patient in population:
        for resource in record_of(patient, today=date(2026, 3, 2)):
            validate(resource)
    assert len(population) == 180


def test_the_check_finds_what_is_not_valid() -> None:
    with pytest.raises(ValueError, match="gender"):
        validate(record()[0] | {"gender": ["female"]})


@pytest.mark.parametrize("verification", ["confirmed", "entered-in-error", "refuted"])
def test_conditions_of_any_status_are_valid(verification: str) -> None:
    validate(condition_resource("1", "1", code="C61", verification=verification, day=TODAY))


def test_outcomes_and_the_capability_statement_are_valid() -> None:
    validate(outcome("exception", "out of order"))
    validate(capability_statement(datetime.now(UTC).date()))


async def test_pages_are_valid_bundles_that_lead_to_every_match_once() -> None:
    resources = [*record(), *(condition_resource(f"x{number}", "1001", code="I10") for number in range(6))]
    async with serving(resources, page_size_max=3) as server:
        seen: list[str] = []
        path = "Condition?patient=p-1001&category=problem-list-item&_count=100"
        while path:
            status, bundle = await get(server, path)
            assert status == 200
            validate(bundle)
            assert bundle["total"] == 7
            seen.extend(entry["resource"]["id"] for entry in bundle["entry"])
            links = {link["relation"]: link["url"] for link in bundle["link"]}
            path = links.get("next", "").removeprefix(server.base_url + "/")
    assert seen == ["c-1001", *(f"x{number}" for number in range(6))]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("Patient?identifier=urn:oid:2.16.840.1.113883.19.5.99|1001", 1),
        ("Patient?identifier=urn:oid:2.16.840.1.113883.19.5.99|1002", 0),
        ("Patient?identifier=urn:oid:9|1001", 0),
        ("Condition?patient=p-1001&category=encounter-diagnosis", 0),
        ("Condition?patient=p-1001&category=encounter-diagnosis,problem-list-item", 1),
        ("Observation?patient=p-1001&code=http://loinc.org|98979-8,http://loinc.org|1-1", 1),
        ("Observation?patient=p-1001&code=http://loinc.org|1-1", 0),
        ("Observation?patient=p-1001&date=ge2999-01-01", 0),
        ("AllergyIntolerance?patient=p-1001", 1),
        ("AllergyIntolerance?patient=p-9", 0),
    ],
)
async def test_a_search_finds_what_its_parameters_say(path: str, found: int) -> None:
    async with serving([*record(), *record("2002")]) as server:
        status, bundle = await get(server, path)
    assert (status, bundle["total"], len(bundle.get("entry", []))) == (200, found, found)


@pytest.mark.parametrize(
    ("path", "status"), [("Patient?name=x", 400), ("Nothing?a=b", 404), ("Patient/p-9", 404), ("Patient/p-1001", 200)]
)
async def test_what_is_not_understood_is_an_operation_outcome(path: str, status: int) -> None:
    async with serving(record()) as server:
        answer = await get(server, path)
    assert answer[0] == status
    validate(answer[1])
    assert (answer[1]["resourceType"] == "OperationOutcome") == (status != 200)
