"""What is taken into custody, and what goes its way: whole messages, parts, both kinds of custody, modes."""

from datetime import timedelta
from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.action.plan import NoHoldReason, RouteMode
from interceptor.decision.decision import Disposition
from interceptor.journal.port import AlreadyTaken, JournalReason, JournalUnavailable
from interceptor.journal.sqlite import SqliteSettings
from interceptor.journal.sqlite_writer import WriterSettings
from interceptor.journal.turn_parts import PassOn, Taken
from interceptor.message.view import MessageView
from tests.support.hostile_filler import RESULT, ack
from tests.support.orders import order_group
from tests.support.ward import START, all_words, both, new_order, ward, words_of

pytestmark = pytest.mark.usefixtures("database")


def mixed(*words: str) -> bytes:
    """One message with an order A1, A2 ... for each word."""
    others = tuple(order_group(f"A{number}", procedure=word) for number, word in enumerate(words[1:], start=2))
    return new_order("A1", words[0], extra_orders=others)


async def test_a_held_order_is_durable_acknowledged_and_kept_from_the_filler(tmp_path: Path) -> None:
    raw = new_order("A1", "HOLD")
    async with ward(tmp_path) as place:
        taken = await place.take(raw)
        entry = await place.entry("A1")
        assert taken.acknowledgment == ack(b"A1NW")
        assert (entry.state, entry.content, entry.control_id) == (OrderState.HELD, raw, b"A1NW")
        assert entry.deadline_at == START + timedelta(hours=4)
        assert (await place.leaving(), place.arrived) == ([], [])
        assert await place.notices() == ["A1 OH HD"]
        assert [order.order_key for order in place.custody.index.orders()] == ["A1^EPIC"]


