"""The journal's writer and readers, lent to a part that keeps tables of its own in the same file.

One file, one writer, one fsync for all: what a feed says shares its commit with the orders of the moment. The lender
knows nothing of the tables; their SQL stands with their owner.

Failures: as of every write and read of the journal. On a disk that is nearly full such writes are refused first:
orders that are ours must still be able to leave.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from interceptor.journal.entry_rows import append_audit
from interceptor.journal.group_commit import GroupCommit
from interceptor.journal.port import EntryId
from interceptor.journal.sql import Reads, SqlConnection

_T = TypeVar("_T")


class SideTables:
    """Work of another part, in the journal's own threads."""

    def __init__(self, writer: GroupCommit, readers: Reads) -> None:
        """Of an open journal."""
        self._writer = writer
        self._readers = readers

    async def write(self, work: Callable[[SqlConnection], _T]) -> _T:
        """Run *work* in the next batch, all or nothing; durable when this returns.

        Raises:
            JournalUnavailable: Nothing was written.
            JournalBroken: The outcome is unknown.
        """
        return await self._writer.submit(work, takes_custody=True)

    async def write_audited(
        self,
        work: Callable[[SqlConnection], _T],
        *,
        at: datetime,
        actor: str,
        action: str,
        describe: Callable[[_T], Mapping[str, object] | None],
        entry_id: EntryId | None = None,
    ) -> _T:
        """As `write`, with one link of the audit chain in the same transaction.

        *describe* makes the link's detail of what *work* returned; None for nothing done, nothing to audit.
        With *entry_id* the link is part of that order's history.
        """

        def audited(connection: SqlConnection) -> _T:
            outcome = work(connection)
            detail = describe(outcome)
            if detail is not None:
                append_audit(connection, at=at, actor=actor, action=action, entry_id=entry_id, detail=detail)
            return outcome

        return await self._writer.submit(audited)

    async def read(self, work: Callable[[SqlConnection], _T]) -> _T:
        """Run *work* on a connection that cannot write.

        Raises:
            JournalUnavailable, JournalCorrupt: It cannot be read.
        """
        return await self._readers.read(work)
