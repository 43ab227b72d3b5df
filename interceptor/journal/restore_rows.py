"""The journal about itself: small values by name, and how one that was put back from a copy goes on. SQL only."""

from datetime import datetime

from interceptor.journal.entry_rows import append_audit
from interceptor.journal.outbox_rows import record_dead
from interceptor.journal.port import OutboxId
from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import instant_text

BACKUP_MARK, RESTORED_MARK = "backup_taken_at", "restored"
"""Names of the marks that a copy carries, and that a journal carries which was one."""
_WAITING_UNTIL = """
SELECT outbox_id FROM outbox WHERE state IN ('pending', 'claimed', 'inflight') AND queued_at <= ? ORDER BY outbox_id
"""
RESTORED = "restored"
"""`last_error` of a row that was given up because the journal came from a backup."""


def set_meta(connection: SqlConnection, name: str, value: str) -> None:
    """Store one value of the journal about itself."""
    connection.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def note_probe(connection: SqlConnection, *, at: datetime) -> None:
    """Write that the journal could be written now."""
    set_meta(connection, "probed_at", instant_text(at))


def get_meta(connection: SqlConnection, name: str) -> str | None:
    """One value of the journal about itself."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def is_restored(connection: SqlConnection) -> bool:
    """Whether a person has to say how the restored journal goes on."""
    return get_meta(connection, RESTORED_MARK) is not None


def confirm_restored(connection: SqlConnection, *, at: datetime, actor: str, delivered_until: datetime | None) -> int:
    """See `Journal.confirm_restored`."""
    until = "" if delivered_until is None else instant_text(delivered_until)
    rows = connection.execute(_WAITING_UNTIL, (until,)).fetchall()
    for row in rows:
        record_dead(connection, OutboxId(row[0]), at=at, error=RESTORED, acknowledgment=b"", change=None)
    connection.execute("UPDATE outbox SET possible_duplicate = 1 WHERE state IN ('pending', 'claimed', 'inflight')")
    connection.execute("DELETE FROM meta WHERE name = ?", (RESTORED_MARK,))
    detail = {"delivered_until": delivered_until, "dead": len(rows)}
    append_audit(connection, at=at, actor=actor, action="restore_confirmed", entry_id=None, detail=detail)
    return len(rows)
