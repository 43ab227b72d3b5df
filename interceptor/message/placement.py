"""Where a note and an observation go within an order.

    ORC  OBR  NTE NTE  <note>  CTD  DG1 DG1 OBX NTE  <observation>  FT1 CTI BLG | IPC | SPM | prior results

Source: HL7 v2.9 chapter 4, message structures ORM_O01, OMG_O19, OMI_O23; IHE RAD CDS-OAT for the observation.
"""

from collections.abc import Sequence

from interceptor.message.group import OrderGroup
from interceptor.message.view import MessageView, Segment

# Segments that stand in an order's detail up to its last observation. Anything else ends it: FT1, CTI, BLG (billing),
# IPC (imaging procedure), SPM and SAC (specimen, with observations of their own).
_DETAIL = frozenset({"NTE", "CTD", "DG1", "OBX", "TCD", "PRT", "TQ1", "TQ2"})
_OBSERVED = frozenset({"DG1", "OBX"})
_BELONGS_TO_OBSERVATION = frozenset({"NTE", "TCD", "PRT"})
_SET_ID_MAX = 9999


class PlacementError(ValueError):
    """The order has no OBR, so the standard gives a note or an observation no place in it."""


def _after_obr(group: OrderGroup) -> tuple[Segment, Sequence[Segment]]:
    """The OBR and the segments of the order that follow it."""
    if group.obr is None:
        msg = "the order has no OBR"
        raise PlacementError(msg)
    current = group.current_segments
    return group.obr, current[current.index(group.obr) + 1 :]


def _is_site_segment(segment: Segment) -> bool:
    return segment.name.startswith("Z")


def note_offset(view: MessageView, group: OrderGroup) -> int:
    """Byte offset for a new NTE: directly after the OBR and its NTEs.

    Raises:
        PlacementError: The order has no OBR.
    """
    del view  # The group's segments carry their offsets; the view is asked for so that both places read alike.
    place, following = _after_obr(group)
    for segment in following:
        if segment.name != "NTE":
            break
        place = segment
    return place.end_with_terminator


def observation_offset(view: MessageView, group: OrderGroup) -> int:
    """Byte offset for a new OBX: after the order's last DG1 or OBX with its notes, before FT1, CTI, BLG, IPC, SPM.

    Without DG1 and OBX it is after the OBR's notes and contact (CTD). Site segments (Z..) stay where they are.

    Raises:
        PlacementError: The order has no OBR.
    """
    del view  # As in note_offset.
    place, following = _after_obr(group)
    has_observed = False
    follows_place = True
    for segment in following:
        name = segment.name
        if _is_site_segment(segment):
            follows_place = False
            continue
        if name not in _DETAIL:
            break
        if name in _OBSERVED:
            place, has_observed, follows_place = segment, True, True
        elif follows_place and (not has_observed or name in _BELONGS_TO_OBSERVATION):
            place = segment
    return place.end_with_terminator


def next_set_id(view: MessageView, group: OrderGroup, name: str) -> int:
    """The set ID (field 1) for a new NTE of the OBR, or a new OBX of the order: one above those that are there.

    Set IDs that are not numbers are counted as one each.
    """
    offset = note_offset(view, group) if name == "NTE" else observation_offset(view, group)
    obr, following = _after_obr(group)
    before = [segment for segment in following if segment.name == name and obr.end <= segment.start < offset]
    stated = [segment.text(1).strip() for segment in before]
    numbers = [int(text) for text in stated if text.isascii() and text.isdigit() and len(text) <= len(str(_SET_ID_MAX))]
    return max([len(before), *numbers]) + 1
