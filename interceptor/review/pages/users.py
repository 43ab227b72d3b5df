"""Accounts: who may come in, with which roles; a one-time link for who has no password yet."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from interceptor.review.guard import Guard, GuardedRoute
from interceptor.review.node_client import Answer, Reply
from interceptor.review.parts import ReviewParts
from interceptor.review.rendering import render
from interceptor.review.rights import Action, Role
from interceptor.review.shown_text import short

ROLES: dict[Role, str] = {
    Role.REVIEWER: "decides held orders",
    Role.TECHNOLOGIST: "claims, comments, releases",
    Role.LIAISON: "returns orders to their orderers",
    Role.ANALYST: "messages, dead letters, policy",
    Role.OPS: "routes and traffic; no patients unless the glass is broken",
    Role.LEAD: "policy and analytics",
    Role.AUDITOR: "reads everything, changes nothing",
    Role.ADMIN: "accounts",
}


def routes(parts: ReviewParts, guard: Guard) -> Sequence[GuardedRoute]:
    """The routes of accounts."""

    async def show(request: Request) -> Response:
        return await _show(parts, request)

    async def add(request: Request) -> Response:
        form = await request.form()
        name = short(str(form.get("account", "")).strip(), 64)
        reply = await parts.node.ask(
            "account_add",
            account=name,
            display_name=short(str(form.get("display_name", "")).strip(), 120),
            roles=_roles(form),
            actor=request.state.person.name,
        )
        return await _after(parts, request, reply, link_for=name)

    async def change(request: Request) -> Response:
        form, name = await request.form(), request.path_params["account"]
        actor = request.state.person.name
        match str(form.get("act", "")):
            case "disable" | "enable" as act:
                reply = await parts.node.ask("account_change", account=name, is_disabled=act == "disable", actor=actor)
            case "link":
                return await _after(parts, request, Answer({}), link_for=name)
            case _:
                reply = await parts.node.ask("account_change", account=name, roles=_roles(form), actor=actor)
        return await _after(parts, request, reply)

    return (
        guard.route("/users", show, action=Action.MANAGE_USERS, name="users"),
        guard.route("/users", add, action=Action.MANAGE_USERS, methods=("POST",), name="add_user"),
        guard.route("/users/{account}", change, action=Action.MANAGE_USERS, methods=("POST",), name="change_user"),
    )


def _roles(form: Any) -> list[str]:
    return [role.value for role in Role if role.value in form.getlist("role")]


async def _after(parts: ReviewParts, request: Request, reply: Reply, *, link_for: str = "") -> Response:
    if not isinstance(reply, Answer):
        return await _show(parts, request, problem=f"Not done: {reply.message}")
    if not link_for:
        return RedirectResponse("/users", status_code=303)
    made = await parts.node.ask("login_link", account=link_for, actor=request.state.person.name)
    if not isinstance(made, Answer):
        return await _show(parts, request, problem=f"No link was made: {made.message}")
    # Shown once, in the answer to a POST: it stands in no address and no history of ours.
    link = f"{parts.settings.origins[0]}/login/link/{made.result['secret']}"
    return await _show(parts, request, link=link, link_for=link_for)


async def _show(
    parts: ReviewParts, request: Request, *, problem: str = "", link: str = "", link_for: str = ""
) -> Response:
    accounts = await parts.access.list_accounts()
    return render(
        parts,
        request,
        "users.html",
        status_code=422 if problem else 200,
        accounts=accounts,
        roles=ROLES,
        problem=problem,
        link=link,
        link_for=link_for,
    )
