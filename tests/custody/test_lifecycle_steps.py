"""Everything that a placer can say about an order that is ours, in every state, through a whole turn.

Source: the lifecycle table (docs/explanation/lifecycle.md).
"""

from datetime import timedelta
from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.control.protocol import ControlError
from interceptor.journal.turn_parts import PassOn, Taken
from interceptor.message.view import MessageView
from tests.support.orders import order_group
from tests.support.ward import START, Ward, all_words, in_state, new_order, said, ward, words_of

pytestmark = pytest.mark.usefixtures("database")

WAITING = (OrderState.PARKED, OrderState.HELD)
UNSEEN = (OrderState.WITHDRAWN, OrderState.RETURNED, OrderState.REPLACED)


@pytest.mark.hazard("H4")
@pytest.mark.fault(45)
@pytest.mark.parametrize("control", ["CA", "DC"])
@pytest.mark.parametrize("state", WAITING)
async def test_a_cancel_ends_a_waiting_order_and_never_reaches_the_filler(
    tmp_path: Path, state: OrderState, control: str
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        await place.take(said("A1", control))
        assert await place.state("A1") is OrderState.WITHDRAWN
        assert (await place.notices())[-1] == "A1 CR CA"
        with pytest.raises(ControlError, match="already cancelled by placer at 2026-03-02T09:00:00"):
            await place.act("held_release", "A1")
        place.clock.move(hours=30)
        await place.timer.look()
        assert (await place.leaving(), place.arrived) == ([], [])


@pytest.mark.hazard("H4")
@pytest.mark.parametrize("control", ["CA", "DC", "XO", "NW", "RP", "HD", "RL", "SC", "SN"])
async def test_what_is_said_about_a_queued_order_follows_it(tmp_path: Path, control: str) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.QUEUED)
        message = said("A1", control, "2")
        await place.take(message)
        released, behind = await place.deliver()
        assert words_of(released) == ["NW A1 HOLD"]
        assert behind == message
        assert await place.state("A1") is OrderState.DELIVERED


@pytest.mark.hazard("H4")
async def test_a_cancel_of_a_dead_order_goes_to_the_filler_and_the_order_can_never_be_sent(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.DEAD)
        (letter,) = await place.journal.dead_letters()
        cancel = said("A1", "CA")
        await place.take(cancel)
        assert await place.deliver() == [cancel]
        assert await place.state("A1") is OrderState.WITHDRAWN
        with pytest.raises(ControlError, match="no dead letter"):
            await place.desk["dead_retry"]({"outbox_id": letter.outbox_id, "actor": "ann"})


@pytest.mark.parametrize("control", ["XO", "SC", "HD", "RL", "RP", "NW"])
async def test_what_is_said_about_a_dead_order_goes_to_the_filler(tmp_path: Path, control: str) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.DEAD)
        message = said("A1", control, "2")
        await place.take(message)
        assert await place.deliver() == [message]
        assert await place.state("A1") is OrderState.DEAD


@pytest.mark.parametrize("state", UNSEEN)
async def test_a_cancel_of_an_order_that_the_filler_never_saw_is_answered_again(
    tmp_path: Path, state: OrderState
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        before = len(await place.notices())
        await place.take(said("A1", "CA", "2"))
        assert await place.state("A1") is state
        assert (await place.notices())[before:] == ["A1 CR CA"]
        assert await place.leaving() == []


@pytest.mark.parametrize("control", ["CA", "XO", "NW", "SC"])
async def test_what_is_said_about_a_delivered_order_goes_its_way(tmp_path: Path, control: str) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.DELIVERED)
        message = said("A1", control, "2", word="PASS")
        assert isinstance(await place.receive(message), PassOn)
        assert place.arrived[-1] == message


