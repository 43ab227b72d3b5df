"""The SQLite adapter does what every journal must do."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.journal_conformance import JournalConformance


# The markers stand here, where each adapter is named: the suite itself is no test module.
@pytest.mark.hazard("H4", "H5", "H12", "H15")
@pytest.mark.fault(19, 20, 44)
class TestSqliteJournal(JournalConformance):
    @pytest.fixture
    async def journal(self) -> AsyncIterator[SqlJournal]:
        settings = SqliteSettings(writer=WriterSettings(free_bytes_min=0))
        # In memory: what is asked here is not whether the disk keeps it (tests/faults), and a disk takes its time.
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            async with open_sqlite_journal(Path(folder) / "journal.db", settings=settings) as journal:
                yield journal
                assert (await journal.verify()).problems == ()
