"""Orders in custody, their steps and the audit chain, as SQL. Everything here runs inside the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from interceptor.action.lifecycle import (
    OPEN_STATES,
    TAKEN_AS,
    WAITING_STATES,
    IllegalTransition,
    LifecycleEvent,
    OrderState,
    decide_transition,
)
from interceptor.journal.port import (
    AuditRow,
    ChangeDone,
    Conflict,
    Entry,
    EntryChange,
    EntryId,
    Follower,
    JournalRuleBroken,
    MessageId,
    NewEntry,
    OutgoingMessage,
)
from interceptor.journal.sql import RolledBack, SqlConnection, inserted_id
from interceptor.journal.stored_form import (
    CHAIN_START,
    canonical_json,
    chain_link,
    digest_of,
    instant_text,
    optional_instant_text,
    read_instant,
    read_json_object,
    read_optional_instant,
    storable_text,
)

_INSERT_ENTRY = """
INSERT INTO entry (message_id, source_id, route, order_key, set_key, placer_order_number, state, version, content, digest, control_id,
    priority, taken_at, changed_at, changed_by, moved_at, moved_by, deadline_at, closed_at, reason, summary, decision)
VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, 'node', ?, 'node', ?, NULL, ?, ?, ?) RETURNING entry_id
"""
_UPDATE_ENTRY = """
UPDATE entry SET
    version = version + 1,
    moved_at = CASE WHEN state = :state THEN moved_at ELSE :at END,
    moved_by = CASE WHEN state = :state THEN moved_by ELSE :actor END,
    closed_at = CASE WHEN :is_open = 1 THEN NULL ELSE coalesce(closed_at, :at) END,
    state = :state,
    changed_at = :at,
    changed_by = :actor,
    reason = CASE WHEN :reason = '' THEN reason ELSE :reason END,
    content = coalesce(:content, content),
    digest = coalesce(:digest, digest),
    source_id = coalesce(:source_id, source_id),
    control_id = coalesce(:control_id, control_id),
    deadline_at = coalesce(:deadline_at, deadline_at),
    set_key = coalesce(:set_key, set_key),
    priority = coalesce(:priority, priority),
    summary = coalesce(:summary, summary),
    decision = coalesce(:decision, decision)
WHERE entry_id = :entry_id
"""
_INSERT_OUTBOX = """
INSERT INTO outbox (destination, kind, state, message_id, entry_id, content, digest, original, control_id, queued_at, changed_at,
    possible_duplicate, acknowledgment)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_AUDIT = "INSERT INTO audit (number, at, actor, action, entry_id, detail, sha256) VALUES (?, ?, ?, ?, ?, ?, ?)"
ENTRY_BY_ID = "SELECT * FROM entry_with_content WHERE entry_id = ?"
ENTRIES_OPEN = "SELECT * FROM entry_with_content WHERE closed_at IS NULL ORDER BY entry_id"
ENTRIES_IN_STATES = """
SELECT * FROM entry_with_content WHERE state IN (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
AND (coalesce(?10, 0) = 0 OR (deadline_at IS NULL, coalesce(deadline_at, ''), entry_id) >
    (SELECT deadline_at IS NULL, coalesce(deadline_at, ''), entry_id FROM entry WHERE entry_id = ?10))
ORDER BY deadline_at IS NULL, deadline_at, entry_id LIMIT ?9
"""
ENTRY_LATEST_OF_ORDER = "SELECT * FROM entry_with_content WHERE order_key = ? ORDER BY entry_id DESC LIMIT 1"
AUDIT_ALL = (
    "SELECT number, at, actor, action, entry_id, detail, sha256 FROM audit WHERE number > ? ORDER BY number LIMIT ?"
)
AUDIT_OF_ENTRY = "SELECT number, at, actor, action, entry_id, detail, sha256 FROM audit WHERE entry_id = ? AND number > ? ORDER BY number LIMIT ?"


