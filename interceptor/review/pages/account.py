"""A person's own account: password and second factor.

Both end the account's sessions, this one included: who changed a password because somebody else knew it must be sure
that nobody is left inside.
"""

from collections.abc import Sequence
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from interceptor.review.credential import new_totp_secret, password_problem, totp_address, totp_step
from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.login import without_session
from interceptor.review.node_client import Answer
from interceptor.review.parts import ReviewParts
from interceptor.review.person import Person
from interceptor.review.rights import Action


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of the account page."""
    pages = AccountPages(parts)
    own = Action.OWN_ACCOUNT
    return (
        guard.route("/account", pages.show, action=own, name="account"),
        guard.route("/account/password", pages.set_password, action=own, methods=("POST",), name="set_password"),
        guard.route("/account/totp", pages.set_totp, action=own, methods=("POST",), name="set_totp"),
    )


class AccountPages:
    """What the routes do."""

    def __init__(self, parts: ReviewParts) -> None:
        """Use `routes`."""
        self._parts = parts

    async def show(self, request: Request) -> Response:
        """Password and second factor; a fresh secret to enrol with."""
        return await self._page(request)

    async def set_password(self, request: Request) -> Response:
        """Set a new password: with the old one, or in a session that a one-time link began."""
        person: Person = request.state.person
        form = await request.form()
        new, old = str(form.get("new", "")), str(form.get("old", ""))
        account = await self._parts.access.find_account(person.name)
        if account is None:
            return await self._page(request, problem="This account is kept elsewhere.", status_code=404)
        is_known = person.method == "link" or await self._parts.passwords.matches(account.password_hash, old)
        problem = password_problem(new, account=person.name) if is_known else "The old password is not right."
        if problem is not None:
            return await self._page(request, problem=problem, status_code=422)
        return await self._change(request, password_hash=await self._parts.passwords.hash(new))

    async def set_totp(self, request: Request) -> Response:
        """Begin to ask for codes, once a code of the new secret was right."""
        form = await request.form()
        secret, code = str(form.get("secret", "")), str(form.get("code", ""))
        is_secret = len(secret) == 32 and secret.isalnum()
        if not is_secret or totp_step(secret, code, at=self._parts.now(), used=0) is None:
            return await self._page(
                request, problem="This code is not right. Try with the new secret.", status_code=422
            )
        return await self._change(request, totp_secret=secret)

    async def _change(self, request: Request, **changes: object) -> Response:
        person: Person = request.state.person
        reply = await self._parts.node.ask("account_change", account=person.name, actor=person.name, **changes)  # type: ignore[arg-type]  # no time-out among them
        if not isinstance(reply, Answer):
            return await self._page(request, problem=reply.message, status_code=503)
        return without_session(RedirectResponse(f"/login?next={quote('/', safe='')}", status_code=303))

    async def _page(self, request: Request, *, problem: str = "", status_code: int = 200) -> Response:
        person: Person = request.state.person
        secret = new_totp_secret()
        context = {
            "person": person,
            "settings": self._parts.settings,
            "problem": problem,
            "account": await self._parts.access.find_account(person.name),
            "secret": secret,
            "address": totp_address(secret, account=person.name),
        }
        return self._parts.templates.TemplateResponse(request, "account.html", context, status_code=status_code)
