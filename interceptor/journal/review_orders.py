"""What the review pages read of the journal, on either database: connections of their own, none of which can write.

Nothing here waits for the node or keeps it waiting: a reader sees the last commit. Each query has an index to stand on
(migration 0011): pages stay quick at a million rows. The two databases differ in how they look into JSON: `ReviewWords`.

Failures: as the adapters' readers.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interceptor.action.lifecycle import OrderState
from interceptor.journal.port import EntryId, OutboxId
from interceptor.journal.review_record import (
    Claim,
    Mark,
    OrderRecord,
    OrderRow,
    PassedOrder,
    SentRecord,
)
from interceptor.journal.sql import Reads, SqlConnection
from interceptor.journal.stored_form import (
    digest_of,
    instant_text,
    read_instant,
    read_json_object,
    read_optional_instant,
)

WAITING_MAX = 5000
"""Orders on the worklist: far more than a department can hold; the rest comes up as these are decided."""

_COLUMNS = """
entry_id, route, order_key, placer_order_number, state, version, control_id, priority, taken_at, changed_at, changed_by,
moved_at, moved_by, deadline_at, closed_at, reason, summary, decision
"""
WAITING = f"SELECT {_COLUMNS} FROM entry WHERE closed_at IS NULL AND state IN ('parked', 'held') ORDER BY deadline_at, entry_id LIMIT ?"  # noqa: S608 - a constant of ours
WAITING_VERSIONS = """
SELECT entry_id, version FROM entry WHERE closed_at IS NULL AND state IN ('parked', 'held')
ORDER BY deadline_at, entry_id LIMIT ?
"""
QUEUED_SINCE = f"SELECT {_COLUMNS} FROM entry WHERE closed_at IS NULL AND state = 'queued' AND moved_at >= ? ORDER BY moved_at DESC LIMIT ?"  # noqa: S608 - a constant of ours
CLOSED_SINCE = f"""
SELECT {_COLUMNS} FROM entry WHERE closed_at >= ? AND state IN (?, ?, ?, ?, ?, ?, ?, ?)
ORDER BY closed_at DESC LIMIT ?
"""  # noqa: S608 - a constant of ours
ORDER_OF = f"SELECT {_COLUMNS} FROM entry WHERE entry_id = ?"  # noqa: S608 - a constant of ours
CLAIMS = """
SELECT entry_id, 'claim', claimed_by, claimed_until FROM order_claim
UNION ALL SELECT entry_id, 'snooze', snoozed_by, snoozed_until FROM order_snooze
UNION ALL SELECT entry_id, 'release', actor, due_at FROM planned_release
"""
CHANGED_SINCE = "SELECT DISTINCT entry_id FROM audit WHERE number > ? AND entry_id IS NOT NULL LIMIT ?"
ORDER_BYTES = """
SELECT coalesce(entry.content, message.raw), entry.digest, source.raw, source.received_at, source.acknowledgment,
    (SELECT count(*) FROM follower WHERE follower.entry_id = entry.entry_id)
FROM entry JOIN message USING (message_id) JOIN message AS source ON source.message_id = entry.source_id
WHERE entry.entry_id = ?
"""
SENT = """
SELECT outbox_id, destination, outbox.kind, outbox.state, coalesce(outbox.content, message.raw), original, outbox.entry_id,
    attempt_count, possible_duplicate, queued_at, outbox.changed_at, last_error, outbox.acknowledgment,
    coalesce(entry.placer_order_number, '')
