"""How the lines of a running node stand, and the commands of people on them: the node's side of `review/line_desk.py`."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from interceptor.delivery.courier import Courier
from interceptor.delivery.destination import Destination
from interceptor.journal.route_mode import RouteModes
from interceptor.line_security import find_plain_places
from interceptor.node_parts import NodeParts, utc_now
from interceptor.review.desk import Handler
from interceptor.review.line_desk import LineDesk, LineParts
from interceptor.route import Route
from interceptor.telemetry.health import DegradedReason


def line_commands(
    parts: NodeParts,
    routes: Mapping[str, Route],
    modes: RouteModes,
    destinations: Mapping[str, Destination],
    couriers: Mapping[str, Courier],
    *,
    nodes: Callable[[], list[Mapping[str, object]]],
) -> dict[str, Handler]:
    """The commands on lines, by name. *nodes* tells of the nodes on this journal; of none where there is but this one."""

    def describe() -> Mapping[str, object]:
        return {
            "node": parts.config.node.name,
            "ready": parts.health.readiness().ok,
            "degraded": sorted(parts.health.degraded),
            "plain_text": list(find_plain_places(parts.config)),
            "nodes": nodes(),
            "routes": {name: _route(parts, name, route, modes) for name, route in routes.items()},
            "destinations": {
                name: _destination(parts, name, one, couriers[name]) for name, one in destinations.items()
            },
        }

    desk = LineDesk(
        LineParts(
            journal=parts.journal,
            lanes=couriers,
            traffic={name: parts.metrics.routes[name].traffic for name in routes},
            describe=describe,
            may_resume=lambda: DegradedReason.JOURNAL_RESTORED not in parts.health.degraded,
            now=utc_now,
        )
    )
    return desk.handlers()


def _route(parts: NodeParts, name: str, route: Route, modes: RouteModes) -> Mapping[str, object]:
    table, metrics = parts.config.route[name], parts.metrics.routes[name]
    refusal = route.gate.no_hold()
    return {
        "listen": str(table.listen),
        "destination": table.destination,
        "custody": table.custody,
        "mode": modes.mode(name).value,
        "configured_mode": str(table.mode),
        "breaker_open": route.gate.is_open,
        "not_holding": refusal.value if refusal is not None else "",
        "connections": int(metrics.connections.current()),
        "messages": metrics.messages.total(),
        "last_message_at": _time(metrics.last_message.current()),
        "acks": metrics.acks_sent.sums(),
    }


def _destination(parts: NodeParts, name: str, one: Destination, courier: Courier) -> Mapping[str, object]:
    table, metrics = parts.config.destination[name], parts.metrics.destinations[name]
    return {
        "address": str(table.address),
        "up": one.is_up,
        "since": _time(one.changed_at),
        "waiting": one.waiting_count,
        "paused": courier.is_paused,
        "queued": int(metrics.outbox_pending.current()),
        "oldest": _time(metrics.outbox_oldest.current()),
        "dead": int(metrics.dead_letters.current()),
        "acks": metrics.acks.sums(),
    }


def _time(seconds: float) -> str | None:
    """Seconds since 1970 as ISO; None for a number that is none."""
    return None if math.isnan(seconds) or seconds <= 0 else datetime.fromtimestamp(seconds, UTC).isoformat()
