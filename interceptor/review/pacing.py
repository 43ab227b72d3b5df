"""However hard pages are asked for, for long they take no more than their share of a processor: orders come first.

The pages run beside the node, on the same processors. A script that asks for the worklist without a pause, or fifty people
who do, would keep one of them busy for good, and the node would wait for its turn. So reading is paid for: a budget of
processor time fills by `share` seconds a second, up to `BURST_SECONDS`; whoever reads while it is empty waits in turn until
it is not. In ordinary use it never is. What people decide does not wait, nor do live updates that stand.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

BURST_SECONDS: Final = 0.5
"""Processor time that may be taken at once: some fifty worklists, as at the beginning of a shift."""
_READING: Final = frozenset({"GET", "HEAD"})
_FREE: Final = frozenset({"/healthz"})


class ProcessorBudget:
    """Processor time of this process, against what it may take."""

    def __init__(self, share: float, *, monotonic: Callable[[], float], processor: Callable[[], float]) -> None:
        """*share*: of one processor, e.g. 0.25. *monotonic* and *processor* (used so far) tell seconds."""
        assert share > 0
        self._share = share
        self._monotonic = monotonic
        self._processor = processor
        self._left_seconds = BURST_SECONDS
        self._looked_at, self._used_seconds = monotonic(), processor()

    def wait_seconds(self) -> float:
        """How long until there is something left; 0 when there is."""
        now, used = self._monotonic(), self._processor()
        earned = (now - self._looked_at) * self._share - (used - self._used_seconds)
        self._left_seconds = min(BURST_SECONDS, self._left_seconds + earned)
        self._looked_at, self._used_seconds = now, used
        return max(0.0, -self._left_seconds / self._share)


class Pacing:
    """ASGI middleware: requests that only read wait for the budget, in the order they came."""

    def __init__(self, app: ASGIApp, *, budget: ProcessorBudget) -> None:
        """*budget* is looked at before each such request."""
        self._app = app
        self._budget = budget
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then go on."""
        if scope["type"] == "http" and scope["method"] in _READING and scope["path"] not in _FREE:
            async with self._turn:
                while (seconds := self._budget.wait_seconds()) > 0:  # noqa: ASYNC110 - time passes, nobody tells
                    await asyncio.sleep(seconds)
        await self._app(scope, receive, send)
