"""Coming in and going out: one-time links, the session's cookie, logout, a broken glass.

A link is shown first and used up by its button only, so that a mail scanner or a browser that looks ahead does not
use it. A session's secret is made by the node and stands in the cookie and nowhere else.

Failures: a node that is away lets nobody in or out; the page says so.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.node_client import Answer, NodeAway, Reply
from interceptor.review.parts import ReviewParts
from interceptor.review.person import Person
from interceptor.review.rights import Action
from interceptor.review.security import SESSION_COOKIE


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of the login."""
    pages = LoginPages(parts)
    return (
        guard.public("/login", pages.show_login, name="login"),
        guard.public("/login/link/{secret}", pages.show_link, name="login_link"),
        guard.public("/login/link/{secret}", pages.use_link, methods=("POST",), name="use_link"),
        guard.route("/logout", pages.log_out, action=Action.OWN_ACCOUNT, methods=("POST",), name="logout"),
        guard.route("/glass", pages.show_glass, action=Action.BREAK_GLASS, name="glass"),
        guard.route("/glass", pages.break_glass, action=Action.BREAK_GLASS, methods=("POST",), name="break_glass"),
    )


class LoginPages:
    """What the routes do."""

    def __init__(self, parts: ReviewParts) -> None:
        """Use `routes`."""
        self._parts = parts

    async def show_login(self, request: Request) -> Response:
        """How to come in."""
        return self._page(request, "login.html", target=safe_target(request.query_params.get("next", "")))

    async def show_link(self, request: Request) -> Response:
        """A button that uses the link up."""
        return self._page(request, "login_link.html")

    async def use_link(self, request: Request) -> Response:
        """Use the link up and begin a session."""
        reply = await self._parts.node.ask("link_use", secret=request.path_params["secret"][:200])
        if not isinstance(reply, Answer):
            return self._refused(request, reply)
        return with_session(RedirectResponse("/", status_code=303), str(reply.result["secret"]))

    async def log_out(self, request: Request) -> Response:
        """End the session, here and in the browser."""
        person: Person = request.state.person
        if person.session:
            reply = await self._parts.node.ask("session_end", session=person.session.hex(), actor=person.name)
            if not isinstance(reply, Answer):
                return self._refused(request, reply)
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    async def show_glass(self, request: Request) -> Response:
        """Ask for the reason."""
        return self._page(request, "glass.html")

    async def break_glass(self, request: Request) -> Response:
        """Lend this session the right to see patients for a while, loudly."""
        person: Person = request.state.person
        reason = str((await request.form()).get("reason", "")).strip()
        if not reason:
            return self._page(request, "glass.html", problem="Say why you need to see patients.", status_code=422)
        reply = await self._parts.node.ask(
            "glass_break", session=person.session.hex(), reason=reason, actor=person.name
        )
        if not isinstance(reply, Answer):
            return self._refused(request, reply)
        return RedirectResponse("/", status_code=303)

    def _refused(self, request: Request, reply: Reply) -> Response:
        assert not isinstance(reply, Answer), "the node did what was asked"
        status_code = 503 if isinstance(reply, NodeAway) else 403
        return self._page(request, "login.html", problem=reply.message, status_code=status_code)

    def _page(
        self, request: Request, template: str, *, problem: str = "", target: str = "/", status_code: int = 200
    ) -> Response:
        context = {"person": request.state.person, "problem": problem, "next": target, "settings": self._parts.settings}
        return self._parts.templates.TemplateResponse(request, template, context, status_code=status_code)


def with_session(answer: Response, secret: str) -> Response:
    """*answer*, which gives the browser its session."""
    # Lax: a link in a chat message opens a page for somebody who is logged in; nothing is ever changed by a GET.
    answer.set_cookie(SESSION_COOKIE, secret, path="/", secure=True, httponly=True, samesite="lax")
    return answer


def safe_target(target: str) -> str:
    """Where to go after the login: a path of ours, "/" for anything else."""
    parts = urlsplit(target)
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return target if is_ours and len(target) <= 2000 and target.isprintable() else "/"