FROM outbox LEFT JOIN message ON message.message_id = outbox.message_id LEFT JOIN entry ON entry.entry_id = outbox.entry_id
"""
SENT_FOR = SENT + "WHERE outbox.entry_id = ? ORDER BY outbox_id LIMIT 200"
FIND_ORDERS = """
SELECT {columns} FROM entry WHERE entry_id IN (
    SELECT entry_id FROM entry WHERE {patient_id} = :text
    UNION SELECT entry_id FROM entry WHERE {accession} = :text
    UNION SELECT entry_id FROM entry WHERE placer_order_number = :text
    UNION SELECT entry_id FROM entry WHERE control_id = :raw
    UNION SELECT entry.entry_id FROM message JOIN entry USING (message_id) WHERE message.control_id = :raw
    UNION SELECT entry_id FROM entry WHERE entry_id = :number
) ORDER BY entry_id DESC LIMIT :limit
"""
FIND_PASSED = """
SELECT decided_at, route, mode, control_id, placer_order_number, disposition, reasons, facts FROM decision
WHERE decision_id IN (
    SELECT decision_id FROM decision WHERE control_id = :text
    UNION SELECT decision_id FROM decision WHERE placer_order_number = :text
) AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.placer_order_number = decision.placer_order_number)
ORDER BY decision_id DESC LIMIT :limit
"""
OF_PATIENT = """
SELECT {columns} FROM entry
WHERE {patient_id} = ? AND {authority} = ?
ORDER BY entry_id DESC LIMIT ?
"""
LAST_LINK = "SELECT coalesce(max(number), 0) FROM audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewWords:
    """How one database says what the other says otherwise.

    Attributes:
        patient_id, patient_id_authority, accession: The text of one key of an order's summary, as its index has it.
        version: A query for a number that differs as soon as anything was written.
    """

    patient_id: str
    patient_id_authority: str
    accession: str
    version: str


SQLITE_WORDS = ReviewWords(
    patient_id="json_extract(summary, '$.patient_id')",
    patient_id_authority="json_extract(summary, '$.patient_id_authority')",
    accession="json_extract(summary, '$.accession')",
    version="SELECT data_version FROM pragma_data_version",
)
POSTGRES_WORDS = ReviewWords(
    patient_id="(summary::json ->> 'patient_id')",
    patient_id_authority="(summary::json ->> 'patient_id_authority')",
    accession="(summary::json ->> 'accession')",
    version="SELECT coalesce(max(decision_id), 0) FROM decision",
)


class SqlOrderReader:
    """`review.reading.OrderReader` on either database. The methods are described there."""

    def __init__(self, database: Reads, words: ReviewWords) -> None:
        """*database* is opened and closed by its owner."""
        self._readers = database
        self._words = words
        self._find_orders = FIND_ORDERS.format(columns=_COLUMNS, patient_id=words.patient_id, accession=words.accession)
        self._of_patient = OF_PATIENT.format(
            columns=_COLUMNS, patient_id=words.patient_id, authority=words.patient_id_authority
        )
        self._rows: dict[EntryId, OrderRow] = {}
        """Waiting orders as read last: those whose version is the same need not be read and parsed again."""

    async def mark(self) -> Mark:
        """Where the journal stands."""

        def read(connection: SqlConnection) -> Mark:
            ((number,),) = connection.execute(LAST_LINK).fetchall()
            ((version,),) = connection.execute(self._words.version).fetchall()
            return Mark(number, version)

        return await self._readers.read(read)

    async def waiting_orders(self) -> tuple[OrderRow, ...]:
        """Parked and held orders."""
        return await self._readers.read(self._waiting)

    def _waiting(self, connection: SqlConnection) -> tuple[OrderRow, ...]:
        known = self._rows
        versions: Any = connection.execute(WAITING_VERSIONS, (WAITING_MAX,)).fetchall()
        missing = [one for one, version in versions if one not in known or known[one].version != version]
        found = {row.entry_id: row for row in _orders_of(connection, missing)}
        rows = tuple(found.get(one) or known[one] for one, _ in versions)
        self._rows = {row.entry_id: row for row in rows}
        return rows

    async def claims(self) -> tuple[Claim, ...]:
        """Claims, orders put aside, releases that can be called back."""

        def read(connection: SqlConnection) -> tuple[Claim, ...]:
            found: dict[EntryId, Claim] = {}
            for entry_id, kind, name, until in connection.execute(CLAIMS):
                at = read_instant(str(until))
                known = found.get(EntryId(int(str(entry_id)))) or Claim(entry_id=EntryId(int(str(entry_id))))
                match kind:
                    case "claim":
                        known = replace(known, claimed_by=str(name), claimed_until=at)
                    case "snooze":
                        known = replace(known, snoozed_until=at)
                    case _:
                        known = replace(known, released_by=str(name), leaves_at=at)
                found[known.entry_id] = known
            return tuple(found.values())

        return await self._readers.read(read)

    async def orders_in(self, states: Sequence[OrderState], *, since: datetime, limit: int) -> tuple[OrderRow, ...]:
        """Orders that got there since then."""

        def read(connection: SqlConnection) -> tuple[OrderRow, ...]:
            at = instant_text(since)
            queued = _orders(connection, QUEUED_SINCE, (at, limit)) if OrderState.QUEUED in states else ()
            ended = _orders(connection, CLOSED_SINCE, (at, *_eight(states), limit))
            return tuple(sorted((*queued, *ended), key=lambda row: row.moved_at, reverse=True)[:limit])

        return await self._readers.read(read)

    async def orders_of(self, entry_ids: Sequence[EntryId]) -> tuple[OrderRow, ...]:
        """These orders."""
        return await self._readers.read(lambda one: _orders_of(one, entry_ids))

    async def changed_since(self, audit_number: int, *, limit: int) -> tuple[EntryId, ...]:
        """Orders with a newer link."""

        def read(connection: SqlConnection) -> tuple[EntryId, ...]:
            return tuple(EntryId(one) for (one,) in connection.execute(CHANGED_SINCE, (audit_number, limit)))

        return await self._readers.read(read)

    async def order(self, entry_id: EntryId) -> OrderRecord | None:
        """One order with its bytes."""

        def read(connection: SqlConnection) -> OrderRecord | None:
            rows = _orders_of(connection, [entry_id])
            found: Any = connection.execute(ORDER_BYTES, (entry_id,)).fetchone()
            if not rows or found is None:
                return None
            content, digest, received, received_at, acknowledgment, follower_count = found
            return OrderRecord(
                row=rows[0],
                content=content,
                received=received,
                received_at=read_instant(received_at),
                acknowledgment=acknowledgment,
                damaged=digest_of(content) != digest,
                follower_count=follower_count,
            )

        return await self._readers.read(read)

    async def sent_for(self, entry_id: EntryId) -> tuple[SentRecord, ...]:
        """What left because of an order."""
        return await self._readers.read(lambda one: read_sent(one, SENT_FOR, (entry_id,)))

    async def find_orders(self, text: str, *, limit: int) -> tuple[OrderRow, ...]:
        """By any of its numbers."""
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
        values = {"text": text, "raw": text.encode("utf-8", "replace"), "number": number, "limit": limit}
        return await self._readers.read(lambda one: _orders(one, self._find_orders, values))

    async def find_passed(self, text: str, *, limit: int) -> tuple[PassedOrder, ...]:
        """Orders that went their way."""
        values = {"text": text, "limit": limit}

        def read(connection: SqlConnection) -> tuple[PassedOrder, ...]:
            return tuple(_read_passed(row) for row in connection.execute(FIND_PASSED, values))

        return await self._readers.read(read)

    async def orders_of_patient(self, patient_id: str, authority: str, *, limit: int) -> tuple[OrderRow, ...]:
        """One patient's orders."""
        return await self._readers.read(lambda one: _orders(one, self._of_patient, (patient_id, authority, limit)))


