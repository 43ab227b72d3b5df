"""Traffic: the last messages of every route, as they go by. Ids only; content is never kept for this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.list_export import csv_response, json_response
from interceptor.review.node_state import node_state, read_time
from interceptor.review.parts import ReviewParts
from interceptor.review.rendering import render
from interceptor.review.rights import Action
from interceptor.review.shown_text import short

ROWS_SHOWN = 100
_COLUMNS = ("at", "route", "type", "control_id", "outcome", "added_ms", "code")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowView:
    """One message in words."""

    at: str
    route: str
    message_type: str
    control_id: str
    outcome: str
    outcome_level: str
    added: str
    code: str


_OUTCOMES: Mapping[str, str] = {"taken": "in custody"}
_LEVELS: Mapping[str, str] = {
    "taken": "between",
    "annotated": "between",
    "refused": "bad",
    "unanswered": "bad",
    "rejected": "bad",
    "passed": "",
}


def flow_view(row: Mapping[str, Any]) -> FlowView:
    """One row of the node's answer in words."""
    at, added = read_time(row.get("at")), row.get("added_ms")
    outcome = str(row.get("outcome", ""))
    return FlowView(
        at=at.strftime("%H:%M:%S.%f")[:12] if at else "",
        route=short(row.get("route", "")),
        message_type=short(row.get("type", "")).upper().replace("_", " "),
        control_id=short(row.get("control_id", ""), 60),
        outcome=_OUTCOMES.get(outcome, outcome.replace("_", " ")),
        outcome_level=_LEVELS.get(outcome, ""),
        added=f"{added:.2f}" if isinstance(added, int | float) else "",
        code=short(row.get("code", ""), 4),
    )


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of the traffic page."""

    async def read(request: Request) -> tuple[list[Mapping[str, Any]], list[str], str]:
        wanted = short(request.query_params.get("route", ""), 80)
        state = node_state(await parts.node.ask("traffic", route=wanted or None, timeout_seconds=2.0))
        rows = state.status.get("messages") or []
        return list(rows), list(state.status.get("routes") or []), state.message

    async def traffic(request: Request) -> Response:
        rows, names, problem = await read(request)
        template = "_flows.html" if request.url.path.endswith("/live") else "traffic.html"
        return render(
            parts,
            request,
            template,
            flows=[flow_view(row) for row in rows[:ROWS_SHOWN]],
            names=names,
            wanted=short(request.query_params.get("route", ""), 80),
            problem=problem,
        )

    async def export(request: Request) -> Response:
        rows, _, _ = await read(request)
        return csv_response("traffic", _COLUMNS, rows) if request.url.path.endswith(".csv") else json_response(rows)

    return (
        guard.route("/traffic", traffic, action=Action.SEE_TRAFFIC),
        guard.route("/traffic/live", traffic, action=Action.SEE_TRAFFIC, is_background=True, name="traffic_live"),
        guard.route("/traffic.csv", export, action=Action.SEE_TRAFFIC, name="traffic_csv"),
        guard.route("/traffic.json", export, action=Action.SEE_TRAFFIC, name="traffic_json"),
    )
