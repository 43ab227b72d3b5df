"""Commands over a real Unix socket."""

import asyncio
import json
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interceptor.control.client import request, request_async
from interceptor.control.protocol import (
    REQUEST_SIZE_MAX,
    ControlError,
    build_error,
    build_request,
    build_result,
    read_answer,
    read_request,
)
from interceptor.control.server import serve_control


async def echo(arguments: dict[str, Any]) -> Mapping[str, object]:
    return {"seen": arguments}


async def refuse(_arguments: dict[str, Any]) -> Mapping[str, object]:
    raise ControlError("not_found", "There is no entry 17.")


async def break_down(_arguments: dict[str, Any]) -> Mapping[str, object]:
    raise ValueError("CANARY")


async def never_end(_arguments: dict[str, Any]) -> Mapping[str, object]:
    await asyncio.Event().wait()
    return {}


HANDLERS = {"echo": echo, "refuse": refuse, "break": break_down, "never": never_end}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control" / "node.sock"


async def ask(path: Path, command: str, **arguments: Any) -> dict[str, object]:
    """The synchronous client, from a thread, as the command line uses it."""
    return await asyncio.to_thread(lambda: request(path, command, **arguments))


async def test_a_command_gets_its_arguments_and_gives_its_result(path: Path) -> None:
    async with serve_control(path, HANDLERS):
        assert await ask(path, "echo", entry=17, reason="späte Änderung") == {
            "seen": {"entry": 17, "reason": "späte Änderung"}
        }
        assert await request_async(path, "echo", entry=18) == {"seen": {"entry": 18}}


@pytest.mark.parametrize(("command", "code"), [("refuse", "not_found"), ("nonsense", "unknown_command")])
async def test_a_no_arrives_as_a_code_and_a_sentence(path: Path, command: str, code: str) -> None:
    async with serve_control(path, HANDLERS):
        with pytest.raises(ControlError) as raised:
            await ask(path, command)
        assert raised.value.code == code
        with pytest.raises(ControlError) as raised:
            await request_async(path, command)
        assert raised.value.code == code


@pytest.mark.hazard("H14")
async def test_a_command_that_raises_is_told_without_its_text_and_the_server_goes_on(path: Path) -> None:
    failures: list[tuple[str, str]] = []
    async with serve_control(
        path, HANDLERS, on_failure=lambda command, error: failures.append((command, type(error).__name__))
    ):
        with pytest.raises(ControlError) as raised:
            await ask(path, "break")
        assert raised.value.code == "failed"
        assert "CANARY" not in str(raised.value)
        assert failures == [("break", "ValueError")]
        assert await ask(path, "echo") == {"seen": {}}


async def test_one_slow_command_does_not_keep_another_connection_waiting(path: Path) -> None:
    async with serve_control(path, HANDLERS), asyncio.TaskGroup() as group:
        waiting = group.create_task(request_async(path, "never"))
        assert await ask(path, "echo") == {"seen": {}}
        waiting.cancel()


async def test_several_commands_may_follow_on_one_connection(path: Path) -> None:
    async with serve_control(path, HANDLERS):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(build_request("echo", {"number": 1}) + build_request("echo", {"number": 2}))
        answers = [read_answer(await reader.readline()) for _ in range(2)]
        writer.close()
    assert answers == [{"seen": {"number": 1}}, {"seen": {"number": 2}}]


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b"[]\n", b'{"command": 1}\n', b'{"command": "x", "arguments": 3}\n', b"\xff\n"]
)
async def test_what_is_no_request_is_answered_with_bad_request(path: Path, line: bytes) -> None:
    async with serve_control(path, HANDLERS):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(line)
        assert json.loads(await reader.readline())["error"]["code"] == "bad_request"
        writer.close()


async def test_an_endless_request_is_cut_off(path: Path) -> None:
    async with serve_control(path, HANDLERS):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"x" * (REQUEST_SIZE_MAX + 1))
        answer = await reader.readline()
        assert json.loads(answer)["error"]["code"] == "too_large"
        assert await reader.read() == b""
        writer.close()


@pytest.mark.hazard("H13")
async def test_only_the_owner_may_open_the_socket(path: Path) -> None:
    async with serve_control(path, HANDLERS):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.hazard("H13")
async def test_a_folder_that_others_may_enter_stops_the_start(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o750)
    with pytest.raises(ControlError, match="folder_open_to_others"):
        async with serve_control(path, HANDLERS):
            pass
    assert not path.exists()


async def test_the_socket_of_a_dead_node_is_replaced(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    async with serve_control(path, HANDLERS):
        assert await ask(path, "echo") == {"seen": {}}
    assert not path.exists()


async def test_a_second_node_on_the_same_path_does_not_start_and_the_first_goes_on(path: Path) -> None:
    async with serve_control(path, HANDLERS):
        with pytest.raises(ControlError, match="already_running"):
            async with serve_control(path, HANDLERS):
                pass
        assert await ask(path, "echo") == {"seen": {}}


async def test_something_else_at_the_path_is_never_removed(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        async with serve_control(path, HANDLERS):
            pass
    assert path.read_text() == "mine"


async def test_the_next_nodes_socket_is_not_removed_by_the_last_one(path: Path) -> None:
    async with serve_control(path, HANDLERS):
        path.rename(path.with_suffix(".old"))
        path.touch()
    assert path.exists()


async def test_a_path_that_is_too_long_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="path_too_long"):
        async with serve_control(tmp_path / ("x" * 120) / "node.sock", HANDLERS):
            pass


async def test_leaving_the_block_ends_a_command_under_way(path: Path) -> None:
    began = asyncio.Event()

    async def never_end_once_begun(_arguments: dict[str, Any]) -> Mapping[str, object]:
        began.set()
        await asyncio.Event().wait()
        return {}

    async with asyncio.TaskGroup() as group, serve_control(path, {"never": never_end_once_begun}):
        asked = group.create_task(outcome_code(path, "never"))
        await began.wait()
    assert asked.result() == "connection_lost"


async def outcome_code(path: Path, command: str) -> str:
    try:
        await request_async(path, command)
    except ControlError as error:
        return error.code
    return "done"


def test_no_node_is_said_in_words(path: Path) -> None:
    with pytest.raises(ControlError, match="not_running"):
        request(path, "echo")


async def test_a_node_that_does_not_answer_in_time_leaves_the_outcome_unknown(path: Path) -> None:
    async with serve_control(path, HANDLERS):
        with pytest.raises(ControlError, match="timed_out"):
            await asyncio.to_thread(request, path, "never", timeout_seconds=0.05)
        with pytest.raises(ControlError, match="timed_out"):
            await request_async(path, "never", timeout_seconds=0.05)


def test_a_request_that_is_too_large_is_not_sent(path: Path) -> None:
    with pytest.raises(ControlError, match="too_large"):
        request(path, "echo", text="x" * REQUEST_SIZE_MAX)


def test_requests_and_answers_read_back() -> None:
    assert read_request(build_request("held.show", {"entry": 17})) == ("held.show", {"entry": 17})
    assert read_answer(build_result({"entry": 17})) == {"entry": 17}
    with pytest.raises(ControlError) as raised:
        read_answer(build_error(ControlError("not_found", "No such entry.")))
    assert (raised.value.code, raised.value.message) == ("not_found", "No such entry.")


@pytest.mark.parametrize("line", [b"nonsense\n", b"{}\n", b'{"result": 3}\n'])
def test_what_is_no_answer_is_said(line: bytes) -> None:
    with pytest.raises(ControlError, match="bad_answer"):
        read_answer(line)
