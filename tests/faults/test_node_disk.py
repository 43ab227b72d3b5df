"""A running node whose disk fills up, and has room again: orders go on, nothing new is held, everybody is told."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from interceptor.control.client import request_async
from interceptor.node import Node
from tests.support.loop_disk import LoopDisk, ballast, loop_disk, missing
from tests.support.metric_page import sample
from tests.support.mllp_peer import until
from tests.support.node import Events, Filler, Placer, filler, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order

ACCEPTED = b"\rMSA|AA|"
WHY_NOT = missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def is_ready(node: Node) -> tuple[bool, str]:
    """What the load balancer is told, with the details that a person gets."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.metrics_port}/readyz?verbose", timeout=5) as answer:
            return True, answer.read().decode()
    except urllib.error.HTTPError as error:
        return False, error.read().decode()


async def until_ready(node: Node, *, wanted: bool) -> str:
    """Wait until /readyz says so; the page."""
    deadline = time.monotonic() + 20
    while True:
        ready, page = await asyncio.to_thread(is_ready, node)
        if ready is wanted:
            return page
        assert time.monotonic() < deadline, page
        await asyncio.sleep(0.05)


def fill_low(disk: LoopDisk) -> AbstractContextManager[None]:
    """Not full, but with less room than new custody needs."""
    return ballast(disk, bytes_left=8 * 1024 * 1024)


def fill_up(disk: LoopDisk) -> AbstractContextManager[None]:
    """To the last block."""
    return ballast(disk, bytes_left=0)


@pytest.mark.fault(3)
@pytest.mark.hazard("H2", "H3", "H9", "H25")
@pytest.mark.parametrize("fill", [fill_low, fill_up])
async def test_on_a_full_disk_orders_go_on_annotated_and_everybody_is_told_until_there_is_room(
    fill: Callable[[LoopDisk], AbstractContextManager[None]],
) -> None:
    events = Events()
    with loop_disk(size_mib=96) as disk:
        async with filler() as ris:
            config = node_config(disk.folder / "data", filler_port=ris.port)
            async with node_of(config, events) as node, placer_of(node) as placer:
                for number in (1, 2):
                    assert ACCEPTED in await placer.exchange(order(f"P{number}", patient=f"{number}"))
                assert held(node) == {"P1^EPIC", "P2^EPIC"}
                with fill(disk):
                    assert "[-] journal_writable" in await until_ready(node, wanted=False)
                    await until_degraded(node, 1)
                    await place_on_a_full_disk(node, placer, ris)
                await until_ready(node, wanted=True)
                await until_degraded(node, 0)
                assert ACCEPTED in await placer.exchange(order("P9", patient="9"))
                assert held(node) == {"P9^EPIC"}
    assert {"journal_unavailable", "node_degraded", "node_recovered", "hold_refused"} <= set(events.names())


async def place_on_a_full_disk(node: Node, placer: Placer, ris: Filler) -> None:
    """What passes passes, what would be held goes on with a note, what is held can be released and cancelled."""
    film = order("P3", procedure=CHEST_FILM, reason="cough", patient="3")
    assert ACCEPTED in await placer.exchange(film)
    would_be_held = order("P4", patient="4")
    assert ACCEPTED in await placer.exchange(would_be_held)
    assert held(node) == {"P1^EPIC", "P2^EPIC"}
    assert ACCEPTED in await placer.exchange(order("P2", control="CA", control_id="CANCEL", patient="2"))
    (waiting,) = node.custody.index.orders()
    await request_async(node.control_socket, "held_release", entry=waiting.entry_id, actor="ann", reason="seen")
    first, annotated, released = await ris.wait_for(3)
    assert first == film
    for sent, arrived in ((would_be_held, annotated), (order("P1", patient="1"), released)):
        added = [line for line in arrived.split(b"\r") if line.startswith((b"NTE|", b"OBX|"))]
        assert added
        assert [line for line in arrived.split(b"\r") if line not in added] == sent.split(b"\r")
    await until(lambda: held(node) == set())


def held(node: Node) -> set[str]:
    return {one.order_key for one in node.custody.index.orders()}


async def until_degraded(node: Node, wanted: float) -> None:
    """Wait until Prometheus is told so; its page may be a moment old."""

    def read() -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.metrics_port}/metrics", timeout=5) as answer:
            return bytes(answer.read())

    async def shown() -> float:
        return sample(await asyncio.to_thread(read), "interceptor_degraded", reason="journal_unavailable")

    async with asyncio.timeout(20):
        while await shown() != wanted:  # noqa: ASYNC110 - a page that has to be asked for
            await asyncio.sleep(0.05)
