"""A fresh node takes over from the running one: no connection is refused, nothing is sent twice, the old one can always go on."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.support.node import filler
from tests.support.orders import order
from tests.support.supervised_node import SupervisedNode, exchange, film


@pytest.mark.fault(47)
@pytest.mark.hazard("H19")
async def test_a_fresh_node_takes_over_and_a_connection_made_in_between_is_answered_by_it(tmp_path: Path) -> None:
    async with filler() as ris:
        node = SupervisedNode(tmp_path, filler_port=ris.port)
        async with node.running():
            held = order("H1")
            assert b"MSA|AA|" in await exchange(node.placer_port, held)
            old = node.pid()
            node.ask_supervisor(signal.SIGUSR2)
            numbers = 0
            while not any(event.get("event") == "handover_ended" for event in node.events()):
                numbers += 1
                # A refused connection raises; so does an order that nobody answers.
                assert b"MSA|AA|" in await exchange(node.placer_port, film(f"A{numbers}"))
            assert b"MSA|AA|" in await exchange(node.placer_port, film("last"))
            assert node.pid() not in (None, old)
            assert len(ris.received) == numbers + 1
            listed = (await node.ask("held_list"))["orders"]
            assert [one["placer_order_number"] for one in listed] == ["H1"]


@pytest.mark.fault(27)
@pytest.mark.hazard("H19")
async def test_a_fresh_node_that_cannot_start_leaves_the_running_one_alone(tmp_path: Path) -> None:
    async with filler() as ris:
        node = SupervisedNode(tmp_path, filler_port=ris.port)
        async with node.running():
            old = node.pid()
            good = node.config.read_text(encoding="utf-8")
            node.config.write_text(good.replace("mode = ", "mood = "), encoding="utf-8")
            node.ask_supervisor(signal.SIGUSR2)
            async with asyncio.timeout(30):
                while not any(event.get("event") == "handover_failed" for event in node.events()):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            assert b"MSA|AA|" in await exchange(node.placer_port, film("A1"))
            assert node.pid() == old


async def scraped(port: int) -> bytes:
    """One scrape; a refused connection raises, as it would count as a failed one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(60):
        page = await reader.read()
    writer.close()
    return page


@pytest.mark.fault(47)
async def test_the_port_of_the_metrics_is_handed_over_and_no_scrape_is_refused(tmp_path: Path) -> None:
    async with filler() as ris:
        node = SupervisedNode(tmp_path, filler_port=ris.port)
        async with node.running():
            node.ask_supervisor(signal.SIGUSR2)
            while not any(event.get("event") == "handover_ended" for event in node.events()):
                # One that the old node had begun may be cut off with it; Prometheus would count no refusal either.
                page = await scraped(node.metrics_port)
                assert page == b"" or page.startswith(b"HTTP/1.1 200 ")
            assert (await scraped(node.metrics_port)).startswith(b"HTTP/1.1 200 ")
            (asked,) = (event for event in node.events() if event.get("event") == "handover_asked")
            assert asked["listeners"] == ["metrics", "route.orders"]