async def test_an_order_that_may_have_siblings_is_parked_first_and_the_placer_is_not_told_yet(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(new_order("A1", "PART-1-3"))
        entry = await place.entry("A1")
        assert (entry.state, entry.deadline_at) == (OrderState.PARKED, START + timedelta(seconds=15))
        assert await place.notices() == []


async def test_without_a_window_it_is_held_at_once(tmp_path: Path) -> None:
    async with ward(tmp_path, window=0.0) as place:
        await place.take(new_order("A1", "PART-1-3"))
        assert await place.state("A1") is OrderState.HELD


async def test_what_is_not_held_goes_its_way_and_nothing_is_stored(tmp_path: Path) -> None:
    raw = new_order("A1", "PASS")
    async with ward(tmp_path) as place:
        result = await place.receive(raw)
        assert isinstance(result, PassOn)
        assert result.plan.forward is raw
        assert await place.journal.recent_digests(since=START) == ()
        assert not place.custody.index


async def test_a_noted_order_goes_its_way_with_its_original_at_hand(tmp_path: Path) -> None:
    raw = new_order("A1", "NOTE")
    async with ward(tmp_path) as place:
        result = await place.receive(raw)
        assert isinstance(result, PassOn)
        assert (result.plan.original, result.plan.disposition) == (raw, Disposition.ANNOTATE)


@pytest.mark.fault(36)
async def test_a_mixed_message_is_taken_apart_and_each_part_has_its_own_control_id(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(mixed("HOLD", "PASS", "HOLD", "PASS"))
        (leaving,) = await place.leaving()
        assert words_of(leaving) == ["NW A2 PASS", "NW A4 PASS"]
        assert MessageView(leaving).control_id == b"A1NW"
        first, third = await place.entry("A1"), await place.entry("A3")
        assert [first.control_id, third.control_id] == [b"A1NWP1", b"A1NWP2"]
        assert [MessageView(one.content).control_id for one in (first, third)] == [b"A1NWP1", b"A1NWP2"]
        await place.act("held_release", "A3")
        await place.act("held_release", "A1")
        await place.deliver()
        assert all_words(place.arrived) == ["NW A2 PASS", "NW A4 PASS", "NW A3 HOLD", "NW A1 HOLD"]
        assert len({MessageView(raw).control_id for raw in place.arrived}) == 3


@pytest.mark.hazard("H2")
@pytest.mark.parametrize("reason", list(NoHoldReason))
async def test_where_nothing_may_be_held_the_order_goes_on_annotated(tmp_path: Path, reason: NoHoldReason) -> None:
    async with ward(tmp_path) as place:
        place.settings.no_hold = reason
        result = await place.receive(new_order("A1", "HOLD"))
        assert isinstance(result, PassOn)
        assert (result.plan.not_held, result.plan.disposition) == (reason, Disposition.ANNOTATE)
        assert place.custody.index.orders() == ()


async def test_in_shadow_a_would_be_hold_passes_unchanged(tmp_path: Path) -> None:
    raw = new_order("A1", "HOLD")
    async with ward(tmp_path) as place:
        place.settings.mode = RouteMode.SHADOW
        await place.receive(raw)
        assert place.arrived == [raw]


async def test_a_sender_that_wants_no_answer_gets_none(tmp_path: Path) -> None:
    raw = new_order("A1", "HOLD").replace(b"|T|2.3.1\r", b"|T|2.3.1|||NE|NE\r")
    async with ward(tmp_path) as place:
        assert (await place.take(raw)).acknowledgment is None


async def test_store_custody_takes_everything_and_delivers_in_order(tmp_path: Path) -> None:
    chest, noted, held = new_order("A1", "PASS"), new_order("A2", "NOTE"), new_order("A3", "HOLD")
    async with ward(tmp_path, is_store=True) as place:
        for raw in (chest, RESULT, noted, held):
            await place.take(raw)
        rows = [row for row in await place.journal.undelivered_rows() if row.kind != "notice"]
        assert [row.control_id for row in rows] == [b"A1NW", b"R1", b"A2NW"]
        assert [row.content for row in rows[:2]] == [chest, RESULT]
        assert (rows[2].original, rows[2].content != noted) == (noted, True)
        assert await place.state("A3") is OrderState.HELD


async def test_store_custody_takes_what_is_no_hl7_order_message_as_it_is(tmp_path: Path) -> None:
    raw = b"MSH|^~\\&|EHR|H|RIS|R|20260302||ADT^A08|7|P|2.3.1\rPID|1||1\r"
    async with ward(tmp_path, is_store=True) as place:
        first = await place.take(raw)
        again = await place.receive(raw)
        assert isinstance(again, AlreadyTaken)
        assert again.answer.acknowledgment == first.acknowledgment
        assert await place.leaving() == [raw]


@pytest.mark.fault(19)
@pytest.mark.fault(18)
@pytest.mark.hazard("H5")
async def test_a_resend_gets_the_same_answer_and_changes_nothing(tmp_path: Path) -> None:
    raw = new_order("A1", "HOLD")
    async with ward(tmp_path) as place:
        first = await place.take(raw)
        again = await place.receive(raw)
        assert isinstance(again, AlreadyTaken)
        assert again.answer.acknowledgment == first.acknowledgment
        assert len(place.custody.index.orders()) == 1
        assert (await place.entry("A1")).version == 1
    async with ward(tmp_path) as place:
        again = await place.receive(raw)
        assert isinstance(again, AlreadyTaken)
        assert again.answer.acknowledgment == first.acknowledgment


@pytest.mark.fault(19)
async def test_a_resend_after_its_order_was_released_is_still_known(tmp_path: Path) -> None:
    raw = new_order("A1", "HOLD")
    async with ward(tmp_path) as place:
        await place.take(raw)
        await place.act("held_release", "A1")
        await place.deliver()
        assert isinstance(await place.receive(raw), AlreadyTaken)
        assert place.concerns(MessageView(raw))
        assert len(place.arrived) == 1


@pytest.mark.fault(19)
async def test_one_message_that_comes_twice_at_once_is_taken_once(tmp_path: Path) -> None:
    raw = new_order("A1", "HOLD")
    async with ward(tmp_path) as place:
        results = await both(*(place.receive(raw) for _ in range(5)))
        assert sorted(type(result).__name__ for result in results) == ["AlreadyTaken"] * 4 + ["Taken"]
        assert len(place.custody.index.orders()) == 1


@pytest.mark.fault(20)
@pytest.mark.fault(21)
async def test_the_same_control_id_with_other_bytes_is_a_new_message_and_is_told(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        first = await place.take(new_order("A1", "HOLD", mark="X"))
        other = await place.take(new_order("A2", "HOLD", mark="X").replace(b"A2X", b"A1X"))
        assert (first.done.control_id_reused, other.done.control_id_reused) == (False, True)
        assert len(place.custody.index.orders()) == 2


@pytest.mark.fault(3)
async def test_with_a_full_disk_nothing_is_taken_and_what_we_have_can_still_leave(
    tmp_path: Path, database: str
) -> None:
    if database != "sqlite":
        pytest.skip("the server's disk is the server's: what a full one does stands in tests/cluster")
    async with ward(tmp_path) as place:
        await place.take(new_order("A1", "HOLD"))
    full = SqliteSettings(writer=WriterSettings(free_bytes_min=2**62))
    async with ward(tmp_path, sqlite=full) as place:
        with pytest.raises(JournalUnavailable) as refused:
            await place.receive(new_order("A2", "HOLD"))
        assert refused.value.reason is JournalReason.FULL
        assert [order.order_key for order in place.custody.index.orders()] == ["A1^EPIC"]
        assert not place.concerns(MessageView(new_order("A2", "HOLD", mark="2")))
        assert isinstance(await place.receive(new_order("A3", "PASS")), PassOn)
        await place.act("held_release", "A1")
        assert len(await place.deliver()) == 1


async def test_the_decisions_of_a_taken_message_are_kept_with_it(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        await place.take(mixed("HOLD", "PASS"))
        report = await place.journal.verify()
        assert report.problems == ()
        assert isinstance((await place.entry("A1")).decision["reasons"], list)


async def test_a_message_that_is_taken_says_whether_it_concerns_us(tmp_path: Path) -> None:
    """What the pipeline asks before anything else, for an order before, in and after our custody."""
    follow_up = MessageView(new_order("A1", "HOLD", control="CA"))
    async with ward(tmp_path) as place:
        assert not place.concerns(follow_up)
        await place.take(new_order("A1", "HOLD"))
        assert place.concerns(follow_up)
        assert place.custody.knows_open(["A1^EPIC"])
        await place.act("held_release", "A1")
        assert place.concerns(follow_up), "it waits in the outbox"
        assert place.custody.knows_open(["A1^EPIC"])
        await place.deliver()
        assert not place.concerns(follow_up)
        assert not place.custody.knows_open(["A1^EPIC"])


async def test_while_a_message_has_its_turn_another_about_its_order_does_not_pass_by(tmp_path: Path) -> None:
    cancel = MessageView(new_order("A1", "HOLD", control="CA"))
    async with ward(tmp_path) as place:
        async with place.custody.turn(("A1^EPIC",)):
            assert place.concerns(cancel)
        assert not place.concerns(cancel)


async def test_an_exception_in_a_turn_leaves_nothing_behind(tmp_path: Path) -> None:
    async with ward(tmp_path) as place:
        with pytest.raises(KeyError):
            await place.receive(new_order("A1", "UNKNOWN WORD"))
        assert not place.concerns(MessageView(new_order("A1", "PASS")))
        assert isinstance(await place.receive(new_order("A1", "HOLD")), Taken)
