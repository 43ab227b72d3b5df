"""The facts of one order together: lazy, and robust against anything that a field can hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.context.extract import OrderFacts
from interceptor.context.order_reading import is_placeholder
from interceptor.context.patient import NO_EVIDENCE
from interceptor.context.text_matcher import TEXT_LENGTH_MAX
from interceptor.context.vocabulary import ControlKind, OncologyTier
from interceptor.message.group import order_groups
from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView
from tests.support.corpus import corpus_messages, needs_corpus
from tests.support.spine_order import NOW, facts_of, order_message, segment, shipped_tables

FACTS = (
    "order_control", "control", "placer_order_number", "procedure", "urgency", "planned_start", "override", "lookup", "oncology",
    "symptom", "exceptions", "evidence",
)  # fmt: skip


def read_all(facts: OrderFacts) -> None:
    for name in FACTS:
        getattr(facts, name)


def facts_of_every_order(raw: bytes) -> list[OrderFacts]:
    view = MessageView(raw)
    groups = order_groups(view)
    return [
        OrderFacts(view, group, tables=shipped_tables(), evidence=NO_EVIDENCE, as_of=NOW, message_groups=groups)
        for group in groups
    ]


@pytest.mark.parametrize(
    ("control", "kind"),
    [
        ("NW", "new"), ("nw", "new"), ("RO", "new"), ("XO", "change"), ("XX", "change"), ("CA", "other"), ("DC", "other"),
        ("RP", "other"), ("SC", "other"), ("HD", "other"), ("", "other"), ("ZZ", "other"),
    ],
)  # fmt: skip
def test_what_an_order_asks_for(control: str, kind: str) -> None:
    assert facts_of(order_message(control=control)).control == kind


def test_an_order_without_orc_is_new() -> None:
    raw = b"MSH|^~\\&|A|B|C|D|20260302||ORM^O01|1|T|2.1\rPID|1||M1\rOBR|1|P7||72148^MRI^C4\r"
    facts = facts_of_every_order(raw)[0]
    assert facts.control is ControlKind.NEW
    assert facts.placer_order_number == "P7"


def test_a_chest_film_is_asked_for_nothing_else() -> None:
    facts = facts_of(order_message(study="71046^XR CHEST^C4", reason="^breast ca"), evidence=None)
    assert facts.procedure.procedure_class == "not_spine"
    assert {one.fact for one in facts.evidence} == {"procedure"}


def test_a_fact_is_read_once() -> None:
    facts = facts_of(order_message(reason="^breast ca, new LBP"))
    assert facts.oncology is facts.oncology
    assert facts.exceptions is facts.exceptions


def test_prior_results_of_a_new_order_give_only_their_measured_values() -> None:
    raw = (
        b"MSH|^~\\&|A|B|C|D|20260302||OMG^O19|1|T|2.5.1\rPID|1||M1\rORC|NW|P1^E\rOBR|1|P1^E||72148^^C4\r"
        b"PID|1||M1\rORC|PR|P0\rOBR|1|P0||2345-7^LAB^LN\rOBX|1|NM|98979-8^eGFR^LN||22|mL/min\rDG1|1||C61^^I10\r"
    )
    facts = facts_of_every_order(raw)[0]
    assert [one.kind.value for one in facts.exceptions] == ["renal"]
    assert facts.oncology.tier == "none"


def test_other_delimiters_mean_the_same() -> None:
    raw = order_message(reason="^breast ca, new LBP", more=(segment("DG1", f1="1", f3="C50.911^^I10"),))
    turned = raw.replace(b"^", b"@").replace(b"~\\&", b"~\\&").replace(b"|", b"#")
    for one in (facts_of(raw), facts_of(turned)):
        assert (one.oncology.tier, one.symptom.symptom_class, one.procedure.procedure_class) == (
            "active",
            "pain",
            "regional_mr",
        )


@pytest.mark.parametrize("text", ["", ".", "-", "n/a", "N/A.", "see note", "See chart", "unknown", "none"])
def test_a_placeholder_is_no_reason(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize("text", ["pain", "no weakness", "none of the above; LBP", "other: back pain"])
def test_a_reason_is_no_placeholder(text: str) -> None:
    assert not is_placeholder(text)


FIELDS = st.text(
    alphabet=st.one_of(
        st.sampled_from('^~\\&|"" 0123456789.-<>?CZMVGlbpcapainmets'),
        st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"),
    ),
    max_size=40,
)
PLACES = st.sampled_from(
    [("ORC", 7), ("ORC", 16), ("OBR", 4), ("OBR", 5), ("OBR", 13), ("OBR", 27), ("OBR", 31), ("OBR", 36), ("OBR", 44), ("PID", 7), ("PV1", 2),
     ("PV1", 15), ("PV2", 3), ("DG1", 3), ("DG1", 4), ("DG1", 5), ("PRB", 3), ("PRB", 14), ("AL1", 3), ("AL1", 5), ("AL1", 6), ("IAM", 3),
     ("OBX", 3), ("OBX", 5), ("OBX", 6), ("OBX", 14), ("NTE", 3), ("TQ1", 7), ("TQ1", 9)]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PLACES, FIELDS), min_size=1, max_size=6))
def test_nothing_in_any_field_makes_reading_fail(contents: list[tuple[tuple[str, int], str]]) -> None:
    by_segment: dict[str, dict[str, str]] = {}
    for (name, number), text in contents:
        by_segment.setdefault(name, {})[f"f{number}"] = text
    lines = [
        "MSH|^~\\&|A|B|C|D|20260302101500||ORM^O01|1|T|2.5.1",
        *(segment(name, **by_segment.get(name, {})) for name in ("PID", "PV1", "PV2", "AL1", "IAM", "PRB")),
        segment("ORC", **{"f1": "NW", **by_segment.get("ORC", {})}),
        segment("TQ1", **by_segment.get("TQ1", {})),
        segment("OBR", **{"f4": "72148^MRI^C4", **by_segment.get("OBR", {})}),
        *(segment(name, **by_segment.get(name, {})) for name in ("NTE", "DG1", "OBX")),
    ]
    for facts in facts_of_every_order("".join(line + "\r" for line in lines).encode("utf-8")):
        read_all(facts)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["C61^^I10", "C79.51^^I10", "Z85.3^^I10", "Z80.3^^I10", "D49.2^^I10", "M54.50^^I10"]),
        max_size=5,
    )
)
def test_more_diagnoses_never_weaken_the_tier(codes: list[str]) -> None:
    order = ("metastatic", "active", "suspected", "history_bone_tropic", "history", "none")
    tiers = [
        facts_of(order_message(more=tuple(segment("DG1", f1="1", f3=code) for code in codes[:size]))).oncology.tier
        for size in range(len(codes) + 1)
    ]
    ranks = [order.index(tier) for tier in tiers]
    assert ranks == sorted(ranks, reverse=True)


@needs_corpus
def test_every_order_of_the_corpus_can_be_read() -> None:
    count = 0
    for _, raw in corpus_messages():
        try:
            found = facts_of_every_order(raw)
        except NotHl7:
            continue
        for facts in found:
            read_all(facts)
            count += 1
    assert count > 50


def test_all_texts_of_one_order_together_are_read_up_to_the_limit() -> None:
    long = "seen in the clinic. " * (TEXT_LENGTH_MAX // 40)
    notes = tuple(segment("NTE", f3=text) for text in (long, long, "metastatic breast ca"))
    assert facts_of(order_message(more=notes[1:])).oncology.tier is OncologyTier.METASTATIC
    assert facts_of(order_message(more=notes)).oncology.tier is OncologyTier.NONE
