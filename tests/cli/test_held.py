"""`interceptor held` and `interceptor mode`: what they ask of the node, what they print, what they read without one."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.action.plan import RouteMode
from interceptor.cli.held import StateWord
from interceptor.cli.mode import ModeWord
from interceptor.control.protocol import ControlError
from interceptor.control.server import serve_control
from interceptor.journal.port import Intake, MessageIdentity, NewEntry
from interceptor.journal.sqlite import journal_path
from tests.support.any_database import database_of, open_journal
from tests.support.cluster_site import database_table
from tests.support.command import CommandResult, run_command, running_command

CONFIG = """\
[node]
data_directory = "data"
{database}[route.main]
listen = "127.0.0.1:0"
destination = "ris"
[destination.ris]
address = "127.0.0.1:2576"
"""
AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ORDER = b"MSH|^~\\&|EHR|H|RIS|H|20260105||ORM^O01|ID-1|T|2.3.1\rORC|NW|A1^EHR\rNTE|1||\x1b[31mred\r"
LISTED = {
    "entry": 17, "route": "main", "state": "held", "version": 1, "placer_order_number": "A1", "priority": "R",
    "taken_at": AT.isoformat(), "changed_at": AT.isoformat(), "changed_by": "placer", "deadline_at": None,
    "closed_at": None, "reason": "", "summary": {"procedure": "MRI L SPINE"}, "reasons": ["H-REGIONAL"], "damaged": False,
}  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "interceptor.toml"
    table = database_table(database_of(journal_path(tmp_path / "data")), tmp_path)
    path.write_text(CONFIG.format(database=table), encoding="utf-8")
    return path


class Node:
    """A peer for the command: notes what it is asked, answers what it is told to."""

    def __init__(self, answers: dict[str, dict[str, Any] | ControlError]) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]:
        return {command: self._handler(command) for command in self._answers}

    def _handler(self, command: str) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
        async def handle(arguments: dict[str, Any]) -> dict[str, Any]:
            self.asked.append((command, arguments))
            answer = self._answers[command]
            if isinstance(answer, ControlError):
                raise answer
            return answer

        return handle


@asynccontextmanager
async def running_node(config: Path, answers: dict[str, dict[str, Any] | ControlError]) -> AsyncIterator[Node]:
    node = Node(answers)
    async with serve_control(config.parent / "data" / "control" / "control.sock", node.handlers()):
        yield node


async def run(*arguments: str | Path) -> CommandResult:
    return await asyncio.to_thread(run_command, *arguments)


async def hold_an_order(config: Path) -> None:
    path = journal_path(config.parent / "data")
    entry = NewEntry(
        order_key="A1^EHR", set_key="", placer_order_number="A1", state=OrderState.HELD, content=ORDER,
        control_id=b"ID-1", deadline_at=AT + timedelta(hours=4), priority="R",
        summary={"procedure": "MRI L SPINE"}, decision={"reasons": ["H-REGIONAL"]},
    )  # fmt: skip
    identity = MessageIdentity(
        listener="main",
        sending_application=b"EHR",
        sending_facility=b"H",
        control_id=b"ID-1",
        digest=hashlib.sha256(ORDER).digest(),
    )
    intake = Intake(route="main", identity=identity, received_at=AT, raw=ORDER, acknowledgment=None, entries=(entry,))
    async with open_journal(path) as journal:
        await journal.record_intake(intake)


async def test_list_shows_what_the_node_says_one_line_for_each_order(config: Path) -> None:
    async with running_node(config, {"held_list": {"orders": [LISTED]}}) as node:
        listed = await run("held", "list", "-c", config)
        as_json = await run("held", "list", "-c", config, "--state", "queued", "--json")
    assert (listed.code, listed.output) == (0, "    17  held  main  A1  MRI L SPINE  H-REGIONAL\n")
    assert as_json.json_lines == [LISTED]
    assert node.asked == [("held_list", {"states": ["held", "parked"]}), ("held_list", {"states": ["queued"]})]


async def test_release_and_return_say_who_why_and_which_version(config: Path) -> None:
    done = {"entry": 17, "state": "queued", "version": 2}
    async with running_node(config, {"held_release": done, "held_return": done | {"state": "returned"}}) as node:
        released = await run("held", "release", "17", "-c", config, "--reason", "seen", "--as", "ada", "--version", "1")
        returned = await run("held", "return", "17", "-c", config, "--reason", "ask again", "--as", "ada", "--json")
    assert (released.code, released.output) == (0, "17: queued\n")
    assert returned.json_lines == [{"entry": 17, "state": "returned", "version": 2}]
    assert node.asked == [
        ("held_release", {"entry": 17, "version": 1, "reason": "seen", "actor": "ada"}),
        ("held_return", {"entry": 17, "reason": "ask again", "actor": "ada"}),
    ]


async def test_the_second_of_two_reviewers_is_told_who_was_first_and_ends_with_one(config: Path) -> None:
    conflict = ControlError("conflict", "already released by ada at 2026-01-05T09:00:00+00:00")
    async with running_node(config, {"held_release": conflict}):
        second = await run("held", "release", "17", "-c", config)
    assert (second.code, second.output) == (1, "")
    assert second.errors == "already released by ada at 2026-01-05T09:00:00+00:00\n"


async def test_the_socket_alone_is_enough_to_find_the_node(config: Path) -> None:
    async with running_node(config, {"held_comment": {"entry": 17, "state": "held"}}) as node:
        socket = config.parent / "data" / "control" / "control.sock"
        done = await run("held", "comment", "17", "waiting for the oncologist", "--socket", socket, "--as", "ada")
    assert (done.code, done.output) == (0, "17: held\n")
    assert node.asked == [("held_comment", {"entry": 17, "comment": "waiting for the oncologist", "actor": "ada"})]


@pytest.mark.usefixtures("database")
async def test_without_a_node_the_journal_is_read_and_nothing_can_be_released(config: Path) -> None:
    await hold_an_order(config)
    listed = await run("held", "list", "-c", config)
    shown = await run("held", "show", "1", "-c", config)
    absent = await run("held", "show", "2", "-c", config)
    released = await run("held", "release", "1", "-c", config)
    assert listed.code == 0
    assert listed.output.startswith("     1  held  main  A1  MRI L SPINE  H-REGIONAL  leaves by 2026-01-05T13:00")
    assert listed.errors == "No node runs; this is what its journal says.\n"
    assert shown.code == 0
    assert "ORC|NW|A1^EHR" in shown.output
    assert "\x1b" not in shown.output, "an order's text must not steer the terminal"
    assert (absent.code, "There is no order 2." in absent.errors) == (1, True)
    assert (released.code, released.output) == (1, "")
    assert "is it running" in released.errors


@pytest.mark.usefixtures("database")
async def test_a_journal_that_was_never_made_has_no_orders(config: Path) -> None:
    listed = await run("held", "list", "-c", config)
    assert (listed.code, listed.output) == (0, "No order waits.\n")
    assert not (config.parent / "data").exists()


async def test_mode_shows_and_sets_the_routes_mode(config: Path) -> None:
    answers: dict[str, dict[str, Any] | ControlError] = {
        "mode_get": {"routes": {"main": "shadow"}},
        "mode_set": {"route": "main", "mode": "enforce", "was": "shadow"},
    }
    async with running_node(config, answers) as node:
        shown = await run("mode", "-c", config)
        other = await run("mode", "mian", "-c", config)
        changed = await run("mode", "main", "enforce", "-c", config, "--reason", "signed", "--as", "ada")
        wrong = await run("mode", "main", "hold", "-c", config)
    assert (shown.code, shown.output) == (0, "main: shadow\n")
    assert (other.code, other.errors) == (1, "There is no route mian (known: main).\n")
    assert (changed.code, changed.output) == (0, "main: enforce (was shadow)\n")
    assert wrong.code == 2
    assert node.asked[-1] == ("mode_set", {"route": "main", "mode": "enforce", "actor": "ada", "reason": "signed"})


def test_no_node_named_is_wrong_use() -> None:
    for command in (("held", "list"), ("mode",)):
        result = run_command(*command)
        assert (result.code, "-c FILE or --socket PATH" in result.errors) == (2, True)


def test_a_wrong_configuration_is_told_with_its_problems(config: Path) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace("listen", "listn"), encoding="utf-8")
    result = run_command("held", "list", "-c", config)
    assert result.code == 2
    assert 'route.main.listn: unknown key; did you mean "listen"?' in result.errors


def test_the_words_of_states_and_modes_are_those_of_the_node() -> None:
    assert [word.value for word in StateWord] == [state.value for state in OrderState]
    assert [word.value for word in ModeWord] == [mode.value for mode in RouteMode]


async def test_watching_shows_what_comes_and_goes_and_tells_the_node_that_somebody_reviews(config: Path) -> None:
    other = LISTED | {"entry": 18}
    answers: dict[str, dict[str, Any] | ControlError] = {"review_heartbeat": {}, "held_list": {"orders": [LISTED]}}
    async with running_node(config, answers) as node:
        with running_command("held", "watch", "-c", config, "--json") as watching:
            first = await asyncio.to_thread(watching.read_json)
            answers["held_list"] = {"orders": [other]}
            later = [await asyncio.to_thread(watching.read_json) for _ in range(2)]
            watching.interrupt()
            code, _, errors = await asyncio.to_thread(watching.wait)
    assert (code, errors) == (0, "")
    assert first == {"change": "came", "order": LISTED}
    assert later == [{"change": "went", "order": LISTED}, {"change": "came", "order": other}]
    assert node.asked[0] == ("review_heartbeat", {})
