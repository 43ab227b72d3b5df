"""A receiver of webhooks on a real socket: keeps what came, answers what the test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Received:
    """One POST: header names in lower case."""

    headers: dict[str, str]
    body: bytes


@dataclass(eq=False)
class WebhookPeer:
    """Answers with `statuses` in turn, the last one for ever; "hang" never answers, "close" closes."""

    statuses: list[int | str] = field(default_factory=lambda: [204])
    received: list[Received] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/in-the-address"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.received.append(Received(headers, body))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == "hang":
            await reader.read()
        elif status != "close":
            location = "location: http://127.0.0.1:1/elsewhere\r\n" if status == 302 else ""
            writer.write(f"HTTP/1.1 {status} X\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n".encode())
        writer.close()


@asynccontextmanager
async def webhook_peer(*statuses: int | str) -> AsyncIterator[WebhookPeer]:
    """A receiver for the length of the block."""
    peer = WebhookPeer(list(statuses) or [204])
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    async with server:
        peer.port = server.sockets[0].getsockname()[1]
        yield peer
