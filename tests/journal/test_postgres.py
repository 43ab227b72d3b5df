"""The PostgreSQL adapter does what every journal must do."""

from collections.abc import AsyncIterator

import pytest

from interceptor.journal.postgres import open_postgres_journal
from interceptor.journal.sql_journal import SqlJournal
from tests.support.journal_conformance import JournalConformance
from tests.support.postgres_server import empty_database


@pytest.mark.hazard("H4", "H5", "H12", "H15")
@pytest.mark.fault(19, 20, 44)
class TestPostgresJournal(JournalConformance):
    @pytest.fixture
    async def journal(self) -> AsyncIterator[SqlJournal]:
        with empty_database() as place:
            async with open_postgres_journal(place) as journal:
                yield journal
                assert (await journal.verify()).problems == ()
