"""The way to the filler over real sockets: answers are matched, everything else is no answer."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.delivery.connector import connector
from interceptor.delivery.destination import Destination, DestinationOptions, Line
from interceptor.message.acknowledgment import AckCode
from interceptor.transport.client import ClientConnection
from interceptor.transport.exchange import Answer, AnswerStatus, Request
from interceptor.transport.options import ConnectionOptions
from interceptor.wire.frame import encode_frame
from tests.support.delivery import PROMPT, Sent, metric, new_metrics, way_to
from tests.support.hostile_filler import (
    RESULT,
    STATUS,
    Step,
    accept,
    ack,
    answer,
    close,
    close_inside_the_answer,
    endless,
    framed_garbage,
    garbage,
    hostile_filler,
    no_control_id,
    say,
    say_then_accept,
    stay_silent,
    wrong_control_id,
)
from tests.support.mllp_peer import until
from tests.support.node import Events, free_port
from tests.support.orders import order

ONE, TWO, THREE = (order(f"A{number}", control_id=f"C{number}") for number in (1, 2, 3))
BRIEF: dict[str, Any] = {"ack_timeout_seconds": 0.15}


async def test_the_fillers_answer_comes_back_byte_for_byte() -> None:
    async with hostile_filler() as ris, way_to(ris.port) as way:
        found = await way.send(ONE, b"C1").final()
        assert found.raw == ack(b"C1")
        assert found.acknowledgment is not None
        assert (found.status, found.acknowledgment.code) == (AnswerStatus.ANSWERED, AckCode.APPLICATION_ACCEPT)
        assert ris.contents == [ONE]


async def test_messages_arrive_in_the_order_they_were_given_one_at_a_time() -> None:
    async with hostile_filler(stay_silent) as ris, way_to(ris.port) as way:
        sent = [way.send(content, control_id) for content, control_id in ((ONE, b"C1"), (TWO, b"C2"), (THREE, b"C3"))]
        await ris.wait_for(1)
        assert way.destination.waiting_count == 2
        ris.sessions[0].write(encode_frame(ack(b"C1")))
        assert [(await one.final()).status for one in sent] == [AnswerStatus.ANSWERED] * 3
        assert ris.control_ids == ["C1", "C2", "C3"]


@pytest.mark.hazard("H1", "H3")
async def test_what_we_answer_for_goes_before_what_waits_and_what_waits_keeps_its_order() -> None:
    async with hostile_filler(stay_silent) as ris, way_to(ris.port) as way:
        sent = [way.send(content, control_id) for content, control_id in ((ONE, b"C1"), (TWO, b"C2"), (THREE, b"C3"))]
        await ris.wait_for(1)
        answers: list[Answer] = []
        four = order("A4", control_id="C4")
        way.destination.submit_next(Request(content=four, control_id=b"C4", on_answer=answers.append))
        ris.sessions[0].write(encode_frame(ack(b"C1")))
        for one in sent:
            await one.final()
        assert ris.control_ids == ["C1", "C4", "C2", "C3"]
        assert [found.status for found in answers] == [AnswerStatus.ANSWERED]


@pytest.mark.hazard("H22")
@pytest.mark.parametrize(
    ("step", "status", "counted"),
    [
        pytest.param(wrong_control_id, AnswerStatus.MISMATCHED, "ack_mismatches", marks=pytest.mark.fault(13)),
        pytest.param(no_control_id, AnswerStatus.MISMATCHED, "ack_mismatches", marks=pytest.mark.fault(13)),
        pytest.param(garbage, AnswerStatus.UNREADABLE, "unreadable_acks", marks=pytest.mark.fault(14)),
        pytest.param(framed_garbage, AnswerStatus.UNREADABLE, "unreadable_acks", marks=pytest.mark.fault(14)),
        pytest.param(
            say(b"\x0b" + ack(b"C1") + b"\x0b" + ack(b"C1") + b"\x1c\r"),
            AnswerStatus.UNREADABLE,
            "unreadable_acks",
            marks=pytest.mark.fault(34),
        ),
    ],
    ids=["another id", "no id", "unframed", "framed garbage", "cut off by a second answer"],
)
async def test_a_wrong_answer_ends_the_connection_and_is_counted(
    step: Step, status: AnswerStatus, counted: str
) -> None:
    async with hostile_filler(step) as ris, way_to(ris.port) as way:
        found = await way.send(ONE, b"C1").final()
        assert (found.status, found.raw, found.acknowledgment, found.sent) == (status, None, None, True)
        await until(lambda: ris.sessions[0].is_closed)
        assert metric(way.metrics, f"interceptor_destination_{counted}_total") == 1
        assert (await way.send(TWO, b"C2").final()).status is AnswerStatus.ANSWERED
        assert [number for number, _ in ris.received] == [1, 2]


@pytest.mark.fault(15)
@pytest.mark.parametrize("step", [close, close_inside_the_answer])
async def test_a_filler_that_hangs_up_may_have_the_message(step: Step) -> None:
    async with hostile_filler(step) as ris, way_to(ris.port) as way:
        found = await way.send(ONE, b"C1").final()
        assert (found.status, found.sent, found.final) == (AnswerStatus.LOST, True, True)
        assert (await way.send(TWO, b"C2").final()).status is AnswerStatus.ANSWERED


@pytest.mark.fault(9)
@pytest.mark.fault(14)
@pytest.mark.parametrize("step", [stay_silent, endless, say(encode_frame(b""))], ids=["silent", "endless", "empty"])
async def test_the_wait_for_an_answer_has_an_end(step: Step) -> None:
    async with hostile_filler(step) as ris, way_to(ris.port, **BRIEF) as way:
        found = await way.send(ONE, b"C1").final()
        assert (found.status, found.sent) == (AnswerStatus.TIMED_OUT, True)
        assert metric(way.metrics, "interceptor_destination_ack_timeouts_total") == 1
        await until(lambda: ris.sessions[0].is_closed)


@pytest.mark.fault(14)
async def test_an_answer_larger_than_any_answer_is_not_read_to_its_end() -> None:
    async with hostile_filler(say(b"\x0bMSH|" + b"x" * 5000)) as ris, way_to(ris.port, frame_size_max=4096) as way:
        assert (await way.send(ONE, b"C1").final()).status is AnswerStatus.UNREADABLE


@pytest.mark.hazard("H22")
async def test_a_late_answer_dies_with_its_connection() -> None:
    """The answer to C1 comes after its wait is over and while C2 waits: C2 must not get it."""
    async with hostile_filler(stay_silent, stay_silent) as ris, way_to(ris.port, **BRIEF) as way:
        first = way.send(ONE, b"C1")
        assert (await first.final()).status is AnswerStatus.TIMED_OUT
        second = way.send(TWO, b"C2")
        await ris.wait_for(2)
        ris.sessions[0].write(encode_frame(ack(b"C1")))
        ris.sessions[1].write(encode_frame(ack(b"C2")))
        found = await second.final()
        assert found.raw == ack(b"C2")
        assert len(first.answers) == 1


@pytest.mark.hazard("H22")
async def test_a_second_answer_to_one_message_is_not_the_next_ones() -> None:
    async with hostile_filler(answer("AA", "AA")) as ris, way_to(ris.port) as way:
        assert (await way.send(ONE, b"C1").final()).status is AnswerStatus.ANSWERED
        await until(lambda: ris.sessions[0].is_closed)
        found = await way.send(TWO, b"C2").final()
        assert found.raw == ack(b"C2")
        assert metric(way.metrics, "interceptor_destination_ack_mismatches_total") == 1


@pytest.mark.fault(37)
@pytest.mark.hazard("H17")
@pytest.mark.parametrize("content", [RESULT, STATUS])
async def test_a_message_of_the_fillers_own_is_no_answer(content: bytes) -> None:
    async with hostile_filler(say_then_accept(content)) as ris, way_to(ris.port) as way:
        found = await way.send(ONE, b"C1").final()
        assert found.raw == ack(b"C1")
        assert metric(way.metrics, "interceptor_destination_unsolicited_total") == 1
        assert len(ris.sessions) == 1


@pytest.mark.fault(12)
async def test_both_answers_of_enhanced_mode_are_waited_for() -> None:
    async with hostile_filler(answer("CA", "AE")) as ris, way_to(ris.port) as way:
        sent = way.send(ONE, b"C1", answer_count=2)
        await sent.final()
        assert [(one.raw, one.final) for one in sent.answers] == [(ack(b"C1", "CA"), False), (ack(b"C1", "AE"), True)]


@pytest.mark.fault(12)
@pytest.mark.parametrize("code", ["CE", "CR", "AA", "AE", "AR"])
async def test_after_anything_but_ca_no_second_answer_is_waited_for(code: str) -> None:
    async with hostile_filler(answer(code)) as ris, way_to(ris.port) as way:
        assert (await way.send(ONE, b"C1", answer_count=2).final()).raw == ack(b"C1", code)


@pytest.mark.fault(12)
async def test_an_application_acknowledgment_that_was_asked_for_on_error_only_is_passed_on() -> None:
    """MSH-15 AL, MSH-16 ER: CA ends the exchange, and an AE that follows is not the next message's."""
    async with hostile_filler(answer("CA")) as ris, way_to(ris.port) as way:
        sent = way.send(ONE, b"C1")
        await sent.final()
        ris.sessions[0].write(encode_frame(ack(b"C1", "AE")))
        await until(lambda: len(sent.answers) == 2)
        assert (sent.last.raw, sent.last.final) == (ack(b"C1", "AE"), False)
        assert (await way.send(TWO, b"C2").final()).raw == ack(b"C2")
        assert len(ris.sessions) == 1


