"""A client that takes its time to say what it wants is cut off: a few idle sockets must not keep people from the pages.

uvicorn has no time limit for a request's head or body, only for the pause between two requests. Here a connection has
`HEAD_SECONDS` from its first moment, or from the first byte of a further request, to the end of the head, and `BODY_SECONDS` to the
end of the body. Answers are not limited: a stream of live updates goes on.

Seen with uvicorn 0.54: tests/review/test_slow_client.py fails without it.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 30.0
"""A body is 2 MiB at most (`security.BodyLimit`): 70 KB a second are enough."""


class TimedHttp(H11Protocol):
    """uvicorn's protocol for one connection, with an end to the time in which a request must be there."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*arguments, **keywords)
        self._cut: asyncio.TimerHandle | None = None
        self._is_in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count from here."""
        super().connection_made(transport)
        self._count(self.head_seconds)

    def data_received(self, data: bytes) -> None:
        """Begin, go on or end to count."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, whatever its annotation says.
        if self.transport.is_closing():
            self._stop()
        elif cycle is None or cycle.response_complete:
            # Nothing is under way but the head that these bytes belong to.
            self._is_in_body = False
            if self._cut is None:
                self._count(self.head_seconds)
        elif not cycle.more_body:
            self._stop()
        elif not self._is_in_body:
            self._is_in_body = True
            self._count(self.body_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to count any more."""
        self._stop()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Between two requests uvicorn counts for itself."""
        self._stop()
        super().on_response_complete()

    def _count(self, seconds: float) -> None:
        self._stop_timer()
        self._cut = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        self._is_in_body = False
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
