"""A real Prometheus scrapes a real node under a real fault: the alert fires, leads to its runbook, and ends with the fault."""

import asyncio
import itertools
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from interceptor.config.schema import FhirTable
from interceptor.simulate.fhir_record import IDENTIFIER_SYSTEM
from interceptor.simulate.fhir_server import Fault, serving
from interceptor.wire.frame import encode_frame
from tests.support import loop_disk, prometheus
from tests.support.fhir import record
from tests.support.loop_disk import ballast
from tests.support.node import filler, free_port, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order
from tests.support.prometheus import DOCS_URL, Prometheus
from tests.support.source_tree import ROOT
from tests.support.supervised_node import SupervisedNode

WHY_NOT = prometheus.missing()
NO_DISK = loop_disk.missing()
pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.timeout(240)]


async def comes(watch: Prometheus, name: str, **labels: str) -> None:
    """The alert fires, and says where to read on."""
    alert = await watch.until_firing(name, **labels)
    assert alert["annotations"]["runbook_url"] == f"{DOCS_URL}/runbooks/{name}/"
    assert (ROOT / "docs" / "runbooks" / f"{name}.md").exists()
    assert "error" not in alert["annotations"]["summary"], alert["annotations"]


def films() -> Iterator[bytes]:
    """Orders that pass."""
    for number in itertools.count(1):
        yield order(f"F{number}", procedure=CHEST_FILM, reason="cough", patient=f"{number}")


@asynccontextmanager
async def placing(port: int, orders: Iterator[bytes], *, pause_seconds: float = 0.1) -> AsyncIterator[None]:
    """A placer that sends an order, waits for its answer and sends the next, for the length of the block."""

    async def place() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for one in orders:
                writer.write(encode_frame(one))
                await reader.readuntil(b"\x1c\r")
                await asyncio.sleep(pause_seconds)
        finally:
            writer.close()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(place())
        yield
        task.cancel()


