"""One order: who, what, why held, what can be done, and the decisions that people make on it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from interceptor.action.lifecycle import OrderState
from interceptor.journal.port import EntryId
from interceptor.journal.review_record import OrderRecord, OrderRow
from interceptor.review import plain_words as words
from interceptor.review.claiming import claim_marks
from interceptor.review.deciding import preview_of, read_form
from interceptor.review.filler_answer import FillerAnswer, filler_answers
from interceptor.review.guard import Endpoint, Guard, GuardedRoute
from interceptor.review.known_elsewhere import known_elsewhere
from interceptor.review.node_client import Answer, NodeAway, Reply
from interceptor.review.order_view import earlier_orders, history_lines, order_view
from interceptor.review.parts import ReviewParts
from interceptor.review.person import Person
from interceptor.review.rendering import render
from interceptor.review.rights import Action
from interceptor.review.worklist import outcome_words, select, sort_key, time_left

EARLIER_MAX = 50
LOOKS = frozenset({"order_opened", "message_opened"})
"""Who looked stands in the whole history; beside the order it would hide what happened."""


async def read_order(parts: ReviewParts, request: Request) -> OrderRecord:
    """The order that the address names; 404 when there is none."""
    record = await parts.reader.order(EntryId(int(request.path_params["entry"])))
    if record is None:
        raise HTTPException(404, "There is no such order.")
    return record


async def answers_of(parts: ReviewParts, row: OrderRow) -> Sequence[FillerAnswer]:
    """What the filler said to the order, once it has left."""
    if row.state not in (OrderState.DELIVERED, OrderState.DEAD):
        return ()
    return filler_answers(await parts.reader.sent_for(row.entry_id))


async def note_opened(parts: ReviewParts, request: Request, action: str, entry_id: int) -> None:
    """Opening a record is a link of the audit chain; a node that is away keeps nobody from reading."""
    actor = request.state.person.actor
    await parts.node.ask("access_note", action=action, actor=actor, entry=entry_id, detail={"order": str(entry_id)})


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of one order."""

    async def order(request: Request) -> Response:
        record = await read_order(parts, request)
        await note_opened(parts, request, "order_opened", record.row.entry_id)
        person: Person = request.state.person
        claims = claim_marks(await parts.reader.claims(), person.name, parts.now())
        if claims.of(record.row.entry_id).is_mine:
            # Each look of whoever has it begins the lease anew.
            await parts.node.ask("held_claim", entry=record.row.entry_id, actor=person.name, renew=True)
        return await show_order(parts, request, record)

    async def state(request: Request) -> Response:
        """What changed since the page was opened: a bar, or nothing."""
        record = await read_order(parts, request)
        return render(
            parts,
            request,
            "_order_bar.html",
            row=record.row,
            seen=request.query_params.get("version", ""),
            outcome=outcome_words(record.row, await parts.records.history(record.row.entry_id)),
            state_words=words.said(words.STATES, record.row.state),
            answers=await answers_of(parts, record.row),
        )

    async def preview(request: Request) -> Response:
        record = await read_order(parts, request)
        form = read_form(await request.form(), parts.settings)
        asked = {"entry": record.row.entry_id, "actor": request.state.person.name, **form.preview_arguments()}
        reply = await parts.node.ask("held_preview", **asked)
        shown = await asyncio.to_thread(preview_of, reply)
        template = "_preview.html" if "hx-request" in request.headers else "preview.html"
        return render(parts, request, template, preview=shown, row=record.row)

    async def next_order(request: Request) -> Response:
        return await _next_order(parts, request)

    base = "/orders/{entry:int}"
    return (
        guard.route(base, order, action=Action.OPEN_ORDER),
        guard.route("/next", next_order, action=Action.OPEN_ORDER),
        guard.route(f"{base}/state", state, action=Action.OPEN_ORDER, is_background=True, name="order_state"),
        guard.route(f"{base}/preview", preview, action=Action.OPEN_ORDER, methods=("POST",), name="order_preview"),
        *(
            guard.route(
                f"{base}/{path}", _act(parts, command, path), action=action, methods=("POST",), name=f"order_{path}"
            )
            for path, command, action in ACTS
        ),
    )


async def _next_order(parts: ReviewParts, request: Request) -> Response:
    """The most urgent order that waits behind this one, that nobody else has in hand and nobody put aside."""
    after = request.query_params.get("after", "")
    waiting = select(await parts.reader.waiting_orders(), ())
    claims = claim_marks(await parts.reader.claims(), request.state.person.name, parts.now())
    marks = [(row, claims.of(row.entry_id)) for row in waiting]
    free = [row for row, mark in marks if not mark.snoozed_until and (mark.is_mine or not mark.name)]
    here = next((row for row in waiting if str(row.entry_id) == after), None)
    behind = [row for row in free if here is None or sort_key(row) > sort_key(here)] or free
    found = next((row for row in behind if str(row.entry_id) != after), None)
    return RedirectResponse("/" if found is None else f"/orders/{found.entry_id}", status_code=303)


