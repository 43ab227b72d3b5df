"""Many, slow and large at one time: limits hold, memory is bounded, the messages of others go on."""

import asyncio
import resource
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from interceptor.wire.frame import encode_frame
from tests.support.feed_message import feed_message, visit
from tests.support.hostile_filler import hostile_filler
from tests.support.metric_page import sample
from tests.support.mllp_peer import RawPeer, until
from tests.support.node import Events, Filler, accept, filler, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order
from tests.support.supervised_node import SupervisedNode, exchange

MIB = 1024 * 1024


def film(number: object, *, size: int = 0) -> bytes:
    """An order that passes, padded to about *size* bytes by a Z segment."""
    return order(f"P{number}", procedure=CHEST_FILM, reason="cough") + (b"ZPD|" + b"x" * size + b"\r" if size else b"")


async def send_slowly(peer: RawPeer, content: bytes) -> None:
    peer.send(content)
    await peer.writer.drain()


@pytest.mark.fault(29)
@pytest.mark.hazard("H10")
async def test_large_messages_together_stop_the_reading_of_their_connections_and_nothing_is_dropped(
    tmp_path: Path,
) -> None:
    """Twelve senders with 5 of 6 MiB sent and a bound of 16 MiB: a light one is served meanwhile, then all twelve are."""
    events = Events()
    contents = [film(number, size=6 * MIB) for number in range(12)]
    async with filler() as ris, AsyncExitStack() as stack:
        config = node_config(tmp_path, filler_port=ris.port, node_inbound_bytes_max=16 * MIB)
        node = await stack.enter_async_context(node_of(config, events))
        heavy = [await stack.enter_async_context(RawPeer.connect(node.ports["orders"])) for _ in contents]
        frames = [encode_frame(content) for content in contents]
        async with asyncio.TaskGroup() as group:
            for peer, frame in zip(heavy, frames, strict=True):
                group.create_task(send_slowly(peer, frame[: 5 * MIB]))
            await until(lambda: "memory_short" in events.names())
            assert sample(node.metrics.render(), "interceptor_memory_paused") == 1
            async with placer_of(node) as light:
                assert await light.exchange(film("LIGHT")) == accept(film("LIGHT"))[1:-2]
            for peer, frame in zip(heavy, frames, strict=True):
                group.create_task(send_slowly(peer, frame[5 * MIB :]))
            async with asyncio.timeout(60):
                answers = await asyncio.gather(*(peer.read_content() for peer in heavy))
        assert all(b"MSA|AA|CP%d\r" % number in answer for number, answer in enumerate(answers))
        assert sorted(ris.received) == sorted([film("LIGHT"), *contents])
        await until(lambda: "memory_freed" in events.names())
        await until(lambda: sample(node.metrics.render(), "interceptor_inbound_held_bytes") == 0)


@pytest.mark.fault(30)
@pytest.mark.hazard("H10")
async def test_a_burst_is_answered_in_order_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    """Twenty placers write fifty orders each without waiting for one answer."""
    async with filler() as ris, AsyncExitStack() as stack:
        node = await stack.enter_async_context(node_of(node_config(tmp_path, filler_port=ris.port)))
        peers = [await stack.enter_async_context(RawPeer.connect(node.ports["orders"])) for _ in range(20)]
        async with asyncio.TaskGroup() as group:
            for number, peer in enumerate(peers):
                burst = b"".join(encode_frame(film(f"{number}x{each}")) for each in range(50))
                group.create_task(send_slowly(peer, burst))
            for number, peer in enumerate(peers):
                for each in range(50):
                    assert b"MSA|AA|CP%dx%d\r" % (number, each) in await peer.read_content()
        assert len(ris.received) == len(set(ris.received)) == 1000


@pytest.mark.fault(31)
async def test_descriptors_are_kept_back_for_the_filler_when_peers_take_all_others(tmp_path: Path) -> None:
    events = Events()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        in_use = probe.fileno()
    async with hostile_filler() as ris, AsyncExitStack() as stack:
        config = node_config(tmp_path, filler_port=ris.port, connections_max=500, connections_per_address_max=500)
        try:
            # Both ends of each connection are in this process. The node's own files come first.
            resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 64 + 60, hard))
            node = await stack.enter_async_context(node_of(config, events))
            port = node.ports["orders"]
            peers = [await stack.enter_async_context(RawPeer.connect(port)) for _ in range(40)]

            def refused() -> float:
                page = node.metrics.render()
                return sample(page, "interceptor_inbound_connections_total", route="orders", result="refused_limit")

            await until(lambda: refused() > 0)
            # The filler's connection ends: there is a descriptor for the next one.
            for session in ris.sessions:
                session.writer.close()
            await until(lambda: sample(node.metrics.render(), "interceptor_destination_up", destination="ris") == 0)
            await until(lambda: sample(node.metrics.render(), "interceptor_destination_up", destination="ris") == 1)
            peers[0].send(encode_frame(film(1)))
            assert b"MSA|AA|CP1\r" in await peers[0].read_content()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    reasons = {fields.get("reason") for name, fields in events.seen if name == "connection_refused"}
    assert reasons == {"descriptors_short"}


