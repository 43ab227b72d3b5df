"""The node asked to stop and started again, while placers go on sending: an upgrade, many times over.

What is under way is finished first, so nothing of ours arrives twice: the account has no disruptions.
"""

import asyncio
import random
import signal
from pathlib import Path

import pytest

from tests.support.conservation import balance, read_journal
from tests.support.counts import tell
from tests.support.mixed_load import Load
from tests.support.supervised_node import SupervisedNode

ANSWERS_BETWEEN = 80


async def restart_under_load(
    folder: Path, capsys: pytest.CaptureFixture[str], *, custody: str, restart_count: int
) -> None:
    load = Load(random.Random(restart_count))
    server = await asyncio.start_server(load.fill, "127.0.0.1", 0)
    filler_port = server.sockets[0].getsockname()[1]
    node = SupervisedNode(folder, filler_port=filler_port, window=0.2, route=f'custody = "{custody}"')
    enough, left = asyncio.Event(), ANSWERS_BETWEEN

    def happened(word: str) -> None:
        nonlocal left
        left -= word == "acknowledged"
        if left <= 0:
            enough.set()

    load.happened = happened
    async with server, node.running(), asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(load.place(number, lambda: node.placer_port))
        for _ in range(restart_count):
            await enough.wait()
            assert node.kill(signal.SIGTERM)
            await node.until_started()
            left = ANSWERS_BETWEEN
            enough.clear()
        await enough.wait()
        load.is_ending = True
    done = balance(load.ledger, await read_journal(node.journal), is_relay=custody == "relay")
    events = [event for event in node.events() if event.get("event") in ("node_drained", "process_ended")]
    codes = [event["exit_code"] for event in events if event["event"] == "process_ended"]
    tell(capsys, f"{custody}, restarted {restart_count} times: {done}; exit codes {codes}")
    assert done.problems[:10] == []
    assert codes == [0] * restart_count
    assert all(event["unanswered"] == 0 for event in events if event["event"] == "node_drained")


@pytest.mark.timeout(300)
@pytest.mark.fault(47)
@pytest.mark.hazard("H19")
@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_restarted_under_load_the_node_finishes_what_it_began(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], custody: str
) -> None:
    await restart_under_load(tmp_path, capsys, custody=custody, restart_count=3)


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.fault(47)
@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_restarted_many_times_under_load_the_node_finishes_what_it_began(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], custody: str
) -> None:
    await restart_under_load(tmp_path, capsys, custody=custody, restart_count=20)
