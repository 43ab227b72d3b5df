"""How far the audit chain was exported, as SQL of the table of the migration "audit-export".

Of several nodes on one database one exports at a time: whoever holds the row, for a few seconds at a time.
"""

from dataclasses import dataclass
from datetime import datetime

from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import microseconds

SINK = "atna"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where the export stands: the last link that was handed over, and the last one that there is."""

    exported: int
    last: int

    @property
    def waiting(self) -> int:
        """Links that the repository does not have."""
        return max(0, self.last - self.exported)


def begin(connection: SqlConnection) -> None:
    """The first time ever, begin at the end of the chain: what happened before is the archive's business."""
    connection.execute(
        "INSERT INTO audit_export (sink, audit_number, holder, held_until)"
        " SELECT ?, coalesce(max(number), 0), '', 0 FROM audit WHERE true ON CONFLICT (sink) DO NOTHING",
        (SINK,),
    )


def hold(connection: SqlConnection, *, holder: str, at: datetime, until: datetime) -> bool:
    """Take or keep the right to export until then; False while another node has it."""
    begin(connection)
    connection.execute(
        "UPDATE audit_export SET holder = ?, held_until = ? WHERE sink = ? AND (holder = ? OR held_until < ?)",
        (holder, microseconds(until), SINK, holder, microseconds(at)),
    )
    return connection.changes() > 0


def advance(connection: SqlConnection, *, holder: str, number: int) -> bool:
    """Links up to *number* are handed over; False when another node took over meanwhile."""
    connection.execute(
        "UPDATE audit_export SET audit_number = ? WHERE sink = ? AND holder = ? AND audit_number < ?",
        (number, SINK, holder, number),
    )
    return connection.changes() > 0


def read_position(connection: SqlConnection) -> Position:
    """Where the export stands."""
    last = exported = 0
    for (number,) in connection.execute("SELECT coalesce(max(number), 0) FROM audit"):
        last = exported = int(number)
    for (number,) in connection.execute("SELECT audit_number FROM audit_export WHERE sink = ?", (SINK,)):
        exported = int(number)
    return Position(exported=exported, last=last)
