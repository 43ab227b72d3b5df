"""What the pages about the record read of the journal, on either database: the audit chain, decisions, dead letters, modes.

As `review_orders.py`: connections that cannot write, queries as constants, each with an index to stand on.

Failures: as the adapters' readers.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from interceptor.journal.entry_rows import read_audit_row
from interceptor.journal.port import AuditRow, EntryId
from interceptor.journal.review_orders import LAST_LINK, SENT, read_sent
from interceptor.journal.review_record import (
    AuditQuery,
    ChainCheck,
    Checked,
    ModeRecord,
    SentRecord,
    UnmappedStudy,
)
from interceptor.journal.sql import Reads, SqlConnection
from interceptor.journal.stored_form import CHAIN_START, chain_link, instant_text, read_instant, read_optional_instant

DEAD = SENT + "WHERE outbox.state = 'dead' AND discarded_at IS NULL ORDER BY outbox_id LIMIT ?"
HISTORY = "SELECT number, at, actor, action, entry_id, detail, sha256 FROM audit WHERE entry_id = ? ORDER BY number LIMIT 2000"
AUDIT = """
SELECT number, at, actor, action, entry_id, detail, sha256 FROM audit
WHERE number < :before AND (:actor = '' OR actor = :actor) AND (:action = '' OR action = :action)
    AND at >= :since AND at <= :until ORDER BY number DESC LIMIT :limit
"""
AUDIT_OF_ENTRY = """
SELECT number, at, actor, action, entry_id, detail, sha256 FROM audit
WHERE entry_id = :entry_id AND number < :before AND (:actor = '' OR actor = :actor) AND (:action = '' OR action = :action)
    AND at >= :since AND at <= :until ORDER BY number DESC LIMIT :limit
"""
# The words of the newest links only: a form needs no complete list, and the table may have millions.
AUDIT_ACTORS = "SELECT DISTINCT actor FROM (SELECT actor FROM audit ORDER BY number DESC LIMIT 5000) AS newest ORDER BY actor LIMIT 200"
AUDIT_ACTIONS = (
    "SELECT DISTINCT action FROM (SELECT action FROM audit ORDER BY number DESC LIMIT 5000) AS newest ORDER BY action"
)
CHAIN = "SELECT number, at, actor, action, entry_id, detail, sha256 FROM audit WHERE number > ? ORDER BY number LIMIT ?"
CHECKED = "SELECT disposition, count(*), max(decided_at) FROM decision WHERE decided_at >= ? GROUP BY disposition"
LAST_DECISION = "SELECT max(decided_at) FROM decision"
UNMAPPED = """
SELECT unmapped_code, max(unmapped_name), count(*), max(decided_at) FROM decision WHERE unmapped_code <> ''
GROUP BY unmapped_code ORDER BY count(*) DESC, unmapped_code LIMIT ?
"""
MODES = "SELECT route, mode, actor, at, reason FROM route_mode"
_FIRST_TIME, _LAST_TIME = "0000", "9999"
_BIGGEST = 2**62


class SqlRecordReader:
    """`review.reading.RecordReader` on either database. The methods are described there."""

    def __init__(self, database: Reads) -> None:
        """*database* is opened and closed by its owner."""
        self._readers = database

    async def dead_letters(self, *, limit: int) -> tuple[SentRecord, ...]:
        """Refused for good."""
        return await self._readers.read(lambda one: read_sent(one, DEAD, (limit,)))

    async def histories(self, entry_ids: Sequence[EntryId]) -> Mapping[EntryId, tuple[AuditRow, ...]]:
        """What happened to several orders."""
        return await self._readers.read(lambda one: {entry: _audit(one, HISTORY, (entry,)) for entry in entry_ids})

    async def history(self, entry_id: EntryId) -> tuple[AuditRow, ...]:
        """What happened to an order."""
        return await self._readers.read(lambda one: _audit(one, HISTORY, (entry_id,)))

    async def audit(self, query: AuditQuery) -> tuple[AuditRow, ...]:
        """Links of the chain."""
        values = {
            "before": _BIGGEST if query.before is None else query.before,
            "actor": query.actor,
            "action": query.action,
            "since": instant_text(query.since) if query.since else _FIRST_TIME,
            "until": instant_text(query.until) if query.until else _LAST_TIME,
            "limit": query.limit,
        }
        if query.entry_id is None:
            return await self._readers.read(lambda one: _audit(one, AUDIT, values))
        values["entry_id"] = query.entry_id
        return await self._readers.read(lambda one: _audit(one, AUDIT_OF_ENTRY, values))

    async def audit_words(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Words for the search form."""

        def read(connection: SqlConnection) -> tuple[tuple[str, ...], tuple[str, ...]]:
            actors = tuple(str(one) for (one,) in connection.execute(AUDIT_ACTORS))
            return actors, tuple(str(one) for (one,) in connection.execute(AUDIT_ACTIONS))

        return await self._readers.read(read)

    async def check_chain(self, known: ChainCheck, *, limit: int) -> ChainCheck:
        """Check a piece of the chain."""
        return await self._readers.read(lambda one: _check_chain(one, known, limit))

    async def checked(self, *, since: datetime) -> Checked:
        """What was decided."""

        def read(connection: SqlConnection) -> Checked:
            counts = {word: count for word, count, _ in connection.execute(CHECKED, (instant_text(since),))}
            ((last_at,),) = connection.execute(LAST_DECISION).fetchall()
            return Checked(
                checked_count=sum(counts.values()),
                held_count=counts.get("hold", 0),
                annotated_count=counts.get("annotate", 0),
                last_at=read_optional_instant(last_at),
            )

        return await self._readers.read(read)

    async def unmapped_studies(self, *, limit: int) -> tuple[UnmappedStudy, ...]:
        """Codes that nobody mapped."""

        def read(connection: SqlConnection) -> tuple[UnmappedStudy, ...]:
            rows: Any = connection.execute(UNMAPPED, (limit,))
            return tuple(
                UnmappedStudy(code=code, name=name, order_count=count, last_at=read_instant(at))
                for code, name, count, at in rows
            )

        return await self._readers.read(read)

    async def route_modes(self) -> Mapping[str, ModeRecord]:
        """Modes of run time."""

        def read(connection: SqlConnection) -> Mapping[str, ModeRecord]:
            rows: Any = connection.execute(MODES)
            return {
                route: ModeRecord(mode=mode, actor=actor, at=read_instant(at), reason=reason)
                for route, mode, actor, at, reason in rows
            }

        return await self._readers.read(read)


def _audit(connection: SqlConnection, query: str, values: Any) -> tuple[AuditRow, ...]:
    return tuple(read_audit_row(row) for row in connection.execute(query, values))


def _check_chain(connection: SqlConnection, known: ChainCheck, limit: int) -> ChainCheck:
    ((last_number,),) = connection.execute(LAST_LINK).fetchall()
    number, previous = known.checked_to, known.sha256 or CHAIN_START
    if known.broken_at is not None:
        return ChainCheck(checked_to=number, last_number=last_number, broken_at=known.broken_at, sha256=known.sha256)
    for found, at, actor, action, entry_id, detail, sha256 in connection.execute(CHAIN, (number, limit)):
        expected = chain_link(
            number=found, at=at, actor=actor, action=action, entry_id=entry_id, detail=detail, previous=previous
        )
        if found != number + 1 or expected != sha256:
            return ChainCheck(checked_to=number, last_number=last_number, broken_at=number + 1, sha256=previous)
        number, previous = found, sha256
    return ChainCheck(checked_to=number, last_number=last_number, sha256=previous)
