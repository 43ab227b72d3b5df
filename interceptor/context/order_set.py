"""Orders that belong together to the study that they amount to.

A complete-spine study is usually several orders: there is no single procedure code for it. So orders of one
set are judged together: their regions are united, inside a message and across messages, and every order
learns what the set amounts to and which part it plays in it.

This module sees values only. It does not know who waits for whom; custody does (DESIGN 7). An order that
would be held waits for its siblings; whatever arrives while it waits, or later while it is held, is judged
with it again.

Source: docs/clinical/facts.md, order sets; HL7 v2.5.1 chapter 4, ORC-4 placer group number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from interceptor.context.order_facts import Procedure
from interceptor.context.vocabulary import Contrast, ProcedureClass, Region
from interceptor.message.group import OrderGroup
from interceptor.message.view import MessageView, Segment


class SetPart(StrEnum):
    """The part that one order plays in its set."""

    ALONE = "alone"
    """It is judged by itself: no siblings, none that matter, or complete by itself."""
    COMPLETE = "complete"
    """Its set covers the complete spine without and with contrast, and needs it for that."""
    DUPLICATE = "duplicate"
    """Its set is complete without it."""
    BESIDE = "beside"
    """Another kind of study beside a complete MRI of the same set."""
    SOUND = "sound"
    """All regions are ordered and this one is right, but a sibling lacks its contrast."""
    DEFECTIVE = "defective"
    """All regions are ordered, but this one lacks its contrast."""
    INCOMPLETE = "incomplete"
    """Its set leaves out a region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMember:
    """One order as its set sees it.

    Attributes:
        order_key: Placer order number with its namespace; a later member with the same key replaces an earlier one.
        set_key: See `set_key`.
        procedure: What this order alone asks for.
        arrived_at: When its message arrived.
        in_custody: True while we still have it (parked or held). An order that has left counts only for the window.
        cancelled: True when the placer withdrew it.
    """

    order_key: str
    set_key: str
    procedure: Procedure
    arrived_at: datetime
    in_custody: bool = False
    cancelled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVerdict:
    """What the set makes of one order: the class after union, and its part."""

    procedure_class: ProcedureClass
    part: SetPart


_REGIONS = (Region.CERVICAL, Region.THORACIC, Region.LUMBAR)
_MR_CLASSES = frozenset(
    {
        ProcedureClass.COMPLETE_WO_W,
        ProcedureClass.COMPLETE_WO,
        ProcedureClass.COMPLETE_W,
        ProcedureClass.THORACOLUMBAR_WO_W,
        ProcedureClass.REGIONAL_MR,
    }
)
_BESIDE_CLASSES = frozenset({ProcedureClass.OTHER_MODALITY, ProcedureClass.BODY_SURVEY, ProcedureClass.RADIOGRAPH})
_PARTS_OF_CLASS = {
    ProcedureClass.COMPLETE_WO_W: tuple((region, Contrast.WITHOUT_AND_WITH) for region in _REGIONS),
    ProcedureClass.COMPLETE_WO: tuple((region, Contrast.WITHOUT) for region in _REGIONS),
    ProcedureClass.COMPLETE_W: tuple((region, Contrast.WITH) for region in _REGIONS),
    ProcedureClass.THORACOLUMBAR_WO_W: tuple((region, Contrast.WITHOUT_AND_WITH) for region in _REGIONS[1:]),
}
SET_CLASSES = _MR_CLASSES | _BESIDE_CLASSES
"""Classes of orders that can have siblings; an order of any other class stands alone."""


