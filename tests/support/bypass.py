"""A placer that keeps sending through HAProxy while a node behind it dies, hangs or comes back, and what it saw."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from interceptor.wire.frame import encode_frame
from tests.support.node import Filler, free_port
from tests.support.orders import CHEST_FILM, order

ROOT = Path(__file__).parents[2]
WAIT_SECONDS_MAX = 60.0
PAUSE_SECONDS = 0.02

CONFIG = """
[node]
data_directory = "data"
[metrics]
listen = "127.0.0.1:0"
[route.orders]
listen = "127.0.0.1:{port}"
destination = "ris"
health_probe = "PING"
[destination.ris]
address = "127.0.0.1:{filler}"
reconnect_seconds_max = 0.3
"""


@dataclass(kw_only=True)
class Traffic:
    """What the placer sent and had acknowledged, with times of the monotonic clock in seconds."""

    sent: int = 0
    resent: int = 0
    acknowledged: list[tuple[bytes, float]] = field(default_factory=list)

    def gap_after(self, moment: float) -> float:
        """Seconds from *moment* to the first acknowledgment of a message after it."""
        return min((at for _, at in self.acknowledged if at > moment), default=float("inf")) - moment

    async def until(self, count: int) -> None:
        """Wait until so many more messages are acknowledged."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while len(self.acknowledged) < goal:  # noqa: ASYNC110 - the other tasks of this loop make it true
                await asyncio.sleep(PAUSE_SECONDS)

    async def run(self, port: int) -> None:
        """Send one film after the other; what is not acknowledged is sent again on a new connection. Ends by being cancelled."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            try:
                await self._exchange(reader, writer)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.resent += 1
                await asyncio.sleep(PAUSE_SECONDS)
            finally:
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            number = f"N{len(self.acknowledged) + 1}"
            writer.write(encode_frame(order(number, procedure=CHEST_FILM, reason="cough")))
            self.sent += 1
            async with asyncio.timeout(30.0):
                answer = await reader.readuntil(b"\x1c\r")
            assert b"MSA|AA|C" + number.encode() in answer, answer
            self.acknowledged.append((b"C" + number.encode(), time.monotonic()))
            await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def listening(filler: Filler) -> AsyncIterator[int]:
    """One more port of a filler, so that a test can tell by which way a message came."""
    server = await asyncio.start_server(filler.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class LoneNode:
    """`interceptor run --node-only`: a node that nobody starts again, so that what is measured is the bypass."""

    def __init__(self, folder: Path, *, filler_port: int) -> None:
        self.port = free_port()
        self._folder = folder
        self._config = folder / "node.toml"
        self._config.write_text(CONFIG.format(port=self.port, filler=filler_port), encoding="utf-8")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it answers the probe."""
        with (self._folder / "log").open("ab") as log:
            command = (sys.executable, "-m", "interceptor", "run", "--node-only", "-c", str(self._config))
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, cwd=ROOT)
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not await self._is_up():  # noqa: ASYNC110 - another process makes it true
                await asyncio.sleep(PAUSE_SECONDS)

    async def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, (self._folder / "log").read_text(encoding="utf-8")[-2000:]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.write(encode_frame(b"PING"))
        try:
            return b"UP" in await reader.readuntil(b"\x1c\r")
        finally:
            writer.close()

    def signal(self, number: signal.Signals) -> float:
        """Send it a signal; returns the moment, of the monotonic clock."""
        assert self._process is not None
        os.kill(self._process.pid, number)
        return time.monotonic()

    async def end(self) -> None:
        """Kill it, if it still is, and wait for it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def running_haproxy(sample: str, folder: Path, **addresses: str) -> AsyncIterator[tuple[int, int]]:
    """Run a sample of deploy/haproxy with these addresses; gives the placers' port and that of its metrics."""
    port, metrics_port = free_port(), free_port()
    environment = {
        **os.environ,
        "MLLP_BIND": f"127.0.0.1:{port}",
        "METRICS_BIND": f"127.0.0.1:{metrics_port}",
        **addresses,
    }
    path = ROOT / "deploy" / "haproxy" / sample
    with (folder / "haproxy.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *("haproxy", "-db", "-f", str(path)), env=environment, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not await _listens(port):
                assert process.returncode is None, (folder / "haproxy.log").read_text(encoding="utf-8")
                await asyncio.sleep(PAUSE_SECONDS)
        yield port, metrics_port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def haproxy_metrics(port: int) -> str:
    """The page that HAProxy gives to Prometheus."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        page = await reader.read()
    writer.close()
    return page.decode()