@pytest.mark.fault(12)
async def test_a_message_that_wants_no_answer_is_not_waited_for_and_a_refusal_still_comes_back() -> None:
    async with hostile_filler(stay_silent) as ris, way_to(ris.port) as way:
        sent = way.send(ONE, b"C1", answer_count=0)
        assert (await sent.final()).status is AnswerStatus.NOT_EXPECTED
        await ris.wait_for(1)
        ris.sessions[0].write(encode_frame(ack(b"C1", "CE")))
        await until(lambda: len(sent.answers) == 2)
        assert (sent.last.raw, sent.last.final) == (ack(b"C1", "CE"), False)
        assert (await way.send(TWO, b"C2").final()).raw == ack(b"C2")


async def test_many_messages_without_an_answer_go_one_after_the_other() -> None:
    async with hostile_filler() as ris, way_to(ris.port) as way:
        ris.default = stay_silent
        sent = [way.send(ONE, b"C1", answer_count=0) for _ in range(2000)]
        await asyncio.gather(*(one.final() for one in sent))
        await ris.wait_for(2000)
        assert len(ris.sessions) == 1


async def test_what_has_no_control_id_is_answered_by_the_next_acknowledgment() -> None:
    batch = b"FHS|^~\\&|EHR\rBHS|^~\\&|EHR\r" + ONE
    async with hostile_filler(say(encode_frame(ack(b"whatever")))) as ris, way_to(ris.port) as way:
        assert (await way.send(batch, None).final()).raw == ack(b"whatever")
        assert ris.contents == [batch]


