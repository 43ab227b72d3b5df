"""What an order group asks for, folded from ORC-1.

New orders and changes are judged; everything else (a cancellation, a status, a code of the site) is the filler's business and
passes. What it means for an order that we hold is `action/lifecycle.py`.

Source: HL7 v2.9 table 0119.
"""

from interceptor.context.vocabulary import ControlKind
from interceptor.message.view import Segment

_KINDS = {
    "NW": ControlKind.NEW,
    "RO": ControlKind.NEW,
    "XO": ControlKind.CHANGE,
    "XX": ControlKind.CHANGE,
}
"""NW new order; RO replacement order; XO change order request; XX order changed, unsolicited."""


def control_kind(orc: Segment) -> ControlKind:
    """Return what an ORC asks for; an order without an ORC (OBR alone, as in 2.1) is new."""
    return ControlKind.NEW if orc.is_absent else kind_of_word(orc.text(1).strip().upper())


def kind_of_word(word: str) -> ControlKind:
    """Return what a word of table 0119, in upper case, asks for."""
    return _KINDS.get(word, ControlKind.OTHER)
