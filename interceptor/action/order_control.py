"""What an order control code (ORC-1) means for an order that is ours, and the one rewrite that we make of it.

The filler never saw an order that we kept. A change (XO) or replacement (RO) of it would be refused there, so
it leaves as a new order: ORC-1 becomes NW, and nothing else changes.

Source: HL7 v2.5.1 chapter 4.5.1.1, table 0119.
"""

from interceptor.action.lifecycle import LifecycleEvent
from interceptor.message.group import OrderGroup
from interceptor.message.splice import Replacement, splice
from interceptor.message.view import MessageView

NEW_ORDER = "NW"
REPLACED_ORDER = "RP"
REPLACEMENT_ORDER = "RO"

_EVENTS = {
    "CA": LifecycleEvent.CANCELLED,
    "DC": LifecycleEvent.CANCELLED,
    "NW": LifecycleEvent.CHANGED,
    "XO": LifecycleEvent.CHANGED,
    "XX": LifecycleEvent.CHANGED,
    "RP": LifecycleEvent.REPLACED_BY,
    "HD": LifecycleEvent.HOLD_REQUESTED,
    "RL": LifecycleEvent.RELEASE_REQUESTED,
}


def control_event(order_control: str) -> LifecycleEvent:
    """What a placer's *order_control* (ORC-1, any case) does to an order that is ours; unknown codes follow it."""
    return _EVENTS.get(order_control.strip().upper(), LifecycleEvent.FOLLOWED)


def as_new_order(view: MessageView, group: OrderGroup) -> bytes:
    """Return the message with ORC-1 of *group* as NW; the message itself when it is NW already or has no ORC-1.

    Raises:
        SpliceError: The proof failed.
    """
    span = group.orc.span(1)
    if group.orc.text(1).strip().upper() == NEW_ORDER or span is None:
        return view.raw
    start, end = span
    return splice(view, [Replacement(start=start, end=end, content=NEW_ORDER.encode("ascii"))])
