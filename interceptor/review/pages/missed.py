"""Missed holds: orders that went on because a lookup failed, and that would have been held with what is known now.

The filler has them; nothing here can hold them. Somebody calls the orderer, or the department, before the scan.

Failures: a node that is away is told in a bar; the list is its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from interceptor.review import plain_words as words
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.held_reason import Chip, held_chips, why_sentence
from interceptor.review.list_export import csv_response, json_response
from interceptor.review.node_client import Answer
from interceptor.review.node_state import read_time
from interceptor.review.parts import ReviewParts
from interceptor.review.rendering import render
from interceptor.review.rights import Action
from interceptor.review.shown_text import short
from interceptor.review.worklist import patient_texts

_COLUMNS = (
    "went_on_at",
    "found_at",
    "route",
    "patient",
    "mrn",
    "placer_order_number",
    "ordered",
    "why",
    "orderer",
    "call_back",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedOrder:
    """One missed hold in words."""

    went_on_at: str
    found_at: str
    went_on: str
    found: str
    route: str
    patient: str
    demographics: str
    mrn: str
    placer_order_number: str
    ordered: str
    why: str
    chips: tuple[Chip, ...]
    orderer: str
    call_back: str


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The route of the list."""

    async def missed(request: Request) -> Response:
        reply = await parts.node.ask("held_retrospective")
        is_told = isinstance(reply, Answer)
        messages = reply.result.get("missed", ()) if isinstance(reply, Answer) else ()
        is_masked = request.query_params.get("masked") == "1"
        await parts.node.ask("access_note", action="missed_opened", actor=request.state.person.actor, detail={})
        return render(
            parts,
            request,
            "missed.html",
            orders=missed_orders(messages, parts.now(), is_masked=is_masked),
            problem="" if is_told else getattr(reply, "message", ""),
            is_masked=is_masked,
        )

    async def export(request: Request) -> Response:
        reply = await parts.node.ask("held_retrospective")
        messages = reply.result.get("missed", ()) if isinstance(reply, Answer) else ()
        rows = [_plain(one) for one in missed_orders(messages, parts.now())]
        kind = "csv" if request.url.path.endswith(".csv") else "json"
        detail = {"list": "missed", "format": kind, "rows": len(rows)}
        await parts.node.ask("access_note", action="list_exported", actor=request.state.person.actor, detail=detail)
        return csv_response("missed-holds", _COLUMNS, rows) if kind == "csv" else json_response(rows)

    return (
        guard.route("/missed", missed, action=Action.SEE_WORKLIST, name="missed"),
        guard.route("/missed.csv", export, action=Action.EXPORT, name="missed_csv"),
        guard.route("/missed.json", export, action=Action.EXPORT, name="missed_json"),
    )


def _plain(order: MissedOrder) -> dict[str, object]:
    return {name: getattr(order, name) for name in _COLUMNS}


def missed_orders(
    messages: Sequence[Mapping[str, Any]], now: datetime, *, is_masked: bool = False
) -> tuple[MissedOrder, ...]:
    """The orders of the node's answer to `held_retrospective`, as it lists them."""
    return tuple(
        _missed_order(message, order, now, is_masked=is_masked) for message in messages for order in message["orders"]
    )


def _missed_order(
    message: Mapping[str, Any], order: Mapping[str, Any], now: datetime, *, is_masked: bool
) -> MissedOrder:
    summary, decision = order["summary"], order["decision"]
    name, demographics, mrn = patient_texts(summary, now, is_masked=is_masked)
    return MissedOrder(
        went_on_at=str(message["noted_at"]),
        found_at=str(message["found_at"]),
        went_on=words.ago_words(read_time(message["noted_at"]), now),
        found=words.ago_words(read_time(message["found_at"]), now),
        route=str(message["route"]),
        patient=name,
        demographics=demographics,
        mrn=mrn,
        placer_order_number=short(order.get("placer_order_number") or "", 80),
        ordered=short(summary.get("procedure") or "") or "study not named",
        why=why_sentence(decision, summary),
        chips=held_chips(decision),
        orderer=short(summary.get("orderer") or ""),
        call_back=short(summary.get("call_back") or "", 40),
    )
