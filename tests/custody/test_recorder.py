"""What may be kept late: written behind the traffic, in batches, bounded, and to the end when the node stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from interceptor.journal.recorder import BATCH_COUNT_MAX, QUARANTINE_SIZE_MAX, WAITING_COUNT_MAX, Recorder
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import open_sqlite_journal
from tests.support.journal_values import NOW, decision
from tests.support.ward import comes_true


@dataclass
class Desk:
    """A recorder with its journal, and how many could not be kept."""

    recorder: Recorder
    journal: SqlJournal
    folder: Path
    dropped: list[int] = field(default_factory=list)

    def count(self, table: str) -> int:
        """Rows that are on the disk."""
        connection = apsw.Connection(str(self.folder / "journal" / "journal.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            ((found,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        finally:
            connection.close()
        assert isinstance(found, int)
        return found


@asynccontextmanager
async def recorder_in(folder: Path) -> AsyncIterator[Desk]:
    dropped: list[int] = []
    async with open_sqlite_journal(folder / "journal" / "journal.db") as journal:
        yield Desk(Recorder(journal, now=lambda: NOW, count_dropped=dropped.append), journal, folder, dropped)


async def test_everything_is_written_behind_the_traffic(tmp_path: Path) -> None:
    async with recorder_in(tmp_path) as desk, asyncio.TaskGroup() as group:
        running = group.create_task(desk.recorder.run())
        desk.recorder.record(tuple(decision() for _ in range(BATCH_COUNT_MAX + 7)))
        desk.recorder.quarantine("main", "not_hl7", b"x" * (QUARANTINE_SIZE_MAX + 1))

        async def is_written() -> bool:
            return desk.count("decision") == BATCH_COUNT_MAX + 7 and desk.count("quarantine") == 1

        await comes_true(is_written)
        assert desk.dropped == []
        running.cancel()


async def test_what_was_decided_in_the_last_moment_is_written_when_it_is_cancelled(tmp_path: Path) -> None:
    async with recorder_in(tmp_path) as desk:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(desk.recorder.run())
            await asyncio.sleep(0)
            desk.recorder.record((decision(), decision()))
            running.cancel()
        assert desk.count("decision") == 2


async def test_beyond_the_limit_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    async with recorder_in(tmp_path) as desk:
        for number in range(3):
            desk.recorder.record(tuple(decision() for _ in range(WAITING_COUNT_MAX // 2 + number)))
        assert sum(desk.dropped) == WAITING_COUNT_MAX // 2 + 3
        async with asyncio.TaskGroup() as group:
            running = group.create_task(desk.recorder.run())
            await asyncio.sleep(0)
            running.cancel()
        assert desk.count("decision") == WAITING_COUNT_MAX


async def test_what_cannot_be_written_is_counted_and_nothing_waits_for_it(tmp_path: Path) -> None:
    async with recorder_in(tmp_path) as desk:
        await desk.journal._writer.stop()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(desk.recorder.run())
            desk.recorder.record((decision(), decision()))
            desk.recorder.quarantine("main", "not_hl7", b"x")

            async def is_counted() -> bool:
                await asyncio.sleep(0)
                return sum(desk.dropped) == 3

            await comes_true(is_counted)
            running.cancel()
