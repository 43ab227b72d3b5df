"""The SQLite adapter does what every journal must do."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interceptor.journal.sqlite import SqliteJournal, SqliteSettings, open_sqlite_journal
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.journal_conformance import JournalConformance


class TestSqliteJournal(JournalConformance):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[SqliteJournal]:
        settings = SqliteSettings(writer=WriterSettings(free_bytes_min=0))
        async with open_sqlite_journal(tmp_path / "journal" / "journal.db", settings=settings) as journal:
            yield journal
            assert (await journal.verify()).problems == ()
