"""Help: the keyboard and what each column means, on a page of its own for who has no script."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.parts import ReviewParts
from interceptor.review.rendering import render
from interceptor.review.rights import Action


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The route of the help page."""

    async def help_page(request: Request) -> Response:
        return render(parts, request, "help.html")

    return (guard.route("/help", help_page, action=Action.OWN_ACCOUNT),)
