"""What people see of the lines of a running node, and how they stop one for a while: routes, destinations, traffic.

A destination that is paused keeps its queue: what was accepted waits in the journal, nothing is lost or refused. What is
relayed goes on; its placer waits for the filler's own answer and would see a pause as a filler that is away. A pause is
not durable: a node that starts again delivers.

Failures: a pause that could not be written to the audit chain is said so, and did not happen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from interceptor.control.protocol import ControlError
from interceptor.journal.port import Journal, JournalUnavailable
from interceptor.review.desk import Handler
from interceptor.telemetry.traffic import TrafficRing

TRAFFIC_MAX = 500


class Lane(Protocol):
    """The courier of one destination."""

    is_paused: bool

    def wake(self) -> None:
        """Look for work at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LineParts:
    """What the desk is plugged to.

    Attributes:
        lanes: Couriers by destination.
        traffic: The last messages by route.
        describe: How routes and destinations stand, as JSON values.
        may_resume: False while a restored journal keeps all lanes paused: that has a command of its own.
        now: Aware UTC.
    """

    journal: Journal
    lanes: Mapping[str, Lane]
    traffic: Mapping[str, TrafficRing]
    describe: Callable[[], Mapping[str, object]]
    may_resume: Callable[[], bool]
    now: Callable[[], datetime]


class LineDesk:
    """People's commands on lines."""

    def __init__(self, parts: LineParts) -> None:
        """Register `handlers` with the control socket."""
        self._parts = parts

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        return {"lines": self.lines, "traffic": self.traffic, "lane_pause": self.lane_pause}

    async def lines(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """How routes and destinations stand."""
        del arguments
        return self._parts.describe()

    async def traffic(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """The last messages of all routes, or of one (`route`), the newest first."""
        wanted = str(arguments.get("route") or "")
        rows = [
            {
                "at": datetime.fromtimestamp(flow.ended_at, UTC).isoformat(),
                "route": route,
                "type": flow.message_type.value,
                "control_id": flow.control_id,
                "outcome": flow.outcome.value,
                "added_ms": None if flow.added_seconds is None else round(flow.added_seconds * 1000, 3),
                "code": flow.code,
            }
            for route, ring in self._parts.traffic.items()
            if wanted in ("", route)
            for flow in ring.flows()
        ]
        rows.sort(key=lambda row: str(row["at"]), reverse=True)
        return {"messages": rows[:TRAFFIC_MAX], "routes": list(self._parts.traffic)}

    async def lane_pause(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Stop delivering to a destination (`paused` true), or go on."""
        name, actor = str(arguments.get("destination", "")), str(arguments.get("actor", "")).removeprefix("user:")
        is_pause, reason = bool(arguments.get("paused", True)), str(arguments.get("reason", ""))[:400]
        lane = self._parts.lanes.get(name)
        if lane is None:
            raise ControlError("not_found", f"there is no destination {name} (known: {', '.join(self._parts.lanes)})")
        if not actor:
            raise ControlError("bad_argument", "actor is the name of the person who acts")
        if not is_pause and not self._parts.may_resume():
            raise ControlError("restored", "an older journal was put back: `interceptor journal confirm` lets it go on")
        try:
            await self._parts.journal.record_audit(
                at=self._parts.now(),
                actor=f"user:{actor}",
                action="lane_paused" if is_pause else "lane_resumed",
                entry_id=None,
                detail={"destination": name, "reason": reason},
            )
        except JournalUnavailable as error:
            raise ControlError("journal_unavailable", f"nothing was changed: the journal is {error.reason}") from error
        lane.is_paused = is_pause
        lane.wake()
        return {"destination": name, "paused": is_pause}
