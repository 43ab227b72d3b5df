"""The courier: strictly in order, one at a time, nothing lost, nothing sent twice without need, poison set aside."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from interceptor.action.lifecycle import OrderState
from interceptor.delivery.courier import CourierOptions
from interceptor.journal.port import Intake, IntakeDone, OutboxRow
from interceptor.message.view import MessageView
from interceptor.wire.frame import encode_frame
from tests.support.delivery import Lane, lane_to, metric, utc_now
from tests.support.hostile_filler import (
    Session,
    Step,
    ack,
    answer,
    close,
    close_inside_the_answer,
    framed_garbage,
    hostile_filler,
    stay_silent,
    wrong_control_id,
)
from tests.support.journal_values import held_intake, intake, message_bytes, outgoing, stored_intake
from tests.support.mllp_peer import until
from tests.support.node import free_port

QUICK = CourierOptions(
    retry_seconds_min=0.001, retry_seconds_max=0.002, refusals_max=3, disconnects_max=4, poll_seconds=0.01
)


async def queue(lane: Lane, value: Intake) -> IntakeDone:
    done = await lane.custody.take(value)
    assert isinstance(done, IntakeDone)
    return done


async def queue_order(lane: Lane, number: str) -> IntakeDone:
    """An order of ours, queued as placed."""
    return await queue(lane, held_intake(number, order=f"P{number}^EHR", state=OrderState.QUEUED))


async def is_drained(lane: Lane) -> None:
    """Wait until every message has left the outbox, to the filler or to the dead letters."""
    await until(lambda: not lane.custody.index.queued.any_of(lane_keys()))


def lane_keys() -> list[str]:
    return [f"P{number}^EHR" for number in range(1, 30)]


async def dead(lane: Lane) -> tuple[OutboxRow, ...]:
    return await lane.journal.dead_letters()


async def state_of(lane: Lane, done: IntakeDone) -> OrderState:
    entry = await lane.journal.entry(done.entry_ids[0])
    assert entry is not None
    return entry.state


def raised(mode: str, control_id: str) -> bytes:
    """A message that asks for acknowledgments: MSH-15 and MSH-16."""
    return message_bytes(control_id).replace(b"|T|2.5.1\r", f"|T|2.5.1|||{mode}\r".encode())


async def test_everything_arrives_once_in_the_order_it_was_queued(tmp_path: Path) -> None:
    async with hostile_filler() as ris, lane_to(ris.port, tmp_path) as lane:
        done = [await queue_order(lane, str(number)) for number in range(1, 11)]
        await is_drained(lane)
        assert ris.control_ids == [str(number) for number in range(1, 11)]
        assert {await state_of(lane, one) for one in done} == {OrderState.DELIVERED}
        assert lane.custody.index.orders() == ()


async def test_what_is_queued_while_the_filler_is_away_arrives_in_order_afterwards(tmp_path: Path) -> None:
    port = free_port()
    async with lane_to(port, tmp_path) as lane:
        for number in range(1, 6):
            await queue(lane, stored_intake(str(number)))
        await until(lambda: lane.way.destination.is_refused)
        async with hostile_filler(port=port) as ris:
            await is_drained(lane)
            assert ris.control_ids == ["1", "2", "3", "4", "5"]
        assert await dead(lane) == ()


@pytest.mark.fault(15)
@pytest.mark.hazard("H5")
@pytest.mark.parametrize("step", [close, close_inside_the_answer, wrong_control_id, framed_garbage])
async def test_what_was_not_answered_goes_again_with_the_same_bytes(tmp_path: Path, step: Step) -> None:
    async with hostile_filler(step) as ris, lane_to(ris.port, tmp_path) as lane:
        value = stored_intake("1")
        await queue(lane, value)
        await queue(lane, stored_intake("2"))
        await is_drained(lane)
        assert ris.contents[:2] == [value.raw, value.raw]
        assert ris.control_ids == ["1", "1", "2"]
        assert lane.events.of("delivery_retried")[0]["attempts"] == 1


@pytest.mark.fault(9)
async def test_a_silent_filler_gets_it_again_on_another_connection(tmp_path: Path) -> None:
    async with (
        hostile_filler(stay_silent) as ris,
        lane_to(ris.port, tmp_path, ack_timeout_seconds=0.1) as lane,
    ):
        await queue_order(lane, "1")
        await is_drained(lane)
        assert [number for number, _ in ris.received] == [1, 2]


@pytest.mark.fault(13)
@pytest.mark.hazard("H22")
async def test_with_a_filler_that_answers_every_third_late_no_answer_is_anothers(tmp_path: Path) -> None:
    """The late answer of one message comes while the next one waits for its own."""
    late: list[tuple[Session, bytes]] = []

    def be_late(session: Session, control_id: bytes) -> None:
        late.append((session, control_id))

    def settle(session: Session, control_id: bytes) -> None:
        for earlier, owed in late:
            earlier.write(encode_frame(ack(owed)))
        answer("AA")(session, control_id)

    async with hostile_filler() as ris, lane_to(ris.port, tmp_path, ack_timeout_seconds=0.1) as lane:
        ris.default = settle
        ris.will(settle, settle, be_late, settle, settle, settle, be_late)
        for number in range(1, 8):
            await queue_order(lane, str(number))
        await is_drained(lane)
        assert ris.control_ids == ["1", "2", "3", "3", "4", "5", "6", "6", "7"]
        assert await dead(lane) == ()


@pytest.mark.fault(11)
@pytest.mark.parametrize("code", ["AR", "CR"])
async def test_a_rejected_message_is_a_dead_letter_at_once_and_the_lane_goes_on(tmp_path: Path, code: str) -> None:
    async with hostile_filler(answer(code)) as ris, lane_to(ris.port, tmp_path) as lane:
        first, second = await queue_order(lane, "1"), await queue_order(lane, "2")
        await is_drained(lane)
        assert ris.control_ids == ["1", "2"]
        (letter,) = await dead(lane)
        assert (letter.control_id, letter.last_error) == (b"1", "refused")
        assert (await state_of(lane, first), await state_of(lane, second)) == (OrderState.DEAD, OrderState.DELIVERED)
        assert lane.events.of("delivery_given_up")[0]["reason"] == "refused"
        assert metric(lane.way.metrics, "interceptor_dead_letters_total", reason="refused") == 1
        assert [order.state for order in lane.custody.index.of_key("P1^EHR")] == [OrderState.DEAD]


@pytest.mark.fault(10)
@pytest.mark.parametrize("code", ["AE", "CE"])
async def test_an_error_is_tried_again_and_given_up_after_so_many(tmp_path: Path, code: str) -> None:
    async with hostile_filler(*[answer(code)] * 3) as ris, lane_to(ris.port, tmp_path, courier=QUICK) as lane:
        await queue_order(lane, "1")
        await queue_order(lane, "2")
        await is_drained(lane)
        assert ris.control_ids == ["1", "1", "1", "2"]
        assert [letter.last_error for letter in await dead(lane)] == ["refused"]


@pytest.mark.fault(10)
async def test_an_error_that_passes_is_forgotten(tmp_path: Path) -> None:
    steps = [answer("AE"), answer("AE"), answer("AA"), answer("AE"), answer("AE"), answer("AA")]
    async with hostile_filler(*steps) as ris, lane_to(ris.port, tmp_path, courier=QUICK) as lane:
        await queue_order(lane, "1")
        await queue_order(lane, "2")
        await is_drained(lane)
        assert ris.control_ids == ["1", "1", "1", "2", "2", "2"]
        assert await dead(lane) == ()


@pytest.mark.fault(15)
async def test_poison_that_makes_the_filler_hang_up_is_set_aside(tmp_path: Path) -> None:
    async with hostile_filler(*[close] * 4) as ris, lane_to(ris.port, tmp_path, courier=QUICK) as lane:
        await queue_order(lane, "1")
        await queue_order(lane, "2")
        await is_drained(lane)
        assert ris.control_ids == ["1"] * 4 + ["2"]
        (letter,) = await dead(lane)
        assert (letter.last_error, letter.possible_duplicate) == ("attempts_spent", True)


@pytest.mark.fault(8)
async def test_a_filler_that_is_away_makes_no_dead_letters(tmp_path: Path) -> None:
    """However often the message could not even be sent, it waits, and is no possible duplicate."""
    once = CourierOptions(retry_seconds_min=0.001, retry_seconds_max=0.002, disconnects_max=1, poll_seconds=0.01)
    away: dict[str, Any] = {"ack_timeout_seconds": 0.01, "reconnect_seconds_min": 60.0, "reconnect_seconds_max": 60.0}
    async with hostile_filler() as ris, lane_to(ris.port, tmp_path, courier=once, **away) as lane:
        await until(lambda: lane.way.destination.is_up)
        ris.sessions[0].writer.close()
        await until(lambda: not lane.way.destination.is_up)
        await queue_order(lane, "1")
        await until(lambda: metric(lane.way.metrics, "interceptor_destination_retries_total") >= 3)
        assert await dead(lane) == ()
        (row,) = await lane.journal.undelivered_rows()
        assert (row.possible_duplicate, ris.received) == (False, [])
        assert lane.events.names == []


@pytest.mark.hazard("H12")
@pytest.mark.parametrize("code", ["AE", "AR", "CE", "CR"])
async def test_a_refused_note_is_taken_out_and_the_original_sent_once(tmp_path: Path, code: str) -> None:
    async with hostile_filler(answer(code)) as ris, lane_to(ris.port, tmp_path) as lane:
        raw = message_bytes("1")
        noted = raw + b"NTE|1|O|note\r"
        await queue(lane, intake(raw, "1", outgoing=(outgoing(noted, "1", original=raw, kind="message"),)))
        await is_drained(lane)
        assert ris.contents == [noted, raw]
        assert await dead(lane) == ()
        assert lane.events.of("annotation_refused") == [{"destination": "ris", "code": code}]
        assert metric(lane.way.metrics, "interceptor_annotations_refused_total") == 1


@pytest.mark.hazard("H12")
async def test_an_original_that_is_refused_too_is_a_dead_letter(tmp_path: Path) -> None:
    async with hostile_filler(answer("AR"), answer("AR")) as ris, lane_to(ris.port, tmp_path) as lane:
        raw = message_bytes("1")
        noted = raw + b"NTE|1|O|note\r"
        await queue(lane, intake(raw, "1", outgoing=(outgoing(noted, "1", original=raw, kind="message"),)))
        await is_drained(lane)
        assert ris.contents == [noted, raw]
        assert [letter.content for letter in await dead(lane)] == [raw]


@pytest.mark.fault(12)
async def test_both_answers_of_enhanced_mode_end_one_delivery(tmp_path: Path) -> None:
    """MSH-15 AL, MSH-16 AL: the application acknowledgment of the first is not taken for trouble with the second."""
    async with hostile_filler(answer("CA", "AA"), answer("CA", "AA")) as ris, lane_to(ris.port, tmp_path) as lane:
        for control_id in ("1", "2"):
            raw = raised("AL|AL", control_id)
            await queue(lane, intake(raw, control_id, outgoing=(outgoing(raw, control_id, kind="message"),)))
        await is_drained(lane)
        assert ris.control_ids == ["1", "2"]
        assert len(ris.sessions) == 1
        assert lane.events.names == []


@pytest.mark.fault(12)
@pytest.mark.hazard("H5")
@pytest.mark.parametrize("ending", ["silent", "hang up"])
async def test_what_the_filler_has_in_safe_storage_is_not_sent_again(tmp_path: Path, ending: str) -> None:
    """CA, and then no application acknowledgment: a resend would be a second examination."""

    def commit(session: object, control_id: bytes) -> None:
        answer("CA")(session, control_id)  # type: ignore[arg-type]  # a Session, as every step gets
        if ending == "hang up":
            close(session, control_id)  # type: ignore[arg-type]  # as above

    async with hostile_filler(commit) as ris, lane_to(ris.port, tmp_path, ack_timeout_seconds=0.1) as lane:
        raw = raised("AL|AL", "1")
        await queue(lane, intake(raw, "1", outgoing=(outgoing(raw, "1", kind="message"),)))
        await is_drained(lane)
        assert ris.control_ids == ["1"]
        assert await dead(lane) == ()


@pytest.mark.fault(12)
async def test_a_message_that_wants_no_answer_is_delivered_without_one(tmp_path: Path) -> None:
    async with hostile_filler(stay_silent) as ris, lane_to(ris.port, tmp_path) as lane:
        raw = raised("NE|NE", "1")
        await queue(lane, intake(raw, "1", outgoing=(outgoing(raw, "1", kind="message"),)))
        await queue_order(lane, "2")
        await is_drained(lane)
        assert ris.control_ids == ["1", "2"]


@pytest.mark.fault(1)
@pytest.mark.hazard("H5")
async def test_what_was_under_way_at_a_crash_goes_again_marked(tmp_path: Path) -> None:
    """The node ends while the filler has not answered: the next one sends the same bytes as a possible duplicate."""
    async with hostile_filler(stay_silent) as ris:
        async with lane_to(ris.port, tmp_path) as lane:
            await queue_order(lane, "1")
            await queue_order(lane, "2")
            await ris.wait_for(1)
        async with lane_to(ris.port, tmp_path, is_paused=True) as lane:
            first, second = await lane.journal.undelivered_rows()
            assert (first.possible_duplicate, second.possible_duplicate) == (True, False)
            lane.courier.is_paused = False
            lane.courier.wake()
            await is_drained(lane)
        assert ris.control_ids == ["1", "1", "2"]
        assert ris.contents[0] == ris.contents[1]


@pytest.mark.hazard("H20")
async def test_a_paused_lane_sends_nothing(tmp_path: Path) -> None:
    async with hostile_filler() as ris, lane_to(ris.port, tmp_path, is_paused=True) as lane:
        await queue_order(lane, "1")
        await until(lambda: lane.way.destination.is_up)
        assert await lane.journal.claim_next("ris", at=utc_now()) is not None, "nobody else had claimed it"
        assert ris.received == []


@pytest.mark.fault(37)
async def test_every_message_is_accounted_for_with_a_filler_that_does_everything_wrong(tmp_path: Path) -> None:
    """in == delivered + dead, by control id, whatever the filler does; and only trouble makes a second send."""
    troubles = [close, wrong_control_id, answer("AE"), framed_garbage, answer("AR"), close_inside_the_answer]
    async with hostile_filler(*troubles * 2) as ris, lane_to(ris.port, tmp_path, courier=QUICK) as lane:
        for number in range(1, 21):
            await queue_order(lane, str(number))
        await is_drained(lane)
        letters = {letter.control_id.decode() for letter in await dead(lane)}
        counts = await lane.journal.entry_counts()
        assert counts[OrderState.DELIVERED] + counts[OrderState.DEAD] == 20
        assert counts[OrderState.DEAD] == len(letters) > 0
        assert set(ris.control_ids) == {str(number) for number in range(1, 21)}
        assert sum(count - 1 for count in Counter(ris.control_ids).values()) <= len(troubles) * 2
        assert all(MessageView(content).control_id.decode() for content in ris.contents)


async def test_a_dead_letter_that_is_sent_again_arrives(tmp_path: Path) -> None:
    async with hostile_filler(answer("AR")) as ris, lane_to(ris.port, tmp_path) as lane:
        done = await queue_order(lane, "1")
        await is_drained(lane)
        (letter,) = await dead(lane)
        assert await lane.custody.requeue_dead(letter.outbox_id, at=utc_now(), actor="user:ann")
        await is_drained(lane)
        assert ris.control_ids == ["1", "1"]
        assert await state_of(lane, done) is OrderState.DELIVERED
        assert not await lane.custody.requeue_dead(letter.outbox_id, at=utc_now(), actor="user:ann")
