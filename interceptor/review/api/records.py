"""The audit chain, dead letters, routes, the policy, and what happens now."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from interceptor.context.patient import NO_EVIDENCE
from interceptor.decision.message_decision import decide_message
from interceptor.decision.report import message_json
from interceptor.journal.port import EntryId
from interceptor.journal.review_record import AuditQuery
from interceptor.message.header import NotHl7
from interceptor.message.view import MessageView
from interceptor.review.api.caller import Access, caller_of
from interceptor.review.api.models import (
    DeadLetterPage,
    DeadLetterState,
    DeadLetterStep,
    EvaluatedMessage,
    Evaluation,
    LinkPage,
    ModeChange,
    RoutePage,
    RouteState,
    dead_letter_model,
    link_model,
)
from interceptor.review.api.problem import Problem, problem_of
from interceptor.review.live import Event, LiveUpdates
from interceptor.review.node_client import Answer
from interceptor.review.parts import ReviewParts
from interceptor.review.rights import Action

DEAD_LETTERS_MAX = 1000


class Records:
    """The endpoints of everything but orders."""

    def __init__(self, parts: ReviewParts, access: Access) -> None:
        """*access* lets callers in."""
        self._parts = parts
        self._access = access
        self._live = LiveUpdates(parts)

    def router(self) -> APIRouter:
        """Their routes."""
        router, need = APIRouter(), self._access.need

        for method, path, endpoint, action, tag in (
            ("GET", "/audit", self.audit, Action.SEE_AUDIT, "audit"),
            ("GET", "/dead-letters", self.dead_letters, Action.SEE_DEAD_LETTERS, "dead letters"),
            ("POST", "/dead-letters/{outbox}", self.end_dead_letter, Action.SEE_DEAD_LETTERS, "dead letters"),
            ("GET", "/routes", self.routes, Action.SEE_ROUTES, "routes"),
            ("PUT", "/routes/{name}/mode", self.set_mode, Action.SET_MODE, "routes"),
            ("POST", "/policy/evaluate", self.evaluate, Action.TRY_POLICY, "policy"),
        ):
            router.add_api_route(path, endpoint, methods=[method], dependencies=[need(action)], tags=[tag])
        router.add_api_route(
            "/events",
            self.events,
            dependencies=[need(Action.SEE_LIVE)],
            tags=["events"],
            summary="What happens now, as server-sent events",
            response_class=Response,
            responses={200: {"content": {"text/event-stream": {}}, "description": "Events without end."}},
        )
        return router

    async def audit(
        self,
        actor: Annotated[str, Query(max_length=100)] = "",
        action: Annotated[str, Query(max_length=64)] = "",
        entry: Annotated[int | None, Query(ge=1, le=2**53)] = None,
        before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> LinkPage:
        """Links of the audit chain with this actor, action or order, a page at a time."""
        query = AuditQuery(
            actor=actor,
            action=action,
            entry_id=None if entry is None else EntryId(entry),
            before=before,
            limit=limit + 1,
        )
        rows = await self._parts.records.audit(query)
        links = tuple(link_model(row) for row in rows[:limit])
        return LinkPage(links=links, next_before=links[-1].number if len(rows) > limit else None)

    async def dead_letters(self) -> DeadLetterPage:
        """Messages that the filler refused for good, without their bytes."""
        found = await self._parts.records.dead_letters(limit=DEAD_LETTERS_MAX)
        return DeadLetterPage(dead_letters=tuple(dead_letter_model(one) for one in found))

    async def end_dead_letter(
        self, request: Request, outbox: Annotated[int, Path(ge=1, le=2**53)], step: DeadLetterStep
    ) -> DeadLetterState:
        """Send a dead letter again as a possible duplicate, or give it up with a reason."""
        action = Action.RETRY_DEAD_LETTER if step.action == "retry" else Action.DISCARD_DEAD_LETTER
        if not caller_of(request).can(action):
            raise Problem(HTTPStatus.FORBIDDEN, "scope_missing", f"The token has no scope for {action.value}.")
        actor = f"{step.decided_by.strip()} by {caller_of(request).name}"
        reply = await self._parts.node.ask(
            f"dead_{step.action}", outbox_id=outbox, actor=actor, reason=step.reason or None
        )
        if not isinstance(reply, Answer):
            raise problem_of(reply)
        return DeadLetterState(outbox=outbox, state=str(reply.result.get("state", "")))

    async def routes(self) -> RoutePage:
        """Modes of all routes, and what the node says of itself."""
        modes = await self._parts.node.ask("mode_get")
        if not isinstance(modes, Answer):
            raise problem_of(modes)
        status = await self._parts.node.ask("status")
        return RoutePage(
            routes=tuple(RouteState(name=name, mode=mode) for name, mode in modes.result["routes"].items()),
            status=dict(status.result) if isinstance(status, Answer) else {},
        )

    async def set_mode(
        self, request: Request, name: Annotated[str, Path(max_length=32)], change: ModeChange
    ) -> RouteState:
        """Set a route's mode: durable, audited, in force at once."""
        actor = f"{change.decided_by.strip()} by {caller_of(request).name}"
        reply = await self._parts.node.ask("mode_set", route=name, mode=change.mode, actor=actor, reason=change.reason)
        if not isinstance(reply, Answer):
            raise problem_of(reply)
        return RouteState(name=name, mode=change.mode)

    async def evaluate(self, evaluation: Evaluation) -> EvaluatedMessage:
        """Decide one message by the policy that is loaded here; only the message itself speaks."""
        try:
            view = MessageView(evaluation.message.encode("utf-8"))
        except NotHl7 as error:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "not_hl7", f"Not HL7: {error.reason} at byte {error.offset}."
            ) from None
        at = evaluation.at or self._parts.now()
        if at.tzinfo is None:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "time_without_zone", "at needs its offset from UTC.")
        content = self._parts.content
        decision = decide_message(view, content=content, evidence=NO_EVIDENCE, as_of=at)
        return EvaluatedMessage(**message_json(view, decision, policy=content.policy.identity, read_all=True))

    async def events(self, request: Request) -> Response:
        """Every order that moved, by our number; the ids are those of the audit chain (`Last-Event-ID`)."""

        async def describe(changed: object) -> tuple[Event, ...]:
            assert isinstance(changed, tuple)
            rows = await self._parts.reader.orders_of(changed)
            return tuple(
                Event("order", {"entry": row.entry_id, "state": row.state.value, "version": row.version})
                for row in rows
            )

        return self._live.answer(request, describe)
