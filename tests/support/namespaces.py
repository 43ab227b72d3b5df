r"""Machines on this machine: network namespaces around one that forwards between them, and cuts a way without a word.

    database    node-0    node-1 ...    outside (placers and filler: the test's own sockets)
          \        |        |          /
                     between

Each machine has an address of its own, 10.213.N.2. A cut way drops packets silently, in both directions, as a switch that
fails does: nobody is told, connections stay open. Nothing outside the namespaces is changed. Root only.
"""

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
_C = ctypes.CDLL(None, use_errno=True)


def missing() -> str:
    """Why there can be no namespaces here, with the command that helps; "" when there can."""
    if shutil.which("ip") is None:
        return "ip is missing: apt-get install iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root: run the tests with sudo"
    name = f"probe{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "add", "one", "type", "veth", "peer", "name", "other")
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made here: {error.stderr.strip()}"
    finally:
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", name)
    return ""


def need_namespaces() -> None:
    """Skip the test where there are none; under CI that is a failure."""
    if why := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)


class Network:
    """Machines by name, each with a way to every other."""

    def __init__(self, machines: tuple[str, ...]) -> None:
        self._machines = machines
        self._mark = f"hl7i{os.getpid()}"

    def namespace(self, machine: str) -> str:
        """What `ip netns` calls the machine."""
        return f"{self._mark}-{machine}"

    def address(self, machine: str) -> str:
        """The machine's address."""
        return f"10.213.{self._machines.index(machine) + 1}.2"

    def build(self) -> None:
        """Make the namespaces and the ways between them."""
        between = self.namespace("between")
        _ip("netns", "add", between)
        _ip("netns", "exec", between, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for number, machine in enumerate(self._machines, 1):
            own = self.namespace(machine)
            _ip("netns", "add", own)
            _ip("-n", own, "link", "set", "lo", "up")
            _ip("-n", own, "link", "add", "eth0", "type", "veth", "peer", "name", f"to{number}", "netns", between)
            _ip("-n", own, "addr", "add", f"10.213.{number}.2/24", "dev", "eth0")
            _ip("-n", own, "link", "set", "eth0", "up")
            _ip("-n", between, "addr", "add", f"10.213.{number}.1/24", "dev", f"to{number}")
            _ip("-n", between, "link", "set", f"to{number}", "up")
            _ip("-n", own, "route", "add", "default", "via", f"10.213.{number}.1")

    def remove(self) -> None:
        """Remove what was made, whatever of it there is."""
        for machine in (*self._machines, "between"):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", self.namespace(machine))

    def cut(self, one: str, other: str) -> None:
        """No packet comes through between these two, and nobody is told."""
        self._rule("add", one, other)

    def mend(self, one: str, other: str) -> None:
        """The way is there again."""
        with suppress(subprocess.CalledProcessError):
            self._rule("del", one, other)

    def _rule(self, word: str, one: str, other: str) -> None:
        for source, target in ((one, other), (other, one)):
            way = ("iif", f"to{self._machines.index(source) + 1}", "to", self.address(target))
            _ip("-n", self.namespace("between"), "rule", word, *way, "priority", "10", "type", "blackhole")

    @contextmanager
    def inside(self, machine: str) -> Iterator[None]:
        """Sockets that are made and processes that are started in this block are the machine's. No await in it."""
        with _open_namespace(Path("/proc/thread-self/ns/net")) as own:
            with _open_namespace(Path("/run/netns") / self.namespace(machine)) as there:
                _enter(there)
            try:
                yield
            finally:
                _enter(own)

    def socket(self, machine: str) -> socket.socket:
        """A TCP socket of that machine, for asyncio."""
        with self.inside(machine):
            made = socket.socket()
        made.setblocking(False)
        return made


@contextmanager
def network(*machines: str) -> Iterator[Network]:
    """Machines for the length of the block; nothing runs on them at its end."""
    made = Network(machines)
    try:
        made.build()
        yield made
    finally:
        made.remove()


@contextmanager
def _open_namespace(path: Path) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY)
    try:
        yield number
    finally:
        os.close(number)


def _enter(namespace: int) -> None:
    if _C.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
