"""Clients that take their time on the port of the pages: cut off, while the pages go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from interceptor.review import process
from interceptor.review.slow_client import TimedHttp
from interceptor.review_wiring import running_review
from tests.support.node import node_of
from tests.support.site import site_config
from tests.support.site_ca import SiteCa

SLOW_COUNT = 40
HEAD = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@asynccontextmanager
async def pages_port(folder: Path, **review: Any) -> AsyncIterator[int]:
    """The port of the pages of a running node; *review* are keys of [review]."""
    config = site_config(folder, filler_port=9, **review)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(node_of(config))
        pages = await stack.enter_async_context(running_review(config))
        yield int(pages.address.rpartition(":")[2])


async def is_cut_off(port: int, first: bytes, drip: bytes) -> bool:
    """Say *first*, then *drip* again and again: whether the server ends it without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        writer.write(first)
        async with asyncio.timeout(60):
            while not said and not reader.at_eof():
                writer.write(drip)
                said = await heard(reader)
    except ConnectionError:
        pass  # The server has reset the connection while we were speaking.
    finally:
        writer.close()
    return said == b""


async def heard(reader: asyncio.StreamReader) -> bytes:
    """What comes within a moment."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            return await reader.read(1024)
    return b""


async def answer(port: int) -> bytes:
    """The first line of the answer to a request that comes at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % port)
        async with asyncio.timeout(60):
            return await reader.readline()
    finally:
        writer.close()


@pytest.mark.fault(32)
@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\n", b"X-Slow: 1\r\n"),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b"a"),
    ],
    ids=["silent", "slow head", "slow body"],
)
async def test_slow_clients_are_cut_off_and_the_pages_answer_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, drip: bytes
) -> None:
    monkeypatch.setattr(TimedHttp, "head_seconds", 2.0)
    monkeypatch.setattr(TimedHttp, "body_seconds", 2.0)
    async with pages_port(tmp_path) as port, asyncio.TaskGroup() as group:
        said = first.replace(b"%d", str(port).encode())
        slow = [group.create_task(is_cut_off(port, said, drip)) for _ in range(SLOW_COUNT)]
        assert (await answer(port)).startswith(b"HTTP/1.1 200")
        assert all([await one for one in slow])
        assert (await answer(port)).startswith(b"HTTP/1.1 200")


@pytest.mark.fault(32)
async def test_clients_that_never_begin_their_tls_handshake_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HANDSHAKE_SECONDS", 2.0)
    issued = SiteCa(tmp_path / "ca").issue("127.0.0.1")
    files = {"certificate_file": issued.certificate_file, "key_file": issued.key_file}
    async with pages_port(tmp_path, **files) as port, asyncio.TaskGroup() as group:
        slow = [group.create_task(is_cut_off(port, b"", b"")) for _ in range(SLOW_COUNT)]
        assert all([await one for one in slow])


async def test_a_pause_between_two_requests_is_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimedHttp, "head_seconds", 1.0)
    async with pages_port(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port
        for _ in range(2):
            writer.write(request)
            async with asyncio.timeout(60):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
                while b"ok" not in await reader.readline():
                    pass
            await asyncio.sleep(1.5)  # Longer than a head may take, shorter than the pause that uvicorn allows.
        writer.close()
