"""The process whose plug is pulled: python -m tests.support.plugged_journal JOURNAL SEED START [weak|script].

Runs the load on the journal (a file, or what `any_database.address_of` says) and writes every line of the ledger to standard output, at once, each after
the nanosecond of the monotonic clock at which it became true: the ledger stands outside the disk that dies. "weak" is the setting that others ship, for a test of the test.
"script" says "ready", waits for a line, does one of everything that a journal does, and ends.
"""

import asyncio
import sys
import time

from interceptor.journal import sqlite_file
from interceptor.journal.port import JournalError
from interceptor.journal.sqlite import SqliteSettings
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.any_database import open_address
from tests.support.journal_load import Ledger, run_load, run_script
from tests.support.journal_values import NOW


def _tell(line: str) -> None:
    sys.stdout.write(f"{time.monotonic_ns()} {line}\n")
    sys.stdout.flush()


async def _run(address: str, seed: int, start: int, *, is_script: bool) -> None:
    settings = SqliteSettings(writer=WriterSettings(free_bytes_min=0, checkpoint_pages=50, checkpoint_pages_max=200))
    try:
        async with open_address(address, settings=settings) as journal:
            await journal.recover_outbox(at=NOW)
            if not is_script:
                await run_load(journal, Ledger(tell=_tell), seed=seed, start=start)
                return
            _tell("ready")
            await asyncio.to_thread(sys.stdin.readline)
            await run_script(journal, Ledger(tell=_tell), start=start)
    except JournalError:
        return


if __name__ == "__main__":
    if sys.argv[4:] == ["weak"]:
        sqlite_file._PRAGMAS = dict(sqlite_file._PRAGMAS) | {"synchronous": ("NORMAL", 1)}
    asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), is_script=sys.argv[4:] == ["script"]))