@pytest.mark.fault(32)
@pytest.mark.hazard("H10")
async def test_a_feed_whose_senders_never_finish_is_there_for_those_that_do(tmp_path: Path) -> None:
    from tests.node.test_feed import feed_config

    async with filler() as ris, AsyncExitStack() as stack:
        config = feed_config(tmp_path, filler_port=ris.port, connections_max=12, read_timeout_seconds=0.5)
        node = await stack.enter_async_context(node_of(config))
        slow = [await stack.enter_async_context(RawPeer.connect(node.ports["adt"])) for _ in range(10)]
        for peer in slow:
            peer.send(b"\x0bMSH|^~\\&|")
        async with placer_of(node, "adt") as sender:
            for number in range(5):
                message = feed_message("ADT^A08", visit("V1"), control_id=f"F{number}")
                assert b"MSA|AA" in await sender.exchange(message)
        assert all(await asyncio.gather(*(peer.is_dropped() for peer in slow)))


@pytest.mark.fault(52)
@pytest.mark.hazard("H10")
async def test_a_filler_is_reached_at_its_last_address_while_its_name_cannot_be_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hostile_filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port)
        destination = config.destination["ris"]
        named = destination.model_copy(update={"address": type(destination.address)("localhost", ris.port)})
        async with (
            node_of(config.model_copy(update={"destination": {"ris": named}})) as node,
            placer_of(node) as placer,
        ):
            await placer.exchange(film(1))
            look_up = socket.getaddrinfo
            failed: list[str] = []

            def without_names(host: object, *rest: object, **more: object) -> object:
                if host == "localhost":
                    failed.append(str(host))
                    raise socket.gaierror(socket.EAI_AGAIN, "no name server")
                return look_up(host, *rest, **more)  # type: ignore[arg-type]  # as it was called

            monkeypatch.setattr(socket, "getaddrinfo", without_names)
            ris.sessions[0].writer.close()
            await until(lambda: failed)
            await placer.exchange(film(2))
        assert ris.contents == [film(1), film(2)]


# The sizes that the promise is made for; prints figures, asserts counts and memory, never a time.


def peak_mib(pid: int) -> float:
    """The largest resident size of a process so far."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


async def median_latency(port: int, count: int) -> float:
    """Seconds of one order on a connection that stands, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.250", 0))
    times = []
    try:
        for number in range(count):
            began = time.perf_counter()
            writer.write(encode_frame(film(f"L{number}")))
            await reader.readuntil(b"\x1c\r")
            times.append(time.perf_counter() - began)
    finally:
        writer.close()
    return statistics.median(times)


@asynccontextmanager
async def supervised(tmp_path: Path, ris: Filler, *, node: str = "", route: str = "") -> AsyncIterator[SupervisedNode]:
    async with SupervisedNode(tmp_path, filler_port=ris.port, node=node, route=route).running() as running:
        yield running


async def page_of(node: SupervisedNode) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.metrics_port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
    page = await reader.read()
    writer.close()
    return page


async def open_idle(port: int, number: int, idle: list[socket.socket], places: asyncio.Semaphore) -> None:
    """Connect from an address of its own kind and say nothing; being turned away at once is what is expected."""
    one = socket.socket()
    one.setblocking(False)
    idle.append(one)
    one.bind((f"127.0.{1 + number // 200}.{1 + number % 200}", 0))
    async with places:
        with suppress(OSError):
            await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port))


