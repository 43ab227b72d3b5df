"""The running node in relay custody: bytes in, bytes out, over real sockets."""

import asyncio
from pathlib import Path

import pytest

from tests.support.corpus import corpus_messages, needs_corpus
from tests.support.hostile_filler import hostile_filler, stay_silent
from tests.support.mllp_peer import until
from tests.support.node import Events, Filler, accept, filler, free_port, node_config, node_of, placer_of, reply
from tests.support.orders import CHEST_FILM, COMPLETE, order


@needs_corpus
async def test_every_corpus_message_reaches_the_filler_byte_for_byte_in_shadow_mode(tmp_path: Path) -> None:
    """Odd delimiters, character sets, line ends and malformed ones included."""
    messages = [content for _, content in corpus_messages() if b"\x0b" not in content and b"\x1c" not in content]
    assert len(messages) > 900
    async with filler() as ris:
        ris.answer = lambda content: accept(content)
        config = node_config(tmp_path, filler_port=ris.port, mode="shadow")
        async with node_of(config) as node, placer_of(node) as placer:
            for content in messages:
                await placer.send(content)
                await placer.answer()
            assert ris.received == messages


@pytest.mark.hazard("H11")
async def test_a_passing_order_and_its_acknowledgment_are_relayed_unchanged(tmp_path: Path) -> None:
    async with filler() as ris:
        async with node_of(node_config(tmp_path, filler_port=ris.port)) as node, placer_of(node) as placer:
            for content in (order("P1", procedure=CHEST_FILM), order("P2", procedure=COMPLETE)):
                answer = await placer.exchange(content)
                assert answer == accept(content)[1:-2]
        assert ris.received == [order("P1", procedure=CHEST_FILM), order("P2", procedure=COMPLETE)]


async def test_an_annotated_order_differs_only_by_the_added_segments(tmp_path: Path) -> None:
    content = order("P1", reason="LBP for 2 years, unchanged")
    async with filler() as ris:
        async with node_of(node_config(tmp_path, filler_port=ris.port)) as node, placer_of(node) as placer:
            await placer.exchange(content)
        sent = ris.received[0].split(b"\r")
    added = [line for line in sent if line.startswith((b"NTE|", b"OBX|"))]
    assert added
    assert [line for line in sent if line not in added] == content.split(b"\r")
    assert any(b"A-CHRONIC" in line for line in added)


@pytest.mark.hazard("H12")
@pytest.mark.fault(11)
@pytest.mark.parametrize("code", [b"AE", b"AR"])
async def test_a_refused_annotation_is_sent_again_without_it_once(tmp_path: Path, code: bytes) -> None:
    content = order("P1", reason="LBP for 2 years, unchanged")
    events = Events()
    async with filler() as ris:
        ris.answer = lambda got: reply(got, b"AA" if got == content else code)
        async with node_of(node_config(tmp_path, filler_port=ris.port), events) as node, placer_of(node) as placer:
            answer = await placer.exchange(content)
        assert ris.received[1:] == [content]
    assert b"MSA|AA|CP1" in answer
    assert "annotation_refused" in events.names()


@pytest.mark.hazard("H22")
@pytest.mark.fault(13)
async def test_an_acknowledgment_of_another_message_never_reaches_the_placer(tmp_path: Path) -> None:
    """The connection is dropped; the next message gets its own answer on a new one."""
    async with filler() as ris:

        def answer(content: bytes) -> bytes:
            return accept(content).replace(b"CP1", b"CXX")

        ris.answer = answer
        async with node_of(node_config(tmp_path, filler_port=ris.port)) as node, placer_of(node) as placer:
            await placer.send(order("P1", procedure=CHEST_FILM))
            await placer.send(order("P2", procedure=CHEST_FILM))
            assert b"MSA|AA|CP2" in await placer.answer()


@pytest.mark.fault(8)
async def test_while_the_filler_is_away_the_placer_waits_and_gets_its_answer_when_it_returns(tmp_path: Path) -> None:
    port = free_port()
    content = order("P1", procedure=CHEST_FILM)
    async with node_of(node_config(tmp_path, filler_port=port)) as node, placer_of(node) as placer:
        await placer.send(content)
        made = Filler()
        server = await asyncio.start_server(made.serve, "127.0.0.1", port)
        try:
            assert b"MSA|AA|CP1" in await placer.answer()
        finally:
            server.close()
    assert made.received == [content]


