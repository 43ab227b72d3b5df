"""A disk that is full, read-only, broken or locked: what is refused, what goes on, and what comes back by itself."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from interceptor.action.lifecycle import LifecycleEvent
from interceptor.journal.port import (
    AlreadyTaken,
    ChangeDone,
    IntakeDone,
    JournalBroken,
    JournalReason,
    JournalUnavailable,
)
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.fault_vfs import FaultVfs, Operation, fault_vfs
from tests.support.journal_values import NOW, WEEK_AGO, held_intake, step, take

EAGER = WriterSettings(free_bytes_min=0, space_check_seconds=0.0, idle_seconds=0.02)


@pytest.fixture
def vfs(request: pytest.FixtureRequest) -> Iterator[FaultVfs]:
    with fault_vfs(f"fault-{request.node.name}") as vfs:
        yield vfs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "journal.db"


@asynccontextmanager
async def opened(path: Path, vfs: FaultVfs | None = None) -> AsyncIterator[SqlJournal]:
    settings = SqliteSettings(vfs=vfs.name if vfs else None, writer=EAGER)
    async with open_sqlite_journal(path, settings=settings) as journal:
        yield journal


async def until_status(journal: SqlJournal, wanted: str) -> None:
    async with asyncio.timeout(5):
        while journal.status != wanted:  # noqa: ASYNC110 - the writer's thread changes it and tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.fault(3)
@pytest.mark.hazard("H25")
async def test_a_full_disk_refuses_new_custody_and_comes_back_without_a_restart(path: Path, vfs: FaultVfs) -> None:
    async with opened(path, vfs) as journal:
        entry_id = await take(journal, held_intake("1"))

        def full(operation: Operation, file: str) -> None:
            if operation == "write" and file.endswith("-wal"):
                raise apsw.FullError

        vfs.fail = full
        with pytest.raises(JournalUnavailable) as caught:
            await journal.record_intake(held_intake("2", order="P2"))
        assert caught.value.reason is JournalReason.FULL
        assert journal.status == "full"
        with pytest.raises(JournalUnavailable):
            await journal.apply_change(step(entry_id, LifecycleEvent.COMMENTED), at=NOW)
        vfs.fail = None
        done = await journal.apply_change(step(entry_id, LifecycleEvent.COMMENTED), at=NOW)
        assert isinstance(done, ChangeDone)
        await until_status(journal, "ok")
        assert isinstance(await journal.record_intake(held_intake("2", order="P2")), IntakeDone)
        assert len(await journal.open_entries()) == 2


@pytest.mark.fault(3)
@pytest.mark.hazard("H2")
async def test_on_a_full_disk_the_reserve_lets_orders_leave_while_new_ones_are_refused(
    path: Path, vfs: FaultVfs
) -> None:
    reserve = Path(f"{path}-reserve")
    async with opened(path, vfs) as journal:
        entry_id = await take(journal, held_intake("1"))
        assert reserve.stat().st_blocks * 512 >= 1024 * 1024, "a sparse reserve keeps no room"

        def full_while_the_reserve_is_there(operation: Operation, file: str) -> None:
            if operation == "write" and reserve.exists():
                raise apsw.FullError

        vfs.fail = full_while_the_reserve_is_there
        arrives = journal.record_intake(held_intake("2", order="P2"))
        leaves = journal.apply_change(step(entry_id, LifecycleEvent.CANCELLED, actor="placer"), at=NOW)
        refused, done = await asyncio.gather(arrives, leaves, return_exceptions=True)
        assert isinstance(refused, JournalUnavailable)
        assert isinstance(done, ChangeDone)
        assert len(await journal.open_entries()) == 0


@pytest.mark.fault(3)
async def test_when_free_space_runs_low_new_custody_is_refused_before_anything_fails(path: Path) -> None:
    nearly_full = WriterSettings(free_bytes_min=2**60, space_check_seconds=0.0)
    async with open_sqlite_journal(path, settings=SqliteSettings(writer=nearly_full)) as journal:
        with pytest.raises(JournalUnavailable) as caught:
            await journal.record_intake(held_intake("1"))
        assert caught.value.reason is JournalReason.FULL
        assert journal.status == "full"
        # Whoever asks whether orders can be held must be told no.
        with pytest.raises(JournalUnavailable):
            await journal.probe(at=NOW)


@pytest.mark.fault(4)
async def test_a_read_only_disk_refuses_and_comes_back_without_a_restart(path: Path, vfs: FaultVfs) -> None:
    async with opened(path, vfs) as journal:

        def read_only(operation: Operation, file: str) -> None:
            if operation == "write":
                raise apsw.ReadOnlyError

        vfs.fail = read_only
        with pytest.raises(JournalUnavailable) as caught:
            await journal.record_intake(held_intake("1"))
        assert caught.value.reason is JournalReason.READ_ONLY
        assert await journal.open_entries() == ()
        vfs.fail = None
        await take(journal, held_intake("1"))
        assert journal.status == "ok"


@pytest.mark.fault(4)
@pytest.mark.fault(5)
@pytest.mark.hazard("H3")
@pytest.mark.parametrize("operation", ["write", "sync"])
async def test_after_an_input_output_error_nothing_more_is_written_and_a_resend_is_taken_once(
    path: Path, vfs: FaultVfs, operation: Operation
) -> None:
    async with opened(path, vfs) as journal:
        await take(journal, held_intake("1"))

        def broken(current: Operation, file: str) -> None:
            if current == operation and file.endswith("-wal"):
                raise apsw.IOError

        vfs.fail = broken
        with pytest.raises(JournalBroken):
            await journal.record_intake(held_intake("2", order="P2"))
        vfs.fail = None
        assert journal.is_broken
        before = file_bytes(path)
        with pytest.raises(JournalBroken):
            await journal.record_intake(held_intake("3", order="P3"))
        with pytest.raises(JournalBroken):
            await journal.probe(at=NOW)
    assert file_bytes(path) == before, "a broken journal was written to, at the latest when it closed"
    async with opened(path) as journal:
        assert (await journal.verify()).problems == ()
        again = await journal.record_intake(held_intake("2", order="P2", duplicates_since=WEEK_AGO))
        assert isinstance(again, IntakeDone | AlreadyTaken)
        assert [entry.order_key for entry in await journal.open_entries()] == ["P1^EHR", "P2"]


def file_bytes(path: Path) -> dict[str, bytes]:
    """What stands in the database and its WAL, and what a recovery would see."""
    return {name: Path(f"{path}{name}").read_bytes() for name in ("", "-wal") if Path(f"{path}{name}").exists()}


@pytest.mark.fault(5)
async def test_a_checkpoint_that_fails_stops_the_journal_and_loses_nothing(path: Path, vfs: FaultVfs) -> None:
    settings = WriterSettings(free_bytes_min=0, idle_seconds=0.02, checkpoint_pages=1)
    async with open_sqlite_journal(path, settings=SqliteSettings(vfs=vfs.name, writer=settings)) as journal:

        def broken(current: Operation, file: str) -> None:
            if current == "sync" and file == str(path):
                raise apsw.IOError

        vfs.fail = broken
        await take(journal, held_intake("1"))
        await until_status(journal, "io")
        vfs.fail = None
        with pytest.raises(JournalBroken):
            await journal.probe(at=NOW)
    async with opened(path) as journal:
        assert len(await journal.open_entries()) == 1


HOLD_THE_LOCK = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.fault(6)
async def test_a_lock_held_by_another_process_is_waited_for_briefly_and_then_refused(path: Path) -> None:
    async with opened(path) as journal:
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLD_THE_LOCK, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdout is not None
        assert await other.stdout.readline() == b"locked\n"
        started = asyncio.get_running_loop().time()
        with pytest.raises(JournalUnavailable) as caught:
            await journal.record_intake(held_intake("1"))
        waited = asyncio.get_running_loop().time() - started
        await other.communicate(b"")
        assert caught.value.reason is JournalReason.LOCKED
        assert waited < 2
        await take(journal, held_intake("1"))


async def test_a_read_that_fails_is_told_and_does_not_stop_the_writer(path: Path, vfs: FaultVfs) -> None:
    async with opened(path, vfs) as journal:
        await take(journal, held_intake("1"))

        def unreadable(operation: Operation, file: str) -> None:
            if operation == "read":
                raise apsw.IOError

        vfs.fail = unreadable
        with pytest.raises(JournalUnavailable):
            await journal.open_entries()
        vfs.fail = None
        assert len(await journal.open_entries()) == 1
        await take(journal, held_intake("2", order="P2"))


async def test_a_journal_whose_file_was_moved_away_stops_instead_of_writing_into_nowhere(path: Path) -> None:
    async with opened(path) as journal:
        path.rename(path.with_name("elsewhere.db"))
        await until_status(journal, "io")
        with pytest.raises(JournalBroken):
            await journal.probe(at=NOW)
