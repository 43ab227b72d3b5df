"""Claims, orders put aside and planned releases, as SQL. Everything here runs inside the caller's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interceptor.journal.port import EntryId
from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import instant_text, read_instant, storable_text

_SELECT_CLAIM = "SELECT claimed_by, claimed_until FROM order_claim WHERE entry_id = ?"
_SELECT_CLAIMS = "SELECT entry_id, claimed_by, claimed_until FROM order_claim WHERE claimed_until > ?"
_SET_CLAIM = """
INSERT INTO order_claim (entry_id, claimed_by, claimed_until) VALUES (?, ?, ?)
ON CONFLICT (entry_id) DO UPDATE SET claimed_by = excluded.claimed_by, claimed_until = excluded.claimed_until
"""
_DROP_CLAIM = "DELETE FROM order_claim WHERE entry_id = ?"
_SET_SNOOZE = """
INSERT INTO order_snooze (entry_id, snoozed_by, snoozed_until) VALUES (?, ?, ?)
ON CONFLICT (entry_id) DO UPDATE SET snoozed_by = excluded.snoozed_by, snoozed_until = excluded.snoozed_until
"""
_INSERT_PLAN = """
INSERT INTO planned_release (entry_id, order_key, digest, actor, reason_code, comment, planned_at, due_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (entry_id) DO NOTHING
"""
_SELECT_PLANS = """
SELECT entry_id, order_key, digest, actor, reason_code, comment, planned_at, due_at FROM planned_release ORDER BY due_at
"""
_DROP_PLAN = "DELETE FROM planned_release WHERE entry_id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Somebody looks at an order, until then."""

    claimed_by: str
    claimed_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRelease:
    """A release that can still be called back.

    Attributes:
        digest: SHA-256 of the content that was released.
        actor: "user:NAME".
        comment: The reason as the note will say it.
        due_at: When the bytes leave.
    """

    entry_id: EntryId
    order_key: str
    digest: bytes
    actor: str
    reason_code: str
    comment: str
    planned_at: datetime
    due_at: datetime


def find_claim(connection: SqlConnection, entry_id: EntryId) -> Claim | None:
    """Who claimed an order last, also when that has run out."""
    row = connection.execute(_SELECT_CLAIM, (entry_id,)).fetchone()
    return None if row is None else Claim(claimed_by=row[0], claimed_until=read_instant(row[1]))


def list_claims(connection: SqlConnection, *, now: datetime) -> dict[EntryId, Claim]:
    """All claims that have not run out."""
    rows: Iterable[Any] = connection.execute(_SELECT_CLAIMS, (instant_text(now),)).fetchall()
    return {EntryId(row[0]): Claim(claimed_by=row[1], claimed_until=read_instant(row[2])) for row in rows}


def set_claim(connection: SqlConnection, entry_id: EntryId, claim: Claim) -> None:
    """Note who looks at an order, in place of whoever did before."""
    connection.execute(_SET_CLAIM, (entry_id, storable_text(claim.claimed_by), instant_text(claim.claimed_until)))


def drop_claim(connection: SqlConnection, entry_id: EntryId) -> None:
    """Nobody looks at this order any more."""
    connection.execute(_DROP_CLAIM, (entry_id,))


def set_snooze(connection: SqlConnection, entry_id: EntryId, *, by: str, until: datetime) -> None:
    """Put an order aside until then."""
    connection.execute(_SET_SNOOZE, (entry_id, storable_text(by), instant_text(until)))


def insert_plan(connection: SqlConnection, plan: PlannedRelease) -> bool:
    """Keep a planned release; False when the order has one already."""
    connection.execute(
        _INSERT_PLAN,
        (
            plan.entry_id,
            storable_text(plan.order_key),
            plan.digest,
            storable_text(plan.actor),
            plan.reason_code,
            storable_text(plan.comment),
            instant_text(plan.planned_at),
            instant_text(plan.due_at),
        ),
    )
    return connection.changes() == 1


def list_plans(connection: SqlConnection) -> tuple[PlannedRelease, ...]:
    """All planned releases, the next one first."""
    return tuple(_read_plan(row) for row in connection.execute(_SELECT_PLANS).fetchall())


def drop_plan(connection: SqlConnection, entry_id: EntryId) -> bool:
    """Forget a planned release; False when there is none."""
    connection.execute(_DROP_PLAN, (entry_id,))
    return connection.changes() == 1


def _read_plan(row: Sequence[Any]) -> PlannedRelease:
    entry_id, order_key, digest, actor, reason_code, comment, planned_at, due_at = row
    return PlannedRelease(
        entry_id=EntryId(entry_id),
        order_key=order_key,
        digest=digest,
        actor=actor,
        reason_code=reason_code,
        comment=comment,
        planned_at=read_instant(planned_at),
        due_at=read_instant(due_at),
    )
