"""The worklist: orders that wait for a person, the most urgent first; its export, its search, its bulk acts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from interceptor.action.lifecycle import OrderState
from interceptor.journal.port import AuditRow, EntryId
from interceptor.journal.review_record import Checked, OrderRow
from interceptor.review.claiming import ClaimMarks, claim_marks
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.list_export import csv_response, json_response
from interceptor.review.node_client import Answer
from interceptor.review.node_state import NodeState, node_state, problems
from interceptor.review.parts import ReviewParts
from interceptor.review.plain_words import ago_words
from interceptor.review.rendering import render
from interceptor.review.rights import Action
from interceptor.review.shown_text import short
from interceptor.review.worklist import (
    COLUMNS,
    DEFAULT_COLUMNS,
    PAGE_SIZES,
    TABS,
    RowView,
    Tab,
    WorklistQuery,
    facets_of,
    page_of,
    read_query,
    row_view,
    select,
)

DECIDED_STATES = tuple(state for state in OrderState if state not in (OrderState.PARKED, OrderState.HELD))
RETURNED_FOR = timedelta(days=14)
"""So long a returned order is shown as one that its orderer still has to act on."""
ENDED_MAX = 2000
FOUND_MAX = 50
EXPORT_MAX = 5000
CHOSEN_MAX = 100
_CHOSEN = re.compile(r"([0-9]{1,15})\.([0-9]{1,9})")
"""A chosen row: our number and the version that was seen."""
EXPORT_COLUMNS = (
    "entry", "state", "version", "priority", "deadline_at", "taken_at", "patient_name", "patient_id", "birth_date", "sex",
    "patient_class", "location", "placer_order_number", "accession", "control_id", "procedure_code", "procedure",
    "why_held", "reasons", "orderer", "call_back", "scheduled", "claimed_by", "route", "policy",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The orders of each tab."""

    rows: Mapping[Tab, Sequence[OrderRow]]
    claims: ClaimMarks


