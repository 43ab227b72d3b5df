"""A process that runs beside the node: started with it, started again whenever it ends, stopped with it.

The review pages are one. Whatever becomes of a companion, the node goes on: nobody waits for it, and its exit code is
only logged. When the configuration or the version of the program is another one, it is stopped and started again.

Failures: one that cannot be started, or ends, is started again after a pause that grows to `PAUSE_SECONDS_MAX`; one
whose event loop hangs is ended first.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from interceptor.child import running_child
from interceptor.telemetry.events import PROCESS_ENDED, PROCESS_STARTED, EventLog
from interceptor.telemetry.operation_events import PROCESS_STALLED

PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 5.0
SETTLED_SECONDS = 20.0
"""A process that lived so long is started again without a pause."""
STOP_SECONDS_MAX = 10.0
"""How long a companion may take to stop before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A process to keep running.

    Attributes:
        name: In log events.
        command: Program and arguments.
        output_file: Where its standard output and error are appended to; None: where ours go.
        watchdog_seconds: How long its event loop may be silent, once it serves, before it is ended and started again.
    """

    name: str
    command: tuple[str, ...]
    output_file: Path | None = None
    watchdog_seconds: float = 30.0


@dataclass(slots=True)
class _Wishes:
    """What one companion is asked for: to stop, or to begin anew."""

    stop: asyncio.Event
    renew: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def companions(beside: Sequence[Companion], *, log: EventLog) -> AsyncIterator[Callable[[], None]]:
    """Keep these running for the length of the block; leaving stops them and waits for it.

    Gives what starts each of them anew, without waiting for it.
    """
    stop = asyncio.Event()
    wishes = [_Wishes(stop) for _ in beside]

    def renew() -> None:
        for one in wishes:
            one.renew.set()

    async with asyncio.TaskGroup() as group:
        for companion, wish in zip(beside, wishes, strict=True):
            group.create_task(_keep_running(companion, wish, log=log), name=companion.name)
        try:
            yield renew
        finally:
            stop.set()


def review_command(config_path: str) -> tuple[str, ...]:
    """The command line of the review process."""
    return (sys.executable, "-m", "interceptor", "run", "--review-only", "-c", config_path)


async def _keep_running(companion: Companion, wishes: _Wishes, *, log: EventLog) -> None:
    pause, stop = PAUSE_SECONDS_MIN, wishes.stop
    while not stop.is_set():
        wishes.renew.clear()
        began, code = time.monotonic(), -1
        with suppress(OSError):  # No memory, no processes left: tried again like one that ended.
            code = await _run_once(companion, wishes, log=log)
        if stop.is_set():
            return
        if wishes.renew.is_set():
            pause = PAUSE_SECONDS_MIN
            continue
        pause = PAUSE_SECONDS_MIN if time.monotonic() - began > SETTLED_SECONDS else min(pause * 2, PAUSE_SECONDS_MAX)
        log.event(PROCESS_ENDED, process=companion.name, exit_code=code, pause_seconds=pause)
        await _wait(stop, pause)


async def _run_once(companion: Companion, wishes: _Wishes, *, log: EventLog) -> int:
    async with running_child(companion.command, output_file=companion.output_file) as child:
        log.event(PROCESS_STARTED, process=companion.name, pid=child.pid)

        def stalled(seconds: float) -> None:
            log.event(PROCESS_STALLED, process=companion.name, pid=child.pid, silent_seconds=round(seconds, 2))

        async with asyncio.TaskGroup() as group:
            hangs = group.create_task(child.until_silent(companion.watchdog_seconds, noticed=stalled))
            tasks = (
                hangs,
                group.create_task(child.wait()),
                group.create_task(wishes.stop.wait()),
                group.create_task(wishes.renew.wait()),
            )
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if hangs.done():
                await child.abort()
            elif not child.has_ended:
                # One that is asked to stop turns no loop at its end, and that is no fault.
                hangs.cancel()
                await child.stop(STOP_SECONDS_MAX)
            for task in tasks:
                task.cancel()
        return await child.wait()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
