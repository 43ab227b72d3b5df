"""What is measured: a filler reached directly, through a raw relay, or through a node of ours.

Each target is a process of its own, with a port to send to. A node is started as people start it,
`interceptor run -c FILE`, on a configuration written here.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS_MAX = 30.0

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

_NODE_CONFIG = """\
[node]
name = "bench"
data_directory = "{folder}"
mappings = "{mappings}"

[metrics]
listen = "127.0.0.1:{metrics_port}"

[route.bench]
listen = "127.0.0.1:{port}"
destination = "filler"
mode = "{mode}"
custody = "{custody}"
connections_max = {placers_max}
connections_per_address_max = {placers_per_address_max}

[destination.filler]
address = "127.0.0.1:{filler_port}"
connections_max = {connections_max}
"""


_FEED_CONFIG = """
[feed.adt]
listen = "127.0.0.1:{port}"
"""


class CannotStart(Exception):  # noqa: N818 - what happened, not an error of ours
    """A target did not come up; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that takes messages.

    Attributes:
        name: For the table.
        port: Where to send.
        process_id: Whose processor time counts, with its children; None for the filler itself.
    """

    name: str
    port: int
    process_id: int | None


def compile_program(name: str, folder: Path) -> Path:
    """Compile `name`.c into *folder*.

    Raises:
        CannotStart: There is no C compiler, or it failed.
    """
    program = folder / name
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise CannotStart("no C compiler: apt-get install gcc libc6-dev")
    done = subprocess.run(
        [compiler, "-O2", "-Wall", "-o", str(program), str(HERE / f"{name}.c")], capture_output=True, text=True
    )
    if done.returncode:
        raise CannotStart(f"{name}.c does not compile:\n{done.stderr}")
    return program


@contextmanager
def running(command: list[str], *, log: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run *command* for the length of the block; what it says on standard error goes to *log*."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=os.environ | environment,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


@contextmanager
def port_printing(name: str, command: list[str], folder: Path) -> Iterator[Target]:
    """A program that prints its port as its first line."""
    with running(command, log=folder / f"{name}.log") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise CannotStart(f"{name} printed no port")
        yield Target(name=name, port=int(line), process_id=process.pid)


def find_free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def node(
    name: str,
    *,
    mode: str,
    custody: str,
    filler_port: int,
    connections_max: int,
    folder: Path,
    feed_port: int | None = None,
    metrics_port: int = 0,
    placers_max: int = 1000,
    placers_per_address_max: int = 1000,
    tables: str = "",
) -> Iterator[Target]:
    """A node of ours with one route, with a feed listener where *feed_port* is given, and with more *tables*.

    Raises:
        CannotStart: It ended, or does not listen.
    """
    port = find_free_port()
    file_name = name.replace(" ", "-")
    home = folder / file_name
    config = folder / f"{file_name}.toml"
    config.write_text(
        _NODE_CONFIG.format(
            folder=home,
            metrics_port=metrics_port,
            mappings=ROOT / "mappings",
            port=port,
            mode=mode,
            custody=custody,
            filler_port=filler_port,
            connections_max=connections_max,
            placers_max=placers_max,
            placers_per_address_max=placers_per_address_max,
        )
        + (_FEED_CONFIG.format(port=feed_port) if feed_port else "")
        + tables
    )
    log = folder / f"{file_name}.log"
    command = [sys.executable, "-m", "interceptor", "run", "-c", str(config)]
    with ExitStack() as stack:
        output = stack.enter_context((folder / f"{file_name}.out").open("w"))
        errors = stack.enter_context(log.open("w"))
        process = subprocess.Popen(command, stdout=output, stderr=errors, cwd=ROOT, start_new_session=True)
        try:
            _await_listener(process, port, log)
            yield Target(name=name, port=port, process_id=process.pid)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_listener(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = log.read_text().strip().splitlines()
            raise CannotStart(f"exit {process.returncode}: {said[-1] if said else 'said nothing'}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise CannotStart(f"does not listen after {START_SECONDS_MAX:.0f} s")


def read_processor_seconds(process_id: int) -> float:
    """Processor time of a process and all its descendants so far, user and system."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The command's name, in parentheses, may hold anything; what follows it is fixed.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        ticks[int(folder.name)] = int(fields[11]) + int(fields[12])
    family = {process_id}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return sum(ticks.get(member, 0) for member in family) / os.sysconf("SC_CLK_TCK")
