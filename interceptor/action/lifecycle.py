"""The states of an order in our custody, and the events that move it.

One table, `TRANSITIONS`, says what every event does in every state. An event that the table does not
name for a state is our own mistake: `IllegalTransition`.
"""

from enum import StrEnum


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


OPEN_STATES = frozenset({OrderState.PARKED, OrderState.HELD, OrderState.QUEUED})


class LifecycleEvent(StrEnum):
    """What can happen to an order in our custody."""

    TAKEN = "taken"
    CANCELLED = "cancelled"
    CHANGED = "changed"
    REPLACED_BY = "replaced_by"
    HOLD_REQUESTED = "hold_requested"
    RELEASE_REQUESTED = "release_requested"
    FOLLOWED = "followed"
    SET_COMPLETED = "set_completed"
    SET_REOPENED = "set_reopened"
    SET_WINDOW_ENDED = "set_window_ended"
    RELEASED = "released"
    PROCEDURE_CHANGED = "procedure_changed"
    RETURNED_TO_ORDERER = "returned_to_orderer"
    OVERRIDDEN = "overridden"
    DEADLINE_PASSED = "deadline_passed"
    PATIENT_MERGED = "patient_merged"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    REQUEUED = "requeued"
    CLAIMED = "claimed"
    COMMENTED = "commented"


class IllegalTransition(AssertionError):  # noqa: N818 - named as in the docs
    """The table has no such row: our own mistake, never the peer's."""
