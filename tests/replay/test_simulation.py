"""What custody would have made of a sequence of messages."""

from datetime import UTC, datetime

import pytest

from interceptor.context.patient import NO_EVIDENCE
from interceptor.message.view import MessageView
from interceptor.replay.simulation import MessageOutcome, simulate_custody, site_options
from tests.support.clinical import shipped_content

NOW = datetime(2026, 3, 2, 20, 0, tzinfo=UTC)
REASON = "breast ca, new back pain"
REGIONAL, COMPLETE = "72148^MRI L SPINE WO^C4", "MRTSPWWO^MRI TOTAL SPINE W WO^L"
CERVICAL_THORACIC, LUMBAR = "IMG2230^MRI CT W WO^L", "72158^MRI L W WO^C4"


def group(number: str, procedure: str = REGIONAL, *, control: str = "NW", placer_group: str = "") -> str:
    return (
        f"ORC|{control}|{number}||{placer_group}|||1^^^^^R||20260302|||11^HOUSE\r"
        f"OBR|1|{number}||{procedure}||||||||||||11^HOUSE|||||||||||||||^{REASON}\r"
    )


def message(*groups: str, at: str = "20260302100000", control_id: str = "M1", patient: str = "77") -> bytes:
    header = f"MSH|^~\\&|EHR|H|RIS|H|{at}||ORM^O01|{control_id}|P|2.4\rPID|1||{patient}^^^H||X^Y||19600101|F\rPV1|1|O\r"
    return (header + "".join(groups)).encode()


def simulate(*messages: bytes, until: datetime | None = None, at: datetime | None = None) -> tuple[MessageOutcome, ...]:
    content = shipped_content()
    return simulate_custody(
        [MessageView(raw) for raw in messages],
        content=content,
        evidence=lambda _: NO_EVIDENCE,
        options=site_options(content.tables.site, now=NOW, until=until, decide_at=at),
    )


def fates(*messages: bytes, until: datetime | None = None) -> list[list[str]]:
    return [
        [f"{order.disposition.word} {','.join(order.reasons)}" for order in outcome.orders]
        for outcome in simulate(*messages, until=until)
    ]


HELD, COMPLETE_SET = ["hold H-REGIONAL"], ["pass P-COMPLIANT-SET"]


def test_a_sibling_within_the_window_completes_the_set() -> None:
    first = message(group("A", CERVICAL_THORACIC))
    second = message(group("B", LUMBAR), at="20260302100015", control_id="M2")
    assert fates(first, second) == [COMPLETE_SET, COMPLETE_SET]


def test_a_later_sibling_releases_what_is_held_and_says_so() -> None:
    first = message(group("A", CERVICAL_THORACIC))
    second = message(group("B", LUMBAR), at="20260302100016", control_id="M2")
    assert fates(first, second) == [["pass P-COMPLIANT-SET,S-RELEASED"], COMPLETE_SET]


def test_a_sibling_that_has_just_left_counts_for_those_that_follow() -> None:
    complete = message(group("A", COMPLETE))
    duplicate = message(group("B"), at="20260302100005", control_id="M2")
    assert fates(complete, duplicate) == [["pass P-COMPLIANT"], ["pass P-COMPLIANT-SET,A-DUPLICATE"]]
    too_late = message(group("B"), at="20260302100016", control_id="M2")
    assert fates(complete, too_late)[1] == HELD


def test_an_urgent_sibling_that_was_not_held_counts_too() -> None:
    urgent = message(group("A", CERVICAL_THORACIC).replace("^^^^^R", "^^^^^S"))
    routine = message(group("B", LUMBAR), at="20260302100005", control_id="M2")
    assert fates(urgent, routine) == [["annotate A-STAT,A-REGIONAL"], COMPLETE_SET]


def test_messages_arrive_at_their_own_time_and_are_told_of_in_input_order() -> None:
    cancel = message(group("A", control="CA"), at="20260302100100", control_id="M2")
    order = message(group("A"))
    assert fates(cancel, order) == [["pass S-CANCELLED"], HELD]


def test_a_message_without_a_time_arrives_with_the_one_before_it() -> None:
    order, cancel = message(group("A")), message(group("A", control="CA"), at="", control_id="M2")
    assert len({outcome.arrived_at for outcome in simulate(order, cancel)}) == 1
    assert fates(order, cancel) == [HELD, ["pass S-CANCELLED"]]


def test_without_any_time_messages_arrive_now_in_input_order() -> None:
    first = message(group("A", CERVICAL_THORACIC), at="")
    outcomes = simulate(first, message(group("B", LUMBAR), at="", control_id="M2"))
    assert [outcome.arrived_at for outcome in outcomes] == [NOW, NOW]
    assert [outcome.orders[0].reasons for outcome in outcomes] == [("P-COMPLIANT-SET",)] * 2


@pytest.mark.parametrize("control", ["CA", "DC"])
def test_a_cancellation_ends_a_hold_once(control: str) -> None:
    cancel = message(group("A", control=control), at="20260302100100", control_id="M2")
    again = message(group("A", control=control), at="20260302100200", control_id="M3")
    assert fates(message(group("A")), cancel, again) == [HELD, ["pass S-CANCELLED"], ["pass P-TRANSPARENT"]]


def test_a_cancellation_of_another_order_does_not_touch_the_hold() -> None:
    cancel = message(group("B", control="CA"), at="20260302100100", control_id="M2")
    assert fates(message(group("A")), cancel) == [HELD, ["pass P-TRANSPARENT"]]


def test_the_same_number_from_another_sender_is_another_order() -> None:
    cancel = message(group("A", control="CA"), at="20260302100100", control_id="M2").replace(b"|EHR|", b"|LAB|")
    assert fates(message(group("A")), cancel) == [HELD, ["pass P-TRANSPARENT"]]


