"""Why the study is asked for: the gravest symptom, whether it is new, and when there is no reason at all."""

import pytest

from tests.support.spine_order import diagnosis, facts_of, order_message, question, segment


def symptom_of(**fields: object) -> tuple[str, str]:
    symptom = facts_of(order_message(**fields)).symptom  # type: ignore[arg-type]
    return symptom.symptom_class.value, symptom.onset.value


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (("M54.50",), "pain"),
        (("M54.50", "M54.16"), "radicular"),
        (("M54.16", "R33.9"), "deficit"),
        (("G89.3",), "pain"),
        (("M84.58XA",), "pain"),
        (("C61",), "unknown"),
        (("C61", "R97.20"), "unknown"),
        (("C61", "I10"), "unknown"),
        (("Z85.3", "Z79.811"), "unknown"),
        (("I10",), "other_reason"),
        (("S32.010A",), "other_reason"),
        (("C61", "S32.010A"), "other_reason"),
        (("S32.010A", "M54.50"), "pain"),
        (("M46.46",), "other_reason"),
        (("Z95.0",), "unknown"),
        ((), "unknown"),
    ],
)
def test_codes_state_the_symptom_and_never_its_onset(codes: tuple[str, ...], expected: str) -> None:
    assert symptom_of(more=tuple(diagnosis(code) for code in codes)) == (expected, "unknown")


@pytest.mark.parametrize(
    ("reason", "codes", "expected"),
    [
        ('""', (), ("unknown", "unknown")),
        ("^see note", (), ("unknown", "unknown")),
        ("^.", (), ("unknown", "unknown")),
        ("^breast ca", (), ("unknown", "unknown")),
        ("^r/o mets", (), ("unknown", "unknown")),
        ("^staging", ("C61",), ("other_reason", "unknown")),
        ("^surveillance, chronic stable back pain", ("C61",), ("other_reason", "not_new")),
        ("^surveillance, chronic stable back pain", ("C61", "M54.50"), ("other_reason", "not_new")),
        ("^staging, new back pain", ("C61",), ("pain", "new")),
        ("^staging", ("C61", "M54.50"), ("pain", "unknown")),
        ("^chronic LBP", ("M54.50",), ("pain", "not_new")),
        ("^new LBP", ("M54.16",), ("radicular", "new")),
        ("^LBP x 3 wks, no weakness", (), ("pain", "new")),
        ("^fall from ladder", (), ("other_reason", "unknown")),
        ("^fall from ladder, back pain", (), ("pain", "unknown")),
    ],
)
def test_text_and_codes_together(reason: str, codes: tuple[str, ...], expected: tuple[str, str]) -> None:
    found = symptom_of(reason=reason, more=tuple(diagnosis(code) for code in codes))
    assert found[0] == expected[0]
    assert found[1] == expected[1] or expected[0] in ("other_reason", "unknown")


@pytest.mark.parametrize(
    "place",
    [
        {"reason": "new back pain"},
        {"reason": "^new back pain"},
        {"reason": "^^^^^^^^new back pain"},
        {"reason": "^breast ca~^new back pain"},
        {"reason": "^breast ca & new back pain"},
        {"obr": {"f13": "new back pain"}},
        {"orc": {"f16": "^new back pain"}},
        {"orc": {"f16": "new back pain"}},
        {"more": (segment("NTE", f1="1", f3="new back pain"),)},
        {"more": (segment("NTE", f1="1", f3="call first"), segment("NTE", f1="2", f3="new back pain"))},
        {"more": (segment("OBX", f1="1", f2="TX", f3="RFE^Reason for exam^L", f5="new back pain"),)},
        {"more": (segment("DG1", f1="1", f4="new back pain"),)},
        {"header": (segment("PV2", f3="^new back pain"),)},
    ],
)
def test_every_place_of_the_reason_is_read(place: dict[str, object]) -> None:
    assert symptom_of(**place) == ("pain", "new")


def test_a_note_after_a_result_belongs_to_the_result() -> None:
    more = (
        segment("OBX", f1="1", f2="NM", f3="98979-8^eGFR^LN", f5="55"),
        segment("NTE", f1="1", f3="severe back pain"),
    )
    assert symptom_of(more=more) == ("unknown", "unknown")


def test_an_order_question_answered_with_yes_says_what_it_asks() -> None:
    assert symptom_of(more=(question("New leg weakness?", "Yes"),))[0] == "deficit"
    assert symptom_of(more=(question("New leg weakness?", "No"),))[0] == "unknown"


def test_a_problem_list_is_no_reason() -> None:
    assert symptom_of(more=(segment("PRB", f1="AD", f2="20250101", f3="M54.50^^I10"),)) == ("unknown", "unknown")


def test_siblings_share_their_reason() -> None:
    raw = order_message(reason="^new back pain") + b"ORC|NW|P2^EHR\rOBR|2|P2^EHR||72146^MRI T^C4\r"
    assert facts_of(raw, number=2).symptom.symptom_class == "pain"


def test_words_are_marked_by_their_offsets() -> None:
    reason = "breast ca, new LBP"
    facts = facts_of(order_message(reason=f"^{reason}"))
    assert facts.symptom.symptom_class == "pain"
    marked = {reason[one.start_offset : one.end_offset] for one in facts.evidence if one.meaning == "pain"}
    assert marked == {"LBP"}
