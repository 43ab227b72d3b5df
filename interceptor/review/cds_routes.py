"""The CDS Hooks service on the review process' address: who calls, what is answered, what is written down.

    GET  /cds-services                          what there is, for everybody
    POST /cds-services/spine-oncology           cards for orders that are about to be signed
    POST /cds-services/spine-oncology/feedback  what the clinician did with them

Only feedback is kept, as a link of the audit chain: card, outcome and coded reason, never a patient.

Failures: 401 for a caller that is none of the configured clients, 400 with the place for a request that is not understood,
413 by the application for one that is too large. The client's order entry goes on without cards.

Source: CDS Hooks 2.0.
"""

import asyncio
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interceptor.review.api.problem import answer
from interceptor.review.cds_card import CardParts, ProposedCode
from interceptor.review.cds_client import CdsClient, ClientCheck, ClientRefused
from interceptor.review.cds_service import (
    SERVICE_ID,
    RequestProblem,
    answer_request,
    describe_services,
    read_feedback,
)
from interceptor.review.node_client import Answer
from interceptor.review.parts import ReviewParts

PATH = "/cds-services"
REQUESTS_MAX = 4
"""Requests that are decided at one moment; a signing that would wait longer for its turn gets 503 and goes on without."""


@dataclass(frozen=True, kw_only=True)
class CdsRoutes:
    """The endpoints."""

    parts: ReviewParts
    check: ClientCheck
    proposed: ProposedCode | None
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REQUESTS_MAX))

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (
            Route(PATH, self.discover, methods=["GET"]),
            Route(f"{PATH}/{SERVICE_ID}", self.sign, methods=["POST"]),
            Route(f"{PATH}/{SERVICE_ID}/feedback", self.take_feedback, methods=["POST"]),
        )

    async def discover(self, request: Request) -> Response:
        """The discovery document."""
        del request
        return JSONResponse(describe_services(self.parts.content))

    async def sign(self, request: Request) -> Response:
        """Cards for orders that are about to be signed."""
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        if self._turns.locked():
            return answer(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "Too many orders are being signed at this moment.")
        async with self._turns:
            return await self._decide(await request.body())

    async def _decide(self, body: bytes) -> Response:
        cards = CardParts(
            policy=self.parts.content.policy,
            proposed=self.proposed,
            override_reasons=self.parts.settings.release_reasons,
            new_id=lambda: str(uuid.uuid4()),
        )
        try:
            document = json.loads(body)
            # In a thread: reading a chart of thousands of entries must not keep pages waiting.
            found = await asyncio.to_thread(
                answer_request, document, content=self.parts.content, parts=cards, at=self.parts.now()
            )
        except RequestProblem as problem:
            return answer(HTTPStatus.BAD_REQUEST, "invalid_request", f"{problem}.")
        except (ValueError, RecursionError):
            return answer(HTTPStatus.BAD_REQUEST, "not_json", "The request is not JSON.")
        return JSONResponse(found)

    async def take_feedback(self, request: Request) -> Response:
        """What the clinician did with cards."""
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            told = read_feedback(json.loads(await request.body()))
        except RequestProblem as problem:
            return answer(HTTPStatus.BAD_REQUEST, "invalid_request", f"{problem}.")
        except (ValueError, RecursionError):
            return answer(HTTPStatus.BAD_REQUEST, "not_json", "The request is not JSON.")
        client: CdsClient = request.state.cds_client
        for one in told:
            detail: dict[str, Any] = dict(one)
            reply = await self.parts.node.ask(
                "access_note", action="cds_feedback", actor=f"cds:{client.name}", detail=detail
            )
            if not isinstance(reply, Answer):
                return answer(HTTPStatus.SERVICE_UNAVAILABLE, "node_away", "The feedback could not be kept just now.")
        return Response(status_code=HTTPStatus.OK)

    async def _refusal(self, request: Request) -> Response | None:
        """The answer for a caller that is nobody, written down; None for a client of ours."""
        try:
            request.state.cds_client = self.check.check(request.headers.get("authorization", ""), now=self.parts.now())
        except ClientRefused as refused:
            detail = {"refused": refused.reason, "path": PATH, "method": request.method}
            await self.parts.node.ask("access_note", action="access_refused", actor=None, detail=detail)
            return answer(
                HTTPStatus.UNAUTHORIZED, "not_a_client", "Send a token that is signed with a key we know.",
                {"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        return None
