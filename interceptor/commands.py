"""The commands that people may give to a running node, put together from its desks."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from interceptor import __version__
from interceptor.config.review import ReviewTable
from interceptor.control.protocol import ControlError
from interceptor.delivery.destination import Destination
from interceptor.journal.custody import Custody
from interceptor.journal.route_mode import RouteModes
from interceptor.journal_keeper import pruner
from interceptor.line_security import find_plain_places
from interceptor.node_parts import NodeParts, utc_now
from interceptor.review.access_desk import AccessDesk, SessionLimits
from interceptor.review.account_desk import AccountDesk
from interceptor.review.claim_desk import ClaimLimits
from interceptor.review.desk import DeskParts, Handler
from interceptor.review.order_desks import OrderDesks, build_order_desks
from interceptor.review.release_desk import ReleaseRules
from interceptor.review.report_desk import ReportDesk
from interceptor.review.route_desk import RouteDesk
from interceptor.review.token_desk import TokenDesk
from interceptor.route import Route
from interceptor.supervisor_link import ask_for_successor, is_supervised
from interceptor.telemetry.events import CONTROL_FAILED
from interceptor.telemetry.redaction import describe_error


def build_commands(
    parts: NodeParts,
    custody: Custody,
    routes: Mapping[str, Route],
    modes: RouteModes,
    *,
    destinations: Mapping[str, Destination],
    wake: Callable[[], None],
    nodes: Callable[[], list[Mapping[str, object]]],
) -> dict[str, Handler]:
    """Command name to function; *wake* wakes every courier, *nodes* tells of the nodes on the same journal."""
    desks = _order_desks(parts, custody, routes, wake=wake)
    parts.run(desks.plans.run(), name="planned-releases")
    gates = {name: route.gate for name, route in routes.items()}
    status = _status(parts, custody, destinations, nodes)
    route_desk = RouteDesk(modes, gates, status=status, now=utc_now, log=parts.log)
    return {
        **desks.handlers,
        **route_desk.handlers(),
        **ReportDesk(parts.metrics.review, route_desk.review_heartbeat, now=utc_now).handlers(),
        **_access_desk(parts).handlers(),
        **AccountDesk(parts.journal.side_tables, now=utc_now).handlers(),
        **TokenDesk(parts.journal.side_tables, now=utc_now).handlers(),
        "journal_prune": pruner(parts.journal),
        "restart": restart,
    }


def _order_desks(
    parts: NodeParts, custody: Custody, routes: Mapping[str, Route], *, wake: Callable[[], None]
) -> OrderDesks:
    review = parts.config.review or ReviewTable()
    desk_parts = DeskParts(
        custody=custody,
        release_parts=lambda name: routes[name].turn.release,
        now=utc_now,
        wake=wake,
        log=parts.log,
        release_reasons=review.release_reasons,
        return_reasons=review.return_reasons,
    )
    rules = ReleaseRules(
        undo_seconds=review.undo_seconds,
        change_procedure=review.change_procedure,
        complete_spine_code=review.complete_spine_code,
    )
    limits = ClaimLimits(claim_seconds=review.claim_minutes * 60.0, snooze_seconds_max=review.snooze_hours_max * 3600.0)
    return build_order_desks(desk_parts, parts.journal.side_tables, rules=rules, limits=limits)


def _access_desk(parts: NodeParts) -> AccessDesk:
    review = parts.config.review or ReviewTable()
    limits = SessionLimits(
        session_seconds_max=review.session_hours_max * 3600.0, glass_seconds=review.break_glass_minutes * 60.0
    )
    return AccessDesk(parts.journal.side_tables, limits=limits, now=utc_now)


async def restart(arguments: dict[str, Any]) -> Mapping[str, object]:
    """Ask the supervisor for a fresh node that takes over from this one; answers with our own process id."""
    del arguments
    if not is_supervised():
        raise ControlError("not_supervised", "no supervisor of ours started this node: restart it where it was started")
    ask_for_successor()
    return {"pid": os.getpid()}


def failure_teller(parts: NodeParts) -> Callable[[str, Exception], None]:
    """What the control socket calls when a command fails by our own fault: logged without content."""

    def tell(command: str, error: Exception) -> None:
        parts.log.event(CONTROL_FAILED, command=command, **describe_error(error))

    return tell


def _status(
    parts: NodeParts,
    custody: Custody,
    destinations: Mapping[str, Destination],
    nodes: Callable[[], list[Mapping[str, object]]],
) -> Callable[[], Mapping[str, object]]:
    def status() -> Mapping[str, object]:
        states = Counter(order.state.value for order in custody.index.orders())
        return {
            "node": parts.config.node.name,
            "version": __version__,
            "pid": os.getpid(),
            "ready": parts.health.readiness().ok,
            "degraded": sorted(parts.health.degraded),
            "plain_text": list(find_plain_places(parts.config)),
            "orders": dict(states),
            "nodes": nodes(),
            "destinations": {
                name: {"up": one.is_up, "waiting": one.waiting_count} for name, one in destinations.items()
            },
        }

    return status
