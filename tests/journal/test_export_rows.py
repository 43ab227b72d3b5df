"""Where the export of the audit trail stands: one of several nodes exports at a time, and the cursor never goes back."""

from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from interceptor.journal import export_rows
from tests.support.any_database import open_journal
from tests.support.journal_values import NOW, held_intake, take

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.hazard("H26")]
MINUTE = timedelta(minutes=1)


async def test_one_holder_exports_until_its_time_is_over_and_only_forward(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db") as journal:
        tables = journal.side_tables
        await tables.write(export_rows.begin)
        await take(journal, held_intake("1"))
        await take(journal, held_intake("2", order="P2"))
        waiting = (await tables.read(export_rows.read_position)).waiting
        assert waiting >= 2

        async def hold(holder: str, at: timedelta) -> bool:
            work = partial(export_rows.hold, holder=holder, at=NOW + at, until=NOW + at + MINUTE)
            return await tables.write(work)

        assert await hold("a", timedelta())
        assert not await hold("b", timedelta(seconds=30))
        last = (await journal.audit_rows())[-1].number
        assert not await tables.write(partial(export_rows.advance, holder="b", number=last))
        assert await tables.write(partial(export_rows.advance, holder="a", number=last))
        assert (await tables.read(export_rows.read_position)).waiting == 0
        await tables.write(partial(export_rows.advance, holder="a", number=last - 1))
        assert (await tables.read(export_rows.read_position)).waiting == 0
        assert await hold("b", 2 * MINUTE)
        assert not await tables.write(partial(export_rows.advance, holder="a", number=last + 1))
