"""Which program asks, and may it: a bearer token, looked up by its SHA-256, and the scopes that it has.

Failures: every one is a `Problem`: 401 without a good token, 403 without the scope. Both are links of the audit chain.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Security
from fastapi.params import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from interceptor.journal.api_token import ApiToken
from interceptor.journal.stored_form import digest_of
from interceptor.review.api.problem import Problem
from interceptor.review.parts import ReviewParts
from interceptor.review.rights import Action
from interceptor.review.scope import actions_of

TOKEN_SIZE_MAX = 200

_bearer = HTTPBearer(auto_error=False, description="A token of `interceptor token add`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A program with a good token."""

    token: ApiToken

    @property
    def name(self) -> str:
        """As the audit trail and other people read it."""
        return f"token:{self.token.name}"

    def can(self, action: Action) -> bool:
        """Whether *action* is among its scopes."""
        return action in actions_of(self.token.scopes)


def caller_of(request: Request) -> Caller:
    """The caller of a request that `Access.need` let in."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


class Access:
    """Lets programs in."""

    def __init__(self, parts: ReviewParts, find_token: Callable[[bytes], Awaitable[ApiToken | None]]) -> None:
        """*find_token*: by the SHA-256 of its secret."""
        self._parts = parts
        self._find_token = find_token

    def need(self, action: Action) -> Depends:
        """A dependency that lets only callers with *action* in."""

        async def check(
            request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
        ) -> None:
            caller = await self._find(credentials)
            if caller is None:
                raise Problem(HTTPStatus.UNAUTHORIZED, "no_token", "Send a good token as Authorization: Bearer.")
            if not caller.can(action):
                await self._note_refusal(request, caller, action)
                raise Problem(HTTPStatus.FORBIDDEN, "scope_missing", f"The token has no scope for {action.value}.")
            request.state.caller = caller

        dependency = Security(check)
        assert isinstance(dependency, Depends)
        return dependency

    async def _find(self, credentials: HTTPAuthorizationCredentials | None) -> Caller | None:
        if credentials is None or not 0 < len(credentials.credentials) <= TOKEN_SIZE_MAX:
            return None
        token = await self._find_token(digest_of(credentials.credentials.encode("utf-8")))
        return Caller(token=token) if token is not None and token.is_good(self._parts.now()) else None

    async def _note_refusal(self, request: Request, caller: Caller, action: Action) -> None:
        # The path as it was declared: what stands in place of a parameter may name an order.
        path = getattr(request.scope.get("route"), "path", "unknown")
        detail = {"refused": action.value, "path": path, "method": request.method}
        await self._parts.node.ask("access_note", action="access_refused", actor=caller.name, detail=detail)
