"""A node that comes back after a gap: what may have been overtaken on the way around it is not sent without a person."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from interceptor.bypass import alive_file, gap_seconds
from interceptor.control.client import request_async
from interceptor.node import Node
from tests.support.metric_page import sample
from tests.support.node import Events, filler, free_port, node_config, node_of, placer_of
from tests.support.orders import order
from tests.support.supervised_node import film

pytestmark = pytest.mark.hazard("H21")


async def ask(node: Node, command: str, **arguments: object) -> Any:
    return await request_async(node.control_socket, command, timeout_seconds=60, **arguments)


async def leave_one_queued_and_one_held(folder: Path, port: int) -> None:
    """A node in store custody whose filler is away takes two orders, and goes."""
    config = node_config(folder, filler_port=port, custody="store", node_bypass_gap_seconds=2.0)
    async with node_of(config) as node, placer_of(node) as placer:
        assert b"MSA|AA|" in await placer.exchange(film("Q1"))
        assert b"MSA|AA|" in await placer.exchange(order("H1"))


def away_for(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(alive_file(folder), (then, then))


async def test_after_a_gap_what_was_queued_waits_for_a_person_and_held_orders_say_so(tmp_path: Path) -> None:
    await leave_one_queued_and_one_held(tmp_path, free_port())
    away_for(tmp_path, 60)
    events = Events()
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, custody="store", node_bypass_gap_seconds=2.0)
        async with node_of(config, events) as node, placer_of(node) as placer:
            # A new order does not wait behind it.
            assert b"MSA|AA|" in await placer.exchange(film("N1"))
            assert await ris.wait_for(1) == [film("N1")]
            (dead,) = (await ask(node, "dead_list"))["dead"]
            assert dead["error"] == "maybe_overtaken"
            (held,) = (await ask(node, "held_list"))["orders"]
            assert "Ask the filler before it is released" in held["summary"]["bypass"]
            told = dict(events.seen)["bypass_suspected"]
            assert (told["dead_letters"], told["held"]) == (1, 1)
            page = node.metrics.render()
            assert sample(page, "interceptor_dead_letters_total", destination="ris", reason="maybe_overtaken") == 1
            # The person has asked: it goes.
            await ask(node, "dead_retry", outbox_id=dead["outbox_id"], actor="ann")
            assert await ris.wait_for(2) == [film("N1"), film("Q1")]


@pytest.mark.parametrize(("seconds", "limit"), [(0.0, 2.0), (60.0, 0.0)], ids=["no gap", "no bypass"])
async def test_without_a_gap_or_without_a_bypass_what_was_queued_is_delivered(
    tmp_path: Path, seconds: float, limit: float
) -> None:
    await leave_one_queued_and_one_held(tmp_path, free_port())
    away_for(tmp_path, seconds)
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, custody="store", node_bypass_gap_seconds=limit)
        async with node_of(config):
            assert await ris.wait_for(1) == [film("Q1")]


def test_a_node_that_never_lived_here_has_no_gap(tmp_path: Path) -> None:
    assert gap_seconds(tmp_path, now=time.time()) == 0.0
