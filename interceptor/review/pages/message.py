"""The messages of one order by segment and field: received, facts, proposed, sent, acknowledgment."""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from interceptor.journal.review_record import OrderRecord, SentRecord
from interceptor.review.byte_diff import MessageDiff, message_diff
from interceptor.review.deciding import preview_of
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.message_page import MessagePage, message_page
from interceptor.review.order_view import order_view
from interceptor.review.pages.order import note_opened, read_order
from interceptor.review.parts import ReviewParts
from interceptor.review.rendering import render
from interceptor.review.rights import Action
from interceptor.review.worklist import time_left

TABS = {
    "received": "Received",
    "facts": "Facts",
    "proposed": "Proposed",
    "sent": "Sent",
    "acknowledgment": "Acknowledgment",
}


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The route of the HL7 view."""

    async def message(request: Request) -> Response:
        record = await read_order(parts, request)
        await note_opened(parts, request, "message_opened", record.row.entry_id)
        tab = request.query_params.get("tab", "received")
        tab = tab if tab in TABS else "received"
        is_masked = request.query_params.get("masked") == "1"
        sent = await parts.reader.sent_for(record.row.entry_id)
        said = frozenset(str(one.get("path")) for one in _evidence(record) if one.get("path"))
        pages, diffs = await asyncio.to_thread(_pages, tab, record, sent, said=said, is_masked=is_masked)
        proposed = None
        if tab == "proposed":
            reply = await parts.node.ask("held_preview", entry=record.row.entry_id, actor=request.state.person.name)
            proposed = await asyncio.to_thread(preview_of, reply)
        return render(
            parts,
            request,
            "message.html",
            row=record.row,
            order=order_view(record, parts.content.policy, now=parts.now(), is_masked=is_masked),
            time_left=time_left(record.row, parts.now()),
            is_waiting=record.row.closed_at is None and record.row.state.value in ("held", "parked"),
            state_words=record.row.state.value,
            tabs=TABS,
            tab=tab,
            is_masked=is_masked,
            messages=pages,
            diffs=diffs,
            proposed=proposed,
            sent=sent,
            field=request.query_params.get("field", "")[:40],
        )

    return (guard.route("/orders/{entry:int}/message", message, action=Action.SEE_MESSAGE),)


def _evidence(record: OrderRecord) -> list[dict[str, object]]:
    evidence = record.row.decision.get("evidence")
    return [one for one in evidence if isinstance(one, dict)] if isinstance(evidence, list) else []


def _pages(
    tab: str, record: OrderRecord, sent: Sequence[SentRecord], *, said: frozenset[str], is_masked: bool
) -> tuple[list[tuple[str, MessagePage]], list[MessageDiff | None]]:
    """The messages of one tab with a title each; for sent ones how they differ from the order as it came."""
    match tab:
        case "received":
            return [("As received", message_page(record.received, said=said, is_masked=is_masked))], [None]
        case "sent":
            found = [
                (f"{one.kind} to {one.destination}", message_page(one.content, is_masked=is_masked)) for one in sent
            ]
            diffs = [
                message_diff(record.content, one.content) if one.kind == "order" and not is_masked else None
                for one in sent
            ]
            return found, list(diffs)
        case "acknowledgment":
            answers = [(f"Answer of {one.destination}", one.acknowledgment) for one in sent if one.acknowledgment]
            answers += [("Our answer to the placer", record.acknowledgment)] if record.acknowledgment else []
            pages = [(title, message_page(raw, is_masked=is_masked)) for title, raw in answers]
            return pages, [None] * len(pages)
        case _:
            return [], []
