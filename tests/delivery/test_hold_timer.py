"""The hold timer: every waiting order leaves by its deadline, whatever clocks, people and single orders do."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.delivery.hold_timer import PAUSE_SECONDS, HoldTimer
from interceptor.journal.port import Entry, EntryChange
from interceptor.journal.sqlite import SqliteSettings
from interceptor.journal.sqlite_writer import WriterSettings
from tests.support.ward import START, Clock, Ward, comes_true, in_state, new_order, said, ward, words_of

pytestmark = pytest.mark.hazard("H2")


async def states(place: Ward, *numbers: str) -> list[str]:
    return [(await place.state(number)).value for number in numbers]


async def test_a_held_order_leaves_unreviewed_at_its_deadline_and_not_before(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        place.clock.move(hours=3, minutes=59, seconds=59)
        await place.timer.look()
        assert await states(place, "A1") == ["held"]
        place.clock.move(seconds=1)
        await place.timer.look()
        (released,) = await place.deliver()
        assert b"NTE|1|O|Released unreviewed at 2026-03-02 13:00 UTC: nobody decided before the deadline." in released
        assert (await place.notices())[-1] == "A1 OE IP"
        assert place.events.of("order_released_unreviewed") == [
            {"entry": (await place.entry("A1")).entry_id, "waiting_seconds": 14400.0}
        ]


async def test_a_parked_order_becomes_held_with_its_own_deadline(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.PARKED)
        place.clock.move(seconds=15)
        await place.timer.look()
        entry = await place.entry("A1")
        assert (entry.state, entry.deadline_at) == (OrderState.HELD, START + timedelta(hours=4))
        assert place.events.of("order_moved")[0]["step"] == "set_window_ended"
        place.clock.at = START + timedelta(hours=4)
        await place.timer.look()
        assert await states(place, "A1") == ["queued"]


@pytest.mark.hazard("H18")
@pytest.mark.fault(26)
async def test_a_clock_set_back_holds_nothing_longer(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.timer.look()
        place.clock.at -= timedelta(days=3)
        place.clock.seconds += 4 * 3600
        await place.timer.look()
        assert await states(place, "A1") == ["queued"]


@pytest.mark.hazard("H18")
@pytest.mark.fault(26)
async def test_a_clock_set_forward_releases_early(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.timer.look()
        place.clock.at += timedelta(days=3)
        await place.timer.look()
        assert await states(place, "A1") == ["queued"]


async def test_after_a_restart_the_deadline_is_the_one_that_was_set(tmp_path: Path) -> None:
    clock = Clock()
    async with ward(tmp_path, clock=clock) as place:
        await in_state(place, "A1", OrderState.HELD)
        clock.move(hours=2)
    clock.seconds = 5.0  # Another process: its monotonic clock began anew.
    async with ward(tmp_path, clock=clock) as place:
        await place.timer.look()
        assert await states(place, "A1") == ["held"]
        clock.move(hours=2)
        await place.timer.look()
        assert await states(place, "A1") == ["queued"]


async def test_a_change_with_an_earlier_deadline_counts_at_once(tmp_path: Path) -> None:
    hours = iter((4.0, 1.0))
    async with ward(tmp_path, deadline=lambda _order, at: at + timedelta(hours=next(hours))) as place:
        await place.take(new_order("A1", "HOLD"))
        await place.timer.look()
        await place.take(said("A1", "XO"))
        place.clock.move(hours=1)
        await place.timer.look()
        assert await states(place, "A1") == ["queued"]


async def test_orders_that_wait_no_more_are_left_alone(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        for number, state in (("A1", OrderState.DEAD), ("A2", OrderState.WITHDRAWN), ("A3", OrderState.QUEUED)):
            await in_state(place, number, state)
        before = await states(place, "A1", "A2", "A3")
        place.clock.move(days=3)
        await place.timer.look()
        assert await states(place, "A1", "A2", "A3") == before


async def test_one_order_that_cannot_be_released_does_not_keep_the_others(tmp_path: Path) -> None:
    """It is told, rests, and is tried again; the node does not go down for it."""
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await in_state(place, "A2", OrderState.HELD)
        tried: list[str] = []
        build = place.timer._build_change

        async def failing(entry: Entry, at: datetime) -> EntryChange:
            tried.append(entry.placer_order_number)
            if entry.placer_order_number == "A1" and tried.count("A1") < 2:
                raise KeyError(entry.route)
            return await build(entry, at)

        timer = HoldTimer(
            place.custody,
            build_change=failing,
            now=place.clock.now,
            monotonic=place.clock.monotonic,
            log=place.events.log,
        )
        place.clock.move(hours=4)
        await timer.look()
        await timer.look()
        assert (tried, await states(place, "A1", "A2")) == (["A1", "A2"], ["held", "queued"])
        (told,) = place.events.of("timer_failed")
        assert told["error"] == "KeyError"
        place.clock.move(seconds=PAUSE_SECONDS)
        await timer.look()
        assert await states(place, "A1") == ["queued"]


@pytest.mark.fault(3)
async def test_on_a_full_disk_what_is_overdue_still_leaves(tmp_path: Path) -> None:
    clock = Clock()
    async with ward(tmp_path, clock=clock) as place:
        await in_state(place, "A1", OrderState.HELD)
    clock.move(hours=4)
    async with ward(tmp_path, clock=clock, sqlite=SqliteSettings(writer=WriterSettings(free_bytes_min=2**62))) as place:
        await place.timer.look()
        assert [words_of(raw)[0] for raw in await place.deliver()] == ["NW A1 HOLD"]


@pytest.mark.fault(4)
async def test_while_the_journal_is_away_the_timer_waits_and_tells_nobody_that_it_released(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        place.clock.move(hours=4)
        await place.journal._writer.stop()
        await place.timer.look()
        assert place.custody.index.orders()[0].state is OrderState.HELD
        assert "order_released_unreviewed" not in place.events.names


async def test_an_order_whose_change_was_written_while_its_writer_was_cancelled_is_not_forgotten(
    tmp_path: Path,
) -> None:
    """A comment is written, but whoever wrote it was cancelled before it was shown: the deadline still counts."""
    async with ward(tmp_path) as place:
        entry_id = await in_state(place, "A1", OrderState.HELD)

        async def is_written() -> bool:
            return (await place.entry("A1")).version == 2

        async with asyncio.TaskGroup() as group:
            writing = group.create_task(place.act("held_comment", "A1"))
            await comes_true(is_written)
            writing.cancel()
        shown = place.custody.index.find(entry_id)
        assert shown is not None
        place.clock.move(hours=4)
        await place.timer.look()
        await place.timer.look()
        assert await states(place, "A1") == ["queued"]


async def test_it_looks_until_it_is_cancelled(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        place.clock.move(hours=4)

        async def is_released() -> bool:
            return await states(place, "A1") == ["queued"]

        async with asyncio.TaskGroup() as group:
            running = group.create_task(place.timer.run())
            await comes_true(is_released)
            running.cancel()
