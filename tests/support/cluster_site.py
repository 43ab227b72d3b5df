"""A hospital around nodes in processes of their own: placers, a filler that keeps a ledger, and a way to the database
for each node that can be cut without a word to either side.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from interceptor.journal.postgres_connection import PostgresPlace
from interceptor.wire.frame import encode_frame
from tests.support.node import Filler, filler, free_port
from tests.support.orders import CHEST_FILM, order
from tests.support.postgres_server import PASSWORD

CONFIG = """
[node]
name = "{name}"
data_directory = "{name}"
drain_seconds = 5.0
[metrics]
listen = "127.0.0.1:0"
{database}[route.orders]
listen = "{host}:{port}"
destination = "ris"
mode = "enforce"
custody = "{custody}"
holds_max_per_10_min = 10000
[destination.ris]
address = "{filler}"
ack_timeout_seconds = 5.0
reconnect_seconds_max = 0.5
tcp_user_timeout_seconds = {wait}
[hold]
set_window_seconds = 0.0
"""


DATABASE = """[database]
hosts = [{hosts}]
name = "{name}"
user = "interceptor"
password_file = "secret"
sslmode = "disable"
lease_seconds = {lease}
"""


def database_table(place: PostgresPlace | None, folder: Path, *, lease: float = 2.0) -> str:
    """The table [database] for *place*, its password in *folder*; "" for None. Times are short: who is gone is soon forgotten."""
    if place is None:
        return ""
    secret = folder / "secret"
    secret.write_text(PASSWORD, encoding="utf-8")
    hosts = f'"{place.host}:{place.port}"'
    return DATABASE.format(hosts=hosts, name=place.database, lease=lease).replace('"secret"', f'"{secret}"')


class Way(Protocol):
    """Between a node and a server; cut, what is sent goes nowhere and nobody is told."""

    def cut(self) -> None: ...

    def mend(self) -> None: ...


class Wire:
    """Bytes between a node and a server; cut, they go nowhere and nobody is told."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back))
                group.create_task(self._carry(there, writer))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._open.wait()
                target.write(data)
                await target.drain()
        finally:
            target.close()


