"""`interceptor run` as a process of its own, for tests that kill the node below the supervisor."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from interceptor.control.client import request_async
from interceptor.journal.postgres_connection import PostgresPlace
from tests.support.cluster_site import database_table
from tests.support.node import Placer, free_port
from tests.support.orders import CHEST_FILM, order

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 90.0

CONFIG = """
[node]
data_directory = "data"
drain_seconds = 5.0
{node}
{database}[metrics]
listen = "127.0.0.1:{metrics_port}"
[route.orders]
listen = "127.0.0.1:{placer_port}"
destination = "ris"
mode = "enforce"
holds_max_per_10_min = 10000
{route}
[destination.ris]
address = "127.0.0.1:{filler_port}"
reconnect_seconds_max = 0.3
ack_timeout_seconds = 5.0
{destination}[hold]
set_window_seconds = {window}
"""


class SupervisedNode:
    """A supervisor, its node, and the addresses around them."""

    def __init__(
        self,
        folder: Path,
        *,
        filler_port: int,
        window: float = 0.5,
        route: str = "",
        node: str = "",
        module: str = "",
        database: PostgresPlace | None = None,
    ) -> None:
        """*route* and *node* are further lines of their tables; *module* runs as the node instead of ours.

        *database*: where the journal is; None: in a file of its own.
        """
        self.folder = folder
        self._environment = {**os.environ, **({"NODE_MODULE": module} if module else {})}
        self.placer_port, self.metrics_port = free_port(), free_port()
        self.config = folder / "interceptor.toml"
        self.config.write_text(
            CONFIG.format(
                placer_port=self.placer_port,
                filler_port=filler_port,
                metrics_port=self.metrics_port,
                window=window,
                route=route,
                node=node,
                database=database_table(database, folder),
                destination="" if database is None else "tcp_user_timeout_seconds = 1.0\n",
            ),
            encoding="utf-8",
        )
        self.journal = folder / "data" / "journal" / "journal.db"
        self._process: asyncio.subprocess.Process | None = None
        self._ended: set[int] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SupervisedNode"]:
        """Run it for the length of the block; at its end it must stop in order."""
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.support.prompt_supervisor", "run", "-c", str(self.config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self._environment,
            )
        try:
            await self.until_serving()
            yield self
            self._process.terminate()
            async with asyncio.timeout(20):
                assert await self._process.wait() == 0, self.log_tail()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    def pid(self) -> int | None:
        """The node's process id; None between two of them."""
        assert self._process is not None
        with suppress(OSError):
            text = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
            children = [int(pid) for pid in text.split()]
            # In a long run the system gives a number a second time: one that is gone is forgotten.
            self._ended &= set(children)
            return next((pid for pid in children if pid not in self._ended and _is_node(pid)), None)
        return None

    def kill(self, number: signal.Signals = signal.SIGKILL) -> bool:
        """Kill the node as the kernel would, at once, or ask it to stop; False when there is none just now."""
        pid = self.pid()
        if pid is None:
            return False
        os.kill(pid, number)
        self._ended.add(pid)
        return True

    def ask_supervisor(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor, not to the node."""
        assert self._process is not None
        self._process.send_signal(number)

    async def until_started(self) -> None:
        """Return when there is a node process that nobody has killed or asked to stop."""
        await _until(lambda: self.pid() is not None, "no node was started")

    async def until_serving(self) -> float:
        """Return when the node takes connections, with the seconds that it took."""
        began = time.monotonic()
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.placer_port)
            except OSError:
                assert time.monotonic() < began + START_SECONDS_MAX, self.log_tail()
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return time.monotonic() - began

    async def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Give a command through the control socket. Raises ControlError."""
        socket = self.folder / "data" / "control" / "control.sock"
        return await request_async(socket, command, timeout_seconds=5.0, **arguments)

    def events(self) -> list[dict[str, Any]]:
        """What the supervisor and all of its nodes have logged; a line that a kill cut short is left out."""
        found = []
        for line in (self.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    def count_events(self, name: str) -> int:
        """How often an event has been logged so far."""
        return (self.folder / "log").read_bytes().count(b'"event": "' + name.encode() + b'"')

    def log_tail(self) -> str:
        log = self.folder / "log"
        return log.read_text(encoding="utf-8", errors="replace")[-3000:] if log.exists() else "no log"


def film(number: str) -> bytes:
    """An order that passes."""
    return order(number, procedure=CHEST_FILM, reason="cough")


async def exchange(port: int, content: bytes) -> bytes:
    """The answer to one message on a connection of its own; a refused connection or no answer raises."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await Placer(reader, writer).exchange(content)
    finally:
        writer.close()


def _is_node(pid: int) -> bool:
    """Whether a child is the node, not the review pages, which may stand beside it."""
    with suppress(OSError):
        return b"--review-only" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.005)
