"""The CDS Hooks service: same policy as on the wire, and no reassurance from what was not sent."""

from typing import Any

import pytest

from interceptor.review.cds_service import (
    RequestProblem,
    decide_request,
    describe_services,
    read_feedback,
)
from tests.support.clinical import shipped_content
from tests.support.draft import AT, BREAST_CANCER, PATIENT, bundle, service_request

REGIONAL = service_request("72148")


def signing(*requests: dict[str, Any], **prefetch: Any) -> dict[str, Any]:
    """A request of the hook; *prefetch* overrides what the client sent."""
    sent = {"patient": PATIENT, "conditions": bundle(BREAST_CANCER), "allergies": bundle()}
    return {
        "hook": "order-sign",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/1", "patientId": "p1", "draftOrders": bundle(*requests)},
        "prefetch": {key: value for key, value in (sent | prefetch).items() if value is not None},
    }


def reasons(document: dict[str, Any]) -> list[tuple[str, ...]]:
    orders, _ = decide_request(document, content=shipped_content(), at=AT)
    return [order.decision.reasons for order in orders]


def test_a_known_cancer_from_the_prefetch_makes_a_regional_study_a_would_be_hold() -> None:
    assert reasons(signing(REGIONAL)) == [("H-REGIONAL",)]


@pytest.mark.hazard("H8")
@pytest.mark.parametrize("missing", ["conditions", "allergies"])
def test_what_was_not_prefetched_counts_as_not_looked_up(missing: str) -> None:
    known: dict[str, Any] = {"conditions": bundle(), missing: None}
    assert reasons(signing(REGIONAL, **known))[0][0] == "A-UNKNOWN-ONC"


@pytest.mark.hazard("H8")
def test_a_search_with_a_further_page_was_not_answered_in_full() -> None:
    paged = bundle() | {"link": [{"relation": "next", "url": "https://ehr.example.org/page/2"}]}
    assert reasons(signing(REGIONAL, conditions=paged))[0][0] == "A-UNKNOWN-ONC"


@pytest.mark.hazard("H6")
def test_diagnoses_of_another_patient_count_for_nothing() -> None:
    foreign = BREAST_CANCER | {"subject": {"reference": "Patient/p2"}}
    for patient in (PATIENT, None):
        assert reasons(signing(REGIONAL, patient=patient, conditions=bundle(foreign))) == [("P-NOONC",)]


@pytest.mark.hazard("H6")
def test_a_prefetched_patient_who_is_not_the_one_of_the_context_is_refused() -> None:
    with pytest.raises(RequestProblem, match=r"prefetch\.patient"):
        reasons(signing(REGIONAL, patient=PATIENT | {"id": "p2"}))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"hook": "patient-view"}, "hook"),
        ({"hookInstance": 3}, "hookInstance"),
        ({"context": []}, "context"),
        ({"context": {}}, "context.patientId"),
        ({"context": {"patientId": "p1"}}, "context.draftOrders"),
        ({"prefetch": [1]}, "prefetch"),
    ],
)
def test_a_request_that_is_not_understood_is_refused_with_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(RequestProblem) as refused:
        reasons(signing(REGIONAL) | change)
    assert refused.value.place == place


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_a_request_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(RequestProblem):
        decide_request(document, content=shipped_content(), at=AT)


def test_the_discovery_document_names_the_hook_and_what_to_prefetch() -> None:
    (service,) = describe_services(shipped_content())["services"]
    assert service["hook"] == "order-sign"
    assert {"conditions", "allergies", "patient"} <= set(service["prefetch"])
    assert "33914-3" in service["prefetch"]["results"]


def test_feedback_is_read_without_the_clinicians_words() -> None:
    said = {
        "card": "c1",
        "outcome": "overridden",
        "overrideReason": {"reason": {"code": "contraindication"}, "userComment": "Mrs Example cannot lie flat"},
    }
    assert read_feedback({"feedback": [said]}) == (
        {"card": "c1", "outcome": "overridden", "reason": "contraindication"},
    )


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "feedback"),
        ({"feedback": []}, "feedback"),
        ({"feedback": [{"card": "c1", "outcome": "accepted"}, 7]}, "feedback[1]"),
        ({"feedback": [{"outcome": "accepted"}]}, "feedback[0].card"),
        ({"feedback": [{"card": "c1", "outcome": "ignored"}]}, "feedback[0].outcome"),
    ],
)
def test_feedback_that_is_not_understood_is_refused_with_its_place(document: object, place: str) -> None:
    with pytest.raises(RequestProblem) as refused:
        read_feedback(document)
    assert refused.value.place == place
