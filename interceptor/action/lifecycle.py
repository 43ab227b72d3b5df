"""The states of an order in our custody, and the events that move it.

One table, `TRANSITIONS`, says what every event does in every state: where the order goes, what the filler
sees, what the placer is told, and the reason code that is recorded. An event that the table does not name
for a state is our own mistake: `IllegalTransition`. The journal asks the table before every write, the CHECK
constraints in SQL are tested against it, and docs/explanation/lifecycle.md is generated from it.

Where an event has two outcomes (a changed order may still have to be held, or not), the decision comes
first and there are two events, so that the table stays a function.

Source: HL7 v2.5.1 chapter 4.5.1 (ORC) and tables 0119 (order control) and 0038 (order status).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class OrderState(StrEnum):
    """Where an order in our custody stands. The last five are ends."""

    PARKED = "parked"
    HELD = "held"
    QUEUED = "queued"
    DELIVERED = "delivered"
    WITHDRAWN = "withdrawn"
    RETURNED = "returned"
    REPLACED = "replaced"
    DEAD = "dead"


WAITING_STATES = frozenset({OrderState.PARKED, OrderState.HELD})
"""Kept from the filler, each with a deadline."""
OPEN_STATES = WAITING_STATES | {OrderState.QUEUED}
"""In our custody: every later message about such an order goes through its lifecycle, never around it."""
UNSEEN_ENDS = frozenset({OrderState.WITHDRAWN, OrderState.RETURNED, OrderState.REPLACED})
"""Ended without the filler ever having seen the order; what still comes about it cannot simply pass."""


class LifecycleEvent(StrEnum):
    """What can happen to an order in our custody."""

    TAKEN = "taken"
    """We took custody: the first event of every order, see `TAKEN_AS`."""
    CANCELLED = "cancelled"
    """The placer sent CA or DC."""
    CHANGED = "changed"
    """The placer sent XO, XX, or NW again with other bytes; decided again, the order must still wait."""
    CHANGED_AND_RELEASED = "changed_and_released"
    """The same, but the order as it now stands need not wait."""
    REPLACED_BY = "replaced_by"
    """The placer sent RP; the replacement (RO) is an order of its own."""
    HOLD_REQUESTED = "hold_requested"
    """The placer sent HD."""
    RELEASE_REQUESTED = "release_requested"
    """The placer sent RL where the site does not let the placer release our holds."""
    RELEASE_GRANTED = "release_granted"
    """The placer sent RL where `placer_release` is on."""
    FOLLOWED = "followed"
    """Any other message about the order: SC, SN and the rest."""
    SET_COMPLETED = "set_completed"
    """With its siblings as they now stand the order need not wait."""
    SET_REOPENED = "set_reopened"
    """A sibling was cancelled; decided again, the order must still wait."""
    SET_WINDOW_ENDED = "set_window_ended"
    """No sibling came in time."""
    HOLD_UNAVAILABLE = "hold_unavailable"
    """Nobody can review, the breaker is open, or the route no longer holds."""
    RELEASED = "released"
    """A reviewer released it as ordered."""
    PROCEDURE_CHANGED = "procedure_changed"
    """A reviewer changed the procedure and released it."""
    RETURNED_TO_ORDERER = "returned_to_orderer"
    """A reviewer sent it back."""
    OVERRIDDEN = "overridden"
    """The orderer answered the order question that overrides the policy."""
    DEADLINE_PASSED = "deadline_passed"
    """Nobody decided in time."""
    PATIENT_MERGED = "patient_merged"
    """ADT^A40: the order belongs to the surviving patient now."""
    ACKNOWLEDGED = "acknowledged"
    """The filler took it."""
    REFUSED = "refused"
    """The filler refused it for good."""
    REQUEUED = "requeued"
    """A person had a dead order sent again."""
    DISCARDED = "discarded"
    """A person gave a dead order up."""
    COMMENTED = "commented"
    """Somebody wrote a comment."""


class FillerSees(StrEnum):
    """What an event sends to the filler. "Now" and "ever" differ only in the state that follows."""

    NOTHING = "nothing"
    ORDER_WITH_NOTE = "the order as placed, with a note that says why it was released"
    ORDER_UNCHANGED = "the order as placed, unchanged"
    ORDER_AS_CHANGED = "one new order (NW) with the new content"
    ORDER_WITH_NEW_PROCEDURE = "the order with the new procedure, the original one in a note"
    MESSAGE_AFTER_ORDER = "this message, after the order"
    MESSAGE = "this message"
    MESSAGE_AS_NEW_ORDER = "this message as a new order (NW), once it is decided"


@dataclass(frozen=True, slots=True)
class Notice:
    """What the placer is told: order control (ORC-1, table 0119) and order status (ORC-5, table 0038)."""

    order_control: str
    order_status: str


CANCELLED_AS_REQUESTED = Notice("CR", "CA")
CANCELLED_BY_FILLER = Notice("OC", "CA")
HELD_BY_FILLER = Notice("OH", "HD")
HELD_AS_REQUESTED = Notice("HR", "HD")
RELEASED_BY_FILLER = Notice("OE", "IP")
RELEASED_AS_REQUESTED = Notice("OR", "IP")
STILL_HELD = Notice("UR", "HD")
REPLACED_AS_REQUESTED = Notice("RQ", "RP")
CHANGED_BY_FILLER = Notice("XX", "IP")


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table.

    Attributes:
        state: Where the order stands afterwards.
        reason: Reason code for the audit row, the decision and the note.
        filler_sees: What leaves for the filler because of this event.
        notice: What the placer is told, None for nothing.
    """

    state: OrderState
    reason: str
    filler_sees: FillerSees = FillerSees.NOTHING
    notice: Notice | None = None