def _act(parts: ReviewParts, command: str, verb: str) -> Endpoint:
    """The endpoint of one act: the form is read and checked, the node carries it out, the page tells what became of it."""

    async def run(request: Request) -> Response:
        record = await read_order(parts, request)
        form = read_form(await request.form(), parts.settings)
        if (problem := form.problem(verb)) is not None:
            return await show_order(parts, request, record, message=problem, is_bad=True, status_code=422)
        arguments: Mapping[str, Any] = form.arguments(verb)
        reply = await parts.node.ask(command, entry=record.row.entry_id, actor=request.state.person.name, **arguments)
        return await _after(parts, request, record, reply, verb)

    run.__name__ = f"order_{verb}"
    return run


ACTS: tuple[tuple[str, str, Action], ...] = (
    ("release", "held_release_soon", Action.RELEASE),
    ("return", "held_return", Action.RETURN),
    ("change", "held_change", Action.CHANGE_PROCEDURE),
    ("comment", "held_comment", Action.COMMENT),
    ("claim", "held_claim", Action.CLAIM),
    ("unclaim", "held_unclaim", Action.CLAIM),
    ("hand-over", "held_hand_over", Action.HAND_OVER),
    ("snooze", "held_snooze", Action.SNOOZE),
    ("undo", "held_undo", Action.RELEASE),
)
"""What people do with an order: path, command of the node, and the right that it needs."""


async def show_order(
    parts: ReviewParts,
    request: Request,
    record: OrderRecord,
    *,
    message: str = "",
    is_bad: bool = False,
    status_code: int = 200,
) -> Response:
    """The page of one order, with what became of the last act where there was one."""
    # First the mark, then the order: what moves in between is told to the page as news, not lost between the two.
    mark = await parts.reader.mark()
    record = await parts.reader.order(record.row.entry_id) or record
    now, person, row = parts.now(), request.state.person, record.row
    is_masked = request.query_params.get("masked") == "1"
    view = order_view(record, parts.content.policy, now=now, is_masked=is_masked)
    patient = (str(row.summary.get("patient_id") or ""), str(row.summary.get("patient_id_authority") or ""))
    earlier = await parts.reader.orders_of_patient(*patient, limit=EARLIER_MAX) if patient[0] else ()
    elsewhere = await known_elsewhere(parts.database, *patient) if patient[0] else ()
    claims = claim_marks(await parts.reader.claims(), person.name, now)
    history = await parts.records.history(row.entry_id)
    return render(
        parts,
        request,
        "order.html",
        status_code=status_code,
        row=row,
        order=view,
        claim=claims.of(row.entry_id),
        time_left=time_left(row, now),
        is_waiting=row.state in (OrderState.HELD, OrderState.PARKED),
        outcome=outcome_words(row, history),
        answers=await answers_of(parts, row),
        state_words=words.said(words.STATES, row.state),
        priority_words=words.said(words.PRIORITIES, row.priority),
        class_words=words.said(words.PATIENT_CLASSES, row.summary.get("patient_class") or ""),
        scheduled=words.day_words(str(row.summary.get("scheduled") or "")),
        placed=record.received_at,
        earlier=earlier_orders(earlier, row),
        elsewhere=elsewhere,
        history=history_lines(one for one in history if one.action not in LOOKS),
        message=message or _done_message(request),
        message_is_bad=is_bad,
        mark=mark.audit_number,
        is_masked=is_masked,
    )


_DONE: Mapping[str, str] = {
    "release": "Released as ordered.",
    "return": "Returned to the orderer; the placer is told.",
    "change": "Procedure changed and released.",
    "comment": "Comment written.",
    "claim": "Claimed by you.",
    "unclaim": "Given back.",
    "hand-over": "Handed over.",
    "snooze": "Put aside. The deadline stands.",
    "undo": "Called back: the order is held again.",
}


def _done_message(request: Request) -> str:
    return _DONE.get(request.query_params.get("done", ""), "")


async def _after(parts: ReviewParts, request: Request, record: OrderRecord, reply: Reply, verb: str) -> Response:
    """Back to the order when the node did it; the same page with the reason when it did not."""
    if isinstance(reply, Answer):
        return RedirectResponse(f"/orders/{record.row.entry_id}?done={verb}", status_code=303)
    again = await parts.reader.order(record.row.entry_id) or record
    message = reply.message
    if isinstance(reply, NodeAway) and reply.is_outcome_unknown:
        message += " Look at the order's state below before you try again."
    elif isinstance(reply, NodeAway):
        message = f"Nothing was changed. {message}"
    else:
        message = f"Not done: {message}."
    return await show_order(parts, request, again, message=message, is_bad=True, status_code=409)
