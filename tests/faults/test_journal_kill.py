"""kill -9 under load: what the dead process had acknowledged is there, and nothing arrives twice but once per kill."""

import asyncio
import random
import sys
import tempfile
from pathlib import Path

import pytest

from interceptor.journal.sqlite import SqliteSettings
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.any_database import address_of, open_journal
from tests.support.counts import tell
from tests.support.journal_load import Ledger, deliver_what_waits, missing_from

ROOT = Path(__file__).parents[2]
SETTINGS = SqliteSettings(writer=WriterSettings(free_bytes_min=0))


async def run_until_killed(path: Path, ledger: Ledger, rng: random.Random) -> None:
    """Start the loaded process, kill it after some lines of its ledger, and note every whole line that it told."""
    numbers = (str(rng.randrange(10**6)), str(len(ledger.accepted) * 10))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.plugged_journal",
        address_of(path),
        *numbers,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        for _ in range(rng.randrange(5, 300)):
            note(ledger, await process.stdout.readline())
        process.kill()
        while (line := await process.stdout.readline()).endswith(b"\n"):
            note(ledger, line)
        await process.wait()
    ledger.crashes += 1


def note(ledger: Ledger, line: bytes) -> None:
    """A line of the process: the time, and what became true."""
    ledger.note(line.decode().strip().partition(" ")[2])


async def run_lane(kill_count: int, capsys: pytest.CaptureFixture[str], database: str) -> None:
    rng = random.Random(9)
    ledger = Ledger()
    problems: list[str] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "journal.db"
        for _ in range(kill_count):
            await run_until_killed(path, ledger, rng)
        async with open_journal(path, settings=SETTINGS) as journal:
            problems += (await journal.verify()).problems
            problems += await missing_from(journal, ledger)
            await deliver_what_waits(journal, ledger)
        problems += ledger.problems()
    tell(
        capsys,
        f"{database}, killed: {ledger.crashes} times, {len(ledger.accepted)} acknowledged, {len(problems)} lost or wrong,"
        f" {len(ledger.received)} deliveries, {ledger.duplicate_count()} duplicates",
    )
    assert problems == []
    assert len(ledger.accepted) > kill_count * 5


@pytest.mark.fault(1)
@pytest.mark.hazard("H3")
@pytest.mark.hazard("H5")
async def test_a_killed_journal_has_lost_nothing(capsys: pytest.CaptureFixture[str], database: str) -> None:
    await run_lane(5, capsys, database)


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.fault(1)
async def test_a_journal_that_is_killed_often_has_lost_nothing(
    capsys: pytest.CaptureFixture[str], database: str
) -> None:
    await run_lane(100, capsys, database)
