"""What people may do with routes: see and set their modes (the kill switch), and give a sign of life.

Failures: a mode that could not be made durable is said so; a change downwards is in force all the same.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from interceptor.action.plan import RouteMode
from interceptor.control.protocol import ControlError
from interceptor.journal.port import JournalUnavailable
from interceptor.journal.route_mode import HoldGate, RouteModes
from interceptor.review.desk import Handler
from interceptor.telemetry.events import ROUTE_MODE_CHANGED, EventLog


class RouteDesk:
    """People's commands on routes."""

    def __init__(
        self,
        modes: RouteModes,
        gates: Mapping[str, HoldGate],
        *,
        status: Callable[[], Mapping[str, object]],
        now: Callable[[], datetime],
        log: EventLog,
    ) -> None:
        """*status* tells how the node stands, as JSON values."""
        self._modes = modes
        self._gates = gates
        self._status = status
        self._now = now
        self._log = log

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        return {
            "mode_get": self.mode_get,
            "mode_set": self.mode_set,
            "review_heartbeat": self.review_heartbeat,
            "status": self.status,
        }

    async def mode_get(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """The mode of every route."""
        del arguments
        return {"routes": {route: self._modes.mode(route).value for route in self._gates}}

    async def mode_set(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Set a route's mode, at once; closes its breaker."""
        route, actor = str(arguments.get("route", "")), str(arguments.get("actor", "")).removeprefix("user:")
        if route not in self._gates:
            raise ControlError("not_found", f"there is no route {route} (known: {', '.join(self._gates)})")
        try:
            mode = RouteMode(str(arguments.get("mode", "")))
        except ValueError as error:
            raise ControlError("bad_argument", f"mode is one of {', '.join(RouteMode)}") from error
        if not actor:
            raise ControlError("bad_argument", "actor is the name of the person who acts")
        reason = str(arguments.get("reason", ""))[:400]
        try:
            before = await self._modes.set(route, mode, actor=f"user:{actor}", at=self._now(), reason=reason)
        except JournalUnavailable as error:
            state = "in force until the next restart" if self._modes.mode(route) is mode else "not changed"
            raise ControlError("journal_unavailable", f"the mode is {state}: the journal is {error.reason}") from error
        self._gates[route].close_breaker()
        self._log.event(ROUTE_MODE_CHANGED, route=route, mode=mode.value, was=before.value, actor="user")
        return {"route": route, "mode": mode.value, "was": before.value}

    async def review_heartbeat(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Somebody reviews: orders may be held."""
        del arguments
        for gate in self._gates.values():
            gate.review_seen()
        return {"holding": {route: gate.no_hold() is None for route, gate in self._gates.items()}}

    async def status(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """How the node stands."""
        del arguments
        return self._status()