@pytest.mark.fault(8)
async def test_a_filler_that_is_away_is_said_to_be_and_nothing_was_sent() -> None:
    async with way_to(free_port(), **BRIEF) as way:
        found = await way.send(ONE, b"C1").final()
        assert (found.status, found.sent, found.final) == (AnswerStatus.UNREACHABLE, False, True)
        assert (way.destination.is_up, way.destination.is_refused, way.destination.waiting_count) == (False, True, 0)


@pytest.mark.fault(8)
async def test_a_message_waits_for_the_filler_to_come_back() -> None:
    port = free_port()
    async with way_to(port) as way:
        await until(lambda: way.destination.is_refused)
        sent = way.send(ONE, b"C1")
        async with hostile_filler(port=port) as ris:
            assert (await sent.final()).status is AnswerStatus.ANSWERED
            assert (way.destination.is_up, way.destination.is_refused) == (True, False)
            assert ris.contents == [ONE]
        await until(lambda: not way.destination.is_up)


@pytest.mark.fault(8)
async def test_what_does_not_wait_for_a_filler_that_went_away_ends_and_the_rest_waits() -> None:
    port = free_port()
    async with way_to(port) as way:
        async with hostile_filler(stay_silent, port=port) as ris:
            await until(lambda: way.destination.is_up)
            under_way = way.send(ONE, b"C1", waits_for_peer=False)
            patient = way.send(TWO, b"C2")
            impatient = way.send(THREE, b"C3", waits_for_peer=False)
            await ris.wait_for(1)
        lost, ended = await under_way.final(), await impatient.final()
        assert (lost.status, lost.sent) == (AnswerStatus.LOST, True)
        assert (ended.status, ended.sent) == (AnswerStatus.UNREACHABLE, False)
        assert (patient.answers, way.destination.waiting_count) == ([], 1)
        async with hostile_filler(port=port) as ris:
            assert (await patient.final()).status is AnswerStatus.ANSWERED
            assert ris.control_ids == ["C2"]


