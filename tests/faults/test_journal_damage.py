"""A damaged file is noticed, kept aside and told about; a damaged message is never sent; a restored copy waits."""

import shutil
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from interceptor.action.lifecycle import LifecycleEvent, OrderState
from interceptor.journal.port import JournalCorrupt, JournalReason, JournalRefused, OutboxState
from interceptor.journal.sqlite import SqliteSettings, open_sqlite_journal
from interceptor.journal.sqlite_salvage import read_losses, set_aside
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.journal_values import NOW, change, held_intake, message_bytes, release, step, stored_intake, take

SETTINGS = SqliteSettings(writer=WriterSettings(free_bytes_min=0))
PAGE_SIZE = 4096


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed journal with 60 held orders and one queued message."""
    path = tmp_path / "journal" / "journal.db"
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        await journal.record_intake(stored_intake("0"))
        for number in range(1, 61):
            await take(journal, held_intake(str(number), order=f"P{number}"))
    return path


def flip_bytes(path: Path, needle: bytes) -> None:
    """Change one bit of the first place where *needle* stands."""
    content = bytearray(path.read_bytes())
    place = content.index(needle)
    content[place] ^= 1
    path.write_bytes(content)


def ruin_pages(path: Path, table: str) -> None:
    """Fill a page in the middle of *table* with zeros."""
    connection = apsw.Connection(str(path))
    pages = [
        row[0] for row in connection.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (table,))
    ]
    connection.close()
    with path.open("r+b") as file:
        file.seek((pages[len(pages) // 2] - 1) * PAGE_SIZE)
        file.write(bytes(PAGE_SIZE))


@pytest.mark.fault(7)
async def test_a_damaged_file_is_refused_at_start(path: Path) -> None:
    ruin_pages(path, "entry")
    with pytest.raises(JournalCorrupt):
        async with open_sqlite_journal(path, settings=SETTINGS):
            pytest.fail("a damaged journal was opened")


@pytest.mark.fault(7)
async def test_a_file_that_is_no_database_is_refused_at_start(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)
    with pytest.raises(JournalCorrupt):
        async with open_sqlite_journal(path, settings=SETTINGS):
            pytest.fail("rubbish was opened as a journal")


@pytest.mark.fault(7)
async def test_a_damaged_journal_is_kept_aside_and_what_can_be_read_is_told(path: Path) -> None:
    ruin_pages(path, "entry")
    damaged = path.read_bytes()
    kept = set_aside(path, at=NOW)
    assert kept.read_bytes() == damaged
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        assert await journal.open_entries() == ()
        await take(journal, held_intake("99"))
    report = read_losses(kept)
    numbers = {order.placer_order_number for order in report.orders}
    assert {"P1", "P60"} <= numbers, "one ruined page hid what stands before or behind it"
    assert not report.is_complete
    assert dict(report.waiting) == {"ris": 1}


async def test_a_sound_file_that_was_set_aside_is_told_whole(path: Path) -> None:
    report = read_losses(set_aside(path, at=NOW))
    assert len(report.orders) == 60
    assert report.is_complete


async def test_what_cannot_be_opened_at_all_is_told_as_incomplete(tmp_path: Path) -> None:
    assert not read_losses(tmp_path / "nothing.db").is_complete


@pytest.mark.fault(7)
@pytest.mark.hazard("H11")
async def test_a_message_whose_bytes_changed_on_the_disk_is_never_sent(path: Path) -> None:
    flip_bytes(path, message_bytes("0"))
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        await journal.record_intake(stored_intake("next"))
        row = await journal.claim_next("ris", at=NOW)
        assert row is not None
        assert row.control_id == b"next"
        (dead,) = await journal.dead_letters()
        assert (dead.last_error, dead.state) == ("damaged", OutboxState.DEAD)
        assert any("not those that were stored" in problem for problem in (await journal.verify()).problems)


@pytest.mark.fault(7)
@pytest.mark.hazard("H11")
async def test_an_order_whose_bytes_changed_on_the_disk_is_marked(path: Path) -> None:
    flip_bytes(path, message_bytes("7", order="P7"))
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        damaged = [entry.placer_order_number for entry in await journal.open_entries() if entry.damaged]
        assert damaged == ["P7"]


@pytest.mark.hazard("H26")
@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DROP TRIGGER audit_is_never_deleted; DELETE FROM audit WHERE number = 3", "audit 3 to 3: missing"),
        ("DROP TRIGGER audit_is_never_deleted; DELETE FROM audit WHERE number = 60", "version 1, but 0 steps"),
        ("DROP TRIGGER audit_never_changes; UPDATE audit SET detail = '{}' WHERE number = 5", "audit 5: changed"),
        ("UPDATE entry SET version = 2 WHERE entry_id = 4", "entry 4: version 2, but 1 steps"),
        ("UPDATE entry SET state = 'queued' WHERE entry_id = 4", "entry 4 is queued, but nothing"),
        ("PRAGMA foreign_keys = OFF; UPDATE entry SET message_id = 999 WHERE entry_id = 4", "refers to a missing message"),
    ],
)  # fmt: skip
async def test_verify_finds_what_was_tampered_with(path: Path, statement: str, problem: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        assert any(problem in found for found in (await journal.verify()).problems)


@pytest.mark.fault(38)
async def test_two_processes_cannot_write_to_one_journal(path: Path) -> None:
    async with open_sqlite_journal(path, settings=SETTINGS):
        with pytest.raises(JournalRefused) as caught:
            async with open_sqlite_journal(path, settings=SETTINGS):
                pytest.fail("two writers")
    assert caught.value.reason is JournalReason.IN_USE
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        assert len(await journal.open_entries()) == 60


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("INSERT INTO migration VALUES (999, 'future', 'x')", JournalReason.NEWER_SCHEMA),
        ("UPDATE migration SET sha256 = 'x' WHERE number = 1", JournalReason.CHANGED_MIGRATION),
    ],
)
async def test_a_schema_that_is_not_ours_is_refused(path: Path, statement: str, reason: JournalReason) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()
    with pytest.raises(JournalRefused) as caught:
        async with open_sqlite_journal(path, settings=SETTINGS):
            pytest.fail("a foreign schema was opened")
    assert caught.value.reason is reason


@pytest.mark.hazard("H20")
async def test_an_older_copy_that_is_put_back_is_noticed(path: Path) -> None:
    older = path.with_name("older")
    shutil.copy(path, older)
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        row = await journal.claim_next("ris", at=NOW, inflight=True)
        assert row is not None
        await journal.record_acked(row.outbox_id, at=NOW, acknowledgment=b"AA")
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        assert not await journal.is_restored()
    shutil.copy(older, path)
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        assert await journal.is_restored()
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        assert await journal.is_restored(), "a second start must not forget it"
        assert await journal.confirm_restored(at=NOW, actor="user:ann", delivered_until=None) == 0
        assert not await journal.is_restored()
        row = await journal.claim_next("ris", at=NOW)
        assert row is not None
        assert row.possible_duplicate


@pytest.mark.hazard("H20")
async def test_a_backup_that_is_put_back_waits_and_its_cut_off_makes_dead_letters(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "journal.db"
    copy.parent.mkdir()
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        entry = await journal.latest_entry_for("P1")
        assert entry is not None
        await change(journal, release(entry.entry_id, entry.content))
        await journal.record_intake(stored_intake("later", received_at=NOW + timedelta(hours=1)))
        await journal.back_up(copy, at=NOW, actor="user:ann")
        assert (await journal.audit_rows(limit=1000))[-1].action == "backed_up"
    async with open_sqlite_journal(copy, settings=SETTINGS) as journal:
        assert await journal.is_restored()
        assert (await journal.verify()).problems == ()
        assert await journal.confirm_restored(at=NOW, actor="user:ann", delivered_until=NOW) == 2
        assert {row.last_error for row in await journal.dead_letters()} == {"restored"}
        assert [row.control_id for row in await journal.undelivered_rows()] == [b"later"]
        released = await journal.entry(entry.entry_id)
        assert released is not None
        assert released.state is OrderState.DEAD
        assert (await journal.verify()).problems == ()


async def test_a_backup_is_made_while_others_write(path: Path, tmp_path: Path) -> None:
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        entry = await journal.latest_entry_for("P1")
        assert entry is not None
        await journal.back_up(tmp_path / "copy.db", at=NOW, actor="user:ann")
        await change(journal, step(entry.entry_id, LifecycleEvent.COMMENTED))
        with pytest.raises(FileExistsError):
            await journal.back_up(tmp_path / "copy.db", at=NOW, actor="user:ann")
    assert not (tmp_path / "copy.db.part").exists()
