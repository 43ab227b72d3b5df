"""The numbers by which an order or a merge names its patient. Patient data: never log them."""

from collections.abc import Mapping
from typing import NamedTuple

from interceptor.message.group import order_groups
from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView, Segment


class PatientNumber(NamedTuple):
    """One identifier (CX): PID-3.1 and the parts of PID-3.4, as stated; "" where they are not."""

    value: str
    namespace: str = ""
    universal: str = ""

    @property
    def authority(self) -> str:
        """The authority in the words of the message, for people."""
        return self.namespace or self.universal


def numbers_of_segment(segment: Segment, field: int) -> tuple[PatientNumber, ...]:
    """The identifiers of a CX field, in its order."""
    found = (
        PatientNumber(
            segment.text(field, repetition=repetition).strip(),
            segment.text(field, 4, repetition=repetition).strip(),
            segment.text(field, 4, repetition=repetition, subcomponent=2).strip(),
        )
        for repetition in range(1, segment.repetition_count(field) + 1)
    )
    return tuple(number for number in found if number.value)


def numbers_of_order(content: bytes, summary: Mapping[str, object]) -> frozenset[PatientNumber]:
    """Every number of the patient of an order in our custody: those it names, and the one it was merged into."""
    found: set[PatientNumber] = set()
    if summary.get("merged"):
        found.add(PatientNumber(str(summary.get("patient_id", "")), str(summary.get("patient_id_authority", ""))))
    try:
        view = MessageView(content)
    except NotHl7:
        return frozenset(found)
    groups = order_groups(view)
    # As in `context.order_set.patient_key`: with two patients in one message the last before the order counts.
    patients = [one for one in view.segments_named("PID") if not groups or one.start < groups[0].start]
    return frozenset(found.union(numbers_of_segment(patients[-1], 3) if patients else ()))
