"""The shipped policy on plain facts: the decision table, row by row, and what each decision carries."""

from typing import Any

import pytest

from interceptor.context.order_set import SetPart
from interceptor.context.vocabulary import ProcedureClass
from interceptor.decision.decision import Decision, Disposition
from interceptor.decision.evaluate import evaluate
from interceptor.decision.fact import OrderCase
from tests.support.plain_facts import PlainFacts, facts, shipped_policy

POLICIES = {profile: shipped_policy(profile) for profile in ("default", "strict")}


def decide(profile: str = "default", *, part: str = "alone", reviewed: bool = False, **words: Any) -> Decision:
    case = OrderCase(facts(**words), set_part=SetPart(part), reviewed=reviewed)
    return evaluate(POLICIES[profile], case)


def verdict(decision: Decision) -> tuple[str, tuple[str, ...], bool]:
    return decision.disposition.word, decision.reasons, decision.escalate


BOTH = ("default", "strict")

TABLE: list[tuple[dict[str, Any], str, str, tuple[str, ...]]] = [
    # facts that differ from the plain hold; default; strict; reasons
    ({}, "hold", "hold", ("H-REGIONAL",)),
    ({"control": "other"}, "pass", "pass", ("P-TRANSPARENT",)),
    ({"procedure": "not_spine"}, "pass", "pass", ("P-NOTSPINE",)),
    ({"procedure": "out_of_scope"}, "pass", "pass", ("P-PROCEDURE",)),
    ({"procedure": "body_survey", "symptom": "other_reason"}, "pass", "pass", ("P-NOSX",)),
    ({"procedure": "body_survey", "symptom": "unknown"}, "pass", "pass", ("P-NOSX",)),
    ({"procedure": "body_survey"}, "hold", "hold", ("H-MODALITY",)),
    ({"procedure": "body_survey", "symptom": "radicular"}, "hold", "hold", ("H-MODALITY",)),
    ({"override": True}, "pass", "pass", ("P-OVERRIDE",)),
    ({"reviewed": True}, "pass", "pass", ("P-OVERRIDE",)),
    ({"procedure": "complete_wo_w"}, "pass", "pass", ("P-COMPLIANT",)),
    ({"procedure": "complete_wo_w", "part": "complete"}, "pass", "pass", ("P-COMPLIANT-SET",)),
    ({"procedure": "complete_wo_w", "part": "duplicate"}, "pass", "pass", ("P-COMPLIANT-SET", "A-DUPLICATE")),
    ({"procedure": "other_modality", "part": "beside"}, "pass", "pass", ("P-COMPLIANT-SET",)),
    ({"oncology": "none"}, "pass", "pass", ("P-NOONC",)),
    ({"oncology": "none", "lookup": "not_configured"}, "pass", "pass", ("P-NOONC",)),
    ({"oncology": "none", "lookup": "failed"}, "annotate", "annotate", ("A-UNKNOWN-ONC",)),
    ({"oncology": "none", "lookup": "stale"}, "annotate", "annotate", ("A-UNKNOWN-ONC",)),
    ({"lookup": "failed"}, "hold", "hold", ("H-REGIONAL",)),
    ({"symptom": "other_reason"}, "pass", "pass", ("P-NOSX",)),
    ({"symptom": "other_reason", "oncology": "history", "exceptions": ("trauma",)}, "pass", "pass", ("P-TRAUMA",)),
    (
        {"symptom": "other_reason", "exceptions": ("trauma",)},
        "annotate",
        "annotate",
        ("A-TRAUMA", "A-REGIONAL"),
    ),
    ({"symptom": "unknown"}, "annotate", "annotate", ("A-NOREASON",)),
    ({"symptom": "unknown", "urgency": "stat"}, "annotate", "annotate", ("A-NOREASON",)),
    ({"exceptions": ("hospice",)}, "annotate", "annotate", ("A-HOSPICE", "A-REGIONAL")),
    ({"control": "change"}, "annotate", "annotate", ("A-DOWNGRADE", "A-REGIONAL")),
    ({"procedure": "thoracolumbar_wo_w"}, "annotate", "hold", ("A-TL-ONLY",)),
    ({"procedure": "radiograph"}, "annotate", "annotate", ("A-RADIOGRAPH-FIRST",)),
    ({"procedure": "unmapped"}, "annotate", "annotate", ("A-UNKNOWN-PROC",)),
    ({"onset": "not_new"}, "annotate", "hold", ("A-CHRONIC", "A-REGIONAL")),
    ({"onset": "unknown"}, "hold", "hold", ("H-REGIONAL",)),
    ({"oncology": "history"}, "annotate", "annotate", ("A-HISTORY", "A-REGIONAL")),
    ({"oncology": "history_bone_tropic"}, "hold", "hold", ("H-REGIONAL",)),
    ({"oncology": "suspected"}, "hold", "hold", ("H-REGIONAL",)),
    ({"oncology": "metastatic", "symptom": "radicular"}, "hold", "hold", ("H-REGIONAL",)),
    ({"procedure": "complete_wo"}, "hold", "hold", ("H-WOONLY",)),
    ({"procedure": "complete_w"}, "hold", "hold", ("H-WONLY",)),
    ({"procedure": "other_modality"}, "hold", "hold", ("H-MODALITY",)),
    ({"procedure": "complete_wo", "part": "sound"}, "pass", "hold", ("P-COMPLIANT",)),
]