def _orders_of(connection: SqlConnection, entry_ids: Iterable[EntryId]) -> tuple[OrderRow, ...]:
    """These orders, as far as they exist."""
    return tuple(row for one in entry_ids for row in _orders(connection, ORDER_OF, (one,)))


def _eight(states: Sequence[OrderState]) -> tuple[str, ...]:
    """The states for a query with a place for each that there is."""
    words = [str(one) for one in states]
    return (*words, *[""] * (len(OrderState) - len(words)))


def _orders(connection: SqlConnection, query: str, values: Any) -> tuple[OrderRow, ...]:
    return tuple(_read_order(row) for row in connection.execute(query, values))


def _read_order(row: Sequence[Any]) -> OrderRow:
    (
        entry_id, route, order_key, placer_order_number, state, version, control_id, priority, taken_at, changed_at,
        changed_by, moved_at, moved_by, deadline_at, closed_at, reason, summary, decision,
    ) = row  # fmt: skip
    return OrderRow(
        entry_id=EntryId(entry_id),
        route=route,
        order_key=order_key,
        placer_order_number=placer_order_number,
        state=OrderState(state),
        version=version,
        control_id=control_id.decode("latin-1"),
        priority=priority,
        taken_at=read_instant(taken_at),
        changed_at=read_instant(changed_at),
        changed_by=changed_by,
        moved_at=read_instant(moved_at),
        moved_by=moved_by,
        deadline_at=read_optional_instant(deadline_at),
        closed_at=read_optional_instant(closed_at),
        reason=reason,
        summary=read_json_object(summary),
        decision=read_json_object(decision),
    )


def _read_passed(row: Sequence[Any]) -> PassedOrder:
    decided_at, route, mode, control_id, placer_order_number, disposition, reasons, facts = row
    return PassedOrder(
        decided_at=read_instant(decided_at),
        route=route,
        mode=mode,
        control_id=control_id,
        placer_order_number=placer_order_number,
        disposition=disposition,
        reasons=tuple(str(one) for one in json.loads(reasons)),
        facts=read_json_object(facts),
    )


def read_sent(connection: SqlConnection, query: str, values: Any) -> tuple[SentRecord, ...]:
    """What one of the SENT queries finds."""
    return tuple(_read_sent(row) for row in connection.execute(query, values))


def _read_sent(row: Sequence[Any]) -> SentRecord:
    (
        outbox_id, destination, kind, state, content, original, entry_id, attempt_count, possible_duplicate, queued_at,
        changed_at, last_error, acknowledgment, order_number,
    ) = row  # fmt: skip
    return SentRecord(
        outbox_id=OutboxId(outbox_id),
        destination=destination,
        kind=kind,
        state=state,
        content=content,
        original=original,
        entry_id=None if entry_id is None else EntryId(entry_id),
        attempt_count=attempt_count,
        possible_duplicate=bool(possible_duplicate),
        queued_at=read_instant(queued_at),
        changed_at=read_instant(changed_at),
        last_error=last_error,
        acknowledgment=acknowledgment,
        order_number=order_number,
    )
