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
        obrs: Every OBR of the order itself; more than one is against the standard but seen in ORM.
        current_count: How many of `segments`, from the front, describe the order itself; the rest are prior results.
        start: Byte offset of the first segment.
        end: Byte offset after the group; the next group's `start`, or the end of the message.
        places: Where `segments` stand among the segments of `view`.
        view: The message.
    """

    number: int
    orc: Segment
    obrs: tuple[Segment, ...]
    current_count: int
    start: int
    end: int
    places: slice
    view: MessageView

    @property
    def obr(self) -> Segment | None:
        """The first OBR of the order, None when it has none."""
        return self.obrs[0] if self.obrs else None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Every segment of the group, prior results and following segments included."""
        return self.view.segments[self.places]

    @property
    def current_segments(self) -> tuple[Segment, ...]:
        """The segments of the order itself, without prior results (OMG: PRIOR_RESULT)."""
        return self.segments[: self.current_count]


def is_order_message(view: MessageView | Header) -> bool:
    """Whether the message is of a kind that carries orders."""
    message_type = view.message_type
    code, trigger = message_type.code, message_type.trigger
    # 2.1 knows no trigger in MSH-9.
    return (code, trigger) in ORDER_MESSAGES or (code == "ORM" and not trigger)


def _group_starts(view: MessageView) -> list[tuple[int, int]]:
    """For each order the index of its first segment and of the first that belongs to prior results, or -1.

    ORM has no prior results, so there every ORC begins an order. In the others a patient segment after an ORC opens
    them; they carry their own ORC, which must not be taken for an order to be decided.
    """
    may_have_prior = view.message_type.code != "ORM"
    lines = view.lines
    starts: list[tuple[int, int]] = []
    for index, name in enumerate(lines.names):
        if name == "ORC":
            in_prior = bool(starts) and starts[-1][1] >= 0
            if in_prior and lines.at(index).text(1).strip().upper() in _PRIOR_ORDER_CONTROLS:
                continue
            starts.append((index, -1))
        elif name == "OBR":
            # One without an ORC before it; else it is the detail of the order that the ORC began.
            if not may_have_prior and not (starts and lines.names[starts[-1][0]] == "ORC"):
                starts.append((index, -1))
        elif may_have_prior and name in _PATIENT_PRIOR and starts and starts[-1][1] < 0:
            starts[-1] = (starts[-1][0], index)
    return starts


def order_groups(view: MessageView) -> tuple[OrderGroup, ...]:
    """Find the orders of an order message, in its order; () for any other message.

    In ORM an OBR that no ORC precedes begins an order too. Segments after the last order belong to it.
    """
    if not is_order_message(view):
        return ()
    lines = view.lines
    names = lines.names
    starts = _group_starts(view)
    groups = []
    for number, (first, prior) in enumerate(starts, start=1):
        is_last = number == len(starts)
        following = len(names) if is_last else starts[number][0]
        first_segment = lines.at(first)
        orc = first_segment if names[first] == "ORC" else first_segment.stand_in("ORC")
        count = (following if prior < 0 else prior) - first
        obrs = tuple([lines.at(index) for index in range(first, first + count) if names[index] == "OBR"])
        end = len(view.raw) if is_last else lines.at(following).start
        groups.append(OrderGroup(number, orc, obrs, count, first_segment.start, end, slice(first, following), view))
    return tuple(groups)


def header_segments(view: MessageView) -> tuple[Segment, ...]:
    """The segments before the first order; all of them when the message has no orders."""
    groups = order_groups(view)
    if not groups:
        return view.segments
    return view.segments[: groups[0].places.start]


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
