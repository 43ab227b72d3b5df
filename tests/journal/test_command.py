"""`interceptor journal` reads file or database beside a running node or without one, and says so when it cannot change it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.journal.sqlite import journal_path
from tests.support.any_database import database_of, open_journal
from tests.support.cluster_site import database_table
from tests.support.command import run_command
from tests.support.journal_values import NOW, held_intake, stored_intake, take
from tests.support.postgres_server import empty_database, shared_server

CONFIG = """
[node]
name = "test"
data_directory = "{folder}"

{database}[route.main]
listen = "127.0.0.1:0"
destination = "ris"

[destination.ris]
address = "127.0.0.1:1"
"""


@pytest.fixture
async def file(database: str, tmp_path: Path) -> Path:
    """The configuration of a node that does not run, whose journal holds one held order and one dead letter."""
    table = database_table(database_of(journal_path(tmp_path)), tmp_path)
    (tmp_path / "node.toml").write_text(CONFIG.format(folder=tmp_path, database=table), encoding="utf-8")
    async with open_journal(journal_path(tmp_path)) as journal:
        await take(journal, held_intake("1", order="SECRETORDER^EHR"))
        await take(journal, held_intake("2", order="P2", state=OrderState.QUEUED))
        row = await journal.claim_next("ris", at=NOW, inflight=True)
        assert row is not None
        await journal.record_dead(row.outbox_id, at=NOW, error="AR", acknowledgment=b"AR")
        await journal.record_intake(stored_intake("3"))
    return tmp_path / "node.toml"


def test_show_counts_what_there_is(file: Path) -> None:
    shown = run_command("journal", "show", "-c", file, "--json")
    assert shown.code == 0, shown.errors
    found = json.loads(shown.output)
    assert found["orders"]["held"] == 1
    assert found["orders"]["dead"] == 1
    assert found["destinations"]["ris"]["waiting"] == 1
    assert found["dead_letters"] == 1
    assert "SECRETORDER" not in run_command("journal", "show", "-c", file).output


def test_verify_says_sound_and_prints_the_link_that_a_later_check_can_expect(file: Path) -> None:
    first = run_command("journal", "verify", "-c", file, "--json")
    assert first.code == 0
    link = json.loads(first.output)["audit"]
    assert run_command("journal", "verify", "-c", file, "--expect", link).code == 0
    other = run_command("journal", "verify", "-c", file, "--expect", "1:" + "0" * 64)
    assert other.code == 1
    assert "noted earlier" in other.output
    assert run_command("journal", "verify", "-c", file, "--expect", "nonsense").code == 2


def change_audit(path: Path) -> None:
    """What somebody could do who has the file or the database."""
    change = "UPDATE audit SET actor = 'user:mallory' WHERE number = 1"
    place = database_of(path)
    if place is not None:
        with shared_server().connect(place.database) as connection:
            connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
            connection.execute(change.encode())
        return
    file = apsw.Connection(str(path))
    file.execute(f"DROP TRIGGER audit_never_changes; {change}")
    file.close()


def test_verify_finds_a_changed_audit_row(file: Path) -> None:
    change_audit(journal_path(file.parent))
    found = run_command("journal", "verify", "-c", file)
    assert found.code == 1
    assert "audit 1: changed" in found.output


def test_a_backup_is_a_journal_that_can_be_verified(file: Path, database: str) -> None:
    target = file.parent / "copy.db"
    if database == "postgres":
        refused = run_command("journal", "backup", target, "-c", file)
        assert refused.code != 0
        assert "PostgreSQL" in refused.errors
        return
    assert run_command("journal", "backup", target, "-c", file).code == 0
    assert target.stat().st_mode & 0o777 == 0o600
    assert run_command("journal", "verify", "--file", target).code == 0
    assert run_command("journal", "backup", target, "-c", file).code == 2


def test_dead_letters_are_listed_without_a_node(file: Path) -> None:
    listed = run_command("journal", "dead", "list", "-c", file, "--json")
    assert json.loads(listed.output)["error"] == "AR"
    assert "AR" in run_command("journal", "dead", "list", "-c", file).output


@pytest.mark.parametrize("arguments", [("retry", "1"), ("discard", "1", "--reason", "x")], ids=lambda each: each[0])
def test_what_changes_something_needs_the_node_and_says_so(file: Path, arguments: tuple[str, ...]) -> None:
    result = run_command("journal", "dead", *arguments, "-c", file)
    assert result.code == 1
    assert result.errors
    assert json.loads(run_command("journal", "dead", "list", "-c", file, "--json").output)["outbox"] == 1


async def test_prune_works_without_a_node(file: Path) -> None:
    path = journal_path(file.parent)
    old = datetime.now(UTC) - timedelta(days=40)
    async with open_journal(path) as journal:
        row = await journal.claim_next("ris", at=old, inflight=True)
        assert row is not None
        await journal.record_acked(row.outbox_id, at=old, acknowledgment=b"AA")
    pruned = run_command("journal", "prune", "-c", file, "--json")
    assert pruned.code == 0, pruned.errors
    assert json.loads(pruned.output)["outbox_count"] == 1


async def test_prune_refuses_while_another_process_writes(file: Path, database: str) -> None:
    if database == "postgres":
        pytest.skip("a database is made for several that write; prune asks a running node")
    async with open_journal(journal_path(file.parent)):
        result = run_command("journal", "prune", "-c", file)
    assert result.code == 1
    assert "in_use" in result.errors


@pytest.mark.hazard("H20")
def test_a_copy_that_was_put_back_is_confirmed_once(file: Path, database: str) -> None:
    if database == "postgres":
        pytest.skip("PostgreSQL is put back by its own tools, and is not a copy of ours")
    copy = file.parent / "copy.db"
    assert run_command("journal", "confirm-restored", "-c", file).code == 1
    assert run_command("journal", "backup", copy, "-c", file).code == 0
    journal_path(file.parent).unlink()
    copy.rename(journal_path(file.parent))
    confirmed = run_command("journal", "confirm-restored", "-c", file, "--delivered-until", "2100-01-01T00:00:00")
    assert confirmed.code == 0, confirmed.errors
    assert "1 dead letters" in confirmed.output
    assert run_command("journal", "confirm-restored", "-c", file).code == 1
    assert len(run_command("journal", "dead", "list", "-c", file, "--json").json_lines) == 2


def test_a_journal_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    result = run_command("journal", "show", "--file", tmp_path / "none.db")
    assert result.code == 1
    assert "There is no journal" in result.errors


@pytest.mark.parametrize("command", [("journal", "show"), ("journal", "verify"), ("held", "list")], ids=" ".join)
def test_a_database_without_tables_is_a_journal_that_was_never_made(tmp_path: Path, command: tuple[str, ...]) -> None:
    with empty_database() as place:
        table = database_table(place, tmp_path)
        (tmp_path / "node.toml").write_text(CONFIG.format(folder=tmp_path, database=table), encoding="utf-8")
        result = run_command(*command, "-c", tmp_path / "node.toml")
    assert "Traceback" not in result.errors + result.output
    assert "no journal" in result.errors or "No order waits" in result.output