@pytest.mark.deep
@pytest.mark.fault(31)
@pytest.mark.timeout(600)
async def test_ten_thousand_idle_connections_are_cut_to_the_limit(tmp_path: Path) -> None:
    async with filler() as ris, supervised(tmp_path, ris) as node:
        assert b"MSA|AA" in await exchange(node.placer_port, film("FIRST"))
        before = await median_latency(node.placer_port, 500)
        pid = node.pid()
        assert pid is not None
        memory = peak_mib(pid)
        idle: list[socket.socket] = []
        try:
            places = asyncio.Semaphore(100)
            await asyncio.gather(*(open_idle(node.placer_port, number, idle, places) for number in range(10_000)))
            # One place is left for somebody who is there already: others are turned away, not those inside.
            async with asyncio.timeout(60):
                while True:
                    page = await page_of(node)
                    name = "interceptor_inbound_connections_total"
                    refused = sample(page, name, route="orders", result="refused_limit")
                    if refused == 9_800:
                        break
                    await asyncio.sleep(0.1)
            assert sample(page, "interceptor_inbound_connections", route="orders") == 200
            for one in idle[:50]:
                one.close()
            await asyncio.sleep(0.5)
            during = await median_latency(node.placer_port, 500)
            grown = peak_mib(pid) - memory
        finally:
            for one in idle:
                one.close()
        sys.stdout.write(
            f"\n10,000 connections: {refused:.0f} refused, +{grown:.1f} MiB, latency x{during / before:.2f}"
        )
        assert grown < 64


@pytest.mark.deep
@pytest.mark.fault(29)
@pytest.mark.timeout(1200)
async def test_ten_thousand_messages_of_a_megabyte_pass_within_bounded_memory(tmp_path: Path) -> None:
    count, senders = 10_000, 20
    content = film("BIG", size=MIB)
    route = "frame_size_max = 4194304\n"
    ris = _Counting()
    server = await asyncio.get_running_loop().create_server(lambda: _CountingFiller(ris), "127.0.0.1", 0)
    ris.port = server.sockets[0].getsockname()[1]
    running = SupervisedNode(tmp_path, filler_port=ris.port, node=f"inbound_bytes_max = {16 * MIB}\n", route=route)
    async with running.running() as node:
        assert b"MSA|AA" in await exchange(node.placer_port, film("FIRST"))
        pid = node.pid()
        assert pid is not None
        start = peak_mib(pid)
        frame = encode_frame(content)

        async def send(messages: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.placer_port)

            async def write() -> None:
                for _ in range(messages):
                    writer.write(frame)
                    await writer.drain()

            async with asyncio.TaskGroup() as group:
                group.create_task(write())
                for _ in range(messages):
                    assert b"MSA|AA" in await reader.readuntil(b"\x1c\r")
            writer.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(senders):
                group.create_task(send(count // senders))
        peak = peak_mib(pid)
        sys.stdout.write(f"\n{count} messages of 1 MB: peak {peak:.0f} MiB, at the start {start:.0f} MiB")
        assert ris.count == count + 1
        # Twenty senders that never wait for an answer; each message is in memory several times while it is read and sent.
        assert peak < 640
    server.close()


class _Counting:
    count = 0
    port = 0


class _CountingFiller(asyncio.Protocol):
    """Answers each frame and keeps nothing of it."""

    def __init__(self, ris: _Counting) -> None:
        self._ris = ris

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._head = b""
        self._last = b""

    def data_received(self, data: bytes) -> None:
        if len(self._head) < 512:
            self._head += data[:512]
        if b"\x1c\r" in self._last + data[-2:] or data.endswith(b"\x1c\r"):
            self._ris.count += 1
            self._transport.write(accept(self._head[1:].partition(b"\r")[0] + b"\r"))
            self._head = b""
        self._last = data[-1:]


@pytest.mark.deep
@pytest.mark.fault(30, 31, 32)
@pytest.mark.hazard("H10")
@pytest.mark.timeout(600)
def test_others_are_served_while_peers_mean_no_good_or_too_much_of_it(tmp_path: Path) -> None:
    """10,000 idle connections, slowloris on the orders' and the metrics' port, a burst of ten times as much, one without end.

    Prints what the others waited with and without; asserts that nobody else lost anything, and that limits and memory hold.
    """
    from tests.benchmarks.hostile_load import line_of, measure_disturbances
    from tests.benchmarks.throughput import Plan

    found = measure_disturbances(Plan(warm_seconds=1.0, seconds=5.0), tmp_path, lambda _line: None)
    for one in found:
        sys.stdout.write("\n" + line_of(one))
        assert (one.quiet.errors, one.during.errors) == (0, 0), one.name
        assert one.standing <= 200, one.name
        assert one.grown_mib < 64, one.name
        assert one.crowd["answered"] == (one.crowd["sent"] if "peer" in one.name else 0), one.name
    assert found[0].crowd["attempted"] == 10_000
    assert found[0].refused == 10_000 - 200 + 8, "those that stood before are inside, and stay"
