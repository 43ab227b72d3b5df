"""Keep what may be kept late: decisions on orders that went their way, and bytes that are not HL7.

Nothing waits for these. They are written in batches behind the traffic. When the journal cannot write, or
more wait than fit, the oldest are dropped and counted: the order itself has long arrived.

Cancelling `run` writes what waits, once, then ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from interceptor.journal.decision_record import DecisionRecord
from interceptor.journal.port import Journal, JournalUnavailable

WAITING_COUNT_MAX = 10_000
BATCH_COUNT_MAX = 500
PAUSE_SECONDS = 0.25
QUARANTINE_SIZE_MAX = 1024 * 1024
"""Bytes kept of one thing that is not HL7: enough to see what it was."""


class Recorder:
    """Collects from the data path, writes behind it."""

    def __init__(self, journal: Journal, *, now: Callable[[], datetime], count_dropped: Callable[[int], None]) -> None:
        """*count_dropped* is told how many could not be kept."""
        self._journal = journal
        self._now = now
        self._count_dropped = count_dropped
        self._decisions: deque[DecisionRecord] = deque()
        self._quarantine: deque[tuple[str, str, bytes, datetime]] = deque()
        self._wake = asyncio.Event()

    def record(self, decisions: tuple[DecisionRecord, ...]) -> None:
        """Keep these decisions soon; never waits."""
        self._decisions.extend(decisions)
        self._limit(self._decisions)

    def quarantine(self, route: str, reason: str, raw: bytes) -> None:
        """Keep these bytes soon; never waits."""
        self._quarantine.append((route, reason, raw[:QUARANTINE_SIZE_MAX], self._now()))
        self._limit(self._quarantine)

    def _limit(self, waiting: deque[DecisionRecord] | deque[tuple[str, str, bytes, datetime]]) -> None:
        while len(waiting) > WAITING_COUNT_MAX:
            waiting.popleft()
            self._count_dropped(1)
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                await self._wake.wait()
                # Nobody waits for these: one commit for all that a while brings, instead of one for each.
                await asyncio.sleep(PAUSE_SECONDS)
                self._wake.clear()
                await self._write()
        finally:
            # What was decided in the last moment belongs to the record too.
            await asyncio.shield(self._write())

    async def _write(self) -> None:
        while self._decisions or self._quarantine:
            batch = tuple(self._decisions.popleft() for _ in range(min(BATCH_COUNT_MAX, len(self._decisions))))
            if batch:
                await self._keep(self._journal.record_decisions(batch), len(batch))
            if self._quarantine:
                route, reason, raw, at = self._quarantine.popleft()
                await self._keep(self._journal.record_quarantine(route=route, reason=reason, raw=raw, at=at), 1)

    async def _keep(self, write: Coroutine[Any, Any, None], count: int) -> None:
        try:
            await write
        except JournalUnavailable:
            self._count_dropped(count)
