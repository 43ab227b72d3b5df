"""The outbox, as SQL: pending, claimed, in flight, acknowledged or dead. Runs inside the caller's transaction.

Per destination the rows leave strictly in the order in which they were queued, one in flight at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interceptor.action.lifecycle import LifecycleEvent, OrderState
from interceptor.journal.entry_rows import append_audit, apply_change
from interceptor.journal.port import (
    EntryChange,
    EntryId,
    JournalRuleBroken,
    OutboxId,
    OutboxRow,
    OutboxState,
)
from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import (
    digest_of,
    instant_text,
    read_instant,
    read_optional_instant,
    storable_text,
)
from interceptor.journal.upkeep import DAMAGED

_BY_ID = "SELECT * FROM outbox_with_content WHERE outbox_id = ?"
_HEAD = """
SELECT * FROM outbox_with_content WHERE destination = ? AND state IN ('pending', 'claimed', 'inflight')
ORDER BY outbox_id LIMIT 1
"""
_DEAD = "SELECT * FROM outbox_with_content WHERE state = 'dead' AND discarded_at IS NULL ORDER BY outbox_id LIMIT ?"
_UNDELIVERED = """
SELECT * FROM outbox_with_content WHERE state IN ('pending', 'claimed', 'inflight') ORDER BY outbox_id
"""
_DEPTH = (
    "SELECT destination, count(*), min(queued_at) FROM outbox"
    " WHERE state IN ('pending', 'claimed', 'inflight') GROUP BY destination"
)
_MAY_HAVE_LEFT = (OutboxState.CLAIMED, OutboxState.INFLIGHT)
_WAS_CANCELLED = "SELECT EXISTS (SELECT 1 FROM audit WHERE entry_id = ? AND action IN (?, ?))"


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where a row stands, without its bytes."""

    outbox_id: OutboxId
    destination: str
    kind: str
    state: OutboxState
    entry_id: EntryId | None
    is_discarded: bool


def claim_next(connection: SqlConnection, destination: str, *, at: datetime, inflight: bool) -> OutboxRow | None:
    """Claim the first row of the lane when it is due; damaged ones on the way become dead."""
    while True:
        found = connection.execute(_HEAD, (destination,)).fetchone()
        if found is None:
            return None
        row, digest = _read(found)
        if row.state is not OutboxState.PENDING or (row.next_attempt_at is not None and row.next_attempt_at > at):
            return None
        if digest_of(row.content) == digest:
            break
        # Damaged bytes are worse than none: a person must act, and the lane goes on.
        record_dead(connection, row.outbox_id, at=at, error=DAMAGED, acknowledgment=b"", change=None)
    state = OutboxState.INFLIGHT if inflight else OutboxState.CLAIMED
    connection.execute(
        "UPDATE outbox SET state = ?, changed_at = ?, next_attempt_at = NULL, attempt_count = attempt_count + ?"
        " WHERE outbox_id = ?",
        (state, instant_text(at), int(inflight), row.outbox_id),
    )
    return replace(row, state=state, next_attempt_at=None, attempt_count=row.attempt_count + int(inflight))


def record_inflight(connection: SqlConnection, outbox_id: OutboxId, *, at: datetime) -> None:
    """Claimed to in flight."""
    _require(connection, outbox_id, OutboxState.CLAIMED)
    connection.execute(
        "UPDATE outbox SET state = 'inflight', changed_at = ?, attempt_count = attempt_count + 1 WHERE outbox_id = ?",
        (instant_text(at), outbox_id),
    )


def record_acked(
    connection: SqlConnection,
    outbox_id: OutboxId,
    *,
    at: datetime,
    acknowledgment: bytes,
    change: EntryChange | None,
    claim: bool,
) -> OutboxRow | None:
    """In flight to acknowledged, with the order's step, and perhaps the next row of the lane."""
    standing = _require(connection, outbox_id, *_MAY_HAVE_LEFT)
    connection.execute(
        "UPDATE outbox SET state = 'acked', changed_at = ?, acknowledgment = ?, last_error = '' WHERE outbox_id = ?",
        (instant_text(at), acknowledgment, outbox_id),
    )
    _move_order(
        connection, standing, change, event=LifecycleEvent.ACKNOWLEDGED, state=OrderState.DELIVERED, reason="", at=at
    )
    return claim_next(connection, standing.destination, at=at, inflight=True) if claim else None


