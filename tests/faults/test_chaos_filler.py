"""A running node whose filler is away, slow, silent, out of turn or gone: what the placer sees, and what arrives."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interceptor.message.header import peek_header
from interceptor.node import Node
from interceptor.wire.frame import encode_frame
from tests.support.chaos_proxy import chaos_proxy
from tests.support.hostile_filler import (
    RESULT,
    STATUS,
    HostileFiller,
    Session,
    Step,
    ack,
    answer,
    close,
    close_inside_the_answer,
    endless,
    framed_garbage,
    garbage,
    hostile_filler,
    no_control_id,
    say_then_accept,
    stay_silent,
    wrong_control_id,
)
from tests.support.metric_page import sample
from tests.support.mllp_peer import until
from tests.support.node import Events, Placer, free_port, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order

PROMPT = {"destination_ack_timeout_seconds": 0.3, "destination_reconnect_seconds_max": 0.2}
"""Nothing here waits for longer than it must."""


def film(number: object) -> bytes:
    """An order that passes."""
    return order(f"P{number}", procedure=CHEST_FILM, reason="cough", patient=f"P{number}")


def control_id(content: bytes) -> str:
    header = peek_header(content)
    assert header is not None
    return header.control_id.decode()


def acknowledged(answered: bytes) -> str:
    """The control id that an answer is for; it must accept."""
    code, _, answered_id = answered.partition(b"\rMSA|")[2].partition(b"\r")[0].partition(b"|")
    assert code == b"AA"
    return answered_id.decode()


@asynccontextmanager
async def patient_placer(placer: Placer) -> AsyncIterator[list[str]]:
    """Control ids of the answers as they come in, for the length of the block."""
    seen: list[str] = []

    async def read() -> None:
        try:
            while True:
                seen.append(acknowledged(await placer.answer(seconds=100)))
        except (EOFError, ConnectionError):
            return

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        yield seen
        reading.cancel()


async def relay_while_the_filler_is_away(folder: Path, seconds: float) -> None:
    port = free_port()
    config = node_config(folder, filler_port=port, destination_ack_timeout_seconds=seconds * 2)
    async with node_of(config) as node, placer_of(node) as placer, patient_placer(placer) as answers:
        await placer.send(film(1))
        await asyncio.sleep(seconds)
        assert answers == []
        assert not placer.writer.is_closing()
        async with hostile_filler(port=port) as ris:
            await until(lambda: answers == ["CP1"])
            await placer.send(film(2))
            await until(lambda: answers == ["CP1", "CP2"])
            assert ris.contents == [film(1), film(2)]


async def store_while_the_filler_is_away(folder: Path, seconds: float, count: int) -> None:
    port = free_port()
    config = node_config(folder, filler_port=port, custody="store", destination_reconnect_seconds_max=0.5)
    contents = [film(number) for number in range(count)]
    async with node_of(config) as node, placer_of(node) as placer:
        began = time.monotonic()
        for content in contents:
            assert acknowledged(await placer.exchange(content)) == control_id(content)
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
        async with hostile_filler(port=port) as ris:
            await until(lambda: len(ris.received) >= count)
            assert ris.contents == contents


@pytest.mark.fault(8)
async def test_in_relay_the_placer_waits_while_the_filler_is_away(tmp_path: Path) -> None:
    """Connected and unanswered, as with a filler that does not answer; and answered when it is back."""
    await relay_while_the_filler_is_away(tmp_path, 1.0)


@pytest.mark.fault(8)
@pytest.mark.hazard("H3")
async def test_in_store_everything_queued_arrives_in_order_when_the_filler_is_back(tmp_path: Path) -> None:
    await store_while_the_filler_is_away(tmp_path, 1.0, 100)


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.fault(8)
async def test_a_minute_without_the_filler(tmp_path: Path) -> None:
    await relay_while_the_filler_is_away(tmp_path / "relay", 60.0)
    await store_while_the_filler_is_away(tmp_path / "store", 60.0, 2000)


@pytest.mark.fault(9)
@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_a_slow_filler_gets_each_message_once_and_one_at_a_time(tmp_path: Path, custody: str) -> None:
    """Four placers at once; a second message before the first one's answer would break a lock-step filler."""
    waiting: list[tuple[Session, bytes]] = []
    most = 0

    def keep(session: Session, control: bytes) -> None:
        nonlocal most
        waiting.append((session, control))
        most = max(most, len(waiting))
        asyncio.get_running_loop().call_later(0.02, give)

    def give() -> None:
        session, control = waiting.pop(0)
        session.write(encode_frame(ack(control)))

    async with hostile_filler() as ris:
        ris.default = keep
        async with node_of(node_config(tmp_path, filler_port=ris.port, custody=custody)) as node:

            async def place(placer_number: int) -> None:
                async with placer_of(node) as placer:
                    for number in range(5):
                        content = film(f"{placer_number}{number}")
                        assert acknowledged(await placer.exchange(content)) == control_id(content)

            async with asyncio.TaskGroup() as group:
                for placer_number in range(4):
                    group.create_task(place(placer_number))
            await until(lambda: len(ris.received) >= 20 and not waiting)
    assert most == 1
    assert len(ris.control_ids) == len(set(ris.control_ids)) == 20


