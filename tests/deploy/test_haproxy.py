"""The HAProxy samples with real HAProxy, real nodes and traffic: dead, hung, draining and back again.

Each prints how long the placer waited. The promise is 2 s for a killed node and 5 s for a stopped one; on a machine under
foreign load the clock says little, so what is asserted is several times that, and by which way the messages went.
"""

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from interceptor.config.schema import RouteTable
from tests.support.bypass import LoneNode, Traffic, haproxy_metrics, listening, running_haproxy
from tests.support.node import Filler

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="apt-get install haproxy")

PATIENCE = 4.0
"""How many times the promised seconds a loaded machine may need."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A placer's line with HAProxy in it."""

    node: LoneNode
    via_node: Filler
    direct: Filler
    traffic: Traffic
    metrics_port: int


@asynccontextmanager
async def line(sample: str, folder: Path) -> AsyncIterator[Line]:
    """HAProxy before one node and before the filler's second port, with a placer that sends."""
    via_node, direct, traffic = Filler(), Filler(), Traffic()
    async with AsyncExitStack() as stack:
        node = LoneNode(folder, filler_port=await stack.enter_async_context(listening(via_node)))
        stack.push_async_callback(node.end)
        await node.start()
        bypass = await stack.enter_async_context(listening(direct))
        addresses = {"NODE": f"127.0.0.1:{node.port}", "FILLER": f"127.0.0.1:{bypass}"}
        ports = await stack.enter_async_context(running_haproxy(sample, folder, **addresses))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        placer = group.create_task(traffic.run(ports[0]))
        stack.callback(placer.cancel)
        await traffic.until(20)
        yield Line(node=node, via_node=via_node, direct=direct, traffic=traffic, metrics_port=ports[1])


def all_arrived(running: Line) -> bool:
    """Whether every acknowledged message reached the filler, on whichever way."""
    arrived = running.via_node.received + running.direct.received
    return all(
        any(b"|" + control_id + b"|" in message for message in arrived)
        for control_id, _ in running.traffic.acknowledged
    )


@pytest.mark.hazard("H10")
@pytest.mark.parametrize(("number", "seconds_max"), [(signal.SIGKILL, 2.0), (signal.SIGSTOP, 5.0)])
async def test_a_node_that_is_dead_or_hung_is_gone_around_when_failing_open(
    number: signal.Signals, seconds_max: float, tmp_path: Path
) -> None:
    async with line("fail-open.cfg", tmp_path) as running:
        assert running.direct.received == []
        moment = running.node.signal(number)
        await running.traffic.until(20)
        gap = running.traffic.gap_after(moment)
        print(f"fail-open, {number.name}: bypassed after {gap:.2f} s (promised {seconds_max:.0f} s)")  # noqa: T201 - the figure is asked for
        assert gap < seconds_max * PATIENCE
        assert len(running.direct.received) >= 20
        status = await haproxy_metrics(running.metrics_port)
        assert 'haproxy_server_status{proxy="orders",server="node",state="UP"} 0' in status
        # What the alert BypassInUse asks for.
        for name in ("sessions_total", "current_sessions"):
            assert f'haproxy_server_{name}{{proxy="orders",server="filler"}} ' in status
        assert all_arrived(running)


@pytest.mark.hazard("H10")
async def test_a_node_that_goes_on_gets_the_placer_back_when_failing_open(tmp_path: Path) -> None:
    async with line("fail-open.cfg", tmp_path) as running:
        running.node.signal(signal.SIGSTOP)
        await running.traffic.until(20)
        seen = len(running.via_node.received)
        moment = running.node.signal(signal.SIGCONT)
        # The message that hung in the stopped node reaches the filler too: sent twice, and more come this way only when
        # HAProxy has let the node back in.
        async with asyncio.timeout(60):
            while len(running.via_node.received) < seen + 3:  # noqa: ASYNC110 - other tasks make it true
                await asyncio.sleep(0.01)
        took = time.monotonic() - moment
        print(f"fail-open, SIGCONT: through the node again after {took:.2f} s, {running.traffic.resent} sent twice")  # noqa: T201 - the figure is asked for
        bypassed = len(running.direct.received)
        await running.traffic.until(20)
        assert len(running.direct.received) == bypassed
        assert all_arrived(running)


@pytest.mark.hazard("H10", "H19")
async def test_a_node_that_drains_is_gone_around_without_a_refusal_when_failing_open(tmp_path: Path) -> None:
    async with line("fail-open.cfg", tmp_path) as running:
        moment = running.node.signal(signal.SIGTERM)
        await running.traffic.until(20)
        print(f"fail-open, SIGTERM: bypassed after {running.traffic.gap_after(moment):.2f} s")  # noqa: T201 - the figure is asked for
        assert running.direct.received
        assert all_arrived(running)


@pytest.mark.parametrize(("number", "seconds_max"), [(signal.SIGKILL, 2.0), (signal.SIGSTOP, 5.0)])
async def test_a_placer_is_turned_away_at_once_and_keeps_its_orders_when_failing_closed(
    number: signal.Signals, seconds_max: float, tmp_path: Path
) -> None:
    async with line("fail-closed.cfg", tmp_path) as running:
        running.node.signal(number)
        async with asyncio.timeout(seconds_max * PATIENCE):
            while 'server="node",state="UP"} 1' in await haproxy_metrics(running.metrics_port):  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.05)
        at_rest = len(running.traffic.acknowledged)
        resent = running.traffic.resent
        async with asyncio.timeout(60):
            while running.traffic.resent < resent + 5:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.02)
        assert len(running.traffic.acknowledged) == at_rest
        if number is signal.SIGSTOP:
            running.node.signal(signal.SIGCONT)
        else:
            await running.node.start()
        await running.traffic.until(20)
        assert running.direct.received == []
        assert all_arrived(running)


@pytest.mark.hazard("H10")
async def test_the_second_node_stands_in_and_after_it_the_filler(tmp_path: Path) -> None:
    fillers = (Filler(), Filler(), Filler())
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(listening(filler)) for filler in fillers]
        nodes = []
        for name, port in zip("ab", ports[:2], strict=True):
            (tmp_path / name).mkdir()
            nodes.append(LoneNode(tmp_path / name, filler_port=port))
            stack.push_async_callback(nodes[-1].end)
            await nodes[-1].start()
        addresses = {
            "NODE_A": f"127.0.0.1:{nodes[0].port}",
            "NODE_B": f"127.0.0.1:{nodes[1].port}",
            "FILLER": f"127.0.0.1:{ports[2]}",
        }
        port, _ = await stack.enter_async_context(running_haproxy("two-nodes.cfg", tmp_path, **addresses))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        traffic = Traffic()
        placer = group.create_task(traffic.run(port))
        stack.callback(placer.cancel)
        await traffic.until(10)
        assert [bool(filler.received) for filler in fillers] == [True, False, False]
        nodes[0].signal(signal.SIGSTOP)
        await traffic.until(10)
        assert [bool(filler.received) for filler in fillers] == [True, True, False]
        nodes[1].signal(signal.SIGKILL)
        await traffic.until(10)
        assert all(filler.received for filler in fillers)


def test_the_samples_ask_what_a_route_can_be_told_to_answer() -> None:
    assert "health_probe" in RouteTable.model_fields