def record_retry(
    connection: SqlConnection,
    outbox_id: OutboxId,
    *,
    at: datetime,
    next_attempt_at: datetime,
    error: str,
    possible_duplicate: bool,
) -> None:
    """Back to pending, at its old place; a possible duplicate stays one."""
    _require(connection, outbox_id, *_MAY_HAVE_LEFT)
    connection.execute(
        "UPDATE outbox SET state = 'pending', changed_at = ?, next_attempt_at = ?, last_error = ?,"
        " possible_duplicate = CASE WHEN ? = 1 THEN 1 ELSE possible_duplicate END WHERE outbox_id = ?",
        (instant_text(at), instant_text(next_attempt_at), storable_text(error), int(possible_duplicate), outbox_id),
    )


def record_replaced_content(connection: SqlConnection, outbox_id: OutboxId, *, at: datetime, error: str) -> None:
    """Back to pending with the original in place of what we added to. It can happen once: the original is gone then."""
    _require(connection, outbox_id, *_MAY_HAVE_LEFT)
    row = connection.execute("SELECT original FROM outbox WHERE outbox_id = ?", (outbox_id,)).fetchone()
    original = None if row is None else row[0]
    if original is None:
        message = "there is no original to send instead"
        raise JournalRuleBroken(message)
    connection.execute(
        "UPDATE outbox SET state = 'pending', changed_at = ?, next_attempt_at = NULL, last_error = ?,"
        " content = original, digest = ?, original = NULL WHERE outbox_id = ?",
        (instant_text(at), storable_text(error), digest_of(original), outbox_id),
    )


def record_dead(
    connection: SqlConnection,
    outbox_id: OutboxId,
    *,
    at: datetime,
    error: str,
    acknowledgment: bytes,
    change: EntryChange | None,
) -> None:
    """To dead, with the order's step."""
    standing = _require(connection, outbox_id, OutboxState.PENDING, *_MAY_HAVE_LEFT)
    connection.execute(
        "UPDATE outbox SET state = 'dead', changed_at = ?, next_attempt_at = NULL, last_error = ?, acknowledgment = ?"
        " WHERE outbox_id = ?",
        (instant_text(at), storable_text(error), acknowledgment, outbox_id),
    )
    _move_order(connection, standing, change, event=LifecycleEvent.REFUSED, state=OrderState.DEAD, reason=error, at=at)


def recover(connection: SqlConnection, *, at: datetime) -> int:
    """After a start: nothing is claimed or in flight any more. Returns how many were in flight."""
    text_at = instant_text(at)
    connection.execute("UPDATE outbox SET state = 'pending', changed_at = ? WHERE state = 'claimed'", (text_at,))
    again = connection.execute(
        "UPDATE outbox SET state = 'pending', possible_duplicate = 1, changed_at = ? WHERE state = 'inflight'"
        " RETURNING outbox_id",
        (text_at,),
    )
    return len(again.fetchall())


def recover_destination(connection: SqlConnection, destination: str) -> int:
    """As `recover` for one destination, when another node becomes the one that delivers to it."""
    connection.execute(
        "UPDATE outbox SET state = 'pending' WHERE destination = ? AND state = 'claimed'", (destination,)
    )
    again = connection.execute(
        "UPDATE outbox SET state = 'pending', possible_duplicate = 1 WHERE destination = ? AND state = 'inflight'"
        " RETURNING outbox_id",
        (destination,),
    )
    return len(again.fetchall())


def requeue_dead(connection: SqlConnection, outbox_id: OutboxId, *, at: datetime, actor: str) -> bool:
    """Dead to pending, counted from no attempts, as a possible duplicate."""
    standing = _find(connection, outbox_id)
    if standing is None or standing.state is not OutboxState.DEAD or standing.is_discarded:
        return False
    if standing.kind == "order":
        assert standing.entry_id is not None
        if _was_cancelled(connection, standing.entry_id):
            # Its cancel was queued behind it, and may be with the filler already: the order must not come after it.
            return False
        _step(connection, standing.entry_id, LifecycleEvent.REQUEUED, OrderState.QUEUED, actor=actor, reason="", at=at)
    else:
        append_audit(
            connection,
            at=at,
            actor=actor,
            action="message_requeued",
            entry_id=standing.entry_id,
            detail={"outbox": outbox_id},
        )
    connection.execute(
        "UPDATE outbox SET state = 'pending', changed_at = ?, attempt_count = 0, possible_duplicate = 1,"
        " acknowledgment = NULL WHERE outbox_id = ?",
        (instant_text(at), outbox_id),
    )
    return True


def _was_cancelled(connection: SqlConnection, entry_id: EntryId) -> bool:
    events = (LifecycleEvent.CANCELLED, LifecycleEvent.REPLACED_BY)
    row = connection.execute(_WAS_CANCELLED, (entry_id, *events)).fetchone()
    assert row is not None, "SELECT EXISTS always has a row"
    return bool(row[0])


