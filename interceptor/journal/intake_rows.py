"""A received message and all that follows from it, as SQL; and the small records beside it.

Everything here runs inside the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interceptor.action.lifecycle import OrderState
from interceptor.journal.decision_record import DecisionRecord
from interceptor.journal.entry_rows import (
    KnownBytes,
    append_audit,
    apply_change,
    insert_entry,
    insert_outgoing,
    require_one_order,
)
from interceptor.journal.passed_order import ENDING_CONTROLS
from interceptor.journal.port import (
    AlreadyTaken,
    EntryId,
    Intake,
    IntakeDone,
    MessageId,
    MessageIdentity,
    OutgoingMessage,
    StoredAnswer,
)
from interceptor.journal.sql import SqlConnection, inserted_id
from interceptor.journal.stored_form import (
    canonical_json,
    digest_of,
    instant_text,
    read_instant,
    read_json_object,
    storable_text,
)

QUARANTINE_ROWS_MAX = 10_000
"""A peer that sends rubbish all day must not fill the disk: beyond this the oldest go."""

_INSERT_MESSAGE = """
INSERT INTO message (route, listener, sending_application, sending_facility, control_id, digest, received_at, acknowledgment, raw)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING message_id
"""
_FIND_ANSWER = """
SELECT message_id, received_at, acknowledgment, digest FROM message
WHERE control_id = ? AND sending_facility = ? AND sending_application = ? AND listener = ? AND digest = ? AND received_at >= ?
ORDER BY message_id DESC LIMIT 1
"""
_FIND_REUSE = """
SELECT 1 FROM message
WHERE control_id = ? AND sending_facility = ? AND sending_application = ? AND listener = ? AND digest <> ? AND received_at >= ?
LIMIT 1
"""
_UNMAPPED = """
SELECT unmapped_code, min(unmapped_name), count(*), max(decided_at) FROM decision
WHERE unmapped_code <> '' OR unmapped_name <> '' GROUP BY unmapped_code, CASE WHEN unmapped_code = '' THEN unmapped_name ELSE '' END
ORDER BY count(*) DESC, unmapped_code LIMIT ?
"""
_INSERT_DECISIONS = """
INSERT INTO decision (message_id, decided_at, route, mode, control_id, order_key, placer_order_number, disposition, reasons,
    policy_id, policy_version, policy_profile, policy_sha256, facts, decide_again, unmapped_code, unmapped_name)
