"""An order whose procedure was changed by a reviewer: OBR-4 replaced, everything else byte for byte as placed.

The ordered procedure stays readable: the release note says it. Nothing else of the order is touched; a filler that
books by OBR-44 or a Z segment needs that in its own profile.

Source: HL7 v2.5.1 chapter 4, 4.5.3.4 OBR-4 Universal Service Identifier.
"""

from interceptor.message.build import ascii_text, build_field
from interceptor.message.group import order_groups
from interceptor.message.splice import Replacement, SpliceError, SpliceReason, splice
from interceptor.message.view import MessageView


def change_procedure(content: bytes, code: str) -> tuple[bytes, str]:
    """The order with another OBR-4, and the ordered procedure in words for the note.

    Args:
        content: An order as its own message.
        code: The new OBR-4, components separated by "^" whatever the message uses.

    Raises:
        SpliceError: The order has no OBR-4 to replace, or its encoding characters are not safe to write with.
    """
    view = MessageView(content)
    groups = order_groups(view)
    obr = groups[0].obr if groups else None
    span = obr.span(4) if obr is not None else None
    if obr is None or span is None or not view.encoding.is_safe:
        raise SpliceError(SpliceReason.NOT_IN_ONE_SEGMENT, groups[0].start if groups else 0)
    ordered = " ".join(part for part in (obr.text(4), obr.text(4, 2)) if part)
    field = build_field(tuple(ascii_text(part) for part in code.split("^")), view.encoding)
    return splice(view, [Replacement(span[0], span[1], field)]), ordered
