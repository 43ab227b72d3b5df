"""Orders: list, look, claim, decide. A decision compares the version (`If-Match`) and may be repeated (`Idempotency-Key`)."""

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from interceptor.action.lifecycle import OrderState
from interceptor.journal.port import EntryId
from interceptor.journal.review_record import OrderRecord
from interceptor.review.api.caller import Access, caller_of
from interceptor.review.api.models import (
    Claim,
    Decision,
    Link,
    Message,
    Order,
    OrderPage,
    OrderWithDecision,
    Step,
    link_model,
    order_model,
    order_with_decision,
)
from interceptor.review.api.problem import Problem, problem_of
from interceptor.review.node_client import Answer
from interceptor.review.parts import ReviewParts
from interceptor.review.rights import Action

PAGE_MAX = 500
_ENDED = (
    OrderState.QUEUED, OrderState.DELIVERED, OrderState.WITHDRAWN, OrderState.RETURNED, OrderState.REPLACED, OrderState.DEAD,
)  # fmt: skip
_RECENT = timedelta(days=30)
_COMMANDS: Mapping[str, tuple[str, Action]] = {
    "release": ("held_release", Action.RELEASE),
    "return": ("held_return", Action.RETURN),
    "comment": ("held_comment", Action.COMMENT),
}

EntryNumber = Annotated[int, Path(ge=1, le=2**53, description="Our own number of the order.")]
IfMatch = Annotated[
    str | None, Header(description="The version that was looked at, in quotes, as the ETag of the order gave it.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="The same key: carried out once."),
]


class Orders:
    """The endpoints of orders."""

    def __init__(self, parts: ReviewParts, access: Access) -> None:
        """*access* lets callers in."""
        self._parts = parts
        self._access = access

    def router(self) -> APIRouter:
        """Their routes."""
        router, need = APIRouter(tags=["orders"]), self._access.need
        see, look = [need(Action.SEE_WORKLIST)], [need(Action.OPEN_ORDER)]
        router.add_api_route("/orders", self.list_orders, dependencies=see, summary="Orders, by our number")
        router.add_api_route("/orders/{entry}", self.order, dependencies=look, summary="One order with its decision")
        router.add_api_route("/orders/{entry}/history", self.history, dependencies=look, summary="What happened to it")
        router.add_api_route(
            "/orders/{entry}/message", self.message, dependencies=[need(Action.SEE_MESSAGE)], summary="Its bytes"
        )
        router.add_api_route(
            "/orders/{entry}/claim",
            self.claim,
            methods=["POST"],
            dependencies=[need(Action.CLAIM)],
            summary="Claim it for a while, or give the claim up",
        )
        router.add_api_route(
            "/orders/{entry}/decision",
            self.decide,
            methods=["POST"],
            dependencies=[need(Action.COMMENT)],
            summary="Release, return or comment",
        )
        return router

    async def list_orders(
        self,
        state: Annotated[Literal["waiting", "ended"], Query(description="Ended: within the last 30 days.")] = "waiting",
        after: Annotated[int, Query(ge=0, le=2**53, description="Orders with a higher number.")] = 0,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    ) -> OrderPage:
        """Orders that wait for a person, or those that ended, a page at a time."""
        reader = self._parts.reader
        if state == "waiting":
            rows = await reader.waiting_orders()
        else:
            rows = await reader.orders_in(_ENDED, since=self._parts.now() - _RECENT, limit=5000)
        behind = sorted((row for row in rows if row.entry_id > after), key=lambda row: row.entry_id)
        page: tuple[Order, ...] = tuple(order_model(row) for row in behind[:limit])
        return OrderPage(orders=page, next_after=page[-1].entry if len(behind) > limit else None)

    async def order(self, request: Request, response: Response, entry: EntryNumber) -> OrderWithDecision:
        """One order; the `ETag` is its version. That it was opened is a link of the audit chain."""
        record = await self._record(entry)
        await self._note(request, "order_opened", entry)
        response.headers["ETag"] = f'"{record.row.version}"'
        return order_with_decision(record.row)

    async def history(self, entry: EntryNumber) -> tuple[Link, ...]:
        """The links of the audit chain about one order, the oldest first."""
        await self._record(entry)
        return tuple(link_model(row) for row in await self._parts.records.history(EntryId(entry)))

    async def message(self, request: Request, entry: EntryNumber) -> Message:
        """The message as received, and what leaves when the order is released. That it was opened is audited."""
        record = await self._record(entry)
        await self._note(request, "message_opened", entry)
        return Message(received=record.received.decode("latin-1"), content=record.content.decode("latin-1"))

    async def claim(self, request: Request, entry: EntryNumber, claim: Claim) -> Step:
        """Claim an order so that others see who works on it; a claim ends by itself."""
        command = "held_unclaim" if claim.give_up else "held_claim"
        return await self._step(request, command, entry, claim.claimed_by, {})

    async def decide(
        self,
        request: Request,
        entry: EntryNumber,
        decision: Decision,
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Step:
        """Decide an order. Of two who decide at once one wins; the other is told who and when (409)."""
        command, action = _COMMANDS[decision.action]
        if not caller_of(request).can(action):
            raise Problem(HTTPStatus.FORBIDDEN, "scope_missing", f"The token has no scope for {action.value}.")
        arguments: dict[str, Any] = {"request": idempotency_key}
        if decision.action == "comment":
            arguments |= {"comment": decision.comment}
        else:
            if not decision.reason_code:
                raise Problem(
                    HTTPStatus.UNPROCESSABLE_ENTITY, "reason_missing", "Give a reason_code of the site's list."
                )
            arguments |= {
                "version": _version(if_match),
                "reason_code": decision.reason_code,
                "reason": decision.comment,
            }
        return await self._step(request, command, entry, decision.decided_by, arguments)

    async def _record(self, entry: int) -> OrderRecord:
        record = await self._parts.reader.order(EntryId(entry))
        if record is None:
            raise Problem(HTTPStatus.NOT_FOUND, "not_found", "There is no such order.")
        return record

    async def _note(self, request: Request, action: str, entry: int) -> None:
        """What was opened stands in the audit chain before it is shown."""
        actor = caller_of(request).name
        reply = await self._parts.node.ask("access_note", action=action, actor=actor, entry=entry, detail={})
        if not isinstance(reply, Answer):
            raise problem_of(reply)

    async def _step(
        self, request: Request, command: str, entry: int, person: str, arguments: Mapping[str, Any]
    ) -> Step:
        actor = f"{person.strip()} by {caller_of(request).name}"
        reply = await self._parts.node.ask(command, entry=entry, actor=actor, **arguments)
        if not isinstance(reply, Answer):
            raise problem_of(reply)
        result = reply.result
        return Step(
            entry=entry,
            state=str(result.get("state", "")),
            version=int(result.get("version", 0)),
            repeated=bool(result.get("repeated", False)),
        )


def _version(if_match: str | None) -> int:
    """The version of an If-Match header."""
    if if_match is None:
        raise Problem(HTTPStatus.PRECONDITION_REQUIRED, "if_match_missing", "Send If-Match with the order's ETag.")
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 15 or int(text) < 1:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "if_match_wrong", 'If-Match is a version such as "3".')
    return int(text)