@pytest.mark.parametrize("profile", BOTH)
@pytest.mark.parametrize(("words", "default", "strict", "reasons"), TABLE)
def test_the_table_decides(
    profile: str, words: dict[str, Any], default: str, strict: str, reasons: tuple[str, ...]
) -> None:
    decision = decide(profile, **words)
    assert decision.disposition.word == (default if profile == "default" else strict)
    if "sound" not in words.values() or profile == "default":
        assert decision.reasons == reasons


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"urgency": "stat"}, ("annotate", ("A-STAT", "A-REGIONAL"), True)),
        ({"urgency": "emergency"}, ("annotate", ("A-STAT", "A-REGIONAL"), True)),
        ({"urgency": "asap"}, ("annotate", ("A-URGENT", "A-REGIONAL"), False)),
        ({"urgency": "inpatient"}, ("annotate", ("A-URGENT", "A-REGIONAL"), False)),
        ({"urgency": "imminent"}, ("annotate", ("A-IMMINENT", "A-REGIONAL"), True)),
        ({"urgency": "stat", "symptom": "deficit"}, ("annotate", ("A-STAT", "A-REGIONAL", "A-NEURO"), True)),
        ({"urgency": "asap", "symptom": "deficit"}, ("annotate", ("A-URGENT", "A-REGIONAL", "A-NEURO"), True)),
        ({"symptom": "deficit"}, ("annotate", ("A-NEURO", "A-REGIONAL"), True)),
        ({"symptom": "deficit", "procedure": "radiograph"}, ("annotate", ("A-NEURO",), True)),
    ],
)
def test_urgent_orders_are_annotated_and_some_escalated(
    words: dict[str, Any], expected: tuple[str, tuple[str, ...], bool]
) -> None:
    assert verdict(decide(**words)) == expected


def test_strict_holds_a_routine_deficit_for_a_quarter_of_an_hour() -> None:
    decision = decide("strict", symptom="deficit", exceptions=("renal",))
    assert verdict(decision) == ("hold", ("A-NEURO", "A-REGIONAL"), True)
    assert decision.hold_deadline_seconds == 900


@pytest.mark.parametrize("urgency", ["stat", "emergency", "asap", "imminent", "inpatient"])
@pytest.mark.parametrize("procedure", [str(one) for one in ProcedureClass])
def test_nothing_urgent_is_ever_held(urgency: str, procedure: str) -> None:
    for symptom in ("deficit", "radicular", "pain", "unknown", "other_reason"):
        for profile in BOTH:
            assert decide(profile, urgency=urgency, procedure=procedure, symptom=symptom).disposition < Disposition.HOLD


def test_every_exception_is_listed_the_gravest_first() -> None:
    decision = decide(exceptions=("paediatric", "renal", "gadolinium_reaction"))
    assert decision.reasons == ("A-CONTRAINDICATION", "A-REGIONAL", "A-RENAL", "A-PEDS")


def test_the_phrase_of_an_exception_stands_in_its_sentence_only() -> None:
    first, _, second = decide(exceptions=("renal", "device")).findings
    assert "renal phrase" in first.sentence
    assert "device phrase" not in first.sentence
    assert "device phrase" in second.sentence


def test_only_a_missing_lookup_is_decided_again() -> None:
    assert decide(oncology="none", lookup="failed").decide_again
    assert not decide(oncology="none", lookup="ok").decide_again


class _Unasked(Exception):  # noqa: N818 - no error of the program
    """A fact was read that nobody should have asked for."""


class _Guarded:
    """Facts of which only some may be read."""

    def __init__(self, plain: PlainFacts, *allowed: str) -> None:
        self._plain, self._allowed = plain, {*allowed, "evidence"}

    def __getattr__(self, name: str) -> Any:
        if name not in self._allowed:
            raise _Unasked(name)
        return getattr(self._plain, name)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ({"control": "other"}, {"control"}),
        ({"procedure": "not_spine"}, {"control", "procedure"}),
        ({"procedure": "out_of_scope"}, {"control", "procedure"}),
        ({"procedure": "body_survey", "symptom": "unknown"}, {"control", "procedure", "symptom"}),
        ({"override": True}, {"control", "procedure", "override"}),
        ({"procedure": "complete_wo_w"}, {"control", "procedure", "override"}),
        ({"oncology": "none"}, {"control", "procedure", "override", "oncology", "lookup"}),
        ({"symptom": "unknown"}, {"control", "procedure", "override", "oncology", "symptom"}),
        ({"urgency": "stat"}, {"control", "procedure", "override", "oncology", "symptom", "urgency"}),
    ],
)
def test_a_fact_is_read_only_when_a_row_asks_for_it(words: dict[str, Any], allowed: set[str]) -> None:
    guarded = _Guarded(facts(**words), *allowed)
    evaluate(POLICIES["default"], OrderCase(guarded))
    for name in allowed:
        with pytest.raises(_Unasked, match=name):
            evaluate(POLICIES["default"], OrderCase(_Guarded(facts(**words), *(allowed - {name}))))


def test_facts_that_were_not_asked_for_are_not_in_the_decision() -> None:
    decision = decide(procedure="not_spine")
    assert decision.procedure is not None
    assert (decision.oncology, decision.symptom, decision.urgency, decision.lookup, decision.exceptions) == (None,) * 5


def test_the_set_decides_over_the_order_itself() -> None:
    case = OrderCase(facts(), procedure_class=ProcedureClass.COMPLETE_WO_W, set_part=SetPart.COMPLETE)
    decision = evaluate(POLICIES["default"], case)
    assert decision.reasons == ("P-COMPLIANT-SET",)
    assert decision.procedure is not None
    assert decision.procedure.procedure_class is ProcedureClass.COMPLETE_WO_W


def test_no_sentence_says_what_may_not_be_said() -> None:
    for policy in POLICIES.values():
        for reason in policy.reasons.values():
            assert reason.says.isascii()
            assert "require" not in reason.says.lower()
            assert "no cancer" not in reason.says.lower()
            assert "found" not in reason.says.lower()
