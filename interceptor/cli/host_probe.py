"""What a machine promises a node: a disk that keeps what it confirms, a clock, ports, room for connections.

Each probe takes values and gives findings; none changes anything that stays, but for one small file in the
data directory that it removes again.

Failures: a probe that cannot look says so as a warning; nothing here raises for what it finds.
"""

import ctypes
import os
import resource
import socket
import stat
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from interceptor.config.address import Address

PROBE_COUNT = 40
PROBE_SIZE = 1024
"""Bytes of one write: about one order."""
SLOW_FSYNC_SECONDS = 0.020
"""A batch of held orders waits for one of these before its acknowledgment; a spinning disk has about 10 ms."""
FAST_FSYNC_SECONDS = 0.000_02
"""No disk confirms a write in 20 us: something between us and it says "done" too early."""
FREE_BYTES_MIN = 512 * 1024 * 1024
FILE_DESCRIPTORS_SPARE = 128
"""Files, pipes and sockets of a node beside its connections."""
SOCKET_PATH_SIZE_MAX = 107
_EARLIEST_YEAR = 2025
_ADJTIMEX_ERROR = 5
_ADJTIMEX_SIZE = 512


class Health(StrEnum):
    """How a finding stands."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFinding:
    """One thing that was looked at, in words for an administrator."""

    subject: str
    health: Health
    words: str


def good(subject: str, words: str) -> ProbeFinding:
    """All is well."""
    return ProbeFinding(subject=subject, health=Health.GOOD, words=words)


def warning(subject: str, words: str) -> ProbeFinding:
    """It works, but somebody should look."""
    return ProbeFinding(subject=subject, health=Health.WARNING, words=words)


def bad(subject: str, words: str) -> ProbeFinding:
    """A node should not run like this."""
    return ProbeFinding(subject=subject, health=Health.BAD, words=words)


def probe_folder(folder: Path) -> Iterator[ProbeFinding]:
    """Whether the data directory is ours and on a disk that keeps what it confirms."""
    if not folder.exists():
        parent = next(ancestor for ancestor in folder.parents if ancestor.exists())
        able = os.access(parent, os.W_OK | os.X_OK)
        tell = warning if able else bad
        yield tell(
            "data directory", f"{folder} is absent" + ("; the node will make it" if able else " and cannot be made")
        )
        return
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield bad("data directory", f"{folder} is not a folder that this user can write to")
        return
    free = os.statvfs(folder)
    free_size = free.f_bavail * free.f_frsize
    tell = good if free_size >= FREE_BYTES_MIN else bad
    yield tell("free space", f"{free_size / 1024**3:.1f} GiB on the disk of {folder}")
    yield probe_filesystem(folder)
    yield probe_durability(folder)


def probe_privacy(folder: Path) -> Iterator[ProbeFinding]:
    """Whether others are kept out of the journal's folder, once there is one: it holds orders."""
    if not folder.exists():
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield bad("permissions", f"{folder} is open to other users (mode {mode:04o}) and holds orders: chmod 700")
    else:
        yield good("permissions", f"{folder} is private (mode {mode:04o})")


def probe_filesystem(folder: Path) -> ProbeFinding:
    """Whether locks and fsync of the filesystem can be trusted."""
    from interceptor.journal.sqlite_file import NETWORK_FILESYSTEMS, filesystem_kind

    kind = filesystem_kind(folder)
    if kind in NETWORK_FILESYSTEMS:
        return bad(
            "filesystem", f"{folder} is on {kind}, a network filesystem: its locks and its fsync cannot be trusted"
        )
    if kind in ("tmpfs", "ramfs", "overlay"):
        return warning("filesystem", f"{folder} is on {kind}: held orders are gone after a restart of the machine")
    return good("filesystem", kind) if kind else warning("filesystem", "the system does not tell its kind")