class KnownBytes:
    """Messages whose bytes are stored already, so that an order or outgoing message that equals one refers to it."""

    def __init__(self) -> None:
        self._messages: dict[bytes, MessageId] = {}

    def add(self, message_id: MessageId, digest: bytes) -> None:
        """*message_id* has bytes with this SHA-256."""
        self._messages[digest] = message_id

    def find(self, digest: bytes) -> MessageId | None:
        """The message with these bytes, None when they must be stored again."""
        return self._messages.get(digest)


def last_link(connection: SqlConnection) -> tuple[int, str]:
    """Number and SHA-256 of the end of the audit chain; 0 and zeros when it is empty."""
    last = connection.execute("SELECT number, sha256 FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    return (0, CHAIN_START) if last is None else (last[0], last[1])


def append_audit(
    connection: SqlConnection,
    *,
    at: datetime,
    actor: str,
    action: str,
    entry_id: EntryId | None,
    detail: Mapping[str, object],
) -> None:
    """Add one link to the chain."""
    last_number, previous = last_link(connection)
    number = last_number + 1
    row = {"at": instant_text(at), "actor": storable_text(actor), "action": action, "detail": canonical_json(detail)}
    sha256 = chain_link(number=number, entry_id=entry_id, previous=previous, **row)
    connection.execute(_INSERT_AUDIT, (number, row["at"], row["actor"], row["action"], entry_id, row["detail"], sha256))


def insert_entry(
    connection: SqlConnection, new: NewEntry, *, message_id: MessageId, route: str, at: datetime, known: KnownBytes
) -> EntryId:
    """Store an order that begins its life with us, and its first audit row."""
    digest = digest_of(new.content)
    text_at = instant_text(at)
    reason = TAKEN_AS[new.state].reason
    rows = connection.execute(
        _INSERT_ENTRY,
        (
            message_id,
            message_id,
            route,
            storable_text(new.order_key),
            storable_text(new.set_key),
            storable_text(new.placer_order_number),
            new.state,
            None if known.find(digest) == message_id else new.content,
            digest,
            new.control_id,
            new.priority,
            text_at,
            text_at,
            text_at,
            optional_instant_text(new.deadline_at),
            reason,
            canonical_json(new.summary),
            canonical_json(new.decision),
        ),
    )
    entry_id = EntryId(inserted_id(rows))
    detail = {"to": new.state, "version": 1, "reason": reason, "message": message_id, "sha256": digest.hex()}
    append_audit(connection, at=at, actor="node", action=LifecycleEvent.TAKEN, entry_id=entry_id, detail=detail)
    return entry_id


def insert_outgoing(
    connection: SqlConnection,
    outgoing: OutgoingMessage,
    *,
    message_id: MessageId | None,
    entry_id: EntryId | None,
    at: datetime,
    known: KnownBytes,
) -> None:
    """Queue one message for its destination."""
    digest = digest_of(outgoing.content)
    stored_as = known.find(digest)
    text_at = instant_text(at)
    connection.execute(
        _INSERT_OUTBOX,
        (
            outgoing.destination,
            outgoing.kind,
            "pending" if outgoing.acknowledgment is None else "acked",
            stored_as or message_id,
            entry_id,
            None if stored_as is not None else outgoing.content,
            digest,
            outgoing.original,
            outgoing.control_id,
            text_at,
            text_at,
            int(outgoing.possible_duplicate),
            outgoing.acknowledgment,
        ),
    )


def apply_change(
    connection: SqlConnection,
    change: EntryChange,
    *,
    at: datetime,
    message_id: MessageId | None = None,
    known: KnownBytes | None = None,
) -> ChangeDone:
    """Move one order one step, with its audit row and what it sends.

    Raises:
        RolledBack: With a `Conflict`: the order is not where the caller saw it.
        IllegalTransition: The lifecycle table has no such step.
    """
    check_change(change)
    row = connection.execute(
        "SELECT state, version, changed_by, changed_at, moved_by, moved_at, message_id, digest, content IS NULL"
        " FROM entry WHERE entry_id = ?",
        (change.entry_id,),
    ).fetchone()
    if row is None:
        message = "there is no such order"
        raise JournalRuleBroken(message)
    state, version, *_, first_message_id, digest, is_message = row
    if (conflict := find_conflict(change, row)) is not None:
        raise RolledBack(conflict)
    if change.state is OrderState.QUEUED and state in WAITING_STATES:
        require_one_order(change.outgoing)
    known = known or KnownBytes()
    if is_message:
        known.add(MessageId(first_message_id), digest)
    detail = dict(change.detail)
    if message_id is not None:
        detail["message"] = message_id
    new_digest = None
    if change.content is not None and (found := digest_of(change.content)) != digest:
        new_digest = found
        detail["sha256"] = found.hex()
    _update(connection, change, at=at, digest=new_digest, source_id=message_id)
    detail |= {"from": state, "to": change.state, "version": version + 1, "reason": change.reason}
    append_audit(connection, at=at, actor=change.actor, action=change.event, entry_id=change.entry_id, detail=detail)
    if state == OrderState.DEAD and change.state not in (OrderState.DEAD, OrderState.QUEUED):
        _discard_dead_rows(connection, change, at=at)
    if change.follower is not None:
        _insert_follower(connection, change.follower, entry_id=change.entry_id, message_id=message_id, known=known)
    for outgoing in change.outgoing:
        insert_outgoing(connection, outgoing, message_id=message_id, entry_id=change.entry_id, at=at, known=known)
    return ChangeDone(entry_id=change.entry_id, state=change.state, version=version + 1)


def find_conflict(change: EntryChange, row: Sequence[Any]) -> Conflict | None:
    """Whether the order is not where the caller saw it, and who moved it. *row* begins with the six columns asked for."""
    state, version, changed_by, changed_at, moved_by, moved_at = row[:6]
    has_moved = state != change.expected_state
    if not has_moved and change.expected_version in (None, version):
        return None
    return Conflict(
        entry_id=change.entry_id,
        state=OrderState(state),
        version=version,
        actor=moved_by if has_moved else changed_by,
        at=read_instant(moved_at if has_moved else changed_at),
    )


def apply_changes(connection: SqlConnection, changes: Sequence[EntryChange], *, at: datetime) -> tuple[ChangeDone, ...]:
    """`apply_change` for each; a conflict of one undoes all."""
    return tuple(apply_change(connection, change, at=at) for change in changes)


def check_change(change: EntryChange) -> None:
    """Ask the lifecycle table whether the step exists.

    Raises:
        IllegalTransition: It does not, or it leads elsewhere.
    """
    transition = decide_transition(change.expected_state, change.event)
    if transition.state is not change.state:
        message = f"{change.event} leads to {transition.state}, not {change.state}"
        raise IllegalTransition(message)


def _insert_follower(
    connection: SqlConnection,
    follower: Follower,
    *,
    entry_id: EntryId,
    message_id: MessageId | None,
    known: KnownBytes,
) -> None:
    if message_id is None:
        message = "a message that follows an order comes with an intake"
        raise JournalRuleBroken(message)
    digest = digest_of(follower.content)
    connection.execute(
        "INSERT INTO follower (entry_id, message_id, content, digest, control_id) VALUES (?, ?, ?, ?, ?)",
        (
            entry_id,
            message_id,
            None if known.find(digest) == message_id else follower.content,
            digest,
            follower.control_id,
        ),
    )


def followers(connection: SqlConnection, entry_id: EntryId) -> tuple[Follower, ...]:
    """What waits behind an order, in the order it came."""
    rows = connection.execute(
        "SELECT coalesce(content, raw), follower.control_id FROM follower JOIN message USING (message_id)"
        " WHERE entry_id = ? ORDER BY follower_id",
        (entry_id,),
    )
    return tuple(Follower(content, control_id) for content, control_id in rows)


def require_one_order(outgoing: Iterable[OutgoingMessage]) -> None:
    """An order that is queued has exactly one message that delivers it.

    Raises:
        JournalRuleBroken: It has none, or several.
    """
    count = sum(1 for message in outgoing if message.kind == "order")
    if count != 1:
        message = f"a queued order needs one message that delivers it, not {count}"
        raise JournalRuleBroken(message)


def _update(
    connection: SqlConnection,
    change: EntryChange,
    *,
    at: datetime,
    digest: bytes | None,
    source_id: MessageId | None,
) -> None:
    connection.execute(
        _UPDATE_ENTRY,
        {
            "entry_id": change.entry_id,
            "state": change.state,
            "is_open": int(change.state in OPEN_STATES),
            "at": instant_text(at),
            "actor": storable_text(change.actor),
            "reason": storable_text(change.reason),
            "content": None if digest is None else change.content,
            "digest": digest,
            "source_id": source_id if change.content is not None else None,
            "control_id": change.control_id,
            "deadline_at": optional_instant_text(change.deadline_at),
            "set_key": None if change.set_key is None else storable_text(change.set_key),
            "priority": change.priority,
            "summary": None if change.summary is None else canonical_json(change.summary),
            "decision": None if change.decision is None else canonical_json(change.decision),
        },
    )


def _discard_dead_rows(connection: SqlConnection, change: EntryChange, *, at: datetime) -> None:
    connection.execute(
        "UPDATE outbox SET discarded_at = ?, discarded_by = ? WHERE entry_id = ? AND kind = 'order' AND state = 'dead'",
        (instant_text(at), storable_text(change.actor), change.entry_id),
    )


def read_entry(row: Sequence[Any]) -> Entry:
    """One row of the ENTRY queries as a value; `damaged` when its bytes are not those that were stored."""
    (
        entry_id, message_id, route, order_key, set_key, placer_order_number, state, version, content, digest, control_id,
        priority, taken_at, changed_at, changed_by, deadline_at, closed_at, reason, summary, decision, source,
    ) = row  # fmt: skip
    return Entry(
        entry_id=EntryId(entry_id),
        message_id=MessageId(message_id),
        route=route,
        order_key=order_key,
        set_key=set_key,
        placer_order_number=placer_order_number,
        state=OrderState(state),
        version=version,
        content=content,
        control_id=control_id,
        priority=priority,
        taken_at=read_instant(taken_at),
        changed_at=read_instant(changed_at),
        changed_by=changed_by,
        deadline_at=read_optional_instant(deadline_at),
        closed_at=read_optional_instant(closed_at),
        reason=reason,
        summary=read_json_object(summary),
        decision=read_json_object(decision),
        source=source,
        damaged=digest_of(content) != digest,
    )


def read_entries(connection: SqlConnection, query: str, parameters: tuple[object, ...]) -> tuple[Entry, ...]:
    """The orders that one of the ENTRY queries finds."""
    return tuple(read_entry(row) for row in connection.execute(query, parameters))


def state_list(states: Sequence[OrderState]) -> tuple[str, ...]:
    """*states* as the first parameters of `ENTRIES_IN_STATES`: as many as there are states at all."""
    names = [str(state) for state in states][: len(OrderState)]
    return (*names, *[""] * (len(OrderState) - len(names)))


def entry_counts(connection: SqlConnection) -> Mapping[OrderState, int]:
    """Orders by state, every state named."""
    counts = dict.fromkeys(OrderState, 0)
    for state, count in connection.execute("SELECT state, count(*) FROM entry GROUP BY state"):
        counts[OrderState(state)] = count
    return counts


def audit_rows(
    connection: SqlConnection, *, entry_id: EntryId | None, limit: int, after: int = 0
) -> tuple[AuditRow, ...]:
    """Links of the chain behind one, of one order or all, oldest first."""
    if entry_id is None:
        rows = connection.execute(AUDIT_ALL, (after, limit))
    else:
        rows = connection.execute(AUDIT_OF_ENTRY, (entry_id, after, limit))
    return tuple(read_audit_row(row) for row in rows)


def read_audit_row(row: Sequence[Any]) -> AuditRow:
    """One row of the AUDIT queries as a value."""
    number, at, actor, action, entry_id, detail, sha256 = row
    return AuditRow(
        number=number,
        at=read_instant(at),
        actor=actor,
        action=action,
        entry_id=None if entry_id is None else EntryId(entry_id),
        detail=read_json_object(detail),
        sha256=sha256,
    )
