"""Modes of routes at run time, and when a route may hold: the kill switch, the breaker, the review's heartbeat."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interceptor.action.breaker import HoldBreaker
from interceptor.action.plan import NoHoldReason, RouteMode
from interceptor.journal.port import JournalUnavailable
from interceptor.journal.route_mode import HoldGate, RouteModes
from interceptor.journal.sql_journal import SqlJournal
from interceptor.journal.sqlite import open_sqlite_journal
from tests.support.journal_values import NOW
from tests.support.ward import Clock

SHADOW, ANNOTATE, ENFORCE = RouteMode.SHADOW, RouteMode.ANNOTATE, RouteMode.ENFORCE


@asynccontextmanager
async def modes_of(folder: Path, configured: RouteMode) -> AsyncIterator[tuple[RouteModes, SqlJournal, list[str]]]:
    """The modes of a node with one route, what was shown, and the journal."""
    shown: list[str] = []
    async with open_sqlite_journal(folder / "journal" / "journal.db") as journal:
        modes = RouteModes(journal, {"main": configured}, shown=lambda _route, mode: shown.append(mode.value))
        await modes.load()
        yield modes, journal, shown


async def set_mode(modes: RouteModes, mode: RouteMode) -> RouteMode:
    return await modes.set("main", mode, actor="user:ann", at=NOW, reason="because")


async def test_a_mode_set_at_run_time_outlives_the_node_and_wins_over_the_configuration(tmp_path: Path) -> None:
    async with modes_of(tmp_path, ENFORCE) as (modes, journal, shown):
        assert await set_mode(modes, SHADOW) is ENFORCE
        assert (modes.mode("main"), shown) == (SHADOW, ["enforce", "shadow", "shadow"])
        (link,) = await journal.audit_rows()
        assert (link.actor, link.action, link.detail["mode"]) == ("user:ann", "mode_set", "shadow")
    async with modes_of(tmp_path, ENFORCE) as (modes, _, shown):
        assert (modes.mode("main"), shown) == (SHADOW, ["shadow"])


async def test_a_route_that_is_configured_no_more_is_left_out(tmp_path: Path) -> None:
    async with modes_of(tmp_path, ENFORCE) as (_, journal, _shown):
        await journal.set_route_mode(route="gone", mode="shadow", actor="user:ann", at=NOW, reason="")
    async with modes_of(tmp_path, ENFORCE) as (modes, _, _shown):
        assert modes.mode("main") is ENFORCE


@pytest.mark.hazard("H24")
async def test_going_down_is_in_force_even_when_it_cannot_be_written(tmp_path: Path) -> None:
    async with modes_of(tmp_path, ENFORCE) as (modes, journal, _shown):
        await journal._writer.stop()
        with pytest.raises(JournalUnavailable):
            await set_mode(modes, ANNOTATE)
        assert modes.mode("main") is ANNOTATE
        with pytest.raises(JournalUnavailable):
            await set_mode(modes, ENFORCE)
        assert modes.mode("main") is ANNOTATE, "going up is written first"


@pytest.mark.hazard("H24")
async def test_a_kill_switch_is_not_undone_by_a_change_that_began_before(tmp_path: Path) -> None:
    """Up is being written while somebody goes down: down stays, now and after a restart."""
    async with modes_of(tmp_path, ANNOTATE) as (modes, _, shown):
        await asyncio.gather(set_mode(modes, ENFORCE), set_mode(modes, SHADOW))
        assert modes.mode("main") is SHADOW
        assert "enforce" not in shown
    async with modes_of(tmp_path, ENFORCE) as (modes, _, _shown):
        assert modes.mode("main") is SHADOW


def gate_of(clock: Clock, *, heartbeat: float = 60.0, holds_max: int = 3, mode: RouteMode = ENFORCE) -> HoldGate:
    return HoldGate(
        breaker=HoldBreaker(holds_max=holds_max),
        heartbeat_seconds_max=heartbeat,
        monotonic=clock.monotonic,
        is_enforcing=lambda: mode is ENFORCE,
    )


@pytest.mark.hazard("H2")
def test_nothing_is_held_before_anybody_can_review_and_after_the_desk_has_gone_quiet() -> None:
    clock = Clock()
    gate = gate_of(clock)
    assert (gate.no_hold(), gate.is_review_away) == (NoHoldReason.REVIEW_AWAY, True)
    gate.review_seen()
    clock.move(seconds=60)
    assert gate.no_hold() is None
    clock.move(seconds=0.1)
    assert gate.no_hold() is NoHoldReason.REVIEW_AWAY


def test_a_site_may_ask_for_no_heartbeat() -> None:
    assert gate_of(Clock(), heartbeat=0.0).no_hold() is None


def test_a_journal_that_cannot_write_holds_nothing_until_it_can() -> None:
    gate = gate_of(Clock(), heartbeat=0.0)
    gate.journal_checked(works=False)
    assert gate.no_hold() is NoHoldReason.JOURNAL_UNAVAILABLE
    gate.journal_checked(works=True)
    assert gate.no_hold() is None


@pytest.mark.hazard("H23")
def test_the_breaker_opens_once_and_stays_open_until_a_person_closes_it() -> None:
    clock = Clock()
    gate = gate_of(clock, heartbeat=0.0)
    openings = [gate.count(is_hold=True) for _ in range(6)]
    assert [opening is not None for opening in openings] == [False, False, False, True, False, False]
    assert gate.no_hold() is NoHoldReason.BREAKER_OPEN
    clock.move(days=1)
    assert gate.no_hold() is NoHoldReason.BREAKER_OPEN
    gate.close_breaker()
    assert gate.no_hold() is None
    assert [gate.count(is_hold=True) is not None for _ in range(4)] == [False, False, False, True]


@pytest.mark.hazard("H23")
@pytest.mark.parametrize("mode", [SHADOW, ANNOTATE])
def test_a_route_that_holds_nothing_opens_no_breaker_and_misses_no_review(mode: RouteMode) -> None:
    gate = gate_of(Clock(), mode=mode)
    assert [gate.count(is_hold=True) for _ in range(9)] == [None] * 9
    assert (gate.is_open, gate.is_review_away, gate.is_review_missed) == (False, True, False)
    assert gate_of(Clock()).is_review_missed
