"""The simulated placer and filler speak MLLP with each other over real sockets, and fail as real ones do."""

import gc
from datetime import UTC, datetime
from random import Random

import hl7
import pytest

from interceptor.simulate.filler import acknowledge, filling
from interceptor.simulate.placer import placing
from interceptor.simulate.story import Story

UMLAUT = "MSH|^~\\&|A|B|C|D|20260101||ADT^A08|Ü1|T|2.5.1\rPID|1||1||Fäkerson^Ü\r".encode("latin-1")


async def test_every_message_is_received_unchanged_and_answered_with_its_own_control_id() -> None:
    story = Story(Random(3), started_at=datetime(2026, 1, 1, tzinfo=UTC))
    sent = [story.next_message(datetime(2026, 1, 1, tzinfo=UTC)) for _ in range(120)]
    received: list[bytes] = []
    async with filling(received.append) as filler, placing("127.0.0.1", filler.port) as placer:
        for message in sent:
            answer = await placer.send(message.raw)
            assert answer is not None
            gc.collect(0)  # hl7.mllp's coroutine callbacks lose their task here; ours must not.
            if message.control_id:
                acknowledgment = hl7.parse(answer.decode("latin-1"))
                assert str(acknowledgment.segment("MSA")[2]) == message.control_id
    assert received == [message.raw for message in sent]
    assert filler.received_count == len(sent)


async def test_bytes_beyond_ascii_and_large_messages_arrive_as_they_are() -> None:
    large = UMLAUT + b"OBX|1|ED|||" + b"A" * 200_000 + b"\r"
    received: list[bytes] = []
    async with filling(received.append) as filler, placing("127.0.0.1", filler.port) as placer:
        assert await placer.send(UMLAUT) is not None
        assert await placer.send(large) is not None
    assert received == [UMLAUT, large]


async def test_a_filler_that_goes_away_leaves_the_placer_without_answer_until_it_comes_back() -> None:
    async with filling(lambda _raw: None) as filler, placing("127.0.0.1", filler.port) as placer:
        assert await placer.send(UMLAUT) is not None
        filler.go_away()
        assert await placer.send(UMLAUT) is None
        await filler.come()
        assert await placer.send(UMLAUT) is not None
    assert filler.received_count == 2


async def test_a_late_answer_is_never_taken_for_the_next_messages() -> None:
    delays = {1: 0.3}
    other = UMLAUT.replace(b"\xdc1", b"2")
    async with (
        filling(lambda _raw: None, choose_delay=lambda number: delays.get(number, 0.0)) as filler,
        placing("127.0.0.1", filler.port, ack_timeout_seconds=0.1) as placer,
    ):
        assert await placer.send(UMLAUT) is None
        answer = await placer.send(other)
    assert answer is not None
    assert b"MSA|AA|2\r" in answer


@pytest.mark.parametrize("raw", [b"PID|1\r", b"", b"GET / HTTP/1.1\r\n", b"MSH|^~\\&|A\r", b"\xff\xfe\x00"])
def test_what_is_not_hl7_gets_a_reject(raw: bytes) -> None:
    answer = acknowledge(raw)
    assert answer.startswith(b"MSH|")
    assert b"MSA|" in answer