async def test_a_lost_connection_that_comes_back_at_once_ends_nothing_that_waits() -> None:
    async with hostile_filler(close, accept) as ris, way_to(ris.port) as way:
        way.send(ONE, b"C1")
        waiting = way.send(TWO, b"C2", waits_for_peer=False)
        assert (await waiting.final()).status is AnswerStatus.ANSWERED


async def test_whoever_is_told_that_the_filler_is_away_may_take_others_back() -> None:
    async with way_to(free_port()) as way:
        second: list[Sent] = []
        told: list[AnswerStatus] = []

        def take_back(answer: Answer) -> None:
            told.append(answer.status)
            assert way.destination.withdraw(second[0].request)

        first = Request(content=ONE, control_id=b"C1", on_answer=take_back, waits_for_peer=False)
        way.destination.submit(first)
        second.append(way.send(TWO, b"C2", waits_for_peer=False))
        await until(lambda: way.destination.is_refused)
        assert (told, second[0].answers) == ([AnswerStatus.UNREACHABLE], [])


async def test_what_is_taken_back_before_it_left_never_leaves() -> None:
    async with hostile_filler(stay_silent) as ris, way_to(ris.port) as way:
        way.send(ONE, b"C1")
        second = way.send(TWO, b"C2")
        await ris.wait_for(1)
        assert way.destination.withdraw(second.request)
        assert not way.destination.withdraw(second.request)
        third = way.send(THREE, b"C3")
        ris.sessions[0].write(encode_frame(ack(b"C1")))
        await third.final()
        assert (ris.control_ids, second.answers) == (["C1", "C3"], [])


async def test_what_has_left_cannot_be_taken_back() -> None:
    async with hostile_filler(stay_silent) as ris, way_to(ris.port) as way:
        sent = way.send(ONE, b"C1")
        await ris.wait_for(1)
        assert not way.destination.withdraw(sent.request)


async def test_more_connections_are_made_only_when_messages_wait() -> None:
    async with hostile_filler(accept, stay_silent, stay_silent) as ris, way_to(ris.port, connections_max=3) as way:
        await way.send(ONE, b"C1").final()
        assert len(ris.sessions) == 1
        way.send(TWO, b"C2")
        way.send(THREE, b"C3")
        await ris.wait_for(3)
        assert sorted(number for number, _ in ris.received) == [1, 1, 2]


