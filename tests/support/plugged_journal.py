"""The process whose plug is pulled: python -m tests.support.plugged_journal FILE SEED START [weak].

Runs the load on the journal in FILE and writes every line of the ledger to standard output, at once, each after
the nanosecond of the monotonic clock at which it became true: the ledger stands outside the disk that dies. "weak" is the setting that others ship, for a test of the test.
"""

import asyncio
import sys
import time
from pathlib import Path

from interceptor.journal import sqlite_file
from interceptor.journal.port import JournalError
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.journal_load import Ledger, run_load
from tests.support.journal_values import NOW


def _tell(line: str) -> None:
    sys.stdout.write(f"{time.monotonic_ns()} {line}\n")
    sys.stdout.flush()


async def _run(path: Path, seed: int, start: int) -> None:
    settings = SqliteSettings(writer=WriterSettings(free_bytes_min=0, checkpoint_pages=50, checkpoint_pages_max=200))
    try:
        async with open_sqlite_journal(path, settings=settings) as journal:
            await journal.recover_outbox(at=NOW)
            await run_load(journal, Ledger(tell=_tell), seed=seed, start=start)
    except JournalError:
        return


if __name__ == "__main__":
    if sys.argv[4:] == ["weak"]:
        sqlite_file._PRAGMAS = dict(sqlite_file._PRAGMAS) | {"synchronous": ("NORMAL", 1)}
    asyncio.run(_run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