@pytest.mark.fault(8)
async def test_with_nak_the_placer_is_told_that_the_filler_is_away(tmp_path: Path) -> None:
    config = node_config(tmp_path, filler_port=free_port(), on_filler_down="nak")
    async with node_of(config) as node, placer_of(node) as placer:
        # The first attempt to connect may still be under way; then the message waits for its end.
        answers = [await placer.exchange(order(f"P{number}", procedure=CHEST_FILM)) for number in (1, 2)]
    assert b"MSA|AE|CP2" in answers[-1]


@pytest.mark.fault(8)
async def test_with_nak_what_already_waits_is_told_too_when_the_filler_goes_away(tmp_path: Path) -> None:
    """The message under way stays without an answer: the filler may have it."""
    port = free_port()
    config = node_config(tmp_path, filler_port=port, on_filler_down="nak", destination_ack_timeout_seconds=60.0)
    events = Events()
    async with node_of(config, events) as node, placer_of(node) as first, placer_of(node) as second:
        async with hostile_filler(stay_silent, port=port) as ris:
            await until(lambda: "destination_connected" in events.names())
            await first.send(order("P1", procedure=CHEST_FILM))
            await ris.wait_for(1)
            await second.send(order("P2", procedure=CHEST_FILM))
        assert b"MSA|AE|CP2" in await second.answer(seconds=15)
        with pytest.raises(TimeoutError):
            await first.answer(seconds=0.2)


@pytest.mark.fault(36)
async def test_pipelined_messages_are_answered_in_order(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, pipelined_max=4)
        async with node_of(config) as node, placer_of(node) as placer:
            contents = [order(f"P{number}", procedure=CHEST_FILM) for number in range(50)]
            sending = [placer.send(content) for content in contents]
            async with asyncio.TaskGroup() as group:
                group.create_task(_in_turn(sending))
                answers = [await placer.answer() for _ in contents]
        assert ris.received == contents
    assert [f"MSA|AA|CP{number}\r".encode() in answer for number, answer in enumerate(answers)] == [True] * 50


async def _in_turn(coroutines: list) -> None:  # type: ignore[type-arg]  # of whatever they give
    for coroutine in coroutines:
        await coroutine


@pytest.mark.fault(34)
async def test_content_that_is_not_hl7_passes_and_is_kept(tmp_path: Path) -> None:
    events = Events()
    async with filler() as ris:
        async with node_of(node_config(tmp_path, filler_port=ris.port), events) as node, placer_of(node) as placer:
            await placer.exchange(b"this is no message\r")
        assert ris.received == [b"this is no message\r"]
    assert "message_quarantined" in events.names()


async def test_strict_inbound_refuses_what_is_not_hl7_without_forwarding_it(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, strict_inbound=True)
        async with node_of(config) as node, placer_of(node) as placer:
            await placer.send(b"this is no message\r")
            assert b"MSA|AA|CP1" in await placer.exchange(order("P1", procedure=CHEST_FILM))
        assert len(ris.received) == 1


@pytest.mark.fault(33)
async def test_an_oversized_message_is_refused_and_the_connection_closes(tmp_path: Path) -> None:
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port, frame_size_max=2048)
        async with node_of(config) as node, placer_of(node) as placer:
            await placer.send(order("P1", procedure=CHEST_FILM) + b"OBX|1|TX|||" + b"x" * 5000 + b"\r")
            assert b"MSA|AR|CP1" in await placer.answer()
            with pytest.raises(asyncio.IncompleteReadError):
                await placer.answer()
        assert ris.received == []


@pytest.mark.hazard("H9")
async def test_a_fault_while_deciding_lets_the_order_pass_unchanged_and_raises_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_more: object) -> None:
        raise ZeroDivisionError("PATIENTNAME")

    monkeypatch.setattr("interceptor.route.decide_message", broken)
    events = Events()
    content = order("P1")
    async with filler() as ris:
        async with node_of(node_config(tmp_path, filler_port=ris.port), events) as node, placer_of(node) as placer:
            assert b"MSA|AA|CP1" in await placer.exchange(content)
        assert ris.received == [content]
    assert "deciding_failed" in events.names()
    assert "PATIENTNAME" not in str(events.seen)
