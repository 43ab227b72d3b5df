"""What our SQL needs of a database connection, and the few words in which two databases differ.

The SQL of the journal stands once, in the `*_rows` modules, and runs on SQLite and on PostgreSQL: the subset that both
understand (`coalesce`, CASE, RETURNING, ON CONFLICT with its target), with placeholders as SQLite writes them (`?`,
`?1`, `:name`). A connection of `apsw` is a `SqlConnection` as it is; PostgreSQL's adapter makes one (docs/adr).
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class SqlRows(Protocol):
    """What comes back for one statement."""

    def __iter__(self) -> Iterator[Any]:
        """Row by row."""
        ...

    def fetchone(self) -> Any:
        """The next row, None at the end."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...


class SqlConnection(Protocol):
    """An open connection, inside a transaction of whoever lends it."""

    def execute(self, statements: str, bindings: Any = None, /) -> SqlRows:
        """Run one statement."""
        ...

    def changes(self) -> int:
        """Rows that the last statement changed."""
        ...


class Reads(Protocol):
    """An adapter's readers."""

    async def read(self, work: Callable[[Any], _T]) -> _T:
        """Run *work* on a connection that cannot write."""
        ...


class ClosableReads(Reads, Protocol):
    """Readers that whoever opened them closes."""

    async def close(self) -> None:
        """Wait for reads that have begun, then close."""
        ...


class RolledBack(Exception):  # noqa: N818 - a signal with a value, not an error
    """Raised by a caller's work: undo what it wrote, and return *outcome* to the caller."""

    def __init__(self, outcome: object) -> None:
        super().__init__()
        self.outcome = outcome


def inserted_id(rows: SqlRows) -> int:
    """The number that an INSERT … RETURNING gave; reads to the end, as a statement left open would keep its transaction."""
    ((number,),) = rows.fetchall()
    return int(number)
