"""What a decision's JSON says of the lookup: how it ended where it was asked, and that it was not asked elsewhere."""

from datetime import UTC, datetime

import pytest

from interceptor.context.patient import Coding, Condition, PatientEvidence
from interceptor.context.vocabulary import EvidenceSource, LookupStatus
from interceptor.decision.message_decision import OrderDecision, decide_message
from interceptor.decision.report import order_json
from interceptor.message.view import MessageView
from tests.support.clinical import shipped_content
from tests.support.orders import CHEST_FILM, order

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


def decide(raw: bytes, lookup: LookupStatus) -> OrderDecision:
    breast = Condition(codings=(Coding(system="icd10cm", code="C50.911"),), source=EvidenceSource.REGISTRY)
    evidence = PatientEvidence(lookup=lookup, conditions=(breast,))
    return decide_message(MessageView(raw), content=shipped_content(), evidence=evidence, as_of=NOW).orders[0]


@pytest.mark.parametrize("lookup", [LookupStatus.OK, LookupStatus.STALE, LookupStatus.FAILED])
def test_a_held_order_says_how_the_lookup_ended_although_no_row_read_it(lookup: LookupStatus) -> None:
    decided = decide(order("1", diagnoses=()), lookup)
    shown = order_json(decided)
    assert (decided.decision.lookup, shown["disposition"]) == (None, "hold")
    assert shown["lookup"] == lookup.value
    assert "lookup" not in shown.get("not_asked", [])
    assert order_json(decided, read_all=True)["lookup"] == lookup.value


def test_an_order_that_needs_no_evidence_says_that_it_was_not_asked_for() -> None:
    shown = order_json(decide(order("1", diagnoses=(), procedure=CHEST_FILM), LookupStatus.OK))
    assert {"lookup", "oncology", "exceptions"} <= set(shown["not_asked"])