@pytest.mark.parametrize("state", WAITING)
@pytest.mark.parametrize("control", ["XO", "XX", "NW"])
async def test_a_change_that_must_still_wait_becomes_the_orders_content(
    tmp_path: Path, state: OrderState, control: str
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        change = said("A1", control, "2", reason="now worse")
        await place.take(change)
        entry = await place.entry("A1")
        assert (entry.state, entry.version, entry.control_id) == (state, 2, f"A1{control}2".encode())
        assert entry.content == change.replace(f"ORC|{control}|".encode(), b"ORC|NW|")
        assert (await place.leaving(), place.arrived) == ([], [])
        await place.act("held_release", "A1")
        (arrived,) = await place.deliver()
        assert words_of(arrived) == ["NW A1 HOLD"]
        assert b"now worse" in arrived


@pytest.mark.hazard("H16")
@pytest.mark.parametrize("state", WAITING)
@pytest.mark.parametrize("word", ["PASS", "NOTE"])
async def test_a_change_that_need_not_wait_reaches_the_filler_as_one_new_order(
    tmp_path: Path, state: OrderState, word: str
) -> None:
    """One NW with the new content; its control id is in its bytes, so that the filler's answer is recognised."""
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        change = said("A1", "XO", word=word)
        await place.take(change)
        assert await place.state("A1") is OrderState.QUEUED
        assert (await place.notices())[-1] == "A1 OE IP"
        (row,) = [row for row in await place.journal.undelivered_rows() if row.kind == "order"]
        assert MessageView(row.content).control_id == row.control_id == b"A1XO"
        assert words_of(row.content) == [f"NW A1 {word}"]
        as_new = change.replace(b"ORC|XO|", b"ORC|NW|")
        assert (row.original or row.content) == as_new
        await place.deliver()
        assert await place.state("A1") is OrderState.DELIVERED


async def test_a_change_never_lets_an_order_wait_longer(tmp_path: Path) -> None:
    """A later deadline of the changed order does not count, an earlier one does."""
    hours = iter((4.0, 40.0, 1.0))

    async with ward(tmp_path, deadline=lambda _order, taken_at: taken_at + timedelta(hours=next(hours))) as place:
        await place.take(new_order("A1", "HOLD"))
        await place.take(said("A1", "XO", "1"))
        assert (await place.entry("A1")).deadline_at == START + timedelta(hours=4)
        await place.take(said("A1", "XO", "2"))
        assert (await place.entry("A1")).deadline_at == START + timedelta(hours=1)


async def test_a_change_of_content_is_in_the_history_with_its_edit(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        entry_id = await in_state(place, "A1", OrderState.HELD)
        await place.take(said("A1", "XO"))
        changed = (await place.journal.audit_rows(entry_id=entry_id))[-1]
        assert (changed.action, changed.actor, changed.detail["edit"]) == ("changed", "placer", "ORC-1 NW")


@pytest.mark.parametrize("state", WAITING)
async def test_a_request_to_hold_is_noted_and_answered(tmp_path: Path, state: OrderState) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        await place.take(said("A1", "HD"))
        assert await place.state("A1") is state
        assert (await place.notices())[-1] == "A1 HR HD"
        assert await place.leaving() == []


@pytest.mark.parametrize("state", WAITING)
async def test_a_request_to_release_is_refused_where_the_site_does_not_allow_it(
    tmp_path: Path, state: OrderState
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        await place.take(said("A1", "RL"))
        assert await place.state("A1") is state
        assert (await place.notices())[-1] == "A1 UR HD"
        assert await place.leaving() == []


@pytest.mark.parametrize("state", WAITING)
async def test_a_request_to_release_is_granted_where_the_site_allows_it(tmp_path: Path, state: OrderState) -> None:
    async with ward(tmp_path, placer_release=True) as place:
        await in_state(place, "A1", state)
        await place.take(said("A1", "SC"))
        await place.take(said("A1", "RL"))
        assert await place.state("A1") is OrderState.QUEUED
        assert (await place.notices())[-1] == "A1 OR IP"
        released, follower = await place.deliver()
        assert b"at the orderer's request" in released
        assert words_of(follower)[0].startswith("SC A1")


@pytest.mark.parametrize("way", ["desk", "timer", "change", "granted"])
async def test_what_was_said_meanwhile_leaves_right_behind_the_order_whoever_releases_it(
    tmp_path: Path, way: str
) -> None:
    async with ward(tmp_path, placer_release=True) as place:
        await in_state(place, "A1", OrderState.HELD)
        status = [said("A1", "SC", str(number)) for number in (1, 2)]
        for message in status:
            await place.take(message)
        await in_state(place, "A2", OrderState.HELD)
        match way:
            case "desk":
                await place.act("held_release", "A1")
            case "timer":
                place.clock.move(hours=4)
                await place.timer.look()
            case "change":
                await place.take(said("A1", "XO", word="PASS"))
            case "granted":
                await place.take(said("A1", "RL"))
        arrived = await place.deliver()
        assert arrived[1:3] == status
        assert words_of(arrived[0])[0].startswith("NW A1")


async def test_a_replacement_of_a_held_order_reaches_the_filler_as_a_new_order(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        raw = said("A1", "RP", extra_orders=(order_group("B1", control="RO", procedure="PASS"),))
        await place.take(raw)
        assert await place.state("A1") is OrderState.REPLACED
        assert [notice for notice in await place.notices() if notice.startswith("A1")][-1] == "A1 RQ RP"
        assert await place.state("B1") is OrderState.QUEUED
        (arrived,) = await place.deliver()
        assert words_of(arrived) == ["NW B1 PASS"]
        assert MessageView(arrived).control_id == b"A1RP"


async def test_a_replacement_that_must_be_held_is_held_and_the_old_one_is_gone(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await in_state(place, "A2", OrderState.HELD)
        extra = (order_group("A2", control="RP"), order_group("B1", control="RO", procedure="HOLD"))
        await place.take(said("A1", "RP", extra_orders=extra))
        assert [await place.state(number) for number in ("A1", "A2", "B1")] == ["replaced", "replaced", "held"]
        assert await place.leaving() == []
        await place.act("held_release", "B1")
        assert all_words(await place.deliver()) == ["NW B1 HOLD"]


async def test_a_replacement_is_understood_wherever_it_stands_in_the_message(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        raw = said("B1", "RO", word="PASS", extra_orders=(order_group("A1", control="RP"),))
        await place.take(raw)
        assert await place.state("A1") is OrderState.REPLACED
        assert all_words(await place.deliver()) == ["NW B1 PASS"]


@pytest.mark.parametrize("state", [OrderState.QUEUED, OrderState.DEAD])
async def test_a_replacement_of_what_the_filler_may_have_goes_as_one_message(tmp_path: Path, state: OrderState) -> None:
    """RP and RO belong together: apart, the filler would refuse them or the patient would have no order."""
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        raw = said("A1", "RP", extra_orders=(order_group("B1", control="RO", procedure="PASS"),))
        await place.take(raw)
        assert (await place.deliver())[-1] == raw


async def test_a_replacement_of_one_order_that_waits_and_one_that_the_filler_has_is_no_new_order(
    tmp_path: Path,
) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await in_state(place, "A2", OrderState.DELIVERED)
        extra = (order_group("A2", control="RP"), order_group("B1", control="RO", procedure="PASS"))
        await place.take(said("A1", "RP", extra_orders=extra))
        assert await place.state("A1") is OrderState.REPLACED
        (arrived,) = await place.deliver()
        assert [word[:5] for word in words_of(arrived)] == ["RP A2", "RO B1"]


@pytest.mark.parametrize("state", UNSEEN)
async def test_a_replacement_of_an_order_that_ended_unseen_is_a_new_order(tmp_path: Path, state: OrderState) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        raw = said("A1", "RP", "2", extra_orders=(order_group("B1", control="RO", procedure="PASS"),))
        await place.take(raw)
        assert all_words(await place.deliver()) == ["NW B1 PASS"]


@pytest.mark.hazard("H4")
@pytest.mark.parametrize("state", UNSEEN)
@pytest.mark.parametrize("control", ["NW", "XO"])
@pytest.mark.parametrize("is_restarted", [False, True])
async def test_an_order_placed_again_is_ours_until_the_filler_has_it(
    tmp_path: Path, state: OrderState, control: str, is_restarted: bool
) -> None:
    """Withdrawn, then ordered again: what is said next must neither vanish nor make a second order."""
    async with ward(tmp_path) as place:
        await in_state(place, "A1", state)
        await place.take(said("A1", control, "again", word="PASS"))
        assert await place.state("A1") is OrderState.QUEUED
        change = said("A1", "XO", "later", word="PASS")
        await place.take(change)
        assert all_words(await place.deliver()) == ["NW A1 PASS", "XO A1 PASS"]
        if not is_restarted:
            await the_filler_has_it(place)
    if is_restarted:
        async with ward(tmp_path) as place:
            await the_filler_has_it(place)


async def the_filler_has_it(place: Ward) -> None:
    """What is said now about A1 is the filler's business."""
    place.arrived.clear()
    change, cancel = said("A1", "XO", "last", word="PASS"), said("A1", "CA", "last")
    for message in (change, cancel):
        assert isinstance(await place.receive(message), PassOn)
    assert place.arrived == [change, cancel]


@pytest.mark.hazard("H4")
async def test_an_order_placed_again_that_must_be_held_is_held_under_its_number(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.WITHDRAWN)
        await place.take(said("A1", "NW", "again", word="HOLD"))
        assert await place.state("A1") is OrderState.HELD
        await place.take(said("A1", "CA", "again"))
        assert await place.state("A1") is OrderState.WITHDRAWN
        assert (await place.leaving(), place.arrived) == ([], [])


@pytest.mark.hazard("H4")
@pytest.mark.fault(22)
@pytest.mark.parametrize("way", ["relayed", "split off", "delivered"])
async def test_an_order_that_the_filler_has_is_not_held_when_it_is_placed_again(tmp_path: Path, way: str) -> None:
    """It goes on annotated, and so does its cancel: held, the cancel would end here and the filler keep the order."""
    async with ward(tmp_path) as place:
        match way:
            case "relayed":
                await place.receive(new_order("A1", "PASS"))
            case "split off":
                await place.take(new_order("B1", "HOLD", extra_orders=(order_group("A1", procedure="PASS"),)))
            case _:
                await in_state(place, "A1", OrderState.DELIVERED)
        await place.deliver()
        for message in (said("A1", "NW", "again", word="HOLD"), said("A1", "CA")):
            assert isinstance(await place.receive(message), PassOn)
        assert [words_of(raw)[0] for raw in place.arrived[-2:]] == ["NW A1 HOLD", "CA A1 HOLD"]
        assert b"H-REGIONAL" in place.arrived[-2]
        if way != "delivered":
            anew = await place.receive(said("A1", "NW", "anew", word="HOLD"))
            assert isinstance(anew, Taken), "its cancel went to the filler: it may be held again"


async def test_one_message_may_say_two_things_about_one_order(tmp_path: Path) -> None:
    """CA and NW of one number in one message: cancelled, then ordered again."""
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        raw = said("A1", "CA", extra_orders=(order_group("A1", control="NW", procedure="PASS"),))
        await place.take(raw)
        assert await place.state("A1") is OrderState.QUEUED
        (arrived,) = await place.deliver()
        assert words_of(arrived) == ["NW A1 PASS"]


async def test_a_message_about_a_held_and_a_fresh_order_is_taken_apart(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        raw = said("A1", "CA", extra_orders=(order_group("B1", procedure="PASS"),))
        taken = await place.take(raw)
        assert taken.acknowledgment is not None
        (arrived,) = await place.deliver()
        assert words_of(arrived) == ["NW B1 PASS"]
        assert await place.state("A1") is OrderState.WITHDRAWN


async def test_a_message_about_another_order_does_not_wait(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await in_state(place, "A1", OrderState.HELD)
        await in_state(place, "A2", OrderState.QUEUED)
        assert isinstance(await place.receive(new_order("B1", "PASS")), PassOn)


async def test_what_passes_behind_a_queued_message_about_its_order_waits_for_it(tmp_path: Path) -> None:
    """B1 was split off a taken message and waits in the outbox: its cancel goes behind it, not around it."""
    async with ward(tmp_path) as place:
        extra = (order_group("B1", procedure="PASS"),)
        await place.take(new_order("A1", "HOLD", extra_orders=extra))
        result = await place.receive(said("B1", "CA"))
        assert isinstance(result, Taken)
        assert [word[:5] for word in all_words(await place.deliver())] == ["NW B1", "CA B1"]
