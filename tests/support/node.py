"""A node in the test's own loop, with everything on loopback and free ports, and a placer that speaks raw MLLP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from interceptor.config.schema import Config
from interceptor.node import Node, running_node
from interceptor.telemetry.events import EventLog
from interceptor.wire.frame import encode_frame
from tests.support.clinical import shipped_content


class Events:
    """Log events that a test can look at."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.log = EventLog(self._write, strict=True)

    def _write(self, level: str, name: str, fields: Any, /) -> None:
        self.seen.append((name, {"level": level, **fields}))

    def names(self) -> list[str]:
        return [name for name, _ in self.seen]


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def node_config(folder: Path, *, filler_port: int, **changes: Any) -> Config:
    """A configuration with one route "orders" and one destination "ris"; *changes* go into the route's table.

    Keys that begin with "hold_" go into [hold], with "destination_" into the destination, "node_" into [node],
    "synthetic_" into [synthetic].
    """
    route: dict[str, Any] = {"listen": "127.0.0.1:0", "destination": "ris", "mode": "enforce"}
    tables: dict[str, dict[str, Any]] = {
        "hold": {"set_window_seconds": 0.0},
        "destination": {
            "address": f"127.0.0.1:{filler_port}",
            "ack_timeout_seconds": 5.0,
            "reconnect_seconds_max": 0.5,
        },
        "synthetic": {},
        "node": {"data_directory": folder, "drain_seconds": 5.0, "control_socket": folder / "c" / "s"},
    }
    for key, value in changes.items():
        table, _, name = key.partition("_")
        if table in tables and name and key != "hold_reply":
            tables[table][name] = value
        else:
            route[key] = value
    return Config.model_validate(
        {
            "node": tables["node"],
            "metrics": {"listen": "127.0.0.1:0"},
            "route": {"orders": route},
            "destination": {"ris": tables["destination"]},
            "hold": tables["hold"],
            "synthetic": tables["synthetic"],
        }
    )


@asynccontextmanager
async def node_of(config: Config, events: Events | None = None) -> AsyncIterator[Node]:
    """Run a node with the shipped clinical content."""
    async with running_node(config, log=(events or Events()).log, content=shipped_content()) as node:
        yield node


class Placer:
    """One placer connection: sends frames, reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def send(self, content: bytes) -> None:
        self.writer.write(encode_frame(content))
        await self.writer.drain()

    async def answer(self, *, seconds: float = 20.0) -> bytes:
        """The next answer's content."""
        async with asyncio.timeout(seconds):
            frame = await self._reader.readuntil(b"\x1c\r")
        return frame.removeprefix(b"\x0b").removesuffix(b"\x1c\r")

    async def exchange(self, content: bytes) -> bytes:
        await self.send(content)
        return await self.answer()


@asynccontextmanager
async def placer_of(node: Node, route: str = "orders") -> AsyncIterator[Placer]:
    """A placer connected to a route."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.ports[route], limit=64 * 1024 * 1024)
    try:
        yield Placer(reader, writer)
    finally:
        writer.close()


class Filler:
    """A filler that keeps what it gets and answers as told: `answer` gives the bytes for a message, None for silence."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.answer: Any = accept
        self.port = 0
        self._arrived = asyncio.Event()

    async def wait_for(self, count: int, *, seconds: float = 20.0) -> list[bytes]:
        """What was received, as soon as there are so many."""
        async with asyncio.timeout(seconds):
            while len(self.received) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await reader.readuntil(b"\x1c\r")
                content = frame.removeprefix(b"\x0b").removesuffix(b"\x1c\r")
                self.received.append(content)
                self._arrived.set()
                answer = self.answer(content)
                if answer is not None:
                    writer.write(answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def accept(content: bytes) -> bytes:
    """AA for whatever has an MSH-10, in a frame."""
    return reply(content, b"AA")


def reply(content: bytes, code: bytes) -> bytes:
    """A framed acknowledgment with this code."""
    line = content.partition(b"MSH")[2].replace(b"\n", b"\r").partition(b"\r")[0]
    fields = line.split(line[:1]) if line else []
    control_id = fields[9] if len(fields) > 9 else b""
    return encode_frame(b"MSH|^~\\&|RIS|RAD|EHR|HOSP|20260101||ACK|A1|P|2.3.1\rMSA|" + code + b"|" + control_id + b"\r")


@asynccontextmanager
async def filler() -> AsyncIterator[Filler]:
    """A filler on a free port."""
    made = Filler()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
