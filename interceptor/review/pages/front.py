"""The front page: where a person lands after the login."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.parts import ReviewParts
from interceptor.review.rights import Action


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The route of the front page."""

    async def front_page(request: Request) -> Response:
        context = {"person": request.state.person, "settings": parts.settings}
        return parts.templates.TemplateResponse(request, "front.html", context)

    return (guard.route("/", front_page, action=Action.OWN_ACCOUNT, name="front"),)
