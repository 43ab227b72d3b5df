"""Cards: what a clinician is shown about orders that are about to be signed."""

from itertools import count
from typing import Any

import pytest

from interceptor.review.cds_card import SUMMARY_SIZE_MAX, CardParts, ProposedCode, build_cards
from tests.support.clinical import shipped_content
from tests.support.draft import BREAST_CANCER, decisions, draft, service_request

COMPLETE = ProposedCode(system="urn:site", code="MRSPINEALL", name="MRI complete spine without and with contrast")


def cards(*requests: dict[str, Any], proposed: ProposedCode | None = COMPLETE) -> list[dict[str, Any]]:
    numbers = count(1)
    parts = CardParts(
        policy=shipped_content().policy,
        proposed=proposed,
        override_reasons={"contraindication": "The patient cannot have it"},
        new_id=lambda: f"id-{next(numbers)}",
    )
    message = draft(*requests)
    return build_cards(decisions(message, BREAST_CANCER), message.requests, parts)


def test_a_would_be_hold_is_a_warning_with_a_suggestion_and_reasons_to_go_on() -> None:
    request = service_request("72148")
    (card,) = cards(request)
    assert card["indicator"] == "warning"
    assert [one["code"] for one in card["overrideReasons"]] == ["contraindication"]
    (suggestion,) = card["suggestions"]
    (action,) = suggestion["actions"]
    assert action["type"] == "update"
    assert action["resource"] == request | {"code": action["resource"]["code"]}
    assert action["resource"]["code"]["coding"] == [
        {"system": "urn:site", "code": "MRSPINEALL", "display": COMPLETE.name}
    ]


def test_two_regional_studies_share_a_card_and_one_complete_study_replaces_both() -> None:
    (card,) = cards(service_request("72148"), service_request("72146"))
    assert [action["type"] for action in card["suggestions"][0]["actions"]] == ["update", "delete"]
    assert card["suggestions"][0]["actions"][1]["resourceId"] == "ServiceRequest/r72146"


def test_without_a_code_of_the_site_nothing_is_suggested() -> None:
    (card,) = cards(service_request("72148"), proposed=None)
    assert "suggestions" not in card


def test_an_urgent_order_gets_a_hint_and_nothing_to_override() -> None:
    (card,) = cards(service_request("72148", priority="stat"))
    assert card["indicator"] == "info"
    assert "overrideReasons" not in card


def test_a_compliant_set_gets_no_card() -> None:
    assert cards(*[service_request(code) for code in ("72156", "72157", "72158")]) == []


def test_the_strongest_card_comes_first() -> None:
    found = cards(service_request("72148", priority="stat"), service_request("72146", priority="routine"))
    assert [card["indicator"] for card in found] == sorted([card["indicator"] for card in found], reverse=True)


@pytest.mark.hazard("H8")
def test_a_card_never_says_that_nothing_was_found_and_names_what_it_rests_on() -> None:
    for request in (service_request("72148"), service_request("72148", priority="stat")):
        for card in cards(request):
            assert "no cancer" not in card["detail"].lower()
            assert "require" not in card["detail"].lower()
            assert "Source: " in card["detail"]
            assert 0 < len(card["summary"]) <= SUMMARY_SIZE_MAX