class IllegalTransition(AssertionError):  # noqa: N818 - named as in the docs
    """The table has no such row: our own mistake, never the peer's."""


_P, _H, _Q = OrderState.PARKED, OrderState.HELD, OrderState.QUEUED
_DELIVERED, _WITHDRAWN, _RETURNED = OrderState.DELIVERED, OrderState.WITHDRAWN, OrderState.RETURNED
_REPLACED, _DEAD = OrderState.REPLACED, OrderState.DEAD
_E, _S = LifecycleEvent, FillerSees

TAKEN_AS: Mapping[OrderState, Transition] = MappingProxyType(
    {
        _P: Transition(_P, "S-PARKED"),
        _H: Transition(_H, "S-HELD", _S.NOTHING, HELD_BY_FILLER),
        _Q: Transition(_Q, "S-QUEUED", _S.ORDER_UNCHANGED),
    }
)
"""How an order may begin. Queued at once: it is released with siblings that waited, or its custody is `store`."""

_WAITING: Mapping[tuple[OrderState, LifecycleEvent], Transition] = {
    # Parked: waiting for siblings, seconds. The placer has not been told of a hold yet.
    (_P, _E.CANCELLED): Transition(_WITHDRAWN, "S-CANCELLED", _S.NOTHING, CANCELLED_AS_REQUESTED),
    (_P, _E.CHANGED): Transition(_P, "S-CHANGED"),
    (_P, _E.CHANGED_AND_RELEASED): Transition(_Q, "S-CHANGED-RELEASED", _S.ORDER_AS_CHANGED, RELEASED_BY_FILLER),
    (_P, _E.REPLACED_BY): Transition(_REPLACED, "S-REPLACED", _S.NOTHING, REPLACED_AS_REQUESTED),
    (_P, _E.HOLD_REQUESTED): Transition(_P, "S-HOLD-NOTED", _S.NOTHING, HELD_AS_REQUESTED),
    (_P, _E.RELEASE_REQUESTED): Transition(_P, "S-RELEASE-NOTED", _S.NOTHING, STILL_HELD),
    (_P, _E.RELEASE_GRANTED): Transition(_Q, "S-RELEASE-GRANTED", _S.ORDER_WITH_NOTE, RELEASED_AS_REQUESTED),
    (_P, _E.FOLLOWED): Transition(_P, "S-FOLLOWED", _S.MESSAGE_AFTER_ORDER),
    (_P, _E.SET_COMPLETED): Transition(_Q, "S-SET-COMPLETE", _S.ORDER_UNCHANGED, RELEASED_BY_FILLER),
    (_P, _E.SET_REOPENED): Transition(_P, "S-SET-REOPENED"),
    (_P, _E.SET_WINDOW_ENDED): Transition(_H, "S-HELD", _S.NOTHING, HELD_BY_FILLER),
    (_P, _E.HOLD_UNAVAILABLE): Transition(_Q, "S-HOLD-UNAVAILABLE", _S.ORDER_WITH_NOTE),
    (_P, _E.RELEASED): Transition(_Q, "S-RELEASED", _S.ORDER_WITH_NOTE, RELEASED_BY_FILLER),
    (_P, _E.PROCEDURE_CHANGED): Transition(_Q, "S-PROCEDURE-CHANGED", _S.ORDER_WITH_NEW_PROCEDURE, CHANGED_BY_FILLER),
    (_P, _E.RETURNED_TO_ORDERER): Transition(_RETURNED, "S-RETURNED", _S.NOTHING, CANCELLED_BY_FILLER),
    (_P, _E.OVERRIDDEN): Transition(_Q, "S-OVERRIDE", _S.ORDER_WITH_NOTE, RELEASED_BY_FILLER),
    (_P, _E.DEADLINE_PASSED): Transition(_Q, "S-DEADLINE", _S.ORDER_WITH_NOTE, RELEASED_BY_FILLER),
    (_P, _E.PATIENT_MERGED): Transition(_P, "S-MERGED"),
    (_P, _E.COMMENTED): Transition(_P, "S-COMMENTED"),
    # Held: waiting for a person or a timer.
    (_H, _E.CANCELLED): Transition(_WITHDRAWN, "S-CANCELLED", _S.NOTHING, CANCELLED_AS_REQUESTED),
    (_H, _E.CHANGED): Transition(_H, "S-CHANGED", _S.NOTHING, HELD_BY_FILLER),
    (_H, _E.CHANGED_AND_RELEASED): Transition(_Q, "S-CHANGED-RELEASED", _S.ORDER_AS_CHANGED, RELEASED_BY_FILLER),
    (_H, _E.REPLACED_BY): Transition(_REPLACED, "S-REPLACED", _S.NOTHING, REPLACED_AS_REQUESTED),
    (_H, _E.HOLD_REQUESTED): Transition(_H, "S-HOLD-NOTED", _S.NOTHING, HELD_AS_REQUESTED),
    (_H, _E.RELEASE_REQUESTED): Transition(_H, "S-RELEASE-NOTED", _S.NOTHING, STILL_HELD),
    (_H, _E.RELEASE_GRANTED): Transition(_Q, "S-RELEASE-GRANTED", _S.ORDER_WITH_NOTE, RELEASED_AS_REQUESTED),
    (_H, _E.FOLLOWED): Transition(_H, "S-FOLLOWED", _S.MESSAGE_AFTER_ORDER),
    (_H, _E.SET_COMPLETED): Transition(_Q, "S-SET-COMPLETE", _S.ORDER_UNCHANGED, RELEASED_BY_FILLER),
    (_H, _E.SET_REOPENED): Transition(_H, "S-SET-REOPENED"),
    (_H, _E.HOLD_UNAVAILABLE): Transition(_Q, "S-HOLD-UNAVAILABLE", _S.ORDER_WITH_NOTE, RELEASED_BY_FILLER),
    (_H, _E.RELEASED): Transition(_Q, "S-RELEASED", _S.ORDER_WITH_NOTE, RELEASED_BY_FILLER),
    (_H, _E.PROCEDURE_CHANGED): Transition(_Q, "S-PROCEDURE-CHANGED", _S.ORDER_WITH_NEW_PROCEDURE, CHANGED_BY_FILLER),
    (_H, _E.RETURNED_TO_ORDERER): Transition(_RETURNED, "S-RETURNED", _S.NOTHING, CANCELLED_BY_FILLER),
    (_H, _E.OVERRIDDEN): Transition(_Q, "S-OVERRIDE", _S.ORDER_WITH_NOTE, RELEASED_BY_FILLER),
    (_H, _E.DEADLINE_PASSED): Transition(_Q, "S-DEADLINE", _S.ORDER_WITH_NOTE, RELEASED_BY_FILLER),
    (_H, _E.PATIENT_MERGED): Transition(_H, "S-MERGED"),
    (_H, _E.COMMENTED): Transition(_H, "S-COMMENTED"),
}

