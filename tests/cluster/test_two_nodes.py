"""Two nodes on one database: what one has taken, the other knows."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Nodes, cluster, until
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


@pytest.mark.hazard("H23")
async def test_a_breaker_that_opens_on_one_node_ends_holding_on_the_other(tmp_path: Path) -> None:
    """Holds count wherever they were taken: each node alone is below the limit."""
    async with cluster(tmp_path, holds_max_per_10_min=4) as both:
        async with placer_of(both.nodes[0]) as first, placer_of(both.nodes[1]) as second:
            for number in range(8):
                placer = (first, second)[number % 2]
                assert b"MSA|AA" in await placer.exchange(order(f"P{number}", control_id=f"M{number}"))
            await until(
                lambda: all("breaker_opened" in one.names() for one in both.events) or _modes(both) == {"annotate"}
            )
            for name, placer in (("X1", first), ("X2", second)):
                assert b"MSA|AA" in await placer.exchange(order(name, control_id=name))
        last = [content for content in both.filler.received if b"|X1|" in content or b"|X2|" in content]
        assert len(last) == 2
        assert all(b"\rNTE|" in content for content in last)


def _modes(both: Nodes) -> set[str]:
    return {str(row[0]) for row in both.rows("SELECT mode FROM route_mode")}


@pytest.mark.hazard("H2")
async def test_an_order_whose_node_is_gone_leaves_at_its_deadline_by_the_other(tmp_path: Path) -> None:
    """Deadlines are every node's: the timer of whoever lives releases, once."""
    async with cluster(tmp_path) as both:
        async with placer_of(both.nodes[0]) as placer:
            assert b"MSA|AA" in await placer.exchange(order("P1", control_id="M1"))
        both.rows("UPDATE entry SET deadline_at = '2020-01-01T00:00:00.000000Z' RETURNING 1")
        custody = both.nodes[1].custody
        await until(lambda: bool(custody.index.orders()))
        (waiting,) = custody.index.orders()
        await custody.refresh(waiting.entry_id)
        (got,) = await both.filler.wait_for(1, seconds=60)
        assert b"|M1|" in got
        assert (await custody.journal.audit_rows(entry_id=waiting.entry_id))[-1].action in (
            "deadline_passed",
            "acknowledged",
        )


async def test_a_sign_of_life_of_the_review_on_one_node_lets_the_other_hold(tmp_path: Path) -> None:
    async with cluster(tmp_path, hold_review_heartbeat_seconds=600, holds_max_per_10_min=10_000) as both:
        async with placer_of(both.nodes[1]) as placer, asyncio.timeout(90):
            await placer.exchange(order("P1", control_id="M1"))
            assert len(both.filler.received) == 1
            await both.command(0, "review_heartbeat")
            number = 1
            while not both.nodes[1].custody.index.orders():
                number += 1
                await placer.exchange(order(f"P{number}", control_id=f"M{number}"))
        assert (await both.command(0, "held_list"))["orders"]
