"""A damaged journal is set aside, and what can still be read of its orders is told one by one.

Nothing is repaired and nothing is copied into the new journal: what a damaged file says is for people to judge.
The file is read with the pages as they are, row by row from both ends, so that one ruined page does not hide the
rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import apsw

from interceptor.action.lifecycle import OPEN_STATES
from interceptor.journal.stored_form import canonical_json

_SUFFIXES = ("", "-wal", "-shm")
_OPEN_FROM_START = """
SELECT entry_id, placer_order_number, state, deadline_at FROM entry
WHERE state IN (SELECT value FROM json_each(?)) ORDER BY entry_id
"""
_OPEN_FROM_END = """
SELECT entry_id, placer_order_number, state, deadline_at FROM entry
WHERE state IN (SELECT value FROM json_each(?)) ORDER BY entry_id DESC
"""
_WAITING_BY_DESTINATION = """
SELECT destination, count(*) FROM outbox NOT INDEXED WHERE state IN ('pending', 'claimed', 'inflight') GROUP BY destination
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostOrder:
    """An order that was in our custody when the journal was damaged. Its number is patient data."""

    entry_id: int
    placer_order_number: str
    state: str
    deadline_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LossReport:
    """What the damaged file still tells.

    Attributes:
        orders: Open orders that could be read.
        waiting: Undelivered messages by destination, as far as they could be counted.
        is_complete: Whether every row could be read; if not, there may be more.
    """

    orders: tuple[LostOrder, ...]
    waiting: tuple[tuple[str, int], ...]
    is_complete: bool


def set_aside(path: Path, *, at: datetime) -> Path:
    """Rename the journal's files so that a new one can be made; returns where the damaged one is now.

    Raises:
        OSError: They cannot be renamed.
    """
    target = path.with_name(f"{path.name}.damaged-{at:%Y%m%dT%H%M%S%f}")
    for suffix in reversed(_SUFFIXES):
        source = Path(f"{path}{suffix}")
        if source.exists():
            source.rename(f"{target}{suffix}")
    return target


def read_losses(path: Path) -> LossReport:
    """What the damaged journal at *path* still tells; never raises for what is damaged."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error:
        return LossReport(orders=(), waiting=(), is_complete=False)
    try:
        from_start, ended = _read_orders(connection, _OPEN_FROM_START)
        from_end, _ = ([], True) if ended else _read_orders(connection, _OPEN_FROM_END)
        orders = {order.entry_id: order for order in (*from_start, *from_end)}
        waiting = _count_waiting(connection)
        return LossReport(
            orders=tuple(orders[entry_id] for entry_id in sorted(orders)),
            waiting=tuple(waiting or ()),
            is_complete=ended and waiting is not None,
        )
    finally:
        connection.close()


def _read_orders(connection: apsw.Connection, query: str) -> tuple[list[LostOrder], bool]:
    """Orders up to the first page that cannot be read, and whether there was none."""
    found: list[LostOrder] = []
    try:
        found.extend(_orders(connection, query))
    except apsw.Error:
        return found, False
    return found, True


def _orders(connection: apsw.Connection, query: str) -> Iterator[LostOrder]:
    states = canonical_json([str(state) for state in sorted(OPEN_STATES)])
    for entry_id, placer_order_number, state, deadline_at in connection.execute(query, (states,)):
        yield LostOrder(
            entry_id=int(entry_id),
            placer_order_number=str(placer_order_number),
            state=str(state),
            deadline_at=str(deadline_at or ""),
        )


def _count_waiting(connection: apsw.Connection) -> list[tuple[str, int]] | None:
    try:
        return [(str(name), int(count)) for name, count in connection.execute(_WAITING_BY_DESTINATION)]
    except apsw.Error:
        return None