_QUEUED: Mapping[tuple[OrderState, LifecycleEvent], Transition] = {
    # Queued: the order is on its way and may already have arrived. Nothing overtakes it, nothing takes it
    # back; what the placer still says about it goes to the filler behind it, and the filler answers.
    (_Q, _E.CANCELLED): Transition(_Q, "S-FOLLOWED", _S.MESSAGE_AFTER_ORDER),
    (_Q, _E.CHANGED): Transition(_Q, "S-FOLLOWED", _S.MESSAGE_AFTER_ORDER),
    (_Q, _E.REPLACED_BY): Transition(_Q, "S-FOLLOWED", _S.MESSAGE_AFTER_ORDER),
    (_Q, _E.HOLD_REQUESTED): Transition(_Q, "S-FOLLOWED", _S.MESSAGE_AFTER_ORDER),
    (_Q, _E.RELEASE_REQUESTED): Transition(_Q, "S-FOLLOWED", _S.MESSAGE_AFTER_ORDER),
    (_Q, _E.FOLLOWED): Transition(_Q, "S-FOLLOWED", _S.MESSAGE_AFTER_ORDER),
    (_Q, _E.PATIENT_MERGED): Transition(_Q, "S-MERGED"),
    (_Q, _E.COMMENTED): Transition(_Q, "S-COMMENTED"),
    (_Q, _E.ACKNOWLEDGED): Transition(_DELIVERED, "S-DELIVERED"),
    (_Q, _E.REFUSED): Transition(_DEAD, "S-REFUSED"),
}

