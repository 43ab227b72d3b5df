"""Claims: who looks at an order, how long, and that looking changes nothing of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.control.protocol import ControlError
from tests.support.ward import in_state, ward


async def refusal(action: Any) -> tuple[str, str]:
    with pytest.raises(ControlError) as refused:
        await action
    return refused.value.code, refused.value.message


async def test_of_two_who_claim_at_once_one_gets_the_order_and_the_other_is_told_until_when(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        results = await asyncio.gather(
            place.act("held_claim", "A1", actor="ann"),
            place.act("held_claim", "A1", actor="bob"),
            return_exceptions=True,
        )
        (error,) = [one for one in results if isinstance(one, ControlError)]
        (won,) = [one for one in results if isinstance(one, dict)]
        assert (error.code, error.message) == (
            "conflict",
            f"claimed by {won['claimed_by']} until 2026-03-02T09:10:00+00:00",
        )


async def test_a_claim_runs_out_by_itself_and_a_look_by_its_owner_begins_its_time_anew(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await place.act("held_claim", "A1", actor="ann")
        place.clock.move(minutes=9)
        await place.act("held_claim", "A1", actor="ann", renew=True)
        place.clock.move(minutes=9)
        assert (await refusal(place.act("held_claim", "A1", actor="bob")))[0] == "conflict"
        place.clock.move(minutes=1)
        assert (await place.act("held_claim", "A1", actor="bob"))["claimed_by"] == "bob"


async def test_a_look_by_somebody_else_claims_nothing(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        assert (await refusal(place.act("held_claim", "A1", actor="bob", renew=True)))[0] == "conflict"
        await place.act("held_claim", "A1", actor="ann")
        assert (await refusal(place.act("held_unclaim", "A1", actor="bob")))[0] == "conflict"
        await place.act("held_unclaim", "A1", actor="ann")
        assert (await place.act("held_claim", "A1", actor="bob"))["claimed_by"] == "bob"


async def test_a_claim_changes_nothing_of_the_order_and_keeps_nobody_from_deciding(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        before = await place.entry("A1")
        await place.act("held_claim", "A1", actor="ann")
        assert await place.entry("A1") == before
        await place.act("held_release", "A1", actor="bob", version=before.version)
        assert await place.state("A1") is OrderState.QUEUED
        assert (await refusal(place.act("held_claim", "A1", actor="ann")))[1].startswith("already released by bob")


async def test_an_order_that_was_handed_over_is_the_others_with_a_word_in_its_history(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        entry_id = await in_state(place, "A1", OrderState.HELD)
        await place.act("held_claim", "A1", actor="ann")
        await place.act("held_hand_over", "A1", actor="ann", to="bob", comment="knows the patient")
        assert (await refusal(place.act("held_claim", "A1", actor="ann")))[1].startswith("claimed by bob")
        row = (await place.journal.audit_rows(entry_id=entry_id))[-1]
        assert (row.action, row.actor, row.detail["claimed_by"], row.detail["comment"]) == (
            "order_handed_over",
            "user:ann",
            "bob",
            "knows the patient",
        )


@pytest.mark.hazard("H2")
async def test_an_order_that_was_put_aside_keeps_its_deadline(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        before = await place.entry("A1")
        assert (await refusal(place.act("held_snooze", "A1", minutes=241)))[0] == "bad_argument"
        assert (await place.act("held_snooze", "A1", minutes=30))["snoozed_until"] == "2026-03-02T09:30:00+00:00"
        assert (await place.entry("A1")).deadline_at == before.deadline_at
