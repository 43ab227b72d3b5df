"""What the review process counts, taken into the node's own metrics: one address to scrape.

Failures: a report that is not one is refused as a whole; nothing of it is counted.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from interceptor.control.protocol import ControlError
from interceptor.review.desk import Handler


class Numbers(Protocol):
    """What is counted into; `telemetry.metrics.ReviewMetrics` is one."""

    requests: Any
    streams: Any
    logins: Any
    seen: Any

    def observe(self, action: str, seconds: float) -> None:
        """A request that needed the right to *action* was answered in so many seconds."""
        ...


class ReportDesk:
    """The command `review_report`, and the time of the last sign of life."""

    def __init__(self, numbers: Numbers, heartbeat: Handler, *, now: Callable[[], datetime]) -> None:
        """*heartbeat* is the command that reports stand behind; *now* is aware UTC."""
        self._numbers = numbers
        self._heartbeat = heartbeat
        self._now = now

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        return {"review_report": self.review_report, "review_heartbeat": self.review_heartbeat}

    async def review_heartbeat(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Somebody reviews: orders may be held."""
        self._numbers.seen.set(self._now().timestamp())
        return await self._heartbeat(arguments)

    async def review_report(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Count what the review process counted since its last report (`review/tally.py`)."""
        try:
            requests = [(str(one[0]), str(one[1]), int(one[2])) for one in arguments["requests"]]
            seconds = [(str(one[0]), float(one[1])) for one in arguments["seconds"]]
            logins = {str(result): int(count) for result, count in arguments["logins"].items()}
            streams = int(arguments["streams"])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise ControlError("bad_argument", "this is no report of the review process") from error
        for action, status, count in requests:
            self._numbers.requests.count(action, status, amount=max(0, count))
        for action, value in seconds:
            self._numbers.observe(action, max(0.0, value))
        for result, count in logins.items():
            self._numbers.logins.count(result, amount=max(0, count))
        self._numbers.streams.set(streams)
        return {"counted": len(seconds)}
