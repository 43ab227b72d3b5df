"""The application of the review pages: routes and what stands in front of them, put together.

    build_app(parts, activity, ...)     Starlette; state comes in as arguments, there are no globals

Failures: a database that cannot be read is answered with 503 and a plain page; our own fault with 500, without
content.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from interceptor.journal.port import JournalError
from interceptor.review import login
from interceptor.review.guard import Guard, wants_json
from interceptor.review.pacing import Pacing, ProcessorBudget
from interceptor.review.pages import (
    account,
    audit,
    dead_letters,
    events,
    help_page,
    history,
    lines,
    message,
    missed,
    order,
    policy,
    traffic,
    users,
    worklist,
)
from interceptor.review.parts import ReviewParts
from interceptor.review.security import BodyLimit, HostCheck, SecurityHeaders
from interceptor.review.session import SessionActivity, SessionMiddleware

_FOLDER: Final = Path(__file__).parent

RouteBuilder = Callable[[ReviewParts, Guard], Sequence[BaseRoute]]
PAGES: Final[tuple[RouteBuilder, ...]] = (
    worklist.routes,
    order.routes,
    message.routes,
    missed.routes,
    history.routes,
    dead_letters.routes,
    lines.routes,
    traffic.routes,
    policy.routes,
    users.routes,
    audit.routes,
    events.routes,
    help_page.routes,
    login.routes,
    account.routes,
)
"""Every module of pages, in the order in which their paths are tried."""


def build_app(parts: ReviewParts, *, activity: SessionActivity, mounts: Sequence[BaseRoute] = ()) -> Starlette:
    """The application.

    Args:
        parts: What pages are built from.
        activity: When sessions were last used.
        mounts: Applications of their own (the API), tried after the pages; they check for themselves who may come in.
    """
    guard = Guard(parts, activity)
    pages = [route for build in PAGES for route in build(parts, guard)]
    static = Mount("/static", StaticFiles(directory=_FOLDER / "static"), name="static")
    settings = parts.settings
    return Starlette(
        routes=[*pages, guard.public("/healthz", _healthz), *mounts, static],
        middleware=[
            Middleware(SecurityHeaders, is_tls=settings.is_tls),
            Middleware(HostCheck, origins=settings.origins),
            *_pacing(settings.processor_share),
            Middleware(BodyLimit),
            Middleware(SessionMiddleware, parts=parts, activity=activity),
        ],
        exception_handlers={JournalError: _unreadable, HTTPException: partial(_refused, parts), 500: page_failed},
    )


def _pacing(share: float | None) -> Iterator[Middleware]:
    if share is not None:
        yield Middleware(Pacing, budget=ProcessorBudget(share, monotonic=time.monotonic, processor=time.process_time))


async def _healthz(request: Request) -> Response:
    """This process answers; the node's health has its own address."""
    del request
    return PlainTextResponse("ok\n")


async def _refused(parts: ReviewParts, request: Request, error: Exception) -> Response:
    """An address that leads nowhere, or a way of asking that it does not take; nothing of what was asked is said again."""
    assert isinstance(error, HTTPException)
    title = "Nothing is here" if error.status_code == 404 else "This cannot be done here"
    if wants_json(request):
        content = {"title": title, "status": error.status_code}
        return JSONResponse(content, status_code=error.status_code, headers=error.headers)
    text = (
        "The address is wrong, or what it led to was never here."
        if error.status_code == 404
        else "Go back, and try again."
    )
    context = {"person": request.state.person, "title": title, "text": text}
    return parts.templates.TemplateResponse(
        request, "not_found.html", context, status_code=error.status_code, headers=error.headers
    )


async def _unreadable(request: Request, error: Exception) -> Response:
    """The database cannot be read now."""
    del request, error
    return PlainTextResponse("The journal cannot be read just now. Try again in a moment.\n", status_code=503)


async def page_failed(request: Request, error: Exception) -> Response:
    """A fault of our own: told without content."""
    del request, error
    return PlainTextResponse("Something went wrong on our side; the log says where.\n", status_code=500)
