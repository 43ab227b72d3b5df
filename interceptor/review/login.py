"""Coming in and going out: passwords, one-time links, the identity provider, logout, a broken glass.

A link is shown first and used up by its button only, so that a mail scanner or a browser that looks ahead does not
use it. A session's secret is made by the node at each login and stands in the cookie and nowhere else.

Failures: a node that is away lets nobody in or out; the page says so. A wrong name, password or code is one and the
same answer, after the same time.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from interceptor.journal.account import Account
from interceptor.review.credential import Passwords, totp_step
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.node_client import Answer, NodeAway, Reply
from interceptor.review.oidc import LoginAttempt, OidcFailure
from interceptor.review.parts import ReviewParts
from interceptor.review.person import Person
from interceptor.review.plain_words import duration_words
from interceptor.review.rendering import NAVIGATION
from interceptor.review.rights import Action
from interceptor.review.security import SESSION_COOKIE
from interceptor.review.session import client_address
from interceptor.review.throttle import Throttle

ATTEMPT_COOKIE = "__Host-login"
"""Binds a login at the identity provider to the browser that began it."""
START = "/start"
"""Where a login without another aim leads to."""
_ATTEMPTS_MAX = 1000
_ATTEMPT_SECONDS = 600.0
_REFUSED = "This name, password or code is not right."


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of the login."""
    pages, provider = LoginPages(parts), ProviderPages(parts)
    return (
        guard.public("/login", pages.show_login, name="login"),
        guard.public("/login", pages.log_in, methods=("POST",), name="log_in"),
        guard.public("/login/link/{secret}", pages.show_link, name="login_link"),
        guard.public("/login/link/{secret}", pages.use_link, methods=("POST",), name="use_link"),
        guard.public("/login/provider", provider.begin, name="login_provider"),
        guard.public("/login/answer", provider.end, name="login_answer"),
        guard.route("/start", pages.start, action=Action.OWN_ACCOUNT, name="start"),
        guard.route("/logout", pages.log_out, action=Action.OWN_ACCOUNT, methods=("POST",), name="logout"),
        guard.route("/glass", pages.show_glass, action=Action.BREAK_GLASS, name="glass"),
        guard.route("/glass", pages.break_glass, action=Action.BREAK_GLASS, methods=("POST",), name="break_glass"),
    )


