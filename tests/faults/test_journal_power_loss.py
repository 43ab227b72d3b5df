"""Power loss at any write: nothing that was acknowledged is lost, nothing arrives twice but once per crash.

The journal runs on its own schema and settings over a VFS that tears what was not synced. Each round is a new
file that is killed several times, each time at another write, and delivered to the end after the last.
"""

import random
import tempfile
from pathlib import Path

import pytest

from interceptor.journal import sqlite_file
from interceptor.journal.port import JournalError
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.counts import tell
from tests.support.crash_vfs import crash_vfs
from tests.support.journal_load import Ledger, deliver_what_waits, missing_from, run_load
from tests.support.journal_values import NOW

# Checkpoints come early, so that crashes hit them too.
WRITER = WriterSettings(free_bytes_min=0, checkpoint_pages=8, checkpoint_pages_max=40, idle_seconds=0.01)
CRASHES_PER_FILE = 3


async def crash_once(path: Path, ledger: Ledger, rng: random.Random, name: str) -> bool:
    """One life of the journal, ended by power loss; False when it ended before it was open."""
    with crash_vfs(name) as vfs:
        settings = SqliteSettings(vfs=name, writer=WRITER)
        vfs.crash_at = rng.randrange(1, 800)
        was_open = False
        try:
            async with open_sqlite_journal(path, settings=settings) as journal:
                was_open = True
                await journal.recover_outbox(at=NOW)
                await run_load(journal, ledger, seed=rng.randrange(10**6), start=len(ledger.accepted) * 10)
        except JournalError:
            pass
        vfs.lose_power(rng)
    ledger.crashes += 1
    return was_open


async def run_crashes(count: int, seed: int) -> tuple[Ledger, list[str], int]:
    """One file, *count* crashes, then everything delivered; the ledger, what was wrong, and crashes while open."""
    rng = random.Random(seed)
    ledger = Ledger()
    open_count = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "journal" / "journal.db"
        for number in range(count):
            open_count += await crash_once(path, ledger, rng, f"crash-{seed}-{number}")
        async with open_sqlite_journal(path, settings=SqliteSettings(writer=WRITER)) as journal:
            problems = list((await journal.verify()).problems)
            problems += await missing_from(journal, ledger)
            await deliver_what_waits(journal, ledger)
            problems += ledger.problems()
            problems += (await journal.verify()).problems
    return ledger, problems, open_count


async def run_lane(crash_count: int, capsys: pytest.CaptureFixture[str]) -> None:
    accepted = received = duplicates = crashes = while_open = 0
    for seed in range(crash_count // CRASHES_PER_FILE):
        ledger, problems, open_count = await run_crashes(CRASHES_PER_FILE, seed)
        assert problems == [], f"seed {seed}"
        accepted += len(ledger.accepted)
        received += len(ledger.received)
        duplicates += ledger.duplicate_count()
        crashes += ledger.crashes
        while_open += open_count
    tell(
        capsys,
        f"power loss: {crashes} crashes ({while_open} under load), {accepted} acknowledged, 0 lost,"
        f" {received} deliveries, {duplicates} duplicates",
    )
    assert crashes == crash_count
    assert accepted > crash_count, "the crashes came too early to show anything"
    assert while_open > crash_count // 2


@pytest.mark.fault(2)
@pytest.mark.fault(5)
@pytest.mark.hazard("H3")
async def test_power_loss_loses_nothing_that_was_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    await run_lane(60, capsys)


async def test_this_lane_sees_what_a_weaker_setting_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lane with the setting that others ship: it must find acknowledged messages that are gone."""
    weaker = dict(sqlite_file._PRAGMAS) | {"synchronous": ("NORMAL", 1)}
    monkeypatch.setattr(sqlite_file, "_PRAGMAS", weaker)
    for seed in range(30):
        _, problems, _ = await run_crashes(CRASHES_PER_FILE, seed)
        if any("gone" in problem or "never arrived" in problem for problem in problems):
            return
    pytest.fail("30 files with a weaker setting, and nothing was lost: the lane is blind")


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.fault(2)
@pytest.mark.hazard("H3")
async def test_power_loss_many_times_loses_nothing_that_was_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    await run_lane(600, capsys)
