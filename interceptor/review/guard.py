"""The way into every page: who asks, may they, and was it really they.

Every route is made by `Guard.route` and names its action; there is no other way to add one (a test walks the
application and asks each route for its action). In this order: nobody → the login page (or 401 for scripts), not
allowed → 403, a request that changes something and is not from our own pages → 403. Both refusals are
links of the audit chain.

Failures: a refusal that the node cannot write down is refused all the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from interceptor.review.parts import ReviewParts
from interceptor.review.person import Person
from interceptor.review.rights import GLASS_ACTIONS, Action
from interceptor.review.security import SAFE_METHODS, comes_from_elsewhere, is_own_request
from interceptor.review.session import SessionActivity
from interceptor.review.tally import PUBLIC

Endpoint = Callable[[Request], Awaitable[Response]]


class GuardedRoute(Route):
    """A route that says what it is: `action` is None for what everybody may see before the login."""

    def __init__(self, path: str, endpoint: Endpoint, *, action: Action | None, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.action = action


class Guard:
    """Makes routes that check before they answer."""

    def __init__(self, parts: ReviewParts, activity: SessionActivity) -> None:
        """*activity* is told of what people do."""
        self._parts = parts
        self._activity = activity

    def route(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        action: Action,
        methods: Sequence[str] = ("GET",),
        name: str | None = None,
        is_background: bool = False,
    ) -> GuardedRoute:
        """A route for people with the right to *action*.

        Args:
            path: As Starlette writes it.
            endpoint: Called when the request is allowed; `request.state.person` is a `Person` then.
            action: Of the table in `rights`.
            methods: HTTP methods. Anything that changes something is a POST.
            name: For `url_for`.
            is_background: The page asks by itself (live updates): that keeps no session alive.
        """

        async def run(request: Request) -> Response:
            began = self._parts.monotonic()
            answer = await allowed(request)
            self._parts.tally.request(action.value, answer.status_code, self._parts.monotonic() - began)
            return answer

        async def allowed(request: Request) -> Response:
            request.state.route_path = path
            person: Person | None = request.state.person
            if person is None:
                return self._ask_to_log_in(request)
            if not person.can(action):
                return await self.refuse(request, person, action.value)
            if request.method not in SAFE_METHODS and not await self.is_own(request, person):
                return await self.refuse(request, person, "cross_site")
            if person.session and not is_background:
                self._activity.note(person.session, self._parts.now())
            return await endpoint(request)

        return GuardedRoute(path, run, action=action, methods=list(methods), name=name or endpoint.__name__)

    def public(
        self, path: str, endpoint: Endpoint, *, methods: Sequence[str] = ("GET",), name: str | None = None
    ) -> GuardedRoute:
        """A route for everybody: the login. What changes something must not come from another site's page."""

        async def run(request: Request) -> Response:
            began = self._parts.monotonic()
            answer = await from_here(request)
            self._parts.tally.request(PUBLIC, answer.status_code, self._parts.monotonic() - began)
            return answer

        async def from_here(request: Request) -> Response:
            request.state.route_path = path
            is_safe = request.method in SAFE_METHODS
            if not is_safe and comes_from_elsewhere(request.headers, self._parts.settings.origins):
                return await self.refuse(request, None, "cross_site")
            return await endpoint(request)

        return GuardedRoute(path, run, action=None, methods=list(methods), name=name or endpoint.__name__)

    async def is_own(self, request: Request, person: Person) -> bool:
        """Whether a request that changes something comes from our own pages."""
        return await is_own_request(request, origins=self._parts.settings.origins, csrf_token=person.csrf_token)

    async def refuse(self, request: Request, person: Person | None, refused: str) -> Response:
        """403, and a link of the audit chain. *refused* is an action of the table, or "cross_site"."""
        # The path as it was declared: what stands in place of a parameter may name an order.
        detail = {"refused": refused, "path": getattr(request.state, "route_path", "unknown"), "method": request.method}
        actor = person.actor if person is not None else None
        await self._parts.node.ask("access_note", action="access_refused", actor=actor, detail=detail)
        if wants_json(request):
            return JSONResponse({"title": "Not allowed", "status": 403, "refused": refused}, status_code=403)
        context = {"person": person, "refused": refused, "glass_actions": GLASS_ACTIONS}
        return self._parts.templates.TemplateResponse(request, "refused.html", context, status_code=403)

    def _ask_to_log_in(self, request: Request) -> Response:
        if wants_json(request) or "hx-request" in request.headers:
            answer: Response = JSONResponse({"title": "Log in first", "status": 401}, status_code=401)
            answer.headers["HX-Redirect"] = "/login"
            return answer
        if request.method not in SAFE_METHODS:
            # A form that came too late: its page is asked for again after the login, what it asked for is not done.
            return RedirectResponse("/login", status_code=303)
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(target, safe='')}", status_code=303)


def wants_json(request: Request) -> bool:
    """Whether a script asks, not a browser that shows pages."""
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/html" not in accepted
