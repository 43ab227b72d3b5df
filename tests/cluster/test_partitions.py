"""Nodes, database, placers and filler on machines of their own: what is cut off drops packets without a word.

As in test_takeovers, but with a network that the kernel carries: retransmissions, TCP_USER_TIMEOUT and connections that stay
open on one side are those of life. Nothing acknowledged is lost, no cancel overtakes its order, and at most one message for
each disturbance arrives twice, with the same bytes.
"""

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.test_takeovers import WORKERS, Leader, take_over
from tests.support.cluster import until
from tests.support.cluster_site import CONFIG, DATABASE, Site, SiteNode, started
from tests.support.counts import tell
from tests.support.namespaces import Network, need_namespaces, network
from tests.support.node import Filler, free_port
from tests.support.postgres_server import PASSWORD, PostgresServer, need_postgres

pytestmark = [pytest.mark.timeout(600), pytest.mark.hazard("H3", "H4", "H5"), pytest.mark.fault(16, 38)]
PORT, FILLER_PORT = 2575, 2576


@contextmanager
def database_on(net: Network) -> Iterator[PostgresServer]:
    """A server on the machine "database"; the test itself goes to it by its socket file."""
    with tempfile.TemporaryDirectory(prefix="postgres-", dir="/dev/shm") as name:
        folder = Path(name)
        address = net.address("database")
        server = PostgresServer(
            folder=folder, port=free_port(), host=str(folder), settings={"listen_addresses": address}
        )
        server.create()
        with net.inside("database"):
            server.start()
        try:
            yield server
        finally:
            server.stop()


@asynccontextmanager
async def filler_on(net: Network) -> AsyncIterator[Filler]:
    """A filler on the machine "outside"."""
    made = Filler()
    listening = net.socket("outside")
    listening.bind((net.address("outside"), FILLER_PORT))
    server = await asyncio.start_server(made.serve, sock=listening)
    try:
        yield made
    finally:
        server.close()


async def connect(net: Network, machine: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A placer's connection, from outside to a node."""
    made = net.socket("outside")
    try:
        await asyncio.get_running_loop().sock_connect(made, (net.address(machine), PORT))
        return await asyncio.open_connection(sock=made)
    except BaseException:
        made.close()
        raise


def node_on(net: Network, folder: Path, number: int, server: PostgresServer, name: str) -> SiteNode:
    """A node on a machine of its own, not started."""
    machine = f"node-{number}"
    config = folder / f"{machine}.toml"
    database = DATABASE.format(hosts=f'"{net.address("database")}:{server.port}"', name=name, lease=2.0)
    config.write_text(
        CONFIG.format(
            name=machine, database=database, wait=1.0, host=net.address(machine), port=PORT,
            filler=f"{net.address('outside')}:{FILLER_PORT}", custody="store",
        )
    )  # fmt: skip
    prefix = ("ip", "netns", "exec", net.namespace(machine))
    return SiteNode(machine, PORT, config, prefix=prefix, connect=partial(connect, net, machine))


class NetworkWire:
    """The way between a node and the database, with the words of `cluster_site.Wire`."""

    def __init__(self, net: Network, machine: str, other: str = "database") -> None:
        self._net, self._machine, self._other = net, machine, other

    def cut(self) -> None:
        self._net.cut(self._machine, self._other)

    def mend(self) -> None:
        self._net.mend(self._machine, self._other)


async def without_filler(place: Site, leader: Leader, net: Network) -> None:
    """The node that delivers is cut off from the filler, while orders go on coming in; then the way is mended."""
    name, _ = await leader.other_than(0)
    way = NetworkWire(net, name, "outside")
    # Its placers are on the other side, too: they go to the other nodes.
    way.cut()
    taken = len(place.acknowledged)
    await until(lambda: len(place.acknowledged) >= taken + 20, seconds=120)
    seen = len(place.filler.received)
    way.mend()
    await place.filler.wait_for(seen + 3, seconds=120)


async def run(folder: Path, kinds: list[str], capsys: pytest.CaptureFixture[str], *, count: int) -> None:
    need_postgres()
    need_namespaces()
    (folder / "secret").write_text(PASSWORD)
    names = [f"node-{number}" for number in range(count)]
    times: list[float] = []
    with network("database", "outside", *names) as net, database_on(net) as server:
        database = server.database()
        leader = Leader(database, server)
        async with filler_on(net) as ris:
            nodes = [node_on(net, folder, number, server, database.database) for number in range(count)]
            for node in nodes:
                node.wire = NetworkWire(net, node.name)
            around = Site(nodes, ris)
            async with started(nodes), asyncio.TaskGroup() as group:
                for worker in range(WORKERS):
                    group.create_task(around.place(worker))
                for kind in kinds:
                    if kind == "filler":
                        await without_filler(around, leader, net)
                    else:
                        times.append(await take_over(around, leader, kind))
                around.is_over = True
                await around.until_delivered(120.0)
            account = around.account()
        leader.close()
    tell(
        capsys,
        f"{count} nodes in namespaces, {len(times)} takeovers and {kinds.count('filler')} times without the filler:"
        f" {account}; median {statistics.median(times):.1f} s, worst {max(times):.1f} s",
    )
    account.check(len(kinds))


@pytest.mark.fault(39, 40)
async def test_nodes_on_machines_of_their_own_survive_what_cuts_them_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(tmp_path, ["cut", "freeze", "filler"], capsys, count=2)


@pytest.mark.deep
@pytest.mark.timeout(2400)
async def test_fifty_takeovers_on_a_network_lose_nothing_and_turn_nothing_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(tmp_path, [*["cut", "freeze", "cut", "kill", "freeze", "filler"] * 10], capsys, count=3)
