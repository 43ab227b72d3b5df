"""Tokens of programs: made once, shown once, ended at once; each act audited."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from interceptor.control.protocol import ControlError
from interceptor.journal import api_token
from interceptor.journal.stored_form import digest_of
from interceptor.review.rights import PATIENT_ACTIONS, Action
from interceptor.review.scope import ACTIONS, Scope, actions_of
from interceptor.review.token_desk import TokenDesk
from tests.support.ward import Ward, ward


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[tuple[Ward, TokenDesk]]:
    async with ward(folder) as place:
        yield place, TokenDesk(place.journal.side_tables, now=place.clock.now)


async def made(tokens: TokenDesk, name: str = "dashboard", **more: Any) -> dict[str, Any]:
    asked = {"account": name, "actor": "ann", "scopes": ["orders:read"]} | more
    return dict(await tokens.add(asked))


async def test_a_token_is_found_by_the_checksum_of_its_secret_and_by_nothing_else(tmp_path: Path) -> None:
    async with desk(tmp_path) as (place, tokens):
        secret = (await made(tokens))["token"]
        find = place.journal.side_tables.read
        token = await find(partial(_find, digest_of(secret.encode())))
        assert token is not None
        assert token.is_good(place.clock.now())
        assert await find(partial(_find, digest_of(b"another"))) is None
        listed = await tokens.list({})
        assert secret not in str(listed)
        rows = await place.journal.audit_rows()
        assert [(row.actor, row.action) for row in rows] == [("user:ann", "token_made")]
        assert secret not in str(rows[0].detail)


def _find(digest: bytes, connection: Any) -> Any:
    return api_token.find(connection, digest)


@pytest.mark.hazard("H13")
async def test_a_token_ends_when_it_is_revoked_or_too_old(tmp_path: Path) -> None:
    async with desk(tmp_path) as (place, tokens):
        for name in ("first", "second"):
            await made(tokens, name, days=1)
        await tokens.revoke({"account": "first", "actor": "ann"})
        first, second = await place.journal.side_tables.read(api_token.all_tokens)
        assert not first.is_good(place.clock.now())
        assert second.is_good(place.clock.now())
        assert not second.is_good(place.clock.now() + timedelta(days=1))
        with pytest.raises(ControlError, match="not_found"):
            await tokens.revoke({"account": "first", "actor": "ann"})


async def test_a_name_is_never_used_twice(tmp_path: Path) -> None:
    async with desk(tmp_path) as (_, tokens):
        await made(tokens)
        await tokens.revoke({"account": "dashboard", "actor": "ann"})
        with pytest.raises(ControlError, match="name_taken"):
            await made(tokens)


@pytest.mark.parametrize(
    "wrong", [{"scopes": []}, {"scopes": ["everything"]}, {"days": 0}, {"days": True}, {"account": ""}]
)
async def test_what_is_not_understood_makes_no_token(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async with desk(tmp_path) as (place, tokens):
        with pytest.raises(ControlError, match="bad_argument"):
            await made(tokens, **wrong)
        assert await place.journal.side_tables.read(api_token.all_tokens) == ()


@pytest.mark.hazard("H13")
def test_no_scope_manages_people_or_breaks_the_glass() -> None:
    allowed = actions_of(Scope)
    assert allowed.isdisjoint({Action.MANAGE_USERS, Action.BREAK_GLASS, Action.CHANGE_PROCEDURE})
    assert actions_of(["no such scope"]) == frozenset()
    assert set(ACTIONS) == set(Scope)
    assert ACTIONS[Scope.ROUTES_READ].isdisjoint(PATIENT_ACTIONS)