VALUES {rows}
"""
_DECISION_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DECISION_COUNTS = (64, 16, 4, 1)
"""Rows of one statement. Between two statements the writer's thread may have to wait for the busy event loop's to let
it run, some milliseconds each time; and a database remembers a handful of prepared statements, not one for each count."""
_INSERTS_OF_COUNT = {
    count: _INSERT_DECISIONS.format(rows=", ".join([_DECISION_ROW] * count)) for count in _DECISION_COUNTS
}

# A message that was taken (it has a message_id) and whose order would be held stayed here, unless nothing was held then.
_HAS_GONE = """
SELECT message_id IS NULL OR disposition <> 'hold' OR mode <> 'enforce', facts FROM decision
WHERE order_key = ? ORDER BY decision_id DESC LIMIT 1
"""


def record_intake(connection: SqlConnection, intake: Intake) -> IntakeDone | AlreadyTaken:
    """Store *intake*. What leaves because of changes is queued before what leaves because of the new message.

    Raises:
        RolledBack: With a `Conflict`, when an order is not where the caller saw it.
    """
    reused = False
    if intake.duplicates_since is not None:
        answer = find_answer(connection, intake.identity, since=intake.duplicates_since)
        if answer is not None:
            return AlreadyTaken(answer=answer)
        reused = find_control_id_reuse(connection, intake.identity, since=intake.duplicates_since)
    assert digest_of(intake.raw) == intake.identity.digest, "the digest is not that of the bytes"
    message_id = _insert_message(connection, intake)
    known = KnownBytes()
    known.add(message_id, intake.identity.digest)
    at = intake.received_at
    for change in intake.changes:
        apply_change(connection, change, at=at, message_id=message_id, known=known)
    entry_ids = tuple(
        insert_entry(connection, new, message_id=message_id, route=intake.route, at=at, known=known)
        for new in intake.entries
    )
    for index, new in enumerate(intake.entries):
        if new.state is OrderState.QUEUED:
            require_one_order(outgoing for outgoing in intake.outgoing if outgoing.entry_index == index)
    for outgoing in intake.outgoing:
        insert_outgoing(
            connection, outgoing, message_id=message_id, entry_id=_entry_of(outgoing, entry_ids), at=at, known=known
        )
    record_decisions(connection, intake.decisions, message_id=message_id)
    return IntakeDone(message_id=message_id, entry_ids=entry_ids, control_id_reused=reused)


def _entry_of(outgoing: OutgoingMessage, entry_ids: Sequence[EntryId]) -> EntryId | None:
    return outgoing.entry_id if outgoing.entry_index is None else entry_ids[outgoing.entry_index]


def _insert_message(connection: SqlConnection, intake: Intake) -> MessageId:
    identity = intake.identity
    rows = connection.execute(
        _INSERT_MESSAGE,
        (
            intake.route,
            identity.listener,
            identity.sending_application,
            identity.sending_facility,
            identity.control_id,
            identity.digest,
            instant_text(intake.received_at),
            intake.acknowledgment,
            intake.raw,
        ),
    )
    return MessageId(inserted_id(rows))


def find_answer(connection: SqlConnection, identity: MessageIdentity, *, since: datetime) -> StoredAnswer | None:
    """What was answered to these very bytes, received since then."""
    row = connection.execute(_FIND_ANSWER, (*_sender(identity), identity.digest, instant_text(since))).fetchone()
    if row is None:
        return None
    message_id, received_at, acknowledgment, digest = row
    return StoredAnswer(
        message_id=MessageId(message_id),
        received_at=read_instant(received_at),
        acknowledgment=acknowledgment,
        digest=digest,
    )


def find_control_id_reuse(connection: SqlConnection, identity: MessageIdentity, *, since: datetime) -> bool:
    """Whether the same sender used this control id for other bytes since then; an empty one is no control id."""
    if not identity.control_id:
        return False
    found = connection.execute(_FIND_REUSE, (*_sender(identity), identity.digest, instant_text(since))).fetchone()
    return found is not None


def _sender(identity: MessageIdentity) -> tuple[bytes, bytes, bytes, str]:
    return identity.control_id, identity.sending_facility, identity.sending_application, identity.listener


def recent_digests(connection: SqlConnection, *, since: datetime) -> tuple[bytes, ...]:
    """Digests of the messages that were received since then."""
    rows = connection.execute("SELECT digest FROM message WHERE received_at >= ?", (instant_text(since),))
    return tuple(digest for (digest,) in rows)


def has_gone(connection: SqlConnection, order_key: str) -> bool:
    """Whether the last decided message about this order went to the filler, and was no cancel."""
    row = connection.execute(_HAS_GONE, (storable_text(order_key),)).fetchone()
    if row is None or not row[0]:
        return False
    return str(read_json_object(row[1]).get("order_control") or "").strip().upper() not in ENDING_CONTROLS


def record_decisions(
    connection: SqlConnection, records: Sequence[DecisionRecord], *, message_id: MessageId | None = None
) -> None:
    """Store *records*, of a message that is stored too or of one that passed."""
    start = 0
    while start < len(records):
        count = next(count for count in _DECISION_COUNTS if count <= len(records) - start)
        values = [value for record in records[start : start + count] for value in _decision_values(record, message_id)]
        connection.execute(_INSERTS_OF_COUNT[count], values)
        start += count


def _decision_values(record: DecisionRecord, message_id: MessageId | None) -> tuple[object, ...]:
    return (
        message_id,
        instant_text(record.decided_at),
        record.route,
        record.mode,
        storable_text(record.control_id),
        storable_text(record.order_key),
        storable_text(record.placer_order_number),
        record.disposition,
        canonical_json(record.reasons),
        record.policy_id,
        record.policy_version,
        record.policy_profile,
        record.policy_sha256,
        canonical_json(record.facts),
        int(record.decide_again),
        storable_text(record.unmapped_code),
        storable_text(record.unmapped_name),
    )


def record_quarantine(connection: SqlConnection, *, route: str, reason: str, raw: bytes, at: datetime) -> None:
    """Store bytes that are not HL7; beyond the limit the oldest go."""
    rows = connection.execute(
        "INSERT INTO quarantine (route, reason, received_at, digest, raw) VALUES (?, ?, ?, ?, ?) RETURNING quarantine_id",
        (route, reason, instant_text(at), digest_of(raw), raw),
    )
    oldest = inserted_id(rows) - QUARANTINE_ROWS_MAX
    connection.execute("DELETE FROM quarantine WHERE quarantine_id <= ?", (oldest,))


def route_modes(connection: SqlConnection) -> Mapping[str, str]:
    """Mode by route, of those that were set at run time."""
    return {str(route): str(mode) for route, mode in connection.execute("SELECT route, mode FROM route_mode")}


def set_route_mode(connection: SqlConnection, *, route: str, mode: str, actor: str, at: datetime, reason: str) -> None:
    """Store a run-time mode, with its audit row."""
    connection.execute(
        "INSERT INTO route_mode (route, mode, actor, at, reason) VALUES (?, ?, ?, ?, ?) ON CONFLICT (route)"
        " DO UPDATE SET mode = excluded.mode, actor = excluded.actor, at = excluded.at, reason = excluded.reason",
        (route, mode, storable_text(actor), instant_text(at), storable_text(reason)),
    )
    detail = {"route": route, "mode": mode, "reason": storable_text(reason)}
    append_audit(connection, at=at, actor=actor, action="mode_set", entry_id=None, detail=detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmappedStudy:
    """A study of the spine that no table knows: one line of the site's mapping worklist."""

    code: str
    name: str
    order_count: int
    last_ordered_at: datetime


def unmapped_studies(connection: SqlConnection, *, limit: int) -> tuple[UnmappedStudy, ...]:
    """The most frequent first; one row for each code, or for each name where orders carry no code."""
    return tuple(
        UnmappedStudy(code=code, name=name, order_count=order_count, last_ordered_at=read_instant(last))
        for code, name, order_count, last in connection.execute(_UNMAPPED, (limit,))
    )
