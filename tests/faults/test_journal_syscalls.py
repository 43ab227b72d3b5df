"""SIGKILL at every system call by which a commit reaches the disk or the server: what was acknowledged is there.

strace kills our process as it enters the n-th call, for each n, while it does one of everything that a journal does; the
server, where there is one, lives on. After each kill the same checks as for any other: nothing lost, nothing altered, nothing
in another order, at most one duplicate for each kill.
"""

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from interceptor.journal.sqlite import SqliteSettings
from interceptor.journal.sqlite_writer import WriterSettings
from tests.faults.test_journal_kill import note
from tests.support.any_database import address_of, open_journal
from tests.support.counts import tell
from tests.support.journal_load import Ledger, deliver_what_waits, missing_from

pytestmark = [pytest.mark.hazard("H3", "H5", "H26"), pytest.mark.fault(1)]
ROOT = Path(__file__).parents[2]
SETTINGS = SqliteSettings(writer=WriterSettings(free_bytes_min=0))
CALLS = "%desc,%file,%network"
"""Everything that touches a file or a socket, in whichever thread; waiting for another thread is not among them."""
NEVER = ("read", 65_535)
"""The largest number that strace counts to."""
_CALL = re.compile(r"^(\d+) +(\w+)\(", re.MULTILINE)
SCRIPT_SIZE = 10
"""Numbers of messages that one run of the script may use."""


def need_strace() -> None:
    """Skip where there is none; under CI its absence is a failure."""
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is missing: apt-get install strace")
        pytest.skip("strace is missing: apt-get install strace")


async def run_script(path: Path, ledger: Ledger, point: tuple[str, int]) -> Counter[str]:
    """Run the script, killed as a thread enters that call for that time; how often the threads made each call at most."""
    start = len(ledger.accepted) * SCRIPT_SIZE + ledger.crashes * SCRIPT_SIZE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.plugged_journal", address_of(path), "0", str(start), "script"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    with tempfile.NamedTemporaryFile() as calls:
        async with asyncio.timeout(120):
            assert (await process.stdout.readline()).endswith(b" ready\n")
            tracer = await asyncio.create_subprocess_exec(
                *("strace", "-f", "-p", str(process.pid), "-o", calls.name, "-e", f"trace={CALLS}"),
                *("-e", f"inject={point[0]}:signal=SIGKILL:when={point[1]}"),
                stderr=asyncio.subprocess.PIPE,
            )
            assert tracer.stderr is not None
            # One line when every thread is held; before that a call could go by uncounted.
            assert b"attached" in await tracer.stderr.readline()
            process.stdin.write(b"go\n")
            while (line := await process.stdout.readline()).endswith(b"\n"):
                note(ledger, line)
            ledger.crashes += await process.wait() != 0
            await tracer.wait()
        text = Path(calls.name).read_text(encoding="utf-8", errors="replace")
    counts: Counter[str] = Counter()
    for (_, call), count in Counter(_CALL.findall(text)).items():
        counts[call] = max(counts[call], count)
    return counts


async def check(path: Path, ledger: Ledger) -> list[str]:
    """What is wrong with the journal and with what was delivered, once all that waits is delivered."""
    async with open_journal(path, settings=SETTINGS) as journal:
        found = [*(await journal.verify()).problems, *await missing_from(journal, ledger)]
        await deliver_what_waits(journal, ledger)
    return found + ledger.problems()


async def sweep(database: str, capsys: pytest.CaptureFixture[str], *, point_count_max: int) -> None:
    need_strace()
    ledger, problems = Ledger(), list[str]()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "journal.db"
        counts = await run_script(path, ledger, NEVER)
        assert ledger.crashes == 0
        # strace counts each kind of call, in each thread, for itself.
        every = [(call, number + 1) for call in sorted(counts) for number in range(counts[call])]
        points = every[:: max(1, -(-len(every) // point_count_max))]
        for point in points:
            await run_script(path, ledger, point)
            problems += [f"killed at {point}: {one}" for one in await check(path, ledger)]
    tell(
        capsys,
        f"{database}, killed at {ledger.crashes} of {len(every)} system calls: {len(ledger.accepted)} acknowledged,"
        f" {len(problems)} lost or wrong, {len(ledger.received)} deliveries, {ledger.duplicate_count()} duplicates",
    )
    assert problems == []
    # How often a thread looks whether there is work is not the same twice.
    assert ledger.crashes >= len(points) * 0.7


@pytest.mark.timeout(300)
async def test_killed_at_calls_all_over_a_commit_the_journal_has_lost_nothing(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await sweep(database, capsys, point_count_max=10)


@pytest.mark.deep
@pytest.mark.timeout(3600)
async def test_killed_at_hundreds_of_calls_of_a_commit_the_journal_has_lost_nothing(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await sweep(database, capsys, point_count_max=200)