def set_key(view: MessageView, group: OrderGroup) -> str:
    """Key of the order set: patient and ORC-4 where present, else patient, ordering provider, encounter and day.

    A set never spans two patients, whatever ORC-4 says. Without any patient identifier the control id takes
    the patient's place, so that nothing is joined across messages. The key carries patient data: never log it.
    """
    patient = patient_key(view, group) or f"message {view.control_id.decode('latin-1')}"
    orc, obr = group.orc, group.obr
    group_number = orc.text(4)
    if group_number:
        return "\x1f".join(("group", patient, group_number, orc.text(4, 2)))
    provider = _provider(orc, 12) or (_provider(obr, 16) if obr is not None else "")
    visit = view.first("PV1")
    encounter = (visit.text(19) or visit.text(50)) if visit is not None else ""
    return "\x1f".join(("day", patient, provider.casefold(), encounter, _order_day(view, orc, obr)))


def patient_key(view: MessageView, group: OrderGroup) -> str:
    """The patient of an order: first identifier with its authority from PID-3, falling back to PID-2 and PID-18.

    The PID that counts is the last one before the order: senders exist that put two patients in one message.
    "" when there is no identifier. The key is patient data: never log it.
    """
    patient = None
    for segment in view.segments_named("PID"):
        if segment.start < group.start:
            patient = segment
    if patient is None:
        return ""
    for number in (3, 2, 18):
        identifier = patient.text(number)
        if identifier:
            return f"{identifier}\x1e{patient.text(number, 4)}"
    return ""


def _provider(segment: Segment, number: int) -> str:
    """The ordering provider: identifier, or family and given name where there is none."""
    return segment.text(number) or f"{segment.text(number, 2)} {segment.text(number, 3)}".strip()


def _order_day(view: MessageView, orc: Segment, obr: Segment | None) -> str:
    """The day of the order: ORC-9, OBR-6 (requested), then MSH-7; the first eight digits."""
    header = view.first("MSH")
    stated = orc.text(9) or (obr.text(6) if obr is not None else "") or (header.text(7) if header is not None else "")
    return stated[:8]


def counting_members(members: Sequence[SetMember], *, at: datetime, window_seconds: float) -> tuple[SetMember, ...]:
    """Members that a set judged at this time is made of, in order of arrival.

    Cancelled orders do not count. One that has left our custody counts for `window_seconds` after it arrived,
    because its siblings may still be on their way, and for as long as we keep any other order of the set: what
    is wanted of that one is to go with those that left. Of several with one key, the latest counts (a change).
    """
    latest: dict[str, SetMember] = {}
    for member in sorted(members, key=lambda one: one.arrived_at):
        latest.pop(member.order_key, None)
        latest[member.order_key] = member
    window = timedelta(seconds=window_seconds)
    live = [member for member in latest.values() if not member.cancelled]
    if any(member.in_custody for member in live):
        return tuple(live)
    return tuple(member for member in live if abs(at - member.arrived_at) <= window)


def judge_set(members: Sequence[SetMember]) -> tuple[SetVerdict, ...]:
    """Unite the regions of one set and say what that makes of each member, in the order given.

    Regions of MR orders are united; one region is without and with contrast when one order says so or when
    two orders together do. Other kinds of study take no part in the union.
    """
    own = [SetVerdict(procedure_class=member.procedure.procedure_class, part=SetPart.ALONE) for member in members]
    indexes = [index for index, member in enumerate(members) if member.procedure.procedure_class in _MR_CLASSES]
    if len(members) < 2 or not indexes:
        return tuple(own)
    procedures = [members[index].procedure for index in indexes]
    if _is_complete(procedures):
        _judge_complete(members, indexes, own)
        for index, member in enumerate(members):
            if member.procedure.procedure_class in _BESIDE_CLASSES:
                own[index] = SetVerdict(procedure_class=own[index].procedure_class, part=SetPart.BESIDE)
    elif len(indexes) > 1:
        _judge_incomplete(procedures, indexes, own)
    return tuple(own)