def discard_dead(connection: SqlConnection, outbox_id: OutboxId, *, at: datetime, actor: str, reason: str) -> bool:
    """Dead and given up: it stays, and is no dead letter any more."""
    standing = _find(connection, outbox_id)
    if standing is None or standing.state is not OutboxState.DEAD or standing.is_discarded:
        return False
    if standing.kind == "order":
        assert standing.entry_id is not None
        _step(
            connection, standing.entry_id, LifecycleEvent.DISCARDED, OrderState.DEAD, actor=actor, reason=reason, at=at
        )
    else:
        detail = {"outbox": outbox_id, "reason": storable_text(reason)}
        append_audit(
            connection, at=at, actor=actor, action="message_discarded", entry_id=standing.entry_id, detail=detail
        )
    connection.execute(
        "UPDATE outbox SET discarded_at = ?, discarded_by = ? WHERE outbox_id = ?",
        (instant_text(at), storable_text(actor), outbox_id),
    )
    return True


def dead_letters(connection: SqlConnection, *, limit: int) -> tuple[OutboxRow, ...]:
    """Dead rows that nobody has given up, the oldest first."""
    return tuple(_read(row)[0] for row in connection.execute(_DEAD, (limit,)))


def undelivered_rows(connection: SqlConnection) -> tuple[OutboxRow, ...]:
    """Waiting rows of all destinations."""
    return tuple(_read(row)[0] for row in connection.execute(_UNDELIVERED))


def depth(connection: SqlConnection) -> Mapping[str, tuple[int, datetime | None]]:
    """Waiting rows and the oldest one's time, by destination."""
    return {
        destination: (count, read_optional_instant(oldest)) for destination, count, oldest in connection.execute(_DEPTH)
    }


def _move_order(
    connection: SqlConnection,
    standing: _Standing,
    change: EntryChange | None,
    *,
    event: LifecycleEvent,
    state: OrderState,
    reason: str,
    at: datetime,
) -> None:
    if standing.kind != "order":
        assert change is None, "only the order's own row moves the order"
        return
    assert standing.entry_id is not None
    if change is None:
        _step(connection, standing.entry_id, event, state, actor="filler", reason=reason, at=at)
        return
    assert (change.entry_id, change.event, change.state) == (standing.entry_id, event, state), "not this row's step"
    apply_change(connection, _whatever_version(change), at=at)


def _whatever_version(change: EntryChange) -> EntryChange:
    # What the filler did is so, whoever wrote a comment meanwhile.
    return replace(change, expected_version=None)


def _step(
    connection: SqlConnection,
    entry_id: EntryId,
    event: LifecycleEvent,
    state: OrderState,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    before = OrderState.QUEUED if event in (LifecycleEvent.ACKNOWLEDGED, LifecycleEvent.REFUSED) else OrderState.DEAD
    change = EntryChange(
        entry_id=entry_id,
        expected_version=None,
        expected_state=before,
        event=event,
        state=state,
        actor=actor,
        reason=reason,
    )
    apply_change(connection, change, at=at)


def _find(connection: SqlConnection, outbox_id: OutboxId) -> _Standing | None:
    row = connection.execute(
        "SELECT destination, kind, state, entry_id, discarded_at IS NOT NULL FROM outbox WHERE outbox_id = ?",
        (outbox_id,),
    ).fetchone()
    if row is None:
        return None
    destination, kind, state, entry_id, is_discarded = row
    return _Standing(
        outbox_id,
        destination,
        kind,
        OutboxState(state),
        None if entry_id is None else EntryId(entry_id),
        bool(is_discarded),
    )


def _require(connection: SqlConnection, outbox_id: OutboxId, *states: OutboxState) -> _Standing:
    standing = _find(connection, outbox_id)
    if standing is None or standing.state not in states:
        message = f"the row is {standing.state if standing else 'missing'}, not {' or '.join(states)}"
        raise JournalRuleBroken(message)
    return standing


def _read(row: Sequence[Any]) -> tuple[OutboxRow, bytes]:
    """One row of `outbox_with_content` as a value, and the digest that was stored with its bytes."""
    (
        outbox_id, destination, kind, state, content, digest, original, control_id, entry_id, attempt_count,
        possible_duplicate, queued_at, next_attempt_at, last_error, _,
    ) = row  # fmt: skip
    value = OutboxRow(
        outbox_id=OutboxId(outbox_id),
        destination=destination,
        kind=kind,
        state=OutboxState(state),
        content=content,
        original=original,
        control_id=control_id,
        entry_id=None if entry_id is None else EntryId(entry_id),
        attempt_count=attempt_count,
        possible_duplicate=bool(possible_duplicate),
        queued_at=read_instant(queued_at),
        next_attempt_at=read_optional_instant(next_attempt_at),
        last_error=last_error,
    )
    return value, digest
