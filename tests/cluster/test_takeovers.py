"""The node that delivers dies, is frozen or cut off from the database, under load; another takes over.

Orders and their cancels come in at all nodes in turn. Nothing acknowledged is lost, no cancel overtakes its order, and
at most one message for each takeover arrives twice, with the same bytes.
"""

import asyncio
import signal
import statistics
import time
from pathlib import Path

import psycopg
import pytest

from interceptor.journal.postgres_connection import PostgresPlace
from tests.support.cluster_site import Site, SiteNode, site
from tests.support.counts import tell
from tests.support.postgres_server import PostgresServer, empty_database, shared_server

pytestmark = [pytest.mark.timeout(300), pytest.mark.hazard("H3", "H4", "H5"), pytest.mark.fault(38)]
WORKERS = 4


class Leader:
    """Who delivers, as the database has it."""

    def __init__(self, place: PostgresPlace, server: PostgresServer | None = None) -> None:
        """*server*: one of the test's own."""
        self._connection = (server or shared_server()).connect(place.database)

    def now(self) -> tuple[str, int]:
        """Name of the node and its epoch; "" when there is none."""
        row = self._connection.execute("SELECT process, epoch FROM lease WHERE destination = 'ris'").fetchone()
        return (row[0].split(" ")[0], row[1]) if row is not None else ("", 0)

    async def other_than(self, epoch: int, *, seconds: float = 60.0) -> tuple[str, int]:
        """The next holder."""
        async with asyncio.timeout(seconds):
            while True:
                name, found = self.now()
                if found != epoch and name:
                    return name, found
                await asyncio.sleep(0.02)

    def close(self) -> None:
        self._connection.close()


async def take_over(place: Site, leader: Leader, kind: str) -> float:
    """Make the node that delivers stop in one of three ways; returns how long it took until another may send."""
    name, epoch = await leader.other_than(0)
    node = place.node(name)
    seen = len(place.filler.received)
    await place.filler.wait_for(seen + 1, seconds=60)
    began = time.monotonic()
    if kind == "kill":
        await node.kill()
    elif kind == "freeze":
        node.signal(signal.SIGSTOP)
    else:
        assert node.wire is not None
        node.wire.cut()
    await leader.other_than(epoch)
    took = time.monotonic() - began
    await place.filler.wait_for(len(place.filler.received) + 3, seconds=60)
    await come_back(node, kind)
    return took


async def come_back(node: SiteNode, kind: str) -> None:
    """The old one returns, and believes for a moment that nothing happened."""
    if kind == "kill":
        await node.start()
    elif kind == "freeze":
        node.signal(signal.SIGCONT)
    else:
        assert node.wire is not None
        node.wire.mend()
    await asyncio.sleep(1.0)


async def run(folder: Path, kinds: list[str], capsys: pytest.CaptureFixture[str], *, count: int = 2) -> None:
    with empty_database() as place:
        leader = Leader(place)
        try:
            async with site(folder, place, count=count) as around, asyncio.TaskGroup() as group:
                for worker in range(WORKERS):
                    group.create_task(around.place(worker))
                times = [await take_over(around, leader, kind) for kind in kinds]
                around.is_over = True
                await around.until_delivered()
                account = around.account()
        except psycopg.Error as error:
            raise AssertionError from error
        finally:
            leader.close()
    tell(
        capsys,
        f"{len(times)} takeovers of {count} nodes under load: {account}; median {statistics.median(times):.1f} s,"
        f" worst {max(times):.1f} s",
    )
    account.check(len(times))


@pytest.mark.fault(39, 40)
async def test_another_node_delivers_when_one_dies_freezes_or_is_cut_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(tmp_path, ["kill", "freeze", "cut"], capsys)


@pytest.mark.deep
@pytest.mark.timeout(2400)
async def test_fifty_takeovers_lose_nothing_and_turn_nothing_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(tmp_path, ["kill", "freeze", "cut", "freeze", "cut"] * 10, capsys, count=3)
