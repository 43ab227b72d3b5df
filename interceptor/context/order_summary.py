"""The few fields of an order that a person needs at a glance, as plain text values.

Patient data: for the worklist and the journal only, never for a log, a metric or an address.
"""

from interceptor.message.group import OrderGroup
from interceptor.message.view import MessageView, Segment


def order_summary(view: MessageView, group: OrderGroup) -> dict[str, object]:
    """Patient, study, orderer and reason of one order; "" where the message says nothing."""
    return {
        "patient_name": _name(view),
        "patient_id": view.text("PID-3.1"),
        "patient_id_authority": view.text("PID-3.4"),
        "birth_date": view.text("PID-7.1")[:8],
        "sex": view.text("PID-8"),
        "patient_class": view.text("PV1-2"),
        "location": " ".join(filter(None, (view.text("PV1-3.1"), view.text("PV1-3.2"), view.text("PV1-3.3")))),
        "placer_order_number": group.orc.text(2) or (group.obr.text(2) if group.obr else ""),
        "accession": group.obr.text(18) if group.obr else "",
        "control_id": view.control_id.decode("latin-1"),
        "procedure_code": group.obr.text(4) if group.obr else "",
        "procedure": group.obr.text(4, 2) or group.obr.text(4) if group.obr else "",
        "reason": _reason(group),
        "orderer": _provider(group),
        "call_back": _phone(group.orc, 14) or (_phone(group.obr, 17) if group.obr else ""),
        "scheduled": group.obr.text(36) if group.obr else "",
    }


def _phone(segment: Segment, number: int) -> str:
    """A telephone number (XTN): as one text, unformatted (2.7), or area code and number."""
    parts = (segment.text(number, 6), segment.text(number, 7))
    return segment.text(number) or segment.text(number, 12) or " ".join(filter(None, parts))


def _name(view: MessageView) -> str:
    family, given = view.text("PID-5.1"), view.text("PID-5.2")
    return ", ".join(filter(None, (family, given)))


def _provider(group: OrderGroup) -> str:
    segment, number = (group.orc, 12) if group.orc.raw_field(12) else (group.obr, 16)
    if segment is None:
        return ""
    return ", ".join(filter(None, (segment.text(number, 2), segment.text(number, 3))))


def _reason(group: OrderGroup) -> str:
    if group.obr is None:
        return ""
    found = [
        group.obr.text(31, 2, repetition=number, subcomponent=None)
        or group.obr.text(31, 1, repetition=number, subcomponent=None)
        for number in range(1, group.obr.repetition_count(31) + 1)
    ]
    return "; ".join(filter(None, (*found, group.obr.text(13, None, subcomponent=None))))
