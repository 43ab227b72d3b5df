"""`interceptor user`: accounts from the command line, and the link that lets their people in."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from interceptor.cli.main import build_app
from interceptor.cli.user import RoleWord
from interceptor.control.server import serve_control
from interceptor.journal.sqlite import open_sqlite_journal
from interceptor.review.access_desk import AccessDesk, SessionLimits
from interceptor.review.account_desk import AccountDesk
from interceptor.review.rights import Role
from tests.support.review import Clock

CONFIG = """
[node]
data_directory = "data"
[route.orders]
listen = "127.0.0.1:2575"
destination = "ris"
[destination.ris]
address = "127.0.0.1:2576"
[review]
public_url = "https://review.example.org"
"""


@contextmanager
def desks(folder: Path) -> Iterator[Path]:
    """The account commands of a node, served in a thread; gives the configuration file."""
    file, ready, stop = folder / "c.toml", threading.Event(), threading.Event()
    file.write_text(CONFIG, encoding="utf-8")

    async def serve() -> None:
        clock = Clock()
        async with open_sqlite_journal(folder / "data" / "journal" / "journal.db") as journal:
            limits = SessionLimits(session_seconds_max=3600.0, glass_seconds=60.0)
            access = AccessDesk(journal.side_tables, limits=limits, now=clock.now)
            accounts = AccountDesk(journal.side_tables, now=clock.now)
            handlers = {**access.handlers(), **accounts.handlers()}
            async with serve_control(folder / "data" / "control" / "control.sock", handlers):
                ready.set()
                await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield file
    finally:
        stop.set()
        thread.join(30)


def run(file: Path, *words: str) -> Any:
    return CliRunner().invoke(build_app(), ["user", *words, "-c", str(file)])


def test_the_roles_of_the_command_line_are_those_of_the_rights_table() -> None:
    assert [word.value for word in RoleWord] == [role.value for role in Role]


def test_an_account_is_added_listed_changed_disabled_and_reset(tmp_path: Path) -> None:
    with desks(tmp_path) as file:
        added = run(file, "add", "ann", "--role", "reviewer", "--name", "Ann Example")
        assert added.exit_code == 0, added.output
        assert "https://review.example.org/login/link/" in added.output
        assert run(file, "add", "ann", "--role", "reviewer").exit_code == 1
        assert run(file, "add", "bob", "--role", "wizard").exit_code == 2
        assert run(file, "roles", "ann", "--role", "lead", "--role", "auditor").exit_code == 0
        assert run(file, "disable", "ann").exit_code == 0
        listed = json.loads(run(file, "list", "--json").output)
        assert listed["roles"] == ["auditor", "lead"]
        assert listed["disabled_at"] is not None
        assert "ann  auditor, lead  disabled" in run(file, "list").output
        assert run(file, "reset", "ann").exit_code == 1, "nobody is let in with a disabled account"
        assert run(file, "enable", "ann").exit_code == 0
        assert "/login/link/" in json.loads(run(file, "reset", "ann", "--json").output)["link"]
        assert run(file, "disable", "nobody").exit_code == 1