@pytest.mark.fault(9)
@pytest.mark.fault(13)
@pytest.mark.hazard("H22")
@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_with_every_third_answer_late_no_message_gets_anothers(tmp_path: Path, custody: str) -> None:
    """A late answer comes in the middle of the next message's wait, where it would be taken for its answer."""
    late: list[tuple[Session, bytes]] = []
    count = 0

    def every_third_late(session: Session, control: bytes) -> None:
        nonlocal count
        count += 1
        if count % 3 == 0:
            late.append((session, control))
            return
        for late_session, late_control in late:
            late_session.write(encode_frame(ack(late_control)))
        late.clear()
        session.write(encode_frame(ack(control)))

    contents = [film(number) for number in range(24)]
    async with hostile_filler() as ris:
        ris.default = every_third_late
        config = node_config(tmp_path, filler_port=ris.port, custody=custody, **PROMPT)
        async with node_of(config) as node:
            for content in contents:
                await answered_at_last(node.ports["orders"], content)
            await until(lambda: set(ris.contents) == set(contents))
            assert not (await node.custody.journal.dead_letters())
    assert list(dict.fromkeys(ris.contents)) == contents


async def answered_at_last(port: int, content: bytes) -> None:
    """A placer that sends again on a new connection when no answer comes in time; each answer must be its own."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            placer = Placer(reader, writer)
            await placer.send(content)
            assert acknowledged(await placer.answer(seconds=0.5)) == control_id(content)
        except TimeoutError:
            continue
        else:
            return
        finally:
            writer.close()


NO_ANSWERS = [
    pytest.param(wrong_control_id, marks=pytest.mark.fault(13), id="another_control_id"),
    pytest.param(no_control_id, marks=pytest.mark.fault(13), id="no_control_id"),
    pytest.param(garbage, marks=pytest.mark.fault(14), id="garbage"),
    pytest.param(framed_garbage, marks=pytest.mark.fault(14), id="framed_garbage"),
    pytest.param(endless, marks=pytest.mark.fault(14), id="endless"),
    pytest.param(stay_silent, marks=pytest.mark.fault(9), id="silence"),
    pytest.param(close, marks=pytest.mark.fault(15), id="hangs_up"),
    pytest.param(close_inside_the_answer, marks=pytest.mark.fault(15), id="hangs_up_inside_the_answer"),
]


@pytest.mark.hazard("H22")
@pytest.mark.parametrize("step", NO_ANSWERS)
async def test_in_relay_what_is_no_answer_never_reaches_the_placer(tmp_path: Path, step: Step) -> None:
    """Nothing for the first message, its own answer for the second; sent again, the first gets its own too."""
    async with hostile_filler(step) as ris:
        config = node_config(tmp_path, filler_port=ris.port, **PROMPT)
        async with node_of(config) as node, placer_of(node) as placer, patient_placer(placer) as answers:
            await placer.send(film(1))
            await placer.send(film(2))
            await until(lambda: answers == ["CP2"])
            await placer.send(film(1))
            await until(lambda: answers == ["CP2", "CP1"])
    assert ris.contents == [film(1), film(2), film(1)]


@pytest.mark.hazard("H3", "H22")
@pytest.mark.parametrize("step", NO_ANSWERS)
async def test_in_store_what_is_no_answer_brings_the_same_bytes_again(tmp_path: Path, step: Step) -> None:
    async with hostile_filler(step) as ris:
        config = node_config(tmp_path, filler_port=ris.port, custody="store", **PROMPT)
        async with node_of(config) as node, placer_of(node) as placer:
            assert acknowledged(await placer.exchange(film(1))) == "CP1"
            assert acknowledged(await placer.exchange(film(2))) == "CP2"
            await until(lambda: len(ris.received) >= 3)
            assert ris.contents == [film(1), film(1), film(2)]
            assert [number for number, _ in ris.received] == [1, 2, 2]


@pytest.mark.fault(37)
@pytest.mark.hazard("H22")
@pytest.mark.parametrize("content", [RESULT, STATUS], ids=["result", "status"])
@pytest.mark.parametrize("custody", ["relay", "store"])
async def test_a_message_of_the_fillers_own_is_never_an_answer(tmp_path: Path, content: bytes, custody: str) -> None:
    """Before the answer, and on a connection where nothing is waited for."""
    async with hostile_filler(*[say_then_accept(content)] * 3) as ris:
        config = node_config(tmp_path, filler_port=ris.port, custody=custody)
        async with node_of(config) as node, placer_of(node) as placer:
            for number in range(3):
                assert acknowledged(await placer.exchange(film(number))) == f"CP{number}"
                await until(lambda: len(ris.received) > number)  # noqa: B023 - called at once
                ris.sessions[0].write(encode_frame(content))
            await until(lambda: unsolicited_count(node) == 6)
            assert ris.contents == [film(0), film(1), film(2)]
            assert len(ris.sessions) == 1


def unsolicited_count(node: Node) -> float:
    return sample(node.metrics.render(), "interceptor_destination_unsolicited_total", destination="ris")


@pytest.mark.fault(10)
@pytest.mark.parametrize("code", ["AE", "AR", "CE", "CR"])
async def test_in_relay_a_refusal_is_the_placers_to_know_byte_for_byte(tmp_path: Path, code: str) -> None:
    async with hostile_filler(answer(code)) as ris:
        config = node_config(tmp_path, filler_port=ris.port)
        async with node_of(config) as node, placer_of(node) as placer:
            assert await placer.exchange(film(1)) == ack(b"CP1", code)
            assert acknowledged(await placer.exchange(film(1))) == "CP1"
    assert ris.contents == [film(1), film(1)]


@pytest.mark.fault(16)
async def test_a_filler_behind_a_black_hole_is_given_up_long_before_its_answer_is_due(tmp_path: Path) -> None:
    """Its system confirms nothing: TCP gives up after tcp_user_timeout, not after the acknowledgment timeout."""
    events = Events()
    async with hostile_filler() as ris, chaos_proxy(lambda: ris.port) as proxy:
        config = node_config(
            tmp_path,
            filler_port=proxy.port,
            destination_ack_timeout_seconds=60.0,
            destination_tcp_user_timeout_seconds=1.0,
            destination_reconnect_seconds_max=0.2,
        )
        async with (
            node_of(config, events) as node,
            placer_of(node) as placer,
            patient_placer(placer) as answers,
        ):
            await placer.send(film(1))
            await until(lambda: answers == ["CP1"])
            proxy.black_hole()
            began = time.monotonic()
            await placer.send(film(2))
            await until(lambda: "message_left_unanswered" in events.names())
            assert time.monotonic() - began < 5.0
            await placer.send(film(2))
            await until(lambda: answers == ["CP1", "CP2"])
    assert ris.contents == [film(1), film(2)]


@pytest.mark.fault(15)
async def test_the_filler_may_come_and_go_between_messages(tmp_path: Path) -> None:
    async with hostile_filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, destination_reconnect_seconds_max=0.2)
        async with node_of(config) as node, placer_of(node) as placer:
            for number in range(5):
                assert acknowledged(await placer.exchange(film(number))) == f"CP{number}"
                await hang_up(ris)
    assert ris.contents == [film(number) for number in range(5)]


async def hang_up(ris: HostileFiller) -> None:
    """The filler closes its newest connection while nothing is waited for; returns when it is closed on both sides."""
    session = ris.sessions[-1]
    session.writer.close()
    await until(lambda: session.is_closed)
    await until(lambda: ris.sessions[-1] is not session)
