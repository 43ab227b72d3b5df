"""The file: its settings read back, its place, its schema equal to the enums, and what its triggers forbid."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import apsw
import pytest

from interceptor.action.lifecycle import OPEN_STATES, WAITING_STATES, OrderState
from interceptor.journal import sqlite_file
from interceptor.journal.migration import load_migrations
from interceptor.journal.port import JournalReason, JournalRefused, OutboxState, OutgoingKind
from interceptor.journal.sqlite import SqliteSettings, journal_path, open_sqlite_journal
from interceptor.journal.sqlite_file import (
    FileSettings,
    filesystem_kind,
    open_for_reading,
    open_for_writing,
    prepare_place,
)
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.journal_values import held_intake, stored_intake, take

SETTINGS = SqliteSettings(writer=WriterSettings(free_bytes_min=0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path)


@pytest.fixture
def connection(path: Path) -> Iterator[apsw.Connection]:
    settings = FileSettings(path=path)
    prepare_place(settings)
    connection = open_for_writing(settings)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("trusted_schema", 0),
        ("cell_size_check", 1),
        ("mmap_size", 0),
        ("busy_timeout", 250),
        ("journal_size_limit", 64 * 1024 * 1024),
        ("wal_autocheckpoint", 0),
    ],
)
@pytest.mark.hazard("H3")
def test_the_writer_runs_with_the_settings_that_the_promises_stand_on(
    connection: apsw.Connection, pragma: str, value: object
) -> None:
    assert connection.pragma(pragma) == value


def test_a_setting_that_does_not_hold_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = FileSettings(path=path)
    prepare_place(settings)
    unreal = dict(sqlite_file._PRAGMAS) | {"journal_mode": ("WAL", "something else")}
    monkeypatch.setattr(sqlite_file, "_PRAGMAS", unreal)
    with pytest.raises(JournalRefused) as caught:
        open_for_writing(settings)
    assert caught.value.reason is JournalReason.SETTINGS


def test_a_reader_cannot_write(connection: apsw.Connection, path: Path) -> None:
    reader = open_for_reading(path)
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM meta")
    reader.close()


@pytest.mark.hazard("H14")
async def test_nobody_else_can_read_the_files(path: Path) -> None:
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        await take(journal, held_intake("1"))
        assert path.parent.stat().st_mode & 0o777 == 0o700
        modes = {file.name: file.stat().st_mode & 0o077 for file in path.parent.iterdir()}
        assert {f"{path.name}{suffix}" for suffix in ("", "-wal", "-shm", "-reserve", "-epoch", "-owner")} <= set(modes)
        open_to_others = {name for name, mode in modes.items() if mode and not name.endswith("-epoch")}
        assert open_to_others == set()


@pytest.mark.hazard("H14")
async def test_what_was_open_to_others_is_closed_when_it_is_ours_alone(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    path.touch(mode=0o644)
    async with open_sqlite_journal(path, settings=SETTINGS):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_folder_that_holds_other_things_too_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    (path.parent / "somebody-elses").touch()
    async with open_sqlite_journal(path, settings=SETTINGS):
        assert path.parent.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_filesystem_is_refused_unless_the_site_insists(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "filesystem_kind", lambda _: kind)
    with pytest.raises(JournalRefused) as caught:
        prepare_place(FileSettings(path=path))
    assert caught.value.reason is JournalReason.NETWORK_FILESYSTEM
    prepare_place(FileSettings(path=path, allow_network_filesystem=True))


def test_the_kind_of_filesystem_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    inner = tmp_path / "data set"
    inner.mkdir()
    escaped = str(inner.resolve()).replace(" ", "\\040")
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        f"2 1 0:5 / {escaped} rw,relatime shared:1 - nfs4 server:/x rw\n"
        f"3 1 0:6 / {escaped}-other rw - tmpfs tmpfs rw\n"
    )
    assert filesystem_kind(inner, mounts) == "nfs4"
    assert filesystem_kind(tmp_path, mounts) == "ext4"
    assert filesystem_kind(tmp_path, tmp_path / "none") == ""


def checked_words(connection: apsw.Connection, table: str, column: str) -> set[str]:
    """The words that a table's CHECK allows in a column."""
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchall()[0]
    match = re.search(rf"^    {column} TEXT NOT NULL\s+CHECK \({column} IN \(([^)]*)\)\)", str(sql), re.MULTILINE)
    assert match is not None, (table, column)
    return set(re.findall(r"'(\w+)'", match[1]))


