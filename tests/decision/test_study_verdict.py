"""An order that its study decides is decided as the general way decides it, whatever else it says."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.context.patient import NO_EVIDENCE
from interceptor.decision.decision import Disposition
from interceptor.decision.message_decision import decide_message
from interceptor.decision.study_verdict import StudyOrder, StudyVerdicts
from interceptor.message.header import peek_usual_fields
from interceptor.message.view import MessageView
from tests.support.clinical import PROFILES, shipped_content
from tests.support.corpus import corpus_messages, needs_corpus

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CHEST = "71046^CHEST TWO VIEWS^CPT"

NUMBERS = ["P1", "P1^EHR", "P1^^1.2.3", "^EHR", "", '""', "P\\T\\1^EHR", "P1~P2", "P1&X^EHR", "P 1^E R"]
CONTROLS = ["NW", "nw", " NW", "CA", "XO", "RO", "RP", "SC", "", "ZZ"]
STUDIES = [
    CHEST,
    "72148^MRI LUMBAR SPINE^CPT",
    "X1^CT HEAD^L",
    "",
    "72157^^CPT^^MRI",
    "^MRI spine",
    "^R\xf6ntgen",
    CHEST + "~" + CHEST,
]
EXTRAS = [
    "DG1|1||C50.911^breast cancer^I10",
    "NTE|1||urgent",
    "ZDS|1",
    "OBX|1|TX|X||pain",
    " NTE|1",
    "ORC|NW|P2^EHR",
    "OBR|2|P2|||72148",
    "PID|2||9",
    "OBR",
    "PV1|1|E",
]
CHARACTER_SETS = ["", "UNICODE UTF-8", "8859/1", "GB 18030", "BIG-5"]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    def pick(values: list[str]) -> str:
        return draw(st.sampled_from(values))

    lines = [
        f"MSH|^~\\&|{pick(['EHR', '', 'E^1.2^ISO'])}|HOSP|RIS|RAD|20260105||{pick(['ORM^O01', 'ORM', 'OMG^O19'])}|M1|P|2.5.1||||||{pick(CHARACTER_SETS)}",
        "PID|1||1001^^^HOSP^MR||EX\xc4MPLE^ANNA" if draw(st.booleans()) else "PID|1||1001^^^HOSP^MR",
        f"ORC|{pick(CONTROLS)}|{pick(NUMBERS)}||||{pick(['', 'CM'])}",
        f"OBR|1|{pick(NUMBERS)}||{pick(STUDIES)}"
        + "|" * draw(st.sampled_from([0, 21, 40, 41, 42]))
        + pick(["", "F", CHEST]),
        *draw(st.lists(st.sampled_from(EXTRAS), max_size=3)),
    ]
    return "".join(line + "\r" for line in lines).encode(draw(st.sampled_from(["latin-1", "utf-8"])))


VERDICTS = {profile: StudyVerdicts(shipped_content(profile)) for profile in PROFILES}


def find(raw: bytes, profile: str = "default", verdicts: StudyVerdicts | None = None) -> StudyOrder | None:
    fields = peek_usual_fields(raw)
    return None if fields is None or len(fields) <= 9 else (verdicts or VERDICTS[profile]).find(raw, fields)


def check(raw: bytes, profile: str) -> bool:
    """Compare both ways; False where the study does not decide."""
    found = find(raw, profile)
    if found is None:
        return False
    view = MessageView(raw)
    (order,) = decide_message(view, content=shipped_content(profile), evidence=NO_EVIDENCE, as_of=AT).orders
    assert (found.order_key, found.order_control) == (order.order_key, order.order_control)
    assert (found.decision.disposition, found.decision.findings) == (Disposition.PASS, order.decision.findings)
    assert found.decision.procedure == order.decision.procedure
    assert (order.member, order.set_key, order.decision.escalate) == (None, "", False)
    return True


@pytest.mark.parametrize("profile", PROFILES)
@given(raw=messages())
@settings(max_examples=400, deadline=None)
def test_both_ways_agree(profile: str, raw: bytes) -> None:
    check(raw, profile)


@needs_corpus
@pytest.mark.parametrize("profile", PROFILES)
def test_both_ways_agree_on_every_real_message(profile: str) -> None:
    decided = [check(raw, profile) for _, raw in corpus_messages() if b"\n" not in raw]
    assert sum(decided) > 0


def order(study: str = CHEST, *, number: str = "P1^EHR", control: str = "NW", more: str = "") -> bytes:
    return (
        "MSH|^~\\&|EHR|HOSP|RIS|RAD|20260105||ORM^O01|M1|P|2.5.1\rPID|1||1001^^^HOSP^MR\r"
        f"ORC|{control}|{number}\rOBR|1|{number}||{study}\r{more}"
    ).encode()


def test_a_chest_film_is_decided_by_its_study() -> None:
    found = find(order(more="DG1|1||C50.911^breast cancer^I10\r"))
    assert found is not None
    assert found.order_key == "P1^EHR"
    assert find(order(number="P1")).order_key == "P1^EHR/HOSP"  # type: ignore[union-attr]  # None would fail the test too


@pytest.mark.parametrize(
    "raw",
    [
        order("72148^MRI LUMBAR SPINE WO^CPT"),
        order("^MRI spine"),
        order("X1^spine study^L"),
        order(control="RO"),
        order(number=""),
        order(number='""'),
        order(more="ORC|NW|P2^EHR\rOBR|2|P2^EHR||72148^MRI LUMBAR SPINE WO^CPT\r"),
        order(more="OBR|2|P2^EHR||72148^MRI LUMBAR SPINE WO^CPT\r"),
        order().replace(b"ORC|NW|P1^EHR", b"ORC|SC|P1^EHR|||CM"),
        order().replace(b"ORM^O01", b"OMG^O19"),
    ],
)
def test_what_the_study_does_not_decide_is_left_to_the_general_way(raw: bytes) -> None:
    assert find(raw) is None


def test_a_study_is_remembered_for_its_own_bytes_only() -> None:
    verdicts = StudyVerdicts(shipped_content())
    assert find(order(), verdicts=verdicts) is not None
    assert find(order("72148^MRI LUMBAR SPINE WO^CPT"), verdicts=verdicts) is None
    assert find(order(), verdicts=verdicts) is not None
    assert find(order(control="XX"), verdicts=verdicts) is not None
