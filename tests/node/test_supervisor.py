"""What a supervisor makes of its node's ends, and when the pages beside it are started anew. The programs are stand-ins."""

import asyncio
import sys
from pathlib import Path

import pytest

from interceptor.child import EXIT_CANNOT_START, EXIT_FAILED, EXIT_HANDED_OVER
from interceptor.companion import Companion
from interceptor.service_notify import notifier_of
from interceptor.supervisor import Supervision, supervise
from tests.support.node import Events

SECONDS_MAX = 60.0
NODE = """
import os, pathlib, sys, time
folder, *lives = sys.argv[1:]
starts = pathlib.Path(folder, "starts")
count = len(starts.read_text()) if starts.exists() else 0
starts.write_text("x" * (count + 1))
for one in lives[min(count, len(lives) - 1)].split(","):
    if one in ("first", "last"):
        while not pathlib.Path(folder, one).exists():
            time.sleep(0.02)
    elif one.isdigit():
        sys.exit(int(one))
    else:
        os.write(int(os.environ["INTERCEPTOR_HEARTBEAT_FD"]), one.encode())
"""


async def supervised(
    folder: Path, *lives: str, events: Events | None = None, beside: tuple[Companion, ...] = ()
) -> int:
    """Supervise a stand-in of a node; each of its lives says so many words to the supervisor and ends with a code."""
    command = (sys.executable, "-c", NODE, str(folder), *lives)
    supervision = Supervision(
        command=command,
        successor=command,
        stop_seconds_max=10.0,
        watchdog_seconds=0.0,
        give_up_codes=frozenset({EXIT_CANNOT_START}),
    )
    async with asyncio.timeout(SECONDS_MAX):
        return await supervise(supervision, log=(events or Events()).log, notifier=notifier_of({}), beside=beside)


def starts(folder: Path) -> int:
    return len((folder / "starts").read_text())


async def test_a_node_that_never_served_and_cannot_start_is_not_tried_again(tmp_path: Path) -> None:
    """However long the start took, and whatever came before: here a first start that a fault of its own ended."""
    assert await supervised(tmp_path, str(EXIT_FAILED), str(EXIT_CANNOT_START)) == EXIT_CANNOT_START
    assert starts(tmp_path) == 2


@pytest.mark.hazard("H10")
async def test_a_node_that_has_served_is_tried_again_whatever_it_ends_with(tmp_path: Path) -> None:
    """It says that it serves and ends at once: what it said last is heard all the same."""
    lives = (f"R,{EXIT_CANNOT_START}", str(EXIT_CANNOT_START), str(EXIT_HANDED_OVER))
    assert await supervised(tmp_path, *lives) == 0
    assert starts(tmp_path) == 3


@pytest.mark.hazard("H24")
async def test_when_the_node_took_another_configuration_the_pages_are_started_anew(tmp_path: Path) -> None:
    """Two reloads: three lives of the pages, each stopped in order and none counted as one that ended by itself."""
    events = Events()
    pages = Companion(name="pages", command=(sys.executable, "-c", "import time; time.sleep(600)"))

    def count(name: str) -> int:
        return len([one for one, fields in events.seen if one == name and fields.get("process") == "pages"])

    async def until_started(times: int) -> None:
        while count("process_started") < times:  # noqa: ASYNC110 - the log has no bell
            await asyncio.sleep(0.02)

    async def watch() -> None:
        await until_started(2)
        (tmp_path / "first").touch()
        await until_started(3)
        (tmp_path / "last").touch()

    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        group.create_task(watch())
        lives = ("R,C,first,0", f"R,C,{EXIT_FAILED}", f"R,last,{EXIT_HANDED_OVER}")
        running = group.create_task(supervised(tmp_path, *lives, events=events, beside=(pages,)))
    assert running.result() == 0
    assert count("process_ended") == 0