def _judge_complete(members: Sequence[SetMember], indexes: list[int], verdicts: list[SetVerdict]) -> None:
    """The set complies: find the orders it does not need, the least useful first."""
    needed = list(indexes)

    def usefulness(index: int) -> tuple[bool, bool, int]:
        procedure = members[index].procedure
        complete = procedure.procedure_class is ProcedureClass.COMPLETE_WO_W
        return (complete, all(contrast is Contrast.WITHOUT_AND_WITH for _, contrast in _parts(procedure)), -index)

    for index in sorted(indexes, key=usefulness):
        rest = [other for other in needed if other != index]
        if rest and _is_complete([members[other].procedure for other in rest]):
            needed = rest
    for index in indexes:
        if index not in needed:
            part = SetPart.DUPLICATE
        elif len(needed) == 1:
            part = SetPart.ALONE
        else:
            part = SetPart.COMPLETE
        verdicts[index] = SetVerdict(procedure_class=ProcedureClass.COMPLETE_WO_W, part=part)


def _judge_incomplete(procedures: list[Procedure], indexes: list[int], verdicts: list[SetVerdict]) -> None:
    """The set does not comply: say what it amounts to, and who is at fault."""
    union = _united(procedures)
    if len(union) < len(_REGIONS):
        good = all(contrast is Contrast.WITHOUT_AND_WITH for contrast in union.values())
        thoracolumbar = good and set(union) == {Region.THORACIC, Region.LUMBAR}
        amount = ProcedureClass.THORACOLUMBAR_WO_W if thoracolumbar else ProcedureClass.REGIONAL_MR
        for index in indexes:
            verdicts[index] = SetVerdict(procedure_class=amount, part=SetPart.INCOMPLETE)
        return
    defects = {region: contrast for region, contrast in union.items() if contrast is not Contrast.WITHOUT_AND_WITH}
    for procedure, index in zip(procedures, indexes, strict=True):
        lacking = [defects[region] for region, _ in _parts(procedure) if region in defects]
        part = SetPart.DEFECTIVE if lacking else SetPart.SOUND
        amount = _defect_class(lacking or list(defects.values()))
        verdicts[index] = SetVerdict(procedure_class=amount, part=part)


def _defect_class(contrasts: Sequence[Contrast]) -> ProcedureClass:
    """The class whose fault this is: without only, with only, or neither of them clearly."""
    if all(contrast is Contrast.WITHOUT for contrast in contrasts):
        return ProcedureClass.COMPLETE_WO
    if all(contrast is Contrast.WITH for contrast in contrasts):
        return ProcedureClass.COMPLETE_W
    return ProcedureClass.REGIONAL_MR


def _is_complete(procedures: Sequence[Procedure]) -> bool:
    union = _united(procedures)
    return len(union) == len(_REGIONS) and all(contrast is Contrast.WITHOUT_AND_WITH for contrast in union.values())


def _united(procedures: Sequence[Procedure]) -> dict[Region, Contrast]:
    """Best contrast of each region that any of the orders covers."""
    union: dict[Region, Contrast] = {}
    for procedure in procedures:
        for region, contrast in _parts(procedure):
            union[region] = _join(union[region], contrast) if region in union else contrast
    return union


def _join(one: Contrast, other: Contrast) -> Contrast:
    """Contrast of a region that two orders cover."""
    pair = {one, other}
    if Contrast.WITHOUT_AND_WITH in pair or pair == {Contrast.WITHOUT, Contrast.WITH}:
        return Contrast.WITHOUT_AND_WITH
    known = pair - {Contrast.UNKNOWN}
    return known.pop() if known else Contrast.UNKNOWN


def _parts(procedure: Procedure) -> tuple[tuple[Region, Contrast], ...]:
    """Regions with their contrast.

    An order that states one contrast states it for all its regions. A site may map a code to a class and leave
    the regions out: then the class says them.
    """
    if procedure.region_contrast:
        return procedure.region_contrast
    if procedure.regions:
        return tuple((region, procedure.contrast) for region in procedure.regions)
    return _PARTS_OF_CLASS.get(procedure.procedure_class, ())
