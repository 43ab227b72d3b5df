"""What is to be told and was told, as SQL of the tables of 0005-webhook.

Each function is one piece of work in the journal's writer or readers (`journal/side_tables.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import microseconds, read_microseconds

CURSOR = "webhooks"
_INSERT = """
INSERT INTO webhook_delivery (webhook, event_id, event_type, created_at, state, next_attempt_at, body)
VALUES (?, ?, ?, ?, 'waiting', ?, ?) ON CONFLICT (webhook, event_id) DO NOTHING
"""
_DUE = """
SELECT delivery_id, webhook, event_id, event_type, created_at, attempt_count, body FROM webhook_delivery
WHERE state = 'waiting' AND webhook = ? AND next_attempt_at <= ? ORDER BY next_attempt_at, delivery_id LIMIT ?
"""
_LOG = """
SELECT delivery_id, webhook, event_id, event_type, created_at, state, attempt_count, result FROM webhook_delivery
ORDER BY delivery_id DESC LIMIT ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """One event for one webhook, with the body that every attempt sends."""

    webhook: str
    event_id: str
    event_type: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One that waits. `attempt_count` counts attempts that were begun."""

    number: int
    webhook: str
    event_id: str
    event_type: str
    created_at: datetime
    attempt_count: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDelivery:
    """One line of the delivery log; `result` says how the last attempt ended, a word or an HTTP status."""

    number: int
    webhook: str
    event_id: str
    event_type: str
    created_at: datetime
    state: str
    attempt_count: int
    result: str


def read_cursor(connection: SqlConnection) -> int | None:
    """Number of the last link of the audit chain that was told; None before the first look."""
    for (number,) in connection.execute("SELECT audit_number FROM webhook_cursor WHERE name = ?", (CURSOR,)):
        return int(number)
    return None


def begin(connection: SqlConnection) -> int:
    """Begin at the end of the audit chain: what happened before a webhook was configured is no news."""
    connection.execute(
        "INSERT INTO webhook_cursor (name, audit_number) SELECT ?, coalesce(max(number), 0) FROM audit WHERE true"
        " ON CONFLICT (name) DO NOTHING",
        (CURSOR,),
    )
    return read_cursor(connection) or 0


def queue(connection: SqlConnection, deliveries: Iterable[NewDelivery], *, audit_number: int, at: datetime) -> int:
    """Store what is to be told, once each, and how far the chain was read; returns how many were new."""
    count = 0
    for one in deliveries:
        values = (one.webhook, one.event_id, one.event_type, microseconds(at), microseconds(at), one.body)
        connection.execute(_INSERT, values)
        count += connection.changes()
    connection.execute(
        "UPDATE webhook_cursor SET audit_number = ? WHERE name = ? AND audit_number < ?",
        (audit_number, CURSOR, audit_number),
    )
    return count


def due(connection: SqlConnection, *, webhook: str, at: datetime, limit: int) -> tuple[Delivery, ...]:
    """What one webhook is to be told now."""
    return tuple(
        Delivery(
            number=number,
            webhook=name,
            event_id=event_id,
            event_type=event_type,
            created_at=read_microseconds(created_at),
            attempt_count=attempt_count,
            body=body,
        )
        for number, name, event_id, event_type, created_at, attempt_count, body in connection.execute(
            _DUE, (webhook, microseconds(at), limit)
        )
    )


def claim(connection: SqlConnection, *, number: int, at: datetime, until: datetime) -> bool:
    """Begin an attempt, unless another node did: until then nobody else tries."""
    connection.execute(
        "UPDATE webhook_delivery SET attempt_count = attempt_count + 1, next_attempt_at = ?"
        " WHERE delivery_id = ? AND state = 'waiting' AND next_attempt_at <= ?",
        (microseconds(until), number, microseconds(at)),
    )
    return connection.changes() == 1


def end(connection: SqlConnection, *, number: int, state: str, result: str, at: datetime) -> None:
    """It was taken ("delivered"), or is given up ("failed")."""
    connection.execute(
        "UPDATE webhook_delivery SET state = ?, result = ?, ended_at = ? WHERE delivery_id = ?",
        (state, result, microseconds(at), number),
    )


def postpone(connection: SqlConnection, *, number: int, result: str, next_attempt_at: datetime) -> None:
    """Try again later."""
    connection.execute(
        "UPDATE webhook_delivery SET result = ?, next_attempt_at = ? WHERE delivery_id = ? AND state = 'waiting'",
        (result, microseconds(next_attempt_at), number),
    )


def log(connection: SqlConnection, *, limit: int) -> tuple[LoggedDelivery, ...]:
    """The newest deliveries, whatever became of them."""
    return tuple(
        LoggedDelivery(
            number=number,
            webhook=webhook,
            event_id=event_id,
            event_type=event_type,
            created_at=read_microseconds(created_at),
            state=state,
            attempt_count=attempt_count,
            result=result,
        )
        for number, webhook, event_id, event_type, created_at, state, attempt_count, result in connection.execute(
            _LOG, (limit,)
        )
    )


def prune(connection: SqlConnection, *, before: datetime) -> None:
    """What ended so long ago is no news to anybody."""
    connection.execute("DELETE FROM webhook_delivery WHERE ended_at < ?", (microseconds(before),))
