"""Draft orders of a FHIR client are read by the same readers as a placer's messages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.message.group import order_groups
from interceptor.message.view import MessageView
from interceptor.review.draft_order import ORDERS_MAX, DraftError, build_draft_message
from tests.support.draft import AT, BREAST_CANCER, ICD10, PATIENT, bundle, decisions, draft, service_request

LUMBAR_WITHOUT, CERVICAL_BOTH, THORACIC_BOTH, LUMBAR_BOTH = "72148", "72156", "72157", "72158"


def reasons(*requests: dict[str, Any], known: tuple[dict[str, Any], ...] = (BREAST_CANCER,), **more: Any) -> list[str]:
    return [order.decision.reasons[0] for order in decisions(draft(*requests, **more), *known)]


def test_a_regional_study_for_new_pain_with_known_cancer_would_be_held() -> None:
    assert reasons(service_request(LUMBAR_WITHOUT)) == ["H-REGIONAL"]


def test_without_a_diagnosis_the_same_draft_passes() -> None:
    assert reasons(service_request(LUMBAR_WITHOUT), known=()) == ["P-NOONC"]


def test_requests_that_are_signed_together_are_one_set() -> None:
    requests = [service_request(code) for code in (CERVICAL_BOTH, THORACIC_BOTH, LUMBAR_BOTH)]
    assert reasons(*requests) == ["P-COMPLIANT-SET"] * 3


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ({"priority": "stat"}, "A-STAT"),
        ({"priority": "urgent"}, "A-URGENT"),
        ({"priority": "as soon as the moon is full"}, "A-URGENT"),
        ({"occurrenceDateTime": "2026-03-02T15:00:00Z"}, "A-IMMINENT"),
        ({"occurrenceDateTime": "2026-03-02"}, "H-REGIONAL"),
        ({"reasonCode": [{"coding": [{"system": ICD10, "code": "R26.2"}]}]}, "A-NEURO"),
        ({"reasonCode": [], "note": [{"text": "new back pain"}]}, "H-REGIONAL"),
        ({"reasonCode": []}, "A-NOREASON"),
    ],
)
def test_priority_start_and_reason_are_read_where_fhir_has_them(element: dict[str, Any], reason: str) -> None:
    assert reasons(service_request(LUMBAR_WITHOUT, **element)) == [reason]


def test_a_reason_by_reference_is_read_from_the_condition() -> None:
    request = service_request(LUMBAR_WITHOUT, reasonCode=[], reasonReference=[{"reference": "Condition/c9"}])
    pain = {"resourceType": "Condition", "id": "c9", "code": {"coding": [{"system": ICD10, "code": "M54.50"}]}}
    assert reasons(request, conditions={"Condition/c9": pain}) == ["H-REGIONAL"]
    assert reasons(request) == ["A-NOREASON"]


@pytest.mark.parametrize(("code", "reason"), [("AMB", "H-REGIONAL"), ("IMP", "A-URGENT"), ("EMER", "A-STAT")])
def test_the_encounter_says_whether_the_patient_is_in_the_house(code: str, reason: str) -> None:
    assert reasons(service_request(LUMBAR_WITHOUT), encounter={"class": {"code": code}}) == [reason]


def test_requests_of_another_patient_or_cancelled_ones_are_left_out() -> None:
    other = service_request(LUMBAR_WITHOUT, subject={"reference": "Patient/p2"})
    revoked = service_request(LUMBAR_WITHOUT, status="revoked")
    mine = service_request(THORACIC_BOTH)
    assert draft(other, revoked, mine).requests == (mine,)


def test_no_more_than_so_many_requests_are_looked_at() -> None:
    message = draft(*[service_request(LUMBAR_WITHOUT)] * (ORDERS_MAX + 1))
    assert len(message.requests) == len(order_groups(MessageView(message.raw))) == ORDERS_MAX


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (None, "context.draftOrders"),
        ({"resourceType": "Patient"}, "context.draftOrders"),
        ({"resourceType": "Bundle", "entry": {}}, "context.draftOrders.entry"),
        ({"resourceType": "Bundle", "entry": [{"resource": PATIENT}, 7]}, "context.draftOrders.entry[1].resource"),
    ],
)
def test_a_document_that_is_no_bundle_is_refused_with_its_place(document: object, place: str) -> None:
    with pytest.raises(DraftError) as refused:
        build_draft_message(document, patient=None, encounter=None, conditions={}, patient_id="p1", at=AT)
    assert refused.value.place == place


texts = st.text(max_size=8)
json_values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
ELEMENTS = (
    "status",
    "priority",
    "code",
    "reasonCode",
    "reasonReference",
    "note",
    "subject",
    "occurrenceDateTime",
    "id",
)


@given(st.sampled_from(ELEMENTS), json_values, texts)
def test_whatever_stands_in_a_request_becomes_one_order_group_and_breaks_no_other(
    element: str, value: Any, words: str
) -> None:
    said = service_request(LUMBAR_WITHOUT, reasonCode=[{"text": words}], note=[{"text": words}])
    patient = {"identifier": [{"value": words, "system": words}], "birthDate": value, "gender": value}
    message = build_draft_message(
        bundle(said | {element: value}, said), patient=patient, encounter=None, conditions={}, patient_id="p1", at=AT
    )
    assert len(order_groups(MessageView(message.raw))) == len(message.requests) >= 1
    assert message.raw.isascii()
