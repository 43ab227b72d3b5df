"""Two nodes on one database: what one has taken, the other knows."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import cluster
from tests.support.node import placer_of
from tests.support.orders import order


def is_whole(nodes: list[dict[str, Any]]) -> bool:
    """Both nodes gave a sign of life, and one delivers."""
    return len(nodes) == 2 and any(one["delivers"] for one in nodes)


pytestmark = pytest.mark.timeout(180)


@pytest.mark.hazard("H4")
@pytest.mark.fault(38)
async def test_a_cancel_that_comes_to_another_node_ends_the_order_there(tmp_path: Path) -> None:
    """The order was acknowledged by the first node; its cancel comes to the second at once, and the filler sees neither."""
    async with cluster(tmp_path) as both:
        async with placer_of(both.nodes[0]) as first, placer_of(both.nodes[1]) as second:
            for number in range(10):
                assert b"MSA|AA" in await first.exchange(order(f"P{number}", control_id=f"M{number}"))
                assert b"MSA|AA" in await second.exchange(order(f"P{number}", control_id=f"C{number}", control="CA"))
        assert both.filler.received == []


@pytest.mark.fault(19, 44)
async def test_an_order_that_one_node_holds_is_released_on_the_other_once(tmp_path: Path) -> None:
    """Two people, one on each node: the second learns that the first was faster, the filler gets the order once."""
    async with cluster(tmp_path) as both:
        async with placer_of(both.nodes[0]) as placer:
            content = order("P1", control_id="M1")
            assert b"MSA|AA" in await placer.exchange(content)
        (held,) = (await both.command(1, "held_list"))["orders"]
        words = {"entry": held["entry"], "version": held["version"], "reason": "seen"}
        await both.command(1, "held_release", actor="ann", **words)
        with pytest.raises(Exception, match="already"):
            await both.command(0, "held_release", actor="bob", **words)
        (got,) = await both.filler.wait_for(1)
        assert got.startswith(content[:60])
        async with placer_of(both.nodes[1]) as placer:
            assert b"MSA|AA" in await placer.exchange(content)
        assert len(both.filler.received) == 1


async def test_a_mode_set_on_one_node_is_in_force_on_the_other(tmp_path: Path) -> None:
    async with cluster(tmp_path) as both:
        await both.command(0, "mode_set", route="orders", mode="shadow", actor="ann", reason="test")
        async with placer_of(both.nodes[1]) as placer:
            await placer.exchange(order("P1", control_id="M1"))
        assert len(both.filler.received) == 1


async def test_the_status_names_the_nodes_and_who_delivers(tmp_path: Path) -> None:
    async with cluster(tmp_path) as both:
        async with placer_of(both.nodes[1]) as placer:
            await placer.exchange(order("P1", control_id="M1"))
            (held,) = (await both.command(0, "held_list"))["orders"]
            await both.command(0, "held_release", entry=held["entry"], version=held["version"], reason="x", actor="ann")
            await both.filler.wait_for(1)
        async with asyncio.timeout(30):
            while True:
                nodes = (await both.command(0, "status"))["nodes"]
                if is_whole(nodes):
                    break
                await asyncio.sleep(0.2)
        assert [one["name"] for one in nodes] == ["node-0", "node-1"]
        assert sorted(name for one in nodes for name in one["delivers"]) == ["ris"]
