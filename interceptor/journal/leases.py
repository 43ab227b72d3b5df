"""Which destinations this node delivers to: one node at a time for each.

A lease stands in the database, on its clock, with an epoch that counts the holders. Here it has a deadline of its own
that is earlier, on a clock that runs on while the process or the machine sleeps: past it nothing is sent, and what is
on its way is cut off with a reset. Another node begins only after the lease and TCP_USER_TIMEOUT: by then nothing of the
old one can still arrive (the model is tests/faults/models/lease.pml).

Failures: a database that does not answer: the lease runs out, delivery waits until it is back. Everything else goes on.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from interceptor.journal.nodes import Nodes
from interceptor.journal.port import JournalUnavailable
from interceptor.telemetry.events import LEASE_LOST, LEASE_TAKEN, EventLog

LOCAL_SHARE = 0.8
"""Of the lease's time, how much this node counts on: clocks may run at different speeds, and a reset takes a moment."""
WATCH_SECONDS = 0.05


class Leases:
    """The destinations that are ours now."""

    def __init__(
        self,
        nodes: Nodes,
        waits: Mapping[str, float],
        *,
        lease_seconds: float,
        clock: Callable[[], float],
        log: EventLog,
    ) -> None:
        """*waits*: by destination, TCP_USER_TIMEOUT in seconds; *clock* counts seconds and never stands still."""
        self._nodes = nodes
        self._waits = dict(waits)
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._log = log
        self._until: dict[str, float] = {}
        self._on_change: dict[str, Callable[[], None]] = {}
        self._is_closing = False

    def listen(self, destination: str, changed: Callable[[], None]) -> None:
        """Have *changed* called when *destination* becomes ours or is ours no more."""
        self._on_change[destination] = changed

    def may_send(self, destination: str) -> bool:
        """Whether bytes may leave for *destination* now."""
        return self._clock() < self._until.get(destination, float("-inf"))

    @property
    def held(self) -> tuple[str, ...]:
        """Destinations that are ours."""
        return tuple(name for name in sorted(self._until) if self.may_send(name))

    async def run(self) -> None:
        """Take and renew until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="lease-watch")
            while True:
                with suppress(JournalUnavailable):  # The watch ends what cannot be renewed.
                    await self._tick()
                await asyncio.sleep(self._lease_seconds / 5)

    async def close(self) -> None:
        """Give every lease back: call it when nothing is on its way any more."""
        self._is_closing = True
        ours = self.held
        self._until.clear()
        try:
            await self._nodes.release(ours)
        except JournalUnavailable:
            return  # They run out by themselves.

    async def _tick(self) -> None:
        if self._is_closing:
            return
        if ours := {name: self._waits[name] for name in self.held}:
            asked_at = self._clock()
            kept = await self._nodes.renew(ours, lease_seconds=self._lease_seconds)
            for name in ours:
                if name in kept and name in self._until:
                    self._until[name] = asked_at + self._lease_seconds * LOCAL_SHARE
                elif name not in kept:
                    self._lose(name)
        for name in sorted(set(self._waits) - set(self._until)):
            asked_at = self._clock()
            again = await self._nodes.take_over(name, lease_seconds=self._lease_seconds, wait_seconds=self._waits[name])
            if again is not None and not self._is_closing:
                self._until[name] = asked_at + self._lease_seconds * LOCAL_SHARE
                self._log.event(LEASE_TAKEN, destination=name, possible_duplicates=again)
                self._tell(name)

    async def _watch(self) -> None:
        while True:
            for name in list(self._until):
                if not self.may_send(name):
                    self._lose(name)
            await asyncio.sleep(WATCH_SECONDS)

    def _lose(self, name: str) -> None:
        if self._until.pop(name, None) is not None:
            self._log.event(LEASE_LOST, destination=name)
            self._tell(name)

    def _tell(self, name: str) -> None:
        if (changed := self._on_change.get(name)) is not None:
            changed()
