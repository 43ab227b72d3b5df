"""Order groups: which segments belong to which order."""

import pytest

from interceptor.message.group import OrderGroup, header_segments, order_groups, second_patient_offset
from interceptor.message.view import MessageView


def message(kind: str, *lines: str, end: str = "\r") -> MessageView:
    header = f"MSH|^~\\&|EHR|HOSP|RIS|RAD|2026||{kind}|M1|P|2.5.1"
    return MessageView(end.join([header, "PID|1||4711", "PV1|1|O", *lines, ""]).encode())


def shape(groups: tuple[OrderGroup, ...]) -> list[list[str]]:
    return [[segment.name for segment in group.segments] for group in groups]


def test_a_group_runs_from_one_orc_to_the_next_and_the_last_takes_the_rest() -> None:
    view = message("ORM^O01", "ORC|NW|A", "OBR|1", "NTE|1", "ORC|NW|B", "OBR|1", "DG1|1", "ZDS|1")
    groups = order_groups(view)
    assert shape(groups) == [["ORC", "OBR", "NTE"], ["ORC", "OBR", "DG1", "ZDS"]]
    assert [group.number for group in groups] == [1, 2]
    assert [group.orc.text(2) for group in groups] == ["A", "B"]
    assert groups[0].end == groups[1].start
    assert groups[1].end == len(view.raw)
    assert [segment.name for segment in header_segments(view)] == ["MSH", "PID", "PV1"]


@pytest.mark.parametrize("kind", ["ORM^O01", "ORM^O01^ORM_O01", "OMI^O23^OMI_O23", "OMG^O19^OMG_O19", "ORM"])
def test_these_messages_carry_orders(kind: str) -> None:
    assert len(order_groups(message(kind, "ORC|NW|A", "OBR|1"))) == 1


@pytest.mark.parametrize("kind", ["ORU^R01", "ORR^O02", "ORM^O02", "OML^O21", "ADT^A01", "OMG^O20", ""])
def test_other_messages_carry_none_for_us(kind: str) -> None:
    view = message(kind, "ORC|NW|A", "OBR|1")
    assert order_groups(view) == ()
    assert header_segments(view) == view.segments


def test_an_order_without_obr_has_none() -> None:
    (group,) = order_groups(message("ORM^O01", "ORC|CA|A"))
    assert group.obr is None
    assert group.obrs == ()


def test_in_orm_an_obr_that_no_orc_precedes_begins_an_order() -> None:
    groups = order_groups(message("ORM^O01", "OBR|1|A", "NTE|1", "OBR|2|B", "ORC|NW|C", "OBR|1|C"))
    assert shape(groups) == [["OBR", "NTE"], ["OBR"], ["ORC", "OBR"]]
    assert [group.orc.is_absent for group in groups] == [True, True, False]
    assert groups[0].orc.text(1) == ""
    assert groups[0].orc.field_count == 0
    assert groups[0].orc.name == "ORC"
    assert [group.obr.text(2) for group in groups if group.obr] == ["A", "B", "C"]


def test_two_obrs_under_one_orc_are_both_told() -> None:
    (group,) = order_groups(message("ORM^O01", "ORC|NW|A", "OBR|1|A", "OBR|2|B"))
    assert [obr.text(2) for obr in group.obrs] == ["A", "B"]
    assert group.obr is group.obrs[0]


def test_prior_results_belong_to_their_order_and_are_no_order() -> None:
    view = message(
        "OMG^O19^OMG_O19",
        "ORC|NW|A", "TQ1|1", "OBR|1|A", "DG1|1", "PID|1||4711", "PV1|1|O", "AL1|1", "ORC|PR|OLD", "OBR|1|OLD", "OBX|1",
        "ORC|NW|B", "TQ1|1", "OBR|1|B",
    )  # fmt: skip
    groups = order_groups(view)
    assert [group.orc.text(2) for group in groups] == ["A", "B"]
    assert [segment.name for segment in groups[0].current_segments] == ["ORC", "TQ1", "OBR", "DG1"]
    assert [obr.text(2) for obr in groups[0].obrs] == ["A"]
    assert groups[1].current_segments == groups[1].segments


def test_the_obr_of_prior_results_is_not_the_order_s() -> None:
    (group,) = order_groups(message("OMG^O19", "ORC|CA|A", "PV1|1|O", "OBR|1|OLD"))
    assert group.obr is None


def test_a_request_after_prior_results_is_an_order_of_its_own() -> None:
    """An order must not escape the decision because it follows another's prior results."""
    for control in ("NW", "XO", "CA", "DC", "RP", "HD"):
        groups = order_groups(message("OMI^O23", "ORC|NW|A", "OBR|1", "PV1|1", f"ORC|{control}|B", "OBR|1"))
        assert [group.orc.text(2) for group in groups] == ["A", "B"], control


def test_in_orm_a_patient_segment_does_not_hide_the_orders_after_it() -> None:
    view = message("ORM^O01", "ORC|NW|A", "OBR|1", "PV1|1", "ORC|SC|B", "OBR|1")
    assert len(order_groups(view)) == 2


def test_a_patient_between_two_orders_is_told() -> None:
    safe = message("ORM^O01", "ORC|NW|A", "OBR|1", "ORC|NW|B", "OBR|1")
    assert second_patient_offset(safe) is None
    unsafe = message("ORM^O01", "ORC|NW|A", "OBR|1", "PID|1||9999", "ORC|NW|B", "OBR|1")
    assert second_patient_offset(unsafe) == unsafe.segments_named("PID")[1].start
    two_first = message("ORM^O01", "PID|2||9999", "ORC|NW|A", "OBR|1")
    assert second_patient_offset(two_first) == two_first.segments_named("PID")[1].start
    prior = message("OMG^O19", "ORC|NW|A", "OBR|1", "PID|1||4711", "ORC|PR|B", "OBR|1")
    assert second_patient_offset(prior) is None
    same = message("OMG^O19", "ORC|NW|A", "OBR|1", "PID|1||4711", "ORC|PR|OLD", "OBR|1", "ORC|NW|B", "OBR|1")
    assert second_patient_offset(same) is None
    other = message("OMG^O19", "ORC|NW|A", "OBR|1", "PID|1||9999", "ORC|PR|OLD", "OBR|1", "ORC|NW|B", "OBR|1")
    assert second_patient_offset(other) == other.segments_named("PID")[1].start
    nameless = message("ORM^O01", "ORC|NW|A", "OBR|1", "PID|1", "ORC|NW|B", "OBR|1")
    assert second_patient_offset(nameless) == nameless.segments_named("PID")[1].start
    after_the_last = message("OMG^O19", "ORC|NW|A", "OBR|1", "PID|1||9999")
    assert second_patient_offset(after_the_last) is None
    assert second_patient_offset(message("ADT^A40", "PID|2||1")) is None


def test_a_message_without_orders_has_no_group() -> None:
    assert order_groups(message("ORM^O01", "NTE|1")) == ()