@asynccontextmanager
async def filler_process(port: int) -> AsyncIterator[None]:
    """A filler that is a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "interceptor", "listen", str(port)),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.fault(8)
async def test_a_filler_that_is_stopped_is_told_of_until_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    async with (
        node_of(node_config(tmp_path / "node", filler_port=port)) as node,
        prometheus.prometheus(tmp_path / "p", node.metrics_port) as watch,
    ):
        async with filler_process(port):
            await watch.until("interceptor_destination_up == 1")
            await watch.until_over("FillerDown")
            async with placer_of(node) as placer:
                assert b"MSA|AA" in await placer.exchange(next(films()))
            await watch.until_evaluated(2)
            assert await watch.firing("FillerDown") == []
        await comes(watch, "FillerDown", destination="ris", severity="page")
        async with filler_process(port):
            await watch.until_over("FillerDown")


@pytest.mark.hazard("H9")
async def test_a_feed_that_falls_silent_is_told_of_until_it_speaks(tmp_path: Path) -> None:
    async with (
        filler() as ris,
        node_of(node_config(tmp_path / "node", filler_port=ris.port)) as node,
        prometheus.prometheus(tmp_path / "p", node.metrics_port, {"> 14400": "> 5"}) as watch,
    ):
        async with placing(node.ports["orders"], films()):
            await watch.until_over("FeedSilent")
            await watch.until_evaluated(6)
            assert await watch.firing("FeedSilent") == []
        await comes(watch, "FeedSilent", route="orders", severity="page")
        async with placing(node.ports["orders"], films()):
            await watch.until_over("FeedSilent")


@pytest.mark.hazard("H2")
async def test_a_held_order_that_nobody_looks_at_is_told_of_until_it_has_left(tmp_path: Path) -> None:
    # 36 seconds until its deadline: half of them are gone when a ticket is written, three quarters when a person is called.
    async with filler() as ris:
        config = node_config(tmp_path / "node", filler_port=ris.port, hold_deadline_hours_max=0.01)
        async with node_of(config) as node, prometheus.prometheus(tmp_path / "p", node.metrics_port) as watch:
            async with placer_of(node) as placer:
                assert b"MSA|AA" in await placer.exchange(order("P1"))
            await watch.until_evaluated(3)
            assert await watch.firing("HeldOverdue") == []
            await comes(watch, "HeldOverdue", severity="ticket")
            await comes(watch, "HeldOverdue", severity="page")
            await watch.until_over("HeldOverdue")
            await comes(watch, "ReleasedUnreviewed", end="deadline_passed")


@pytest.mark.fault(24)
async def test_a_fhir_server_that_fails_is_told_of_until_it_answers(tmp_path: Path) -> None:
    async with serving(record()) as server, filler() as ris:
        table = {
            "base_url": server.base_url,
            "systems": {"HOSP": IDENTIFIER_SYSTEM},
            "fresh_seconds": 0.0,
            "revalidate_seconds": 0.0,
            "stale_seconds": 0.0,
            "breaker_pause_seconds": 0.5,
            "breaker_pause_seconds_max": 0.5,
        }
        config = node_config(tmp_path / "node", filler_port=ris.port, mode="annotate")
        config = config.model_copy(update={"fhir": {"epic": FhirTable.model_validate(table)}})
        async with node_of(config) as node, prometheus.prometheus(tmp_path / "p", node.metrics_port) as watch:
            asking = (order(f"P{number}", diagnoses=()) for number in itertools.count(1))
            async with placing(node.ports["orders"], asking):
                await watch.until_evaluated(3)
                assert await watch.firing("LookupFailing") == []
                server.fault = Fault.SERVER_ERROR
                await comes(watch, "LookupFailing", source="epic", severity="page")
                server.fault = Fault.NONE
                await watch.until_over("LookupFailing")


@pytest.mark.fault(3)
@pytest.mark.hazard("H25")
@pytest.mark.skipif(bool(NO_DISK), reason=NO_DISK)
async def test_a_disk_that_fills_up_is_told_of_until_there_is_room(tmp_path: Path) -> None:
    with loop_disk.loop_disk(size_mib=96) as disk:
        async with filler() as ris, node_of(node_config(disk.folder / "data", filler_port=ris.port)) as node:
            limit = {"< 1073741824": "< 16777216"}
            async with prometheus.prometheus(tmp_path / "p", node.metrics_port, limit) as watch:
                assert await watch.firing("DiskLow") == []
                with ballast(disk, bytes_left=8 * 1024 * 1024):
                    await comes(watch, "DiskLow", severity="page")
                await watch.until_over("DiskLow")


@asynccontextmanager
async def slow_disk(pid: int, *, milliseconds: int) -> AsyncIterator[None]:
    """Every write to the disk of a process takes so much longer, for the length of the block."""
    process = await asyncio.create_subprocess_exec(
        *("strace", "-q", "-f", "-p", str(pid), "-o", "/dev/null", "-e", "trace=fsync,fdatasync"),
        *("-e", f"inject=fsync,fdatasync:delay_exit={milliseconds * 1000}"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.skipif(shutil.which("strace") is None or os.geteuid() != 0, reason="apt-get install strace, as root")
async def test_a_disk_that_is_slow_is_told_of_until_it_is_quick(tmp_path: Path) -> None:
    async with filler() as ris:
        supervised = SupervisedNode(tmp_path, filler_port=ris.port, route='custody = "store"')
        limit = {"[5m]))) > 0.1": "[5m]))) > 0.25"}
        async with (
            supervised.running(),
            placing(supervised.placer_port, films()),
            prometheus.prometheus(tmp_path / "p", supervised.metrics_port, limit) as watch,
        ):
            await watch.until_over("JournalSlow")
            pid = supervised.pid()
            assert pid is not None
            async with slow_disk(pid, milliseconds=600):
                await comes(watch, "JournalSlow", severity="ticket")
            await watch.until_over("JournalSlow")
