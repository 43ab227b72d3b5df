"""A node process as its supervisor sees it: started, listened to, stopped, and ended when it hangs.

Two pipes join them. The child sees the end of the first when the supervisor dies; by the second the child's event
loop says that it turns (`supervisor_link.py`).

Failures: a program that cannot be started is an OSError. A child that does not stop in time is killed.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from interceptor.supervisor_link import BEAT_SECONDS, CONFIG_TAKEN, HEARTBEAT_VARIABLE, LIFE_VARIABLE, SERVING

EXIT_FAILED: Final = 70
"""The node found a fault of its own, or its journal is broken: start it again."""
EXIT_CANNOT_START: Final = 75
"""An address, the journal or the control socket could not be had: perhaps later."""
EXIT_HANDED_OVER: Final = 79
"""Another node has taken over the listeners: nothing is to be started in its place."""
NODE_MODULE = "interceptor"
"""The program of a node, as Python's -m takes it."""
STALLED_SECONDS: Final = 1.0
"""A silence that the operator is told of: every message waited that long."""
_ABORT_SECONDS: Final = 1.0
"""How long a hanging process may take to write down where it hangs."""
_READ_SIZE: Final = 4096
_LATE_SECONDS_MAX: Final = 2 * BEAT_SECONDS
"""A look that comes later than this says that the watcher itself did not run; so much of it counts as silence."""


class Silence:
    """How long nothing was heard, as a watcher counts it that may be starved of processor time itself."""

    def __init__(self, now: float) -> None:
        """*now* is monotonic time in seconds, as for `look`."""
        self._looked_at = now
        self.seconds = 0.0

    def heard(self) -> None:
        """Something was heard."""
        self.seconds = 0.0

    def look(self, now: float) -> float:
        """The seconds of silence so far. To be called every `BEAT_SECONDS`.

        Time in which this was not called does not count: a machine that slept, or is too busy for us, is
        not the fault of the one we listen to.
        """
        self.seconds += min(now - self._looked_at, _LATE_SECONDS_MAX)
        self._looked_at = now
        return self.seconds


class Child:
    """One process. Made by `running_child`."""

    def __init__(self, process: asyncio.subprocess.Process, heartbeats: int) -> None:
        """*heartbeats* is the read end of its pipe; the caller closes it."""
        self._process = process
        self._heartbeats = heartbeats
        self._silence = Silence(time.monotonic())
        self.started_at = time.monotonic()
        self.serving = asyncio.Event()
        """Set when the child says that it serves; it is listened to from then on."""
        self.config_taken = asyncio.Event()
        """Set when the child says that another configuration is in force; whoever reads it clears it."""
        asyncio.get_running_loop().add_reader(heartbeats, self._hear)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process.returncode is not None

    @property
    def silent_seconds(self) -> float:
        """How long its loop has been silent; 0 before it serves."""
        return self._silence.seconds if self.serving.is_set() else 0.0

    async def wait(self) -> int:
        """Its exit code, when it has ended; what it said before is heard by then."""
        code = await self._process.wait()
        self._hear()
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing when it has ended already."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def until_silent(self, seconds: float, *, noticed: Callable[[float], None]) -> None:
        """Return when its loop has been silent for so long; never before it serves, and never for 0.

        *noticed* is called once for each silence of more than `STALLED_SECONDS`.
        """
        is_noticed = False
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self._silence.look(time.monotonic())
            silent = self.silent_seconds
            if silent >= STALLED_SECONDS and not is_noticed:
                noticed(silent)
            is_noticed = silent >= STALLED_SECONDS
            if 0 < seconds <= silent:
                return

    async def stop(self, seconds_max: float) -> None:
        """Ask it to stop, wait, and kill it at last."""
        self.send(signal.SIGTERM)
        await self._end(seconds_max)

    async def abort(self) -> None:
        """End a process that hangs: it writes where each of its threads stands to its log, as far as it still can."""
        self.send(signal.SIGABRT)
        await self._end(_ABORT_SECONDS)

    async def _end(self, seconds_max: float) -> None:
        try:
            async with asyncio.timeout(seconds_max):
                await self._process.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self._process.wait()

    def _hear(self) -> None:
        try:
            heard = os.read(self._heartbeats, _READ_SIZE)
        except BlockingIOError:
            return
        if not heard:
            asyncio.get_running_loop().remove_reader(self._heartbeats)
            return
        self._silence.heard()
        if SERVING in heard:
            self.serving.set()
        if CONFIG_TAKEN in heard:
            self.config_taken.set()


@asynccontextmanager
async def running_child(command: Sequence[str], *, output_file: Path | None = None) -> AsyncIterator[Child]:
    """Start *command* and listen to it for the length of the block; leaving does not end it, but lets it know.

    Args:
        command: Program and arguments.
        output_file: Where its standard output and error are appended to; None: where ours go.

    Raises:
        OSError: It cannot be started.
    """
    life_reader, life_writer = os.pipe()
    beat_reader, beat_writer = os.pipe()
    os.set_blocking(beat_reader, False)
    output = None if output_file is None else os.open(output_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(life_reader, beat_writer),
                env={**os.environ, LIFE_VARIABLE: str(life_reader), HEARTBEAT_VARIABLE: str(beat_writer)},
                # Ctrl-C goes to the whole foreground group; the child is to hear of it from us alone.
                start_new_session=True,
            )
        finally:
            os.close(life_reader)
            os.close(beat_writer)
            if output is not None:
                os.close(output)
        try:
            yield Child(process, beat_reader)
        finally:
            asyncio.get_running_loop().remove_reader(beat_reader)
    finally:
        os.close(life_writer)
        os.close(beat_reader)


def node_command(config_path: str, *, take_over: bool = False) -> tuple[str, ...]:
    """The command line of the node process; *take_over* of one that takes the listeners of a running one."""
    options = ("--take-over",) if take_over else ()
    return (sys.executable, "-m", NODE_MODULE, "run", "--node-only", *options, "-c", config_path)
