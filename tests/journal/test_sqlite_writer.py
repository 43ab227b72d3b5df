"""One thread writes: callers that come together share a commit, and none of them can hurt another."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from interceptor.journal.group_commit import CommitReport
from interceptor.journal.port import JournalReason, JournalUnavailable
from interceptor.journal.sql import SqlConnection
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.journal_values import NOW, held_intake, stored_intake, take

SMALL = WriterSettings(free_bytes_min=0)


@asynccontextmanager
async def opened(
    path: Path, writer: WriterSettings = SMALL, observe: Callable[[CommitReport], None] | None = None
) -> AsyncIterator[SqlJournal]:
    async with open_sqlite_journal(
        path / "journal.db", settings=SqliteSettings(writer=writer), observe=observe
    ) as journal:
        yield journal


async def block_writer(journal: SqlJournal) -> threading.Event:
    """Keep the writer busy until the event is set, so that others gather behind it."""
    begun, go_on = threading.Event(), threading.Event()

    def work(_: SqlConnection) -> None:
        begun.set()
        go_on.wait(10)

    future = journal._writer.submit(work)
    assert not future.done()
    await asyncio.to_thread(begun.wait, 10)
    return go_on


async def test_what_arrives_during_a_commit_shares_the_next_one(tmp_path: Path) -> None:
    reports: list[CommitReport] = []
    async with opened(tmp_path, observe=reports.append) as journal:
        go_on = await block_writer(journal)
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(journal.record_intake(stored_intake(str(number))))
            await asyncio.sleep(0)
            assert journal.queue_depth == 100
            go_on.set()
    assert [report.job_count for report in reports] == [1, 100]
    assert all(report.seconds > 0 for report in reports)


async def test_a_batch_is_no_larger_than_its_limit(tmp_path: Path) -> None:
    reports: list[CommitReport] = []
    writer = WriterSettings(free_bytes_min=0, batch_max=30)
    async with opened(tmp_path, writer, reports.append) as journal:
        go_on = await block_writer(journal)
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(journal.record_intake(stored_intake(str(number))))
            await asyncio.sleep(0)
            go_on.set()
    assert [report.job_count for report in reports] == [1, 30, 30, 30, 10]


async def test_writes_happen_in_the_order_they_were_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await asyncio.gather(*(journal.record_intake(stored_intake(str(number))) for number in range(300)))
        rows = await journal.undelivered_rows()
    assert [int(row.control_id) for row in rows] == list(range(300))


@pytest.mark.fault(29)
async def test_a_queue_that_is_full_refuses_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path, WriterSettings(free_bytes_min=0, queue_max=5)) as journal:
        go_on = await block_writer(journal)
        waiting = [asyncio.ensure_future(journal.probe(at=NOW)) for _ in range(5)]  # noqa: TID251 - all are awaited below
        await asyncio.sleep(0)
        with pytest.raises(JournalUnavailable) as caught:
            await journal.probe(at=NOW)
        assert caught.value.reason is JournalReason.QUEUE_FULL
        go_on.set()
        await asyncio.gather(*waiting)


async def test_a_caller_that_is_cancelled_does_not_take_its_write_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        go_on = await block_writer(journal)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(journal.record_intake(held_intake("1")))
            await asyncio.sleep(0)
            task.cancel()
        go_on.set()
        await take(journal, held_intake("2", order="P2"))
        assert len(await journal.open_entries()) == 2


async def test_closing_waits_for_what_was_handed_over(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        go_on = await block_writer(journal)
        future = journal._writer.submit(
            lambda connection: connection.execute("INSERT INTO meta VALUES ('last', 'word')").fetchall()
        )
        threading.Timer(0.05, go_on.set).start()
    assert future.done()
    with pytest.raises(JournalUnavailable) as caught:
        await journal.probe(at=NOW)
    assert caught.value.reason is JournalReason.CLOSED
    connection = apsw.Connection(str(tmp_path / "journal.db"))
    assert connection.execute("SELECT value FROM meta WHERE name = 'last'").fetchall() == [("word",)]
    connection.close()


async def test_a_caller_s_mistake_is_its_own(tmp_path: Path) -> None:
    def mistake(connection: SqlConnection) -> None:
        connection.execute("INSERT INTO meta VALUES ('half', 'done')")
        raise LookupError

    def syntax(connection: SqlConnection) -> None:
        connection.execute("SELECT nonsense FROM nowhere")

    async with opened(tmp_path) as journal:
        go_on = await block_writer(journal)
        wrong, worse = journal._writer.submit(mistake), journal._writer.submit(syntax)
        right = journal._writer.submit(
            lambda connection: connection.execute("INSERT INTO meta VALUES ('a', 'b')").fetchall()
        )
        go_on.set()
        await right
        with pytest.raises(LookupError):
            await wrong
        with pytest.raises(apsw.SQLError):
            await worse
        assert journal.status == "ok"
        names = await journal._readers.read(lambda connection: connection.execute("SELECT name FROM meta").fetchall())
    assert ("a",) in names
    assert ("half",) not in names


async def test_an_idle_writer_moves_the_wal_into_the_database(tmp_path: Path) -> None:
    writer = WriterSettings(free_bytes_min=0, idle_seconds=0.02, checkpoint_pages=1)
    async with opened(tmp_path, writer) as journal:
        before = (tmp_path / "journal.db").stat().st_size
        for number in range(50):
            await journal.record_intake(stored_intake(str(number)))
        async with asyncio.timeout(5):
            while (tmp_path / "journal.db").stat().st_size == before:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.01)


async def test_a_busy_writer_keeps_the_wal_small(tmp_path: Path) -> None:
    writer = WriterSettings(free_bytes_min=0, idle_seconds=60, checkpoint_pages_max=50)
    async with opened(tmp_path, writer) as journal:
        for number in range(400):
            await journal.record_intake(stored_intake(str(number)))
        wal_size = (tmp_path / "journal.db-wal").stat().st_size
    assert wal_size < 150 * 4120, "50 pages, and what one batch adds"


async def test_reads_see_what_was_acknowledged_and_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        entry_id = await take(journal, held_intake("1"))
        go_on = await block_writer(journal)
        async with asyncio.timeout(2):
            assert await journal.entry(entry_id) is not None
        go_on.set()


async def test_opening_where_nothing_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable):
        async with opened(tmp_path / "file" / "below"):
            pytest.fail("a journal below a file")
