"""Releases that can be called back, changed procedures, and what a preview shows."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.control.protocol import ControlError
from tests.support.ward import Clock, Ward, comes_true, in_state, new_order, said, ward


async def refusal(action: Any) -> tuple[str, str]:
    with pytest.raises(ControlError) as refused:
        await action
    return refused.value.code, refused.value.message


async def is_queued(place: Ward) -> bool:
    return await place.state("A1") is OrderState.QUEUED


async def actions_of(place: Ward, number: str) -> list[str]:
    entry = await place.entry(number)
    return [row.action for row in await place.journal.audit_rows(entry_id=entry.entry_id)]


async def test_a_routine_release_leaves_after_the_time_in_which_it_can_be_called_back(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        answer = await place.act("held_release_soon", "A1", reason="", reason_code="as_intended")
        assert (answer["state"], answer["due_at"]) == ("held", "2026-03-02T09:00:10+00:00")
        place.clock.move(seconds=9.9)
        await place.plans.look()
        assert await place.leaving() == []
        place.clock.move(seconds=0.1)
        await place.plans.look()
        (leaving,) = await place.leaving()
        assert b"Reason given: The regional study is what is needed" in leaving
        assert await place.state("A1") is OrderState.QUEUED
        assert [one for one in await actions_of(place, "A1") if one.startswith("release")] == [
            "release_planned",
            "released",
        ]


async def test_a_release_that_was_called_back_never_leaves(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_release_soon", "A1")
        await place.act("held_undo", "A1", actor="bob")
        place.clock.move(seconds=60)
        await place.plans.look()
        assert await place.state("A1") is OrderState.HELD
        assert await place.leaving() == []
        assert "release_called_back" in await actions_of(place, "A1")
        assert (await refusal(place.act("held_undo", "A1")))[0] == "conflict"


@pytest.mark.fault(1)
async def test_a_release_outlives_the_node_that_was_killed_before_it_left(tmp_path: Path) -> None:
    clock = Clock()
    async with ward(tmp_path, clock=clock) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_release_soon", "A1")
    clock.move(seconds=30)
    async with ward(tmp_path, clock=clock) as place, asyncio.TaskGroup() as group:
        task = group.create_task(place.plans.run())
        await comes_true(lambda: is_queued(place))
        task.cancel()
        assert len(await place.leaving()) == 1


@pytest.mark.hazard("H4")
@pytest.mark.fault(45)
@pytest.mark.parametrize("control", ["CA", "XO"])
async def test_what_the_placer_says_within_that_time_makes_the_release_void(tmp_path: Path, control: str) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_release_soon", "A1")
        await place.take(said("A1", control, "later"))
        place.clock.move(seconds=10)
        await place.plans.look()
        assert await place.state("A1") is (OrderState.WITHDRAWN if control == "CA" else OrderState.HELD)
        assert await place.leaving() == []
        assert (await actions_of(place, "A1"))[-1] == "release_voided"


@pytest.mark.hazard("H15")
@pytest.mark.fault(46)
@pytest.mark.parametrize("command", ["held_release", "held_release_soon", "held_return"])
async def test_a_planned_release_is_a_decision_and_the_second_one_is_told_who_made_it(
    tmp_path: Path, command: str
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_release_soon", "A1", actor="ann")
        place.clock.move(seconds=1)
        code, message = await refusal(place.act(command, "A1", actor="bob"))
        assert (code, message) == ("conflict", "already released by ann at 2026-03-02T09:00:00+00:00")


@pytest.mark.hazard("H5")
@pytest.mark.fault(43)
async def test_a_double_click_releases_once_and_is_answered_alike(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        first = await place.act("held_release_soon", "A1")
        place.clock.move(seconds=1)
        assert await place.act("held_release_soon", "A1") == {**first, "repeated": True}
        place.clock.move(seconds=20)
        await place.plans.look()
        assert len(await place.leaving()) == 1


@pytest.mark.hazard("H16")
async def test_a_page_from_before_a_change_cannot_release_what_it_did_not_show(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        seen = (await place.entry("A1")).version
        await place.take(said("A1", "XO", "later"))
        for command in ("held_release", "held_release_soon", "held_return"):
            code, message = await refusal(place.act(command, "A1", version=seen))
            assert (code, message) == ("conflict", "already changed by placer at 2026-03-02T09:00:00+00:00")


async def test_an_urgent_order_leaves_at_once(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        urgent = (await place.entry("A1")).entry_id
        await place.journal.side_tables.write(
            lambda connection: connection.execute("UPDATE entry SET priority = 'urgent' WHERE entry_id = ?", (urgent,))
        )
        assert (await place.act("held_release_soon", "A1"))["state"] == "queued"


async def test_a_release_near_the_deadline_leaves_at_once_and_as_reviewed(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        deadline = (await place.entry("A1")).deadline_at
        assert deadline is not None
        place.clock.move(seconds=(deadline - place.clock.now()).total_seconds() - 5)
        assert (await place.act("held_release_soon", "A1"))["state"] == "queued"
        (leaving,) = await place.leaving()
        assert b"Released as ordered after review by ann" in leaving


async def test_a_release_while_siblings_may_still_come_can_be_called_back_too(tmp_path: Path) -> None:
    """The end of the wait for siblings is no deadline of the reviewer: the order is held then, and leaves as planned."""
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.PARKED)
        assert (await place.act("held_release_soon", "A1"))["state"] == "parked"
        await place.act("held_undo", "A1")
        await place.act("held_release_soon", "A1")
        window_end = (await place.entry("A1")).deadline_at
        assert window_end is not None
        place.clock.move(seconds=(window_end - place.clock.now()).total_seconds())
        await place.timer.look()
        assert await place.state("A1") is OrderState.HELD
        place.clock.move(seconds=10)
        await place.plans.look()
        (leaving,) = await place.leaving()
        assert b"Released as ordered after review by ann" in leaving


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ({"reason_code": "other", "reason": ""}, "reason_missing"),
        ({"reason_code": "nonsense"}, "bad_argument"),
    ],
)
async def test_a_coded_reason_must_be_one_of_the_sites_and_other_says_what(
    tmp_path: Path, reason: dict[str, str], code: str
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        assert (await refusal(place.act("held_return", "A1", **reason)))[0] == code
        assert await place.state("A1") is OrderState.HELD


async def test_a_coded_reason_is_counted_by_its_code_and_read_as_its_text(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_return", "A1", reason_code="duplicate", reason="of P77")
        entry = await place.entry("A1")
        assert entry.reason == "The study exists already: of P77"
        row = (await place.journal.audit_rows(entry_id=entry.entry_id))[-1]
        assert row.detail["reason_code"] == "duplicate"


CHANGE: dict[str, Any] = {"authority": "verbal_order", "read_back": True, "reason": "Dr Test, 555-0100"}


async def test_a_changed_procedure_leaves_with_the_sites_code_and_says_what_was_ordered(tmp_path: Path) -> None:
    raw = new_order("A1", "HOLD")
    async with ward(tmp_path, change_procedure=True) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_change", "A1", **CHANGE)
        (leaving,) = await place.leaving()
        lines = leaving.split(b"\r")
        obr = next(line for line in lines if line.startswith(b"OBR|")).split(b"|")
        assert obr[4] == b"SPINE^MRI COMPLETE SPINE^L"
        was = next(line for line in raw.split(b"\r") if line.startswith(b"OBR|")).split(b"|")
        assert [field for number, field in enumerate(obr) if number != 4] == [
            field for number, field in enumerate(was) if number != 4
        ]
        text = b"\n".join(lines)
        assert b"Procedure changed and released after review by ann" in text
        assert b"Ordered was: HOLD" in text
        assert b"Reason given: Verbal order, read back: Dr Test, 555-0100" in text
        assert (await place.notices())[-1] == "A1 XX IP"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"read_back": False}, "reason_missing"),
        ({"authority": "because"}, "bad_argument"),
        ({"reason": " "}, "reason_missing"),
    ],
)
async def test_a_procedure_is_not_changed_without_authority_read_back_and_reason(
    tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    async with ward(tmp_path, change_procedure=True) as place:
        await in_state(place, "A1", OrderState.HELD)
        assert (await refusal(place.act("held_change", "A1", **{**CHANGE, **change})))[0] == code
        assert await place.state("A1") is OrderState.HELD


async def test_a_site_that_does_not_allow_it_changes_no_procedure(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        assert (await refusal(place.act("held_change", "A1", **CHANGE)))[0] == "not_enabled"


async def test_a_preview_shows_the_bytes_that_a_release_at_this_moment_sends(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        preview = await place.act("held_preview", "A1", action="release", reason="agreed")
        await place.act("held_release", "A1", reason="agreed")
        (leaving,) = await place.leaving()
        assert preview["leaving"].encode("latin-1") == leaving
        assert preview["received"].encode("latin-1") == new_order("A1", "HOLD")


async def test_a_preview_of_a_change_shows_the_bytes_and_changes_nothing(tmp_path: Path) -> None:
    async with ward(tmp_path, change_procedure=True) as place:
        await in_state(place, "A1", OrderState.HELD)
        preview = await place.act("held_preview", "A1", action="change", **CHANGE)
        assert await place.state("A1") is OrderState.HELD
        await place.act("held_change", "A1", **CHANGE)
        (leaving,) = await place.leaving()
        assert preview["leaving"].encode("latin-1") == leaving
        assert b"|SPINE^MRI COMPLETE SPINE^L|" in leaving
