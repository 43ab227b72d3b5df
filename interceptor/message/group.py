"""The orders of an order message: from one ORC to the next.

Messages with orders are ORM^O01 (2.1-2.6), OMI^O23 and OMG^O19 (2.4 and later). Everything before the first
group is the header, which every order of the message shares.

Source: HL7 v2.9 chapter 4, 4.4.1 ORM, 4.4.4 OMG, 4.4.6 OMI; chapter 2 table 0119 (PR: previous results with new
order).
"""

from dataclasses import dataclass

from interceptor.message.header import Header
from interceptor.message.view import MessageView, Segment

ORDER_MESSAGES = frozenset({("ORM", "O01"), ("OMI", "O23"), ("OMG", "O19")})
"""Message code and trigger of the messages that carry orders."""

_PATIENT_PRIOR = frozenset({"PID", "PD1", "PV1", "PV2", "AL1"})
# What an ORC among prior results may say. Any other code asks for something, so it begins an order of its own.
_PRIOR_ORDER_CONTROLS = frozenset({"", "PR", "RE", "SC", "SN", "OK", "NA"})


@dataclass(frozen=True, slots=True)
class OrderGroup:
    """One order of a message.

    Attributes:
        number: Place among the orders of the message, counted from 1.
        orc: The ORC; a stand-in whose fields are all empty (`is_absent`) when the order has none.
        obr: The first OBR of the order, None when it has none.
        segments: Every segment of the group, prior results and following segments included.
        current_count: How many of `segments`, from the front, describe the order itself; the rest are prior results.
        start: Byte offset of the first segment.
        end: Byte offset after the group; the next group's `start`, or the end of the message.
    """

    number: int
    orc: Segment
    obr: Segment | None
    segments: tuple[Segment, ...]
    current_count: int
    start: int
    end: int

    @property
    def current_segments(self) -> tuple[Segment, ...]:
        """The segments of the order itself, without prior results (OMG: PRIOR_RESULT)."""
        return self.segments[: self.current_count]

    @property
    def obrs(self) -> tuple[Segment, ...]:
        """Every OBR of the order itself; more than one is against the standard but seen in ORM."""
        return tuple(segment for segment in self.current_segments if segment.name == "OBR")


def is_order_message(view: MessageView | Header) -> bool:
    """Whether the message is of a kind that carries orders."""
    message_type = view.message_type
    if (message_type.code, message_type.trigger) in ORDER_MESSAGES:
        return True
    # 2.1 knows no trigger in MSH-9.
    return message_type.code == "ORM" and not message_type.trigger


def _group_starts(view: MessageView) -> list[tuple[int, int]]:
    """For each order the index of its first segment and of the first that belongs to prior results, or -1.

    ORM has no prior results, so there every ORC begins an order. In the others a patient segment after an ORC opens
    them; they carry their own ORC, which must not be taken for an order to be decided.
    """
    may_have_prior = view.message_type.code != "ORM"
    starts: list[tuple[int, int]] = []
    for segment in view.segments:
        if segment.name == "ORC":
            in_prior = bool(starts) and starts[-1][1] >= 0
            if in_prior and segment.text(1).strip().upper() in _PRIOR_ORDER_CONTROLS:
                continue
            starts.append((segment.index, -1))
        elif segment.name == "OBR" and not may_have_prior and not _has_orc(view, starts):
            starts.append((segment.index, -1))
        elif may_have_prior and segment.name in _PATIENT_PRIOR and starts and starts[-1][1] < 0:
            starts[-1] = (starts[-1][0], segment.index)
    return starts


def _has_orc(view: MessageView, starts: list[tuple[int, int]]) -> bool:
    """Whether the newest order began with an ORC, so that an OBR is its detail."""
    return bool(starts) and view.segments[starts[-1][0]].name == "ORC"


def order_groups(view: MessageView) -> tuple[OrderGroup, ...]:
    """Find the orders of an order message, in its order; () for any other message.

    In ORM an OBR that no ORC precedes begins an order too. Segments after the last order belong to it.
    """
    if not is_order_message(view):
        return ()
    segments = view.segments
    starts = _group_starts(view)
    groups = []
    for number, (first, prior) in enumerate(starts, start=1):
        is_last = number == len(starts)
        following = len(segments) if is_last else starts[number][0]
        own = segments[first:following]
        orc = own[0] if own[0].name == "ORC" else own[0].stand_in("ORC")
        count = len(own) if prior < 0 else prior - first
        obr = next((segment for segment in own[:count] if segment.name == "OBR"), None)
        end = len(view.raw) if is_last else segments[following].start
        groups.append(OrderGroup(number, orc, obr, own, count, own[0].start, end))
    return tuple(groups)


def header_segments(view: MessageView) -> tuple[Segment, ...]:
    """The segments before the first order; all of them when the message has no orders."""
    groups = order_groups(view)
    if not groups:
        return view.segments
    return view.segments[: groups[0].segments[0].index]


def second_patient_offset(view: MessageView) -> int | None:
    """Byte offset of a second patient (a PID with other identifiers) before or between orders, None when there is none.

    Orders after it may be another patient's, and the header's patient must not be taken for theirs: such a message
    is for the filler to judge. Prior results repeat the same patient, and a PID with no order after it changes nothing.
    """
    groups = order_groups(view)
    if not groups:
        return None
    last_order_start = groups[-1].start
    patients = [segment for segment in view.segments_named("PID") if segment.start < last_order_start]
    for patient in patients[1:]:
        if not patient.raw_field(3) or patient.raw_field(3) != patients[0].raw_field(3):
            return patient.start
    return None
