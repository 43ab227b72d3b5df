"""A node whose loop hangs is noticed and started again; systemd hears of what it has to know, and of nothing else."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from interceptor.child import Silence
from interceptor.service_notify import ServiceNotifier, notifier_of
from tests.support.mllp_peer import WAIT_SECONDS_MAX
from tests.support.node import filler
from tests.support.orders import order
from tests.support.supervised_node import ROOT, SupervisedNode, exchange, film

LONG_SECONDS = 60.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_SECONDS):
        while not condition():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


@pytest.mark.fault(53)
@pytest.mark.hazard("H1", "H10")
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGSTOP], ids=["blocked loop", "stopped process"])
async def test_a_node_that_hangs_is_noticed_restarted_and_has_forgotten_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with filler() as ris:
        node = SupervisedNode(
            tmp_path, filler_port=ris.port, node="watchdog_seconds = 2.0", module="tests.support.blocking_node"
        )
        async with node.running():
            await exchange(node.placer_port, order("H1"))
            hanging = node.pid()
            assert hanging is not None
            os.kill(hanging, number)
            await until(lambda: node.count_events("process_stalled") == 1)
            await until(lambda: node.count_events("node_started") == 2)
            assert node.pid() != hanging
            assert b"MSA|AA|" in await exchange(node.placer_port, film("A1"))
            listed = (await node.ask("held_list"))["orders"]
            assert [one["placer_order_number"] for one in listed] == ["H1"]
            if number is signal.SIGUSR1:
                # Where it hung is in the log: names of files and functions, never a value.
                assert "block_the_loop" in (tmp_path / "log").read_text(encoding="utf-8")


def test_time_in_which_the_watcher_itself_did_not_run_is_not_the_nodes_silence() -> None:
    silence = Silence(100.0)
    assert silence.look(100.25) == 0.25
    # The machine slept for an hour.
    assert silence.look(3700.0) == 0.75
    silence.heard()
    assert silence.look(3700.25) == 0.25


@pytest.fixture
def service_manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens with."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(WAIT_SECONDS_MAX)
        yield manager


def states(manager: socket.socket) -> list[str]:
    """Everything that was sent so far, without what repeats."""
    manager.settimeout(0.0)
    heard: list[str] = []
    with suppress(BlockingIOError):
        while True:
            word = manager.recv(4096).decode("ascii").partition("\n")[0]
            if word not in heard:
                heard.append(word)
    return heard


def test_each_state_is_one_datagram_and_nobody_inherits_the_socket(
    tmp_path: Path, service_manager: socket.socket
) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "HOME": "/"}
    notifier = notifier_of(environment)
    assert environment == {"HOME": "/"}
    notifier.ready()
    notifier.watchdog()
    notifier.stopping()
    assert states(service_manager) == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_a_reload_is_told_with_its_time(tmp_path: Path, service_manager: socket.socket) -> None:
    ServiceNotifier(str(tmp_path / "notify"), monotonic_ns=lambda: 5_000_000).reloading()
    assert service_manager.recv(4096) == b"RELOADING=1\nMONOTONIC_USEC=5000"


@pytest.mark.parametrize("address", ["", "/nobody/listens/here"])
def test_where_nobody_listens_nothing_is_raised(address: str) -> None:
    ServiceNotifier(address).ready()


@pytest.mark.hazard("H10")
@pytest.mark.parametrize("options", [(), ("--node-only",)], ids=["supervised", "alone"])
async def test_systemd_hears_ready_when_orders_are_taken_and_a_watchdog_from_the_loop(
    tmp_path: Path, service_manager: socket.socket, options: tuple[str, ...]
) -> None:
    async with filler() as ris:
        node = SupervisedNode(tmp_path, filler_port=ris.port)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "interceptor", "run", *options, "-c", str(node.config)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        try:
            await node.until_serving()
            heard = states(service_manager)
            async with asyncio.timeout(LONG_SECONDS):
                while not {"READY=1", "WATCHDOG=1"} <= set(heard):
                    await asyncio.sleep(0.02)
                    heard += states(service_manager)
            process.terminate()
            async with asyncio.timeout(LONG_SECONDS):
                assert await process.wait() == 0
            assert "STOPPING=1" in states(service_manager)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
