"""A node that ends and starts again: what was ours is ours, in the same order, and nothing happens twice."""

from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.journal.order_index import ENDED_STATES
from interceptor.message.view import MessageView
from tests.support.ward import Ward, all_words, in_state, new_order, said, ward, words_of

pytestmark = [pytest.mark.fault(1), pytest.mark.usefixtures("database")]


def shown(place: Ward) -> list[tuple[str, str, int]]:
    return [(order.order_key, order.state.value, order.version) for order in place.custody.index.orders()]


async def test_what_waits_waits_on_with_what_was_said_behind_it(tmp_path: Path) -> None:
    status = said("A1", "SC")
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await in_state(place, "A2", OrderState.PARKED)
        await in_state(place, "A3", OrderState.QUEUED)
        await place.take(status)
        before = shown(place)
    async with ward(tmp_path) as place:
        assert shown(place) == before
        await place.act("held_release", "A1")
        arrived = await place.deliver()
        assert [word[:5] for word in all_words(arrived)] == ["NW A3", "NW A1", "SC A1"]
        assert arrived[2] == status


async def test_a_set_is_completed_across_a_restart(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(new_order("A1", "PART-1-2"))
    async with ward(tmp_path) as place:
        await place.take(new_order("A2", "PART-2-2"))
        assert all_words(await place.deliver()) == ["NW A1 PART-1-2", "NW A2 PART-2-2"]


@pytest.mark.hazard("H4")
@pytest.mark.parametrize("state", [*OrderState])
async def test_a_message_about_an_order_is_ours_after_a_restart_exactly_when_it_was_before(
    tmp_path: Path, state: OrderState
) -> None:
    cancel = MessageView(said("A1", "CA", "later"))
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        before = place.concerns(cancel)
        assert before is (state is not OrderState.DELIVERED)
    async with ward(tmp_path) as place:
        assert place.concerns(cancel) is before


@pytest.mark.hazard("H4")
@pytest.mark.parametrize("state", sorted(ENDED_STATES - {OrderState.DEAD}))
async def test_an_old_end_says_nothing_once_the_order_was_placed_again_and_delivered(
    tmp_path: Path, state: OrderState
) -> None:
    cancel = MessageView(said("A1", "CA", "later"))
    async with ward(tmp_path) as place:
        ended = await in_state(place, "A1", state)
        await place.take(said("A1", "NW", "again", word="PASS"))
        await place.deliver()
        assert not place.concerns(cancel)
        await place.desk["held_comment"]({"entry": ended, "actor": "ann", "comment": "about the old one"})
        assert not place.concerns(cancel)
    async with ward(tmp_path) as place:
        assert not place.concerns(cancel)


async def test_a_queued_message_of_no_order_of_ours_still_keeps_its_place(tmp_path: Path) -> None:
    async with ward(tmp_path, is_store=True) as place:
        await place.take(new_order("B1", "PASS"))
    async with ward(tmp_path) as place:
        await place.take(said("B1", "CA"))
        assert [word[:5] for word in all_words(await place.deliver())] == ["NW B1", "CA B1"]


@pytest.mark.hazard("H5")
async def test_an_order_that_was_under_way_is_sent_again_as_it_was(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.QUEUED)
        row = await place.journal.claim_next("ris", at=place.clock.now(), inflight=True)
        assert row is not None
    async with ward(tmp_path) as place:
        (again,) = [one for one in await place.journal.undelivered_rows() if one.kind == "order"]
        assert (again.content, again.control_id, again.possible_duplicate) == (row.content, row.control_id, True)
        assert [words_of(raw)[0] for raw in await place.deliver()] == ["NW A1 HOLD"]