def probe_durability(folder: Path) -> ProbeFinding:
    """Write and fdatasync small blocks; the median and the worst in milliseconds."""
    path = folder / f".durability-probe-{os.getpid()}"
    seconds: list[float] = []
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            for _ in range(PROBE_COUNT):
                os.write(descriptor, b"\0" * PROBE_SIZE)
                started = time.perf_counter()
                os.fdatasync(descriptor)
                seconds.append(time.perf_counter() - started)
        finally:
            os.close(descriptor)
            path.unlink()
    except OSError as error:
        return bad("durability", f"a probe file cannot be written: {error.strerror}")
    return judge_durability(seconds)


def judge_durability(seconds: list[float]) -> ProbeFinding:
    """What these fdatasync times (seconds) say of the disk."""
    median, worst = statistics.median(seconds), max(seconds)
    words = f"1 KiB is durable after {median * 1000:.2f} ms (median of {len(seconds)}, worst {worst * 1000:.2f} ms)"
    if median < FAST_FSYNC_SECONDS:
        return warning("durability", words + "; too fast for a disk: does a layer below confirm before it has written?")
    if median > SLOW_FSYNC_SECONDS:
        return warning("durability", words + "; slow: acknowledgments of held orders wait for this")
    return good("durability", words)


def probe_clock(now_year: int) -> Iterator[ProbeFinding]:
    """Whether the clock is sane and somebody keeps it right."""
    if now_year < _EARLIEST_YEAR:
        yield bad("clock", f"the year is {now_year}: deadlines of held orders would be wrong")
        return
    synchronised = _is_clock_synchronised()
    if synchronised is None:
        yield warning("clock", "the system does not tell whether its clock is synchronised")
    elif synchronised:
        yield good("clock", "synchronised")
    else:
        yield warning("clock", "not synchronised (no NTP): deadlines and the audit trail depend on it")


def _is_clock_synchronised() -> bool | None:
    """What the kernel's adjtimex says; None where it cannot be asked."""
    # struct timex begins with `modes`; zero only reads. Its size differs between platforms, so the buffer is ample.
    buffer = ctypes.create_string_buffer(_ADJTIMEX_SIZE)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _ADJTIMEX_ERROR


def probe_listener(key: str, address: Address, *, node_runs: bool) -> ProbeFinding:
    """Whether the node could listen there; a running node's own ports count as its own."""
    if address.port == 0:
        return good(key, "takes a free port")
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
    except OSError as error:
        if node_runs and error.errno is not None and os.strerror(error.errno) == "Address already in use":
            return good(key, f"{address} is in use, as it should be while the node runs")
        return bad(key, f"{address} cannot be listened on: {error.strerror}")
    return good(key, f"{address} is free")


def probe_destination(name: str, address: Address, *, timeout_seconds: float) -> ProbeFinding:
    """Whether something listens there now. Nothing is sent."""
    try:
        with socket.create_connection((address.host, address.port), timeout=timeout_seconds):
            return good(f"destination.{name}", f"{address} accepts connections")
    except OSError as error:
        return warning(f"destination.{name}", f"{address} does not answer: {error.strerror or type(error).__name__}")


def probe_control_socket(path: Path) -> ProbeFinding:
    """Whether the path fits into what the system allows for a Unix socket."""
    size = len(os.fsencode(path))
    if size > SOCKET_PATH_SIZE_MAX:
        return bad(
            "control socket", f"its path has {size} bytes, {SOCKET_PATH_SIZE_MAX} are allowed: set node.control_socket"
        )
    return good("control socket", str(path))


def probe_file_descriptors(connections_max: int) -> ProbeFinding:
    """Whether the process may open as many connections as the configuration allows."""
    needed = connections_max + FILE_DESCRIPTORS_SPARE
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        return bad("open files", f"{allowed} are allowed, {needed} may be needed: raise the limit (LimitNOFILE)")
    return good("open files", f"{allowed} are allowed, {needed} may be needed")
