"""A process beside the node: started again when it ends or hangs, stopped with the node."""

import asyncio
import sys
from pathlib import Path

from interceptor.companion import Companion, companions
from tests.support.node import Events

SECONDS_MAX = 60.0
SAYS_THAT_IT_SERVES = "import os; os.write(int(os.environ['INTERCEPTOR_HEARTBEAT_FD']), b'R'); "


async def until_started(events: Events, count: int) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while events.names().count("process_started") < count:  # noqa: ASYNC110 - the log has no bell
            await asyncio.sleep(0.02)


def program(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def test_a_companion_that_ends_is_started_again(tmp_path: Path) -> None:
    events = Events()
    one = Companion(name="pages", command=program("print('here', flush=True)"), output_file=tmp_path / "out")
    async with companions([one], log=events.log):
        await until_started(events, 3)
    assert (tmp_path / "out").read_text().count("here") >= 2
    ended = [fields for name, fields in events.seen if name == "process_ended"]
    assert {fields["process"] for fields in ended} == {"pages"}


async def test_a_companion_whose_loop_hangs_is_ended_and_started_again() -> None:
    events = Events()
    command = program(SAYS_THAT_IT_SERVES + "import time; time.sleep(600)")
    async with companions([Companion(name="pages", command=command, watchdog_seconds=1.5)], log=events.log):
        await until_started(events, 2)
    assert "process_stalled" in events.names()


async def test_a_companion_is_stopped_with_the_node_and_not_started_again() -> None:
    events = Events()
    command = program("import time; time.sleep(600)")
    async with companions([Companion(name="pages", command=command)], log=events.log):
        await until_started(events, 1)
    assert events.names().count("process_started") == 1
    assert "process_ended" not in events.names()


async def test_a_program_that_is_not_there_is_tried_again_and_disturbs_nobody(tmp_path: Path) -> None:
    events = Events()
    async with companions([Companion(name="pages", command=(str(tmp_path / "nothing"),))], log=events.log):
        async with asyncio.timeout(SECONDS_MAX):
            while events.names().count("process_ended") < 2:  # noqa: ASYNC110 - the log has no bell
                await asyncio.sleep(0.02)
    assert "process_started" not in events.names()
