"""What happened to one order, all of it; and as a file."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.list_export import csv_response, json_response
from interceptor.review.order_view import history_lines
from interceptor.review.pages.audit import AUDIT_COLUMNS, plain_link
from interceptor.review.pages.order import read_order
from interceptor.review.parts import ReviewParts
from interceptor.review.rendering import render
from interceptor.review.rights import Action


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of an order's history."""

    async def history(request: Request) -> Response:
        record = await read_order(parts, request)
        lines = history_lines(await parts.records.history(record.row.entry_id))
        return render(parts, request, "order_history.html", row=record.row, history=lines)

    async def export_history(request: Request) -> Response:
        record = await read_order(parts, request)
        rows = [plain_link(row) for row in await parts.records.history(record.row.entry_id)]
        kind = "csv" if request.url.path.endswith(".csv") else "json"
        detail = {"list": "history", "format": kind, "rows": len(rows)}
        await parts.node.ask("access_note", action="list_exported", actor=request.state.person.actor, detail=detail)
        name = f"order-{record.row.entry_id}-history"
        return csv_response(name, AUDIT_COLUMNS, rows) if kind == "csv" else json_response(rows)

    base = "/orders/{entry:int}/history"
    return (
        guard.route(base, history, action=Action.OPEN_ORDER, name="order_history"),
        guard.route(f"{base}.csv", export_history, action=Action.EXPORT, name="order_history_csv"),
        guard.route(f"{base}.json", export_history, action=Action.EXPORT, name="order_history_json"),
    )
