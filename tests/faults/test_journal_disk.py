"""A real disk: the plug is pulled under load, and it runs full."""

import asyncio
import random
import sys
from functools import cache
from pathlib import Path

import pytest

from interceptor.action.lifecycle import LifecycleEvent
from interceptor.journal.port import ChangeDone, IntakeDone, Journal, JournalReason, JournalUnavailable
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support import loop_disk
from tests.support.counts import tell
from tests.support.journal_load import Ledger, deliver_what_waits, missing_from
from tests.support.journal_values import NOW, held_intake, intake, message_bytes, new_entry, step, take

ROOT = Path(__file__).parents[2]
SETTINGS = SqliteSettings(writer=WriterSettings(free_bytes_min=0, space_check_seconds=0.0, idle_seconds=0.02))
MiB = 1024 * 1024


@cache
def why_not() -> str:
    return loop_disk.missing()


@pytest.fixture(autouse=True)
def _needs_a_loop_disk() -> None:
    if why_not():
        pytest.skip(why_not())


async def run_until_pulled(disk: loop_disk.LoopDisk, path: Path, ledger: Ledger, rng: random.Random) -> None:
    """Start the loaded process, pull the plug while it works, kill it, and note what it had told."""
    arguments = (
        "-m",
        "tests.support.plugged_journal",
        str(path),
        str(rng.randrange(10**6)),
        str(len(ledger.accepted) * 10),
    )
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    wanted = rng.randrange(5, 400)
    async with asyncio.timeout(60):
        for _ in range(wanted):
            ledger.note((await process.stdout.readline()).decode().strip())
        disk.pull_the_plug()
        # What it still tells was durable before the plug was pulled.
        while line := await process.stdout.readline():
            ledger.note(line.decode().strip())
        await process.wait()
    ledger.crashes += 1


async def run_lane(pull_count: int, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(2)
    ledger = Ledger()
    problems: list[str] = []
    with loop_disk.loop_disk(size_mib=64) as disk:
        path = disk.folder / "journal" / "journal.db"
        for _ in range(pull_count):
            await run_until_pulled(disk, path, ledger, rng)
            disk.unmount()
            disk.mount()
            async with open_sqlite_journal(path, settings=SETTINGS) as journal:
                problems += (await journal.verify()).problems
                problems += await missing_from(journal, ledger)
        async with open_sqlite_journal(path, settings=SETTINGS) as journal:
            await deliver_what_waits(journal, ledger)
        problems += ledger.problems()
    tell(
        capsys,
        f"plug pulled: {ledger.crashes} times, {len(ledger.accepted)} acknowledged, {len(problems)} lost or wrong,"
        f" {len(ledger.received)} deliveries, {ledger.duplicate_count()} duplicates",
    )
    assert problems == []
    assert len(ledger.accepted) > pull_count * 5, "the plug was pulled too early to show anything"


@pytest.mark.fault(2)
@pytest.mark.hazard("H3")
async def test_pulling_the_plug_loses_nothing_that_was_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    await run_lane(3, capsys)


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.fault(2)
@pytest.mark.hazard("H3")
async def test_pulling_the_plug_many_times_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    await run_lane(20, capsys)


async def fill(journal: Journal, ballast: Path) -> int:
    """Take big orders until the disk is full, with something else that fills it too; how many were taken."""
    for number in range(1000):
        raw = message_bytes(f"B{number}", order="B") + b"x" * 100_000
        value = intake(raw, f"B{number}", entries=(new_entry(raw, order_key=f"B{number}"),))
        if number == 20:
            ballast.write_bytes(bytes(4 * MiB))
        done = (await asyncio.gather(journal.record_intake(value), return_exceptions=True))[0]
        if isinstance(done, IntakeDone):
            continue
        assert isinstance(done, JournalUnavailable)
        assert done.reason is JournalReason.FULL
        return number
    pytest.fail("the disk is never full")


@pytest.mark.fault(3)
@pytest.mark.hazard("H25")
async def test_a_disk_that_runs_full_lets_orders_leave_and_recovers_without_a_restart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with loop_disk.loop_disk(size_mib=16) as disk:
        path = disk.folder / "journal" / "journal.db"
        async with open_sqlite_journal(path, settings=SETTINGS) as journal:
            entry_id = await take(journal, held_intake("1"))
            ballast = disk.folder / "ballast"
            taken_count = await fill(journal, ballast)
            assert journal.status == "full"
            assert len(await journal.open_entries()) == taken_count + 1, "reads must go on"
            leave = step(entry_id, LifecycleEvent.CANCELLED, actor="placer")
            assert isinstance(await journal.apply_change(leave, at=NOW), ChangeDone)
            ballast.unlink()
            async with asyncio.timeout(5):
                while journal.status != "ok":  # noqa: ASYNC110 - the writer's thread changes it and tells nobody
                    await asyncio.sleep(0.01)
            await take(journal, held_intake("after", order="after"))
            assert (await journal.verify()).problems == ()
    tell(capsys, f"full disk: {taken_count} orders taken before, none lost, taken again after")
