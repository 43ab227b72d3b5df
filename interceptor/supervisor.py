"""`interceptor run`: node and review pages as processes of their own, and the supervisor that starts them again.

The node may be killed, hang, or stop itself over a broken journal, at any moment; what it acknowledged is in the
journal, so starting again is always right. The node knows its supervisor by a pipe: when the supervisor
dies, the node drains and ends, and never holds ports and journal against the next one.

    SIGTERM, SIGINT   drain the node and end
    SIGHUP            the node reads its configuration again
    SIGUSR2           a fresh node, of the version that is installed now, takes over from the running one

After a reload that the node took, however it was asked, and after a take-over, the review pages are started anew: they
read the same file and are of the same version, and the wire does not notice.

Failures: a node that never served and says that it cannot start is told and not tried again; one that served before is,
for ever, with a pause that grows to `PAUSE_SECONDS_MAX`. A node whose loop hangs is ended. A fresh node that cannot take over
changes nothing: the running one goes on. What becomes of the review pages is nothing to the node (`companion.py`).
"""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from interceptor.child import EXIT_HANDED_OVER, STALLED_SECONDS, Child, running_child
from interceptor.companion import Companion, companions
from interceptor.service_notify import ServiceNotifier
from interceptor.supervisor_link import BEAT_SECONDS
from interceptor.telemetry.events import PROCESS_ENDED, PROCESS_STARTED, SIGNAL_RECEIVED, EventLog
from interceptor.telemetry.operation_events import HANDOVER_ENDED, HANDOVER_FAILED, PROCESS_STALLED

PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 5.0
SETTLED_SECONDS = 20.0
"""A process that lived so long is started again without a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """How a node is supervised.

    Attributes:
        command: Program and arguments of the node.
        successor: The same, of a node that takes over from the running one.
        first: The command of the first start; None for `command`.
        stop_seconds_max: How long the process may take to stop before it is killed.
        watchdog_seconds: How long its loop may be silent before it is ended; 0 lets it hang.
        give_up_codes: Exit codes that mean "it will never start": from a node before any has served, however long its
            start took, they end the supervision. A person is looking at the terminal then.
    """

    command: Sequence[str]
    successor: Sequence[str]
    first: Sequence[str] | None = None
    stop_seconds_max: float
    watchdog_seconds: float = 10.0
    give_up_codes: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Wishes:
    """What we were asked by signals."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    replace: asyncio.Event = field(default_factory=asyncio.Event)


async def supervise(
    supervision: Supervision, *, log: EventLog, notifier: ServiceNotifier, beside: Sequence[Companion] = ()
) -> int:
    """Keep the node running until SIGTERM or SIGINT, and *beside* as long; returns the exit code for our own process."""
    async with companions(beside, log=log) as renew_beside:
        return await Supervisor(supervision, log=log, notifier=notifier, renew_beside=renew_beside).run()


