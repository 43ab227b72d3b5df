"""Live updates: rows of the worklist in the view that the browser shows, and word that an open order has changed."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from interceptor.journal.port import EntryId
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.live import Event, LiveUpdates
from interceptor.review.node_state import node_state, problems
from interceptor.review.pages.worklist import histories_of, read_lists
from interceptor.review.parts import ReviewParts
from interceptor.review.person import Person
from interceptor.review.rendering import fragment, render
from interceptor.review.rights import Action
from interceptor.review.worklist import WorklistQuery, read_query, row_view, select


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of live updates."""
    live = LiveUpdates(parts)

    async def events(request: Request) -> Response:
        person: Person = request.state.person
        order = request.query_params.get("order", "")
        if order.isascii() and order.isdigit() and len(order) < 16:
            return live.answer(request, lambda changed: _order_events(parts, EntryId(int(order)), changed))
        query = read_query(request.query_params)
        return live.answer(request, lambda changed: _list_events(parts, person, query, changed))

    async def bars(request: Request) -> Response:
        state = node_state(await parts.node.status())
        return render(parts, request, "_bars.html", problems=problems(state, parts.now()))

    return (
        guard.route("/events", events, action=Action.SEE_WORKLIST, is_background=True),
        guard.route("/bars", bars, action=Action.SEE_LIVE, is_background=True),
    )


async def _order_events(parts: ReviewParts, entry_id: EntryId, changed: Sequence[EntryId]) -> Sequence[Event]:
    if entry_id not in changed:
        return (Event("beat", {}),)
    rows = await parts.reader.orders_of([entry_id])
    return [Event("order", {"order": row.entry_id, "version": row.version, "state": row.state.value}) for row in rows]


async def _list_events(
    parts: ReviewParts, person: Person, query: WorklistQuery, changed: Sequence[EntryId]
) -> Sequence[Event]:
    """The rows that changed, as this view shows them, those that left it, and how many orders each tab has."""
    lists = await read_lists(parts, person.name)
    wanted = set(changed)
    of_view = {row.entry_id: row for row in select(lists.rows[query.tab], query.facets) if row.entry_id in wanted}
    histories = await histories_of(parts, query, list(of_view.values()))
    found = [Event("counts", {tab.value: len(rows) for tab, rows in lists.rows.items()})]
    for entry_id in changed:
        row = of_view.get(entry_id)
        if row is None:
            found.append(Event("gone", {"order": entry_id}))
            continue
        view = row_view(
            row,
            lists.claims.of(entry_id),
            now=parts.now(),
            is_masked=query.is_masked,
            history=histories.get(entry_id, ()),
        )
        html = fragment(parts, "_row_alone.html", order=view, columns=query.shown_columns)
        found.append(Event("row", {"order": entry_id, "sort": view.sort_key, "html": html}))
    return found
