"""`interceptor run`: the node as a process of its own, and the supervisor that starts it again when it ends unasked.

The node may be killed, or stop itself over a broken journal, at any moment; what it acknowledged is in the
journal, so starting again is always right. The node knows its supervisor by a pipe: when the supervisor
dies, the node drains and ends, and never holds ports and journal against the next one.

Failures: a node that could not even start once is told and not tried again; one that ran before is, for ever,
with a pause that grows to `PAUSE_SECONDS_MAX`.
"""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Sequence

from interceptor import __version__
from interceptor.config.schema import Config
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.node import running_node
from interceptor.telemetry.events import (
    NODE_STARTED,
    NODE_STOPPED,
    PROCESS_ENDED,
    PROCESS_STARTED,
    SIGNAL_RECEIVED,
    EventLog,
)

PIPE_VARIABLE = "INTERCEPTOR_SUPERVISOR_FD"
PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 5.0
SETTLED_SECONDS = 20.0
"""A process that lived so long is started again without a pause."""
STARTING_SECONDS = 5.0
"""A process that ends within this time, the first time, could not start: a person is looking at the terminal."""


async def supervise(
    command: Sequence[str], *, log: EventLog, stop_seconds_max: float, give_up_codes: frozenset[int]
) -> int:
    """Keep one process running until SIGTERM or SIGINT; returns the exit code for our own process.

    Args:
        command: Program and arguments of the node.
        log: Where events go.
        stop_seconds_max: How long the process may take to stop before it is killed.
        give_up_codes: Exit codes that mean "it will never start": at the first start they end the supervision.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _asked_to_stop, stop, number, log)
    pause = PAUSE_SECONDS_MIN
    is_first = True
    while True:
        began = time.monotonic()
        code = await _run_once(command, stop, log=log, stop_seconds_max=stop_seconds_max)
        if stop.is_set():
            return max(0, code)
        lived = time.monotonic() - began
        if is_first and lived < STARTING_SECONDS and code in give_up_codes:
            return code
        is_first = False
        pause = PAUSE_SECONDS_MIN if lived > SETTLED_SECONDS else min(pause * 2, PAUSE_SECONDS_MAX)
        log.event(PROCESS_ENDED, process="node", exit_code=code, pause_seconds=pause)
        try:
            async with asyncio.timeout(pause):
                await stop.wait()
            return 0
        except TimeoutError:
            continue


def _asked_to_stop(stop: asyncio.Event, number: int, log: EventLog) -> None:
    log.event(SIGNAL_RECEIVED, signal=signal.Signals(number).name)
    stop.set()


async def _run_once(command: Sequence[str], stop: asyncio.Event, *, log: EventLog, stop_seconds_max: float) -> int:
    """Run the process to its end; when asked to stop, ask it, wait, and kill it at last."""
    reader, writer = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(reader,),
            env={**os.environ, PIPE_VARIABLE: str(reader)},
            # Ctrl-C goes to the whole foreground group; the node is to hear of it from us alone.
            start_new_session=True,
        )
    finally:
        os.close(reader)
    log.event(PROCESS_STARTED, process="node", pid=process.pid)
    try:
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(process.wait())
            asked = group.create_task(stop.wait())
            await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await _stop_process(process, stop_seconds_max)
            asked.cancel()
        return ended.result()
    finally:
        os.close(writer)


async def _stop_process(process: asyncio.subprocess.Process, stop_seconds_max: float) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(stop_seconds_max):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def watch_supervisor(gone: asyncio.Event) -> None:
    """In the node: set *gone* when the supervisor that started this process is dead; without one, do nothing."""
    number = os.environ.get(PIPE_VARIABLE, "")
    if not number.isdigit():
        return
    descriptor = int(number)
    asyncio.get_running_loop().add_reader(descriptor, _pipe_readable, descriptor, gone)


def _pipe_readable(descriptor: int, gone: asyncio.Event) -> None:
    # Nothing is ever written to the pipe: readable means that its other end is closed.
    asyncio.get_running_loop().remove_reader(descriptor)
    gone.set()


def node_command(config_path: str) -> tuple[str, ...]:
    """The command line of the node process."""
    return (sys.executable, "-m", "interceptor", "run", "--node-only", "-c", config_path)


async def run_node(config: Config, *, log: EventLog, content: ClinicalContent, supervisor_gone: asyncio.Event) -> int:
    """Run a node until SIGTERM, SIGINT, the end of its supervisor, or a failure; returns the exit code.

    Raises:
        JournalError, ControlError, OSError: It could not start.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    async with running_node(config, log=log, content=content) as node:
        log.event(NODE_STARTED, node=config.node.name, version=__version__, pid=os.getpid(), loop=type(loop).__module__)
        _settle_garbage_collector()
        await _first_of(asked, node.failed, supervisor_gone)
        if not node.failed.is_set():
            await node.drain()
    log.event(NODE_STOPPED, node=config.node.name)
    return EXIT_FAILED if node.failed.is_set() else 0


def _settle_garbage_collector() -> None:
    """Leave what the start made (code tables, text tables: half a million objects) out of every later collection.

    Messages make few cycles; looking for them after every 700 new objects was 3 % of the node's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _first_of(*events: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(event.wait()) for event in events]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


EXIT_FAILED = 70
"""The node found a fault of its own, or its journal is broken: start it again."""
EXIT_CANNOT_START = 75
"""An address, the journal or the control socket could not be had: perhaps later."""
