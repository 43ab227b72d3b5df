"""Holding, dying, coming back, releasing: the program as its users run it, in processes of its own."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interceptor.wire.frame import encode_frame
from tests.support.command import CommandResult, RunningCommand, run_command, running_command
from tests.support.node import free_port
from tests.support.orders import CHEST_FILM, order, order_group

CONFIG = """
[node]
data_directory = "data"
[metrics]
listen = "127.0.0.1:0"
[route.orders]
listen = "127.0.0.1:{placer_port}"
destination = "ris"
mode = "enforce"
[destination.ris]
address = "127.0.0.1:{filler_port}"
reconnect_seconds_max = 0.5
[hold]
set_window_seconds = {window}
"""


class Site:
    """A node and the addresses around it."""

    def __init__(self, folder: Path, *, window: float = 0.0) -> None:
        self.placer_port, self.filler_port = free_port(), free_port()
        self.config = folder / "interceptor.toml"
        self.config.write_text(
            CONFIG.format(placer_port=self.placer_port, filler_port=self.filler_port, window=window), encoding="utf-8"
        )

    @contextmanager
    def running(self) -> Iterator[RunningCommand]:
        """`interceptor run` until its listener answers; ended in order on leaving."""
        with running_command("run", "-c", self.config) as process:
            try:
                wait_for_port(self.placer_port)
                yield process
            finally:
                process.interrupt()
                code, _, errors = process.wait()
        assert code == 0, errors

    def send(self, content: bytes) -> bytes:
        """Send one message on a connection of its own and return the answer."""
        with socket.create_connection(("127.0.0.1", self.placer_port), timeout=20) as placer:
            placer.sendall(encode_frame(content))
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                received = placer.recv(65536)
                assert received, "the connection closed without an answer"
                answer += received
        return answer[1:-2]

    def held(self) -> list[dict[str, object]]:
        return run_command("held", "list", "--json", "-c", self.config).json_lines

    def release(self, entry: object) -> CommandResult:
        return run_command("held", "release", str(entry), "--reason", "seen", "-c", self.config)


def wait_for_port(port: int) -> None:
    """Return when something accepts connections there."""
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < end, "the node did not open its port"
            time.sleep(0.02)
        else:
            return


def node_pid(run: RunningCommand, *, other_than: int = 0) -> int:
    """The process id of the node below a supervisor, once there is one that is not *other_than*."""
    end = time.monotonic() + 30
    while True:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text(encoding="ascii").split()
        found = [int(child) for child in children if int(child) != other_than]
        if found:
            return found[0]
        assert time.monotonic() < end, "no node was started"
        time.sleep(0.02)


def kill_node(run: RunningCommand) -> None:
    """Kill the node as the kernel would, and return when its successor was started."""
    before = node_pid(run)
    os.kill(before, signal.SIGKILL)
    node_pid(run, other_than=before)


@pytest.mark.fault(1)
@pytest.mark.hazard("H3")
def test_a_held_order_survives_a_kill_and_leaves_once_with_its_note(tmp_path: Path) -> None:
    """AA to the placer, nothing to the filler, kill -9, release: the original bytes plus the note, once."""
    site = Site(tmp_path)
    content = order("P1")
    with running_command("listen", str(site.filler_port), "--json", "--save", tmp_path / "got") as listener:
        listener.read_line()
        with site.running() as run:
            assert b"MSA|AA|CP1" in site.send(content)
            kill_node(run)
            wait_for_port(site.placer_port)
            held = site.held()
            assert [(one["placer_order_number"], one["state"]) for one in held] == [("P1", "held")]
            assert not list((tmp_path / "got").glob("*"))
            released = site.release(held[0]["entry"])
            assert released.code == 0, released.errors
            assert listener.read_json()
            again = site.release(held[0]["entry"])
            assert again.code == 1
            assert "already released by" in again.errors
        received = [path.read_bytes() for path in sorted((tmp_path / "got").iterdir())]
    assert len(received) == 1
    added = [line for line in received[0].split(b"\r") if line.startswith((b"NTE|", b"OBX|"))]
    assert added
    assert [line for line in received[0].split(b"\r") if line not in added] == content.split(b"\r")


@pytest.mark.hazard("H1")
def test_an_unrelated_order_in_the_same_message_goes_on_at_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    content = order("P1", extra_orders=(order_group("P2", procedure=CHEST_FILM, reason="cough"),))
    with running_command("listen", str(site.filler_port), "--json", "--save", tmp_path / "got") as listener:
        listener.read_line()
        with site.running():
            assert b"MSA|AA|CP1" in site.send(content)
            listener.read_json()
            assert [one["placer_order_number"] for one in site.held()] == ["P1"]
    received = next((tmp_path / "got").iterdir()).read_bytes()
    head, _, rest = content.partition(b"ORC|")
    assert received == head + order_group("P2", procedure=CHEST_FILM, reason="cough")
    assert rest


@pytest.mark.hazard("H4")
@pytest.mark.fault(45)
def test_a_cancel_of_a_held_order_never_reaches_the_filler(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with running_command("listen", str(site.filler_port), "--json", "--save", tmp_path / "got") as listener:
        listener.read_line()
        with site.running():
            site.send(order("P1"))
            assert b"MSA|AA|CANCEL" in site.send(order("P1", control="CA", control_id="CANCEL"))
            assert site.held() == []
            site.send(order("P9", procedure=CHEST_FILM))
            listener.read_json()
    received = [path.read_bytes() for path in (tmp_path / "got").iterdir()]
    assert received == [order("P9", procedure=CHEST_FILM)]


def test_three_siblings_of_one_set_leave_together_in_arrival_order(tmp_path: Path) -> None:
    """Each alone would be held; the third completes the set."""
    site = Site(tmp_path, window=20.0)
    procedures = ("72156^MRI C SPINE^C4", "72157^MRI T SPINE^C4", "72158^MRI L SPINE^C4")
    contents = [order(f"P{n}", procedure=name, group="G1^EPIC") for n, name in enumerate(procedures)]
    with running_command("listen", str(site.filler_port), "--json", "--save", tmp_path / "got") as listener:
        listener.read_line()
        with site.running():
            for content in contents:
                assert b"MSA|AA|" in site.send(content)
            for _ in contents:
                listener.read_json()
    assert [path.read_bytes() for path in sorted((tmp_path / "got").iterdir())] == contents


@pytest.mark.fault(19)
@pytest.mark.hazard("H5")
def test_a_resent_order_gets_the_same_answer_and_is_held_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.running():
        first = site.send(order("P1"))
        assert site.send(order("P1")) == first
        assert len(site.held()) == 1
