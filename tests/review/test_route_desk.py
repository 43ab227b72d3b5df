"""The kill switch and the sign of life, as commands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interceptor.action.breaker import HoldBreaker
from interceptor.action.plan import NoHoldReason, RouteMode
from interceptor.control.protocol import ControlError
from interceptor.journal.route_mode import HoldGate, RouteModes
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import open_sqlite_journal
from interceptor.review.route_desk import RouteDesk
from tests.support.delivery import SeenEvents
from tests.support.ward import START, Clock


@dataclass(frozen=True)
class Switch:
    """A route desk and what it is plugged to."""

    commands: Any
    modes: RouteModes
    gate: HoldGate
    journal: SqlJournal
    events: SeenEvents


@asynccontextmanager
async def switch(folder: Path) -> AsyncIterator[Switch]:
    """A node with one route, "main", that enforces."""
    events, clock = SeenEvents(), Clock()
    gate = HoldGate(
        breaker=HoldBreaker(holds_max=1),
        heartbeat_seconds_max=60.0,
        monotonic=clock.monotonic,
        is_enforcing=lambda: True,
    )
    async with open_sqlite_journal(folder / "journal" / "journal.db") as journal:
        modes = RouteModes(journal, {"main": RouteMode.ENFORCE}, shown=lambda _route, _mode: None)
        desk = RouteDesk(modes, {"main": gate}, status=lambda: {"ready": True}, now=lambda: START, log=events.log)
        yield Switch(desk.handlers(), modes, gate, journal, events)


async def test_a_mode_is_set_at_once_and_told(tmp_path: Path) -> None:
    async with switch(tmp_path) as here:
        answer = await here.commands["mode_set"](
            {"route": "main", "mode": "shadow", "actor": "user:ann", "reason": "too many"}
        )
        assert answer == {"route": "main", "mode": "shadow", "was": "enforce"}
        assert await here.commands["mode_get"]({}) == {"routes": {"main": "shadow"}}
        assert here.events.of("route_mode_changed") == [
            {"route": "main", "mode": "shadow", "was": "enforce", "actor": "user"}
        ]
        (link,) = await here.journal.audit_rows()
        assert (link.actor, link.detail["reason"]) == ("user:ann", "too many")


@pytest.mark.hazard("H23")
async def test_setting_the_mode_again_closes_the_breaker(tmp_path: Path) -> None:
    async with switch(tmp_path) as here:
        here.gate.review_seen()
        here.gate.count(is_hold=True)
        here.gate.count(is_hold=True)
        assert here.gate.no_hold() is NoHoldReason.BREAKER_OPEN
        await here.commands["mode_set"]({"route": "main", "mode": "enforce", "actor": "ann"})
        assert here.gate.no_hold() is None


@pytest.mark.hazard("H2")
async def test_a_sign_of_life_lets_orders_be_held(tmp_path: Path) -> None:
    async with switch(tmp_path) as here:
        assert here.gate.no_hold() is NoHoldReason.REVIEW_AWAY
        assert await here.commands["review_heartbeat"]({}) == {"holding": {"main": True}}
        assert here.gate.no_hold() is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"mode": "shadow", "actor": "ann"}, "not_found"),
        ({"route": "other", "mode": "shadow", "actor": "ann"}, "not_found"),
        ({"route": "main", "mode": "off", "actor": "ann"}, "bad_argument"),
        ({"route": "main", "mode": "shadow"}, "bad_argument"),
        ({"route": "main", "mode": "shadow", "actor": "user:"}, "bad_argument"),
    ],
)
async def test_what_makes_no_sense_changes_nothing(tmp_path: Path, arguments: dict[str, str], code: str) -> None:
    async with switch(tmp_path) as here:
        with pytest.raises(ControlError) as refused:
            await here.commands["mode_set"](arguments)
        assert (refused.value.code, here.modes.mode("main")) == (code, RouteMode.ENFORCE)


@pytest.mark.parametrize(
    ("mode", "words"), [("shadow", "in force until the next restart"), ("enforce", "in force until the next restart")]
)
async def test_a_mode_that_cannot_be_written_is_told_as_what_it_is(tmp_path: Path, mode: str, words: str) -> None:
    async with switch(tmp_path) as here:
        await here.journal._writer.stop()
        with pytest.raises(ControlError) as refused:
            await here.commands["mode_set"]({"route": "main", "mode": mode, "actor": "ann"})
        assert refused.value.code == "journal_unavailable"
        assert words in refused.value.message


async def test_the_status_is_the_nodes(tmp_path: Path) -> None:
    async with switch(tmp_path) as here:
        assert await here.commands["status"]({}) == {"ready": True}