def test_the_words_in_the_schema_are_those_of_the_enums(connection: apsw.Connection) -> None:
    assert checked_words(connection, "entry", "state") == set(OrderState)
    assert checked_words(connection, "outbox", "state") == set(OutboxState)
    assert checked_words(connection, "outbox", "kind") == set(get_args(OutgoingKind))


def test_the_schema_knows_which_states_wait_and_which_are_open(connection: apsw.Connection) -> None:
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'entry'").fetchall()[0]
    waits = re.search(r"CHECK \(state NOT IN \(([^)]*)\) OR deadline_at IS NOT NULL\)", str(sql))
    is_open = re.search(r"CHECK \(\(state IN \(([^)]*)\)\) = \(closed_at IS NULL\)\)", str(sql))
    assert waits is not None
    assert is_open is not None
    assert set(re.findall(r"'(\w+)'", waits[1])) == WAITING_STATES
    assert set(re.findall(r"'(\w+)'", is_open[1])) == OPEN_STATES


def test_every_table_is_strict(connection: apsw.Connection) -> None:
    loose = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict"
    )
    assert {name for (name,) in loose} <= {"sqlite_schema", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4"}


QUEUE_AGAIN = """
INSERT INTO outbox (destination, kind, state, message_id, content, digest, control_id, queued_at, changed_at)
SELECT destination, kind, state, message_id, content, digest, control_id, queued_at, changed_at FROM outbox
"""


@pytest.mark.hazard("H3")
@pytest.mark.hazard("H11")
@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE message SET raw = x'00'", "bytes of a message never change"),
        ("UPDATE message SET digest = zeroblob(32)", "bytes of a message never change"),
        ("DELETE FROM message", "undelivered message is never deleted"),
        ("UPDATE outbox SET content = x'00'", "bytes of an outgoing message never change"),
        ("UPDATE outbox SET control_id = x'00'", "bytes of an outgoing message never change"),
        ("DELETE FROM outbox", "undelivered message is never deleted"),
        ("UPDATE outbox SET state = 'dead'; DELETE FROM outbox", "undelivered message is never deleted"),
        ("UPDATE entry SET content = x'00'", "content of an order changes only"),
        ("DELETE FROM entry", "open order is never deleted"),
        ("UPDATE entry SET deadline_at = NULL", "CHECK"),
        ("UPDATE entry SET state = 'elsewhere'", "CHECK"),
        ("UPDATE entry SET state = 'delivered'", "CHECK"),
        ("UPDATE audit SET actor = 'user:other'", "only appended to"),
        ("DELETE FROM audit", "only appended to"),
        (QUEUE_AGAIN, "UNIQUE"),
    ],
)  # fmt: skip
async def test_the_schema_itself_forbids_what_must_never_happen(path: Path, statement: str, refusal: str) -> None:
    async with open_sqlite_journal(path, settings=SETTINGS) as journal:
        await take(journal, held_intake("1"))
        await journal.record_intake(stored_intake("2"))
    connection = apsw.Connection(str(path))
    with pytest.raises(apsw.ConstraintError, match=refusal):
        connection.execute(statement)
    connection.close()


def test_the_migrations_that_ran_are_noted_with_their_hash(connection: apsw.Connection) -> None:
    noted = connection.execute("SELECT number, name, sha256 FROM migration ORDER BY number").fetchall()
    assert noted == [(each.number, each.name, each.sha256) for each in load_migrations("sqlite")]


async def test_opening_again_changes_nothing_in_the_schema(path: Path) -> None:
    schemas = []
    for _ in range(2):
        async with open_sqlite_journal(path, settings=SETTINGS):
            reader = open_for_reading(path)
            schemas.append(reader.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall())
            reader.close()
    assert schemas[0] == schemas[1]