_ENDED: Mapping[tuple[OrderState, LifecycleEvent], Transition] = {
    # Dead: the filler refused it, or broke off so often that we gave up; it may have it all the same. So a
    # cancel goes to the filler too, and the dead order can never be sent after its cancel was answered.
    (_DEAD, _E.REQUEUED): Transition(_Q, "S-REQUEUED", _S.ORDER_UNCHANGED),
    (_DEAD, _E.DISCARDED): Transition(_DEAD, "S-DISCARDED"),
    (_DEAD, _E.CANCELLED): Transition(_WITHDRAWN, "S-CANCELLED-DEAD", _S.MESSAGE),
    (_DEAD, _E.CHANGED): Transition(_DEAD, "S-FOLLOWED", _S.MESSAGE),
    (_DEAD, _E.FOLLOWED): Transition(_DEAD, "S-FOLLOWED", _S.MESSAGE),
    (_DEAD, _E.COMMENTED): Transition(_DEAD, "S-COMMENTED"),
    # The filler never saw these orders. Cancelling again is answered again; a change is a new order, for
    # the filler would refuse a change of something that it does not know, and the patient would have none.
    (_WITHDRAWN, _E.CANCELLED): Transition(_WITHDRAWN, "S-CANCELLED", _S.NOTHING, CANCELLED_AS_REQUESTED),
    (_WITHDRAWN, _E.CHANGED): Transition(_WITHDRAWN, "S-ORDERED-AGAIN", _S.MESSAGE_AS_NEW_ORDER),
    (_WITHDRAWN, _E.COMMENTED): Transition(_WITHDRAWN, "S-COMMENTED"),
    (_RETURNED, _E.CANCELLED): Transition(_RETURNED, "S-CANCELLED", _S.NOTHING, CANCELLED_AS_REQUESTED),
    (_RETURNED, _E.CHANGED): Transition(_RETURNED, "S-ORDERED-AGAIN", _S.MESSAGE_AS_NEW_ORDER),
    (_RETURNED, _E.COMMENTED): Transition(_RETURNED, "S-COMMENTED"),
    (_REPLACED, _E.CANCELLED): Transition(_REPLACED, "S-CANCELLED", _S.NOTHING, CANCELLED_AS_REQUESTED),
    (_REPLACED, _E.CHANGED): Transition(_REPLACED, "S-ORDERED-AGAIN", _S.MESSAGE_AS_NEW_ORDER),
    (_REPLACED, _E.COMMENTED): Transition(_REPLACED, "S-COMMENTED"),
    (_DELIVERED, _E.COMMENTED): Transition(_DELIVERED, "S-COMMENTED"),
}

TRANSITIONS: Mapping[tuple[OrderState, LifecycleEvent], Transition] = MappingProxyType(
    {**_WAITING, **_QUEUED, **_ENDED}
)
"""The whole table: (state, event) to what happens."""


def decide_transition(state: OrderState, event: LifecycleEvent) -> Transition:
    """What *event* does to an order that is in *state*.

    Raises:
        IllegalTransition: The table has no such row.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        message = f"an order that is {state} cannot be {event}"
        raise IllegalTransition(message) from None
