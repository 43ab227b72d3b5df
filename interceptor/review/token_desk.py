"""Tokens of programs that use the API, written by the node as the only writer; each act is a link of the audit chain.

Failures: a journal that is unavailable is said so; nothing happened then.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from interceptor.control.protocol import ControlError
from interceptor.journal import api_token
from interceptor.journal.api_token import ApiToken
from interceptor.journal.sql import SqlConnection
from interceptor.journal.stored_form import digest_of
from interceptor.review.access_desk import Tables, account_name, actor_of
from interceptor.review.desk import Handler, telling_of_the_journal
from interceptor.review.scope import Scope

TOKEN_PREFIX: Final = "ipt_"  # noqa: S105 - how a token begins, so that leak scanners can know it
DAYS_MAX: Final = 730
_DAYS: Final = 90


class TokenDesk:
    """Commands about tokens."""

    def __init__(self, tables: Tables, *, now: Callable[[], datetime]) -> None:
        """*now* is aware UTC."""
        self._tables = tables
        self._now = now

    def handlers(self) -> dict[str, Handler]:
        """Command name to function."""
        commands = {"token_add": self.add, "token_list": self.list, "token_revoke": self.revoke}
        return {name: telling_of_the_journal(command) for name, command in commands.items()}

    async def add(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """Make a token; the answer has it, and nothing else ever will."""
        name, actor, at = account_name(arguments), actor_of(arguments), self._now()
        scopes, days = arguments.get("scopes"), arguments.get("days", _DAYS)
        if not isinstance(scopes, list) or not scopes or not all(one in frozenset(Scope) for one in scopes):
            raise ControlError("bad_argument", f"scopes is a list of {', '.join(Scope)}")
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= DAYS_MAX:
            raise ControlError("bad_argument", f"days is 1 to {DAYS_MAX}")
        token = ApiToken(
            name=name,
            scopes=tuple(sorted(set(scopes))),
            created_at=at,
            created_by=actor,
            expires_at=at + timedelta(days=days),
        )
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        made = await self._tables.write_audited(
            partial(_insert, token, digest_of(secret.encode("ascii"))),
            at=at,
            actor=actor,
            action="token_made",
            describe=lambda done: {"token": name, "scopes": list(token.scopes), "days": days} if done else None,
        )
        if not made:
            raise ControlError("name_taken", f"there is, or was, a token {name}: names are never used twice")
        return {**token_json(token), "token": secret}

    async def list(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """All tokens, without their secrets."""
        del arguments
        return {"tokens": [token_json(one) for one in await self._tables.read(api_token.all_tokens)]}

    async def revoke(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """End a token, at once."""
        name, actor, at = account_name(arguments), actor_of(arguments), self._now()
        done = await self._tables.write_audited(
            lambda connection: api_token.revoke(connection, name, at=at),
            at=at,
            actor=actor,
            action="token_revoked",
            describe=lambda revoked: {"token": name} if revoked else None,
        )
        if not done:
            raise ControlError("not_found", f"there is no token {name} that could be ended")
        return {"name": name, "revoked_at": at.isoformat()}


def _insert(token: ApiToken, digest: bytes, connection: SqlConnection) -> bool:
    return api_token.insert(connection, token, digest=digest)


def token_json(token: ApiToken) -> dict[str, object]:
    """A token without its secret."""
    return {
        "name": token.name,
        "scopes": list(token.scopes),
        "created_at": token.created_at.isoformat(),
        "created_by": token.created_by,
        "expires_at": token.expires_at.isoformat(),
        "revoked_at": token.revoked_at.isoformat() if token.revoked_at else None,
    }
