"""All deadlines of one connection on one timer.

Setting or moving a deadline is a dictionary write; the event loop's timer is only touched when a deadline
comes earlier than the timer stands. A busy connection that moves a 30 second deadline with every message
costs one timer in 30 seconds, not one for each message.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto


class Deadline(Enum):
    """What a connection waits for."""

    IDLE = auto()
    READ = auto()
    SILENCE = auto()
    WRITE = auto()
    FINISH = auto()
    LINGER = auto()


class Deadlines:
    """The deadlines that stand, and the timer that wakes for the earliest."""

    __slots__ = ("_due", "_expired", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[Deadline], None]) -> None:
        """*expired* is called with each deadline that passed; it no longer stands then and may be set again."""
        self._loop = loop
        self._expired = expired
        self._due: dict[Deadline, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, deadline: Deadline, seconds: float) -> None:
        """Let *deadline* pass *seconds* from now, whatever it stood at before."""
        at = self._loop.time() + seconds
        self._due[deadline] = at
        timer = self._timer
        if timer is None:
            self._timer = self._loop.call_at(at, self._wake)
        elif at < timer.when():
            timer.cancel()
            self._timer = self._loop.call_at(at, self._wake)

    def clear(self, deadline: Deadline) -> None:
        """Forget *deadline*; nothing happens if it does not stand."""
        self._due.pop(deadline, None)

    def stands(self, deadline: Deadline) -> bool:
        """Whether *deadline* is set and has not passed."""
        return deadline in self._due

    def cancel(self) -> None:
        """Forget all of them and stop the timer."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        now = self._loop.time()
        # The loop may call a timer early by its clock's resolution: a deadline this near has passed.
        passed = [deadline for deadline, at in self._due.items() if at <= now + 0.001]
        for deadline in passed:
            del self._due[deadline]
        for deadline in passed:
            self._expired(deadline)
        if self._due and self._timer is None:
            self._timer = self._loop.call_at(min(self._due.values()), self._wake)
