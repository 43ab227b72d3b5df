"""Which parts of its time an order was already told of, as SQL. Everything here runs inside the caller's transaction."""

import json

from interceptor.journal.port import EntryId
from interceptor.journal.sql import SqlConnection

ACTION = "order_escalated"
_TOLD = "SELECT detail FROM audit WHERE entry_id = ? AND action = ?"


def told_percents(connection: SqlConnection, entry_id: EntryId, *, deadline: str) -> frozenset[int]:
    """The parts of the time to *deadline* (as the links say it) that stand in the order's history already."""
    rows = connection.execute(_TOLD, (entry_id, ACTION)).fetchall()
    details = [json.loads(row[0]) for row in rows]
    return frozenset(int(one["percent"]) for one in details if one.get("deadline") == deadline)