class Supervisor:
    """One node process at a time, and a second one while it takes over."""

    def __init__(
        self,
        supervision: Supervision,
        *,
        log: EventLog,
        notifier: ServiceNotifier,
        renew_beside: Callable[[], None],
    ) -> None:
        """See `supervise`. *renew_beside* starts anew what runs beside the node."""
        self._supervision = supervision
        self._renew_beside = renew_beside
        self._has_served = False
        self._log = log
        self._notifier = notifier
        self._wishes = _Wishes()
        self._child: Child | None = None

    async def run(self) -> int:
        """Until we are asked to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked, number, self._wishes.stop)
        loop.add_signal_handler(signal.SIGUSR2, self._asked, signal.SIGUSR2, self._wishes.replace)
        loop.add_signal_handler(signal.SIGHUP, self._asked_to_reload)
        async with asyncio.TaskGroup() as group:
            watchdog = group.create_task(self._feed_watchdog())
            try:
                return await self._keep_running()
            finally:
                watchdog.cancel()

    def _asked(self, number: signal.Signals, wish: asyncio.Event) -> None:
        self._log.event(SIGNAL_RECEIVED, signal=number.name)
        if wish is self._wishes.stop:
            self._notifier.stopping()
        wish.set()

    def _asked_to_reload(self) -> None:
        self._log.event(SIGNAL_RECEIVED, signal=signal.SIGHUP.name)
        if self._child is not None:
            self._child.send(signal.SIGHUP)

    async def _feed_watchdog(self) -> None:
        """The service manager hears of us as long as the node's loop turns, or we are about to start a node."""
        is_ready = False
        while True:
            child = self._child
            if child is not None and child.serving.is_set() and not is_ready:
                is_ready = True
                self._notifier.ready()
            if child is None or child.silent_seconds < STALLED_SECONDS:
                self._notifier.watchdog()
            await asyncio.sleep(BEAT_SECONDS)

    async def _keep_running(self) -> int:
        supervision, pause = self._supervision, PAUSE_SECONDS_MIN
        command = supervision.first or supervision.command
        while True:
            code, lived = await self._run_once(command)
            if self._wishes.stop.is_set():
                return max(0, code)
            if code == EXIT_HANDED_OVER:
                return 0
            if not self._has_served and code in supervision.give_up_codes:
                return code
            command = supervision.command
            pause = PAUSE_SECONDS_MIN if lived > SETTLED_SECONDS else min(pause * 2, PAUSE_SECONDS_MAX)
            self._log.event(PROCESS_ENDED, process="node", exit_code=code, pause_seconds=pause)
            try:
                async with asyncio.timeout(pause):
                    await self._wishes.stop.wait()
                return 0
            except TimeoutError:
                continue

    async def _run_once(self, command: Sequence[str]) -> tuple[int, float]:
        """Run the process, and those that take over from it, to the end of the last: its exit code, how long it lived."""
        async with AsyncExitStack() as stack:
            child = await self._start(command, stack)
            try:
                while True:
                    self._child = child
                    await self._until_something(child)
                    self._has_served |= child.serving.is_set()
                    if child.config_taken.is_set():
                        child.config_taken.clear()
                        self._renew_beside()
                    if self._wishes.stop.is_set():
                        await child.stop(self._supervision.stop_seconds_max)
                    successor = await self._replace(child, stack) if self._wishes.replace.is_set() else None
                    if successor is None and child.has_ended:
                        return await child.wait(), time.monotonic() - child.started_at
                    child = successor or child
            finally:
                self._child = None

    async def _start(self, command: Sequence[str], stack: AsyncExitStack) -> Child:
        child = await stack.enter_async_context(running_child(command))
        self._log.event(PROCESS_STARTED, process="node", pid=child.pid)
        return child

    async def _until_something(self, child: Child) -> None:
        """Wait until the child ends, or we are asked for something; a child that hangs is ended."""

        def stalled(seconds: float) -> None:
            self._log.event(PROCESS_STALLED, process="node", pid=child.pid, silent_seconds=round(seconds, 2))

        async with asyncio.TaskGroup() as group:
            hangs = group.create_task(child.until_silent(self._supervision.watchdog_seconds, noticed=stalled))
            tasks = (
                group.create_task(child.wait()),
                group.create_task(self._wishes.stop.wait()),
                group.create_task(self._wishes.replace.wait()),
                group.create_task(child.config_taken.wait()),
                hangs,
            )
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if hangs.done():
                await child.abort()
            for task in tasks:
                task.cancel()

    async def _replace(self, child: Child, stack: AsyncExitStack) -> Child | None:
        """Start a node that takes over from *child*; the new one when that has handed over, None when it goes on."""
        self._wishes.replace.clear()
        if child.has_ended or self._wishes.stop.is_set():
            return None
        began = time.monotonic()
        successor = await self._start(self._supervision.successor, stack)
        async with asyncio.TaskGroup() as group:
            tasks = (
                group.create_task(child.wait()),
                group.create_task(successor.wait()),
                group.create_task(self._wishes.stop.wait()),
            )
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        if self._wishes.stop.is_set():
            await child.stop(self._supervision.stop_seconds_max)
            return successor
        if successor.has_ended:
            self._log.event(HANDOVER_FAILED, exit_code=await successor.wait())
            return None
        self._log.event(HANDOVER_ENDED, was=child.pid, pid=successor.pid, seconds=round(time.monotonic() - began, 3))
        self._renew_beside()
        return successor
