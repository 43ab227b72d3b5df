"""Segments of the messages that we author about an order: to the placer, in the order's own delimiters.

    MSH    sender and receiver changed places; MSH-11, MSH-12, MSH-18 and MSH-20 as received
    PID    as received, byte for byte (PV1 too where asked for)
    ORC    order control and status are ours; numbers, group and orderer as received
    OBR    set id, numbers and procedure as received; IPC as received where the order has one

Everything is copied as raw bytes and never decoded, so a character set that we do not know goes back as it came.
`join_segments` reads the result back and refuses it when it is not exactly what was meant.

Source: HL7 v2.5.1 chapter 2.15.9 (MSH), 3.4.2 (PID), 4.5.1 (ORC), 4.5.3 (OBR), 4.5.6 (IPC).
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from interceptor.message.build import Field, ascii_text, build_field
from interceptor.message.encoding import EncodingCharacters
from interceptor.message.group import OrderGroup, header_segments
from interceptor.message.header import NotHl7
from interceptor.message.timestamp import format_timestamp
from interceptor.message.view import MessageView

_SENDER_AND_RECEIVER = (5, 6, 3, 4)
_COPIED_HEADER_FIELDS = (11, 12, 18, 20)
_HEADER_FIELD_COUNT = 20
_REASON_SINCE = "2.2"
"""ORC-15 and ORC-16 came with 2.2. Versions compare as text: each of their numbers has one digit."""


class AuthoringReason(StrEnum):
    """Why no message about an order can be authored."""

    NO_ORDER = "no_order"
    UNSAFE_ENCODING = "unsafe_encoding"
    NOT_AS_MEANT = "not_as_meant"


class AuthoringError(ValueError):
    """A message about this order cannot be authored; never carries content.

    Attributes:
        reason: A word of the closed set.
    """

    def __init__(self, reason: AuthoringReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


def header_segment(view: MessageView, *, message_type: bytes, control_id: str, at: datetime) -> bytes:
    """The MSH of our message: back to the sender of *view*, in original acknowledgment mode.

    Args:
        view: The message that we speak of.
        message_type: MSH-9, escaped already.
        control_id: MSH-10, our own.
        at: MSH-7, aware.
    """
    header, encoding = view.header, view.encoding
    fields = [b""] * (_HEADER_FIELD_COUNT + 1)
    fields[2] = header.raw_field(2)
    fields[3:7] = [header.raw_field(number) for number in _SENDER_AND_RECEIVER]
    fields[7] = format_timestamp(at).encode("ascii")
    fields[9] = message_type
    fields[10] = build_field(ascii_text(control_id), encoding)
    for number in _COPIED_HEADER_FIELDS:
        fields[number] = header.raw_field(number)
    return _join(encoding, "MSH", fields[2:])


def patient_segments(view: MessageView, names: Sequence[str]) -> list[bytes]:
    """The first PID of the message and, behind it, what else of *names* describes the patient; [] without a PID."""
    found = {segment.name: segment.raw_bytes for segment in reversed(header_segments(view))}
    return [found[name] for name in names if name in found] if "PID" in found else []


def order_control_segment(
    view: MessageView,
    group: OrderGroup,
    *,
    order_control: str,
    order_status: str,
    at: datetime,
    reason: tuple[str, str, str] | None = None,
) -> bytes:
    """The ORC of our message about one order.

    Args:
        view: The message with the order.
        group: The order.
        order_control: ORC-1, table 0119.
        order_status: ORC-5, table 0038; "" for none.
        at: ORC-9 and, with a reason, ORC-15; aware.
        reason: ORC-16 as code, text and coding system; left out before 2.2, which has no such field.
    """
    fields: list[Field] = [b""] * 16
    fields[0] = order_control
    fields[1] = group.orc.raw_field(2) or (group.obr.raw_field(2) if group.obr else b"")
    fields[2] = group.orc.raw_field(3) or (group.obr.raw_field(3) if group.obr else b"")
    fields[3] = group.orc.raw_field(4)
    fields[4] = order_status
    fields[8] = format_timestamp(at)
    fields[11] = group.orc.raw_field(12)
    if reason is not None and view.version >= _REASON_SINCE:
        fields[14] = format_timestamp(at)
        fields[15] = reason
    return _join(view.encoding, "ORC", [build_field(field, view.encoding) for field in fields])


def detail_segment(view: MessageView, group: OrderGroup, *, set_id: int = 1) -> list[bytes]:
    """The OBR of our message about one order; [] for an order without one."""
    if group.obr is None:
        return []
    fields = [str(set_id).encode("ascii"), *(group.obr.raw_field(number) for number in (2, 3, 4))]
    return [_join(view.encoding, "OBR", fields)]


def imaging_segments(group: OrderGroup) -> list[bytes]:
    """The IPC segments of an order (OMI), as received: OMI^O23 and ORI^O24 need them, and nobody can make them up."""
    return [segment.raw_bytes for segment in group.current_segments if segment.name == "IPC"]


def join_segments(view: MessageView, segments: Sequence[bytes]) -> bytes:
    """One message of *segments*, each ended by CR.

    Raises:
        AuthoringError: The delimiters cannot carry what we write, or the message does not read back as meant.
    """
    if not view.encoding.is_safe:
        raise AuthoringError(AuthoringReason.UNSAFE_ENCODING)
    content = b"".join([segment + b"\r" for segment in segments])
    try:
        read = [segment.raw_bytes for segment in MessageView(content).segments]
    except NotHl7:
        read = []
    if read != list(segments):
        raise AuthoringError(AuthoringReason.NOT_AS_MEANT)
    return content


def _join(encoding: EncodingCharacters, name: str, fields: Sequence[bytes]) -> bytes:
    """A segment of fields that are escaped, or copied with their own bytes; empty ones at the end are left out."""
    kept = list(fields)
    while kept and not kept[-1]:
        kept.pop()
    return bytes((encoding.field,)).join([name.encode("ascii"), *kept])