def test_a_change_takes_the_place_of_a_held_order() -> None:
    change = message(group("A", COMPLETE, control="XO"), at="20260302100100", control_id="M2")
    later = message(group("A", control="CA"), at="20260302100200", control_id="M3")
    assert fates(message(group("A")), change, later) == [
        HELD,
        ["pass P-COMPLIANT,S-RELEASED"],
        ["pass P-TRANSPARENT"],
    ]


def test_a_change_that_is_still_wrong_is_held_and_can_be_cancelled() -> None:
    change = message(group("A", control="XO"), at="20260302100100", control_id="M2")
    later = message(group("A", control="CA"), at="20260302100200", control_id="M3")
    outcomes = simulate(message(group("A")), change, later)
    assert [outcome.orders[0].ended_by for outcome in outcomes] == [2, 3, None]
    assert [outcome.disposition.word for outcome in outcomes] == ["hold", "hold", "pass"]


def test_a_replacement_may_come_in_one_message_with_what_it_replaces() -> None:
    replacing = message(
        group("A", control="RP"), group("C", COMPLETE, control="RO"), at="20260302100100", control_id="M2"
    )
    assert fates(message(group("A")), replacing) == [HELD, ["pass S-REPLACED", "pass P-COMPLIANT,S-REPLACED"]]


def test_the_same_bytes_again_change_nothing() -> None:
    order = message(group("A"))
    assert fates(order, order, order) == [HELD, ["pass S-DUPLICATE"], ["pass S-DUPLICATE"]]


def test_the_same_bytes_again_after_the_hold_ended_are_a_new_order() -> None:
    order = message(group("A"))
    cancel = message(group("A", control="CA"), at="20260302100000", control_id="M2")
    assert fates(order, cancel, order) == [HELD, ["pass S-CANCELLED"], HELD]


def test_the_same_bytes_of_an_order_that_passed_pass_again() -> None:
    order = message(group("A", COMPLETE))
    assert fates(order, order) == [["pass P-COMPLIANT"], ["pass P-COMPLIANT"]]


def test_a_cancelled_sibling_reopens_the_question_for_the_rest() -> None:
    first = message(group("A", CERVICAL_THORACIC))
    cancel = message(group("A", CERVICAL_THORACIC, control="CA"), at="20260302100005", control_id="M2")
    last = message(group("B", LUMBAR), at="20260302100008", control_id="M3")
    assert fates(first, cancel, last) == [HELD, ["pass S-CANCELLED"], HELD]


def test_a_cancelled_order_of_the_same_message_counts_no_more_for_its_siblings() -> None:
    both = message(group("A", "72156^C^C4"), group("B", "72157^T^C4"))
    cancel = message(group("A", "72156^C^C4", control="CA"), at="20260302100100", control_id="M2")
    last = message(group("C", LUMBAR), at="20260302100200", control_id="M3")
    assert fates(both, cancel, last) == [
        ["hold H-REGIONAL", "annotate A-TL-ONLY,S-RELEASED"],
        ["pass S-CANCELLED"],
        ["annotate A-TL-ONLY"],
    ]


def test_a_change_of_one_sibling_may_complete_the_set() -> None:
    both = message(group("A", CERVICAL_THORACIC), group("B", "72148^L WO^C4"))
    change = message(group("B", LUMBAR, control="XO"), at="20260302100500", control_id="M2")
    assert fates(both, change) == [["pass P-COMPLIANT", "hold H-WOONLY"], ["pass P-COMPLIANT-SET,S-RELEASED"]]


def test_orders_of_two_patients_never_make_a_set() -> None:
    first = message(group("A", CERVICAL_THORACIC, placer_group="G1"))
    second = message(group("B", LUMBAR, placer_group="G1"), patient="78", control_id="M2")
    assert fates(first, second) == [HELD, HELD]


@pytest.mark.parametrize(
    ("control", "code"), [("HD", "S-NOTED"), ("RL", "S-NOTED"), ("SC", "S-FOLLOWS"), ("ZZ", "S-FOLLOWS")]
)
def test_other_messages_about_a_held_order_stay_with_it(control: str, code: str) -> None:
    other = message(group("A", control=control), at="20260302100100", control_id="M2")
    assert fates(message(group("A")), other) == [HELD, [f"pass {code}"]]


def test_an_order_without_a_number_is_held_and_completed_like_any_other() -> None:
    first = message(group("", CERVICAL_THORACIC))
    second = message(group("", LUMBAR), at="20260302100003", control_id="M2")
    assert fates(first, second) == [COMPLETE_SET, COMPLETE_SET]


NINE_PM = datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
"""16:00 at the example site: more than four business hours after 10:00."""


def test_a_deadline_passes_only_when_the_caller_looks_that_far() -> None:
    assert fates(message(group("A"))) == [HELD]
    assert fates(message(group("A")), until=NINE_PM) == [["annotate S-TTL-RELEASE,H-REGIONAL"]]


def test_after_its_deadline_an_order_is_at_the_filler() -> None:
    late = message(group("A", control="CA"), at="20260302150000", control_id="M2")
    assert fates(message(group("A")), late, until=NINE_PM)[1] == ["pass P-TRANSPARENT"]
    early = message(group("A", control="CA"), at="20260302130000", control_id="M2")
    assert fates(message(group("A")), early, until=NINE_PM) == [HELD, ["pass S-CANCELLED"]]


def test_a_message_that_is_no_order_has_no_orders() -> None:
    admission = b"MSH|^~\\&|EHR|H|RIS|H|20260302||ADT^A01|M9|P|2.4\rPID|1||77^^^H\r"
    (outcome,) = simulate(admission)
    assert (outcome.orders, outcome.disposition.word) == ([], "pass")
