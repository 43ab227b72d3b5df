"""Where a note and an observation go."""

import pytest

from interceptor.message.group import OrderGroup, order_groups
from interceptor.message.placement import PlacementError, next_set_id, note_offset, observation_offset
from interceptor.message.view import MessageView

HEAD = "MSH|^~\\&|EHR|HOSP|RIS|RAD|2026||OMG^O19|M1|P|2.5.1\rPID|1\rNTE|7\r"


def order(lines: str) -> tuple[MessageView, OrderGroup]:
    view = MessageView((HEAD + lines.replace(" ", "\r")).encode())
    return view, order_groups(view)[0]


@pytest.mark.parametrize(
    "lines",
    [
        "ORC|NW OBR|1 <",
        "ORC|NW OBR|1 < ",
        "ORC|NW OBR|1 NTE|1 NTE|2 < CTD|1 DG1|1 OBX|1 NTE|1 ",
        "ORC|NW NTE|1 TQ1|1 OBR|1 < DG1|1 ",
        "ORC|NW OBR|1 < ZDS|1 NTE|1 ",
        "ORC|NW OBR|1 < ORC|NW OBR|1 ",
    ],
)
def test_a_note_goes_directly_after_the_obr_and_its_notes(lines: str) -> None:
    before, after = lines.split("<")
    view, group = order((before.rstrip() + " " + after.lstrip()).rstrip() + (" " if lines.endswith(" ") else ""))
    rest = view.raw[note_offset(view, group) :].decode()
    assert rest == after.strip().replace(" ", "\r") + ("\r" if after.strip() else "")


@pytest.mark.parametrize(
    "lines",
    [
        "ORC|NW OBR|1 < ",
        "ORC|NW OBR|1 NTE|1 CTD|1 < ",
        "ORC|NW OBR|1 NTE|1 DG1|1 DG1|2 OBX|1 NTE|1 TCD|1 < FT1|1 CTI|1 BLG|1 ",
        "ORC|NW OBR|1 DG1|1 < FT1|1 ",
        "ORC|NW OBR|1 OBX|1 NTE|1 < IPC|1 ",
        "ORC|NW OBR|1 DG1|1 OBX|1 < SPM|1 OBX|9 SAC|1 ",
        "ORC|NW OBR|1 DG1|1 < ZDS|1 ",
        "ORC|NW OBR|1 ZDS|1 DG1|1 OBX|1 < ZXX|1 ",
        "ORC|NW OBR|1 < ZDS|1 NTE|1 ",
        "ORC|NW OBR|1 OBX|1 < PV1|1 AL1|1 ORC|PR OBR|1 OBX|1 ",
        "ORC|NW OBR|1 OBX|1 < ORC|NW OBR|1 OBX|1 ",
        "ORC|NW OBR|1 TQ1|1 NTE|1 PRT|1 DG1|1 OBX|1 PRT|1 < BLG|1 OBX|2 ",
    ],
)
def test_an_observation_goes_after_the_last_diagnosis_or_observation_of_the_order(lines: str) -> None:
    before, after = lines.split("<")
    view, group = order(before.rstrip() + " " + after.lstrip())
    rest = view.raw[observation_offset(view, group) :].decode()
    assert rest == after.strip().replace(" ", "\r") + ("\r" if after.strip() else "")


def test_an_order_without_obr_has_no_place_for_either() -> None:
    view, group = order("ORC|CA|A ")
    for place in (note_offset, observation_offset):
        with pytest.raises(PlacementError):
            place(view, group)


@pytest.mark.parametrize(
    ("lines", "note", "observation"),
    [
        ("ORC|NW OBR|1 ", 1, 1),
        ("ORC|NW OBR|1 NTE|1 NTE|2 OBX|1 NTE|1 NTE|2 NTE|3 OBX|2 ", 3, 3),
        ("ORC|NW OBR|1 NTE|5 OBX|9 ", 6, 10),
        ("ORC|NW OBR|1 NTE NTE|x OBX|9999999999999 ", 3, 2),
        ("ORC|NW OBR|1 OBX|1 SPM|1 OBX|2 ", 1, 2),
        ("ORC|NW OBR|1 NTE|99999 OBX|9999 ", 2, 10000),
    ],
)
def test_the_next_set_id_is_above_those_that_are_there(lines: str, note: int, observation: int) -> None:
    view, group = order(lines)
    assert next_set_id(view, group, "NTE") == note
    assert next_set_id(view, group, "OBX") == observation
