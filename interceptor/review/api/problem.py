"""Everything that goes wrong, as a problem document: a title for people, a stable word for programs, never content.

Source: RFC 9457 (problem details), RFC 9110 (412 and 428 of conditional requests: RFC 6585).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from interceptor.journal.port import JournalError
from interceptor.review.node_client import NodeAway, Refusal

_STATUS_OF_REFUSAL: Mapping[str, HTTPStatus] = {
    "conflict": HTTPStatus.CONFLICT,
    "claimed": HTTPStatus.CONFLICT,
    "name_taken": HTTPStatus.CONFLICT,
    "damaged": HTTPStatus.CONFLICT,
    "not_found": HTTPStatus.NOT_FOUND,
    "journal_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "failed": HTTPStatus.INTERNAL_SERVER_ERROR,
}


class ProblemDocument(BaseModel):
    """What every refusal and failure is answered with (application/problem+json)."""

    type: str = Field(description="about:blank: the status and the code say what it is.")
    title: str = Field(description="The status in words.")
    status: int
    code: str = Field(description="A stable word for programs.")
    detail: str = Field(description="A sentence for people. Never quotes what was sent.")


class Problem(Exception):  # noqa: N818 - the name of RFC 9457
    """A request is answered with a problem document."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail


def problem_of(reply: Refusal | NodeAway) -> Problem:
    """The node said no, or said nothing."""
    if isinstance(reply, Refusal):
        status = _STATUS_OF_REFUSAL.get(reply.code, HTTPStatus.UNPROCESSABLE_ENTITY)
        return Problem(status, reply.code, reply.message)
    code = "outcome_unknown" if reply.is_outcome_unknown else "node_away"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, reply.message)


def answer(status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer for a problem."""
    document = {"type": "about:blank", "title": status.phrase, "status": status.value, "code": code, "detail": detail}
    return JSONResponse(document, status, headers=headers, media_type="application/problem+json")


def install_problems(api: FastAPI) -> None:
    """Answer every exception of *api* with a problem document."""
    api.add_exception_handler(Problem, _problem)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(JournalError, _journal)


async def _problem(request: Request, error: Exception) -> JSONResponse:
    del request
    assert isinstance(error, Problem)
    headers = {"WWW-Authenticate": "Bearer"} if error.status is HTTPStatus.UNAUTHORIZED else None
    return answer(error.status, error.code, error.detail, headers)


async def _http(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses: no such path, no such method."""
    del request
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return answer(status, status.name.lower(), f"{status.phrase}.", error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """The place and the kind of every problem; what was sent is not quoted."""
    del request
    assert isinstance(error, RequestValidationError)
    places = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in _details(error)]
    return answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", "; ".join(places[:20]))


def _details(error: RequestValidationError) -> list[dict[str, Any]]:
    return [dict(one) for one in error.errors()]


async def _journal(request: Request, error: Exception) -> JSONResponse:
    del request, error
    return answer(HTTPStatus.SERVICE_UNAVAILABLE, "journal_unavailable", "The journal cannot be read just now.")
