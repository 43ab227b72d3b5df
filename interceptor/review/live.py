"""Server-sent events: how a page learns that something moved, without asking again and again.

The audit chain is the sequence: every event carries the number of its last link as its id. A browser that lost the line
comes back with the id that it saw last (Last-Event-ID) and gets what happened since; nothing is kept here for it.

    beat      nothing moved for a while; a page that misses beats shows that it may be old
    others    what `Describe` makes of the orders that moved
    reload    more moved than is worth telling one by one
    drain     this process ends; the browser comes back to the next one

A stream ends after a while, so that whoever reads it passes the guard again. Streams are bounded in number, and so are
their events; the database is asked at a fixed pace, however many streams there are.

Failures: a database that cannot be read ends the stream; the browser comes back, and shows a bar meanwhile. A client
that is gone is noticed at the next beat. Cancelling ends a stream at once.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from interceptor.journal.port import EntryId
from interceptor.review.parts import ReviewParts

RETRY_MILLISECONDS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLimits:
    """How often the database is asked, and how much a stream may be.

    Attributes:
        polls_per_beat: A beat is sent when so many questions in a row found nothing new.
        stream_seconds_max: A stream ends then; the browser comes back.
        changes_max: More orders that moved at once are told as "reload".
    """

    poll_seconds: float = 0.5
    polls_per_beat: int = 20
    stream_seconds_max: float = 300.0
    streams_max: int = 200
    changes_max: int = 100


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name and what stands in it as JSON."""

    name: str
    data: Mapping[str, object]


Describe = Callable[[Sequence[EntryId]], Awaitable[Sequence[Event]]]
"""What a page wants to know of orders that moved."""


def event_text(event: Event, number: int) -> str:
    """An event as it goes over the line. JSON has no line breaks, so that one data line is enough."""
    return f"id: {number}\nevent: {event.name}\ndata: {json.dumps(event.data, ensure_ascii=True)}\n\n"


def last_seen(request: Request) -> int | None:
    """The number that the browser saw last, from its header or the page's address; None when it saw none."""
    stated = request.headers.get("last-event-id") or request.query_params.get("after", "")
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 16 else None


_USUAL = LiveLimits()


class LiveUpdates:
    """All streams of this process."""

    def __init__(self, parts: ReviewParts, limits: LiveLimits = _USUAL) -> None:
        self._parts = parts
        self._limits = limits
        self._number = 0
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def number(self) -> int:
        """The end of the audit chain, at most `poll_seconds` old."""
        async with self._reading:
            now = self._parts.monotonic()
            if now - self._read_at >= self._limits.poll_seconds:
                self._number = (await self._parts.reader.mark()).audit_number
                self._read_at = now
            return self._number

    def answer(self, request: Request, describe: Describe) -> Response:
        """A stream for this browser; 503 when there are too many."""
        if self._parts.tally.stream_count >= self._limits.streams_max:
            return PlainTextResponse("Too many pages are open.\n", status_code=503, headers={"Retry-After": "30"})
        events = self._stream(last_seen(request), describe)
        # A proxy that gathers the answer before it passes it on would make it useless.
        return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _stream(self, after: int | None, describe: Describe) -> AsyncIterator[str]:
        self._parts.tally.stream_count += 1
        began = self._parts.monotonic()
        try:
            last = await self.number() if after is None else after
            yield f"retry: {RETRY_MILLISECONDS}\n" + event_text(Event("beat", {}), last)
            while (
                not self._parts.stopping.is_set() and self._parts.monotonic() - began < self._limits.stream_seconds_max
            ):
                number = await self._wait(last)
                for event in await self._events(last, number, describe):
                    yield event_text(event, number)
                last = max(last, number)
            if self._parts.stopping.is_set():
                yield event_text(Event("drain", {}), last)
        finally:
            self._parts.tally.stream_count -= 1

    async def _wait(self, last: int) -> int:
        """The end of the chain as soon as it is behind *last*, or after a beat's time."""
        for _ in range(self._limits.polls_per_beat):
            number = await self.number()
            if number > last:
                return number
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.poll_seconds):
                    await self._parts.stopping.wait()
                return last
        return last

    async def _events(self, last: int, number: int, describe: Describe) -> Sequence[Event]:
        if number <= last:
            return (Event("beat", {}),)
        changed = await self._parts.reader.changed_since(last, limit=self._limits.changes_max + 1)
        if len(changed) > self._limits.changes_max:
            return (Event("reload", {}),)
        return await describe(changed) if changed else (Event("beat", {}),)
