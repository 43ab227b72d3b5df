"""Values for journal tests: messages, orders and changes with as little text as possible. All names are invented."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from interceptor.action.lifecycle import LifecycleEvent, OrderState, decide_transition
from interceptor.journal.decision_record import DecisionRecord
from interceptor.journal.port import (
    ChangeDone,
    Conflict,
    EntryChange,
    EntryId,
    Follower,
    Intake,
    IntakeDone,
    Journal,
    MessageIdentity,
    NewEntry,
    OutgoingMessage,
)

NOW = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
WEEK_AGO = NOW - timedelta(days=7)
DEADLINE = NOW + timedelta(hours=4)
ANSWER = b"MSH|^~\\&|US|X|EHR|X|20260302||ACK|1|T|2.5.1\rMSA|AA|1\r"


def message_bytes(control_id: str, *, order: str = "P1^EHR", control: str = "NW") -> bytes:
    """A small order message."""
    return f"MSH|^~\\&|EHR|X|US|X|20260302||ORM^O01|{control_id}|T|2.5.1\rORC|{control}|{order}\r".encode()


def identity_of(raw: bytes, control_id: str, **values: Any) -> MessageIdentity:
    """The identity that the pipeline would read from *raw*."""
    known: dict[str, Any] = {
        "listener": "main",
        "sending_application": b"EHR",
        "sending_facility": b"X",
        "control_id": control_id.encode(),
        "digest": hashlib.sha256(raw).digest(),
    }
    return MessageIdentity(**(known | values))


def new_entry(
    content: bytes, *, state: OrderState = OrderState.HELD, order_key: str = "P1^EHR", **values: Any
) -> NewEntry:
    """An order that waits until `DEADLINE`, or is queued."""
    known: dict[str, Any] = {
        "order_key": order_key,
        "set_key": "",
        "placer_order_number": order_key.partition("^")[0],
        "state": state,
        "content": content,
        "control_id": b"1",
        "deadline_at": None if state is OrderState.QUEUED else DEADLINE,
        "priority": "routine",
        "summary": {"why": ["a reason"]},
        "decision": {"reasons": ["H-REGIONAL"]},
    }
    return NewEntry(**(known | values))


def intake(raw: bytes, control_id: str, **values: Any) -> Intake:
    """A message that arrives at `NOW`."""
    known: dict[str, Any] = {
        "route": "main",
        "identity": identity_of(raw, control_id),
        "received_at": NOW,
        "raw": raw,
        "acknowledgment": ANSWER,
    }
    return Intake(**(known | values))


def outgoing(content: bytes, control_id: str = "1", **values: Any) -> OutgoingMessage:
    """An order for the filler "ris"."""
    known: dict[str, Any] = {"destination": "ris", "content": content, "control_id": control_id.encode()}
    return OutgoingMessage(**(known | values))


def held_intake(
    control_id: str, *, order: str = "P1^EHR", state: OrderState = OrderState.HELD, **values: Any
) -> Intake:
    """A message whose one order is held, parked, or queued for "ris"."""
    raw = message_bytes(control_id, order=order)
    entry = new_entry(raw, state=state, order_key=order, control_id=control_id.encode())
    leaves = (outgoing(raw, control_id, entry_index=0),) if state is OrderState.QUEUED else ()
    return intake(raw, control_id, entries=(entry,), outgoing=leaves, **values)


def stored_intake(control_id: str, **values: Any) -> Intake:
    """A message in store custody: kept as it is and queued for "ris"."""
    raw = message_bytes(control_id)
    return intake(raw, control_id, outgoing=(outgoing(raw, control_id, kind="message"),), **values)


def step(
    entry_id: EntryId,
    event: LifecycleEvent,
    *,
    state: OrderState = OrderState.HELD,
    version: int | None = None,
    **values: Any,
) -> EntryChange:
    """The step that *event* is in *state*; a release sends the order's bytes to "ris"."""
    return EntryChange(
        entry_id=entry_id,
        expected_version=version,
        expected_state=state,
        event=event,
        state=decide_transition(state, event).state,
        **({"actor": "user:ann"} | values),
    )


def release(entry_id: EntryId, content: bytes, *, version: int | None = None, **values: Any) -> EntryChange:
    """A reviewer's release of a held order."""
    return step(entry_id, LifecycleEvent.RELEASED, version=version, outgoing=(outgoing(content),), **values)


def decision(**values: Any) -> DecisionRecord:
    """A decision on an order that passed."""
    known: dict[str, Any] = {
        "decided_at": NOW,
        "route": "main",
        "mode": "enforce",
        "control_id": "1",
        "order_key": "P1^EHR",
        "placer_order_number": "P1",
        "disposition": "pass",
        "reasons": ("P-NOTSPINE",),
        "policy_id": "spine-oncology",
        "policy_version": "1",
        "policy_profile": "default",
        "policy_sha256": "0" * 64,
        "facts": {},
    }
    return DecisionRecord(**(known | values))


async def take(journal: Journal, value: Intake) -> EntryId:
    """Record an intake of one order; returns its number."""
    done = await journal.record_intake(value)
    assert isinstance(done, IntakeDone)
    (entry_id,) = done.entry_ids
    return entry_id


async def change(journal: Journal, value: EntryChange, *, at: datetime = NOW) -> ChangeDone:
    """Apply a change that must not conflict."""
    done = await journal.apply_change(value, at=at)
    assert not isinstance(done, Conflict)
    return done


async def follow(journal: Journal, entry_id: EntryId, control_id: str, *, order: str = "P1^EHR") -> None:
    """A status message about a held order arrives and waits behind it."""
    raw = message_bytes(control_id, order=order, control="SC")
    value = step(entry_id, LifecycleEvent.FOLLOWED, follower=Follower(raw, control_id.encode()), actor="placer")
    assert isinstance(await journal.record_intake(intake(raw, control_id, changes=(value,))), IntakeDone)
