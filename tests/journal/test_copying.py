"""A SQLite journal moved to PostgreSQL is the same journal."""

from contextlib import closing
from pathlib import Path

import pytest

from interceptor.journal.copying import copy_journal
from interceptor.journal.port import JournalRefused
from interceptor.journal.postgres import open_postgres_journal
from interceptor.journal.postgres_connection import connect, migrate
from interceptor.journal.sqlite import open_sqlite_journal
from interceptor.journal.sqlite_file import open_for_reading
from tests.support.journal_values import decision, held_intake, take
from tests.support.postgres_server import empty_database


async def test_a_copied_journal_goes_on_where_the_file_ended_and_is_copied_once(tmp_path: Path) -> None:
    """Also after a copy that was broken off; a database that is in use is left alone."""
    path = tmp_path / "journal.db"
    async with open_sqlite_journal(path) as journal:
        for number in ("1", "2", "3"):
            await take(journal, held_intake(number, order=f"P{number}"))
        await journal.record_decisions((decision(),))
        links = await journal.audit_rows()
    with empty_database() as place, closing(open_for_reading(path)) as source:
        target = connect(place)
        with closing(target.raw):
            migrate(target)
            copy_journal(source, target, tell=lambda *_: None)
            target.execute("DELETE FROM decision")
            target.execute("INSERT INTO meta (name, value) VALUES ('copying', '1')")
            told = copy_journal(source, target, tell=lambda *_: None)
            assert (told["entry"], told["decision"], told["audit"]) == (3, 1, len(links))
            with pytest.raises(JournalRefused, match="already"):
                copy_journal(source, target, tell=lambda *_: None)
        async with open_postgres_journal(place) as journal:
            assert await journal.audit_rows() == links
            assert [entry.order_key for entry in await journal.open_entries()] == ["P1", "P2", "P3"]
            assert await take(journal, held_intake("4", order="P4")) == 4
            assert (await journal.verify()).problems == ()
