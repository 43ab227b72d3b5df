"""Orders that belong together: what a set amounts to, and the part that each order plays in it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.context.order_facts import Procedure
from interceptor.context.order_set import SetMember, counting_members, judge_set, patient_key, set_key
from interceptor.context.vocabulary import Contrast, ProcedureClass, Region
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
WO, W, BOTH, UNKNOWN = Contrast.WITHOUT, Contrast.WITH, Contrast.WITHOUT_AND_WITH, Contrast.UNKNOWN


def mr(regions: str, contrast: Contrast) -> Procedure:
    """An MR order of some regions ("CT" is cervical and thoracic), classified as extraction does."""
    covered = tuple(Region(letter) for letter in regions)
    if len(covered) == 3:
        classes = {WO: "complete_wo", W: "complete_w", BOTH: "complete_wo_w", UNKNOWN: "unmapped"}
        procedure_class = ProcedureClass(classes[contrast])
    elif regions == "TL" and contrast is BOTH:
        procedure_class = ProcedureClass.THORACOLUMBAR_WO_W
    else:
        procedure_class = ProcedureClass.REGIONAL_MR
    parts = tuple((region, contrast) for region in covered)
    return Procedure(
        procedure_class=procedure_class, modality="MR", regions=covered, contrast=contrast, region_contrast=parts
    )


def other(procedure_class: str) -> Procedure:
    return Procedure(procedure_class=ProcedureClass(procedure_class))


def members(*procedures: Procedure) -> list[SetMember]:
    return [
        SetMember(
            order_key=f"order {number}",
            set_key="set",
            procedure=procedure,
            arrived_at=NOON + timedelta(seconds=number),
            in_custody=True,
        )
        for number, procedure in enumerate(procedures)
    ]


def judged(*procedures: Procedure) -> list[tuple[str, str]]:
    return [(str(verdict.procedure_class), str(verdict.part)) for verdict in judge_set(members(*procedures))]


@pytest.mark.parametrize(
    ("procedures", "expected"),
    [
        ([mr("L", WO)], [("regional_mr", "alone")]),
        ([mr("C", BOTH), mr("T", BOTH), mr("L", BOTH)], [("complete_wo_w", "complete")] * 3),
        ([mr("CT", BOTH), mr("L", BOTH)], [("complete_wo_w", "complete")] * 2),
        ([mr("CT", BOTH), mr("TL", BOTH)], [("complete_wo_w", "complete")] * 2),
        ([mr("C", BOTH), mr("T", BOTH)], [("regional_mr", "incomplete")] * 2),
        ([mr("T", BOTH), mr("L", BOTH)], [("thoracolumbar_wo_w", "incomplete")] * 2),
        ([mr("T", BOTH), mr("L", WO)], [("regional_mr", "incomplete")] * 2),
        ([mr("T", UNKNOWN), mr("L", BOTH)], [("regional_mr", "incomplete")] * 2),
        ([mr("C", WO), mr("T", WO), mr("L", WO)], [("complete_wo", "defective")] * 3),
        ([mr("C", W), mr("T", W), mr("L", W)], [("complete_w", "defective")] * 3),
        (
            [mr("C", BOTH), mr("T", BOTH), mr("L", WO)],
            [("complete_wo", "sound"), ("complete_wo", "sound"), ("complete_wo", "defective")],
        ),
        ([mr("C", BOTH), mr("T", BOTH), mr("L", W)], [("complete_w", "sound")] * 2 + [("complete_w", "defective")]),
        ([mr("CT", BOTH), mr("L", UNKNOWN)], [("regional_mr", "sound"), ("regional_mr", "defective")]),
        (
            [mr("C", BOTH), mr("T", WO), mr("L", W)],
            [("regional_mr", "sound"), ("complete_wo", "defective"), ("complete_w", "defective")],
        ),
        ([mr("CTL", BOTH), mr("L", WO)], [("complete_wo_w", "alone"), ("complete_wo_w", "duplicate")]),
        ([mr("L", BOTH), mr("CTL", BOTH)], [("complete_wo_w", "duplicate"), ("complete_wo_w", "alone")]),
        ([mr("CTL", BOTH), mr("CTL", BOTH)], [("complete_wo_w", "alone"), ("complete_wo_w", "duplicate")]),
        (
            [mr("C", BOTH), mr("T", BOTH), mr("L", BOTH), mr("L", WO)],
            [("complete_wo_w", "complete")] * 3 + [("complete_wo_w", "duplicate")],
        ),
        ([mr("CTL", WO), mr("CTL", W)], [("complete_wo_w", "complete")] * 2),
        ([mr("CTL", BOTH), other("other_modality")], [("complete_wo_w", "alone"), ("other_modality", "beside")]),
        ([mr("CTL", BOTH), other("body_survey")], [("complete_wo_w", "alone"), ("body_survey", "beside")]),
        ([mr("CTL", BOTH), other("radiograph")], [("complete_wo_w", "alone"), ("radiograph", "beside")]),
        ([mr("CTL", BOTH), other("unmapped")], [("complete_wo_w", "alone"), ("unmapped", "alone")]),
        ([mr("CTL", WO), other("other_modality")], [("complete_wo", "alone"), ("other_modality", "alone")]),
        ([mr("L", WO), other("radiograph")], [("regional_mr", "alone"), ("radiograph", "alone")]),
        ([other("other_modality"), other("radiograph")], [("other_modality", "alone"), ("radiograph", "alone")]),
    ],
)
def test_what_a_set_amounts_to(procedures: list[Procedure], expected: list[tuple[str, str]]) -> None:
    assert judged(*procedures) == expected


def test_a_class_without_regions_still_says_them() -> None:
    """A site may map a code to a class and leave its regions out."""
    assert judged(other("complete_wo_w"), mr("L", WO))[1] == ("complete_wo_w", "duplicate")
    assert judged(other("thoracolumbar_wo_w"), mr("C", BOTH)) == [("complete_wo_w", "complete")] * 2


regional = st.builds(mr, st.sampled_from(["C", "T", "L", "CT", "TL", "CTL"]), st.sampled_from([WO, W, BOTH]))


@settings(max_examples=200, deadline=None)
@given(st.lists(regional, min_size=1, max_size=5))
def test_a_further_complete_order_makes_every_set_compliant(procedures: list[Procedure]) -> None:
    assert {verdict[0] for verdict in judged(*procedures, mr("CTL", BOTH))} == {"complete_wo_w"}


@settings(max_examples=200, deadline=None)
@given(st.lists(regional, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_whether_a_set_complies_does_not_depend_on_the_order_of_arrival(
    procedures: list[Procedure], random: object
) -> None:
    shuffled = list(procedures)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    complies = {verdict[0] for verdict in judged(*procedures)} == {"complete_wo_w"}
    assert ({verdict[0] for verdict in judged(*shuffled)} == {"complete_wo_w"}) is complies


@settings(max_examples=200, deadline=None)
@given(st.lists(regional, min_size=2, max_size=5))
def test_without_its_duplicates_a_compliant_set_still_complies(procedures: list[Procedure]) -> None:
    verdicts = judged(*procedures)
    if verdicts[0][0] == "complete_wo_w":
        needed = [procedure for procedure, (_, part) in zip(procedures, verdicts, strict=True) if part != "duplicate"]
        assert {verdict[0] for verdict in judged(*needed)} == {"complete_wo_w"}


def counting(*given_members: SetMember, after_seconds: float) -> list[str]:
    at = NOON + timedelta(seconds=after_seconds)
    return [member.order_key for member in counting_members(given_members, at=at, window_seconds=15)]


def member(key: str, **changes: object) -> SetMember:
    values = {"order_key": key, "set_key": "set", "procedure": mr("L", BOTH), "arrived_at": NOON} | changes
    return SetMember(**values)  # type: ignore[arg-type]  # the fields of SetMember by name


def test_an_order_that_has_left_counts_for_the_window_only() -> None:
    assert counting(member("gone"), after_seconds=15) == ["gone"]
    assert counting(member("gone"), after_seconds=15.1) == []


def test_an_order_in_custody_counts_however_late_its_sibling_is() -> None:
    assert counting(member("held", in_custody=True), after_seconds=7200) == ["held"]


def test_an_order_that_has_left_counts_while_a_sibling_is_in_custody() -> None:
    """Two right orders went on, the defective third is held: its correction must meet them."""
    assert counting(member("gone"), member("held", in_custody=True), after_seconds=7200) == ["gone", "held"]


def test_a_cancelled_order_never_counts() -> None:
    assert counting(member("a", in_custody=True), member("b", cancelled=True), after_seconds=1) == ["a"]


def test_of_two_contents_of_one_order_the_later_counts() -> None:
    later = member("a", procedure=mr("C", BOTH), arrived_at=NOON + timedelta(seconds=3), in_custody=True)
    found = counting_members([later, member("a", in_custody=True)], at=NOON, window_seconds=15)
    assert [one.procedure for one in found] == [mr("C", BOTH)]


def order_keys(*segments: str, pid: str = "PID|1||77^^^HOSP") -> list[str]:
    raw = "\r".join(["MSH|^~\\&|A|B|C|D|20260302||ORM^O01|M1|P|2.4", pid, "PV1|1|O|||||||||||||||||V1", *segments])
    view = MessageView(raw.encode())
    return [set_key(view, group) for group in order_groups(view)]


GROUPED = "ORC|NW|1||G1^EPIC|||||20260302|||11^HOUSE"
LONE = "ORC|NW|2|||||||20260302|||11^HOUSE"


def test_the_group_number_makes_a_set_whoever_ordered() -> None:
    one, two = order_keys(GROUPED, GROUPED.replace("11^HOUSE", "22^OTHER"))
    assert one == two


def test_without_a_group_number_provider_encounter_and_day_make_it() -> None:
    same, provider, day = order_keys(LONE, LONE.replace("11^", "22^"), LONE.replace("20260302", "20260303"))
    assert len({same, provider, day}) == 3
    assert order_keys(LONE, LONE.replace("|2|", "|3|"))[0] == same


def test_a_provider_without_an_identifier_is_known_by_name() -> None:
    one, other = order_keys(LONE.replace("11^HOUSE", "^HOUSE^GREG"), LONE.replace("11^HOUSE", "^WILSON^JAMES"))
    assert one != other


def test_the_time_of_the_day_does_not_matter() -> None:
    one, two = order_keys(LONE, LONE.replace("20260302", "202603021530"))
    assert one == two


def test_a_set_never_spans_two_patients() -> None:
    (one,) = order_keys(GROUPED)
    (two,) = order_keys(GROUPED, pid="PID|1||78^^^HOSP")
    (other_authority,) = order_keys(GROUPED, pid="PID|1||77^^^ELSEWHERE")
    assert len({one, two, other_authority}) == 3


def test_two_patients_in_one_message_are_two_sets() -> None:
    first, second = order_keys(GROUPED, "PID|2||78^^^HOSP", GROUPED)
    assert first != second


def test_without_a_patient_nothing_is_joined_across_messages() -> None:
    raw = "MSH|^~\\&|A|B|C|D|20260302||ORM^O01|{}|P|2.4\rPID|1\r" + GROUPED
    views = [MessageView(raw.format(control_id).encode()) for control_id in ("M1", "M2")]
    keys = [set_key(view, group) for view in views for group in order_groups(view)]
    assert keys[0] != keys[1]
    assert patient_key(views[0], order_groups(views[0])[0]) == ""
