"""The API put together: its routes, its problems, its description.

The description is OpenAPI 3.1 at /api/v1/openapi.json; /api/v1/docs shows it without anything from elsewhere.

Failures: our own fault is a problem document with status 500, without content.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from interceptor import __version__
from interceptor.journal.api_token import ApiToken
from interceptor.review.api.caller import Access
from interceptor.review.api.documentation import describe_operations
from interceptor.review.api.orders import Orders
from interceptor.review.api.problem import ProblemDocument, answer, install_problems
from interceptor.review.api.records import Records
from interceptor.review.parts import ReviewParts

_DESCRIPTION = """Held orders, decisions, routes and the audit chain for programs.

Send a token of `interceptor token add` as `Authorization: Bearer`. Refusals and failures are problem documents (RFC 9457).
"""
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": words,
        "content": {"application/problem+json": {"schema": ProblemDocument.model_json_schema()}},
    }
    for status, words in (
        (401, "No good token."),
        (403, "The token has no scope for this."),
        (404, "There is no such thing."),
        (409, "Somebody was faster; `detail` says who and when."),
        (422, "The request is not understood; `detail` says where."),
        (428, "If-Match is missing."),
        (503, "The node or its journal cannot be reached just now."),
    )
}


def build_api(parts: ReviewParts, find_token: Callable[[bytes], Awaitable[ApiToken | None]]) -> FastAPI:
    """The application under /api/v1.

    Args:
        parts: What pages are built from.
        find_token: A token by the SHA-256 of its secret.
    """
    api = FastAPI(
        title="Order interceptor",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses=_PROBLEMS,
    )
    install_problems(api)
    api.add_exception_handler(Exception, _failed)
    access = Access(parts, find_token)
    api.include_router(Orders(parts, access).router())
    api.include_router(Records(parts, access).router())

    async def documentation(request: Request) -> Response:
        context = {"operations": describe_operations(api.openapi()), "version": api.version}
        return parts.templates.TemplateResponse(request, "api.html", context)

    api.add_route("/docs", documentation, include_in_schema=False)
    return api


async def _failed(request: Request, error: Exception) -> Response:
    del request, error
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", "Something went wrong on our side; the log says where.")