async def test_when_it_ends_everything_under_way_is_told() -> None:
    async with hostile_filler(stay_silent) as ris, way_to(ris.port) as way:
        first, second = way.send(ONE, b"C1"), way.send(TWO, b"C2")
        await ris.wait_for(1)
        await way.stop()
        assert [(one.last.status, one.last.sent) for one in (first, second)] == [
            (AnswerStatus.LOST, True),
            (AnswerStatus.UNREACHABLE, False),
        ]


@pytest.mark.hazard("H22")
async def test_a_filler_that_speaks_first_leaves_no_connection_behind() -> None:
    """An acknowledgment before any message: dropped each time, however early it comes, until the filler behaves."""
    async with hostile_filler() as ris:
        ris.greeting = encode_frame(ack(b"C1"))
        async with way_to(ris.port) as way:
            await until(lambda: len(ris.sessions) >= 3)
            ris.greeting = b""
            await until(lambda: len(ris.sessions) >= 4 and not ris.sessions[-1].is_closed)
            await until(lambda: sum(not session.is_closed for session in ris.sessions) == 1)
            assert (await way.send(ONE, b"C1").final()).status is AnswerStatus.ANSWERED


@pytest.mark.hazard("H22")
async def test_what_a_filler_says_before_we_have_the_connection_in_hand_drops_it() -> None:
    """The first connection speaks while it is still being handed over: nothing of it reaches the second."""
    metrics = new_metrics()
    counted = metrics.destinations["ris"]
    async with hostile_filler() as ris:
        ris.greeting = encode_frame(ack(b"C1"))
        connect = connector(
            "127.0.0.1", ris.port, options=ConnectionOptions(), connect_timeout_seconds=1.0, metrics=counted
        )

        async def connect_slowly(line: Line) -> ClientConnection:
            connection = await connect(line)
            if ris.greeting:
                await until(lambda: metric(metrics, "interceptor_destination_ack_mismatches_total") == 1)
                ris.greeting = b""
            return connection

        options = DestinationOptions(name="ris", **PROMPT)
        destination = Destination(
            options, connect=connect_slowly, metrics=counted, jitter=lambda: 0.5, log=Events().log
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(destination.run())
            await until(lambda: destination.is_up)
            await until(lambda: ris.sessions[0].is_closed)
            assert len(ris.sessions) == 2
            running.cancel()


STEPS: dict[str, Step] = {
    "accept": accept,
    "refuse": answer("AR"),
    "twice": answer("AA", "AA"),
    "wrong id": wrong_control_id,
    "garbage": framed_garbage,
    "hang up": close,
    "half": close_inside_the_answer,
    "silent": stay_silent,
    "result first": say_then_accept(RESULT),
}


@pytest.mark.hazard("H22")
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6), st.integers(min_value=1, max_value=2))
@settings(max_examples=25, deadline=None)
def test_no_answer_is_ever_another_messages(script: list[str], connections: int) -> None:
    """Whatever a filler does: each message gets exactly one final answer, and one that is answered its own."""

    async def run() -> None:
        async with (
            hostile_filler(*(STEPS[name] for name in script)) as ris,
            way_to(ris.port, ack_timeout_seconds=0.05, connections_max=connections) as way,
        ):
            sent = {}
            for number in range(len(script) + 2):
                control_id = f"C{number}".encode()
                sent[control_id] = way.send(order(f"A{number}", control_id=control_id.decode()), control_id)
            for control_id, one in sent.items():
                found = await one.final()
                if found.status is AnswerStatus.ANSWERED:
                    assert found.acknowledgment is not None
                    assert found.acknowledgment.control_id == control_id
            assert len(set(ris.control_ids)) == len(ris.control_ids), "the destination sends nothing twice by itself"

    asyncio.run(run())
