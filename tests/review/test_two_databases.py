"""Accounts, sessions, claims and planned releases read and write alike on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from interceptor.control.protocol import ControlError
from interceptor.journal import account_rows, desk_rows
from interceptor.journal.postgres import open_postgres_journal
from interceptor.journal.sql import SqlConnection
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import open_sqlite_journal
from interceptor.journal.stored_form import digest_of
from interceptor.review.access_desk import AccessDesk, SessionLimits
from interceptor.review.account_desk import AccountDesk
from tests.support.journal_values import held_intake, take
from tests.support.postgres_server import empty_database, need_postgres

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def _take_step(connection: SqlConnection, *, step: int) -> bool:
    return account_rows.take_totp_step(connection, "ann", step)


@pytest.fixture(params=["sqlite", "postgres"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlJournal]:
    """An empty journal of each kind."""
    if request.param == "sqlite":
        async with open_sqlite_journal(tmp_path / "journal" / "journal.db") as opened:
            yield opened
        return
    need_postgres()
    with empty_database() as place:
        async with open_postgres_journal(place) as opened:
            yield opened


async def test_an_account_logs_in_once_by_its_link_and_its_sessions_end_with_its_rights(journal: SqlJournal) -> None:
    tables = journal.side_tables
    limits = SessionLimits(session_seconds_max=3600.0, glass_seconds=600.0)
    access = AccessDesk(tables, limits=limits, now=lambda: AT)
    accounts = AccountDesk(tables, now=lambda: AT)
    await accounts.account_add(
        {"account": "ann", "roles": ["reviewer"], "display_name": "Ann \N{LATIN SMALL LETTER E WITH ACUTE}"}
    )
    with pytest.raises(ControlError):
        await accounts.account_add({"account": "ann", "roles": ["reviewer"]})
    link = await access.login_link({"account": "ann"})
    opened = await access.link_use({"secret": link["secret"]})
    with pytest.raises(ControlError):
        await access.link_use({"secret": link["secret"]})
    digest = digest_of(str(opened["secret"]).encode())
    await access.session_touch({"seen": {digest.hex(): (AT + timedelta(minutes=1)).isoformat()}})
    await access.glass_break({"session": digest.hex(), "reason": "night", "actor": "ann"})
    session = await tables.read(lambda connection: account_rows.find_session(connection, digest))
    assert session is not None
    assert (session.account, session.roles, session.seen_at) == ("ann", ("reviewer",), AT + timedelta(minutes=1))
    assert (session.glass_reason, session.glass_until) == ("night", AT + timedelta(minutes=10))
    await accounts.account_change({"account": "ann", "roles": ["auditor"]})
    assert await tables.read(lambda connection: account_rows.find_session(connection, digest)) is None
    (account,) = await tables.read(account_rows.list_accounts)
    assert (account.display_name, account.roles) == ("Ann \N{LATIN SMALL LETTER E WITH ACUTE}", ("auditor",))


async def test_a_totp_step_is_used_up_once(journal: SqlJournal) -> None:
    await AccountDesk(journal.side_tables, now=lambda: AT).account_add({"account": "ann", "roles": ["reviewer"]})
    used = [await journal.side_tables.write(partial(_take_step, step=step)) for step in (7, 7, 6, 8)]
    assert used == [True, False, False, True]


async def test_claims_and_planned_releases_are_kept_and_forgotten(journal: SqlJournal) -> None:
    entry_id, tables = await take(journal, held_intake("1")), journal.side_tables
    claim = desk_rows.Claim(claimed_by="user:ann", claimed_until=AT + timedelta(minutes=10))
    for _ in range(2):
        await tables.write(lambda connection: desk_rows.set_claim(connection, entry_id, claim))
    assert await tables.read(lambda connection: desk_rows.find_claim(connection, entry_id)) == claim
    assert await tables.read(lambda connection: desk_rows.list_claims(connection, now=AT)) == {entry_id: claim}
    await tables.write(lambda connection: desk_rows.set_snooze(connection, entry_id, by="user:ann", until=AT))
    plan = desk_rows.PlannedRelease(
        entry_id=entry_id,
        order_key="P1",
        digest=digest_of(b"x"),
        actor="user:ann",
        reason_code="as_intended",
        comment="seen",
        planned_at=AT,
        due_at=AT + timedelta(seconds=10),
    )
    assert [await tables.write(lambda connection: desk_rows.insert_plan(connection, plan)) for _ in range(2)] == [
        True,
        False,
    ]
    assert await tables.read(desk_rows.list_plans) == (plan,)
    assert [await tables.write(lambda connection: desk_rows.drop_plan(connection, entry_id)) for _ in range(2)] == [
        True,
        False,
    ]
