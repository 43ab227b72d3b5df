"""One message per subset of its orders: the header and the chosen groups, every byte as received.

The part that leaves first keeps MSH-10; later parts get one derived from it, so that an acknowledgment names the
part it is for.

Source: HL7 v2.9 chapter 2, 2.14.9.10 MSH-10 (20 characters before 2.7, 199 from then on).
"""

from collections.abc import Sequence
from hashlib import sha256

from interceptor.message.group import order_groups
from interceptor.message.view import MessageView, Segment

CONTROL_ID_SIZE_MAX = 20
"""What every version and every receiver can store."""

_DIGEST_SIZE = 8
# A letter, because it can be no message's delimiter.
_PART_MARK = b"P"


class SplitError(ValueError):
    """The message cannot be split as asked: our own mistake, not the peer's. Carries no content."""


def derive_control_id(control_id: bytes, part: int, maximum: int = CONTROL_ID_SIZE_MAX) -> bytes:
    """Build the MSH-10 of a later part: "12345" part 2 is "12345P2".

    The same input always gives the same id, so that a resend after a restart is known as one. When there is no room,
    a digest of the whole id and its last characters stand for it.

    Args:
        control_id: MSH-10 of the received message.
        part: Number of the part, counted from 1.
        maximum: Most bytes of the result, 12 or more.

    Raises:
        SplitError: The part does not count from 1, or `maximum` leaves no room.
    """
    mark = _PART_MARK + str(part).encode("ascii")
    room = maximum - len(mark)
    if part < 1 or room < _DIGEST_SIZE:
        msg = "a part counts from 1 and needs room for its number"
        raise SplitError(msg)
    if len(control_id) <= room:
        return control_id + mark
    digest = sha256(control_id).hexdigest()[:_DIGEST_SIZE].upper().encode("ascii")
    # Only letters and digits of the tail: a cut through an escape sequence would not read back.
    tail = bytes(value for value in control_id if chr(value).isascii() and chr(value).isalnum())
    rest = room - _DIGEST_SIZE
    return digest + (tail[-rest:] if rest else b"") + mark


def _header_with(view: MessageView, header_end: int, control_id: bytes) -> bytes:
    """The bytes before the first order, with another MSH-10."""
    header: Segment = next(segment for segment in view.segments if segment.name == "MSH")
    span = header.span(10)
    separator = bytes((view.encoding.field,))
    if span is None or separator in control_id or b"\r" in control_id or b"\n" in control_id:
        msg = "MSH-10 cannot be replaced"
        raise SplitError(msg)
    return view.raw[: span[0]] + control_id + view.raw[span[1] : header_end]


def split(view: MessageView, keep: Sequence[int], *, control_id: bytes | None = None) -> bytes:
    """Build the message with some of its orders; all of them and no new id gives the very object that came in.

    Args:
        view: An order message.
        keep: Numbers of the orders to keep, counted from 1; they stay in the message's order.
        control_id: The new MSH-10; None keeps the received one.

    Raises:
        SplitError: No order is kept, a number names none, or MSH-10 cannot be replaced.
    """
    groups = order_groups(view)
    kept = sorted(set(keep))
    if not kept or not groups or kept[0] < 1 or kept[-1] > len(groups):
        msg = "no such order in the message"
        raise SplitError(msg)
    if len(kept) == len(groups) and control_id is None:
        return view.raw
    header_end = groups[0].start
    header = view.raw[:header_end] if control_id is None else _header_with(view, header_end, control_id)
    return header + b"".join([view.raw[groups[number - 1].start : groups[number - 1].end] for number in kept])