async def read_lists(parts: ReviewParts, person_name: str) -> Lists:
    """All tabs' orders. Waiting orders are kept by the reader, so that this costs little when nothing changed."""
    now = parts.now()
    waiting = await parts.reader.waiting_orders()
    claims = claim_marks(await parts.reader.claims(), person_name, now)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    decided = await parts.reader.orders_in(DECIDED_STATES, since=midnight, limit=ENDED_MAX)
    returned = await parts.reader.orders_in((OrderState.RETURNED,), since=now - RETURNED_FOR, limit=ENDED_MAX)
    rows = {
        Tab.HELD: waiting,
        Tab.MINE: [row for row in waiting if claims.of(row.entry_id).is_mine],
        Tab.UNCLAIMED: [row for row in waiting if not claims.of(row.entry_id).name],
        Tab.RETURNED: returned,
        Tab.DECIDED: decided,
    }
    return Lists(rows=rows, claims=claims)


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of the worklist."""

    async def worklist(request: Request) -> Response:
        query = read_query(request.query_params)
        return await _show(parts, request, query)

    async def choose_columns(request: Request) -> Response:
        chosen = request.query_params.getlist("column")
        query = read_back(request.query_params.get("back", "/"))
        columns = tuple(name for name in COLUMNS if name in chosen)
        return RedirectResponse(query.address(columns=() if columns == DEFAULT_COLUMNS else columns), status_code=303)

    async def export(request: Request) -> Response:
        query = read_query(request.query_params)
        lists = await read_lists(parts, request.state.person.name)
        rows = select(lists.rows[query.tab], query.facets)[:EXPORT_MAX]
        views = [_export_row(row, lists, query, parts) for row in rows]
        kind = "csv" if request.url.path.endswith(".csv") else "json"
        detail = {"list": query.tab.value, "format": kind, "rows": len(views)}
        await parts.node.ask("access_note", action="list_exported", actor=request.state.person.actor, detail=detail)
        return csv_response("orders", EXPORT_COLUMNS, views) if kind == "csv" else json_response(views)

    async def search(request: Request) -> Response:
        form = await request.form()
        text = short(str(form.get("text", "")).strip(), 120)
        found = await parts.reader.find_orders(text, limit=FOUND_MAX) if text else ()
        if len(found) == 1:
            return RedirectResponse(f"/orders/{found[0].entry_id}", status_code=303)
        passed = await parts.reader.find_passed(text, limit=FOUND_MAX) if text else ()
        now = parts.now()
        claims = claim_marks(await parts.reader.claims(), request.state.person.name, now)
        views = [row_view(row, claims.of(row.entry_id), now=now) for row in found]
        columns = tuple(name for name in COLUMNS if name not in ("proposed", "safety", "scheduled"))
        return render(
            parts, request, "search.html", text=text, rows=views, passed=passed, columns=columns, titles=COLUMNS
        )

    async def claim_chosen(request: Request) -> Response:
        return await _each(parts, request, "held_claim", {})

    async def release_chosen(request: Request) -> Response:
        code = short(str((await request.form()).get("reason", "")), 80)
        if code not in parts.settings.release_reasons:
            query = read_back(str((await request.form()).get("back", "")))
            return await _show(parts, request, query, message="Choose a reason for the release.", is_bad=True)
        return await _each(parts, request, "held_release_soon", {"reason_code": code})

    return (
        guard.route("/", worklist, action=Action.SEE_WORKLIST),
        guard.route("/columns", choose_columns, action=Action.SEE_WORKLIST),
        guard.route("/orders.csv", export, action=Action.EXPORT, name="orders_csv"),
        guard.route("/orders.json", export, action=Action.EXPORT, name="orders_json"),
        guard.route("/orders/claim", claim_chosen, action=Action.CLAIM, methods=("POST",)),
        guard.route("/orders/release", release_chosen, action=Action.RELEASE, methods=("POST",)),
        guard.route("/search", search, action=Action.SEARCH, methods=("POST",)),
    )


def read_back(address: str) -> WorklistQuery:
    """The view that a form came from. Only its query counts: no address of another site ever becomes a target."""
    return read_query(dict(parse_qsl(address.partition("?")[2], max_num_fields=20)) if len(address) < 2000 else {})


async def _each(parts: ReviewParts, request: Request, command: str, arguments: dict[str, Any]) -> Response:
    """Give *command* for every chosen order at the version that was seen; tell what was done and what was not."""
    form = await request.form()
    query = read_back(str(form.get("back", "")))
    chosen = [match for text in form.getlist("order")[:CHOSEN_MAX] if (match := _CHOSEN.fullmatch(str(text)))]
    if not chosen:
        return await _show(parts, request, query, message="Choose at least one order.", is_bad=True)
    refused = []
    for match in chosen:
        reply = await parts.node.ask(
            command, entry=int(match[1]), version=int(match[2]), actor=request.state.person.name, **arguments
        )
        if not isinstance(reply, Answer):
            refused.append(f"order {match[1]}: {reply.message}")
    if not refused:
        return RedirectResponse(query.address(), status_code=303)
    message = f"Done for {len(chosen) - len(refused)} of {len(chosen)}. Not done: {'; '.join(refused[:5])}"
    return await _show(parts, request, query, message=message, is_bad=True)


async def _show(
    parts: ReviewParts, request: Request, query: WorklistQuery, *, message: str = "", is_bad: bool = False
) -> Response:
    person, now = request.state.person, parts.now()
    mark = await parts.reader.mark()
    lists = await read_lists(parts, person.name)
    state = node_state(await parts.node.status())
    of_tab = lists.rows[query.tab]
    chosen = select(of_tab, query.facets)
    shown = page_of(chosen, query)
    histories = await histories_of(parts, query, shown)
    views = [
        row_view(
            row,
            lists.claims.of(row.entry_id),
            now=now,
            is_masked=query.is_masked,
            history=histories.get(row.entry_id, ()),
        )
        for row in shown
    ]
    is_waiting_tab = query.tab not in (Tab.DECIDED, Tab.RETURNED)
    checked = await parts.records.checked(since=now.replace(hour=0, minute=0, second=0, microsecond=0))
    empty_text, empty_detail = _empty(query, checked, state, parts)
    pages: dict[str, Any] = _pages(query, len(chosen), len(shown))
    return render(
        parts,
        request,
        "worklist.html",
        query=query,
        columns=COLUMNS,
        rows=views,
        facets=facets_of(of_tab, query),
        tabs=_tabs(query, lists),
        problems=problems(state, now),
        mark=mark.audit_number,
        events_address=query.address("/events", page_number=query.page_number),
        status_code=422 if is_bad else 200,
        message=message,
        message_is_bad=is_bad,
        empty_text=empty_text,
        empty_detail=empty_detail,
        can_export=person.can(Action.EXPORT),
        can_claim=person.can(Action.CLAIM) and is_waiting_tab,
        can_release=person.can(Action.RELEASE) and is_waiting_tab,
        release_reasons=parts.settings.release_reasons,
        page_sizes=PAGE_SIZES,
        **pages,
    )


async def histories_of(
    parts: ReviewParts, query: WorklistQuery, rows: Sequence[OrderRow]
) -> Mapping[EntryId, Sequence[AuditRow]]:
    """The histories of the rows of a tab whose orders do not wait any more: they say who decided."""
    if query.tab not in (Tab.DECIDED, Tab.RETURNED):
        return {}
    return await parts.records.histories([row.entry_id for row in rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class TabView:
    """One tab."""

    name: str
    text: str
    count: int
    address: str
    is_current: bool


def _tabs(query: WorklistQuery, lists: Lists) -> tuple[TabView, ...]:
    return tuple(
        TabView(
            name=tab.value,
            text=text,
            count=len(lists.rows[tab]),
            address=query.address(tab=tab, facets=()),
            is_current=tab is query.tab,
        )
        for tab, text in TABS.items()
    )


def _pages(query: WorklistQuery, count: int, shown_count: int) -> dict[str, object]:
    last = max(1, -(-count // query.page_size))
    number = min(query.page_number, last)
    first = (number - 1) * query.page_size
    return {
        "range_text": f"{first + 1}-{first + shown_count} of {count}" if count else "no orders",
        "previous_address": query.address(page_number=number - 1) if number > 1 else "",
        "next_address": query.address(page_number=number + 1) if number < last else "",
    }


def _empty(query: WorklistQuery, checked: Checked, state: NodeState, parts: ReviewParts) -> tuple[str, str]:
    """What an empty list says: that nothing waits, and how anybody can know that it is not the line that is dead."""
    if query.facets:
        return "No order has all of these.", "Remove a filter to see more."
    last = f"Last order passed {ago_words(checked.last_at, parts.now())}; " if checked.last_at else ""
    detail = f"{last}{checked.checked_count} checked today, {checked.held_count} held."
    if state.is_away:
        detail = "The node does not answer, so this list may be incomplete."
    texts = {
        Tab.MINE: "You have claimed no order.",
        Tab.UNCLAIMED: "No unclaimed orders.",
        Tab.HELD: "No held orders.",
        Tab.RETURNED: "No order waits on its orderer.",
        Tab.DECIDED: "Nothing was decided today.",
    }
    return texts[query.tab], detail[:1].upper() + detail[1:]


def _export_row(row: OrderRow, lists: Lists, query: WorklistQuery, parts: ReviewParts) -> dict[str, object]:
    view: RowView = row_view(row, lists.claims.of(row.entry_id), now=parts.now(), is_masked=query.is_masked)
    plain = replace(view, chips=(), safety=())
    return {
        **{name: row.summary.get(name, "") for name in EXPORT_COLUMNS if name in row.summary},
        "entry": row.entry_id,
        "state": row.state.value,
        "version": row.version,
        "priority": row.priority,
        "deadline_at": row.deadline_at.isoformat() if row.deadline_at else "",
        "taken_at": row.taken_at.isoformat(),
        "patient_name": plain.patient,
        "patient_id": plain.mrn,
        "birth_date": "" if query.is_masked else row.summary.get("birth_date", ""),
        "placer_order_number": row.placer_order_number,
        "control_id": row.control_id,
        "why_held": plain.why,
        "reasons": list(plain.reason_codes),
        "claimed_by": plain.claim.name,
        "route": row.route,
    }