class LoginPages:
    """Logins with what we keep ourselves, and the ways out."""

    def __init__(self, parts: ReviewParts) -> None:
        """Use `routes`."""
        self._parts = parts
        self._passwords: Passwords = parts.passwords
        self._throttle = Throttle(parts.monotonic)

    async def show_login(self, request: Request) -> Response:
        """How to come in."""
        return login_page(self._parts, request, target=safe_target(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        """Check a name, a password and, where the account has a second factor, a code."""
        form = await request.form()
        stated = {name: str(form.get(name, "")) for name in ("account", "password", "code", "reason", "next")}
        name, target = stated["account"].strip().lower()[:64], safe_target(stated["next"])
        address = client_address(request.scope, self._parts.settings.trusted_proxies)
        keys = (f"account:{name}", f"address:{address}")
        wait = self._throttle.wait_seconds(keys)
        if wait > 0:
            problem = f"Too many tries. Wait {duration_words(timedelta(seconds=wait + 1))}."
            self._parts.tally.login("throttled")
            answer = login_page(self._parts, request, target=target, problem=problem, status_code=429)
            answer.headers["Retry-After"] = str(max(1, round(wait)))
            return answer
        account = await self._parts.access.find_account(name)
        is_match = await self._passwords.matches(account.password_hash if account else "", stated["password"])
        step = _step_of(account, stated["code"], self._parts) if account is not None else None
        if account is None or not is_match or step is None or not self._may_come_in(account):
            self._throttle.failed(keys)
            await self._note_failure(account, address)
            return login_page(self._parts, request, target=target, problem=_REFUSED, status_code=403)
        if account.is_break_glass and not stated["reason"].strip():
            problem = "This account is for emergencies: say why you use it."
            return login_page(self._parts, request, target=target, problem=problem, status_code=422)
        opened = await self._parts.node.ask(
            "session_open", method="password", account=name, totp_step=step or None, reason=stated["reason"].strip()
        )
        if not isinstance(opened, Answer):
            return refused(self._parts, request, opened)
        self._throttle.succeeded(keys[0])
        self._parts.tally.login("password")
        return with_session(RedirectResponse(target, status_code=303), str(opened.result["secret"]))

    async def show_link(self, request: Request) -> Response:
        """A button that uses the link up."""
        return _page(self._parts, request, "login_link.html")

    async def use_link(self, request: Request) -> Response:
        """Use the link up and begin a session."""
        reply = await self._parts.node.ask("link_use", secret=request.path_params["secret"][:200])
        if not isinstance(reply, Answer):
            self._parts.tally.login("refused")
            return refused(self._parts, request, reply)
        self._parts.tally.login("link")
        return with_session(RedirectResponse(START, status_code=303), str(reply.result["secret"]))

    async def start(self, request: Request) -> Response:
        """Lead to the first page that this person may see: not everybody works with the list."""
        person: Person = request.state.person
        places = (address for address, _, action in NAVIGATION if person.can(action))
        return RedirectResponse(next(places, "/account"), status_code=303)

    async def log_out(self, request: Request) -> Response:
        """End the session, here and in the browser."""
        person: Person = request.state.person
        if person.session:
            reply = await self._parts.node.ask("session_end", session=person.session.hex(), actor=person.name)
            if not isinstance(reply, Answer):
                return refused(self._parts, request, reply)
        return without_session(RedirectResponse("/login", status_code=303))

    async def show_glass(self, request: Request) -> Response:
        """Ask for the reason."""
        return _page(self._parts, request, "glass.html")

    async def break_glass(self, request: Request) -> Response:
        """Lend this session the right to see patients for a while, loudly."""
        person: Person = request.state.person
        reason = str((await request.form()).get("reason", "")).strip()
        if not reason or not person.session:
            problem = "Say why you need to see patients." if person.session else "Log in with an account of ours first."
            return _page(self._parts, request, "glass.html", problem=problem, status_code=422)
        reply = await self._parts.node.ask(
            "glass_break", session=person.session.hex(), reason=reason, actor=person.name
        )
        if not isinstance(reply, Answer):
            return refused(self._parts, request, reply)
        return RedirectResponse(START, status_code=303)

    def _may_come_in(self, account: Account) -> bool:
        """Whether accounts of ours are taken: all, those for emergencies, or none."""
        wanted = self._parts.settings.local_users
        if account.disabled_at is not None or wanted == "none":
            return False
        # An emergency account stands open for everybody who guesses its password: without a second factor it is none.
        return wanted == "all" or (account.is_break_glass and bool(account.totp_secret))

    async def _note_failure(self, account: Account | None, address: str) -> None:
        self._parts.tally.login("refused")
        # What is no account's name is not written down: people type passwords into the wrong field.
        detail = {"account": account.name if account is not None else "unknown", "address": address}
        await self._parts.node.ask("access_note", action="login_failed", detail=detail)


class ProviderPages:
    """Logins at an OpenID Connect provider."""

    def __init__(self, parts: ReviewParts) -> None:
        """Use `routes`."""
        self._parts = parts
        self._attempts: dict[str, tuple[float, LoginAttempt, str]] = {}

    async def begin(self, request: Request) -> Response:
        """Send the browser to the provider."""
        provider = self._parts.provider
        if provider is None:
            return login_page(self._parts, request, problem="No identity provider is configured.", status_code=404)
        try:
            address, attempt = await provider.start()
        except OidcFailure as failure:
            return await self._failed(request, failure)
        now = self._parts.monotonic()
        self._attempts = {key: one for key, one in self._attempts.items() if now - one[0] < _ATTEMPT_SECONDS}
        if len(self._attempts) >= _ATTEMPTS_MAX:
            self._attempts.pop(next(iter(self._attempts)))
        self._attempts[attempt.state] = (now, attempt, safe_target(request.query_params.get("next", "")))
        answer = RedirectResponse(address, status_code=303)
        # Lax: the provider's answer is a navigation from another site.
        answer.set_cookie(ATTEMPT_COOKIE, attempt.state, path="/", secure=True, httponly=True, samesite="lax")
        return answer

    async def end(self, request: Request) -> Response:
        """Take the provider's answer and begin a session."""
        state = request.query_params.get("state", "")
        known = self._attempts.pop(state, None)
        is_ours = state != "" and request.cookies.get(ATTEMPT_COOKIE) == state
        code, provider = request.query_params.get("code", ""), self._parts.provider
        if known is None or not is_ours or not code or provider is None:
            return await self._failed(request, OidcFailure("refused"))
        _, attempt, target = known
        try:
            identity = await provider.finish(code, attempt)
        except OidcFailure as failure:
            return await self._failed(request, failure)
        reply = await self._parts.node.ask(
            "session_open",
            method="oidc",
            account=identity.name,
            display_name=identity.display_name,
            roles=list(identity.roles),
        )
        if not isinstance(reply, Answer):
            return refused(self._parts, request, reply)
        self._parts.tally.login("oidc")
        answer = with_session(RedirectResponse(target, status_code=303), str(reply.result["secret"]))
        answer.delete_cookie(ATTEMPT_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
        return answer

    async def _failed(self, request: Request, failure: OidcFailure) -> Response:
        self._parts.tally.login("refused")
        detail = {"method": "oidc", "reason": failure.reason}
        await self._parts.node.ask("access_note", action="login_failed", detail=detail)
        status_code = 503 if failure.reason in ("unreachable", "bad_discovery") else 403
        problem = _PROVIDER_SENTENCES[failure.reason]
        return login_page(self._parts, request, problem=problem, status_code=status_code)


_PROVIDER_SENTENCES = {
    "unreachable": "The identity provider does not answer. Who is logged in stays so; emergency accounts work.",
    "bad_discovery": "The identity provider describes itself in a way that does not fit the configuration.",
    "refused": "The identity provider's login was not completed. Begin again.",
    "bad_token": "The identity provider's answer could not be trusted. The refusal was noted.",
    "no_roles": "You have no role here. Ask whoever manages the groups.",
}


def login_page(
    parts: ReviewParts, request: Request, *, problem: str = "", target: str = START, status_code: int = 200
) -> Response:
    """The login page, with what went wrong before."""
    context = {"next": target, "has_provider": parts.provider is not None}
    return _page(parts, request, "login.html", problem=problem, status_code=status_code, **context)


def refused(parts: ReviewParts, request: Request, reply: Reply) -> Response:
    """The login page after the node said no, or nothing."""
    assert not isinstance(reply, Answer), "the node did what was asked"
    status_code = 503 if isinstance(reply, NodeAway) else 403
    return login_page(parts, request, problem=reply.message, status_code=status_code)


def with_session(answer: Response, secret: str) -> Response:
    """*answer*, which gives the browser its session."""
    # Lax: a link in a chat message opens a page for somebody who is logged in; nothing is ever changed by a GET.
    answer.set_cookie(SESSION_COOKIE, secret, path="/", secure=True, httponly=True, samesite="lax")
    return answer


def without_session(answer: Response) -> Response:
    """*answer*, which takes the session from the browser, with what it kept of our pages."""
    answer.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


def safe_target(target: str) -> str:
    """Where to go after the login: a path of ours, `START` for anything else."""
    parts = urlsplit(target)
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return target if is_ours and target != "/" and len(target) <= 2000 and target.isprintable() else START


def _step_of(account: Account, code: str, parts: ReviewParts) -> int | None:
    """The time step of a right code; 0 for an account without a second factor, None for a wrong code."""
    if not account.totp_secret:
        return 0
    return totp_step(account.totp_secret, code, at=parts.now(), used=account.totp_used)


def _page(
    parts: ReviewParts, request: Request, template: str, *, problem: str = "", status_code: int = 200, **more: Any
) -> Response:
    context = {"person": request.state.person, "problem": problem, "settings": parts.settings, **more}
    return parts.templates.TemplateResponse(request, template, context, status_code=status_code)