@dataclass
class SiteNode:
    """One node: its process, where it listens, its way to the database.

    *prefix* stands before its command; *connect* opens a placer's connection to it, where it is not on loopback.
    """

    name: str
    port: int
    config: Path
    wire: Way | None = None
    prefix: tuple[str, ...] = ()
    connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] | None = None
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        log = (self.config.parent / f"{self.name}.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *self.prefix, sys.executable, "-m", "tests.support.cluster_node", str(self.config),
            stdout=asyncio.subprocess.PIPE, stderr=log, cwd=str(Path(__file__).parents[2]),
        )  # fmt: skip
        log.close()
        assert self.process.stdout is not None
        async with asyncio.timeout(90):
            assert await self.process.stdout.readline() == b"ready\n", (
                self.config.parent / f"{self.name}.log"
            ).read_text()[-3000:]

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A placer's connection."""
        if self.connect is not None:
            return await self.connect()
        return await asyncio.open_connection("127.0.0.1", self.port)

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        await self.process.wait()

    async def stop(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            await self.process.wait()


@dataclass
class Site:
    """Nodes, filler, and what the placers were told."""

    nodes: list[SiteNode]
    filler: Filler
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    is_over: bool = False

    def node(self, name: str) -> SiteNode:
        return next(node for node in self.nodes if node.name == name)

    async def place(self, worker: int, *, count: int = 1_000_000) -> None:
        """Orders and their cancels, one after the other, each to the next node; sent again until it is acknowledged."""
        number = 0
        turn = worker
        while not self.is_over and number < count:
            number += 1
            name = f"W{worker}N{number}"
            for control in ("NW", "CA"):
                content = order(
                    name, control=control, control_id=f"{control}{name}", procedure=CHEST_FILM, diagnoses=()
                )
                while not await self._send(self.nodes[turn % len(self.nodes)], content):
                    turn += 1
                    await asyncio.sleep(0.05)
                turn += 1
                self.acknowledged[f"{control}{name}"] = content

    async def _send(self, node: SiteNode, content: bytes) -> bool:
        writer = None
        try:
            async with asyncio.timeout(3.0):
                reader, writer = await node.open()
                writer.write(encode_frame(content))
                answer = await reader.readuntil(b"\x1c\r")
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
        else:
            return b"MSA|AA" in answer
        finally:
            if writer is not None:
                writer.transport.abort()

    async def until_delivered(self, seconds: float = 60.0) -> None:
        """Wait until the filler has everything that was acknowledged."""
        until = time.monotonic() + seconds
        while True:
            if not self.lost() or time.monotonic() > until:
                return
            await asyncio.sleep(0.2)

    def account(self) -> "Account":
        """What became of everything, now."""
        return Account(
            acknowledged_count=len(self.acknowledged),
            lost=self.lost(),
            inversions=self.inversions(),
            duplicates=self.duplicates(),
        )

    def lost(self) -> set[str]:
        """Acknowledged and never seen by the filler."""
        return set(self.acknowledged) - {control_id_of(content) for content in self.filler.received}

    def inversions(self) -> list[str]:
        """Orders whose cancel was seen before them, or between them and their repetition."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for index, content in enumerate(self.filler.received):
            name = control_id_of(content)
            first.setdefault(name, index)
            last[name] = index
        return [name for name in last if name.startswith("NW") and first.get("CA" + name[2:], 10**9) < last[name]]

    def duplicates(self) -> list[str]:
        """Control ids that were seen more than once, once for each time too many; always with the same bytes."""
        counts = Counter(self.filler.received)
        different = Counter(control_id_of(content) for content in counts)
        assert max(different.values(), default=1) == 1, "the same control id with other bytes"
        return [control_id_of(content) for content, count in counts.items() for _ in range(count - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of everything that was acknowledged."""

    acknowledged_count: int
    lost: set[str]
    inversions: list[str]
    duplicates: list[str]

    def __str__(self) -> str:
        return (
            f"{self.acknowledged_count} acknowledged, {len(self.lost)} lost, {len(self.inversions)} inversions,"
            f" {len(self.duplicates)} duplicates"
        )

    def check(self, disruptions: int) -> None:
        """Nothing is lost or turned round; each disruption may cost one message that arrives twice."""
        assert self.lost == set()
        assert self.inversions == []
        assert len(self.duplicates) <= disruptions
        assert self.acknowledged_count > 10 * disruptions


def control_id_of(content: bytes) -> str:
    """MSH-10."""
    return content.split(b"\r", 1)[0].split(b"|")[9].decode()


@asynccontextmanager
async def started(nodes: Sequence[SiteNode], *, mend: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """The nodes run for the length of the block; at its end *mend* is called, and they stop in order."""
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        yield
    finally:
        mend()
        for node in nodes:
            if node.wire is not None:
                node.wire.mend()
        for node in nodes:
            with suppress(ProcessLookupError):
                await node.stop()


@asynccontextmanager
async def site(
    folder: Path,
    place: PostgresPlace,
    *,
    count: int = 2,
    custody: str = "store",
    lease: float = 2.0,
    wait: float = 1.0,
    is_sqlite: bool = False,
    is_wired: bool = True,
) -> AsyncIterator[Site]:
    """*count* nodes on the database at *place*, or one on a file of its own, started.

    Without *is_wired* they go to the database directly: nothing can be cut, and nothing is slowed down.
    """
    (folder / "secret").write_text(PASSWORD)
    async with filler() as ris, AsyncExitStack() as stack:
        nodes = []
        for number in range(count):
            wire = Wire(int(place.port))
            server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
            stack.callback(server.close)
            wire.port = server.sockets[0].getsockname()[1] if is_wired else int(place.port)
            config = folder / f"node-{number}.toml"
            node = SiteNode(f"node-{number}", free_port(), config, wire)
            database = (
                "" if is_sqlite else DATABASE.format(hosts=f'"127.0.0.1:{wire.port}"', name=place.database, lease=lease)
            )
            config.write_text(
                CONFIG.format(
                    name=node.name, database=database, wait=wait, host="127.0.0.1", port=node.port,
                    filler=f"127.0.0.1:{ris.port}", custody=custody,
                )
            )  # fmt: skip
            nodes.append(node)
        async with started(nodes):
            yield Site(nodes, ris)
