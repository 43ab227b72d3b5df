"""What waits to be decided again, beside the journal: SQL of one table, 0003-retrospective.

Each function is one piece of work in the journal's writer or readers (`side_tables`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from interceptor.evidence.registry_rows import Connection

WAITING_COUNT_MAX = 10_000
"""More waiting messages than this are an outage of days; the oldest go, counted."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSERT = """
INSERT INTO retrospective (state, route, noted_at, digest, patient, raw, next_attempt_at)
VALUES ('waiting', ?, ?, ?, ?, ?, ?) ON CONFLICT (route, digest) DO NOTHING
"""
_COLUMNS = "SELECT retrospective_id, route, noted_at, raw, attempt_count FROM retrospective WHERE state = 'waiting'"
_DUE = f"{_COLUMNS} AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ?"
_OF_PATIENT = f"{_COLUMNS} AND patient = ? ORDER BY retrospective_id LIMIT ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """One message that went on because a lookup failed. `raw` is patient data: never log it."""

    route: str
    raw: bytes = field(repr=False)
    patient: bytes
    noted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingMessage:
    """The same as it is stored, with our number and how often it was tried."""

    number: int
    route: str
    raw: bytes = field(repr=False)
    noted_at: datetime
    attempt_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedHold:
    """A message with orders that would have been held; `orders` as the decider described them."""

    number: int
    route: str
    noted_at: datetime
    found_at: datetime
    orders: tuple[Mapping[str, Any], ...]


def keep(connection: Connection, messages: Sequence[Undecided], *, next_attempt_at: datetime) -> int:
    """Store *messages*, those that are there already but once; returns how many old ones had to go."""
    for one in messages:
        values = (
            one.route,
            _stored(one.noted_at),
            sha256(one.raw).digest(),
            one.patient,
            one.raw,
            _stored(next_attempt_at),
        )
        connection.execute(_INSERT, values)
    excess = waiting_count(connection) - WAITING_COUNT_MAX
    if excess <= 0:
        return 0
    connection.execute(
        "DELETE FROM retrospective WHERE retrospective_id IN (SELECT retrospective_id FROM retrospective"
        " WHERE state = 'waiting' ORDER BY retrospective_id LIMIT ?)",
        (excess,),
    )
    return excess


def due(connection: Connection, *, at: datetime, limit: int) -> tuple[WaitingMessage, ...]:
    """What is to be tried now, the longest due first."""
    return _read(connection, _DUE, (_stored(at), limit))


def of_patient(connection: Connection, *, patient: bytes, limit: int) -> tuple[WaitingMessage, ...]:
    """What waits for this patient, due or not."""
    return _read(connection, _OF_PATIENT, (patient, limit))


def _read(connection: Connection, query: str, values: tuple[object, ...]) -> tuple[WaitingMessage, ...]:
    return tuple(
        WaitingMessage(
            number=number, route=route, raw=raw, noted_at=_read_instant(noted_at), attempt_count=attempt_count
        )
        for number, route, noted_at, raw, attempt_count in connection.execute(query, values)
    )


def waiting_count(connection: Connection) -> int:
    """How many wait."""
    for (count,) in connection.execute("SELECT count(*) FROM retrospective WHERE state = 'waiting'", ()):
        return int(count)
    return 0


def postpone(connection: Connection, *, number: int, next_attempt_at: datetime) -> None:
    """Try again later."""
    connection.execute(
        "UPDATE retrospective SET attempt_count = attempt_count + 1, next_attempt_at = ?"
        " WHERE retrospective_id = ? AND state = 'waiting'",
        (_stored(next_attempt_at), number),
    )


def make_all_due(connection: Connection, *, at: datetime) -> None:
    """A source came back: everything that waits may be tried now."""
    connection.execute(
        "UPDATE retrospective SET next_attempt_at = ? WHERE state = 'waiting' AND next_attempt_at > ?",
        (_stored(at), _stored(at)),
    )


def remove(connection: Connection, *, number: int) -> None:
    """Nothing was missed, or nobody will know: the bytes go."""
    connection.execute("DELETE FROM retrospective WHERE retrospective_id = ?", (number,))


def record_missed(
    connection: Connection, *, number: int, found_at: datetime, orders: Sequence[Mapping[str, Any]]
) -> None:
    """It would have been held; the bytes go, what reviewers need stays."""
    connection.execute(
        "UPDATE retrospective SET state = 'missed_hold', raw = NULL, found_at = ?, orders = ? WHERE retrospective_id = ?",
        (_stored(found_at), json.dumps(list(orders), sort_keys=True), number),
    )


def missed(connection: Connection, *, limit: int) -> tuple[MissedHold, ...]:
    """Messages whose hold was missed, the newest first."""
    rows = connection.execute(
        "SELECT retrospective_id, route, noted_at, found_at, orders FROM retrospective"
        " WHERE state = 'missed_hold' ORDER BY retrospective_id DESC LIMIT ?",
        (limit,),
    )
    return tuple(
        MissedHold(
            number=number,
            route=route,
            noted_at=_read_instant(noted_at),
            found_at=_read_instant(found_at),
            orders=tuple(json.loads(orders)),
        )
        for number, route, noted_at, found_at, orders in rows
    )


def prune_missed(connection: Connection, *, before: datetime) -> None:
    """What was found so long ago is no news to anybody."""
    connection.execute("DELETE FROM retrospective WHERE state = 'missed_hold' AND found_at < ?", (_stored(before),))


def _stored(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _read_instant(stored: int) -> datetime:
    return _EPOCH + timedelta(microseconds=stored)
